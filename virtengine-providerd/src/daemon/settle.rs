//! Asks the chain about the money of each lease; the desk decides what to send.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery};

use super::build::Shared;
use super::desk::{NotTaken, Stopping};
use crate::provider::{Fact, Provider, Standing};

/// Asks every `interval` until `stop`.
pub(super) async fn run(shared: Arc<Shared>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        let round = async {
            let leases = shared.desk.ask(Provider::leases_to_settle).await?;
            shared.revenue.keep_only(&leases);
            for lease in leases {
                match standing(&shared, &lease).await {
                    Ok(standing) => match shared.desk.tell(Fact::Settlement(Box::new(standing))).await {
                        Err(NotTaken::Stopping(stopping)) => return Err(stopping),
                        Ok(()) | Err(NotTaken::Refused(_)) => {}
                    },
                    Err(error) => {
                        tracing::warn!(%lease, %error, "the money of a lease is not known; asked again");
                    }
                }
            }
            Ok::<(), Stopping>(())
        };
        tokio::select! {
            outcome = round => if outcome.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

async fn standing(shared: &Shared, id: &LeaseId) -> Result<Standing, ChainError> {
    let chain = &shared.chain;
    let as_of = chain.head().await?.height;
    let order = id.order.to_string();
    let payment = chain.lease_payment(id).await?;
    let usage = chain.usage_of(&order).await?;
    if let Some(income) = shared
        .revenue
        .note(id, &payment.withdrawn, &usage, shared.clock.now())
    {
        shared.metrics.earned(&income);
    }
    Ok(Standing {
        as_of,
        lease: chain.lease(id).await?,
        payment_open: payment.open,
        escrows: chain.escrows_of(&order).await?,
        usage,
    })
}
