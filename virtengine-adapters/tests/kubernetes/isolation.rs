//! Who reaches whom.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::workload::{ExposeSpec, ServiceSpec};

use super::support::{Provider, expose, nginx, shell, with_provider, workload};

async fn address_of_pod(provider: &Provider, id: &virtengine_provider_core::id::WorkloadId) -> String {
    let pods: Api<Pod> = Api::namespaced(provider.client.clone(), &provider.namespace(id));
    let pods = pods.list(&ListParams::default()).await.unwrap();
    pods.items[0].status.as_ref().unwrap().pod_ip.clone().unwrap()
}

async fn address_of_node(provider: &Provider) -> String {
    let nodes: Api<Node> = Api::all(provider.client.clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0);
    let addresses = node.status.unwrap().addresses.unwrap();
    addresses
        .into_iter()
        .find(|address| address.type_ == "InternalIP")
        .unwrap()
        .address
}

/// A script that says of each target whether it connects. Debian's wget has no timeout of its own that works.
fn probe(targets: &[(&str, &str, u16)]) -> String {
    let mut script = "sleep 4\n".to_owned();
    for (name, host, port) in targets {
        script.push_str(&format!(
            "if timeout 3 sh -c 'echo | nc {host} {port} >/dev/null'; then echo {name}=open; else echo {name}=shut; fi\n"
        ));
    }
    script.push_str("echo done\nexec sleep 1000\n");
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reaches_its_own_and_nobody_elses() {
    with_provider(
        |_| {},
        |provider| async move {
            let victim = workload("victim", vec![nginx("web", 1, false)]);
            provider.running(&victim).await;
            let (pod, node) = (
                address_of_pod(&provider, &victim.id).await,
                address_of_node(&provider).await,
            );
            let service = format!("web.{}.svc.cluster.local", provider.namespace(&victim.id));
            let targets = [
                ("own", "web", 80),
                ("own_hidden", "db", 80),
                ("victim_pod", pod.as_str(), 80),
                ("victim_service", service.as_str(), 80),
                ("api", node.as_str(), 6443),
                ("api_service", "kubernetes.default.svc.cluster.local", 443),
                ("kubelet", node.as_str(), 10250),
                ("metadata", "169.254.169.254", 80),
            ];
            let db = ServiceSpec {
                exposes: vec![ExposeSpec {
                    to_services: vec!["web".to_owned()],
                    ..expose(80, false)
                }],
                ..nginx("db", 1, false)
            };
            let nosy = ServiceSpec {
                cpu_millis: 100,
                ..shell("nosy", &probe(&targets))
            };
            let spec = workload("nosy", vec![db, nosy, nginx("web", 1, false)]);
            provider.adapter.deploy(&spec).await.unwrap();
            let text = provider.log_with(&spec.id, "done").await;
            println!("with policies:\n{text}");
            assert!(text.contains("own=open"), "{text}");
            for shut in [
                "own_hidden",
                "victim_pod",
                "victim_service",
                "api",
                "api_service",
                "kubelet",
                "metadata",
            ] {
                assert!(text.contains(&format!("{shut}=shut")), "{shut} in {text}");
            }
            provider.adapter.terminate(&spec.id).await.unwrap();
            provider.adapter.terminate(&victim.id).await.unwrap();
        },
    )
    .await;
}

/// Without policies the same targets answer: what the test above shows is their work.
#[tokio::test(flavor = "multi_thread")]
async fn without_policies_everything_would_be_open() {
    with_provider(
        |config| config.network_policies = false,
        |provider| async move {
            assert!(!provider.adapter.capabilities().isolation);
            let victim = workload("openvictim", vec![nginx("web", 1, false)]);
            provider.running(&victim).await;
            let (pod, node) = (
                address_of_pod(&provider, &victim.id).await,
                address_of_node(&provider).await,
            );
            let targets = [
                ("victim_pod", pod.as_str(), 80),
                ("api", node.as_str(), 6443),
                ("kubelet", node.as_str(), 10250),
                ("metadata", "169.254.169.254", 80),
            ];
            let nosy = ServiceSpec {
                cpu_millis: 100,
                ..shell("nosy", &probe(&targets))
            };
            let spec = workload("opennosy", vec![nosy]);
            provider.adapter.deploy(&spec).await.unwrap();
            let text = provider.log_with(&spec.id, "done").await;
            println!("without policies:\n{text}");
            for open in ["victim_pod", "api", "kubelet", "metadata"] {
                assert!(text.contains(&format!("{open}=open")), "{open} in {text}");
            }
            provider.adapter.terminate(&spec.id).await.unwrap();
            provider.adapter.terminate(&victim.id).await.unwrap();
        },
    )
    .await;
}
