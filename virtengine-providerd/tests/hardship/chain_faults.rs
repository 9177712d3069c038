//! Endpoints that fail in every way. What the daemon serves goes on, what it missed it makes up for, and it says how things are.
//! Names are those of the field-failure suite where one fits.

use std::time::Duration;

use virtengine_devchain::{EventFault, Fault, FaultKind, LostResults};
use virtengine_provider_core::id::{LeaseId, OrderId, WorkloadId};
use virtengine_provider_core::market::BidState;
use virtengine_provider_core::ports::chain::{ChainQuery as _, Message};
use virtengine_providerd::provider::Purpose;

use crate::account::land;
use crate::key::AccountKey;
use crate::pulse::Pulse;
use crate::support::{Life, Set, Stage, coin, shop, until};

/// How long the daemon may take to make up for a fault: an endpoint is given up after a second, and asked again after pauses.
const SOON: Duration = Duration::from_secs(12);
/// How long until the daemon says that something is wrong: a look every 250 ms, and a second for a question without an answer.
const TOLD: Duration = Duration::from_secs(6);
/// Heights whose results are lost from a moment on: all of a test.
const HEIGHTS: u64 = 400;

async fn one(stage: &Stage, dseq: u64) -> OrderId {
    let mut orders = stage.order(&stage.tenant(0), dseq, shop().group_specs()).await;
    orders.remove(0)
}

/// Exactly one bid per order, wanted once by us and on chain once.
async fn assert_one_bid_each(stage: &Stage, orders: &[OrderId]) {
    for order in orders {
        let bids = stage.client.bids_on(order).await.unwrap();
        assert_eq!(bids.len(), 1, "{order}: {bids:?}");
        assert_eq!(stage.sendings(order), 1, "{order}");
    }
}

/// Nothing was given up: the lease is active on chain, its workload runs, was accepted once and is not to be closed.
async fn assert_served(stage: &Stage, life: &Life, lease: &LeaseId) {
    let id = WorkloadId::of_lease(lease);
    assert!(stage.runs(&id), "the workload is gone");
    assert_eq!(stage.closes(), 0, "a lease was to be closed by us");
    assert_eq!(stage.heard.lock().unwrap().accepted.get(&id), Some(&1));
    let (id, asked) = (lease.clone(), lease.clone());
    assert!(
        life.ask(move |provider| provider.live_leases().contains(&id))
            .await
    );
    let on_chain = stage.client.lease(&asked).await.unwrap();
    assert_eq!(
        on_chain.state,
        virtengine_provider_core::market::LeaseState::Active
    );
}

async fn gone(stage: &Stage, lease: &LeaseId, within: Duration) {
    let id = WorkloadId::of_lease(lease);
    until("the workload to be gone", within, || async {
        (!stage.runs(&id)).then_some(())
    })
    .await;
}

/// What the lease held is free again.
async fn freed(life: &Life) {
    until("the capacity to be free", SOON, || async {
        let status = life.operator.status().await.unwrap();
        (status.active_leases == 0 && status.capacity.reserved.cpu_millis == 0).then_some(())
    })
    .await;
}

