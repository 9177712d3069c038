//! What goes wrong, as a tenant is told.

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use virtengine_provider_core::ports::adapter::{Adapter, Phase};
use virtengine_provider_core::workload::ServiceSpec;

use super::support::{nginx, service, shell, volume, with_provider, workload};

/// Deploys, waits until it is called failed, and gives the sentence.
async fn failure(name: &str, broken: ServiceSpec) -> Option<String> {
    let mut words = None;
    with_provider(
        |_| {},
        |provider| {
            let words = &mut words;
            async move {
                let spec = workload(name, vec![broken]);
                provider.adapter.deploy(&spec).await.unwrap();
                let seen = provider.until(&spec.id, Phase::Failed).await;
                println!("{name}: {}", seen.message);
                assert_eq!(seen.services[0].ready, 0);
                *words = Some(seen.message);
                provider.adapter.terminate(&spec.id).await.unwrap();
                assert!(!provider.has_namespace(&spec.id).await);
            }
        },
    )
    .await;
    words
}

async fn check(name: &str, broken: ServiceSpec, expected: &[&str]) {
    let Some(words) = failure(name, broken).await else {
        return;
    };
    for expected in expected {
        assert!(words.contains(expected), "{expected:?} is not in {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there() {
    let expected = ["service web: the image docker.io/library/absent:1 cannot be pulled"];
    check("noimage", service("web", "docker.io/library/absent:1"), &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_name_is_none() {
    check(
        "badimage",
        service("web", "UPPER///x"),
        &["is not the name of an image"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_again_and_again() {
    let expected = [
        "service web: its program ended with exit status 3",
        "no database",
        "started 4 times",
    ];
    check("crash", shell("web", "echo no database >&2; exit 3"), &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist() {
    let broken = ServiceSpec {
        command: vec!["/no/such/program".to_owned()],
        ..service("web", "busybox:1.35")
    };
    check("noprogram", broken, &["its program cannot be started"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_uses_too_much_memory() {
    let broken = ServiceSpec {
        memory_bytes: 32 << 20,
        cpu_millis: 200,
        ..shell("web", "tail /dev/zero")
    };
    check(
        "oom",
        broken,
        &["it was killed because it used more memory than it has"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_no_node_has() {
    let broken = ServiceSpec {
        gpus: 1,
        ..service("web", "nginx:1.22")
    };
    check(
        "nogpu",
        broken,
        &[
            "no node of the cluster can take it",
            "Insufficient nvidia.com/gpu",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_class_that_does_not_exist() {
    let broken = ServiceSpec {
        volumes: vec![volume("data", Some("absent"))],
        ..service("web", "nginx:1.22")
    };
    check(
        "noclass",
        broken,
        &["its volume cannot be made: there is no storage class", "absent"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fills_its_disk() {
    let mut broken = shell(
        "web",
        "dd if=/dev/zero of=/tmp/x bs=1M count=400; exec sleep 1000",
    );
    broken.cpu_millis = 300;
    check("disk", broken, &["was put out of its node", "ephemeral"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_somebody_has_made_smaller() {
    with_provider(
        |_| {},
        |provider| async move {
            for (name, keeps) in [("quota", false), ("quotaset", true)] {
                let volumes = if keeps {
                    vec![volume("data", None)]
                } else {
                    Vec::new()
                };
                let spec = workload(
                    name,
                    vec![ServiceSpec {
                        volumes,
                        ..nginx("web", 2, false)
                    }],
                );
                provider.running(&spec).await;
                let own = provider.namespace(&spec.id);
                let quotas: Api<ResourceQuota> = Api::namespaced(provider.client.clone(), &own);
                let change = json!({ "spec": { "hard": { "pods": "1" } } });
                quotas
                    .patch("workload", &PatchParams::default(), &Patch::Merge(&change))
                    .await
                    .unwrap();
                let pods: Api<Pod> = Api::namespaced(provider.client.clone(), &own);
                for pod in pods.list(&ListParams::default()).await.unwrap() {
                    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                        .await
                        .unwrap();
                }
                let seen = provider.until(&spec.id, Phase::Failed).await;
                println!("{name}: {}", seen.message);
                assert!(
                    seen.message.contains("its quota does not allow another replica"),
                    "{seen:?}"
                );
                assert_eq!((seen.services[0].ready, seen.services[0].wanted), (1, 2));
                // What we own is as we want it after the next deploy.
                provider.running(&spec).await;
                provider.adapter.terminate(&spec.id).await.unwrap();
            }
        },
    )
    .await;
}
