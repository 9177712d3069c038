//! Making a workload exist and run: its namespace first, then what guards it, then what runs in it.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use super::adapter::Cluster;
use super::client::Object;
use super::config::Network;
use super::error::{Effect, Failure, Outcome};
use super::name;
use super::render::{self, Facts, Goal, Objects};

/// How long what was written may take to be seen by our own watch.
const ECHO: Duration = Duration::from_secs(5);

/// How long a controller that must be made anew may take to go.
const REPLACEMENT: Duration = Duration::from_secs(60);

impl Cluster {
    pub(super) async fn deploy(&self, spec: &WorkloadSpec) -> Outcome<()> {
        let id = &spec.id;
        let at = self.clock.now();
        let namespace = render::namespace(&self.config, spec, at);
        self.claim_namespace(id, &namespace).await?;
        self.meter.begin(id).await?;
        self.calls.apply_namespace(&namespace).await?;

        let mut facts = Facts {
            at,
            nodes: self.node_networks(),
            ..Facts::default()
        };
        let secrets = render::secrets(&self.config, spec);
        for (service, secret) in &secrets {
            let kept = self.calls.apply(secret).await?;
            if let Some(service) = service {
                facts
                    .environments
                    .insert(service.clone(), kept.resource_version().unwrap_or_default());
            }
        }
        let objects = render::objects(&self.config, spec, &facts);
        self.guard(&objects).await?;
        for service in &objects.services {
            self.calls.apply(service).await?;
        }
        self.publish(id, &objects).await?;
        let secrets: BTreeSet<String> = secrets.iter().map(|(_, secret)| secret.name_any()).collect();
        self.prune(id, &objects, &secrets).await?;
        let generations = self.run(&objects).await?;
        self.hear_echo(&namespace, generations).await;
        Ok(())
    }

    /// The namespace exists and is ours. One that somebody else made is never touched.
    async fn claim_namespace(&self, id: &WorkloadId, wanted: &Namespace) -> Outcome<()> {
        let name = wanted.name_any();
        let found = match self.calls.namespace(&name).await? {
            Some(found) => found,
            None => match self.calls.create_namespace(wanted).await {
                Ok(made) => made,
                Err(failure) if failure.kind == ErrorKind::Conflict => {
                    let again = self.calls.namespace(&name).await?;
                    again.ok_or_else(|| Failure::unavailable(format!("namespace {name} comes and goes")))?
                }
                Err(failure) => return Err(failure),
            },
        };
        if !self.is_ours(&found, id) {
            let message = format!("namespace {name} exists and is not ours; it is left as it is");
            return Err(Failure::new(ErrorKind::Conflict, Retry::Never, message));
        }
        if found.metadata.deletion_timestamp.is_some() {
            let message = format!("workload {id} is still being removed");
            return Err(Failure::new(ErrorKind::Conflict, Retry::Later, message));
        }
        Ok(())
    }

    /// Addresses of the nodes.
    fn node_networks(&self) -> Vec<Network> {
        let nodes = self.watch.nodes.state();
        let addresses = nodes
            .iter()
            .filter_map(|node| node.status.as_ref()?.addresses.as_ref());
        addresses
            .flatten()
            .filter_map(|address| address.address.parse().ok())
            .map(Network::of)
            .collect()
    }

    async fn guard(&self, objects: &Objects) -> Outcome<()> {
        self.calls.apply(&objects.quota).await?;
        self.calls.apply(&objects.limits).await?;
        self.calls.apply(&objects.account).await?;
        for policy in &objects.policies {
            self.calls.apply(policy).await?;
        }
        Ok(())
    }

    /// Publishes HTTP. A host name belongs to whoever had it first.
    async fn publish(&self, id: &WorkloadId, objects: &Objects) -> Outcome<()> {
        if objects.ingresses.is_empty() {
            return Ok(());
        }
        let _alone = self.hosts.lock().await;
        let own = self.namespace_name(id);
        let api: Api<Ingress> = Api::all(self.calls.client.clone());
        let all = self.calls.pages(api, ListParams::default()).await?;
        let others = all
            .iter()
            .filter(|ingress| ingress.namespace().as_deref() != Some(&own));
        let taken: BTreeSet<&str> = others.flat_map(hosts).collect();
        for ingress in &objects.ingresses {
            if let Some(host) = hosts(ingress).find(|host| taken.contains(host)) {
                let message = format!("host name {host} is served for somebody else already");
                return Err(Failure::new(ErrorKind::Conflict, Retry::Never, message));
            }
            self.calls.apply(ingress).await?;
        }
        Ok(())
    }

    /// Removes what an earlier version of the workload had. Volumes are kept until it is terminated.
    async fn prune(&self, id: &WorkloadId, objects: &Objects, secrets: &BTreeSet<String>) -> Outcome<()> {
        let namespace = self.namespace_name(id);
        self.keep::<Deployment>(&namespace, &names(&objects.deployments))
            .await?;
        self.keep::<StatefulSet>(&namespace, &names(&objects.stateful_sets))
            .await?;
        self.keep::<Service>(&namespace, &names(&objects.services))
            .await?;
        if self.config.ingress.is_some() {
            self.keep::<Ingress>(&namespace, &names(&objects.ingresses))
                .await?;
        }
        self.keep::<NetworkPolicy>(&namespace, &names(&objects.policies))
            .await?;
        self.keep::<Secret>(&namespace, secrets).await
    }

    async fn keep<K: Object>(&self, namespace: &str, wanted: &BTreeSet<String>) -> Outcome<()> {
        let there: Vec<K> = self.calls.list(namespace, &name::ours(&self.config)).await?;
        for object in there.iter().filter(|object| !wanted.contains(&object.name_any())) {
            self.calls.delete::<K>(namespace, &object.name_any()).await?;
        }
        Ok(())
    }

