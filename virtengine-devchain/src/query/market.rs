//! Orders, bids, leases, providers.

use crate::query::page::{check_filter, cut, order_fits, text_fits};
use crate::query::{Reply, reply};
use crate::rules::{escrow, market, payment};
use crate::state::amount::{DENOM, coin};
use crate::state::context::{Context, decode};
use crate::state::failure::{Failure, market as errors, other};
use crate::state::keys::{self, order_of};
use crate::wire::{mv1, mv5, pv4};

pub(super) fn answer(ctx: &mut Context<'_>, path: &str, data: &[u8]) -> Option<Reply> {
    Some(match path {
        "/virtengine.market.v1beta5.Query/Orders" => reply(data, |q| orders(ctx, q)),
        "/virtengine.market.v1beta5.Query/Order" => reply(data, |q: mv5::QueryOrderRequest| {
            let order = market::order(ctx, &q.id.unwrap_or_default())?;
            let order = Some(order.ok_or_else(|| errors::ORDER_NOT_FOUND.fail())?);
            Ok(mv5::QueryOrderResponse { order })
        }),
        "/virtengine.market.v1beta5.Query/Bids" => reply(data, |q| bids(ctx, q)),
        "/virtengine.market.v1beta5.Query/Bid" => reply(data, |q: mv5::QueryBidRequest| {
            let bid = market::bid(ctx, &q.id.unwrap_or_default())?;
            full_bid(ctx, bid.ok_or_else(|| errors::BID_NOT_FOUND.fail())?)
        }),
        "/virtengine.market.v1beta5.Query/Leases" => reply(data, |q| leases(ctx, q)),
        "/virtengine.market.v1beta5.Query/Lease" => reply(data, |q: mv5::QueryLeaseRequest| {
            let lease = market::lease(ctx, &keys::bid_of_lease(&q.id.unwrap_or_default()))?;
            full_lease(ctx, lease.ok_or_else(|| errors::LEASE_NOT_FOUND.fail())?)
        }),
        "/virtengine.market.v1beta5.Query/Params" => reply(data, |_: mv5::QueryParamsRequest| {
            Ok(mv5::QueryParamsResponse {
                params: Some(mv5::Params {
                    bid_min_deposit: Some(coin(DENOM, i128::from(ctx.rules.min_deposit))),
                    order_max_bids: ctx.rules.order_max_bids,
                }),
            })
        }),
        "/virtengine.provider.v1beta4.Query/Provider" => reply(data, |q: pv4::QueryProviderRequest| {
            let provider = market::provider(ctx, &q.owner)?;
            let provider = Some(provider.ok_or_else(|| other::PROVIDER_NOT_FOUND.fail())?);
            Ok(pv4::QueryProviderResponse { provider })
        }),
        "/virtengine.provider.v1beta4.Query/Providers" => reply(data, |q: pv4::QueryProvidersRequest| {
            let (providers, page) = cut(ctx.list(b"provider/")?, q.pagination);
            Ok(pv4::QueryProvidersResponse {
                providers,
                pagination: Some(page),
            })
        }),
        _ => return None,
    })
}

/// What filters look at. The whole record is read for the orders of one page alone, so that many orders are not read for each.
#[derive(Clone, PartialEq, prost::Message)]
struct OrderHead {
    #[prost(message, optional, tag = "1")]
    id: Option<mv1::OrderId>,
    #[prost(enumeration = "mv5::order::State", tag = "2")]
    state: i32,
}

