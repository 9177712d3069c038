use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;

use super::report::{
    Component, ComponentHealth, ComponentStatus, HealthReport, HealthSnapshot, HealthSource,
};

/// The longest that the source may take before the last answer is shown as stale. Well under the second that a probe waits.
const SOURCE_TIMEOUT: Duration = Duration::from_millis(500);

/// Asks a source on another thread, one question at a time, and remembers the last answer.
pub(crate) struct GuardedSource {
    source: Arc<dyn HealthSource>,
    clock: Arc<dyn Clock>,
    stale_after: Duration,
    turn: Arc<Semaphore>,
    last: Mutex<Option<HealthSnapshot>>,
}

impl GuardedSource {
    pub(crate) fn new(source: Arc<dyn HealthSource>, clock: Arc<dyn Clock>, stale_after: Duration) -> Self {
        Self {
            source,
            clock,
            stale_after,
            turn: Arc::new(Semaphore::new(1)),
            last: Mutex::new(None),
        }
    }

    /// The report now, within [`SOURCE_TIMEOUT`].
    pub(crate) async fn report(&self) -> HealthReport {
        let answer = self.snapshot().await;
        let now = self.clock.now();
        match answer {
            Ok(snapshot) => snapshot.report(now, self.stale_after),
            // Nothing new can be learnt: whatever is known is old.
            Err(Some(last)) => last.report(now, Duration::ZERO),
            Err(None) => silent(now).report(now, self.stale_after),
        }
    }

    /// What the source says, or (when it does not within the time) what it said last.
    async fn snapshot(&self) -> Result<HealthSnapshot, Option<HealthSnapshot>> {
        let asked = async {
            let turn = self.turn.clone().acquire_owned().await.ok()?;
            let source = self.source.clone();
            tokio::task::spawn_blocking(move || {
                let snapshot = source.snapshot();
                drop(turn);
                snapshot
            })
            .await
            .ok()
        };
        let answered = tokio::time::timeout(SOURCE_TIMEOUT, asked).await.ok().flatten();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            Some(snapshot) => {
                *last = Some(snapshot.clone());
                Ok(snapshot)
            }
            None => Err(last.clone()),
        }
    }
}

impl fmt::Debug for GuardedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSource").finish_non_exhaustive()
    }
}

fn silent(now: Timestamp) -> HealthSnapshot {
    let components = Component::ALL.into_iter().map(|name| {
        let health = ComponentHealth {
            name,
            status: ComponentStatus::Down,
            latency_ms: None,
            message: "the daemon does not say how its components are".to_owned(),
            since: now,
            checked_at: None,
            remedy: "see `virtengine-provider logs --level warn`; restart the daemon if it stays so"
                .to_owned(),
        };
        (name, health)
    });
    HealthSnapshot {
        components: components.collect(),
    }
}
