//! What is rendered, by its words: a change here is a change of what tenants get.

use std::time::Duration;

use serde_json::{Value, json};
use virtengine_provider_core::workload::{
    ExposeSpec, HealthCheck, Hook, Hooks, ImageCredentials, Probe, Protocol, RestartPolicy, ServiceKind,
    VolumeSpec,
};

use super::*;
use crate::kubernetes::config::IngressConfig;

fn expose(port: u16, external_port: u16, global: bool) -> ExposeSpec {
    ExposeSpec {
        port,
        external_port,
        protocol: Protocol::Tcp,
        global,
        to_services: Vec::new(),
        hosts: Vec::new(),
        ip: None,
    }
}

fn volume(name: &str, bytes: u64, mount: Option<&str>, persistent: bool) -> VolumeSpec {
    VolumeSpec {
        name: name.to_owned(),
        bytes,
        mount: mount.map(str::to_owned),
        persistent,
        class: None,
        read_only: false,
    }
}

/// One service with everything.
fn spec() -> WorkloadSpec {
    let web = ServiceSpec {
        name: "web".to_owned(),
        image: "registry.example.com/web:1".to_owned(),
        kind: ServiceKind::Container,
        command: vec!["serve".to_owned(), "$(PORT) costs $5".to_owned()],
        args: Vec::new(),
        env: [("PASSWORD".to_owned(), "sesame".to_owned())].into(),
        count: 3,
        cpu_millis: 250,
        memory_bytes: 512 << 20,
        gpus: 1,
        gpu_models: vec!["vendor/nvidia/model/a100".to_owned()],
        volumes: vec![
            volume("default", 1 << 30, None, false),
            volume("cache", 1 << 20, Some("/cache"), false),
        ],
        exposes: vec![expose(8080, 80, true), expose(5432, 5432, false)],
        restart: RestartPolicy::Always,
        health: Some(HealthCheck {
            probe: Probe::Http {
                path: "/health".to_owned(),
                port: 8080,
                https: false,
            },
            initial_delay_seconds: 5,
            period_seconds: 0,
            timeout_seconds: 2,
            failure_threshold: 3,
            success_threshold: 2,
        }),
        hooks: Hooks {
            post_start: None,
            pre_stop: Some(Hook {
                probe: Probe::Exec {
                    command: vec!["bye".to_owned()],
                },
                timeout_seconds: 7,
            }),
        },
        credentials: Some(ImageCredentials {
            host: "registry.example.com".to_owned(),
            username: "me".to_owned(),
            email: String::new(),
            password: "open".to_owned(),
        }),
    };
    let db = ServiceSpec {
        name: "db".to_owned(),
        volumes: vec![volume("data", 5 << 30, Some("/data"), true)],
        exposes: vec![ExposeSpec {
            to_services: vec!["web".to_owned()],
            ..expose(5432, 5432, false)
        }],
        count: 1,
        gpus: 0,
        gpu_models: Vec::new(),
        env: BTreeMap::new(),
        command: Vec::new(),
        health: None,
        hooks: Hooks::default(),
        credentials: None,
        ..web.clone()
    };
    WorkloadSpec {
        id: "w1".parse().unwrap(),
        lease: None,
        services: vec![db, web],
    }
}

