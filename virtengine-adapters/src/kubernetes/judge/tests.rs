//! Pods as a real cluster has written them (`recorded/`), and what is made of them.

use serde_json::{Value, json};

use super::*;

/// When the recorded pods were asked, about: 45 seconds after they were made.
fn recorded_at() -> Timestamp {
    Timestamp::from_seconds(1_795_579_400)
}

fn pod(text: &str) -> Arc<Pod> {
    Arc::new(serde_json::from_str(text).unwrap())
}

macro_rules! recorded {
    ($name:literal) => {
        pod(include_str!(concat!("recorded/", $name, ".json")))
    };
}

fn namespace(goal: &str, services: &str) -> Namespace {
    serde_json::from_value(json!({ "metadata": { "name": "virt-a", "annotations": {
        name::GOAL: goal, name::SERVICES: services,
    } } }))
    .unwrap()
}

fn deployment(status: Value) -> Arc<Deployment> {
    let object = json!({
        "metadata": { "name": "web", "generation": 2, "labels": { name::SERVICE: "web" } },
        "spec": { "replicas": 1, "selector": {}, "template": {} },
        "status": status,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn picture(pods: Vec<Arc<Pod>>) -> Picture {
    Picture {
        namespace: namespace("running", "web=1"),
        pods,
        deployments: vec![deployment(
            json!({ "observedGeneration": 2, "updatedReplicas": 1 }),
        )],
        ..Picture::default()
    }
}

fn rules(patience: u64) -> Rules {
    Rules {
        patience: Duration::from_secs(patience),
        told: Timestamp::EPOCH,
        crash_loop_after: 3,
    }
}

#[test]
fn recorded_pods_are_told_apart() {
    use Phase::{Failed, Running, Starting};
    // The name of the pod, the phase while there is patience and after it, the sentence.
    let cases = [
        (recorded!("well"), Running, Running, ""),
        (
            recorded!("unready"),
            Starting,
            Failed,
            "service web: it runs but does not pass its health check",
        ),
        (
            recorded!("noimage"),
            Starting,
            Failed,
            "service web: the image docker.io/library/absent:1 cannot be pulled: failed to",
        ),
        (
            recorded!("nogpu"),
            Starting,
            Failed,
            "service web: no node of the cluster can take it: 1 Insufficient nvidia.com/gpu",
        ),
        (
            recorded!("config"),
            Starting,
            Failed,
            "service web: it cannot be started: secret \"absent\" not found",
        ),
        (
            recorded!("mount"),
            Starting,
            Failed,
            "service web: it is being created",
        ),
        (
            recorded!("crash"),
            Failed,
            Failed,
            "service web: its program ended with exit status 3: no database (started 4 times)",
        ),
        (
            recorded!("oom"),
            Failed,
            Failed,
            "service web: it was killed because it used more memory than it has (started 4 times)",
        ),
        (
            recorded!("noprogram"),
            Failed,
            Failed,
            "service web: its program cannot be started: failed to create",
        ),
    ];
    for (pod, patient, impatient, words) in cases {
        let picture = picture(vec![Arc::clone(&pod)]);
        for (patience, phase) in [(3600, patient), (10, impatient)] {
            let judgement = judge(&picture, &rules(patience), recorded_at());
            assert_eq!(judgement.phase, phase, "{:?}: {judgement:?}", pod.metadata.name);
            assert!(judgement.message.starts_with(words), "{judgement:?}");
        }
    }
}

#[test]
fn patience_begins_anew_when_the_workload_is_told_to_run_again() {
    let told = Rules {
        told: recorded_at(),
        ..rules(10)
    };
    let picture = picture(vec![recorded!("noimage")]);
    assert_eq!(judge(&picture, &told, recorded_at()).phase, Phase::Starting);
}

#[test]
fn what_only_events_tell_is_told() {
    let mut waiting = picture(vec![recorded!("mount")]);
    assert!(wants_events(&waiting, recorded_at()));
    assert!(!wants_events(&picture(vec![recorded!("well")]), recorded_at()));
    let event = json!({
        "metadata": { "name": "e", "creationTimestamp": "2026-11-25T04:02:40Z" },
        "involvedObject": { "kind": "Pod", "name": "mount" },
        "reason": "FailedMount",
        "message": "MountVolume.SetUp failed for volume \"s\" : secret \"absent\" not found",
    });
    waiting.events = vec![serde_json::from_value(event).unwrap()];
    let judgement = judge(&waiting, &rules(10), recorded_at());
    assert_eq!(judgement.phase, Phase::Failed);
    assert!(
        judgement.message.contains("secret \"absent\" not found"),
        "{judgement:?}"
    );
}

#[test]
fn a_node_that_does_not_answer_is_nobodys_failure() {
    for pod in [recorded!("well"), recorded!("crash")] {
        let mut picture = picture(vec![pod]);
        picture.silent_nodes.insert("ve-node".to_owned());
        let judgement = judge(&picture, &rules(10), recorded_at());
        assert_eq!(judgement.phase, Phase::Unknown, "{judgement:?}");
        assert_eq!(judgement.services[0].ready, 0);
    }
}

#[test]
fn a_refused_replica_says_what_refuses_it() {
    let mut picture = picture(Vec::new());
    picture.deployments = vec![deployment(json!({ "observedGeneration": 2, "conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "lastTransitionTime": "2026-11-25T04:03:00Z",
        "message": "pods \"web-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
    }] }))];
    let judgement = judge(&picture, &rules(3600), recorded_at());
    assert_eq!(judgement.phase, Phase::Starting);
    let words = "service web: its quota does not allow another replica: q, requested: pods=1";
    assert!(judgement.message.starts_with(words), "{judgement:?}");
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Failed);
}

