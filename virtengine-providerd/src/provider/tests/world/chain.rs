//! A chain: orders, bids, leases, escrows, blocks. It behaves as spec/chain.md B.5 and spec/chain-node.md 2.5 say.

use std::collections::BTreeMap;

use virtengine_provider_core::id::{BidId, DeploymentId, Height, LeaseId, OrderId, TxHash};
use virtengine_provider_core::manifest::ValidManifest;
use virtengine_provider_core::market::{
    Bid, BidState, CloseReason, Deployment, Lease, LeaseState, MarketEvent, Order, OrderState,
    SettlementEscrow,
};
use virtengine_provider_core::ports::chain::{
    Block, Message, RejectKind, Rejection, TxOutcome, UsageOnChain,
};
use virtengine_provider_core::time::Timestamp;

use super::super::fixture;

/// A transaction that waits for a block.
#[derive(Debug)]
pub(in super::super) struct Waiting {
    pub hash: TxHash,
    pub messages: Vec<Message>,
    pub from: u64,
    pub timeout: u64,
}

/// The chain.
#[derive(Debug, Default)]
pub(in super::super) struct Chain {
    pub height: u64,
    pub deployments: BTreeMap<DeploymentId, Deployment>,
    pub orders: BTreeMap<OrderId, Order>,
    pub bids: BTreeMap<BidId, Bid>,
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Payment streams that are open.
    pub streams: BTreeMap<LeaseId, u64>,
    pub escrows: BTreeMap<OrderId, SettlementEscrow>,
    pub usage: BTreeMap<String, Vec<UsageOnChain>>,
    pub mempool: Vec<Waiting>,
    pub results: BTreeMap<TxHash, TxOutcome>,
    pub events: Vec<MarketEvent>,
    /// Things that no provider in its right mind does.
    pub sins: Vec<String>,
}

pub(in super::super) fn rejection(kind: RejectKind) -> Rejection {
    Rejection {
        kind,
        codespace: "model".to_owned(),
        code: 1,
        log: format!("{kind:?}"),
    }
}

pub(super) type Ran = Result<String, Rejection>;

