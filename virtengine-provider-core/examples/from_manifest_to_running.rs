//! Takes a manifest through every pure step between a tenant's text and a running workload. No runtime, no clock, no network.
//!
//! `cargo run -p virtengine-provider-core --example from_manifest_to_running`

use std::error::Error;
use std::time::Duration;

use virtengine_provider_core::capacity::{self, Ledger, ReservationKey, ReservationKind};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::lifecycle::{Command, Deadlines, Decision, Sight, Workload, WorkloadState};
use virtengine_provider_core::manifest::{self, ValidManifest};
use virtengine_provider_core::ports::adapter::Phase;
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable, Rate};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

const MANIFEST: &str = "
version: v2beta1
services:
  web: {image: 'nginx:1.27', expose: [{port: 80, to: [{global: true}]}]}
profiles:
  compute:
    web: {resources: {cpu: {units: 1.0}, memory: {size: 512Mi}, storage: {size: 1Gi}}}
  placement:
    default: {pricing: {web: {denom: uve, amount: 1000}}}
deployment:
  web: {default: {profile: web, count: 3}}
";

fn main() -> Result<(), Box<dyn Error>> {
    // The time is given, never taken.
    let now = Timestamp::from_seconds(1_800_000_000);
    let manifest = checked()?;
    let total = manifest.total()?;
    println!("{} manifest asks for {total:?}", manifest.version());
    println!("the tenant announces {}", hex::encode(manifest.hash()));

    let quote = rate()?.quote(&total)?;
    println!(
        "it costs {} uve per block, {} of it for CPU",
        quote.price, quote.cpu
    );

    let id = WorkloadId::local(&manifest.hash());
    let ledger = reserved(&id, total, now)?;
    println!("reserved; still free: {:?}", ledger.available());

    run(now)
}

/// The manifest; and what its author is told when it is wrong: everything at once, each with its place.
fn checked() -> Result<ValidManifest, Box<dyn Error>> {
    let wrong = MANIFEST.replace("512Mi", "lots").replace("count: 3", "count: 0");
    match manifest::read(wrong.as_bytes()) {
        Ok(_) => return Err("a wrong manifest was accepted".into()),
        Err(problems) => problems.iter().for_each(|problem| println!("refused: {problem}")),
    }
    manifest::read(MANIFEST.as_bytes()).map_err(|problems| format!("{problems:?}").into())
}

/// Prices per hour, compiled to a price per block of six seconds.
fn rate() -> Result<Rate, Box<dyn Error>> {
    let prices = PriceTable {
        cpu_price_per_core: "0.001".parse()?,
        memory_price_per_gb: "0.0005".parse()?,
        storage_price_per_gb: "0.0001".parse()?,
        gpu_price_per_hour: "0.05".parse()?,
        network_price_per_gb: "0".parse()?,
        min_bid_price: "0.0001".parse()?,
        bid_markup_percent: "10".parse()?,
        currency: "VIRT".into(),
        per: Period::Hour,
    };
    let money = Denomination {
        denom: "uve".parse()?,
        display: "VIRT".into(),
        exponent: 6,
    };
    let block_time = BlockTime::from_millis(6000).ok_or("not a block time")?;
    Ok(prices.compile(&money, block_time)?)
}

/// A host of eight cores, of which `total` is taken: what does not fit is refused, and a repetition changes nothing.
fn reserved(id: &WorkloadId, total: Resources, now: Timestamp) -> Result<Ledger, Box<dyn Error>> {
    let host = Resources {
        cpu_millis: 8_000,
        memory_bytes: 16 * GIB,
        storage_bytes: 100 * GIB,
        ..Resources::ZERO
    };
    let mut ledger = Ledger::new(host, Resources::ZERO);
    let take = capacity::Command::Reserve {
        key: ReservationKey::Workload(id.clone()),
        resources: total,
        kind: ReservationKind::Local,
    };
    for event in ledger.decide(&take, now)? {
        ledger.evolve(&event);
    }
    if !ledger.decide(&take, now)?.is_empty() {
        return Err("a repeated reservation changed something".into());
    }
    Ok(ledger)
}

/// The life of the workload, as an adapter would tell it.
fn run(start: Timestamp) -> Result<(), Box<dyn Error>> {
    let deadlines = Deadlines::default();
    let mut workload = Workload::new(start);
    let mut now = start;
    for phase in [None, Some(Phase::Starting), Some(Phase::Running)] {
        now = now.plus(Duration::from_secs(5));
        let command = match phase {
            None => Command::Deploy { live: true },
            Some(phase) => Command::Observed(Sight {
                phase,
                message: String::new(),
                at: now,
            }),
        };
        if let Decision::Denied(reason) = workload.decide(&command, &deadlines, now) {
            return Err(reason.into());
        }
        for event in workload.decide(&command, &deadlines, now).events().to_vec() {
            workload.evolve(&event);
        }
        println!("{command:?} -> {}", workload.state());
    }
    if workload.state() != WorkloadState::Running {
        return Err(format!("ended as {}", workload.state()).into());
    }
    Ok(())
}
