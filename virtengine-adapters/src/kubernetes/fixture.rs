//! The adapter for the conformance kit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolume};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::workload::{
    ExposeSpec, Hooks, Protocol, RestartPolicy, ServiceKind, ServiceSpec, WorkloadSpec,
};

use super::adapter::KubernetesAdapter;
use super::client;
use super::config::Config;
use super::name;
use crate::conformance::{Fixture, FixtureResult, Foreign, Object, Part, Vanish};

/// What the workloads of the kit do: a line when they start, and some work. A shell does not end by itself when it is told to.
const SCRIPT: &str = "echo started; trap 'exit 0' TERM; while :; do :; done";

/// Image of the workloads of the kit when none is named: any with a shell does.
const IMAGE: &str = "busybox:1.35";

/// A cluster under test.
#[derive(Clone)]
pub struct KubernetesFixture {
    config: Config,
    clock: Arc<dyn Clock>,
    image: String,
}

impl std::fmt::Debug for KubernetesFixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesFixture")
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl KubernetesFixture {
    /// A cluster that is reached like this.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            image: IMAGE.to_owned(),
        }
    }

    async fn client(&self) -> FixtureResult<Client> {
        Ok(client::connect(&self.config).await?.client)
    }

    /// Looks like a workload of ours, but the label of the owner says another.
    fn foreign_namespace(&self) -> Namespace {
        let mut labels = name::owner_labels(&self.config);
        labels.insert(name::OWNER.to_owned(), name::hash("somebody else"));
        labels.insert(name::WORKLOAD.to_owned(), "foreign-1".to_owned());
        Namespace {
            metadata: ObjectMeta {
                name: Some(format!("{}foreign-1", self.config.namespace_prefix)),
                labels: Some(labels),
                annotations: Some(BTreeMap::from([(name::GOAL.to_owned(), "running".to_owned())])),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        }
    }
}

#[async_trait]
impl Fixture for KubernetesFixture {
    fn name(&self) -> String {
        "kubernetes".to_owned()
    }

    async fn adapter(&self) -> FixtureResult<Box<dyn Adapter>> {
        let adapter = KubernetesAdapter::connect(self.config.clone(), Arc::clone(&self.clock)).await;
        let adapter = adapter.map_err(|problems| {
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            words.join("; ")
        })?;
        Ok(Box::new(adapter))
    }

    fn spec(&self, id: WorkloadId) -> WorkloadSpec {
        let web = ServiceSpec {
            name: "web".to_owned(),
            image: self.image.clone(),
            kind: ServiceKind::Container,
            command: ["sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
            args: Vec::new(),
            env: BTreeMap::new(),
            count: 1,
            cpu_millis: 100,
            memory_bytes: 64 << 20,
            gpus: 0,
            gpu_models: Vec::new(),
            volumes: Vec::new(),
            exposes: vec![ExposeSpec {
                port: 80,
                external_port: 80,
                protocol: Protocol::Tcp,
                global: true,
                to_services: Vec::new(),
                hosts: Vec::new(),
                ip: None,
            }],
            restart: RestartPolicy::Always,
            health: None,
            hooks: Hooks::default(),
            credentials: None,
        };
        WorkloadSpec {
            id,
            lease: None,
            services: vec![web],
        }
    }

    async fn exists(&self) -> FixtureResult<Vec<Object>> {
        let client = self.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let ours = ListParams::default().labels(&name::ours(&self.config));
        let mut objects = Vec::new();
        for namespace in namespaces.list(&ours).await? {
            let id = namespace
                .labels()
                .get(name::WORKLOAD)
                .cloned()
                .unwrap_or_default();
            objects.push(Object::new(
                format!("namespace of {id}"),
                namespace.uid().unwrap_or_default(),
            ));
        }
        let volumes: Api<PersistentVolume> = Api::all(client);
        for volume in volumes.list(&ListParams::default()).await? {
            let claim = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.claim_ref.clone())
                .unwrap_or_default();
            let namespace = claim.namespace.unwrap_or_default();
            if let Some(id) = namespace.strip_prefix(&self.config.namespace_prefix) {
                objects.push(Object::new(
                    format!("volume of {id}"),
                    volume.uid().unwrap_or_default(),
                ));
            }
        }
        Ok(objects)
    }

    /// A kubelet looks every 10 to 17 seconds.
    fn measurable(&self) -> Duration {
        Duration::from_secs(25)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn foreign(&self) -> Part<'_, dyn Foreign> {
        Ok(self)
    }

    fn vanish(&self) -> Part<'_, dyn Vanish> {
        Ok(self)
    }
}

#[async_trait]
impl Foreign for KubernetesFixture {
    async fn plant(&self) -> FixtureResult<()> {
        // One that an earlier run left is not as it was planted.
        self.remove().await?;
        let client = self.client().await?;
        let namespace = self.foreign_namespace();
        let own = namespace.name_any();
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some("precious".to_owned()),
                ..namespace.metadata
            },
            ..ConfigMap::default()
        };
        Api::<ConfigMap>::namespaced(client, &own)
            .create(&PostParams::default(), &map)
            .await?;
        Ok(())
    }

    async fn harm(&self) -> FixtureResult<Option<String>> {
        let client = self.client().await?;
        let planted = self.foreign_namespace();
        let own = planted.name_any();
        let Some(found) = Api::<Namespace>::all(client.clone()).get_opt(&own).await? else {
            return Ok(Some("the namespace is gone".to_owned()));
        };
        if found.metadata.deletion_timestamp.is_some() {
            return Ok(Some("the namespace is being removed".to_owned()));
        }
        let same = planted
            .labels()
            .iter()
            .all(|(key, value)| found.labels().get(key) == Some(value))
            && found.annotations() == planted.annotations();
        if !same {
            return Ok(Some("the labels of the namespace were changed".to_owned()));
        }
        let map = Api::<ConfigMap>::namespaced(client, &own)
            .get_opt("precious")
            .await?;
        Ok(map
            .is_none()
            .then(|| "an object of the namespace is gone".to_owned()))
    }

    async fn remove(&self) -> FixtureResult<()> {
        let api: Api<Namespace> = Api::all(self.client().await?);
        let own = self.foreign_namespace().name_any();
        if api.get_opt(&own).await?.is_some() {
            api.delete(&own, &DeleteParams::background()).await?;
        }
        while api.get_opt(&own).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Vanish for KubernetesFixture {
    async fn make_vanish(&self, id: &WorkloadId) -> FixtureResult<()> {
        let api: Api<Namespace> = Api::all(self.client().await?);
        let own = name::namespace(&self.config, id);
        api.delete(&own, &DeleteParams::background()).await?;
        while api.get_opt(&own).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }
}
