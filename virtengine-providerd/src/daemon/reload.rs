//! Follows the configuration file (`bid_engine.config_poll_interval`): what decisions rest on takes effect at once, what was
//! opened at the start is said to need a restart. A file that is not valid changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use virtengine_provider_core::money::Coin;

use super::build::Shared;
use super::compile::{self, Pace, Unusable};
use crate::config::{self, Config};

/// Time between two questions for the chain's terms.
const TERMS_RETRY: Duration = Duration::from_secs(5);

/// Looks at the file until `stop`.
pub(super) async fn run(shared: Arc<Shared>, path: PathBuf, pace: Pace, stop: CancellationToken) {
    let mut seen = shared.config.clone();
    // What is wrong with the file is said once, not at every look.
    let mut wrong = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(seen.bid_engine.config_poll_interval) => {}
            () = stop.cancelled() => return,
        }
        let read = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || config::load(&path)).await
        };
        match read {
            Ok(Ok(loaded)) if loaded.config == seen => wrong.clear(),
            Ok(Ok(loaded)) => {
                match take(&shared, &loaded.config, &pace).await {
                    Ok(()) => {
                        tracing::info!(path = %path.display(), "the configuration has changed and is in force");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the changed configuration cannot be used; the old one stays");
                    }
                }
                for section in needs_restart(&seen, &loaded.config) {
                    tracing::warn!(section, "this section takes effect with the next start");
                }
                seen = loaded.config;
            }
            Ok(Err(error)) => {
                let words = error.to_string();
                if words != wrong {
                    tracing::error!(error = %words, "the configuration file is not valid; the old one stays");
                    wrong = words;
                }
            }
            Err(_) => return,
        }
    }
}

/// Asks the chain for its terms for bids until it answers, and puts them in force: the daemon was started without.
pub(super) async fn learn_bid_params(shared: Arc<Shared>, pace: Pace, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TERMS_RETRY) => {}
            () = stop.cancelled() => return,
        }
        let config = shared.in_force().clone();
        let (params, is_current) = shared.bid_params().await;
        if !is_current {
            continue;
        }
        match put_in_force(&shared, config, params, &pace).await {
            Ok(()) => tracing::info!("the chain's terms for bids are known and in force"),
            Err(error) => tracing::error!(%error, "the chain's terms for bids cannot be used"),
        }
        return;
    }
}

/// Puts everything in force that decisions rest on.
async fn take(shared: &Shared, config: &Config, pace: &Pace) -> Result<(), Unusable> {
    // The chain's own terms may have changed as well; its denomination and address are those of the start.
    let mut config = config.clone();
    config.chain = shared.config.chain.clone();
    let (params, _) = shared.bid_params().await;
    put_in_force(shared, config, params, pace).await
}

async fn put_in_force(
    shared: &Shared,
    config: Config,
    params: (Coin, u32),
    pace: &Pace,
) -> Result<(), Unusable> {
    let identity = shared.keys.identity.public_key();
    let settings = compile::settings(&config, shared.provider.clone(), identity, params, pace)?;
    let words = |error: &dyn std::fmt::Display| Unusable::new(error.to_string());
    let taken = shared
        .desk
        .reconfigure(settings)
        .await
        .map_err(|error| words(&error))?;
    taken.map_err(|error| words(&error))?;
    *shared.in_force() = config;
    Ok(())
}

/// Sections that are read once, and differ.
fn needs_restart(before: &Config, after: &Config) -> Vec<&'static str> {
    let differ = [
        ("chain", before.chain != after.chain),
        ("key_manager", before.key_manager != after.key_manager),
        ("adapters", before.adapters != after.adapters),
        ("storage", before.storage != after.storage),
        ("gateway", before.gateway != after.gateway),
        ("logging", before.logging != after.logging),
        (
            "provider.address",
            before.provider.address != after.provider.address,
        ),
        (
            "bid_engine.order_poll_interval",
            before.bid_engine.order_poll_interval != after.bid_engine.order_poll_interval,
        ),
        (
            "settlement.submit_interval",
            before.settlement.submit_interval != after.settlement.submit_interval,
        ),
    ];
    differ
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(section, _)| section)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        config::parse(text.as_bytes(), &|_| None).expect("a valid configuration")
    }

    #[test]
    fn only_what_was_opened_at_the_start_needs_a_restart() {
        let before = config("{}");
        let prices =
            config("pricing: {cpu_price_per_core: \"0.002\"}\nbid_engine: {max_bids_per_minute: 20}");
        assert_eq!(needs_restart(&before, &prices), Vec::<&str>::new());
        let other_chain = config("chain: {chain_id: another-1}\nkey_manager: {key_dir: /somewhere/else}");
        assert_eq!(needs_restart(&before, &other_chain), ["chain", "key_manager"]);
    }
}
