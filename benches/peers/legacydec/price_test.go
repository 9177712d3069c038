package legacydec

import (
	"testing"

	"cosmossdk.io/math"
)

// The prices of the training document, and the order of `benches/benches/price.rs`.
var (
	texts = Texts{
		CPU: "0.001", Memory: "0.0005", Storage: "0.0001", GPU: "0.05", Floor: "0.0001", MarkupPercent: "10",
	}
	order = Quantities{Cores: 4, MemoryGB: 8, StorageGB: 100, GPUs: 1}
	sink  math.LegacyDec
)

func TestThePriceIsTheOneOfTheFormula(t *testing.T) {
	prices, err := texts.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := prices.Price(order), math.LegacyMustNewDecFromStr("0.0748"); !got.Equal(want) {
		t.Fatalf("%s, not %s", got, want)
	}
	if got := prices.Price(Quantities{}); !got.Equal(prices.Floor) {
		t.Fatalf("%s, not the floor", got)
	}
}

func BenchmarkParsed(b *testing.B) {
	prices, err := texts.Parse()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sink = prices.Price(order)
	}
}

func BenchmarkFromText(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		prices, err := texts.Parse()
		if err != nil {
			b.Fatal(err)
		}
		sink = prices.Price(order)
	}
}
