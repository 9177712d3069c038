//! The adapter: the calls, one after the other per workload. Each that changes something runs to its end, also when the caller
//! has stopped waiting: half an operation is never left by a dropped future, as long as the adapter itself lives.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tokio::task::AbortHandle;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{
    Adapter, AdapterResult, Capabilities, Counters, ErrorKind, Inventory, LogLine, LogQuery, Observation,
    Retry,
};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::workload::WorkloadSpec;

use super::check;
use super::client::{self, Calls};
use super::config::{Config, ConfigError};
use super::error::{Failure, NAME, Outcome};
use super::metering::{Meter, id_of};
use super::name;
use super::watch::Watch;

/// Runs workloads in a Kubernetes cluster. See the [module](super).
pub struct KubernetesAdapter {
    cluster: Arc<Cluster>,
    capabilities: Capabilities,
    /// Calls that change something.
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Drop for KubernetesAdapter {
    /// Another adapter that takes over must not meet calls of this one.
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for KubernetesAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesAdapter")
            .field("namespace_prefix", &self.cluster.config.namespace_prefix)
            .field("owner", &self.cluster.config.owner)
            .finish_non_exhaustive()
    }
}

/// What all calls share.
pub(super) struct Cluster {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) calls: Calls,
    pub(super) watch: Arc<Watch>,
    pub(super) meter: Arc<Meter>,
    /// One call at a time per workload.
    turns: Mutex<BTreeMap<WorkloadId, Arc<tokio::sync::Mutex<()>>>>,
    /// Held while host names are chosen.
    pub(super) hosts: tokio::sync::Mutex<()>,
}

impl KubernetesAdapter {
    /// Reads how to reach the cluster and begins to watch it. A cluster that does not answer is no error here: calls say so.
    /// Needs a tokio runtime, for as long as the adapter lives.
    ///
    /// # Errors
    /// Every setting that cannot be used, e.g. a kubeconfig that cannot be read.
    pub async fn connect(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Vec<ConfigError>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let calls = client::connect(&config).await.map_err(|problem| vec![problem])?;
        let watch = Arc::new(Watch::start(&calls, &config));
        let meter = Meter::new(
            calls.clone(),
            config.clone(),
            Arc::clone(&watch),
            Arc::clone(&clock),
        );
        let meter = Arc::new(meter);
        watch.keep(tokio::spawn(sample_for_ever(
            Arc::downgrade(&meter),
            config.sample_every,
        )));
        let capabilities = Capabilities {
            name: NAME.to_owned(),
            pause: true,
            persistent_storage: true,
            logs: true,
            exec: false,
            gpus: config.gpus,
            isolation: config.network_policies && config.default_deny_ingress,
        };
        let cluster = Cluster {
            config,
            clock,
            calls,
            watch,
            meter,
            turns: Mutex::default(),
            hosts: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            cluster: Arc::new(cluster),
            capabilities,
            tasks: Mutex::default(),
        })
    }

    fn remember(&self, task: AbortHandle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Runs `work` to its end while nobody else works on this workload.
    async fn change<F>(
        &self,
        operation: &'static str,
        id: &WorkloadId,
        work: impl FnOnce(Arc<Cluster>, WorkloadId) -> F + Send + 'static,
    ) -> AdapterResult<()>
    where
        F: Future<Output = Outcome<()>> + Send,
    {
        let (cluster, id) = (Arc::clone(&self.cluster), id.clone());
        let turn = cluster.turn(&id);
        // The turn is taken here, so that calls have the order in which they were made, also those that nobody waits for.
        let mine = Arc::clone(&turn).lock_owned().await;
        let running = tokio::spawn(async move {
            let outcome = work(Arc::clone(&cluster), id.clone()).await;
            drop((mine, turn));
            cluster.forget_turn(&id);
            outcome
        });
        self.remember(running.abort_handle());
        let outcome = running.await.unwrap_or_else(|error| {
            let message = format!("the call broke off: {error}");
            Err(Failure::new(ErrorKind::Bug, Retry::Unknown, message))
        });
        outcome.map_err(|failure| failure.during(operation))
    }
}

async fn sample_for_ever(meter: std::sync::Weak<Meter>, every: Duration) {
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        match meter.upgrade() {
            Some(meter) => meter.sample().await,
            None => return,
        }
    }
}

