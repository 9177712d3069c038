package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	storetypes "cosmossdk.io/store/types"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	"github.com/cosmos/gogoproto/proto"

	dv1 "chainpeer/pb/deployment/v1"
	mv1 "chainpeer/pb/market/v1"
	pv4 "chainpeer/pb/provider/v1beta4"
)

// Keeper holds all module state in one KV store; keys are "<kind>/<id>", values are the protobuf records.
type Keeper struct {
	cdc  *codec.ProtoCodec
	key  storetypes.StoreKey
	bank bankkeeper.BaseKeeper
}

// Rules are the parameters a genesis file can set.
type Rules struct {
	MinDeposit       int64  `json:"min_deposit"`        // deployments and bids, uve
	OrderMaxBids     uint32 `json:"order_max_bids"`     //
	TakeFee          int64  `json:"take_fee_percent"`   // of lease earnings
	MinEscrow        uint64 `json:"min_escrow_seconds"` // settlement escrows
	MaxEscrow        uint64 `json:"max_escrow_seconds"` //
	SettlementPeriod int64  `json:"settlement_period"`  // seconds between automatic settlements
	Mfa              bool   `json:"mfa"`                // true: second factor demanded, deployments and withdrawals fail
}

func defaultRules() Rules {
	return Rules{MinDeposit: 500000, OrderMaxBids: 20, TakeFee: 2, MinEscrow: 3600, MaxEscrow: 31536000, SettlementPeriod: 86400}
}

func (k *Keeper) store(ctx sdk.Context) storetypes.KVStore { return ctx.KVStore(k.key) }

func (k *Keeper) put(ctx sdk.Context, key string, v proto.Message) {
	k.store(ctx).Set([]byte(key), k.cdc.MustMarshal(v))
}

func (k *Keeper) load(ctx sdk.Context, key string, v proto.Message) bool {
	b := k.store(ctx).Get([]byte(key))
	if b == nil {
		return false
	}
	k.cdc.MustUnmarshal(b, v)
	return true
}

// list reads every record whose key starts with p and for which keep says yes.
func list[T any, P interface {
	*T
	proto.Message
}](k *Keeper, ctx sdk.Context, p string, keep func(*T) bool) []T {
	it := storetypes.KVStorePrefixIterator(k.store(ctx), []byte(p))
	defer it.Close()
	var out []T
	for ; it.Valid(); it.Next() {
		var v T
		k.cdc.MustUnmarshal(it.Value(), P(&v))
		if keep == nil || keep(&v) {
			out = append(out, v)
		}
	}
	return out
}

func (k *Keeper) nextSeq(ctx sdk.Context, name string) uint64 {
	key := []byte("seq/" + name)
	n := uint64(1)
	if b := k.store(ctx).Get(key); b != nil {
		n = binary.BigEndian.Uint64(b) + 1
	}
	k.store(ctx).Set(key, binary.BigEndian.AppendUint64(nil, n))
	return n
}

func (k *Keeper) initGenesis(ctx sdk.Context, g Genesis) {
	b, _ := json.Marshal(g.Rules)
	k.store(ctx).Set([]byte("rules"), b)
	for i := range g.Providers {
		k.put(ctx, "provider/"+g.Providers[i].Owner, &g.Providers[i])
	}
	for a, s := range g.Veid {
		k.store(ctx).Set([]byte("veid/"+a), []byte(strconv.Itoa(s)))
	}
}

func (k *Keeper) rules(ctx sdk.Context) (r Rules) {
	if err := json.Unmarshal(k.store(ctx).Get([]byte("rules")), &r); err != nil {
		panic(err)
	}
	return r
}

func (k *Keeper) veidScore(ctx sdk.Context, addr string) (int, bool) {
	b := k.store(ctx).Get([]byte("veid/" + addr))
	n, err := strconv.Atoi(string(b))
	return n, err == nil
}

func (k *Keeper) provider(ctx sdk.Context, owner string) (p pv4.Provider, ok bool) {
	return p, k.load(ctx, "provider/"+owner, &p)
}

// emit writes a typed event; the SDK turns it into sorted JSON attributes.
func emit(ctx sdk.Context, m proto.Message) {
	if err := ctx.EventManager().EmitTypedEvent(m); err != nil {
		panic(err)
	}
}

// Keys. Numbers are zero-padded so that iteration order is numeric order; addresses stand as their bytes in hex, because
// the chain orders by address bytes and bech32 does not keep their order.
func addressPath(text string) string {
	b, err := sdk.AccAddressFromBech32(text)
	if err != nil {
		return "?" + text // names nothing that exists
	}
	return hex.EncodeToString(b)
}
func deploymentPath(owner string, dseq uint64) string {
	return fmt.Sprintf("%s/%020d", addressPath(owner), dseq)
}
func deploymentKey(id dv1.DeploymentID) string {
	return "deployment/" + deploymentPath(id.Owner, id.Dseq)
}
func groupPath(id dv1.GroupID) string {
	return fmt.Sprintf("%s/%010d", deploymentPath(id.Owner, id.Dseq), id.Gseq)
}
func groupKey(id dv1.GroupID) string { return "group/" + groupPath(id) }
func orderPath(id mv1.OrderID) string {
	return fmt.Sprintf("%s/%010d", groupPath(dv1.GroupID{Owner: id.Owner, Dseq: id.Dseq, Gseq: id.Gseq}), id.Oseq)
}
func orderKey(id mv1.OrderID) string { return "order/" + orderPath(id) }
func bidKey(id mv1.BidID) string {
	return "bid/" + orderPath(orderOf(id)) + "/" + addressPath(id.Provider)
}
func leaseKey(id mv1.BidID) string {
	return "lease/" + orderPath(orderOf(id)) + "/" + addressPath(id.Provider)
}

func orderOf(b mv1.BidID) mv1.OrderID {
	return mv1.OrderID{Owner: b.Owner, Dseq: b.Dseq, Gseq: b.Gseq, Oseq: b.Oseq}
}
func groupOf(o mv1.OrderID) dv1.GroupID {
	return dv1.GroupID{Owner: o.Owner, Dseq: o.Dseq, Gseq: o.Gseq}
}

// page cuts a result list: next_key is the position of the next element.
func page[T any](all []T, req *query.PageRequest) ([]T, *query.PageResponse) {
	if req == nil {
		req = &query.PageRequest{}
	}
	start, limit := req.Offset, req.Limit
	if len(req.Key) == 8 {
		start = binary.BigEndian.Uint64(req.Key)
	}
	if limit == 0 {
		limit = query.DefaultLimit
	}
	n := uint64(len(all))
	if start > n {
		start = n
	}
	end := min(start+limit, n)
	resp := &query.PageResponse{Total: end - start} // the real chain too counts only the page
	if end < n {
		resp.NextKey = binary.BigEndian.AppendUint64(nil, end)
	}
	return all[start:end], resp
}
