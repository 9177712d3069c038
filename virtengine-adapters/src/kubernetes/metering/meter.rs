//! Reads the kubelets and keeps the sums, here and in the workload's namespace, where they outlive this program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::GetParams;
use tokio::time::Instant;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Counters, ErrorKind, Retry};
use virtengine_provider_core::ports::clock::Clock;

use super::ledger::{Ledger, Reserved};
use super::summary::Summary;
use crate::kubernetes::client::Calls;
use crate::kubernetes::config::Config;
use crate::kubernetes::error::{Effect, Failure, Outcome};
use crate::kubernetes::name;
use crate::kubernetes::watch::Watch;

/// Where the sums are kept.
const OBJECT: &str = "virtengine-usage";
const KEY: &str = "ledger";

/// Kubelets that are asked at the same time.
const AT_ONCE: usize = 8;

/// A kubelet has nothing new sooner.
const FRESH: Duration = Duration::from_secs(2);

/// How often sums that nobody asked for are written down.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Counts for all workloads.
pub(crate) struct Meter {
    calls: Calls,
    config: Config,
    watch: Arc<Watch>,
    clock: Arc<dyn Clock>,
    /// Whether anybody has asked for usage, or begun a workload, since this adapter began. Until then nothing is written.
    asked: AtomicBool,
    books: Mutex<BTreeMap<WorkloadId, Arc<tokio::sync::Mutex<Option<Book>>>>>,
    /// When each kubelet was asked last. Held while it is asked: an old answer after a new one would look like a reset.
    nodes: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Option<Instant>>>>>,
}

struct Book {
    ledger: Ledger,
    written: Instant,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these mutexes guard is whole after every single change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    pub(crate) fn new(calls: Calls, config: Config, watch: Arc<Watch>, clock: Arc<dyn Clock>) -> Self {
        Self {
            calls,
            config,
            watch,
            clock,
            asked: AtomicBool::new(false),
            books: Mutex::default(),
            nodes: Mutex::default(),
        }
    }

    /// Begins to count a workload that has just got its namespace.
    pub(crate) async fn begin(&self, id: &WorkloadId) -> Outcome<()> {
        self.asked.store(true, Ordering::Relaxed);
        let book = self.book(id);
        let mut book = book.lock().await;
        if self.read(id).await?.is_some() {
            return Ok(());
        }
        let mut ledger = Ledger::new(self.new_epoch());
        ledger.hold(Reserved::default(), self.clock.now());
        self.write(id, &ledger).await?;
        *book = Some(Book {
            ledger,
            written: Instant::now(),
        });
        Ok(())
    }

    /// Forgets a workload that is gone.
    pub(crate) fn forget(&self, id: &WorkloadId) {
        locked(&self.books).remove(id);
    }

    /// The counters, which are in the cluster before they are answered.
    pub(crate) async fn usage(&self, id: &WorkloadId) -> Outcome<Counters> {
        self.asked.store(true, Ordering::Relaxed);
        for node in self.nodes_of(Some(id)) {
            self.look_at(&node).await?;
        }
        self.settle(id, true).await
    }

