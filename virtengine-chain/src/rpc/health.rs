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

/// How much faster than configured a chain may make blocks: whoever is further ahead of the others than that allows is not believed.
const SPEED_MAX: u32 = 20;
/// How far clocks may be apart: ours, and those of the validators that date a block.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// What the configuration says of the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Blocks that an endpoint may be behind.
    pub(super) lag_max: u64,
    /// The block time, as configured.
    pub(super) block_time: Duration,
}

impl Pace {
    /// The most blocks that the chain can have made in `time`, the usual lag included.
    fn blocks_max_in(self, time: Duration) -> u64 {
        let least = (self.block_time / SPEED_MAX).max(Duration::from_millis(1));
        let blocks = time.as_millis() / least.as_millis();
        u64::try_from(blocks)
            .unwrap_or(u64::MAX)
            .saturating_add(self.lag_max)
    }

    /// How old the newest block of an endpoint may be before its distance to others is called a lag.
    fn age_max(self) -> Duration {
        let blocks = u32::try_from(self.lag_max).unwrap_or(u32::MAX);
        self.block_time.saturating_mul(blocks)
    }
}

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
    /// Says to be further ahead of the others than the time allows that has passed since their newest blocks.
    Ahead,
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
    pub(super) ahead: bool,
}

/// A status and when it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: NodeStatus,
    pub(super) at: Instant,
    pub(super) latency: Duration,
    /// How old its newest block was then by our clock. `None`: the block is from the future, so one of the clocks is wrong and
    /// nothing follows from them.
    age: Option<Duration>,
}

impl Seen {
    pub(super) fn new(status: NodeStatus, at: Instant, latency: Duration, clock: Timestamp) -> Self {
        let age = (status.time <= clock.plus(CLOCK_SKEW)).then(|| clock.since(status.time));
        Self {
            status,
            at,
            latency,
            age,
        }
    }
}

impl View {
    pub(super) fn saw(&mut self, seen: Seen, chain_id: &str) {
        let status = &seen.status;
        self.wrong_chain = status.chain_id != chain_id;
        if self.wrong_chain {
            self.last_error = Some(format!("is of chain {:?}, not {chain_id:?}", status.chain_id));
        }
        self.failures = 0;
        self.retry_at = None;
        self.last = Some(seen);
    }

