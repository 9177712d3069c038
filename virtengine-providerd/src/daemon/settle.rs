//! Asks the chain about the money of each lease; the desk decides what to send.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use virtengine_chain::ChainClient;
use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::ports::chain::{ChainError, ChainQuery};

use super::desk::{DeskHandle, NotTaken, Stopping};
use crate::provider::{Fact, Provider, Standing};

/// Asks every `interval` until `stop`.
pub(super) async fn run(chain: ChainClient, desk: DeskHandle, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        let round = async {
            let leases = desk.ask(Provider::leases_to_settle).await?;
            for lease in leases {
                match standing(&chain, &lease).await {
                    Ok(standing) => match desk.tell(Fact::Settlement(Box::new(standing))).await {
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

async fn standing(chain: &ChainClient, id: &LeaseId) -> Result<Standing, ChainError> {
    let as_of = chain.head().await?.height;
    let order = id.order.to_string();
    Ok(Standing {
        as_of,
        lease: chain.lease(id).await?,
        payment_open: chain.lease_payment(id).await?.open,
        escrows: chain.escrows_of(&order).await?,
        usage: chain.usage_of(&order).await?,
    })
}