    /// Once somebody has asked: reads every kubelet that runs something of ours. What fails is tried the next time.
    pub(crate) async fn sample(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            return;
        }
        let nodes = self.nodes_of(None);
        stream::iter(nodes)
            .for_each_concurrent(AT_ONCE, |node| async move {
                if let Err(failure) = self.look_at(&node).await {
                    tracing::warn!(%node, why = %failure.message, "usage cannot be read");
                }
            })
            .await;
        let ids: Vec<WorkloadId> = self
            .watch
            .namespaces
            .state()
            .iter()
            .filter_map(|n| id_of(n.as_ref()))
            .collect();
        for id in ids {
            if let Err(failure) = self.settle(&id, false).await {
                tracing::debug!(workload = %id, why = %failure.message, "usage is not written down");
            }
        }
    }

    fn nodes_of(&self, id: Option<&WorkloadId>) -> BTreeSet<String> {
        let mine = |pod: &k8s_openapi::api::core::v1::Pod| {
            id.is_none_or(|id| {
                pod.labels()
                    .get(name::WORKLOAD)
                    .is_some_and(|of| of == id.as_str())
            })
        };
        let pods = self.watch.pods.state();
        let started = pods.iter().filter(|pod| {
            mine(pod)
                && pod
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase.as_deref() == Some("Running"))
        });
        started
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone())
            .collect()
    }

    async fn look_at(&self, node: &str) -> Outcome<()> {
        let turn = Arc::clone(locked(&self.nodes).entry(node.to_owned()).or_default());
        let mut asked = turn.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            return Ok(());
        }
        let summary = self.ask(node).await?;
        let now = self.clock.now();
        let pods: BTreeMap<String, WorkloadId> = self
            .watch
            .pods
            .state()
            .iter()
            .filter_map(|pod| Some((pod.uid()?, pod.labels().get(name::WORKLOAD)?.parse().ok()?)))
            .collect();
        for stats in &summary.pods {
            let Some(id) = pods.get(&stats.pod_ref.uid) else {
                continue;
            };
            // The name of the namespace is what the API vouches for; the label only says which workload is meant.
            if stats.pod_ref.namespace != name::namespace(&self.config, id) {
                continue;
            }
            let book = self.book(id);
            let mut book = book.lock().await;
            self.opened(id, &mut book).await?.ledger.look(stats, now);
        }
        *asked = Some(Instant::now());
        Ok(())
    }

    async fn ask(&self, node: &str) -> Outcome<Summary> {
        let doing = format!("read the usage of node {node}");
        let bug = |error: &dyn std::fmt::Display| Failure::bug(format!("{doing}: {error}"));
        let folder = kube::core::Request::new(format!("/api/v1/nodes/{node}/proxy/stats"));
        let request = folder
            .get("summary", &GetParams::default())
            .map_err(|error| bug(&error))?;
        let text = self
            .calls
            .answer(&doing, Effect::Read, self.calls.client.request_text(request))
            .await?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                ErrorKind::Unavailable,
                Retry::Later,
                format!("{doing}: cannot be understood: {error}"),
            )
        })
    }

    /// Adds what is reserved and writes the sums down when it is time.
    async fn settle(&self, id: &WorkloadId, write: bool) -> Outcome<Counters> {
        let book = self.book(id);
        let mut book = book.lock().await;
        let now = self.clock.now();
        let (reserved, pods) = (self.reserved(id), self.pods_of(id));
        let open = self.opened(id, &mut book).await?;
        open.ledger.hold(reserved, now);
        open.ledger.forget_all_but(&pods);
        if write || open.written.elapsed() >= WRITE_EVERY {
            let ledger = open.ledger.clone();
            self.write(id, &ledger).await?;
            open.written = Instant::now();
        }
        Ok(open.ledger.read(now))
    }

    fn pods_of(&self, id: &WorkloadId) -> BTreeSet<String> {
        let pods = self.watch.pods.state();
        let mine = pods.iter().filter(|pod| {
            pod.labels()
                .get(name::WORKLOAD)
                .is_some_and(|of| of == id.as_str())
        });
        mine.filter_map(|pod| pod.uid()).collect()
    }

    fn reserved(&self, id: &WorkloadId) -> Reserved {
        let namespace = name::namespace(&self.config, id);
        let claims = self.watch.claims.state();
        let bytes = claims
            .iter()
            .filter(|claim| claim.namespace().as_deref() == Some(&namespace))
            .filter_map(|claim| {
                let status = claim
                    .status
                    .as_ref()
                    .filter(|status| status.phase.as_deref() == Some("Bound"))?;
                let held = status.capacity.as_ref()?.get("storage")?;
                crate::kubernetes::quantity::whole(&held.0)
            });
        let pods = self.watch.pods.state();
        let gpus = pods
            .iter()
            .filter(|pod| pod.namespace().as_deref() == Some(&namespace))
            .filter_map(|pod| {
                let running = pod.status.as_ref()?.phase.as_deref() == Some("Running");
                pod.labels()
                    .get(name::GPUS)
                    .filter(|_| running)?
                    .parse::<u64>()
                    .ok()
            });
        Reserved {
            volume_bytes: bytes.fold(0, u64::saturating_add),
            gpus: gpus.fold(0, u64::saturating_add),
        }
    }

    fn book(&self, id: &WorkloadId) -> Arc<tokio::sync::Mutex<Option<Book>>> {
        Arc::clone(locked(&self.books).entry(id.clone()).or_default())
    }

    async fn opened<'b>(&self, id: &WorkloadId, book: &'b mut Option<Book>) -> Outcome<&'b mut Book> {
        if book.is_none() {
            let ledger = match self.read(id).await? {
                Some(ledger) => ledger,
                None => {
                    tracing::warn!(workload = %id, "its usage so far is lost; counting begins again");
                    Ledger::after_loss(self.new_epoch(), self.pods_of(id))
                }
            };
            *book = Some(Book {
                ledger,
                written: Instant::now(),
            });
        }
        Ok(book.as_mut().expect("it was just put there"))
    }

    fn new_epoch(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(0)
    }

    async fn read(&self, id: &WorkloadId) -> Outcome<Option<Ledger>> {
        let namespace = name::namespace(&self.config, id);
        let doing = format!("read the usage of workload {id}");
        let api = self.calls.api::<ConfigMap>(&namespace);
        let kept = self
            .calls
            .answer(&doing, Effect::Read, api.get_opt(OBJECT))
            .await?;
        let text = kept.and_then(|kept| kept.data?.remove(KEY));
        match text.map(|text| serde_json::from_str(&text)).transpose() {
            Ok(ledger) => Ok(ledger),
            Err(error) => {
                tracing::error!(workload = %id, %error, "its usage so far cannot be understood");
                Ok(None)
            }
        }
    }

    async fn write(&self, id: &WorkloadId, ledger: &Ledger) -> Outcome<()> {
        let text = serde_json::to_string(ledger)
            .map_err(|error| Failure::bug(format!("cannot write the usage of workload {id}: {error}")))?;
        let mut labels = name::owner_labels(&self.config);
        labels.insert(name::WORKLOAD.to_owned(), id.to_string());
        let kept = ConfigMap {
            metadata: ObjectMeta {
                name: Some(OBJECT.to_owned()),
                namespace: Some(name::namespace(&self.config, id)),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
            ..ConfigMap::default()
        };
        self.calls.apply(&kept).await.map(drop)
    }
}

pub(crate) fn id_of(object: &impl ResourceExt) -> Option<WorkloadId> {
    object.labels().get(name::WORKLOAD)?.parse().ok()
}
