//! A usage record: what a workload used in one window, linked to the record before it.
//!
//! # What is signed
//!
//! The digest of a record is SHA-256 over the text `virtengine.provider.record.v1` and every field, in the order below. Each
//! part is preceded by its length in bytes (8 bytes, big endian); integers are big endian (times 8 bytes signed milliseconds,
//! metrics 16 bytes, others 8 bytes); ids, addresses, denominations and decimals are their text; an absent id is empty.
//!
//! `chain_id, workload, deployment, lease, provider, provider_label, sequence, previous, kind ("periodic" or "final"), start,
//! end, cpu, memory, storage, network in, network out, gpu, allocated cpu, memory, storage, gpus, pricing denom, cpu, memory,
//! storage, gpu, network, coverage samples, resets, measured milliseconds, created_at`
//!
//! The identity key signs (ed25519) the text `virtengine.provider.record.v1`, a zero byte, and the digest. The id of a record is
//! the first 16 bytes of the digest in hex. `previous` is the digest of the record before, or 32 zero bytes for the first: so a
//! gap, an overlap, a second version or a missing record is visible to anybody who has the records and the public key.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::{NetworkNormal, UsageFacts};
use virtengine_provider_core::id::{Address, DeploymentId, LeaseId, WorkloadId};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

use crate::bytes::Canonical;
use crate::metrics::Metrics;
use crate::pricing::PricingInputs;

/// Names the format, version 1.
pub const RECORD_DOMAIN: &str = "virtengine.provider.record.v1";

/// SHA-256 of a record's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "hex::serde")] pub [u8; 32]);

impl Digest {
    /// What the first record is linked to.
    pub const NONE: Self = Self([0; 32]);
}

/// Whose usage is metered. The same in every record of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The chain.
    pub chain_id: String,
    /// The workload.
    pub workload: WorkloadId,
    /// The lease that it serves; `None` for a workload of the operator's own, which is never billed.
    pub lease: Option<LeaseId>,
    /// The provider.
    pub provider: Address,
    /// A label of the operator's (`metering.provider_id` when it differs from the address); usually empty.
    pub provider_label: String,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// One of many.
    Periodic,
    /// The last one of its workload; may be short.
    Final,
}

impl RecordKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Final => "final",
        }
    }
}

/// How well a window was measured. What is unknown is stated, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Readings inside the window. With none, its usage is the exact difference of readings before and after it, spread
    /// evenly.
    pub samples: u64,
    /// How often the back end started counting again. What was used between the last reading and the restart is unknown and
    /// not in the record.
    pub resets: u64,
    /// How much of the window lies between two readings of one epoch, in milliseconds. The rest is unknown and counts as
    /// unused.
    pub measured_millis: u64,
}

/// What one workload used in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// First 16 bytes of the digest, 32 hex digits.
    pub id: String,
    /// Whose usage.
    #[serde(flatten)]
    pub subject: Subject,
    /// The deployment of the lease.
    pub deployment: Option<DeploymentId>,
    /// 1, 2, 3, … per workload, without gaps.
    pub sequence: u64,
    /// Digest of the record before.
    pub previous: Digest,
    /// Periodic or final.
    #[serde(rename = "type")]
    pub kind: RecordKind,
    /// Start of the window, whole seconds: the end of the record before.
    pub start: Timestamp,
    /// End of the window, whole seconds.
    pub end: Timestamp,
    /// What was used.
    pub metrics: Metrics,
    /// What was allocated.
    pub allocated: Resources,
    /// What was agreed to be paid.
    pub pricing: PricingInputs,
    /// How well it was measured.
    pub coverage: Coverage,
    /// When the record was made.
    pub created_at: Timestamp,
}

impl UsageRecord {
    /// SHA-256 over every field (see the module).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let subject = &self.subject;
        let optional = |text: Option<String>| text.unwrap_or_default();
        let head = Canonical::new(RECORD_DOMAIN)
            .text(&subject.chain_id)
            .text(subject.workload.as_str())
            .text(&optional(self.deployment.as_ref().map(ToString::to_string)))
            .text(&optional(subject.lease.as_ref().map(ToString::to_string)))
            .text(subject.provider.as_str())
            .text(&subject.provider_label)
            .u64(self.sequence)
            .bytes(&self.previous.0)
            .text(self.kind.name())
            .time(self.start)
            .time(self.end);
        let used = self.metrics.to_array().into_iter().fold(head, Canonical::u128);
        let Resources {
            cpu_millis,
            memory_bytes,
            storage_bytes,
            gpus,
        } = self.allocated;
        let allocated = [cpu_millis, memory_bytes, storage_bytes, gpus]
            .into_iter()
            .fold(used, Canonical::u64);
        let rates = self.pricing.rates().into_iter();
        let priced = rates.fold(allocated.text(self.pricing.denom.as_str()), |bytes, (_, rate)| {
            bytes.text(&rate.to_string())
        });
        let Coverage {
            samples,
            resets,
            measured_millis,
        } = self.coverage;
        let covered = [samples, resets, measured_millis]
            .into_iter()
            .fold(priced, Canonical::u64);
        Digest(covered.time(self.created_at).digest())
    }

    /// The id that belongs to the fields.
    #[must_use]
    pub fn expected_id(&self) -> String {
        let Digest(digest) = self.digest();
        hex::encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    }

    /// What the identity key signs.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        crate::bytes::to_sign(RECORD_DOMAIN, &self.digest().0)
    }

    /// Length of the window in milliseconds; 0 when it ends before it starts.
    #[must_use]
    pub fn duration_millis(&self) -> u64 {
        u64::try_from(self.end.since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the usage of the whole window is known.
    #[must_use]
    pub fn is_fully_measured(&self) -> bool {
        self.coverage.resets == 0 && self.coverage.measured_millis >= self.duration_millis()
    }

    /// What the fraud rules look at.
    #[must_use]
    pub fn facts(&self, trailing_network: Option<NetworkNormal>, now: Timestamp) -> UsageFacts {
        UsageFacts {
            start: self.start,
            end: self.end,
            is_final: self.kind == RecordKind::Final,
            metrics: (&self.metrics).into(),
            allocated: Some(self.allocated),
            trailing_network,
            now,
        }
    }
}
