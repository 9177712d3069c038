//! One record on chain: up to five `MsgRecordUsage`, one per kind of resource (DESIGN 19).
//!
//! | type | unit | from |
//! |---|---|---|
//! | `cpu` | core-millisecond | `cpu_milli_seconds` |
//! | `memory` | KiB-second | `memory_byte_seconds` |
//! | `storage` | KiB-second | `storage_byte_seconds` |
//! | `network` | byte | `network_bytes_in + network_bytes_out` |
//! | `gpu` | GPU-second | `gpu_seconds` |
//!
//! The chain charges `floor(units × unit_price)` with 18 decimals. The exact cost of a record's resource is `usage × rate`; what
//! is charged is that, rounded down to whole base units: never more, and less by under one base unit per message. A price per
//! unit often has no end in decimals (an hour has a factor 9); where its rounding down would lose a base unit, the unit price is
//! the next one that does not, i.e. differs from the rate behind the last digit that matters. What costs less than one base unit
//! is not sent.
//!
//! # What is signed
//!
//! Per message (spec/chain.md B.8), with the identity key: the text `virtengine.provider.usage.v1`, a zero byte, and SHA-256
//! over that text and `chain_id, sender, order_id, lease_id, usage_units (8 bytes), usage_type, period_start (8), period_end
//! (8), denom, amount (16 bytes, scaled by 10¹⁸)`, each preceded by its length as in [`crate::record`].

use serde::{Deserialize, Serialize};
use virtengine_provider_core::id::Address;
use virtengine_provider_core::money::{DECIMAL_ONE, Decimal, Price, mul_div};
use virtengine_provider_core::ports::chain::Message;
use virtengine_provider_core::units::{GIB, Overflow};

use crate::bytes::Canonical;
use crate::record::UsageRecord;

/// Names the format, version 1.
pub const CHARGE_DOMAIN: &str = "virtengine.provider.usage.v1";

/// Units of one message stay below this, so that a suitable unit price of 18 decimals always exists.
const UNITS_MAX: u128 = DECIMAL_ONE - 1;

/// What is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeKind {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Storage.
    Storage,
    /// Traffic.
    Network,
    /// GPUs.
    Gpu,
}

impl ChargeKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Storage, Self::Network, Self::Gpu];

    /// The chain's word, known to its billing and its rewards.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Network => "network",
            Self::Gpu => "gpu",
        }
    }

    /// How much of the metric one unit is.
    const fn unit(self) -> u128 {
        match self {
            Self::Memory | Self::Storage => 1024,
            Self::Cpu | Self::Network | Self::Gpu => 1,
        }
    }

    /// How much of the metric the rate is for.
    fn per(self) -> u128 {
        match self {
            Self::Cpu => 3_600_000,
            Self::Memory | Self::Storage => u128::from(GIB).saturating_mul(3600),
            Self::Network => u128::from(GIB),
            Self::Gpu => 3600,
        }
    }

    fn used(self, record: &UsageRecord) -> (u128, Decimal) {
        let (metrics, pricing) = (&record.metrics, &record.pricing);
        match self {
            Self::Cpu => (metrics.cpu_milli_seconds, pricing.agreed_cpu_rate),
            Self::Memory => (metrics.memory_byte_seconds, pricing.agreed_memory_rate),
            Self::Storage => (metrics.storage_byte_seconds, pricing.agreed_storage_rate),
            Self::Network => (metrics.network(), pricing.agreed_network_rate),
            Self::Gpu => (metrics.gpu_seconds, pricing.agreed_gpu_rate),
        }
    }
}

/// One `MsgRecordUsage` without its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// What for.
    pub kind: ChargeKind,
    /// Order id as text.
    pub order_id: String,
    /// Lease id as text.
    pub lease_id: String,
    /// How many units, above 0.
    pub units: u64,
    /// Price of one unit.
    pub unit_price: Price,
    /// Unix seconds.
    pub period_start: i64,
    /// Unix seconds.
    pub period_end: i64,
    /// What the chain will charge, in whole base units.
    #[serde(with = "crate::metrics::text")]
    pub cost: u128,
}

