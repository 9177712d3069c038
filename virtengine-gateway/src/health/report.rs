use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use virtengine_provider_core::time::Timestamp;

/// The parts of the provider that are watched; the first five are those of the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Decides on orders.
    BidEngine,
    /// Signs.
    KeyManager,
    /// Measures.
    UsageMeter,
    /// The chain's endpoints.
    Chain,
    /// The back ends that run workloads.
    Adapters,
    /// Keeps what happened.
    Journal,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BidEngine,
        Self::KeyManager,
        Self::UsageMeter,
        Self::Chain,
        Self::Adapters,
        Self::Journal,
    ];

    /// Its name, as in the path of its page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BidEngine => "bid-engine",
            Self::KeyManager => "key-manager",
            Self::UsageMeter => "usage-meter",
            Self::Chain => "chain",
            Self::Adapters => "adapters",
            Self::Journal => "journal",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Component {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|component| component.as_str() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|component| component.as_str()).collect();
                format!("{text:?} is not a component: {}", names.join(", "))
            })
    }
}

/// How one component is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentStatus {
    /// Does its work.
    Up,
    /// Does part of its work, or nobody has looked lately.
    Degraded,
    /// Does not do its work.
    Down,
}

impl ComponentStatus {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How the whole is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverallStatus {
    /// Every component is up.
    Healthy,
    /// None is down, one or more are degraded.
    Degraded,
    /// One or more are down.
    Unhealthy,
}

impl OverallStatus {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// 200, 200 and 503.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Healthy | Self::Degraded => 200,
            Self::Unhealthy => 503,
        }
    }
}

impl From<ComponentStatus> for OverallStatus {
    fn from(status: ComponentStatus) -> Self {
        match status {
            ComponentStatus::Up => Self::Healthy,
            ComponentStatus::Degraded => Self::Degraded,
            ComponentStatus::Down => Self::Unhealthy,
        }
    }
}

/// One component (spec `ComponentHealth`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentHealth {
    /// Which.
    pub name: Component,
    /// How it is.
    pub status: ComponentStatus,
    /// How long the last look took.
    pub latency_ms: Option<u64>,
    /// Why it is so; says what it does when all is well.
    pub message: String,
    /// Since when it has this status.
    #[serde(with = "crate::rfc3339")]
    pub since: Timestamp,
    /// When somebody last looked; `None`: never.
    #[serde(with = "crate::rfc3339::option")]
    pub checked_at: Option<Timestamp>,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

/// The whole (spec `HealthStatus`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// How the whole is.
    pub status: OverallStatus,
    /// Each component, by name.
    pub components: BTreeMap<Component, ComponentHealth>,
    /// When the component that was looked at longest ago was looked at; `None`: one never was.
    #[serde(with = "crate::rfc3339::option")]
    pub last_checked: Option<Timestamp>,
}

/// What is known of the components at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthSnapshot {
    /// Each component.
    pub components: BTreeMap<Component, ComponentHealth>,
}

impl HealthSnapshot {
    /// The report at `now`: a component that nobody has looked at for `stale_after` is degraded at best, and says so.
    #[must_use]
    pub fn report(&self, now: Timestamp, stale_after: Duration) -> HealthReport {
        let components: BTreeMap<_, _> = self
            .components
            .iter()
            .map(|(name, health)| (*name, aged(health, now, stale_after)))
            .collect();
        let worst = components.values().map(|health| health.status).max();
        let last_checked = components
            .values()
            .map(|health| health.checked_at)
            .min()
            .flatten();
        HealthReport {
            // Nothing watched is nothing known.
            status: worst.map_or(OverallStatus::Unhealthy, OverallStatus::from),
            components,
            last_checked,
        }
    }
}

fn aged(health: &ComponentHealth, now: Timestamp, stale_after: Duration) -> ComponentHealth {
    let mut health = health.clone();
    let Some(checked_at) = health.checked_at else {
        return health;
    };
    let age = now.since(checked_at);
    if age > stale_after {
        health.message = format!(
            "not checked for {} s; was {} then: {}",
            age.as_secs(),
            health.status.as_str(),
            health.message
        );
        if health.status == ComponentStatus::Up {
            health.status = ComponentStatus::Degraded;
            health.since = checked_at.plus(stale_after);
        }
        if health.remedy.is_empty() {
            health.remedy = format!(
                "the watch of {} hangs: see `virtengine-provider logs --level warn`; restart the daemon if it stays so",
                health.name
            );
        }
    }
    health
}

/// Knows how the components are. It should answer at once from memory; the server protects itself when it does not.
pub trait HealthSource: fmt::Debug + Send + Sync + 'static {
    /// What is known now.
    fn snapshot(&self) -> HealthSnapshot;
}
