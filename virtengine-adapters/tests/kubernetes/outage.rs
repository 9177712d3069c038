//! A cluster that goes away and comes back.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use virtengine_provider_core::ports::adapter::{Adapter, ErrorKind, Phase};

use super::support::{CLUSTER, Provider, kubeconfig, nginx, workload};

/// Ends one daemon of the peer, by the id that the peer has written down.
fn kill(state: &Path, daemon: &str) {
    let pid = std::fs::read_to_string(state.join("run").join(format!("{daemon}.pid"))).unwrap();
    assert!(
        Command::new("kill")
            .args(["-9", pid.trim()])
            .status()
            .unwrap()
            .success()
    );
}

fn up() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/kubernetes/up.sh");
    let output = Command::new(script)
        .env("VE_PEER_TEST_RUN", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Brings the peer back, whatever happens.
struct Back;

impl Drop for Back {
    fn drop(&mut self) {
        up();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_away_is_unknown_and_what_ran_is_found_again() {
    let Some(kubeconfig) = kubeconfig() else {
        return;
    };
    let _alone = CLUSTER.write().await;
    let state = kubeconfig.parent().unwrap().to_owned();
    let provider = Provider::connect(kubeconfig.clone(), |config| {
        config.call_timeout = Duration::from_secs(5);
    })
    .await;
    let spec = workload("outage", vec![nginx("web", 1, true)]);
    let endpoint = provider.running(&spec).await.endpoints.remove(0);
    let back = Back;
    kill(&state, "apiserver");
    let away = Instant::now();
    let seen = loop {
        let seen = provider.adapter.observe(&spec.id).await.unwrap();
        assert!([Phase::Running, Phase::Unknown].contains(&seen.phase), "{seen:?}");
        if seen.phase == Phase::Unknown {
            break seen;
        }
        assert!(away.elapsed() < Duration::from_secs(15), "{seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("unknown after {:?}: {}", away.elapsed(), seen.message);
    for error in [
        provider.adapter.usage(&spec.id).await.unwrap_err(),
        provider.adapter.list().await.unwrap_err(),
        provider.adapter.inventory().await.unwrap_err(),
        provider.adapter.terminate(&spec.id).await.unwrap_err(),
        provider.adapter.deploy(&spec).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
    // An adapter that is started meanwhile knows as little.
    let young = Provider::connect(kubeconfig, |config| {
        config.call_timeout = Duration::from_secs(2);
    })
    .await;
    assert_eq!(
        young.adapter.observe(&spec.id).await.unwrap().phase,
        Phase::Unknown
    );
    drop(back);
    for provider in [&provider, &young] {
        let seen = provider.until(&spec.id, Phase::Running).await;
        assert_eq!(seen.services[0].restarts, 0);
        assert_eq!(seen.endpoints[0], endpoint);
    }
    provider.adapter.terminate(&spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_unknown_and_never_failed() {
    let Some(kubeconfig) = kubeconfig() else {
        return;
    };
    let _alone = CLUSTER.write().await;
    let state = kubeconfig.parent().unwrap().to_owned();
    let provider = Provider::connect(kubeconfig, |_| {}).await;
    let spec = workload("silent", vec![nginx("web", 1, false)]);
    provider.running(&spec).await;
    provider.adapter.usage(&spec.id).await.unwrap();
    let back = Back;
    kill(&state, "kubelet");
    let away = Instant::now();
    let seen = loop {
        let seen = provider.adapter.observe(&spec.id).await.unwrap();
        assert!([Phase::Running, Phase::Unknown].contains(&seen.phase), "{seen:?}");
        if seen.phase == Phase::Unknown {
            break seen;
        }
        assert!(away.elapsed() < Duration::from_secs(90), "{seen:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    println!("unknown after {:?}: {}", away.elapsed(), seen.message);
    assert!(seen.message.contains("does not answer"), "{seen:?}");
    assert_eq!(
        provider.adapter.usage(&spec.id).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    drop(back);
    let seen = provider.until(&spec.id, Phase::Running).await;
    assert_eq!(seen.services[0].restarts, 0);
    provider.adapter.terminate(&spec.id).await.unwrap();
}
