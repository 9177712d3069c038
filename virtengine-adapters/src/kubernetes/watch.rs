//! What the cluster says, seen once for all workloads: one watch per kind instead of questions per workload.
//!
//! A watch that is broken is silent, and so is a cluster in which nothing happens. A pulse tells them apart: a small question
//! every few seconds. What was seen is only taken for true while the pulse is well and no watch has failed lately.

use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolumeClaim, Pod, Service};
use kube::api::{Api, ListParams};
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::Calls;
use super::config::Config;
use super::error::{Effect, Failure, Outcome, shorten};
use super::name;

/// Time between two questions whether the API is there.
const PULSE: Duration = Duration::from_secs(3);

/// How long after its last failure a watch is trusted again. It tries again every [`RETRY`] with connections that stand within
/// five seconds, so that a failure that lasts is seen again within this time.
const QUIET: Duration = Duration::from_secs(8);

/// Time until a broken watch is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Watches of this adapter.
const WATCHES: usize = 7;

/// How the watches are.
#[derive(Debug, Clone, Default)]
struct Health {
    /// Watches that have seen everything once.
    synced: [bool; WATCHES],
    /// When a watch failed last, and how.
    failed: Option<(Instant, String)>,
    /// Why the last pulse was missed; `None` before the first.
    pulse: Option<Result<(), String>>,
    /// Rises with everything that is seen.
    changes: u64,
}

/// Everything of ours in the cluster, and its nodes.
pub(crate) struct Watch {
    pub(crate) namespaces: Store<Namespace>,
    pub(crate) pods: Store<Pod>,
    pub(crate) deployments: Store<Deployment>,
    pub(crate) stateful_sets: Store<StatefulSet>,
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) services: Store<Service>,
    pub(crate) nodes: Store<Node>,
    health: Arc<watch::Sender<Health>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    /// Starts watching. Needs a tokio runtime.
    pub(crate) fn start(calls: &Calls, config: &Config) -> Self {
        let health = Arc::new(watch::Sender::new(Health::default()));
        let ours = watcher::Config::default().labels(&name::ours(config));
        let mut tasks = Vec::new();
        let mut starter = Starter {
            calls,
            health: &health,
            tasks: &mut tasks,
        };
        let namespaces = starter.follow(0, ours.clone());
        let pods = starter.follow(1, ours.clone());
        let deployments = starter.follow(2, ours.clone());
        let stateful_sets = starter.follow(3, ours.clone());
        let claims = starter.follow(4, ours.clone());
        let services = starter.follow(5, ours);
        let nodes = starter.follow(6, watcher::Config::default());
        tasks.push(tokio::spawn(pulse(
            calls.clone(),
            name::ours(config),
            Arc::clone(&health),
        )));
        Self {
            namespaces,
            pods,
            deployments,
            stateful_sets,
            claims,
            services,
            nodes,
            health,
            tasks: Mutex::new(tasks),
        }
    }

    /// Keeps another task for as long as the watches.
    pub(crate) fn keep(&self, task: JoinHandle<()>) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
    }

    /// Whether what is here can be taken for true now.
    pub(crate) fn trusted(&self) -> Outcome<()> {
        judge(&self.health.borrow(), Instant::now())
    }

    /// Waits until what is here can be taken for true, or the time is over; the failure says why it cannot.
    pub(crate) async fn when_trusted(&self, patience: Duration) -> Outcome<()> {
        let first_look =
            |health: &Health| health.failed.is_none() && health.pulse.as_ref().is_none_or(Result::is_ok);
        self.until(patience, || {
            self.trusted().is_ok() || !first_look(&self.health.borrow())
        })
        .await;
        self.trusted()
    }

    /// Waits until `seen` holds, or the time is over, or what is here cannot be trusted: then nobody can know.
    pub(crate) async fn until(&self, patience: Duration, seen: impl Fn() -> bool) -> bool {
        let mut changes = self.health.subscribe();
        let deadline = Instant::now() + patience;
        loop {
            changes.borrow_and_update();
            if seen() {
                return true;
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return seen(),
            }
        }
    }
}

fn judge(health: &Health, now: Instant) -> Outcome<()> {
    match &health.pulse {
        None => {
            return Err(Failure::unavailable(
                "the cluster has not answered yet".to_owned(),
            ));
        }
        Some(Err(why)) => return Err(Failure::unavailable(why.clone())),
        Some(Ok(())) => {}
    }
    if let Some((at, why)) = &health.failed
        && now.duration_since(*at) < QUIET
    {
        return Err(Failure::unavailable(why.clone()));
    }
    if health.synced.contains(&false) {
        let why = "not everything in the cluster has been seen yet".to_owned();
        return Err(Failure::unavailable(why));
    }
    Ok(())
}

struct Starter<'a> {
    calls: &'a Calls,
    health: &'a Arc<watch::Sender<Health>>,
    tasks: &'a mut Vec<JoinHandle<()>>,
}

impl Starter<'_> {
    fn follow<K>(&mut self, number: usize, config: watcher::Config) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Hash + Eq,
    {
        let writer = Writer::new(());
        let store = writer.as_reader();
        let api = Api::<K>::all(self.calls.client.clone());
        self.tasks.push(tokio::spawn(follow(
            api,
            config,
            writer,
            number,
            Arc::clone(self.health),
        )));
        store
    }
}

async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    number: usize,
    health: Arc<watch::Sender<Health>>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut events = pin!(watcher(api, config));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let event = event.modify(|object| {
                    // Nobody reads it here, and it is half of an object.
                    object.managed_fields_mut().clear();
                });
                let whole = matches!(event, Event::InitDone);
                writer.apply_watcher_event(&event);
                health.send_modify(|health| {
                    health.changes = health.changes.wrapping_add(1);
                    if whole && let Some(synced) = health.synced.get_mut(number) {
                        *synced = true;
                    }
                });
            }
            Err(error) => {
                let why = format!("watching {}: {}", K::plural(&()), shorten(&error.to_string()));
                tracing::debug!(%why, "a watch broke off");
                health.send_modify(|health| health.failed = Some((Instant::now(), why)));
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn pulse(calls: Calls, ours: String, health: Arc<watch::Sender<Health>>) {
    let mut beat = tokio::time::interval(PULSE);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let api = calls.namespaces();
        let params = ListParams::default().labels(&ours).limit(1);
        let doing = "ask whether the cluster is there";
        let answer = tokio::time::timeout(
            PULSE * 2,
            calls.answer(doing, Effect::Read, api.list_metadata(&params)),
        );
        let answer = match answer.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) => Err(failure.message),
            Err(_) => Err(format!("{doing}: no answer within {:?}", PULSE * 2)),
        };
        health.send_modify(|health| {
            health.changes = health.changes.wrapping_add(1);
            health.pulse = Some(answer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_trusted_only_while_the_cluster_answers() {
        let now = Instant::now();
        let well = Health {
            synced: [true; WATCHES],
            failed: None,
            pulse: Some(Ok(())),
            changes: 0,
        };
        assert!(judge(&well, now).is_ok());
        let mut ill = well.clone();
        ill.synced[3] = false;
        assert!(judge(&ill, now).is_err());
        let mut ill = well.clone();
        ill.pulse = Some(Err("gone".to_owned()));
        assert!(judge(&ill, now).is_err());
        let mut ill = well;
        ill.failed = Some((now, "reset".to_owned()));
        assert!(judge(&ill, now).is_err());
        assert!(judge(&ill, now + QUIET).is_ok());
        assert!(judge(&Health::default(), now).is_err());
    }
}