impl Charge {
    /// What the identity key signs; `sender` is the account that sends the message.
    #[must_use]
    pub fn signing_bytes(&self, chain_id: &str, sender: &Address) -> Vec<u8> {
        let digest = Canonical::new(CHARGE_DOMAIN)
            .text(chain_id)
            .text(sender.as_str())
            .text(&self.order_id)
            .text(&self.lease_id)
            .u64(self.units)
            .text(self.kind.name())
            .i64(self.period_start)
            .i64(self.period_end)
            .text(self.unit_price.denom.as_str())
            .u128(self.unit_price.amount.scaled())
            .digest();
        crate::bytes::to_sign(CHARGE_DOMAIN, &digest)
    }

    /// The message.
    #[must_use]
    pub fn message(&self, signature: Vec<u8>) -> Message {
        Message::RecordUsage {
            order_id: self.order_id.clone(),
            lease_id: self.lease_id.clone(),
            usage_units: self.units,
            usage_type: self.kind.name().to_owned(),
            period_start: self.period_start,
            period_end: self.period_end,
            unit_price: self.unit_price.clone(),
            signature,
        }
    }
}

/// What a record costs; empty for local workloads, free resources, and windows without a whole second.
///
/// # Errors
/// [`Overflow`] for a record or rates beyond [`crate::metrics::METRIC_MAX`] and [`crate::pricing::RATE_MAX`].
pub fn charges(record: &UsageRecord) -> Result<Vec<Charge>, Overflow> {
    let (period_start, period_end) = (record.start.as_seconds(), record.end.as_seconds());
    let Some(lease) = &record.subject.lease else {
        return Ok(Vec::new());
    };
    if period_end <= period_start {
        return Ok(Vec::new());
    }
    let mut charges = Vec::new();
    for kind in ChargeKind::ALL {
        let (used, rate) = kind.used(record);
        let cost = exact_cost(kind, used, rate)?;
        if cost == 0 {
            continue;
        }
        let (units, unit_price) = units_and_price(kind, used, rate, cost)?;
        charges.push(Charge {
            kind,
            order_id: lease.order.to_string(),
            lease_id: lease.to_string(),
            units,
            unit_price: Price::new(record.pricing.denom.clone(), unit_price),
            period_start,
            period_end,
            cost,
        });
    }
    Ok(charges)
}

/// `used × rate` in whole base units, rounded down.
fn exact_cost(kind: ChargeKind, used: u128, rate: Decimal) -> Result<u128, Overflow> {
    let per = kind.per().checked_mul(DECIMAL_ONE).ok_or(Overflow)?;
    mul_div(rate.scaled(), used, per)
        .map(|(cost, _)| cost)
        .ok_or(Overflow)
}

/// The units, and the unit price nearest below the rate with which the chain arrives at `cost`.
fn units_and_price(
    kind: ChargeKind,
    used: u128,
    rate: Decimal,
    cost: u128,
) -> Result<(u64, Decimal), Overflow> {
    let units = used.div_ceil(kind.unit());
    if units > UNITS_MAX {
        return Err(Overflow);
    }
    let natural = rate
        .mul_div_floor(kind.unit(), kind.per())
        .map_err(|_| Overflow)?;
    let charged = mul_div(natural.scaled(), units, DECIMAL_ONE).map(|(cost, _)| cost);
    let price = if charged == Some(cost) {
        natural
    } else {
        // cost × 10¹⁸ ≤ units × price < cost × 10¹⁸ + units, and units < 10¹⁸.
        let (floor, exact) = mul_div(cost, DECIMAL_ONE, units).ok_or(Overflow)?;
        Decimal::from_scaled(if exact {
            floor
        } else {
            floor.checked_add(1).ok_or(Overflow)?
        })
    };
    Ok((u64::try_from(units).map_err(|_| Overflow)?, price))
}
