//! Ending a workload: for a while, or for good.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tokio::time::Instant;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{ErrorKind, Retry};

use super::adapter::{Cluster, is_only_a_name};
use super::error::{Failure, Outcome};
use super::judge::removal;
use super::name;
use super::render::Goal;

/// Time between two looks whether something has gone.
const LOOK: Duration = Duration::from_millis(400);

/// Whether a pod uses anything.
fn uses(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

impl Cluster {
    pub(super) async fn pause(&self, id: &WorkloadId) -> Outcome<()> {
        if self.goal(id).await? == Some(Goal::Stopped) {
            let message = format!("workload {id} is stopped; it cannot be paused");
            return Err(Failure::new(ErrorKind::Conflict, Retry::Never, message));
        }
        self.rest(id, Goal::Paused).await
    }

    pub(super) async fn resume(&self, id: &WorkloadId) -> Outcome<()> {
        if self.goal(id).await? == Some(Goal::Stopped) {
            let message = format!("workload {id} is stopped; deploy it to start it again");
            return Err(Failure::new(ErrorKind::Conflict, Retry::Never, message));
        }
        self.set_goal(id, Goal::Running).await?;
        self.scale(id, true).await
    }

    pub(super) async fn stop(&self, id: &WorkloadId) -> Outcome<()> {
        self.goal(id).await?;
        self.rest(id, Goal::Stopped).await?;
        // A load balancer costs as long as it is there; a deploy makes it again.
        let own = self.namespace_name(id);
        let services: Vec<Service> = self.calls.list(&own, &name::ours(&self.config)).await?;
        for service in services {
            if service
                .spec
                .as_ref()
                .is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))
            {
                self.calls.delete::<Service>(&own, &service.name_any()).await?;
            }
        }
        Ok(())
    }

    async fn goal(&self, id: &WorkloadId) -> Outcome<Option<Goal>> {
        let namespace = self.existing(id).await?;
        if namespace.metadata.deletion_timestamp.is_some() {
            let message = format!("workload {id} is being removed");
            return Err(Failure::new(ErrorKind::Conflict, Retry::Never, message));
        }
        Ok(namespace
            .annotations()
            .get(name::GOAL)
            .and_then(|word| Goal::of_word(word)))
    }

    /// No compute from now on; data are kept.
    async fn rest(&self, id: &WorkloadId, goal: Goal) -> Outcome<()> {
        self.set_goal(id, goal).await?;
        self.keep_logs(id).await;
        self.scale(id, false).await?;
        let left = self.wait_for_pods(id, self.config.teardown_timeout).await?;
        if left.is_empty() {
            return Ok(());
        }
        let message = format!(
            "workload {id}: {} have not ended within {:?}",
            left.join(", "),
            self.config.teardown_timeout
        );
        Err(Failure::unavailable(message))
    }

    /// Waits until no pod uses anything any more; answers those that still do.
    async fn wait_for_pods(&self, id: &WorkloadId, patience: Duration) -> Outcome<Vec<String>> {
        let own = self.namespace_name(id);
        let deadline = Instant::now() + patience;
        loop {
            let pods: Vec<Pod> = self.calls.list(&own, &name::ours(&self.config)).await?;
            let left: Vec<String> = pods
                .iter()
                .filter(|pod| uses(pod))
                .map(ResourceExt::name_any)
                .collect();
            // Our own watch shall know it too, so that the next observation says it.
            let of_it = |pod: &Pod| pod.metadata.namespace.as_deref() == Some(&own) && uses(pod);
            let seen = self.watch.pods.find(of_it).is_some() && self.watch.trusted().is_ok();
            if (left.is_empty() && !seen) || Instant::now() > deadline {
                return Ok(left);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Removes everything; answers when it is gone.
    pub(super) async fn terminate(&self, id: &WorkloadId) -> Outcome<()> {
        let own = self.namespace_name(id);
        let deadline = Instant::now() + self.config.teardown_timeout;
        // What is not ours is nothing to us, and so is a name that the cluster cannot let go of.
        let Some(namespace) = self.found(id).await? else {
            self.meter.forget(id);
            return self.wait_for_volumes(&own, deadline).await;
        };
        if namespace.metadata.deletion_timestamp.is_none() {
            self.end_pods(id).await;
            self.calls.delete_namespace(&own, namespace.uid()).await?;
        }
        loop {
            match self.calls.namespace(&own).await? {
                None => break,
                Some(left) if left.uid() != namespace.uid() => break,
                Some(left) if is_only_a_name(&left) => {
                    tracing::error!(namespace = %own, why = %removal(&left), "a namespace is empty but cannot be removed");
                    break;
                }
                Some(left) if Instant::now() > deadline => {
                    let message = format!("namespace {own} is still there: {}", removal(&left));
                    return Err(Failure::unavailable(message));
                }
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
        self.meter.forget(id);
        self.wait_for_volumes(&own, deadline).await
    }

    /// A namespace without pods goes at once; one with pods only after a long guess of the cluster. Best effort: what fails here
    /// is removed all the same.
    async fn end_pods(&self, id: &WorkloadId) {
        let patience = self.config.stop_grace + Duration::from_secs(10);
        let ended = async {
            self.set_goal(id, Goal::Stopped).await?;
            self.scale(id, false).await?;
            self.wait_for_pods(id, patience).await
        };
        if let Err(failure) = ended.await {
            tracing::debug!(workload = %id, why = %failure.message, "its replicas are removed without being asked to end");
        }
    }

    /// A volume is outside of the namespace and is billed until it is gone.
    async fn wait_for_volumes(&self, namespace: &str, deadline: Instant) -> Outcome<()> {
        loop {
            let api: Api<PersistentVolume> = Api::all(self.calls.client.clone());
            let volumes = match self.calls.pages(api, ListParams::default()).await {
                Err(failure) if failure.kind == ErrorKind::Denied => {
                    tracing::warn!(why = %failure.message, "whether volumes are gone cannot be seen");
                    return Ok(());
                }
                volumes => volumes?,
            };
            let ours = volumes.iter().filter(|volume| {
                let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
                claim.and_then(|claim| claim.namespace.as_deref()) == Some(namespace)
            });
            let policy = |volume: &PersistentVolume| {
                let spec = volume.spec.as_ref();
                spec.and_then(|spec| spec.persistent_volume_reclaim_policy.clone())
                    .unwrap_or_default()
            };
            let (going, kept): (Vec<_>, Vec<_>) = ours.partition(|volume| policy(volume) == "Delete");
            if going.is_empty() {
                for volume in kept {
                    tracing::warn!(volume = %volume.name_any(), "its storage class keeps it: it is the operator's now");
                }
                return Ok(());
            }
            if Instant::now() > deadline {
                let names: Vec<String> = going.iter().map(|volume| volume.name_any()).collect();
                return Err(Failure::unavailable(format!(
                    "volumes are still there: {}",
                    names.join(", ")
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
