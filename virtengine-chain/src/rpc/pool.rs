//! Several endpoints as one: the freshest that agrees with the others is asked, failures rotate to the next one.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use virtengine_provider_core::id::Height;
use virtengine_provider_core::ports::chain::{ChainError, Head};
use virtengine_provider_core::time::Timestamp;

use super::health::{self, EndpointHealth, EndpointStatus, Pace, Seen, View};
use super::{NodeStatus, Rpc, RpcError, client_config};
use crate::config::{ChainConfig, ConfigError, ConfigProblem};

/// Once one endpoint has told its height, the others get this long to do the same. Keeps a hanging one from delaying everybody.
const GRACE: Duration = Duration::from_millis(300);
/// Heights are asked for again when they are older than this.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(5);
/// The head is not asked for more often than this.
const HEAD_AGE_MAX: Duration = Duration::from_millis(100);
/// How many endpoints one call tries.
const ATTEMPTS_MAX: usize = 4;

/// The endpoints of one chain.
#[derive(Debug)]
pub(crate) struct Pool {
    rpcs: Vec<Rpc>,
    views: Mutex<Vec<View>>,
    sampling: tokio::sync::Mutex<Option<Instant>>,
    chain_id: String,
    pace: Pace,
}

impl Pool {
    pub(crate) fn new(config: &ChainConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let any_https = config.endpoints.iter().any(super::EndpointUrl::is_https);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(any_https))
            .connect_timeout(config.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| {
                ConfigError(vec![ConfigProblem {
                    field: "endpoints",
                    problem: format!("no http client: {error}"),
                }])
            })?;
        let rpc = |url: &super::EndpointUrl| {
            Rpc::new(
                http.clone(),
                url.clone(),
                config.request_timeout,
                config.response_bytes_max,
            )
        };
        Ok(Self {
            rpcs: config.endpoints.iter().map(rpc).collect(),
            views: Mutex::new(vec![View::default(); config.endpoints.len()]),
            sampling: tokio::sync::Mutex::new(None),
            chain_id: config.chain_id.clone(),
            pace: Pace {
                lag_max: config.lag_blocks_max,
                block_time: config.block_time,
            },
        })
    }

    /// What is known of each endpoint, without asking anybody.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        let now = Instant::now();
        let views = self.views();
        let best = health::best_height(&views, now);
        let describe = |(rpc, view): (&Rpc, &View)| {
            let seen = view.last.as_ref();
            let height = seen.map(|seen| seen.status.height);
            EndpointStatus {
                url: rpc.url().to_string(),
                health: view.health(best, self.pace, now),
                height,
                lag_blocks: height
                    .zip(best)
                    .map(|(height, best)| best.0.saturating_sub(height.0)),
                block_time: seen.map(|seen| seen.status.time),
                seen_ms_ago: seen.map(|seen| now.duration_since(seen.at).as_millis()),
                latency_ms: seen.map(|seen| seen.latency.as_millis()),
                failures: view.failures,
                last_error: view.last_error.clone(),
            }
        };
        self.rpcs.iter().zip(views.iter()).map(describe).collect()
    }

    /// The newest block that a usable endpoint knows, asked now.
    pub(crate) async fn head(&self) -> Result<Head, ChainError> {
        self.sample(HEAD_AGE_MAX).await;
        self.sampled_head()
    }

    fn sampled_head(&self) -> Result<Head, ChainError> {
        let views = self.views();
        let best = health::usable(&views, self.pace, Instant::now()).first().copied();
        let Some(seen) = best
            .and_then(|index| views.get(index))
            .and_then(|view| view.last.as_ref())
        else {
            return Err(self.nobody(&views));
        };
        Ok(Head {
            chain_id: seen.status.chain_id.clone(),
            height: seen.status.height,
            time: seen.status.time,
        })
    }

    /// Calls the best endpoint, then the next ones while the failure is the endpoint's.
    pub(crate) async fn call<T, F, R>(&self, op: F) -> Result<T, CallError>
    where
        F: Fn(Rpc) -> R,
        R: Future<Output = Result<T, RpcError>>,
    {
        self.call_each(op).await.map_err(|failed| match failed {
            Failures::Nobody(error) => CallError::Nobody(error),
            Failures::All { last, .. } => CallError::Rpc(last),
        })
    }

    /// The same, telling what each of those said that were asked.
    pub(crate) async fn call_each<T, F, R>(&self, op: F) -> Result<T, Failures>
    where
        F: Fn(Rpc) -> R,
        R: Future<Output = Result<T, RpcError>>,
    {
        self.sample(SAMPLE_AGE_MAX).await;
        let (order, others) = {
            let views = self.views();
            let order = health::usable(&views, self.pace, Instant::now());
            if order.is_empty() {
                return Err(Failures::Nobody(self.nobody(&views)));
            }
            (order, health::of_the_chain(&views))
        };
        let mut earlier = Vec::new();
        let mut last = None;
        for index in order.into_iter().take(ATTEMPTS_MAX) {
            let Some(rpc) = self.rpcs.get(index) else { continue };
            match op(rpc.clone()).await {
                Ok(answer) => {
                    self.change(index, |view| view.failures = 0);
                    return Ok(answer);
                }
                Err(error) => {
                    if let RpcError::Endpoint(words) = &error {
                        tracing::debug!(endpoint = %rpc.url(), error = %words, "chain endpoint failed");
                        self.change(index, |view| view.failed(words.clone(), Instant::now()));
                    }
                    let is_final = !error.is_worth_another_endpoint();
                    earlier.extend(last.replace(error));
                    if is_final {
                        break;
                    }
                }
            }
        }
        let Some(last) = last else {
            return Err(Failures::Nobody(self.nobody(&self.views())));
        };
        let asked = earlier.len().saturating_add(1);
        Err(Failures::All {
            earlier,
            last,
            unasked: others.saturating_sub(asked),
        })
    }

    /// Endpoints that announce blocks, best first.
    pub(crate) fn websockets(&self) -> Vec<reqwest::Url> {
        let views = self.views();
        let mut order = health::usable(&views, self.pace, Instant::now());
        if order.is_empty() {
            order = (0..self.rpcs.len()).collect();
        }
        let url = |index: usize| self.rpcs.get(index).map(|rpc| rpc.url().websocket());
        order.into_iter().filter_map(url).collect()
    }

    /// Asks the endpoints for their heights unless that was done within `age_max`. Those in a pause after a failure are left
    /// alone while somebody else is usable.
    async fn sample(&self, age_max: Duration) {
        let arrived = Instant::now();
        let mut last = self.sampling.lock().await;
        // Somebody asked while this one waited: whatever came of it is as good an answer, and asking again, one waiter after the
        // other, would make the last of them wait for all.
        if last.is_some_and(|at| at >= arrived) {
            return;
        }
        let recent = last.is_some_and(|at| at.elapsed() <= age_max);
        if recent && !health::usable(&self.views(), self.pace, Instant::now()).is_empty() {
            return;
        }
        let due: Vec<usize> = {
            let views = self.views();
            let now = Instant::now();
            let due: Vec<usize> = (0..views.len())
                .filter(|index| views.get(*index).is_some_and(|view| view.is_due(now)))
                .collect();
            let anybody = health::usable(&views, self.pace, now);
            if anybody.is_empty() {
                (0..views.len()).collect()
            } else {
                due
            }
        };
        self.ask_heights(due).await;
        *last = Some(Instant::now());
    }

    async fn ask_heights(&self, indices: Vec<usize>) {
        let mut asked: FuturesUnordered<_> = indices
            .into_iter()
            .filter_map(|index| Some((index, self.rpcs.get(index)?)))
            .map(|(index, rpc)| async move {
                let began = Instant::now();
                (index, rpc.status().await, began.elapsed())
            })
            .collect();
        let mut patience = None;
        loop {
            let answer = match patience {
                None => asked.next().await,
                Some(until) => tokio::time::timeout_at(until, asked.next()).await.unwrap_or(None),
            };
            let Some((index, status, latency)) = answer else {
                break;
            };
            match status {
                Ok(status) => {
                    let usable = status.chain_id == self.chain_id && !status.catching_up;
                    let seen = Seen::new(status, Instant::now(), latency, clock());
                    self.change(index, |view| view.saw(seen, &self.chain_id));
                    if usable && patience.is_none() {
                        patience = Some(tokio::time::Instant::now() + GRACE);
                    }
                }
                Err(error) => self.change(index, |view| view.failed(error.to_string(), Instant::now())),
            }
        }
        self.compare();
    }

    /// Marks those that have other blocks than the majority, and those that are ahead beyond reason.
    fn compare(&self) {
        let mut views = self.views();
        let statuses: Vec<Option<&NodeStatus>> = views
            .iter()
            .map(|view| {
                view.last
                    .as_ref()
                    .filter(|_| !view.wrong_chain)
                    .map(|seen| &seen.status)
            })
            .collect();
        let verdicts = health::dissenters(&statuses);
        for (view, disagrees) in views.iter_mut().zip(verdicts) {
            if disagrees && !view.disagrees {
                view.last_error = Some("has other blocks than the majority".to_owned());
            }
            view.disagrees = disagrees;
        }
        let verdicts = health::runaways(&views, self.pace);
        for (view, ahead) in views.iter_mut().zip(verdicts) {
            if ahead && !view.ahead {
                view.last_error = Some("is further ahead of the others than can be".to_owned());
            }
            view.ahead = ahead;
        }
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut View)) {
        if let Some(view) = self.views().get_mut(index) {
            change(view);
        }
    }

    /// A panic elsewhere leaves at most a stale view behind.
    fn views(&self) -> MutexGuard<'_, Vec<View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody can be asked.
    fn nobody(&self, views: &[View]) -> ChainError {
        let now = Instant::now();
        let best = health::best_height(views, now);
        let mut words = Vec::new();
        let mut wrong = 0;
        for (rpc, view) in self.rpcs.iter().zip(views) {
            let health = view.health(best, self.pace, now);
            wrong += usize::from(health == EndpointHealth::WrongChain);
            let why = match (health, &view.last_error) {
                (EndpointHealth::Lagging, _) => format!("behind height {}", best.unwrap_or(Height(0))),
                (EndpointHealth::CatchingUp, _) => "catching up".to_owned(),
                (_, Some(error)) => error.clone(),
                _ => "not asked yet".to_owned(),
            };
            words.push(format!("{}: {why}", rpc.url()));
        }
        let words = words.join("; ");
        if wrong == self.rpcs.len() {
            ChainError::WrongChain(words)
        } else {
            ChainError::Unreachable(words)
        }
    }
}

fn clock() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is wrong; then every block is from the future, which is known to say nothing.
    Timestamp::EPOCH.plus(now.unwrap_or_default())
}

/// Why a call to the pool has no answer, in full.
#[derive(Debug, Clone)]
pub(crate) enum Failures {
    /// No endpoint may be asked.
    Nobody(ChainError),
    /// Each of those that were asked failed.
    All {
        /// What those before the last one said.
        earlier: Vec<RpcError>,
        /// What the last one said.
        last: RpcError,
        /// How many endpoints of this chain were not asked: in a pause, behind, or one too many.
        unasked: usize,
    },
}

/// Why a call to the pool has no answer.
#[derive(Debug, Clone)]
pub(crate) enum CallError {
    /// No endpoint may be asked.
    Nobody(ChainError),
    /// The last of those that were asked failed so.
    Rpc(RpcError),
}

impl From<CallError> for ChainError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Nobody(error) => error,
            CallError::Rpc(error) => error.into(),
        }
    }
}