impl Cluster {
    fn turn(&self, id: &WorkloadId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(id.clone()).or_default())
    }

    fn forget_turn(&self, id: &WorkloadId) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // One is the map's; any more is somebody who waits.
        if turns.get(id).is_some_and(|kept| Arc::strong_count(kept) == 1) {
            turns.remove(id);
        }
    }

    pub(super) fn namespace_name(&self, id: &WorkloadId) -> String {
        name::namespace(&self.config, id)
    }

    /// Whether a namespace is this workload's and of this adapter.
    pub(super) fn is_ours(&self, namespace: &Namespace, id: &WorkloadId) -> bool {
        let labels = namespace.labels();
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
        has(name::MANAGED_BY, name::MANAGER)
            && has(name::OWNER, &name::hash(&self.config.owner))
            && has(name::WORKLOAD, id.as_str())
            && namespace.name_any() == self.namespace_name(id)
    }

    /// The workload's namespace, as the cluster says now.
    pub(super) async fn found(&self, id: &WorkloadId) -> Outcome<Option<Namespace>> {
        let namespace = self.calls.namespace(&self.namespace_name(id)).await?;
        Ok(namespace.filter(|namespace| self.is_ours(namespace, id) && !is_only_a_name(namespace)))
    }

    pub(super) async fn existing(&self, id: &WorkloadId) -> Outcome<Namespace> {
        self.found(id).await?.ok_or_else(|| Failure::not_found(id))
    }

    async fn list(&self) -> Outcome<Vec<WorkloadId>> {
        let params = ListParams::default().labels(&name::ours(&self.config));
        let api: Api<Namespace> = self.calls.namespaces();
        let namespaces: Vec<Namespace> = self.calls.pages(api, params).await?;
        let mut ids: Vec<WorkloadId> = namespaces
            .iter()
            .filter(|namespace| !is_only_a_name(namespace))
            .filter_map(|namespace| id_of(namespace).filter(|id| self.is_ours(namespace, id)))
            .collect();
        ids.sort();
        Ok(ids)
    }
}

/// Whether nothing is left of a namespace but itself, and something else of the cluster keeps it: that is the operator's trouble,
/// and nobody's workload.
pub(super) fn is_only_a_name(namespace: &Namespace) -> bool {
    let conditions = namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is = |kind: &str, status: &str| {
        conditions
            .into_iter()
            .flatten()
            .any(|found| found.type_ == kind && found.status == status)
    };
    namespace.metadata.deletion_timestamp.is_some()
        && is("NamespaceDeletionDiscoveryFailure", "True")
        && is("NamespaceContentRemaining", "False")
        && is("NamespaceFinalizersRemaining", "False")
}

#[async_trait]
impl Adapter for KubernetesAdapter {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn inventory(&self) -> AdapterResult<Inventory> {
        self.cluster
            .inventory()
            .await
            .map_err(|failure| failure.during("inventory"))
    }

    async fn deploy(&self, workload: &WorkloadSpec) -> AdapterResult<()> {
        check::workload(&self.cluster.config, workload).map_err(|failure| failure.during("deploy"))?;
        let spec = workload.clone();
        self.change("deploy", &workload.id, move |cluster, _| async move {
            cluster.deploy(&spec).await
        })
        .await
    }

    async fn observe(&self, id: &WorkloadId) -> AdapterResult<Observation> {
        self.cluster
            .observe(id)
            .await
            .map_err(|failure| failure.during("observe"))
    }

    async fn pause(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.change("pause", id, |cluster, id| async move { cluster.pause(&id).await })
            .await
    }

    async fn resume(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.change(
            "resume",
            id,
            |cluster, id| async move { cluster.resume(&id).await },
        )
        .await
    }

    async fn stop(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.change("stop", id, |cluster, id| async move { cluster.stop(&id).await })
            .await
    }

    async fn terminate(&self, id: &WorkloadId) -> AdapterResult<()> {
        self.change("terminate", id, |cluster, id| async move {
            cluster.terminate(&id).await
        })
        .await
    }

    async fn usage(&self, id: &WorkloadId) -> AdapterResult<Counters> {
        let counted = async {
            self.cluster.existing(id).await?;
            // Before everything has been seen once, what runs is not known.
            self.cluster
                .watch
                .when_trusted(self.cluster.config.call_timeout)
                .await?;
            self.cluster.meter.usage(id).await
        };
        counted.await.map_err(|failure| failure.during("usage"))
    }

    async fn list(&self) -> AdapterResult<Vec<WorkloadId>> {
        self.cluster
            .list()
            .await
            .map_err(|failure| failure.during("list"))
    }

    async fn logs(&self, id: &WorkloadId, query: &LogQuery) -> AdapterResult<Vec<LogLine>> {
        self.cluster
            .logs(id, query)
            .await
            .map_err(|failure| failure.during("logs"))
    }
}
