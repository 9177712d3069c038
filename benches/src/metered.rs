//! A workload that is metered for almost an hour.

use std::time::Duration;

use virtengine_metering::meter::{Command, Event, Meter, Policy, Start};
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::record::Subject;
use virtengine_metering::signed::Draft;
use virtengine_metering::window::Windows;
use virtengine_provider_core::id::{LeaseId, WorkloadId};
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

use crate::market::{order, provider, uve};

/// The start: a full hour, so that the first window is one of an hour.
const START: i64 = 1_764_000_000;

/// A meter with its rules.
#[derive(Debug)]
pub struct Metered {
    /// The rules.
    pub policy: Policy,
    /// The meter, read each minute for 59 minutes.
    pub meter: Meter,
}

impl Metered {
    /// Windows of one hour; `charges`: the chain's usage records are made too.
    #[must_use]
    pub fn new(charges: bool) -> Self {
        let windows = Windows::new(Duration::from_secs(3600)).expect("an hour is a window");
        let mut policy = Policy::new(windows);
        policy.charges = charges;
        let mut metered = Self {
            policy,
            meter: Meter::new(),
        };
        let lease = LeaseId::new(order(1).id, provider());
        metered.tell(&Command::Start(Box::new(start(lease))), START);
        for minute in 1..60 {
            metered.tell(&Command::Sample(counters(60 * minute)), START + 60 * minute);
        }
        metered
    }

    fn tell(&mut self, command: &Command, at: i64) {
        for event in self.decide(command, at) {
            self.meter.evolve(&event);
        }
    }

    fn decide(&self, command: &Command, at: i64) -> Vec<Event> {
        self.meter
            .decide(&self.policy, command, Timestamp::from_seconds(at))
            .expect("the command is carried out")
    }

    /// A reading half a minute after the last one: the window stays open.
    #[must_use]
    pub fn sample(&self) -> Vec<Event> {
        let second = 59 * 60 + 30;
        self.decide(&Command::Sample(counters(second)), START + second)
    }

    /// The reading at the end of the hour: the window is closed, its record is drafted.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.decide(&Command::Sample(counters(3600)), START + 3600)
            .into_iter()
            .find_map(|event| match event {
                Event::WindowClosed { draft, .. } => Some(*draft),
                _ => None,
            })
            .expect("the window ends here")
    }
}

fn start(lease: LeaseId) -> Start {
    let rate = |text: &str| text.parse().expect("a constant of the benches");
    Start {
        subject: Subject {
            chain_id: "virtengine-1".to_owned(),
            workload: WorkloadId::of_lease(&lease),
            provider: lease.provider.clone(),
            lease: Some(lease),
            provider_label: String::new(),
        },
        allocated: Resources {
            cpu_millis: 2_000,
            memory_bytes: 4 * GIB,
            storage_bytes: 10 * GIB,
            gpus: 0,
        },
        pricing: PricingInputs {
            agreed_cpu_rate: rate("1000"),
            agreed_memory_rate: rate("500"),
            agreed_storage_rate: rate("100"),
            ..PricingInputs::free(uve())
        },
        at: Timestamp::from_seconds(START),
        baseline: Some(counters(0)),
    }
}

/// One core, two GiB of memory and one of storage, ever since the start.
fn counters(second: i64) -> Counters {
    let seconds = u64::try_from(second).expect("seconds are counted from 0");
    Counters {
        at: Timestamp::from_seconds(START + second),
        epoch: 1,
        cpu_milli_seconds: seconds * 1_000,
        memory_byte_seconds: u128::from(2 * GIB * seconds),
        storage_byte_seconds: u128::from(GIB * seconds),
        ..Counters::default()
    }
}
