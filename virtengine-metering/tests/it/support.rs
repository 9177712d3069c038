//! A meter with a key, driven like a shell would.

use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use virtengine_metering::meter::{Command, Event, Meter, Policy, Recorded, Rejected, Start};
use virtengine_metering::metrics::Metrics;
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::record::Subject;
use virtengine_metering::signed::{Draft, SignedRecord};
use virtengine_metering::window::Windows;
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::Resources;

pub(crate) const TENANT: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
pub(crate) const PROVIDER: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";
/// A full hour.
pub(crate) const NOON: i64 = 1_700_006_400;

pub(crate) const fn s(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(crate) fn lease() -> LeaseId {
    format!("{TENANT}/1000/1/1/{PROVIDER}").parse().unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject {
        chain_id: "virtengine-1".to_owned(),
        workload: WorkloadId::of_lease(&lease()),
        lease: Some(lease()),
        provider: PROVIDER.parse().unwrap(),
        provider_label: String::new(),
    }
}

pub(crate) fn pricing() -> PricingInputs {
    PricingInputs {
        denom: "uve".parse().unwrap(),
        agreed_cpu_rate: "1000".parse().unwrap(),
        agreed_memory_rate: "500.5".parse().unwrap(),
        agreed_storage_rate: "100".parse().unwrap(),
        agreed_gpu_rate: "50000".parse().unwrap(),
        agreed_network_rate: "70".parse().unwrap(),
    }
}

pub(crate) const ALLOCATED: Resources = Resources {
    cpu_millis: 4000,
    memory_bytes: 8 << 30,
    storage_bytes: 100 << 30,
    gpus: 1,
};

pub(crate) fn start(at: i64) -> Command {
    Command::Start(Box::new(Start {
        subject: subject(),
        allocated: ALLOCATED,
        pricing: pricing(),
        at: s(at),
        baseline: None,
    }))
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey {
        algorithm: Algorithm::Ed25519,
        bytes: key.verifying_key().to_bytes().to_vec(),
    }
}

pub(crate) fn policy(seconds: u64) -> Policy {
    Policy::new(Windows::new(Duration::from_secs(seconds)).unwrap())
}

/// One core, one GiB and one GiB of storage for every second since `zero`, and some traffic.
pub(crate) fn steady(zero: i64, at: i64) -> Counters {
    let seconds = u64::try_from(at - zero).unwrap();
    Counters {
        at: s(at),
        epoch: 1,
        cpu_milli_seconds: seconds * 1000,
        memory_byte_seconds: u128::from(seconds) << 30,
        storage_byte_seconds: u128::from(seconds) << 30,
        network_bytes_in: seconds * 1_000_000,
        network_bytes_out: seconds * 64,
        gpu_seconds: seconds,
    }
}

/// A meter and all that it ever said.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) meter: Meter,
    pub(crate) policy: Policy,
    pub(crate) events: Vec<Event>,
}

impl Run {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            meter: Meter::new(),
            policy,
            events: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, command: &Command, now: i64) -> Result<Vec<Event>, Rejected> {
        let events = self.meter.decide(&self.policy, command, s(now))?;
        for event in &events {
            self.meter.evolve(event);
        }
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    pub(crate) fn sample(&mut self, counters: Counters) -> Result<Vec<Event>, Rejected> {
        self.tell(&Command::Sample(counters), counters.at.as_seconds() + 1)
    }

    pub(crate) fn close(&mut self, at: i64) {
        self.tell(&Command::Close { at: s(at) }, at).unwrap();
    }

    pub(crate) fn drafts(&self) -> Vec<Draft> {
        let draft = |event: &Event| match event {
            Event::WindowClosed { draft, .. } => Some((**draft).clone()),
            _ => None,
        };
        self.events.iter().filter_map(draft).collect()
    }

    pub(crate) fn sum(&self) -> Metrics {
        let add = |sum: Metrics, draft: Draft| sum.checked_add(&draft.record.metrics).unwrap();
        self.drafts().into_iter().fold(Metrics::ZERO, add)
    }

    /// Start and end of each record, in seconds after `zero`.
    pub(crate) fn spans(&self, zero: i64) -> Vec<(i64, i64)> {
        let span = |d: &Draft| {
            (
                d.record.start.as_seconds() - zero,
                d.record.end.as_seconds() - zero,
            )
        };
        self.drafts().iter().map(span).collect()
    }

    pub(crate) fn sign_all(&mut self, key: &SigningKey) -> Vec<Recorded> {
        let drafts: Vec<Draft> = self.meter.unsigned().cloned().collect();
        let mut recorded = Vec::new();
        for draft in drafts {
            let events = self.tell(&sign(&draft, key), 0).unwrap();
            let Some(Event::RecordSigned(one)) = events.into_iter().next() else {
                panic!("not signed")
            };
            recorded.push(*one);
        }
        recorded
    }
}

pub(crate) fn sign(draft: &Draft, key: &SigningKey) -> Command {
    let messages = draft.signing_messages();
    Command::Sign {
        sequence: draft.record.sequence,
        key: public(key),
        signatures: messages
            .iter()
            .map(|message| key.sign(message).to_bytes().to_vec())
            .collect(),
    }
}

/// `hours` of a steady workload, closed after a part of the last hour, all signed.
pub(crate) fn signed_hours(hours: i64) -> Vec<Recorded> {
    let mut run = Run::new(policy(3600));
    run.tell(&start(NOON + 600), NOON + 600).unwrap();
    for hour in 1..=hours {
        run.sample(steady(NOON + 600, NOON + hour * 3600)).unwrap();
    }
    let end = NOON + hours * 3600 + 900;
    run.sample(steady(NOON + 600, end)).unwrap();
    run.close(end);
    run.sign_all(&key(7))
}

pub(crate) fn records(recorded: &[Recorded]) -> Vec<SignedRecord> {
    recorded.iter().map(|one| one.signed.clone()).collect()
}
