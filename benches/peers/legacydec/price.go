// Package legacydec computes the price of an order as the reference provider does: a sum of unit price times quantity in fixed
// point with 18 decimals, times one plus the markup, and never below the floor. It exists to be measured.
package legacydec

import "cosmossdk.io/math"

// Quantities are what an order asks for.
type Quantities struct {
	Cores, MemoryGB, StorageGB, GPUs int64
}

// Texts are prices as an operator writes them.
type Texts struct {
	CPU, Memory, Storage, GPU, Floor, MarkupPercent string
}

// Prices are the same, parsed.
type Prices struct {
	CPU, Memory, Storage, GPU, Floor, MarkupPercent math.LegacyDec
}

// Parse reads all of them.
func (t Texts) Parse() (Prices, error) {
	var p Prices
	fields := []struct {
		text string
		into *math.LegacyDec
	}{
		{t.CPU, &p.CPU},
		{t.Memory, &p.Memory},
		{t.Storage, &p.Storage},
		{t.GPU, &p.GPU},
		{t.Floor, &p.Floor},
		{t.MarkupPercent, &p.MarkupPercent},
	}
	for _, field := range fields {
		value, err := math.LegacyNewDecFromStr(field.text)
		if err != nil {
			return Prices{}, err
		}
		*field.into = value
	}
	return p, nil
}

// Price of the quantities, per hour.
func (p Prices) Price(q Quantities) math.LegacyDec {
	sum := p.CPU.MulInt64(q.Cores).
		Add(p.Memory.MulInt64(q.MemoryGB)).
		Add(p.Storage.MulInt64(q.StorageGB)).
		Add(p.GPU.MulInt64(q.GPUs))
	factor := math.LegacyOneDec().Add(p.MarkupPercent.QuoInt64(100))
	return math.LegacyMaxDec(sum.Mul(factor), p.Floor)
}