fn value(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn rendered(change: impl FnOnce(&mut Config)) -> Objects {
    let mut config = Config::new("ve1owner");
    change(&mut config);
    let facts = Facts {
        nodes: vec![
            Network::parse("203.0.113.7/32").unwrap(),
            Network::parse("10.0.0.9/32").unwrap(),
        ],
        environments: [("web".to_owned(), "42".to_owned())].into(),
        at: Timestamp::from_millis(7),
    };
    objects(&config, &spec(), &facts)
}

#[test]
fn a_container_gets_what_was_bought_and_nothing_more() {
    let objects = rendered(|_| {});
    let deployment = value(&objects.deployments[0]);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let amounts = json!({
        "cpu": "250m", "memory": "536870912", "ephemeral-storage": "1074790400", "nvidia.com/gpu": "1",
    });
    assert_eq!(
        container["resources"],
        json!({ "limits": amounts, "requests": amounts })
    );
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    assert_eq!(container["command"], json!(["serve", "$$(PORT) costs $$5"]));
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(
        pod["securityContext"],
        json!({ "seccompProfile": { "type": "RuntimeDefault" } })
    );
    assert_eq!(pod["terminationGracePeriodSeconds"], 17);
    assert_eq!(
        pod["volumes"],
        json!([{ "name": "cache", "emptyDir": { "sizeLimit": "1048576" } }])
    );
    assert_eq!(
        pod["imagePullSecrets"][0]["name"],
        Value::String(name::part("pull", "web"))
    );
    let nodes = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(
        nodes["nodeSelectorTerms"][0]["matchExpressions"][0],
        json!({ "key": "virtengine.com/gpu-model", "operator": "In", "values": ["a100"] })
    );
    let probe = json!({
        "httpGet": { "path": "/health", "port": 8080, "scheme": "HTTP" },
        "initialDelaySeconds": 5, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3, "successThreshold": 2,
    });
    assert_eq!(container["readinessProbe"], probe);
    assert_eq!(container["livenessProbe"]["successThreshold"], 1);
    assert_eq!(
        container["lifecycle"],
        json!({ "preStop": { "exec": { "command": ["bye"] } } })
    );
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({ "maxSurge": 0, "maxUnavailable": 1 })
    );
    assert_eq!(deployment["spec"]["progressDeadlineSeconds"], 240);
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["annotations"][name::ENVIRONMENT],
        "42"
    );
    // When it was told to run does not make new pods.
    assert!(
        deployment["spec"]["template"]["metadata"]["annotations"]
            .get(name::TOLD)
            .is_none()
    );
    // No secret is anywhere but in secrets.
    assert!(!deployment.to_string().contains("sesame"));
}

#[test]
fn the_quota_is_the_sum_of_what_was_bought() {
    let objects = rendered(|_| {});
    assert_eq!(
        value(&objects.quota)["spec"]["hard"],
        json!({
            "pods": "4", "requests.cpu": "1000m", "limits.cpu": "1000m",
            "requests.memory": "2147483648", "limits.memory": "2147483648",
            "requests.ephemeral-storage": "3492806656", "limits.ephemeral-storage": "3492806656",
            "requests.storage": "5368709120", "requests.nvidia.com/gpu": "3",
        })
    );
    let item = &value(&objects.limits)["spec"]["limits"][0];
    assert!(item["defaultRequest"]["cpu"].is_string() && item["default"]["memory"].is_string());
}

#[test]
fn data_are_claimed_per_replica_and_kept() {
    let objects = rendered(|config| config.storage_class_default = Some("fast".to_owned()));
    let set = value(&objects.stateful_sets[0]);
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["metadata"]["name"], "data");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "5368709120");
    let kept = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
    assert_eq!(set["spec"]["persistentVolumeClaimRetentionPolicy"], kept);
    let mounts = &set["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
    assert_eq!(*mounts, json!([{ "name": "data", "mountPath": "/data" }]));
}

#[test]
fn every_policy_has_one_direction() {
    let objects = rendered(|_| {});
    let policies: Vec<Value> = objects.policies.iter().map(value).collect();
    assert!(
        policies
            .iter()
            .all(|policy| policy["spec"]["policyTypes"].as_array().unwrap().len() == 1)
    );
    let egress = policies
        .iter()
        .find(|policy| policy["metadata"]["name"] == "egress")
        .unwrap();
    let internet = &egress["spec"]["egress"][2]["to"];
    let except = internet[0]["ipBlock"]["except"].as_array().unwrap();
    for denied in ["169.254.0.0/16", "10.0.0.0/8", "203.0.113.7/32"] {
        assert!(except.contains(&json!(denied)), "{denied} in {except:?}");
    }
    // What a larger network covers is not said twice, and families are not mixed.
    assert!(!except.contains(&json!("10.0.0.9/32")) && !except.contains(&json!("fc00::/7")));
    assert_eq!(
        internet[1]["ipBlock"]["except"],
        json!(["fc00::/7", "fe80::/10", "ff00::/8"])
    );
    let db = policies
        .iter()
        .find(|policy| policy["metadata"]["name"] == name::part("ingress", "db"))
        .unwrap();
    assert_eq!(
        db["spec"]["ingress"],
        json!([
            { "from": [{ "podSelector": { "matchLabels": { name::SERVICE: "db" } } }] },
            { "from": [{ "podSelector": { "matchLabels": { name::SERVICE: "web" } } }],
              "ports": [{ "port": 5432, "protocol": "TCP" }] },
        ])
    );
    assert_eq!(rendered(|config| config.network_policies = false).policies, []);
}

