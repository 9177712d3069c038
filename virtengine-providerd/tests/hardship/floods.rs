//! Ten thousand orders at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use virtengine_bid::Book;
use virtengine_bid::book::DECISIONS_KEPT;
use virtengine_provider_core::id::{DeploymentId, OrderId};
use virtengine_provider_core::market::GroupSpec;
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message};
use virtengine_provider_core::time::Timestamp;
use virtengine_providerd::provider::Provider;

use crate::account::{land, landed, submit};
use crate::key::AccountKey;
use crate::pulse::{Pulse, resident_mib};
use crate::support::{Life, Set, Stage, shop, until};

/// Orders of one deployment: one per group.
const GROUPS: u32 = 25;
/// Deployments of one transaction.
const DEPLOYMENTS: usize = 10;
/// What the orders of a flood may cost in memory: journal pages, book, chain and tenants together.
const FLOOD_MIB_MAX: u64 = 400;
/// What may come to it while they are worked off.
const GROWTH_MIB_MAX: u64 = 60;
const MINUTE: Duration = Duration::from_secs(60);
const PER_MINUTE: usize = 10;

/// Of five orders two can be served; the others pay nothing, want another region, or are larger than everything we have.
fn mixed() -> Vec<GroupSpec> {
    let template = shop().group_specs().remove(0);
    let group = |number: u32| {
        let mut group = template.clone();
        group.name = format!("group{number:02}");
        let unit = group.resources.first_mut().unwrap();
        match number % 5 {
            0 | 1 => {}
            2 => unit.price.amount = Decimal::from_scaled(1),
            3 => group.attributes[0].value = "elsewhere".to_owned(),
            _ => {
                unit.cpu_millis = 384_000;
                unit.count = 1000;
            }
        }
        group
    };
    (0..GROUPS).map(group).collect()
}

/// All of them can be served, in time.
fn servable() -> Vec<GroupSpec> {
    let template = shop().group_specs().remove(0);
    let group = |number: u32| GroupSpec {
        name: format!("group{number:02}"),
        ..template.clone()
    };
    (0..GROUPS).map(group).collect()
}

/// What one sender orders, and the orders that come of it.
fn deployments(
    stage: &Stage,
    sender: usize,
    count: usize,
    groups: fn() -> Vec<GroupSpec>,
) -> (Vec<Message>, Vec<OrderId>) {
    let owner = AccountKey::numbered(sender).address();
    let dseqs = 1..=u64::try_from(count).unwrap().div_ceil(GROUPS.into());
    let order = |dseq| (1..=GROUPS).map(move |gseq| (dseq, gseq));
    let orders = dseqs.clone().flat_map(order);
    let orders = orders.map(|(dseq, gseq)| OrderId::new(owner.clone(), dseq, gseq, 1));
    let messages = dseqs.map(|dseq| stage.deployment(&owner, dseq, groups()));
    (messages.collect(), orders.collect())
}