fn lose_results_from_now(stage: &Stage, how: LostResults) {
    let from = stage.chain.height() + 1;
    for endpoint in &stage.endpoints {
        (from..from + HEIGHTS).for_each(|height| endpoint.faults().lose_results(height, how));
        endpoint.faults().events(EventFault::Silence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_tcp_no_bids() {
    let stage = Stage::set(Set {
        endpoints: 2,
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    let pulse = Pulse::feel(life.daemon.health_address());
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;
    life.chain_is(&["up"], TOLD).await;

    // The first endpoint takes every question and answers none.
    stage.endpoints[0].faults().inject(Fault::new(FaultKind::Hang));
    let order = one(&stage, 1001).await;
    stage.bid_on(&order, SOON).await;
    let words = life.chain_is(&["degraded"], TOLD).await;
    assert!(words.contains("1 of 2"), "{words}");
    let chain = life.operator.status().await.unwrap().chain;
    assert_eq!((chain.endpoints_up, chain.endpoints), (1, 2));

    // Both do: nothing can be done, and that is said.
    stage.endpoints[1].faults().inject(Fault::new(FaultKind::Hang));
    life.chain_is(&["down"], TOLD).await;
    assert_eq!(life.operator.status().await.unwrap().chain.endpoints_up, 0);
    let late = one(&stage, 1002).await;
    stage
        .endpoints
        .iter()
        .for_each(|endpoint| endpoint.faults().clear());
    stage.bid_on(&late, SOON).await;
    life.chain_is(&["up"], SOON).await;
    pulse.assert_steady("half-open");
    assert_served(&stage, &life, &lease).await;
    assert_one_bid_each(&stage, &[order, late]).await;
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rpc_lagging_node() {
    let stage = Stage::set(Set {
        endpoints: 2,
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    // The first endpoint knows nothing from here on, though it answers.
    let stale = stage.chain.height();
    stage.endpoints[0].faults().freeze_at(Some(stale));
    stage.blocks(8).await;
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;
    let words = life.chain_is(&["degraded"], TOLD).await;
    assert!(words.contains("1 of 2"), "{words}");

    // Alone it is not believed: by its word there is neither bid nor lease.
    stage.endpoints[1].faults().down(true);
    let words = life.chain_is(&["down"], TOLD).await;
    assert!(words.contains("behind"), "{words}");
    let order = one(&stage, 1001).await;
    stage.blocks(20).await;
    life.chain_is(&["down"], TOLD).await;
    assert!(life.height().await.0 > stale);
    assert_served(&stage, &life, &lease).await;
    assert_eq!(stage.sendings(&order), 0);

    stage.endpoints[1].faults().down(false);
    stage.bid_on(&order, SOON).await;
    stage.endpoints[0].faults().clear();
    life.chain_is(&["up"], SOON).await;
    assert_served(&stage, &life, &lease).await;
    assert_one_bid_each(&stage, &[lease.order, order]).await;
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn block_results_error_loses_block() {
    for how in [LostResults::Error, LostResults::Empty] {
        let stage = Stage::set(Set::default()).await;
        let life = stage.start().await;
        stage.blocks(2).await;
        lose_results_from_now(&stage, how);
        let mut orders = Vec::new();
        for dseq in 1000..1005 {
            orders.push(one(&stage, dseq).await);
        }
        for order in &orders {
            stage.bid_on(order, SOON).await;
        }
        assert_one_bid_each(&stage, &orders).await;
        stage.endpoints[0].faults().clear();
        life.chain_is(&["up"], SOON).await;
        let head = stage.chain.height();
        until("the lost blocks to be worked through", SOON, || async {
            (life.height().await.0 >= head).then_some(())
        })
        .await;
        assert_one_bid_each(&stage, &orders).await;
        life.stop().await;
        stage.strike().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_that_come_twice_or_swapped_or_never_change_nothing() {
    let stage = Stage::set(Set {
        // Only blocks are followed: a comparison would hide what they miss.
        bid_engine: "max_bids_per_minute: 1000\n  max_bids_per_hour: 10000\n  order_poll_interval: 1h",
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    let mut orders = Vec::new();
    for (dseq, fault) in (1000..).zip([EventFault::Duplicate, EventFault::Swap, EventFault::Silence]) {
        stage.endpoints[0].faults().events(fault);
        stage.blocks(3).await;
        let order = one(&stage, dseq).await;
        stage.bid_on(&order, SOON).await;
        orders.push(order);
    }
    assert_one_bid_each(&stage, &orders).await;
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soft_failed_but_landed() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let provider = stage.provider();
    let denom = "uve".parse().unwrap();
    let before = stage.client.balance(&provider, &denom).await.unwrap().amount;
    // The transaction is taken; nobody hears of it.
    let lost = Fault::new(FaultKind::LoseAnswer).on("broadcast_tx_sync").times(3);
    stage.endpoints[0].faults().inject(lost);
    let order = one(&stage, 1000).await;
    stage.bid_on(&order, SOON).await;
    let asked = order.clone();
    until("the bid to be known as landed", SOON, || async {
        let asked = asked.clone();
        let stage = move |p: &virtengine_providerd::provider::Provider| {
            p.book().entry(&asked).map(|entry| entry.stage.as_str())
        };
        (life.ask(stage).await == Some("open")).then_some(())
    })
    .await;
    stage.blocks(5).await;
    assert_one_bid_each(&stage, std::slice::from_ref(&order)).await;
    let account = stage.client.account(&provider).await.unwrap();
    assert_eq!(
        account.sequence, 1,
        "exactly one transaction of ours was ever taken"
    );
    let after = stage.client.balance(&provider, &denom).await.unwrap().amount;
    let spent = before - after;
    assert!(
        (500_000..520_000).contains(&spent),
        "one deposit and one fee, not {spent}"
    );
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequence_shift_by_outside_send() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let first = one(&stage, 1000).await;
    stage.bid_on(&first, SOON).await;
    // Somebody else spends from our account: the sequence that the daemon expects is used.
    let outside = stage.provider_account();
    let to = AccountKey::numbered(0).address();
    let send = Message::BankSend { to, amount: coin(7) };
    land(&outside, std::slice::from_ref(&send)).await;
    land(&outside, &[send]).await;
    let second = one(&stage, 1001).await;
    stage.bid_on(&second, SOON).await;
    for order in [&first, &second] {
        assert_eq!(stage.client.bids_on(order).await.unwrap().len(), 1);
    }
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_with_rpc_down() {
    let stage = Stage::set(Set {
        endpoints: 2,
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;
    life.stop().await;

    stage
        .endpoints
        .iter()
        .for_each(|endpoint| endpoint.faults().down(true));
    let order = one(&stage, 1001).await;
    let life = stage.start().await;
    let pulse = Pulse::feel(life.daemon.health_address());
    life.chain_is(&["down"], TOLD).await;
    // Tenants are served by what the journal knows.
    let base = format!("http://{}", life.daemon.tenant_address());
    let trust = virtengine_gateway::tenant::Trust::Roots;
    let api = stage.tenant(0).client_of(base, trust, stage.provider()).unwrap();
    let status = api.lease_status(1000, 1, 1).await.unwrap();
    assert_eq!(status.lease, lease);
    assert_served(&stage, &life, &lease).await;

    stage
        .endpoints
        .iter()
        .for_each(|endpoint| endpoint.faults().clear());
    stage.bid_on(&order, SOON).await;
    life.chain_is(&["up"], SOON).await;
    pulse.assert_steady("a start without a chain");
    assert_served(&stage, &life, &lease).await;
    assert_one_bid_each(&stage, &[lease.order, order]).await;
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_any_endpoint_costs_no_order_no_bid_and_no_lease() {
    let stage = Stage::set(Set {
        endpoints: 3,
        ..Set::default()
    })
    .await;
    let life = stage.start().await;
    let pulse = Pulse::feel(life.daemon.health_address());
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;

    // With a bid in the air.
    let mut orders = vec![one(&stage, 1001).await];
    stage
        .endpoints
        .iter()
        .for_each(|endpoint| endpoint.faults().down(true));
    life.chain_is(&["down"], TOLD).await;
    for dseq in 1002..1006 {
        stage.clock.skip(Duration::from_secs(14 * 60));
        orders.push(one(&stage, dseq).await);
        stage.blocks(3).await;
        assert_served(&stage, &life, &lease).await;
    }
    stage.clock.skip(Duration::from_secs(4 * 60));
    stage.blocks(3).await;
    let status = life.operator.status().await.unwrap();
    assert_eq!((status.chain.endpoints_up, status.active_leases), (0, 1));
    life.chain_is(&["down"], TOLD).await;

    stage
        .endpoints
        .iter()
        .for_each(|endpoint| endpoint.faults().clear());
    for order in &orders {
        stage.bid_on(order, SOON).await;
    }
    life.chain_is(&["up"], SOON).await;
    pulse.assert_steady("an hour without a chain");
    assert_served(&stage, &life, &lease).await;
    for order in &orders {
        let bids = stage.client.bids_on(order).await.unwrap();
        assert_eq!(bids.len(), 1, "{order}");
    }
    let bids = |purpose: &&Purpose| matches!(purpose, Purpose::Bid { .. });
    println!(
        "bids wanted: {}",
        stage.heard.lock().unwrap().wanted.iter().filter(bids).count()
    );
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endblock_escrow_close_missed() {
    for how in [LostResults::Error, LostResults::Empty] {
        let stage = Stage::set(Set::default()).await;
        let life = stage.start().await;
        let tenant = stage.tenant(0);
        let lease = stage.serve(&life, &tenant, 1000).await;
        // From here on no event arrives, neither of a transaction nor of a block.
        lose_results_from_now(&stage, how);
        tenant.close_deployment(lease.deployment().clone()).await.unwrap();
        gone(&stage, &lease, SOON).await;
        freed(&life).await;
        assert_eq!(stage.closes(), 0, "it was closed by its tenant");
        life.stop().await;
        stage.strike().await;
    }
}

async fn close_deployment(stage: &Stage, order: &OrderId) {
    let id = order.deployment().clone();
    land(&stage.account(0), &[Message::CloseDeployment { id }]).await;
}

/// The chain goes on listing them as open (spec/chain.md B.5); a bid on one costs a fee and can never become a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_deployments_that_closed_before_the_first_start_get_no_bid() {
    let stage = Stage::set(Set::default()).await;
    let dead = one(&stage, 1000).await;
    close_deployment(&stage, &dead).await;
    let listed = stage.client.open_orders().await.unwrap();
    assert!(listed.iter().any(|order| order.id == dead), "{listed:?}");

    let life = stage.start().await;
    let alive = one(&stage, 1001).await;
    stage.bid_on(&alive, SOON).await;
    // Several comparisons; it is one a second.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(stage.sendings(&dead), 0);
    assert_eq!(stage.client.bids_on(&dead).await.unwrap(), []);
    assert_one_bid_each(&stage, &[alive]).await;
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bid_on_a_deployment_whose_close_was_missed_is_closed_for_its_deposit() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    let order = one(&stage, 1000).await;
    stage.bid_on(&order, SOON).await;
    lose_results_from_now(&stage, LostResults::Empty);
    close_deployment(&stage, &order).await;
    until("the bid to be closed", SOON, || async {
        let bids = stage.client.bids_on(&order).await.unwrap();
        (bids.iter().all(|bid| bid.state == BidState::Closed)).then_some(())
    })
    .await;
    life.stop().await;
    stage.strike().await;
}
