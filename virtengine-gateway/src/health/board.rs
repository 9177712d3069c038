use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use virtengine_provider_core::time::Timestamp;

use super::report::{Component, ComponentHealth, ComponentStatus, HealthSnapshot, HealthSource};

/// What somebody found when looking at a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// How it is.
    pub status: ComponentStatus,
    /// How long the look took.
    pub latency: Option<Duration>,
    /// Why it is so.
    pub message: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

impl Observed {
    /// It does its work.
    pub fn up(message: impl Into<String>) -> Self {
        Self {
            status: ComponentStatus::Up,
            latency: None,
            message: message.into(),
            remedy: String::new(),
        }
    }

    /// It does part of its work.
    pub fn degraded(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: ComponentStatus::Degraded,
            latency: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// It does not do its work.
    pub fn down(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: ComponentStatus::Down,
            ..Self::degraded(message, remedy)
        }
    }

    /// The same, with how long the look took.
    #[must_use]
    pub fn took(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

/// Where each loop of the daemon writes how its component is. It remembers since when.
#[derive(Debug)]
pub struct HealthBoard {
    snapshot: Mutex<HealthSnapshot>,
}

impl HealthBoard {
    /// A board on which every component is down, because nobody has looked yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let components = Component::ALL
            .into_iter()
            .map(|name| {
                let health = ComponentHealth {
                    name,
                    status: ComponentStatus::Down,
                    latency_ms: None,
                    message: "not checked yet: the daemon is starting".to_owned(),
                    since: now,
                    checked_at: None,
                    remedy: "wait for the start to finish, or see `virtengine-provider logs`".to_owned(),
                };
                (name, health)
            })
            .collect();
        Self {
            snapshot: Mutex::new(HealthSnapshot { components }),
        }
    }

    /// Notes what was found at `now`.
    pub fn note(&self, name: Component, observed: Observed, now: Timestamp) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match snapshot.components.get(&name) {
            Some(before) if before.status == observed.status => before.since,
            _ => now,
        };
        let health = ComponentHealth {
            name,
            status: observed.status,
            latency_ms: observed
                .latency
                .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            message: observed.message,
            since,
            checked_at: Some(now),
            remedy: observed.remedy,
        };
        snapshot.components.insert(name, health);
    }
}

impl HealthSource for HealthBoard {
    fn snapshot(&self) -> HealthSnapshot {
        self.snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::OverallStatus;
    use super::*;

    const STALE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn all_up(board: &HealthBoard, now: Timestamp) {
        for name in Component::ALL {
            board.note(name, Observed::up("works"), now);
        }
    }

    #[test]
    fn nothing_checked_is_unhealthy() {
        let report = HealthBoard::new(at(0)).snapshot().report(at(1), STALE);
        assert_eq!(report.status, OverallStatus::Unhealthy);
        assert_eq!(report.last_checked, None);
    }

    #[test]
    fn one_component_down_makes_the_whole_unhealthy_and_keeps_since() {
        let board = HealthBoard::new(at(0));
        all_up(&board, at(10));
        assert_eq!(
            board.snapshot().report(at(11), STALE).status,
            OverallStatus::Healthy
        );
        for second in [20, 25] {
            board.note(
                Component::Chain,
                Observed::down("no endpoint answers", "check chain.nodes"),
                at(second),
            );
        }
        let report = board.snapshot().report(at(26), STALE);
        assert_eq!(report.status, OverallStatus::Unhealthy);
        let chain = &report.components[&Component::Chain];
        assert_eq!((chain.since, chain.checked_at), (at(20), Some(at(25))));
        assert_eq!(report.last_checked, Some(at(10)));
    }

    #[test]
    fn a_component_that_nobody_looks_at_is_degraded() {
        let board = HealthBoard::new(at(0));
        all_up(&board, at(10));
        let report = board.snapshot().report(at(41), STALE);
        assert_eq!(report.status, OverallStatus::Degraded);
        let chain = &report.components[&Component::Chain];
        assert_eq!(chain.since, at(40));
        assert!(
            chain.message.contains("not checked for 31 s"),
            "{}",
            chain.message
        );
        assert!(!chain.remedy.is_empty());
    }

    #[test]
    fn a_stale_look_never_improves_a_component() {
        let board = HealthBoard::new(at(0));
        board.note(Component::Chain, Observed::down("gone", "fix it"), at(10));
        let report = board.snapshot().report(at(100), STALE);
        assert_eq!(report.components[&Component::Chain].status, ComponentStatus::Down);
        assert_eq!(report.components[&Component::Chain].since, at(0));
    }
}