    pub(super) fn failed(&mut self, error: String, now: Instant) {
        self.last_error = Some(error);
        // Several calls were under way when it failed: that is one failure, and one pause.
        if !self.is_due(now) {
            return;
        }
        let pause = BACKOFF_FIRST
            .saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX))
            .min(BACKOFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
    }

    /// Nothing failed, or the pause after it is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// Its word counts for what the head of the chain is.
    fn testifies(&self, now: Instant) -> Option<Height> {
        let seen = self.last.as_ref()?;
        let trusted = !self.wrong_chain && !self.disagrees && !self.ahead;
        let counts = trusted && now.duration_since(seen.at) <= HEIGHT_MEMORY;
        counts.then_some(seen.status.height)
    }

    /// Its newest block is so young that it cannot be far behind, whatever others say.
    fn is_young(&self, pace: Pace, now: Instant) -> bool {
        let age = |seen: &Seen| Some(seen.age?.saturating_add(now.duration_since(seen.at)));
        self.last
            .as_ref()
            .and_then(age)
            .is_some_and(|age| age <= pace.age_max())
    }

    pub(super) fn health(&self, best: Option<Height>, pace: Pace, now: Instant) -> EndpointHealth {
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
        } else if self.ahead {
            EndpointHealth::Ahead
        } else if self.failures > 0 && !self.is_due(now) {
            EndpointHealth::Failing
        } else if now.duration_since(seen.at) > HEIGHT_MEMORY {
            EndpointHealth::Unknown
        } else if best.is_some_and(|best| seen.status.height.plus(pace.lag_max) < best)
            && !self.is_young(pace, now)
        {
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
pub(super) fn usable(views: &[View], pace: Pace, now: Instant) -> Vec<usize> {
    let best = best_height(views, now);
    let fresh = |view: &View| view.health(best, pace, now) == EndpointHealth::Fresh;
    let mut found: Vec<(usize, &View)> = views.iter().enumerate().filter(|(_, view)| fresh(view)).collect();
    let height = |view: &View| view.last.as_ref().map(|seen| seen.status.height);
    // A stable sort keeps the order of the configuration. Those that failed last come last.
    found.sort_by_key(|(_, view)| (view.failures > 0, std::cmp::Reverse(height(view))));
    found.into_iter().map(|(index, _)| index).collect()
}

/// How many endpoints are of this chain, or may be, usable at present or not.
pub(super) fn of_the_chain(views: &[View]) -> usize {
    let of_another = |view: &View| view.wrong_chain || view.disagrees || view.ahead;
    views.iter().filter(|view| !of_another(view)).count()
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

/// Who says to be further ahead than can be: more of the others would have had to see so many blocks come, and did not, than are about
/// as far. An endpoint alone is believed, since there is nothing to compare it with.
pub(super) fn runaways(views: &[View], pace: Pace) -> Vec<bool> {
    let words: Vec<Option<&Seen>> = views
        .iter()
        .map(|view| {
            let trusted = !view.wrong_chain && !view.disagrees;
            view.last.as_ref().filter(|_| trusted)
        })
        .collect();
    let answering = |index: usize| views.get(index).is_some_and(|view| view.failures == 0);
    let is_runaway = |one: &Seen| {
        let height = one.status.height;
        let (mut against, mut with) = (0_u32, 0_u32);
        for (index, other) in words.iter().enumerate() {
            let Some(other) = other else { continue };
            let beyond = |age: Duration| {
                let since = one.at.saturating_duration_since(other.at);
                let time = age.saturating_add(CLOCK_SKEW).saturating_add(since);
                height.0 > other.status.height.0.saturating_add(pace.blocks_max_in(time))
            };
            if other.status.height.plus(pace.lag_max) >= height {
                with += 1;
            } else if answering(index) && other.age.is_some_and(beyond) {
                against += 1;
            }
        }
        against >= with
    };
    words.iter().map(|word| word.is_some_and(is_runaway)).collect()
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

    const PACE: Pace = Pace {
        lag_max: 5,
        block_time: Duration::from_secs(6),
    };
    const LONG_AGO: Duration = Duration::from_secs(3600);

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
        let seen = Seen::new(
            status(height, "h"),
            at,
            Duration::ZERO,
            Timestamp::EPOCH.plus(LONG_AGO),
        );
        view.saw(seen, "c");
        view
    }

    /// Its newest block is `age` old.
    fn seen_aged(height: u64, at: Instant, age: Duration) -> View {
        let mut view = View::default();
        let clock = Timestamp::EPOCH.plus(age);
        view.saw(Seen::new(status(height, "h"), at, Duration::ZERO, clock), "c");
        view
    }

    #[test]
    fn the_freshest_comes_first_and_laggards_not_at_all() {
        let now = Instant::now();
        let views = [seen(90, now), seen(99, now), seen(100, now), seen(100, now)];
        assert_eq!(usable(&views, PACE, now), [2, 3, 1]);
    }

    #[test]
    fn a_laggard_is_not_believed_while_the_fresh_one_is_away() {
        let now = Instant::now();
        let mut views = [seen(100, now), seen(50, now)];
        views[0].failed("gone".to_owned(), now);
        assert_eq!(usable(&views, PACE, now), Vec::<usize>::new());
        assert_eq!(
            views[1].health(best_height(&views, now), PACE, now),
            EndpointHealth::Lagging
        );
        // The memory fades: a chain that went on without the lost endpoint is believed again.
        let later = now + HEIGHT_MEMORY + Duration::from_secs(1);
        views[1] = seen(50, later);
        assert_eq!(usable(&views, PACE, later), [1]);
    }

    #[test]
    fn one_whose_newest_block_is_young_is_not_called_a_laggard() {
        let now = Instant::now();
        let views = |age| [seen_aged(150, now, Duration::ZERO), seen_aged(100, now, age)];
        let (young, old) = (Duration::from_secs(30), Duration::from_secs(31));
        assert_eq!(usable(&views(young), PACE, now), [0, 1]);
        assert_eq!(usable(&views(old), PACE, now), [0]);
        // It grows older while nobody asks it again.
        assert_eq!(usable(&views(young), PACE, now + Duration::from_secs(1)), [0]);
    }

    #[test]
    fn who_is_further_ahead_than_time_allows_is_not_believed() {
        let now = Instant::now();
        let check = |heights_and_ages: &[(u64, u64)], expected: &[bool]| {
            let views: Vec<View> = heights_and_ages
                .iter()
                .map(|(height, age)| seen_aged(*height, now, Duration::from_secs(*age)))
                .collect();
            assert_eq!(runaways(&views, PACE), expected, "{heights_and_ages:?}");
        };
        check(&[(1_000_000, 0)], &[false]);
        check(&[(1_000_000, 0), (100, 3)], &[true, false]);
        check(&[(1_000_000, 0), (100, 3), (101, 0)], &[true, false, false]);
        // 33 s at 0.3 s a block, and five blocks of lag.
        check(&[(215, 0), (100, 3)], &[false, false]);
        check(&[(216, 0), (100, 3)], &[true, false]);
        // An old one proves little, and two agree more than one.
        check(&[(2_000, 0), (100, 12_000)], &[false, false]);
        check(&[(2_000, 0), (1_998, 0), (100, 0)], &[false, false, false]);
        check(
            &[(2_000, 0), (1_998, 0), (100, 0), (101, 0)],
            &[true, true, false, false],
        );
    }

    #[test]
    fn who_cannot_be_asked_or_has_blocks_from_the_future_contradicts_nobody() {
        let now = Instant::now();
        let mut away = seen_aged(100, now, Duration::ZERO);
        away.failed("gone".to_owned(), now);
        let ahead = seen_aged(1_000_000, now, Duration::ZERO);
        assert_eq!(runaways(&[ahead.clone(), away], PACE), [false, false]);
        let mut future = View::default();
        let mut status = status(100, "h");
        status.time = Timestamp::EPOCH.plus(Duration::from_secs(31));
        future.saw(Seen::new(status, now, Duration::ZERO, Timestamp::EPOCH), "c");
        assert_eq!(runaways(&[ahead, future], PACE), [false, false]);
    }

    #[test]
    fn pauses_double_and_are_bounded() {
        let mut now = Instant::now();
        let mut view = seen(1, now);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            // As many as were under way at once count as one.
            for _ in 0..8 {
                view.failed("no".to_owned(), now);
            }
            assert!(!view.is_due(now + Duration::from_millis(expected * 1000 - 1)));
            now += Duration::from_secs(expected);
            assert!(view.is_due(now));
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
