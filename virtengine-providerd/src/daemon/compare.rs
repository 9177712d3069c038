//! The level-triggered loop: what the chain says by itself, compared with what we believe. It repairs what events did not tell.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use virtengine_bid::book::Stage;
use virtengine_provider_core::id::{Address, DeploymentId, OrderId};
use virtengine_provider_core::market::{Deployment, Lease, Order};
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery};

use super::desk::{DeskHandle, NotTaken};
use crate::provider::{Comparison, Fact, Provider};

/// Unknown leases that one comparison brings in at most, so that its consequences fit into one commit of the journal.
const LEASES_PER_COMPARISON: usize = 1000;
/// Deployments that are asked for at once.
const DEPLOYMENTS_AT_ONCE: usize = 8;

/// Compares every `interval` until `stop`.
pub(super) async fn run(
    chain: Arc<dyn ChainQuery>,
    desk: DeskHandle,
    provider: Address,
    interval: Duration,
    at_once: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut closed = Closed::default();
    loop {
        let round = async {
            let comparison = look(&*chain, &desk, &provider, &mut closed).await?;
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
async fn look(
    chain: &dyn ChainQuery,
    desk: &DeskHandle,
    provider: &Address,
    closed: &mut Closed,
) -> Result<Comparison, Failed> {
    // What we believe is read first: what comes to be while we ask is then missing here, not there.
    let (believed_bids, believed_leases) = desk.ask(|p| (p.live_bids(), p.live_leases())).await?;
    let height = chain.head().await?.height;
    let open_orders = closed.without(chain.open_orders().await?, chain, desk).await?;
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

/// Deployments that are closed while the chain lists orders of theirs as open: it never closes those, and a bid on one can
/// never become a lease (spec/chain.md B.5). What is closed stays closed, so each is asked for once.
#[derive(Debug, Default)]
struct Closed(BTreeSet<DeploymentId>);

impl Closed {
    /// Those of `listed` that can still become leases, as far as it matters: orders that wait to be decided are believed to.
    /// If one of those is bid on, its deployment is asked for by the next comparison, and the bid is closed.
    async fn without(
        &mut self,
        listed: Vec<Order>,
        chain: &dyn ChainQuery,
        desk: &DeskHandle,
    ) -> Result<Vec<Order>, Failed> {
        let (listed, doubtful) = desk
            .ask(move |provider| {
                let doubtful = doubtful(provider, &listed);
                (listed, doubtful)
            })
            .await?;
        let listed_of: BTreeSet<_> = listed.iter().map(|order| order.id.deployment()).collect();
        self.0.retain(|id| listed_of.contains(id));
        let ask = doubtful.into_iter().filter(|id| !self.0.contains(id));
        let asked: Vec<_> = ask
            .map(|id| async move { is_closed(chain, &id).await.map(|is| is.then_some(id)) })
            .collect();
        let mut answers = futures_util::stream::iter(asked).buffer_unordered(DEPLOYMENTS_AT_ONCE);
        // Kept one by one: an endpoint that fails in the middle does not cost the answers before.
        while let Some(answer) = answers.try_next().await? {
            self.0.extend(answer);
        }
        let can_be_leased = |order: &Order| !self.0.contains(order.id.deployment());
        Ok(listed.into_iter().filter(can_be_leased).collect())
    }
}

/// Deployments of orders that we do not know, or that a bid of ours is open on.
fn doubtful(provider: &Provider, listed: &[Order]) -> BTreeSet<DeploymentId> {
    let book = provider.book();
    let is_doubtful = |order: &&Order| match book.entry(&order.id).map(|entry| &entry.stage) {
        None => book.record(&order.id).is_none(),
        Some(stage) => matches!(stage, Stage::Live { .. }),
    };
    let doubtful = listed.iter().filter(is_doubtful);
    doubtful.map(|order| order.id.deployment().clone()).collect()
}

/// A deployment that the chain does not know is no evidence: an endpoint may lag behind. Nor is one that cannot be read.
async fn is_closed(chain: &dyn ChainQuery, id: &DeploymentId) -> Result<bool, ChainError> {
    match chain.deployment(id).await {
        Ok(deployment) => Ok(!deployment.active),
        Err(ChainError::NotFound(_) | ChainError::Malformed(_)) => Ok(false),
        Err(error) => Err(error),
    }
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
