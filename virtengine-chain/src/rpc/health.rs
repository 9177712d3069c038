//! What is known of each endpoint, and which of them may be asked. Pure: the pool tells it what happened and when.

use std::time::{Duration, Instant};

use serde::Serialize;
use virtengine_provider_core::id::Height;
use virtengine_provider_core::time::Timestamp;

use super::NodeStatus;

/// First pause after a failure; doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after failures.
const BACKOFF_LONGEST: Duration = Duration::from_secs(60);
/// How long a height counts that an endpoint once had: while it does, nobody that is far behind it is believed.
const HEIGHT_MEMORY: Duration = Duration::from_secs(600);

/// How an endpoint is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndpointHealth {
    /// In use, or ready to be.
    Fresh,
    /// Answers, but is further behind than allowed.
    Lagging,
    /// Says itself that it is catching up.
    CatchingUp,
    /// Does not answer, or not usably.
    Failing,
    /// Is of another chain.
    WrongChain,
    /// Has other blocks than the majority at the same height.
    Disagrees,
    /// Has not been asked yet.
    Unknown,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Where it is (origin only).
    pub url: String,
    /// How it is doing.
    pub health: EndpointHealth,
    /// Its newest block, as last told.
    pub height: Option<Height>,
    /// Blocks behind the best endpoint.
    pub lag_blocks: Option<u64>,
    /// The time of its newest block.
    pub block_time: Option<Timestamp>,
    /// How long ago it last told its height, in milliseconds.
    pub seen_ms_ago: Option<u128>,
    /// How long its last status took, in milliseconds.
    pub latency_ms: Option<u128>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure, also when it has recovered since.
    pub last_error: Option<String>,
}

/// What the pool remembers of an endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) last: Option<Seen>,
    pub(super) failures: u32,
    retry_at: Option<Instant>,
    pub(super) last_error: Option<String>,
    pub(super) wrong_chain: bool,
    pub(super) disagrees: bool,
}

/// A status and when it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: NodeStatus,
    pub(super) at: Instant,
    pub(super) latency: Duration,
}

impl View {
    pub(super) fn saw(&mut self, status: NodeStatus, chain_id: &str, at: Instant, latency: Duration) {
        self.wrong_chain = status.chain_id != chain_id;
        if self.wrong_chain {
            self.last_error = Some(format!("is of chain {:?}, not {chain_id:?}", status.chain_id));
        }
        self.failures = 0;
        self.retry_at = None;
        self.last = Some(Seen { status, at, latency });
    }

    pub(super) fn failed(&mut self, error: String, now: Instant) {
        let pause = BACKOFF_FIRST
            .saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX))
            .min(BACKOFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
        self.last_error = Some(error);
    }

    /// Nothing failed, or the pause after it is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// Its word counts for what the head of the chain is.
    fn testifies(&self, now: Instant) -> Option<Height> {
        let seen = self.last.as_ref()?;
        let counts = !self.wrong_chain && !self.disagrees && now.duration_since(seen.at) <= HEIGHT_MEMORY;
        counts.then_some(seen.status.height)
    }

    pub(super) fn health(&self, best: Option<Height>, lag_max: u64, now: Instant) -> EndpointHealth {
        let Some(seen) = &self.last else {
            return if self.failures > 0 {
                EndpointHealth::Failing
            } else {
                EndpointHealth::Unknown
            };
        };
        if self.wrong_chain {
            EndpointHealth::WrongChain
        } else if self.disagrees {
            EndpointHealth::Disagrees
        } else if self.failures > 0 && !self.is_due(now) {
            EndpointHealth::Failing
        } else if now.duration_since(seen.at) > HEIGHT_MEMORY {
            EndpointHealth::Unknown
        } else if best.is_some_and(|best| seen.status.height.plus(lag_max) < best) {
            EndpointHealth::Lagging
        } else if seen.status.catching_up {
            EndpointHealth::CatchingUp
        } else {
            EndpointHealth::Fresh
        }
    }
}

/// The highest block that a trustworthy endpoint has told of lately.
pub(super) fn best_height(views: &[View], now: Instant) -> Option<Height> {
    views.iter().filter_map(|view| view.testifies(now)).max()
}