#[test]
fn global_ports_are_published_as_the_operator_says() {
    let kinds = |objects: &Objects| -> Vec<(String, String)> {
        let kind = |service: &Service| value(service)["spec"]["type"].as_str().unwrap().to_owned();
        objects
            .services
            .iter()
            .map(|service| (service.metadata.name.clone().unwrap(), kind(service)))
            .collect()
    };
    let pair = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let objects = rendered(|_| {});
    let public = name::part(PUBLIC, "web");
    assert_eq!(
        kinds(&objects),
        [
            pair("db", "ClusterIP"),
            pair("web", "ClusterIP"),
            pair(&public, "NodePort")
        ]
    );
    assert_eq!(
        value(&objects.services[2])["spec"]["ports"],
        json!([{ "name": "tcp-80", "port": 80, "protocol": "TCP", "targetPort": 8080 }])
    );
    let objects = rendered(|config| {
        config.ingress = Some(IngressConfig {
            class: Some("nginx".to_owned()),
            domain: "apps.example.com".to_owned(),
        });
    });
    assert_eq!(
        kinds(&objects),
        [pair("db", "ClusterIP"), pair("web", "ClusterIP")]
    );
    let host = format!("web-{}.apps.example.com", name::hash("w1"));
    assert_eq!(
        value(&objects.services[1])["metadata"]["annotations"][name::HOSTS],
        Value::String(host.clone())
    );
    let rule = &value(&objects.ingresses[0])["spec"]["rules"][0];
    assert_eq!(rule["host"], Value::String(host));
    assert_eq!(
        rule["http"]["paths"][0]["backend"]["service"],
        json!({ "name": "web", "port": { "number": 80 } })
    );
}

#[test]
fn a_namespace_says_what_is_wanted_and_is_read_back() {
    let config = Config::new("ve1owner");
    let namespace = value(&namespace(&config, &spec(), Timestamp::from_millis(7)));
    assert_eq!(namespace["metadata"]["name"], "virt-w1");
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "baseline"
    );
    let annotations = &namespace["metadata"]["annotations"];
    assert_eq!(annotations[name::GOAL], "running");
    let services = services_of_text(annotations[name::SERVICES].as_str().unwrap());
    assert_eq!(
        services,
        BTreeMap::from([("db".to_owned(), 1), ("web".to_owned(), 3)])
    );
    assert_eq!(
        services_of_text("a=1,b,=,c=x"),
        BTreeMap::from([("a".to_owned(), 1)])
    );
    for goal in [Goal::Running, Goal::Paused, Goal::Stopped] {
        assert_eq!(Goal::of_word(goal.word()), Some(goal));
    }
}

#[test]
fn secrets_hold_the_environment_and_the_login() {
    let config = Config::new("ve1owner");
    let secrets = secrets(&config, &spec());
    assert_eq!(secrets.len(), 2);
    let (service, environment) = &secrets[0];
    assert_eq!(service.as_deref(), Some("web"));
    assert_eq!(environment.data.as_ref().unwrap()["PASSWORD"].0, b"sesame");
    let (service, login) = &secrets[1];
    assert_eq!(service.as_deref(), None);
    let document: Value =
        serde_json::from_slice(&login.data.as_ref().unwrap()[".dockerconfigjson"].0).unwrap();
    assert_eq!(document["auths"]["registry.example.com"]["auth"], "bWU6b3Blbg==");
    assert!(config.stop_grace >= Duration::from_secs(1));
}
