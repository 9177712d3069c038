//! The level-triggered loop: what the chain says by itself, compared with what we believe. It repairs what events did not tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::id::{Address, OrderId};
use virtengine_provider_core::market::{Deployment, Lease};
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery};

use super::desk::{DeskHandle, NotTaken};
use crate::provider::{Comparison, Fact, Provider};

/// Unknown leases that one comparison brings in at most, so that its consequences fit into one commit of the journal.
const LEASES_PER_COMPARISON: usize = 1000;

/// Compares every `interval` until `stop`.
pub(super) async fn run(
    chain: Arc<dyn ChainQuery>,
    desk: DeskHandle,
    provider: Address,
    interval: Duration,
    at_once: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        let round = async {
            let comparison = look(&*chain, &desk, &provider).await?;
            hand_in(comparison, &desk).await
        };
        tokio::select! {
            outcome = round => match outcome {
                Ok(()) => {}
                Err(Failed::Desk(NotTaken::Stopping(_))) => return,
                Err(error) => tracing::warn!(%error, "the chain could not be compared; nothing is concluded from that"),
            },
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = at_once.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Desk(#[from] NotTaken),
}

impl From<super::desk::Stopping> for Failed {
    fn from(stopping: super::desk::Stopping) -> Self {
        Self::Desk(stopping.into())
    }
}

/// One commit takes only so many new orders, and a picture is expensive: what is left in it is handed in again.
async fn hand_in(comparison: Comparison, desk: &DeskHandle) -> Result<(), Failed> {
    let open = comparison.open_orders.iter().map(|order| order.id.clone());
    let open: Arc<[OrderId]> = open.collect();
    let mut left = open.len();
    loop {
        desk.tell(Fact::Compared(Box::new(comparison.clone()))).await?;
        let open = Arc::clone(&open);
        let unknown = desk.ask(move |provider| unknown(provider, &open)).await?;
        // Not fewer: the book is full.
        if unknown == 0 || unknown >= left {
            return Ok(());
        }
        left = unknown;
    }
}

fn unknown(provider: &Provider, orders: &[OrderId]) -> usize {
    let book = provider.book();
    let unknown = |order: &&OrderId| book.entry(order).is_none() && book.record(order).is_none();
    orders.iter().filter(unknown).count()
}

/// Asks the chain everything that a comparison needs. One failed question fails it whole: half a picture closes leases.
async fn look(chain: &dyn ChainQuery, desk: &DeskHandle, provider: &Address) -> Result<Comparison, Failed> {
    // What we believe is read first: what comes to be while we ask is then missing here, not there.
    let (believed_bids, believed_leases) = desk.ask(|p| (p.live_bids(), p.live_leases())).await?;
    let height = chain.head().await?.height;
    let open_orders = chain.open_orders().await?;
    let bids = chain.bids_of(provider).await?;
    let active = chain.leases_of(provider).await?;
    let mut ended_bids = Vec::new();
    for id in believed_bids
        .into_iter()
        .filter(|id| bids.iter().all(|bid| bid.id != *id))
    {
        match chain.bid(&id).await {
            Ok(bid) => ended_bids.push((id, Some(bid))),
            Err(ChainError::NotFound(_)) => ended_bids.push((id, None)),
            Err(error) => return Err(error.into()),
        }
    }
    let mut ended_leases = Vec::new();
    for id in believed_leases
        .into_iter()
        .filter(|id| active.iter().all(|lease| lease.id != *id))
    {
        // A lease that the chain does not know is no evidence that it ended: an endpoint may lag behind.
        match chain.lease(&id).await {
            Ok(lease) => ended_leases.push(lease),
            Err(ChainError::NotFound(_)) => {
                tracing::warn!(lease = %id, "a lease of ours is not known to this endpoint");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut leases = Vec::with_capacity(active.len());
    for lease in active {
        let known = desk
            .ask({
                let id = lease.id.clone();
                move |p| p.knows_lease(&id)
            })
            .await?;
        if leases.len() >= LEASES_PER_COMPARISON {
            break;
        }
        if !known {
            leases.push(with_deployment(chain, lease).await?);
        }
    }
    Ok(Comparison {
        height,
        open_orders,
        bids,
        ended_bids,
        leases,
        ended_leases,
    })
}

/// A lease with the deployment that it belongs to.
///
/// # Errors
/// The chain does not answer.
pub(super) async fn with_deployment(
    chain: &dyn ChainQuery,
    lease: Lease,
) -> Result<(Lease, Deployment), ChainError> {
    let deployment = chain.deployment(lease.id.deployment()).await?;
    Ok((lease, deployment))
}
