//! Keys of the store. Numbers are big-endian and addresses are their bytes, so that iteration gives the order in which the node
//! lists things: by address bytes, then by number (spec/chain-node.md 2.6).

use crate::state::address;
use crate::wire::{dv1, eid, mv1};

/// A key under construction.
#[derive(Debug, Clone)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn table(name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(b'/');
        Self(bytes)
    }

    /// Appends an address: its length and its bytes. A text that is no address keeps its own bytes behind a length that no
    /// address has, so it names nothing that exists.
    pub(crate) fn address(mut self, text: &str) -> Self {
        match address::bytes(text) {
            Some(bytes) => {
                self.0.push(u8::try_from(bytes.len()).unwrap_or(255));
                self.0.extend(bytes);
            }
            None => {
                self.0.push(0);
                self.0.extend(text.as_bytes());
                self.0.push(b'/');
            }
        }
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn number64(self, n: u64) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(crate) fn number32(self, n: u32) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn deployment(id: &dv1::DeploymentId) -> Vec<u8> {
    Key::table("deployment")
        .address(&id.owner)
        .number64(id.dseq)
        .bytes()
}

pub(crate) fn groups(id: &dv1::DeploymentId) -> Vec<u8> {
    Key::table("group").address(&id.owner).number64(id.dseq).bytes()
}

pub(crate) fn group(id: &dv1::GroupId) -> Vec<u8> {
    Key::table("group")
        .address(&id.owner)
        .number64(id.dseq)
        .number32(id.gseq)
        .bytes()
}

pub(crate) fn orders_of_group(id: &dv1::GroupId) -> Vec<u8> {
    Key::table("order")
        .address(&id.owner)
        .number64(id.dseq)
        .number32(id.gseq)
        .bytes()
}

pub(crate) fn order(id: &mv1::OrderId) -> Vec<u8> {
    Key::table("order")
        .address(&id.owner)
        .number64(id.dseq)
        .number32(id.gseq)
        .number32(id.oseq)
        .bytes()
}

fn in_order(table: &str, id: &mv1::OrderId) -> Key {
    Key::table(table)
        .address(&id.owner)
        .number64(id.dseq)
        .number32(id.gseq)
        .number32(id.oseq)
}

pub(crate) fn bids_of_order(id: &mv1::OrderId) -> Vec<u8> {
    in_order("bid", id).bytes()
}

pub(crate) fn bid(id: &mv1::BidId) -> Vec<u8> {
    in_order("bid", &order_of(id)).address(&id.provider).bytes()
}

pub(crate) fn lease(id: &mv1::BidId) -> Vec<u8> {
    in_order("lease", &order_of(id)).address(&id.provider).bytes()
}

pub(crate) fn scope_name(scope: i32) -> &'static str {
    eid::Scope::try_from(scope).map_or("invalid", |s| s.as_str_name())
}

pub(crate) fn account(id: &eid::Account) -> Vec<u8> {
    format!("account/{}/{}", scope_name(id.scope), id.xid).into_bytes()
}

pub(crate) fn payments(id: &eid::Account) -> Vec<u8> {
    format!("payment/{}/{}/", scope_name(id.scope), id.xid).into_bytes()
}

pub(crate) fn payment(id: &eid::Payment) -> Vec<u8> {
    let mut key = payments(&id.aid.clone().unwrap_or_default());
    key.extend(id.xid.as_bytes());
    key
}

/// A key of text parts: settlement records and the like.
pub(crate) fn named(table: &str, name: &str) -> Vec<u8> {
    format!("{table}/{name}").into_bytes()
}

pub(crate) fn order_of(bid: &mv1::BidId) -> mv1::OrderId {
    mv1::OrderId {
        owner: bid.owner.clone(),
        dseq: bid.dseq,
        gseq: bid.gseq,
        oseq: bid.oseq,
    }
}

pub(crate) fn group_of(order: &mv1::OrderId) -> dv1::GroupId {
    dv1::GroupId {
        owner: order.owner.clone(),
        dseq: order.dseq,
        gseq: order.gseq,
    }
}

pub(crate) fn bid_of_lease(id: &mv1::LeaseId) -> mv1::BidId {
    mv1::BidId {
        owner: id.owner.clone(),
        dseq: id.dseq,
        gseq: id.gseq,
        oseq: id.oseq,
        provider: id.provider.clone(),
        bseq: id.bseq,
    }
}

pub(crate) fn lease_of_bid(id: &mv1::BidId) -> mv1::LeaseId {
    mv1::LeaseId {
        owner: id.owner.clone(),
        dseq: id.dseq,
        gseq: id.gseq,
        oseq: id.oseq,
        provider: id.provider.clone(),
        bseq: id.bseq,
    }
}

pub(crate) fn deployment_account(owner: &str, dseq: u64) -> eid::Account {
    eid::Account {
        scope: eid::Scope::Deployment.into(),
        xid: format!("{owner}/{dseq}"),
    }
}

pub(crate) fn bid_account(id: &mv1::BidId) -> eid::Account {
    eid::Account {
        scope: eid::Scope::Bid.into(),
        xid: format!("{}/{}/{}/{}/{}", id.owner, id.dseq, id.gseq, id.oseq, id.provider),
    }
}

pub(crate) fn lease_payment(id: &mv1::BidId) -> eid::Payment {
    eid::Payment {
        aid: Some(deployment_account(&id.owner, id.dseq)),
        xid: format!("{}/{}/{}", id.gseq, id.oseq, id.provider),
    }
}