fn orders(ctx: &mut Context<'_>, q: mv5::QueryOrdersRequest) -> Result<mv5::QueryOrdersResponse, Failure> {
    let f = q.filters.unwrap_or_default();
    check_filter(&f.state, &["open", "active", "closed"], q.pagination.as_ref())?;
    let mut all = Vec::new();
    for record in ctx.list_raw(b"order/")? {
        let head: OrderHead = decode(&record)?;
        let id = head.id.as_ref();
        let fits = id.is_none_or(|id| order_fits(id, &f.owner, f.dseq, f.gseq, f.oseq))
            && text_fits(&f.state, head.state().as_str_name());
        if fits {
            all.push((head.state, record));
        }
    }
    all.sort_by_key(|(state, _)| *state);
    let (some, page) = cut(all, q.pagination);
    let orders = some.iter().map(|(_, record)| decode(record));
    let orders = orders.collect::<Result<Vec<mv5::Order>, Failure>>()?;
    Ok(mv5::QueryOrdersResponse {
        orders,
        pagination: Some(page),
    })
}

fn full_bid(ctx: &mut Context<'_>, bid: mv5::Bid) -> Result<mv5::QueryBidResponse, Failure> {
    let id = bid.id.clone().unwrap_or_default();
    Ok(mv5::QueryBidResponse {
        bid: Some(bid),
        escrow_account: Some(escrow::record(ctx, &keys::bid_account(&id))?),
    })
}

fn bids(ctx: &mut Context<'_>, q: mv5::QueryBidsRequest) -> Result<mv5::QueryBidsResponse, Failure> {
    let f = q.filters.unwrap_or_default();
    check_filter(
        &f.state,
        &["open", "active", "lost", "closed"],
        q.pagination.as_ref(),
    )?;
    // The index by provider holds open and active bids only (spec/chain.md A.4).
    let only_live = f.owner.is_empty() && !f.provider.is_empty();
    let mut all: Vec<mv5::Bid> = ctx.list(b"bid/")?;
    all.retain(|b| {
        let id = b.id.clone().unwrap_or_default();
        let live = matches!(b.state(), mv5::bid::State::Open | mv5::bid::State::Active);
        (live || !only_live)
            && order_fits(&order_of(&id), &f.owner, f.dseq, f.gseq, f.oseq)
            && text_fits(&f.provider, &id.provider)
            && text_fits(&f.state, b.state().as_str_name())
    });
    all.sort_by_key(|b| b.state);
    let (some, page) = cut(all, q.pagination);
    let mut out = Vec::new();
    for bid in some {
        out.push(full_bid(ctx, bid)?);
    }
    Ok(mv5::QueryBidsResponse {
        bids: out,
        pagination: Some(page),
    })
}

fn full_lease(ctx: &mut Context<'_>, lease: mv1::Lease) -> Result<mv5::QueryLeaseResponse, Failure> {
    let id = keys::bid_of_lease(&lease.id.clone().unwrap_or_default());
    Ok(mv5::QueryLeaseResponse {
        lease: Some(lease),
        escrow_payment: Some(payment::record(ctx, &keys::lease_payment(&id))?),
    })
}

fn leases(ctx: &mut Context<'_>, q: mv5::QueryLeasesRequest) -> Result<mv5::QueryLeasesResponse, Failure> {
    let f = q.filters.unwrap_or_default();
    check_filter(
        &f.state,
        &["active", "insufficient_funds", "closed"],
        q.pagination.as_ref(),
    )?;
    let only_live = f.owner.is_empty() && !f.provider.is_empty();
    let mut all: Vec<mv1::Lease> = ctx.list(b"lease/")?;
    all.retain(|l| {
        let id = keys::bid_of_lease(&l.id.clone().unwrap_or_default());
        (l.state() == mv1::lease::State::Active || !only_live)
            && order_fits(&order_of(&id), &f.owner, f.dseq, f.gseq, f.oseq)
            && text_fits(&f.provider, &id.provider)
            && text_fits(&f.state, l.state().as_str_name())
    });
    all.sort_by_key(|l| l.state);
    let (some, page) = cut(all, q.pagination);
    let mut out = Vec::new();
    for lease in some {
        out.push(full_lease(ctx, lease)?);
    }
    Ok(mv5::QueryLeasesResponse {
        leases: out,
        pagination: Some(page),
    })
}