impl Chain {
    /// The next block.
    pub(in super::super) fn produce(&mut self, time: Timestamp) -> Block {
        self.height += 1;
        let (height, mut txs) = (self.height, Vec::new());
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.mempool)
            .into_iter()
            .partition(|tx| tx.from <= height);
        self.mempool = waiting.into_iter().filter(|tx| tx.timeout >= height).collect();
        for tx in ready.into_iter().filter(|tx| tx.timeout >= height) {
            txs.push(tx.hash);
            let outcome = self.deliver(&tx.messages);
            self.results.insert(tx.hash, outcome);
        }
        Block {
            height: Height(height),
            time,
            events: std::mem::take(&mut self.events),
            txs,
        }
    }

    fn deliver(&mut self, messages: &[Message]) -> TxOutcome {
        let mut response_ids = Vec::new();
        for message in messages {
            match self.run(message) {
                Ok(id) => response_ids.push(id),
                Err(rejection) => return TxOutcome::Rejected(rejection),
            }
        }
        TxOutcome::Landed {
            height: Height(self.height),
            gas_used: 1,
            response_ids,
        }
    }

    /// Whether a message would be refused now.
    pub(in super::super) fn simulate(&self, messages: &[Message]) -> Result<(), Rejection> {
        let stale = Err(rejection(RejectKind::StateChanged));
        for message in messages {
            match message {
                Message::CreateBid { id, .. } if self.bids.contains_key(id) => {
                    return Err(rejection(RejectKind::AlreadyDone));
                }
                Message::CreateBid { id, .. } if self.open_order(&id.order).is_none() => return stale,
                Message::CloseBid { id, .. } => match self.bids.get(id).map(|bid| bid.state) {
                    Some(BidState::Open | BidState::Active) => {}
                    _ => return stale,
                },
                Message::WithdrawLease { id } if !self.streams.contains_key(id) => return stale,
                _ => {}
            }
        }
        Ok(())
    }

    fn open_order(&self, id: &OrderId) -> Option<&Order> {
        self.orders
            .get(id)
            .filter(|order| order.state == OrderState::Open)
    }

    fn run(&mut self, message: &Message) -> Ran {
        if matches!(message, Message::CreateBid { id, .. } if self.bids.contains_key(id)) {
            self.sins.push(format!("a second bid: {message:?}"));
        }
        self.simulate(core::slice::from_ref(message))?;
        let height = Height(self.height);
        match message {
            Message::CreateBid { id, price, .. } => {
                let bid = Bid {
                    id: id.clone(),
                    state: BidState::Open,
                    price: price.clone(),
                    created_at: height,
                };
                self.bids.insert(id.clone(), bid);
                self.events.push(MarketEvent::BidCreated {
                    id: id.clone(),
                    price: price.clone(),
                });
                Ok(String::new())
            }
            Message::CloseBid { id, reason } => {
                if self
                    .leases
                    .get(id)
                    .is_some_and(|lease| lease.state == LeaseState::Active)
                {
                    self.close_lease(id, *reason);
                } else {
                    self.close_bid(id);
                }
                Ok(String::new())
            }
            Message::WithdrawLease { id } => {
                let since = self.streams.insert(id.clone(), height.0);
                if since == Some(height.0) {
                    self.sins.push(format!("{id} withdrawn twice in one block"));
                }
                Ok(String::new())
            }
            _ => self.run_settlement(message),
        }
    }

    pub(in super::super) fn close_bid(&mut self, id: &BidId) {
        if let Some(bid) = self.bids.get_mut(id) {
            bid.state = BidState::Closed;
            self.events.push(MarketEvent::BidClosed { id: id.clone() });
        }
    }

    /// Whoever closes: the lease, its bid and its order end. In the block of its beginning its stream stays open.
    pub(in super::super) fn close_lease(&mut self, id: &LeaseId, reason: CloseReason) {
        let height = Height(self.height + u64::from(self.events.is_empty()));
        let Some(lease) = self.leases.get_mut(id).filter(|l| l.state == LeaseState::Active) else {
            return;
        };
        (lease.state, lease.closed_on) = (LeaseState::Closed, height);
        let began = MarketEvent::LeaseCreated {
            id: id.clone(),
            price: lease.price.clone(),
        };
        if !self.events.contains(&began) {
            self.streams.remove(id);
        }
        if let Some(order) = self.orders.get_mut(&id.order) {
            order.state = OrderState::Closed;
        }
        self.close_bid(id);
        let (id, order) = (id.clone(), id.order.clone());
        self.events.push(MarketEvent::LeaseClosed { id, reason });
        self.events.push(MarketEvent::OrderClosed { id: order });
    }

    pub(in super::super) fn create_deployment(
        &mut self,
        id: &OrderId,
        manifest: &ValidManifest,
        escrow: bool,
    ) {
        let order = fixture::order(id.clone(), manifest, self.height + 1);
        let deployment = fixture::deployment(&id.group, manifest);
        self.events.push(MarketEvent::DeploymentCreated {
            id: deployment.id.clone(),
            manifest_hash: deployment.manifest_hash,
        });
        self.events.push(MarketEvent::OrderCreated { id: id.clone() });
        self.deployments.insert(deployment.id.clone(), deployment);
        self.orders.insert(id.clone(), order);
        if escrow {
            let number = self.escrows.len();
            self.escrows.insert(
                id.clone(),
                SettlementEscrow {
                    id: format!("escrow-{number}"),
                    order_id: id.to_string(),
                    lease_id: String::new(),
                    recipient: None,
                    state: "pending".to_owned(),
                    balance: vec!["1000000000uve".parse().unwrap()],
                    expires_at: i64::MAX,
                },
            );
        }
    }

    /// The tenant takes a bid. The first loser gets its deposit back without an event, the others stay open.
    pub(in super::super) fn create_lease(&mut self, id: &BidId) {
        let Some(order) = self
            .orders
            .get_mut(&id.order)
            .filter(|o| o.state == OrderState::Open)
        else {
            return;
        };
        let Some(bid) = self.bids.get_mut(id).filter(|bid| bid.state == BidState::Open) else {
            return;
        };
        order.state = OrderState::Active;
        bid.state = BidState::Active;
        let price = bid.price.clone();
        let mut lease = fixture::lease(id, self.height + 1);
        lease.price = price.clone();
        self.leases.insert(id.clone(), lease);
        self.streams.insert(id.clone(), self.height);
        let id = id.clone();
        self.events.push(MarketEvent::LeaseCreated { id, price });
    }

    /// Leases end; orders that are open stay open, and nothing tells.
    pub(in super::super) fn close_deployment(&mut self, id: &DeploymentId) {
        let Some(deployment) = self.deployments.get_mut(id).filter(|d| d.active) else {
            return;
        };
        deployment.active = false;
        let leases = self.leases.keys().filter(|lease| lease.deployment() == id);
        for lease in leases.cloned().collect::<Vec<_>>() {
            self.close_lease(&lease, CloseReason::Owner);
            self.streams.remove(&lease);
        }
        self.streams.retain(|lease, _| lease.deployment() != id);
        self.events.push(MarketEvent::DeploymentClosed { id: id.clone() });
    }
}
