//! From a record to what the chain charges.

use proptest::prelude::*;
use virtengine_metering::charge::{ChargeKind, charges};
use virtengine_metering::metrics::{METRIC_MAX, Metrics};
use virtengine_metering::pricing::{PricingInputs, RATE_MAX};
use virtengine_metering::record::UsageRecord;
use virtengine_provider_core::money::{DECIMAL_ONE, Decimal, mul_div};
use virtengine_provider_core::pricing::{Denomination, Period, PriceTable};

use crate::support::{pricing, signed_hours};

fn record(metrics: Metrics, pricing: PricingInputs) -> UsageRecord {
    UsageRecord {
        metrics,
        pricing,
        ..signed_hours(2)[1].signed.record.clone()
    }
}

/// What the chain charges: floor(unit_price × units), 18 decimals.
fn on_chain(units: u64, price: Decimal) -> u128 {
    mul_div(price.scaled(), units.into(), DECIMAL_ONE).unwrap().0
}

#[test]
fn one_record_becomes_five_messages() {
    let metrics = Metrics {
        cpu_milli_seconds: 3_600_000,
        memory_byte_seconds: 3600 << 30,
        storage_byte_seconds: 7200 << 30,
        network_bytes_in: 1 << 30,
        network_bytes_out: 1 << 30,
        gpu_seconds: 1800,
    };
    let charges = charges(&record(metrics, pricing())).unwrap();
    let seen: Vec<_> = charges.iter().map(|c| (c.kind.name(), c.units, c.cost)).collect();
    assert_eq!(
        seen,
        [
            ("cpu", 3_600_000, 1000),
            ("memory", 3600 << 20, 500),
            ("storage", 7200 << 20, 200),
            ("network", 2 << 30, 140),
            ("gpu", 1800, 25_000),
        ]
    );
    for charge in &charges {
        assert_eq!(on_chain(charge.units, charge.unit_price.amount), charge.cost);
    }
}

#[test]
fn half_a_core_hour_is_not_lost() {
    let metrics = Metrics {
        cpu_milli_seconds: 1_800_001,
        ..Metrics::ZERO
    };
    let charges = charges(&record(metrics, pricing())).unwrap();
    assert_eq!((charges.len(), charges[0].cost), (1, 500));
}

#[test]
fn what_costs_nothing_is_not_sent() {
    let free = PricingInputs::free("uve".parse().unwrap());
    let metrics = Metrics {
        cpu_milli_seconds: 3_600_000,
        ..Metrics::ZERO
    };
    assert_eq!(charges(&record(metrics, free)).unwrap(), []);
    let little = Metrics {
        cpu_milli_seconds: 3599,
        ..Metrics::ZERO
    };
    assert_eq!(charges(&record(little, pricing())).unwrap(), []);
}

#[test]
fn rates_follow_from_the_price_table() {
    let denomination = Denomination {
        denom: "uve".parse().unwrap(),
        display: "VIRT".to_owned(),
        exponent: 6,
    };
    let table = PriceTable {
        cpu_price_per_core: "0.72".parse().unwrap(),
        memory_price_per_gb: "0.0005".parse().unwrap(),
        storage_price_per_gb: "0.0001".parse().unwrap(),
        gpu_price_per_hour: "0.05".parse().unwrap(),
        network_price_per_gb: "0.01".parse().unwrap(),
        min_bid_price: Decimal::ZERO,
        bid_markup_percent: "10".parse().unwrap(),
        currency: "VIRT".to_owned(),
        per: Period::Month,
    };
    let inputs = PricingInputs::from_table(&table, &denomination).unwrap();
    // 720,000 uve per month are 1000 per hour, and 10 % more.
    let rates: Vec<_> = inputs.rates().iter().map(|(_, rate)| rate.to_string()).collect();
    assert_eq!(rates[0], "1100");
    assert_eq!((rates[3].as_str(), rates[4].as_str()), ("55000", "11000"));
    assert!(
        PricingInputs::from_table(
            &PriceTable {
                currency: "EUR".to_owned(),
                ..table
            },
            &denomination
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn the_chain_charges_the_exact_cost_rounded_down(
        values in METRIC_MAX.map(|max| 0..=max),
        small in any::<bool>(),
        rates in [0..=RATE_MAX.scaled(), 0..=RATE_MAX.scaled(), 0..=DECIMAL_ONE * 5000, 0..=DECIMAL_ONE, 0..=10_u128.pow(9)],
    ) {
        let values = if small { values.map(|v| v % 100_000_000_000) } else { values };
        let [cpu, memory, storage, gpu, network] = rates.map(Decimal::from_scaled);
        let pricing = PricingInputs {
            denom: "uve".parse().unwrap(),
            agreed_cpu_rate: cpu,
            agreed_memory_rate: memory,
            agreed_storage_rate: storage,
            agreed_gpu_rate: gpu,
            agreed_network_rate: network,
        };
        let metrics = Metrics::from_array(values);
        let exact = [
            (ChargeKind::Cpu, metrics.cpu_milli_seconds, cpu, 3_600_000),
            (ChargeKind::Memory, metrics.memory_byte_seconds, memory, 3600 << 30),
            (ChargeKind::Storage, metrics.storage_byte_seconds, storage, 3600 << 30),
            (ChargeKind::Network, metrics.network(), network, 1 << 30),
            (ChargeKind::Gpu, metrics.gpu_seconds, gpu, 3600),
        ];
        let charges = charges(&record(metrics, pricing)).unwrap();
        for (kind, used, rate, per) in exact {
            let (cost, _) = mul_div(used, rate.scaled(), per * DECIMAL_ONE).unwrap();
            let charge = charges.iter().find(|c| c.kind == kind);
            prop_assert_eq!(charge.map_or(0, |c| c.cost), cost, "{:?}", kind);
            if let Some(charge) = charge {
                prop_assert_eq!(on_chain(charge.units, charge.unit_price.amount), cost, "{:?}", charge);
                prop_assert!(charge.units > 0);
            }
        }
    }
}
