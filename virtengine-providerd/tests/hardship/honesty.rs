//! What is scraped is what happened, and a daemon that cannot work does not look alive.

use std::time::Duration;

use virtengine_adapters::memory::Rates;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::units::Resources;
use virtengine_providerd::provider::Event;

use crate::pulse::get;
use crate::support::{CAPACITY, Life, Set, Stage, until};

const SOON: Duration = Duration::from_secs(10);

/// The value of one series, once it is `wanted`.
async fn scraped(life: &Life, series: &str, wanted: u64) {
    let at = life.daemon.health_address();
    until(&format!("{series} to be {wanted}"), SOON, || async {
        let asked = tokio::task::spawn_blocking(move || get(at, "/metrics"));
        let (_, body) = asked.await.unwrap().unwrap();
        let line = body
            .lines()
            .find(|line| line.starts_with(&format!("{series} ")))?;
        let value: u64 = line.rsplit_once(' ')?.1.parse().ok()?;
        (value == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bids_deployments_and_alerts_are_scraped() {
    let stage = Stage::set(Set::default()).await;
    let life = stage.start().await;
    // A tenant that uses all that it ordered is an alert as well.
    stage.backend.set_rates(Rates {
        memory_permille: 100,
        storage_permille: 100,
        ..Rates::default()
    });
    scraped(&life, "virtengine_provider_alerts", 0).await;
    scraped(&life, "virtengine_provider_bids_total", 0).await;
    let lease = stage.serve(&life, &stage.tenant(0), 1000).await;
    scraped(&life, "virtengine_provider_bids_total", 1).await;
    scraped(
        &life,
        "virtengine_provider_bid_calculation_duration_seconds_count",
        1,
    )
    .await;
    scraped(&life, "virtengine_provider_deployment_success_total", 1).await;

    // The back end has less than was promised, and then again enough.
    stage.backend.set_capacity(Resources {
        cpu_millis: 1000,
        ..CAPACITY
    });
    scraped(&life, "virtengine_provider_alerts", 1).await;
    stage.backend.set_capacity(CAPACITY);
    scraped(&life, "virtengine_provider_alerts", 0).await;
    assert!(stage.runs(&WorkloadId::of_lease(&lease)));
    life.stop().await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_lost_a_part_says_so_and_the_next_one_goes_on() {
    let stage = Stage::set(Set::default()).await;
    let life = stage
        .start_heard_by(Box::new(|event, _| {
            let decided = matches!(
                event,
                Event::Bid {
                    happened: virtengine_bid::Event::BidDecided { .. }
                }
            );
            assert!(!decided, "a witness that fails on purpose");
        }))
        .await;
    let shop = crate::support::shop().group_specs();
    let order = stage.order(&stage.tenant(0), 1000, shop).await.remove(0);
    tokio::time::timeout(SOON, life.daemon.fell()).await.unwrap();
    life.stop().await;

    let life = stage.start().await;
    stage.bid_on(&order, SOON).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(100), life.daemon.fell())
            .await
            .is_err()
    );
    life.stop().await;
    stage.strike().await;
}