/// Puts `count` open orders on the chain, all senders at once.
async fn flood(stage: &Stage, senders: usize, count: usize) -> Vec<OrderId> {
    let mut all = Vec::new();
    let mut sending = JoinSet::new();
    for sender in 0..senders {
        let (messages, orders) = deployments(stage, sender, count.div_ceil(senders), mixed);
        all.extend(orders);
        let account = stage.account(sender);
        sending.spawn(async move {
            for some in messages.chunks(DEPLOYMENTS) {
                land(&account, some).await;
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    all
}

/// Lets one transaction of each sender come in one block; answers its height.
async fn in_one_block(stage: &Stage, of_each: Vec<Vec<Message>>) -> u64 {
    stage.hold_blocks(true);
    let mut sending = JoinSet::new();
    for (sender, messages) in of_each.into_iter().enumerate() {
        let account = stage.account(sender);
        sending.spawn(async move {
            let tx = submit(&account, &messages).await;
            (account, tx)
        });
    }
    let sent = sending.join_all().await;
    let height = stage.chain.height() + 1;
    stage.hold_blocks(false);
    for (account, tx) in sent {
        assert_eq!(landed(&account, &tx).await.0, height, "not all in one block");
    }
    height
}

async fn worked_through(life: &Life, height: u64) {
    until(
        "the block to be worked through",
        Duration::from_secs(20),
        || async { (life.height().await.0 > height).then_some(()) },
    )
    .await;
}

/// Where each order stands; every one must stand somewhere.
fn census(book: &Book, orders: &[OrderId]) -> BTreeMap<&'static str, usize> {
    let mut census = BTreeMap::new();
    for order in orders {
        let stands = match (book.entry(order), book.record(order)) {
            (Some(entry), _) => entry.stage.as_str(),
            (None, Some(record)) => record.outcome.as_str(),
            (None, None) => "lost",
        };
        *census.entry(stands).or_default() += 1;
    }
    census
}

async fn count(life: &Life, orders: &[OrderId]) -> BTreeMap<&'static str, usize> {
    let orders = orders.to_vec();
    life.ask(move |provider| census(provider.book(), &orders)).await
}

/// Waits until the daemon knows every order.
async fn all_known(life: &Life, orders: &[OrderId], within: Duration) {
    let wanted = u64::try_from(orders.len()).unwrap();
    until("every order to be in the book", within, || async {
        let book = |provider: &Provider| (provider.book().totals().seen, provider.book().tally().fresh);
        let (seen, fresh) = life.ask(book).await;
        (seen >= wanted && fresh == 0).then_some(())
    })
    .await;
}

/// In no minute, wherever it begins, more than the limit.
fn assert_limit(bids: &[(OrderId, Timestamp)]) {
    for window in bids.windows(PER_MINUTE + 1) {
        let (first, last) = (window[0].1, window[PER_MINUTE].1);
        assert!(last.since(first) >= MINUTE, "{window:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_open_orders_are_all_decided_within_the_limits_over_a_restart() {
    let stage = Stage::set(Set {
        tenants: 10,
        speed: 30,
        block: Duration::from_millis(200),
        bid_engine: "max_bids_per_minute: 10\n  max_bids_per_hour: 600\n  order_poll_interval: 5s",
        ..Set::default()
    })
    .await;
    let begun = Instant::now();
    let orders = flood(&stage, 10, 10_000).await;
    assert_eq!(orders.len(), 10_000);
    println!("{:?}: on chain, {} MiB", begun.elapsed(), resident_mib());

    let before = resident_mib();
    let life = stage.start().await;
    let pulse = Pulse::feel(life.daemon.health_address());
    all_known(&life, &orders, Duration::from_secs(30)).await;
    let full = resident_mib();
    println!(
        "{:?}: all known, {before} → {full} MiB: {:?}",
        begun.elapsed(),
        count(&life, &orders).await
    );
    let bids = || stage.heard.lock().unwrap().bids.len();
    until("30 bids", Duration::from_secs(20), || async {
        (bids() >= 30).then_some(())
    })
    .await;
    pulse.assert_steady("before the restart");
    life.stop().await;
    println!("{:?}: stopped at {} bids", begun.elapsed(), bids());

    let life = stage.start().await;
    println!("{:?}: restarted", begun.elapsed());
    let pulse = Pulse::feel(life.daemon.health_address());
    until("60 bids", Duration::from_secs(20), || async {
        (bids() >= 60).then_some(())
    })
    .await;
    let end = resident_mib();
    let census = count(&life, &orders).await;
    println!("{:?}: {end} MiB, {census:?}", begun.elapsed());
    pulse.assert_steady("after the restart");

    assert_eq!(census.get("lost"), None, "{census:?}");
    assert_eq!(census.get("declined"), Some(&6_000), "{census:?}");
    assert_eq!(census.values().sum::<usize>(), orders.len());
    let heard = stage.heard.lock().unwrap().bids.clone();
    assert_limit(&heard);
    let once: std::collections::BTreeSet<_> = heard.iter().map(|(order, _)| order).collect();
    assert_eq!(once.len(), heard.len(), "an order was bid on twice");
    life.stop().await;
    let on_chain = stage.client.bids_of(&stage.provider()).await.unwrap();
    assert!(on_chain.len() <= heard.len(), "{} bids on chain", on_chain.len());
    assert!(
        full.saturating_sub(before) <= FLOOD_MIB_MAX,
        "{before} → {full} MiB"
    );
    assert!(end.saturating_sub(full) <= GROWTH_MIB_MAX, "{full} → {end} MiB");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_block_with_more_orders_than_fit_into_one_commit_is_worked_through() {
    let senders = 42;
    let stage = Stage::set(Set {
        tenants: senders,
        // Results of such a block are long.
        patience_s: 10,
        bid_engine: "max_bids_per_minute: 10\n  order_poll_interval: 5s",
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    until("the first block", Duration::from_secs(5), || async {
        (life.height().await.0 > 0).then_some(())
    })
    .await;
    let pulse = Pulse::feel(life.daemon.health_address());
    let begun = Instant::now();
    let ordered: Vec<_> = (0..senders)
        .map(|sender| deployments(&stage, sender, 250, servable))
        .collect();
    let (messages, orders): (Vec<_>, Vec<_>) = ordered.into_iter().unzip();
    let orders = orders.concat();
    assert_eq!(orders.len(), 10_500);
    let height = in_one_block(&stage, messages).await;
    println!("{:?}: on chain in block {height}", begun.elapsed());
    all_known(&life, &orders, Duration::from_secs(20)).await;
    println!("{:?}: all known", begun.elapsed());
    worked_through(&life, height).await;
    let census = count(&life, &orders).await;
    assert_eq!(census.get("lost"), None, "{census:?}");

    // All of them go away in one block.
    let close = |sender| {
        let owner = AccountKey::numbered(sender).address();
        let id = |dseq| DeploymentId::new(owner.clone(), dseq);
        (1..=10)
            .map(|dseq| Message::CloseDeployment { id: id(dseq) })
            .collect()
    };
    let height = in_one_block(&stage, (0..senders).map(close).collect()).await;
    println!("{:?}: closed in block {height}", begun.elapsed());
    worked_through(&life, height).await;
    println!("{:?}: worked through", begun.elapsed());
    pulse.assert_steady("with a block of 10,500 orders");
    // The chain goes on listing orders of closed deployments as open (spec/chain.md B.5): those whose end is no longer
    // remembered come in anew with each comparison, and no others.
    let forgotten = u64::try_from(orders.len() - DECISIONS_KEPT).unwrap();
    let status = life.operator.bid_engine().await.unwrap();
    assert!(status.pending_orders <= forgotten, "{status:?}");
    life.stop().await;
    stage.strike().await;
}
