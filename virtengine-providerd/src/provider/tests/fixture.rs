//! A small provider, its tenants, and what they order.

use std::time::Duration;

use virtengine_bid::Policy;
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::window::Windows;
use virtengine_metering::{meter, settlement};
use virtengine_provider_core::id::{Address, GroupId, Height, LeaseId, OrderId, TxHash};
use virtengine_provider_core::lifecycle::Deadlines;
use virtengine_provider_core::manifest::{self, ValidManifest};
use virtengine_provider_core::market::{Deployment, GroupSpec, Lease, LeaseState, Order, OrderState};
use virtengine_provider_core::money::{Decimal, Denom, Price};
use virtengine_provider_core::ports::adapter::Inventory;
use virtengine_provider_core::ports::chain::{SignedTx, TxOutcome};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

use crate::provider::{Decision, Effect, Fact, Provider, Purpose, Retries, Settings};

pub(crate) const START: i64 = 1_700_006_400_000;

pub(crate) fn tenant() -> Address {
    "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f".parse().unwrap()
}

pub(crate) fn us() -> Address {
    "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq".parse().unwrap()
}

/// Another provider.
pub(crate) fn rival() -> Address {
    Address::from_bytes("ve", &[7; 20]).unwrap()
}

pub(crate) fn uve() -> Denom {
    "uve".parse().unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    Price::new(uve(), text.parse::<Decimal>().unwrap())
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START + seconds * 1000)
}

pub(crate) fn cores(cores: u64) -> Resources {
    Resources {
        cpu_millis: cores * 1000,
        memory_bytes: cores * GIB,
        storage_bytes: cores * 10 * GIB,
        gpus: 0,
    }
}

pub(crate) fn settings(capacity: Resources, identity: PublicKey) -> Settings {
    let decimal = |text: &str| text.parse::<Decimal>().unwrap();
    let prices = PriceTable {
        cpu_price_per_core: decimal("0.001"),
        memory_price_per_gb: decimal("0.0005"),
        storage_price_per_gb: decimal("0.0001"),
        gpu_price_per_hour: decimal("0.05"),
        network_price_per_gb: Decimal::ZERO,
        min_bid_price: decimal("0.0001"),
        bid_markup_percent: decimal("10.0"),
        currency: "VIRT".to_owned(),
        per: Period::Hour,
    };
    let denomination = Denomination {
        denom: uve(),
        display: "VIRT".to_owned(),
        exponent: 6,
    };
    let rates = PricingInputs::from_table(&prices, &denomination).unwrap();
    let block_time = BlockTime::from_millis(6000).unwrap();
    let deposit = "500000uve".parse().unwrap();
    let mut policy = Policy::new(us(), prices, denomination, block_time, deposit);
    policy.order_time_to_live = Duration::from_secs(1200);
    policy.bid_time_to_live = Duration::from_secs(400);
    let mut deadlines = Deadlines::default();
    deadlines.deploying = Duration::from_secs(120);
    deadlines.stopping = Duration::from_secs(60);
    deadlines.pausing = Duration::from_secs(60);
    deadlines.grace = Duration::from_secs(20);
    let mut paid = settlement::Policy::new(settlement::SettlementMode::Both, us());
    (paid.withdraw_blocks, paid.withdraw_min, paid.settle_min) = (10, 1, 1);
    Settings {
        provider: us(),
        identity,
        chain_id: "virtengine-1".to_owned(),
        policy,
        ceiling: capacity,
        kept_back: Resources::ZERO,
        manifest_timeout: Duration::from_secs(120),
        deadlines,
        retries: Retries::default(),
        metering: meter::Policy::new(Windows::new(Duration::from_secs(60)).unwrap()),
        rates,
        provider_label: String::new(),
        settlement: paid,
    }
}

/// A key that nobody signs with.
pub(crate) fn no_key() -> PublicKey {
    PublicKey {
        algorithm: Algorithm::Ed25519,
        bytes: vec![1; 32],
    }
}

pub(crate) fn inventory(capacity: Resources) -> Inventory {
    Inventory {
        capacity,
        foreign_use: Resources::ZERO,
    }
}

/// A provider with ten cores that its back ends have confirmed.
pub(crate) fn provider() -> Provider {
    let mut provider = Provider::new(settings(cores(10), no_key())).unwrap();
    provider
        .decide(Fact::Inventory(inventory(cores(10))), at(0))
        .unwrap();
    provider
}

pub(crate) fn manifest(cores: u64, image: &str) -> ValidManifest {
    let text = format!(
        "version: v1\nname: web\nservices:\n  - name: api\n    type: container\n    image: {image}\n    tag: \"1\"\n    \
         resources: {{cpu: {cores}000, memory: {cores}Gi, storage: 1Gi}}\n    replicas: 1\n"
    );
    manifest::read(text.as_bytes()).unwrap()
}

pub(crate) fn order_id(dseq: u64) -> OrderId {
    OrderId::new(tenant(), dseq, 1, 1)
}

pub(crate) fn lease_id(dseq: u64) -> LeaseId {
    LeaseId::new(order_id(dseq), us())
}

pub(crate) fn spec_of(manifest: &ValidManifest) -> GroupSpec {
    let mut spec = manifest.groups()[0].spec();
    for unit in &mut spec.resources {
        unit.price = price("1000");
    }
    spec
}

pub(crate) fn order(id: OrderId, manifest: &ValidManifest, height: u64) -> Order {
    Order {
        id,
        state: OrderState::Open,
        spec: spec_of(manifest),
        created_at: Height(height),
    }
}

pub(crate) fn deployment(group: &GroupId, manifest: &ValidManifest) -> Deployment {
    Deployment {
        id: group.deployment.clone(),
        active: true,
        manifest_hash: manifest.hash(),
        groups: vec![(group.clone(), spec_of(manifest))],
    }
}

pub(crate) fn lease(id: &LeaseId, height: u64) -> Lease {
    Lease {
        id: id.clone(),
        state: LeaseState::Active,
        price: price("3"),
        created_at: Height(height),
        closed_on: Height(0),
    }
}

pub(crate) fn landed(height: u64) -> TxOutcome {
    TxOutcome::Landed {
        height: Height(height),
        gas_used: 1,
        response_ids: Vec::new(),
    }
}

pub(crate) fn signed(raw: &[u8], sequence: u64, timeout_height: u64) -> SignedTx {
    SignedTx {
        hash: TxHash::of(raw),
        sequence,
        timeout_height: Height(timeout_height),
        fee: "5000uve".parse().unwrap(),
        tx_raw: raw.to_vec(),
    }
}

/// The transactions that a decision wants.
pub(crate) fn txs(decision: &Decision) -> Vec<(String, Purpose)> {
    let tx = |planned: &crate::provider::Planned| match &planned.effect {
        Effect::SendTx { purpose, .. } => Some((planned.id.clone(), purpose.clone())),
        _ => None,
    };
    decision.effects.iter().filter_map(tx).collect()
}

/// The adapter calls that a decision wants: id, name, moment.
pub(crate) fn calls(decision: &Decision) -> Vec<(String, &'static str, Timestamp)> {
    let call = |planned: &crate::provider::Planned| match &planned.effect {
        Effect::Infrastructure { operation, .. } => {
            Some((planned.id.clone(), operation.name(), planned.not_before))
        }
        _ => None,
    };
    decision.effects.iter().filter_map(call).collect()
}
