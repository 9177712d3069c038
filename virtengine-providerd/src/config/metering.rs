use std::time::Duration;

use serde::Serialize;
use virtengine_provider_core::document::{Code, Cursor, Problems};

use super::section::{HOUR, Section, duration_text, seconds};

/// How usage is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metering {
    /// Length of a window; windows align to the clock.
    #[serde(serialize_with = "duration_text")]
    pub interval: Duration,
    /// A label in records; the provider's address when absent (DESIGN 4.25).
    pub provider_id: Option<String>,
    /// When the operator is told.
    pub alerts: Alerts,
}

/// When the operator is told, in percent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alerts {
    /// A workload uses at least this much of its CPU.
    pub high_cpu_threshold: u32,
    /// A workload uses at least this much of its memory.
    pub high_memory_threshold: u32,
    /// A workload has at most this much of its storage left.
    pub low_storage_threshold: u32,
}

impl Metering {
    pub(super) const KEYS: &[&str] = &["interval", "provider_id", "alerts"];

    pub(super) fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "metering", Self::KEYS, problems);
        let metering = Self {
            // The fraud checker flags windows below one minute and above 25 hours.
            interval: section.duration("interval", seconds(HOUR), seconds(60)..=seconds(24 * HOUR)),
            provider_id: section.text("provider_id"),
            alerts: section.below("alerts", Alerts::read),
        };
        if metering.interval.subsec_nanos() != 0 {
            section.error(
                Code::InvalidValue,
                "interval",
                "a window is whole seconds long",
                "for example 90s",
            );
        }
        metering
    }
}

impl Alerts {
    pub(super) const KEYS: &[&str] = &[
        "high_cpu_threshold",
        "high_memory_threshold",
        "low_storage_threshold",
    ];

    fn read(at: Option<Cursor<'_, '_>>, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "metering.alerts", Self::KEYS, problems);
        Self {
            high_cpu_threshold: section.integer("high_cpu_threshold", 90, 0..=100),
            high_memory_threshold: section.integer("high_memory_threshold", 85, 0..=100),
            low_storage_threshold: section.integer("low_storage_threshold", 10, 0..=100),
        }
    }
}
