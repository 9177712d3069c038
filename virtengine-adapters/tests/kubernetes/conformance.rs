//! The rules of the conformance kit for the Kubernetes adapter, on a real cluster (`peers/kubernetes`).
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use virtengine_adapters::conformance::{FixtureResult, Open, Opened};
use virtengine_adapters::kubernetes::{Config, KubernetesFixture};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::time::Timestamp;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
}

struct Peer;

#[async_trait]
impl Open for Peer {
    type Fixture = KubernetesFixture;

    async fn open() -> FixtureResult<Opened<KubernetesFixture>> {
        let Some(kubeconfig) = std::env::var_os("VE_TEST_KUBECONFIG").map(PathBuf::from) else {
            let why = "VE_TEST_KUBECONFIG is not set: run peers/kubernetes/up.sh";
            return Ok(Opened::NotConfigured(why.to_owned()));
        };
        let mut config = Config::new(format!("test-{}", std::process::id()));
        config.kubeconfig = Some(kubeconfig);
        "vc-".clone_into(&mut config.namespace_prefix);
        config.gpus = false;
        config.stop_grace = Duration::from_secs(2);
        Ok(Opened::Ready(KubernetesFixture::new(
            config,
            Arc::new(SystemClock),
        )))
    }
}

virtengine_adapters::conformance!(Peer);
