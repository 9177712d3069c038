//! The whole job on one machine: a chain, a provider and tenants, and the complete life of a lease between them. Everything is
//! real but the value of the money: signed transactions in blocks, processes that run, counters that are read, records that are
//! signed and paid.

mod audit;
mod interrupt;
mod narrate;
mod round;
mod summary;
mod world;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use virtengine_devchain::{Devchain, TestAccount};

use crate::cli::DevnetOptions;
use interrupt::Interrupts;
use narrate::Narrator;
use round::{Round, Rounds};
use world::World;

pub use interrupt::Interrupt;

/// Most tenants of a devnet: so many of the chain's test accounts order.
pub const TENANTS_MAX: u32 = 4;

/// Runs the devnet: once, or until it is told to stop. When it ends, its workloads have ended, and its home is gone unless one was
/// named.
///
/// Returns the signal that broke off a round; `None` when everything that was begun came to its end.
///
/// # Errors
/// It cannot start, or a step of a round did not truly happen; the message names the step.
pub async fn run(options: DevnetOptions) -> anyhow::Result<Option<Interrupt>> {
    // From here on a signal ends nothing by itself: one that comes during the start is heard after it.
    let mut interrupts = Interrupts::listen()?;
    let narrator = Arc::new(Narrator::new(&options));
    if options.chain_only {
        chain_only(&options, &narrator, &mut interrupts).await?;
        return Ok(None);
    }
    let world = World::start(&options, &narrator).await?;
    let mut outcome = tokio::select! {
        ended = rounds(&options, &world, &narrator) => ended.map(|()| None),
        interrupt = interrupts.next() => {
            narrator.say("devnet", "broken off: its workloads are ended");
            Ok(Some(interrupt))
        }
    };
    if matches!(outcome, Ok(None)) && !options.once {
        until_stopped(&world, &narrator, &mut interrupts).await;
    }
    let home = world.home().to_owned();
    tokio::select! {
        () = world.stop() => {}
        // Somebody who asks twice does not want to wait.
        interrupt = interrupts.next() => {
            narrator.say("devnet", &format!("left as it is: {} and what runs there", home.display()));
            outcome = Ok(Some(interrupt));
        }
    }
    outcome
}

/// One round of every tenant's every deployment, all at once, and the books of all of them.
async fn rounds(options: &DevnetOptions, world: &World, narrator: &Arc<Narrator>) -> anyhow::Result<()> {
    let before = audit::Before::take(world)
        .await
        .context("step money: the balance before")?;
    let mut running = JoinSet::new();
    let mut number = 0;
    for (index, tenant) in world.tenants().iter().enumerate() {
        for deployment in 0..options.deployments {
            number += 1;
            let round = Round {
                number,
                tenant: tenant.clone(),
                dseq: world.dseq(index, deployment),
                rounds: Arc::new(Rounds::of(world)),
                narrator: Arc::clone(narrator),
            };
            running.spawn(round.run());
        }
    }
    let mut told = Vec::new();
    while let Some(ended) = running.join_next().await {
        told.push(ended.context("a round ended badly")??);
    }
    told.sort_by_key(|round| round.number);
    let audit = audit::Audit::make(world, &before, &told)
        .await
        .context("step money")?;
    summary::show(options, world, &told, &audit)?;
    audit.check()
}

async fn until_stopped(world: &World, narrator: &Narrator, interrupts: &mut Interrupts) {
    narrator.say(
        "devnet",
        &format!("runs on until Ctrl-C; in a second terminal:\n{}", world.hints()),
    );
    interrupts.next().await;
}

/// Only the chain, for a daemon and tenants in other terminals.
async fn chain_only(
    options: &DevnetOptions,
    narrator: &Narrator,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let mut config = virtengine_devchain::Config::every(options.block_time).listen(options.listen);
    if let Some(home) = &options.home {
        config = config.home(home.join("chain"));
    }
    let chain = Devchain::start(config).await?;
    narrator.say(
        "chain",
        &format!("{} at {}", virtengine_devchain::CHAIN_ID, chain.rpc_url()),
    );
    for account in virtengine_devchain::TEST_ACCOUNTS
        .iter()
        .filter(|account| !account.mnemonic.is_empty())
    {
        let TestAccount {
            name,
            address,
            mnemonic,
            ..
        } = account;
        narrator.say(
            "account",
            &format!("{name}: {address}  (public words: {mnemonic})"),
        );
    }
    interrupts.next().await;
    chain.stop().await;
    Ok(())
}
