//! Follows the chain block by block and hands each to the desk, with the orders and leases that its events only name. The
//! cursor moves with what the desk decides, in one commit: a crash here loses nothing and repeats nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use virtengine_chain::follower::{Follower, FollowerEvent};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::market::{Deployment, Lease, MarketEvent, Order, OrderState};
use virtengine_provider_core::ports::chain::{Block, ChainError, ChainQuery};

use super::compare::with_deployment;
use super::desk::{DeskHandle, NotTaken};
use crate::provider::Fact;

/// Pause before a block whose orders could not be fetched is tried again.
const FETCH_RETRY: Duration = Duration::from_millis(500);

/// Orders that a block may name to be asked for one by one. The picture of a comparison has more of them sooner.
const ORDERS_PER_BLOCK: usize = 500;

/// Follows until `stop`. `compare` is notified when blocks are missing for good, or name more than is asked for here.
pub(super) async fn run(
    mut follower: Follower,
    chain: Arc<dyn ChainQuery>,
    desk: DeskHandle,
    provider: Address,
    compare: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            next = follower.next() => next,
            () = stop.cancelled() => return,
        };
        match next {
            Ok(FollowerEvent::Block(block)) => {
                let many = has_many_orders(&block);
                let taken = tokio::select! {
                    taken = hand_in(block, &*chain, &desk, &provider) => taken,
                    () = stop.cancelled() => return,
                };
                if let Err(NotTaken::Stopping(_)) = taken {
                    return;
                }
                if many {
                    compare.notify_one();
                }
            }
            Ok(FollowerEvent::Gap { from, to }) => {
                tracing::warn!(%from, %to, "no endpoint has these blocks any more; the chain is compared instead");
                compare.notify_one();
            }
            Err(error) => tracing::warn!(%error, "the chain cannot be followed at present"),
        }
    }
}

/// Hands in one block; asks until everything that it names is known.
async fn hand_in(
    block: Block,
    chain: &dyn ChainQuery,
    desk: &DeskHandle,
    us: &Address,
) -> Result<(), NotTaken> {
    loop {
        match complete(&block, chain, us).await {
            Ok((orders, leases)) => {
                return desk
                    .tell(Fact::Block {
                        block,
                        orders,
                        leases,
                    })
                    .await;
            }
            Err(error) => {
                tracing::warn!(height = %block.height, %error, "a block waits for what its events name");
            }
        }
        tokio::time::sleep(FETCH_RETRY).await;
    }
}

fn has_many_orders(block: &Block) -> bool {
    let created = |event: &&MarketEvent| matches!(event, MarketEvent::OrderCreated { .. });
    block.events.iter().filter(created).count() > ORDERS_PER_BLOCK
}

type Named = (Vec<Order>, Vec<(Lease, Deployment)>);

async fn complete(block: &Block, chain: &dyn ChainQuery, us: &Address) -> Result<Named, ChainError> {
    let (mut orders, mut leases) = (Vec::new(), Vec::new());
    let many = has_many_orders(block);
    for event in &block.events {
        match event {
            MarketEvent::OrderCreated { .. } if many => {}
            MarketEvent::OrderCreated { id } => match chain.order(id).await {
                Ok(order) if order.state == OrderState::Open => orders.push(order),
                // Closed or gone by now: later blocks say so.
                Ok(_) | Err(ChainError::NotFound(_)) => {}
                // What a tenant may put on the chain does not hold it up; lists leave such an order out, too.
                Err(error @ ChainError::Malformed(_)) => {
                    tracing::warn!(order = %id, %error, "an order gets no bid: it cannot be read");
                }
                Err(error) => return Err(error),
            },
            MarketEvent::LeaseCreated { id, .. } if id.provider == *us => {
                let lease = chain.lease(id).await?;
                leases.push(with_deployment(chain, lease).await?);
            }
            _ => {}
        }
    }
    Ok((orders, leases))
}