    /// Applies the controllers; answers which generation of each must be seen.
    async fn run(&self, objects: &Objects) -> Outcome<Vec<Written>> {
        let mut written = Vec::new();
        for object in &objects.deployments {
            written.push(Written::of(&self.apply_or_replace(object).await?));
        }
        for object in &objects.stateful_sets {
            written.push(Written::of(&self.apply_or_replace(object).await?));
        }
        Ok(written)
    }

    /// Some fields of a controller cannot be changed; its pods go, its data stay.
    async fn apply_or_replace<K: Object>(&self, object: &K) -> Outcome<K> {
        match self.calls.apply(object).await {
            Err(failure) if failure.kind == ErrorKind::Invalid && cannot_be_changed(&failure.message) => {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                self.calls.delete::<K>(&namespace, &name).await?;
                let deadline = tokio::time::Instant::now() + REPLACEMENT;
                let api: Api<K> = self.calls.api(&namespace);
                let doing = format!("wait until {} {namespace}/{name} has gone", K::kind(&()));
                while self
                    .calls
                    .answer(&doing, Effect::Read, api.get_opt(&name))
                    .await?
                    .is_some()
                {
                    if tokio::time::Instant::now() > deadline {
                        return Err(Failure::unavailable(format!(
                            "{doing}: it has not within {REPLACEMENT:?}"
                        )));
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                self.calls.apply(object).await
            }
            answer => answer,
        }
    }

    /// Waits until our own watch has seen what we wrote, so that the next observation is not of the time before. When it does
    /// not in time, observations say that nothing is known.
    async fn hear_echo(&self, namespace: &Namespace, written: Vec<Written>) {
        let own = namespace.name_any();
        let heard = || {
            let there = self.watch.namespaces.find(|seen| seen.name_any() == own);
            let same = |key: &str| {
                there
                    .as_ref()
                    .is_some_and(|seen| seen.annotations().get(key) == namespace.annotations().get(key))
            };
            [name::GOAL, name::SERVICES, name::TOLD].into_iter().all(same)
                && written.iter().all(|written| {
                    let (deployments, sets) =
                        (self.watch.deployments.state(), self.watch.stateful_sets.state());
                    deployments.iter().any(|seen| written.is_seen_in(seen.as_ref()))
                        || sets.iter().any(|seen| written.is_seen_in(seen.as_ref()))
                })
        };
        self.watch.until(ECHO, heard).await;
    }

    /// Changes what is wanted of a workload as a whole, and waits until our watch knows it.
    pub(super) async fn set_goal(&self, id: &WorkloadId, goal: Goal) -> Outcome<()> {
        let own = self.namespace_name(id);
        let change = serde_json::json!({ "metadata": { "annotations": {
            name::GOAL: goal.word(),
            name::TOLD: self.clock.now().as_millis().to_string(),
        } } });
        self.calls.merge_namespace(&own, &change).await?;
        let heard = || {
            let there = self.watch.namespaces.find(|seen| seen.name_any() == own);
            there.is_some_and(|seen| {
                seen.annotations()
                    .get(name::GOAL)
                    .is_some_and(|word| word == goal.word())
            })
        };
        self.watch.until(ECHO, heard).await;
        Ok(())
    }

    /// Sets the replicas of every controller: to none, or to what each has when it runs.
    pub(super) async fn scale(&self, id: &WorkloadId, running: bool) -> Outcome<()> {
        let own = self.namespace_name(id);
        let ours = name::ours(&self.config);
        let deployments: Vec<Deployment> = self.calls.list(&own, &ours).await?;
        let sets: Vec<StatefulSet> = self.calls.list(&own, &ours).await?;
        let mut written = Vec::new();
        for object in &deployments {
            written.push(Written::of(&self.scale_one(object, running).await?));
        }
        for object in &sets {
            written.push(Written::of(&self.scale_one(object, running).await?));
        }
        let heard = || {
            written.iter().all(|written| {
                let (deployments, sets) = (self.watch.deployments.state(), self.watch.stateful_sets.state());
                deployments.iter().any(|seen| written.is_seen_in(seen.as_ref()))
                    || sets.iter().any(|seen| written.is_seen_in(seen.as_ref()))
            })
        };
        self.watch.until(ECHO, heard).await;
        Ok(())
    }

    async fn scale_one<K: Object>(&self, object: &K, running: bool) -> Outcome<K> {
        let usual = object
            .annotations()
            .get(name::REPLICAS)
            .and_then(|count| count.parse::<u32>().ok());
        let replicas = if running { usual.unwrap_or(1) } else { 0 };
        let change = serde_json::json!({ "spec": { "replicas": replicas } });
        self.calls
            .merge(
                &object.namespace().unwrap_or_default(),
                &object.name_any(),
                &change,
            )
            .await
    }
}

/// A controller as it was written.
struct Written {
    uid: Option<String>,
    generation: Option<i64>,
}

impl Written {
    fn of(object: &impl ResourceExt) -> Self {
        Self {
            uid: object.uid(),
            generation: object.meta().generation,
        }
    }

    fn is_seen_in(&self, object: &impl ResourceExt) -> bool {
        object.uid() == self.uid && object.meta().generation >= self.generation
    }
}

fn cannot_be_changed(message: &str) -> bool {
    message.contains("field is immutable") || message.contains("updates to statefulset spec")
}

fn hosts(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let rules = ingress
        .spec
        .iter()
        .filter_map(|spec| spec.rules.as_ref())
        .flatten();
    rules.filter_map(|rule| rule.host.as_deref())
}

fn names<K: ResourceExt>(objects: &[K]) -> BTreeSet<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}