/// Indices of the endpoints that may be asked, freshest first; the order of the configuration decides between equals.
pub(super) fn usable(views: &[View], lag_max: u64, now: Instant) -> Vec<usize> {
    let best = best_height(views, now);
    let fresh = |view: &View| view.health(best, lag_max, now) == EndpointHealth::Fresh;
    let mut found: Vec<(usize, &View)> = views.iter().enumerate().filter(|(_, view)| fresh(view)).collect();
    let height = |view: &View| view.last.as_ref().map(|seen| seen.status.height);
    // A stable sort keeps the order of the configuration. Those that failed last come last.
    found.sort_by_key(|(_, view)| (view.failures > 0, std::cmp::Reverse(height(view))));
    found.into_iter().map(|(index, _)| index).collect()
}

/// Who disagrees with the majority about the blocks that they have in common: the newest and the oldest ones, when two are at
/// the same height. The one that most others confirm is believed first; the order of the configuration decides ties.
pub(super) fn dissenters(statuses: &[Option<&NodeStatus>]) -> Vec<bool> {
    let present: Vec<(usize, &NodeStatus)> = statuses
        .iter()
        .enumerate()
        .filter_map(|(index, status)| status.map(|status| (index, status)))
        .collect();
    let confirmations = |index: usize, one: &NodeStatus| {
        let others = present.iter().filter(|(other, _)| *other != index);
        others.filter(|(_, other)| confirms(one, other)).count()
    };
    let mut order = present.clone();
    order.sort_by_key(|(index, status)| std::cmp::Reverse(confirmations(*index, status)));
    let (mut verdicts, mut believed) = (vec![false; statuses.len()], Vec::<&NodeStatus>::new());
    for (index, status) in order {
        if believed.iter().any(|other| contradicts(status, other)) {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = true;
            }
        } else {
            believed.push(status);
        }
    }
    verdicts
}

fn contradicts(a: &NodeStatus, b: &NodeStatus) -> bool {
    (a.height == b.height && a.hash != b.hash)
        || (a.earliest_height == b.earliest_height && a.earliest_hash != b.earliest_hash)
}

fn confirms(a: &NodeStatus, b: &NodeStatus) -> bool {
    (a.height == b.height || a.earliest_height == b.earliest_height) && !contradicts(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(height: u64, hash: &str) -> NodeStatus {
        NodeStatus {
            chain_id: "c".to_owned(),
            height: Height(height),
            hash: hash.to_owned(),
            time: Timestamp::EPOCH,
            earliest_height: Height(1),
            earliest_hash: "genesis".to_owned(),
            catching_up: false,
            indexing: true,
        }
    }

    fn seen(height: u64, at: Instant) -> View {
        let mut view = View::default();
        view.saw(status(height, "h"), "c", at, Duration::ZERO);
        view
    }

    #[test]
    fn the_freshest_comes_first_and_laggards_not_at_all() {
        let now = Instant::now();
        let views = [seen(90, now), seen(99, now), seen(100, now), seen(100, now)];
        assert_eq!(usable(&views, 5, now), [2, 3, 1]);
    }

    #[test]
    fn a_laggard_is_not_believed_while_the_fresh_one_is_away() {
        let now = Instant::now();
        let mut views = [seen(100, now), seen(50, now)];
        views[0].failed("gone".to_owned(), now);
        assert_eq!(usable(&views, 5, now), Vec::<usize>::new());
        assert_eq!(
            views[1].health(best_height(&views, now), 5, now),
            EndpointHealth::Lagging
        );
        // The memory fades: a chain that went on without the lost endpoint is believed again.
        let later = now + HEIGHT_MEMORY + Duration::from_secs(1);
        views[1] = seen(50, later);
        assert_eq!(usable(&views, 5, later), [1]);
    }

    #[test]
    fn pauses_double_and_are_bounded() {
        let now = Instant::now();
        let mut view = seen(1, now);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            view.failed("no".to_owned(), now);
            assert!(!view.is_due(now + Duration::from_millis(expected * 1000 - 1)));
            assert!(view.is_due(now + Duration::from_secs(expected)));
        }
    }

    #[test]
    fn the_majority_decides_which_chain_is_the_right_one() {
        let (a, b, c, ahead) = (status(7, "x"), status(7, "y"), status(7, "y"), status(9, "z"));
        assert_eq!(
            dissenters(&[Some(&a), Some(&b), None, Some(&c), Some(&ahead)]),
            [true, false, false, false, false]
        );
        assert_eq!(dissenters(&[Some(&a), Some(&b)]), [false, true]);
        let mut reset = status(3, "q");
        reset.earliest_hash = "another genesis".to_owned();
        assert_eq!(
            dissenters(&[Some(&a), Some(&reset), Some(&ahead)]),
            [false, true, false]
        );
    }
}