#[test]
fn an_evicted_pod_beside_a_good_one_is_history() {
    // The times of a container whose end nobody saw are null.
    let evicted = json!({
        "metadata": { "name": "old", "creationTimestamp": "2026-11-25T04:00:00Z", "labels": { name::SERVICE: "web" } },
        "status": {
            "phase": "Failed", "reason": "Evicted",
            "message": "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
            "containerStatuses": [{ "name": "service", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "terminated": { "exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null, "finishedAt": null } } }],
        },
    });
    let evicted: Arc<Pod> = Arc::new(serde_json::from_value(evicted).unwrap());
    let both = picture(vec![Arc::clone(&evicted), recorded!("well")]);
    assert_eq!(judge(&both, &rules(10), recorded_at()).phase, Phase::Running);
    let alone = judge(&picture(vec![evicted]), &rules(10), recorded_at());
    assert_eq!(alone.phase, Phase::Failed);
    assert_eq!(
        alone.message,
        "service web: a replica was put out of its node: Pod ephemeral local storage usage exceeds the total limit of containers 10Mi"
    );
}

#[test]
fn a_new_version_runs_only_when_all_of_it_is_there() {
    let mut picture = picture(vec![recorded!("well")]);
    for status in [
        json!({ "observedGeneration": 1, "updatedReplicas": 1 }),
        json!({ "observedGeneration": 2, "updatedReplicas": 0 }),
    ] {
        picture.deployments = vec![deployment(status)];
        let judgement = judge(&picture, &rules(10), recorded_at());
        assert_eq!(judgement.phase, Phase::Starting);
        assert_eq!(
            judgement.message,
            "service web: its new version is being rolled out"
        );
    }
}

#[test]
fn a_workload_rests_when_nothing_of_it_uses_anything() {
    let mut picture = picture(vec![recorded!("well")]);
    picture.namespace = namespace("paused", "web=1");
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Stopping);
    picture.pods.clear();
    // The controller would still make some.
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Stopping);
    picture.deployments.clear();
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Paused);
    picture.namespace = namespace("stopped", "web=1");
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Stopped);
    picture.namespace = namespace("something", "web=1");
    assert_eq!(judge(&picture, &rules(10), recorded_at()).phase, Phase::Unknown);
}

#[test]
fn a_removal_says_what_keeps_it() {
    let mut picture = picture(Vec::new());
    picture.namespace = serde_json::from_value(json!({
        "metadata": { "name": "virt-a", "deletionTimestamp": "2026-11-25T04:03:00Z" },
        "status": { "conditions": [{
            "type": "NamespaceDeletionDiscoveryFailure", "status": "True", "reason": "DiscoveryFailed",
            "lastTransitionTime": "2026-11-25T04:03:00Z",
            "message": "metrics.k8s.io/v1beta1: stale GroupVersion discovery",
        }] },
    }))
    .unwrap();
    let judgement = judge(&picture, &rules(10), recorded_at());
    assert_eq!(judgement.phase, Phase::Stopping);
    assert!(
        judgement.message.contains("stale GroupVersion discovery"),
        "{judgement:?}"
    );
}

#[test]
fn half_a_workload_is_being_set_up() {
    let mut picture = picture(vec![recorded!("well")]);
    picture.namespace = namespace("running", "db=1,web=1");
    let judgement = judge(&picture, &rules(10), recorded_at());
    assert_eq!(judgement.phase, Phase::Starting);
    assert_eq!(judgement.message, "service db: it is being set up");
}
