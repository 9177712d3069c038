//! Looks at every component and writes down how it is; answers read what is written and never wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use virtengine_chain::ChainClient;
use virtengine_chain::rpc::EndpointHealth;
use virtengine_gateway::api::{CheckOutcome, DoctorCheck, DoctorReport, WorkloadState};
use virtengine_gateway::health::{Component, ComponentStatus, HealthSource as _, Observed};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::Denom;
use virtengine_provider_core::ports::chain::ChainQuery as _;
use virtengine_provider_core::ports::journal::EventQuery;

use super::build::Shared;
use super::views;
use crate::provider::Provider;

/// Longest that one look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Signed to prove that a key answers; no transaction and no record begins like this.
const CHALLENGE: &[u8] = b"virtengine-provider/health/v1\n";

/// Looks every `interval` until `stop`.
pub(super) async fn run(shared: Arc<Shared>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = look(&shared) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(shared: &Shared) {
    let (chain, adapters, keys, journal, ()) = tokio::join!(
        timed(chain(shared)),
        timed(adapters(shared)),
        timed(keys(shared)),
        timed(journal(shared)),
        machines(shared),
    );
    let now = shared.clock.now();
    shared.board.note(Component::Chain, chain, now);
    shared.board.note(Component::Adapters, adapters, now);
    shared.board.note(Component::KeyManager, keys, now);
    shared.board.note(Component::Journal, journal, now);
    let report = shared.board.snapshot().report(now, Duration::from_secs(60));
    shared.metrics.set_status(report.status);
}

async fn timed(look: impl Future<Output = Observed>) -> Observed {
    let begun = Instant::now();
    match tokio::time::timeout(LOOK_MAX, look).await {
        Ok(observed) => observed.took(begun.elapsed()),
        Err(_) => Observed::down(
            format!("no answer within {} s", LOOK_MAX.as_secs()),
            "see the log",
        )
        .took(LOOK_MAX),
    }
}

async fn chain(shared: &Shared) -> Observed {
    let head = match shared.chain.head().await {
        Ok(head) => head,
        Err(error) => return Observed::down(error.to_string(), "check chain.endpoints with `chain ping`"),
    };
    let endpoints = shared.chain.status();
    let fresh = endpoints
        .iter()
        .filter(|endpoint| endpoint.health == EndpointHealth::Fresh)
        .count();
    let processed = shared.desk.ask(Provider::height).await.unwrap_or_default();
    shared.metrics.set_chain_heights(head.height.0, processed.0);
    let words = format!(
        "{} of {} endpoints at height {}, worked through {processed}",
        fresh,
        endpoints.len(),
        head.height
    );
    let age = shared.clock.now().since(head.time);
    let old = age
        > shared
            .config
            .chain
            .block_time
            .saturating_mul(20)
            .max(Duration::from_secs(30));
    if old {
        let words = format!("{words}; the newest block is {} s old", age.as_secs());
        return Observed::degraded(
            words,
            "the chain has stopped, or every endpoint lags behind: add endpoints",
        );
    }
    if head.height.0.saturating_sub(processed.0) > 50 {
        return Observed::degraded(
            words,
            "blocks are worked through as fast as the endpoints give them: wait, or add endpoints",
        );
    }
    if fresh < endpoints.len() {
        return Observed::degraded(words, "look at `chain ping` for the endpoints that do not answer");
    }
    Observed::up(words)
}

async fn adapters(shared: &Shared) -> Observed {
    let name = shared.adapter.capabilities().name.clone();
    match shared.adapter.inventory().await {
        Ok(inventory) => Observed::up(format!("{name} has {} millicores", inventory.capacity.cpu_millis)),
        Err(error) => Observed::down(
            error.to_string(),
            "workloads go on; nothing new is deployed until it answers",
        ),
    }
}

async fn keys(shared: &Shared) -> Observed {
    for (name, key) in [
        ("account", &shared.keys.account),
        ("identity", &shared.keys.identity),
    ] {
        let signed = match key.sign(CHALLENGE).await {
            Ok(signed) => signed,
            Err(error) => {
                return Observed::down(
                    format!("the {name} key does not sign: {error}"),
                    "unlock the key store, see `keys status`",
                );
            }
        };
        if virtengine_keys::algorithm::verify(&key.public_key(), CHALLENGE, &signed).is_err() {
            let words = format!("the {name} key gives wrong signatures");
            return Observed::down(words, "stop the daemon and look at the key store");
        }
    }
    Observed::up("account and identity key sign")
}

async fn journal(shared: &Shared) -> Observed {
    let query = EventQuery {
        limit: 1,
        newest: true,
        ..EventQuery::default()
    };
    match shared.journal.events(&query).await {
        Ok(newest) => {
            let position = newest.last().map_or(0, |(position, _)| position.0);
            Observed::up(format!(
                "{position} events, {} effects under way",
                shared.outbox.len()
            ))
        }
        Err(error) => Observed::down(
            error.to_string(),
            "free space or repair the disk; nothing is decided meanwhile",
        ),
    }
}

/// The machines behind the desk: they are up when the desk answers.
async fn machines(shared: &Shared) {
    let now = shared.clock.now();
    let (adapter, started_at) = (shared.adapter.capabilities().name.clone(), shared.started_at);
    let view = move |provider: &Provider| {
        (
            super::operator::alerts(provider, &adapter, started_at).len(),
            views::bid_engine(provider, now),
            views::usage(provider, true, usize::MAX).len(),
            views::capacity(provider),
            views::workloads(provider, None, "")
                .into_iter()
                .map(|view| view.state)
                .collect::<Vec<_>>(),
            provider.live_leases().len(),
        )
    };
    let Ok(Ok((alerts, engine, pending, capacity, states, leases))) =
        tokio::time::timeout(LOOK_MAX, shared.desk.ask(view)).await
    else {
        let stuck = Observed::down(
            "the desk does not answer",
            "the journal may not be writable: see component journal",
        );
        shared.board.note(Component::BidEngine, stuck.clone(), now);
        shared.board.note(Component::UsageMeter, stuck, now);
        return;
    };
    let words = format!(
        "{} orders pending, {} bids open",
        engine.pending_orders, engine.open_bids
    );
    let bidding = if engine.bidding {
        Observed::up(words)
    } else {
        Observed::degraded(
            format!("no bids are made: {}", engine.reason),
            "see `bid-engine status`",
        )
    };
    shared.board.note(Component::BidEngine, bidding, now);
    shared.board.note(
        Component::UsageMeter,
        Observed::up(format!("{pending} records not settled")),
        now,
    );
    shared.metrics.set_capacity(&capacity);
    shared
        .metrics
        .set_alerts(u64::try_from(alerts).unwrap_or(u64::MAX));
    shared.metrics.set_pending_orders(engine.pending_orders);
    shared.metrics.set_pending_bids(engine.concurrent.used);
    shared.metrics.set_bids_won(engine.won_total);
    shared
        .metrics
        .set_active_leases(u64::try_from(leases).unwrap_or(u64::MAX));
    for state in WorkloadState::ALL {
        let count = states.iter().filter(|seen| **seen == state).count();
        shared
            .metrics
            .set_workloads(state, u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Every component as a check, and what else an operator gets wrong.
pub(super) async fn doctor(shared: &Shared) -> DoctorReport {
    look(shared).await;
    let mut checks: Vec<DoctorCheck> = shared
        .board
        .snapshot()
        .components
        .into_values()
        .map(|health| DoctorCheck {
            name: health.name.to_string(),
            outcome: match health.status {
                ComponentStatus::Up => CheckOutcome::Ok,
                ComponentStatus::Degraded => CheckOutcome::Warning,
                ComponentStatus::Down => CheckOutcome::Failed,
            },
            message: health.message,
            remedy: health.remedy,
        })
        .collect();
    let config = &shared.config.chain;
    checks.extend(account(&shared.chain, &shared.provider, &config.denom).await);
    DoctorReport { checks }
}

/// What the chain says about the account that we provide as.
pub(crate) async fn account(chain: &ChainClient, provider: &Address, denom: &Denom) -> [DoctorCheck; 2] {
    let (registered, funded) = tokio::join!(registered(chain, provider), funded(chain, provider, denom));
    [registered, funded]
}

fn check(name: &str, outcome: CheckOutcome, message: String, remedy: &str) -> DoctorCheck {
    DoctorCheck {
        name: name.to_owned(),
        outcome,
        message,
        remedy: remedy.to_owned(),
    }
}

async fn registered(chain: &ChainClient, provider: &Address) -> DoctorCheck {
    let name = "chain.registered";
    match chain.provider(provider).await {
        Ok(Some(_)) => check(
            name,
            CheckOutcome::Ok,
            format!("{provider} is a registered provider"),
            "",
        ),
        Ok(None) => check(
            name,
            CheckOutcome::Failed,
            format!("{provider} is not a registered provider: the chain refuses its bids"),
            "register it on the chain, or correct provider.address",
        ),
        Err(error) => check(name, CheckOutcome::Skipped, error.to_string(), ""),
    }
}

async fn funded(chain: &ChainClient, provider: &Address, denom: &Denom) -> DoctorCheck {
    let name = "chain.balance";
    match chain.balance(provider, denom).await {
        Ok(coin) if coin.amount == 0 => check(
            name,
            CheckOutcome::Failed,
            format!("the account {provider} has no {denom}: it can pay neither deposits nor fees"),
            &format!("send {denom} to {provider}"),
        ),
        Ok(coin) => check(name, CheckOutcome::Ok, format!("{coin}"), ""),
        Err(error) => check(name, CheckOutcome::Skipped, error.to_string(), ""),
    }
}
