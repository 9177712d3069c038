//! A workload from its first deploy until nothing is left.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolume, Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use virtengine_adapters::kubernetes::Config;
use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind, LogQuery, Phase, Retry};
use virtengine_provider_core::workload::{HealthCheck, Probe, RestartPolicy, ServiceKind, ServiceSpec};

use super::support::{
    Provider, expose, http_get, id, kubeconfig, nginx, service, shell, volume, with_provider, workload,
};

/// Pods that use anything.
async fn using(provider: &Provider, id: &virtengine_provider_core::id::WorkloadId) -> usize {
    let ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    pods(provider, id).await.iter().filter(|pod| !ended(pod)).count()
}

async fn pods(provider: &Provider, id: &virtengine_provider_core::id::WorkloadId) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(provider.client.clone(), &provider.namespace(id));
    api.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_run_answer_rest_resume_and_leave_nothing() {
    with_provider(
        |_| {},
        |provider| async move {
            let spec = workload("life", vec![nginx("web", 3, true)]);
            let seen = provider.running(&spec).await;
            assert_eq!((seen.services[0].wanted, seen.services[0].ready), (3, 3));
            let endpoint = &seen.endpoints[0];
            assert_eq!((endpoint.service.as_str(), endpoint.port), ("web", 80));
            let answer = http_get(&endpoint.host, endpoint.external_port).unwrap();
            assert!(answer.contains("Welcome to nginx"), "{answer}");
            let lines = provider
                .adapter
                .logs(&spec.id, &LogQuery::default())
                .await
                .unwrap();
            assert!(
                lines.iter().any(|line| line.text.contains("GET / HTTP/1.0")),
                "{lines:?}"
            );

            // Twice is once.
            let before: Vec<Option<String>> = pods(&provider, &spec.id)
                .await
                .iter()
                .map(ResourceExt::uid)
                .collect();
            provider.adapter.deploy(&spec).await.unwrap();
            provider.until(&spec.id, Phase::Running).await;
            let mut after: Vec<Option<String>> = pods(&provider, &spec.id)
                .await
                .iter()
                .map(ResourceExt::uid)
                .collect();
            after.sort();
            let mut before = before;
            before.sort();
            assert_eq!(before, after);
            assert!(provider.adapter.list().await.unwrap().contains(&spec.id));

            provider.adapter.pause(&spec.id).await.unwrap();
            assert_eq!(using(&provider, &spec.id).await, 0);
            assert_eq!(
                provider.adapter.observe(&spec.id).await.unwrap().phase,
                Phase::Paused
            );
            provider.adapter.resume(&spec.id).await.unwrap();
            let seen = provider.until(&spec.id, Phase::Running).await;
            assert_eq!(seen.services[0].ready, 3);

            provider.adapter.stop(&spec.id).await.unwrap();
            assert_eq!(using(&provider, &spec.id).await, 0);
            assert_eq!(
                provider.adapter.observe(&spec.id).await.unwrap().phase,
                Phase::Stopped
            );
            let refused = provider.adapter.resume(&spec.id).await.unwrap_err();
            assert_eq!((refused.kind, refused.retry), (ErrorKind::Conflict, Retry::Never));
            provider.running(&spec).await;

            provider.adapter.terminate(&spec.id).await.unwrap();
            assert!(!provider.has_namespace(&spec.id).await);
            assert_eq!(
                provider.adapter.observe(&spec.id).await.unwrap().phase,
                Phase::Gone
            );
            assert!(!provider.adapter.list().await.unwrap().contains(&spec.id));
            provider.adapter.terminate(&spec.id).await.unwrap();
            let missing = provider.adapter.pause(&spec.id).await.unwrap_err();
            assert_eq!((missing.kind, missing.retry), (ErrorKind::NotFound, Retry::Never));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn persistent_data_outlive_a_pause_a_stop_and_a_new_version_and_go_at_the_end() {
    with_provider(
        |_| {},
        |provider| async move {
            let keeper = |version: &str| {
                let script = format!(
                    "echo {version} >> /data/versions; cat /data/versions; echo read; exec sleep 1000"
                );
                ServiceSpec {
                    volumes: vec![volume("data", None)],
                    ..shell("keeper", &script)
                }
            };
            let spec = workload("data", vec![keeper("one")]);
            provider.running(&spec).await;
            provider.adapter.pause(&spec.id).await.unwrap();
            provider.adapter.resume(&spec.id).await.unwrap();
            provider.until(&spec.id, Phase::Running).await;
            provider.adapter.stop(&spec.id).await.unwrap();
            let spec = workload("data", vec![keeper("two")]);
            provider.running(&spec).await;
            let text = provider.log_with(&spec.id, "read").await;
            assert_eq!(text, "one\none\ntwo\nread\n");

            let volumes: Api<PersistentVolume> = Api::all(provider.client.clone());
            let ours = |volume: &PersistentVolume| {
                let claim = volume
                    .spec
                    .as_ref()
                    .unwrap()
                    .claim_ref
                    .clone()
                    .unwrap_or_default();
                claim.namespace == Some(provider.namespace(&spec.id))
            };
            assert_eq!(
                volumes
                    .list(&ListParams::default())
                    .await
                    .unwrap()
                    .iter()
                    .filter(|v| ours(v))
                    .count(),
                1
            );
            provider.adapter.terminate(&spec.id).await.unwrap();
            assert_eq!(
                volumes
                    .list(&ListParams::default())
                    .await
                    .unwrap()
                    .iter()
                    .filter(|v| ours(v))
                    .count(),
                0
            );
            assert!(!provider.has_namespace(&spec.id).await);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_workload_loses_what_it_no_longer_has_and_gets_its_new_environment() {
    with_provider(
        |_| {},
        |provider| async move {
            let mut speaker = shell(
                "speaker",
                "echo it is \"$WORD\"; echo '$(WORD)' $WORD; exec sleep 1000",
            );
            speaker
                .env
                .insert("WORD".to_owned(), "first $(HOSTNAME)".to_owned());
            let spec = workload("change", vec![speaker.clone(), nginx("web", 1, false)]);
            provider.running(&spec).await;
            let text = provider.log_with(&spec.id, "$(WORD)").await;
            assert!(text.contains("it is first $(HOSTNAME)"), "{text}");
            speaker.env.insert("WORD".to_owned(), "second".to_owned());
            let spec = workload("change", vec![speaker]);
            let seen = provider.running(&spec).await;
            assert_eq!(seen.services.len(), 1);
            provider.log_with(&spec.id, "it is second").await;
            let services: Api<k8s_openapi::api::core::v1::Service> =
                Api::namespaced(provider.client.clone(), &provider.namespace(&spec.id));
            assert_eq!(
                services.list(&ListParams::default()).await.unwrap().items.len(),
                0
            );
            provider.adapter.terminate(&spec.id).await.unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_means_that_the_health_check_passes() {
    with_provider(
        |config| config.patience = std::time::Duration::from_secs(60),
        |provider| async move {
            let mut slow = shell("slow", "sleep 5; touch /tmp/well; exec sleep 1000");
            slow.health = Some(HealthCheck {
                probe: Probe::Exec {
                    command: ["test", "-e", "/tmp/well"].map(str::to_owned).to_vec(),
                },
                initial_delay_seconds: 0,
                period_seconds: 1,
                timeout_seconds: 1,
                failure_threshold: 30,
                success_threshold: 1,
            });
            let spec = workload("health", vec![slow]);
            provider.adapter.deploy(&spec).await.unwrap();
            let started = std::time::Instant::now();
            let mut words = Vec::new();
            loop {
                let seen = provider.adapter.observe(&spec.id).await.unwrap();
                if seen.phase == Phase::Running {
                    break;
                }
                assert_eq!(seen.phase, Phase::Starting, "{seen:?}");
                words.push(seen.message);
                assert!(
                    started.elapsed() < std::time::Duration::from_secs(60),
                    "{words:?}"
                );
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            assert!(started.elapsed() > std::time::Duration::from_secs(4));
            assert!(
                words
                    .iter()
                    .any(|word| word.contains("does not pass its health check")),
                "{words:?}"
            );
            provider.adapter.terminate(&spec.id).await.unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_never_touched() {
    with_provider(
        |_| {},
        |provider| async move {
            let canary = id("canary");
            let namespaces: Api<Namespace> = Api::all(provider.client.clone());
            let named = |name: &str, namespace: Option<String>| ObjectMeta {
                name: Some(name.to_owned()),
                namespace,
                ..ObjectMeta::default()
            };
            let own = provider.namespace(&canary);
            let foreign = Namespace {
                metadata: named(&own, None),
                ..Namespace::default()
            };
            namespaces.create(&PostParams::default(), &foreign).await.unwrap();
            let maps: Api<ConfigMap> = Api::namespaced(provider.client.clone(), &own);
            let map = ConfigMap {
                metadata: named("precious", Some(own.clone())),
                ..ConfigMap::default()
            };
            maps.create(&PostParams::default(), &map).await.unwrap();

            let spec = workload("canary", vec![service("web", "nginx:1.22")]);
            let refused = provider.adapter.deploy(&spec).await.unwrap_err();
            assert_eq!((refused.kind, refused.retry), (ErrorKind::Conflict, Retry::Never));
            assert!(refused.message.contains("is not ours"), "{refused}");
            assert!(!provider.adapter.list().await.unwrap().contains(&canary));
            assert_eq!(
                provider.adapter.observe(&canary).await.unwrap().phase,
                Phase::Gone
            );
            provider.adapter.terminate(&canary).await.unwrap();
            assert_eq!(
                provider.adapter.stop(&canary).await.unwrap_err().kind,
                ErrorKind::NotFound
            );
            maps.get("precious").await.unwrap();
            let left = namespaces.get(&own).await.unwrap();
            assert!(left.metadata.deletion_timestamp.is_none());
            assert!(!left.labels().contains_key("app.kubernetes.io/managed-by"));
            namespaces
                .delete(&own, &kube::api::DeleteParams::background())
                .await
                .unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_provider_of_the_same_cluster_sees_nothing_of_ours() {
    with_provider(
        |_| {},
        |provider| async move {
            let spec = workload("owned", vec![nginx("web", 1, false)]);
            provider.running(&spec).await;
            let other = Provider::connect(kubeconfig().unwrap(), |config| {
                config.owner = format!("test-{}-other", std::process::id());
            })
            .await;
            assert!(!other.adapter.list().await.unwrap().contains(&spec.id));
            assert_eq!(other.adapter.observe(&spec.id).await.unwrap().phase, Phase::Gone);
            other.adapter.terminate(&spec.id).await.unwrap();
            assert_eq!(
                other.adapter.deploy(&spec).await.unwrap_err().kind,
                ErrorKind::Conflict
            );
            assert_eq!(
                provider.adapter.observe(&spec.id).await.unwrap().phase,
                Phase::Running
            );
            let foreign = other.adapter.inventory().await.unwrap().foreign_use;
            let own = provider.adapter.inventory().await.unwrap();
            assert!(
                foreign.cpu_millis >= own.foreign_use.cpu_millis + 50,
                "{foreign:?} {own:?}"
            );
            assert!(
                own.capacity.cpu_millis >= 1000 && own.capacity.memory_bytes > 1 << 30,
                "{own:?}"
            );
            provider.adapter.terminate(&spec.id).await.unwrap();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_is_new_goes_on_with_half_a_workload() {
    with_provider(|_| {}, |provider| async move {
        // What a deploy that was killed after its first steps leaves.
        let spec = workload("half", vec![nginx("web", 1, true), shell("other", "exec sleep 1000")]);
        let half = workload("half", vec![nginx("web", 1, true)]);
        provider.adapter.deploy(&half).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(provider.client.clone());
        let change = serde_json::json!({ "metadata": { "annotations": { "virtengine.com/services": "other=1,web=1" } } });
        let own = provider.namespace(&spec.id);
        namespaces.patch(&own, &Default::default(), &kube::api::Patch::Merge(&change)).await.unwrap();
        let kubeconfig = kubeconfig().unwrap();
        drop(provider);

        let next = Provider::connect(kubeconfig, |_| {}).await;
        assert!(next.adapter.list().await.unwrap().contains(&spec.id));
        let seen = next.adapter.observe(&spec.id).await.unwrap();
        assert_eq!(seen.phase, Phase::Starting, "{seen:?}");
        assert_eq!(next.running(&spec).await.services.len(), 2);
        let quotas: Api<ResourceQuota> = Api::namespaced(next.client.clone(), &own);
        assert_eq!(quotas.list(&ListParams::default()).await.unwrap().items.len(), 1);
        next.adapter.terminate(&spec.id).await.unwrap();
        assert!(!next.has_namespace(&spec.id).await);
    })
    .await;
}

/// A change to a service that cannot be, how it is refused, and words of the refusal.
type Refusal = (fn(&mut ServiceSpec), ErrorKind, &'static str);

const REFUSALS: [Refusal; 10] = [
    (|s| s.count = 6, ErrorKind::Invalid, "at most 5"),
    (|s| s.cpu_millis = 8001, ErrorKind::Invalid, "at most 8000"),
    (
        |s| s.memory_bytes = (32 << 30) + 1,
        ErrorKind::Invalid,
        "at most 34359738368",
    ),
    (
        |s| "1web".clone_into(&mut s.name),
        ErrorKind::Invalid,
        "begins with a letter",
    ),
    (
        |s| s.volumes = vec![volume("data", Some("gold"))],
        ErrorKind::Invalid,
        "offered: directory",
    ),
    (
        |s| s.restart = RestartPolicy::Never,
        ErrorKind::Unsupported,
        "restart",
    ),
    (
        |s| s.kind = ServiceKind::Vm,
        ErrorKind::Unsupported,
        "virtual machine",
    ),
    (
        |s| s.gpu_models = vec!["vendor/amd/model/x".to_owned()],
        ErrorKind::Unsupported,
        "gpu of amd",
    ),
    (two_ports_in_one, ErrorKind::Invalid, "both 80"),
    (
        |s| drop(s.env.insert("A=B".to_owned(), String::new())),
        ErrorKind::Invalid,
        "A=B",
    ),
];

fn two_ports_in_one(service: &mut ServiceSpec) {
    let mut second = expose(81, true);
    second.external_port = 80;
    service.exposes = vec![expose(80, true), second];
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_before_the_first_call() {
    let offers = |config: &mut Config| config.storage_classes = vec!["directory".to_owned()];
    with_provider(offers, |provider| async move {
        for (change, kind, words) in REFUSALS {
            let mut changed = service("web", "nginx:1.22");
            change(&mut changed);
            let spec = workload("never", vec![changed]);
            let refused = provider.adapter.deploy(&spec).await.unwrap_err();
            assert_eq!((refused.kind, refused.retry), (kind, Retry::Never), "{refused}");
            assert!(refused.message.contains(words), "{refused}");
            assert!(!provider.has_namespace(&spec.id).await);
        }
    })
    .await;
}
