//! What a tenant keeps secret.

use std::fmt;

use virtengine_provider_core::ports::adapter::AdapterResult;
use virtengine_provider_core::workload::{
    HealthCheck, Hook, ImageCredentials, Probe, ServiceSpec, WorkloadSpec,
};

use super::transport::able;
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};
use crate::conformance::fixture::Fault;

/// What must not be seen anywhere.
const NEEDLE: &str = "sesame-conformance-3f1c";

pub(crate) async fn secrets_are_in_no_error_and_no_observation(bench: &mut Bench<'_>) -> Finding {
    runs_silently(bench).await?;
    for nonsense in NONSENSE {
        let mut spec = bench.spec();
        for service in &mut spec.services {
            fill(service);
            nonsense(service);
        }
        deployed_silently(bench, &spec).await?;
    }
    Ok(())
}

/// Ways of asking for what most back ends refuse.
const NONSENSE: [fn(&mut ServiceSpec); 5] = [
    |_| {},
    |service| service.memory_bytes = 1 << 60,
    |service| service.image = "conformance.invalid/no-such-image:0".to_owned(),
    |service| {
        service.env.insert("NOT=A NAME".to_owned(), NEEDLE.to_owned());
    },
    |service| service.env.extend([("ZERO".to_owned(), format!("{NEEDLE}\0"))]),
];

/// A running workload with secrets of which the back end takes no notice.
async fn runs_silently(bench: &mut Bench<'_>) -> Finding {
    let mut spec = bench.spec();
    for service in &mut spec.services {
        hide(service);
    }
    bench.run(&spec).await?;
    look(bench, &spec).await?;
    Ok(bench.adapter().terminate(&spec.id).await?)
}

pub(crate) async fn secrets_are_in_no_failure_of_the_back_end(bench: &mut Bench<'_>) -> Finding {
    let faults = able(bench, Fault::Unavailable)?;
    let mut spec = bench.spec();
    for service in &mut spec.services {
        hide(service);
    }
    bench.run(&spec).await?;
    for fault in [Fault::Unavailable, Fault::LostAnswer, Fault::Denied] {
        if !faults.kinds().contains(&fault) {
            continue;
        }
        faults.arm(1, fault);
        let deployed = bench.adapter().deploy(&spec).await;
        faults.disarm();
        faults.arm(1, fault);
        let stopped = bench.adapter().stop(&spec.id).await;
        faults.disarm();
        is_silent("deploy", &deployed)?;
        is_silent("stop", &stopped)?;
        bench.run(&spec).await?;
    }
    bench.put_away(&spec.id).await
}

async fn deployed_silently(bench: &Bench<'_>, spec: &WorkloadSpec) -> Finding {
    let answer = bench.adapter().deploy(spec).await;
    is_silent("deploy", &answer)?;
    for _ in 0..3 {
        look(bench, spec).await?;
        bench.fixture.pass(bench.fixture.measurable() / 8).await;
    }
    let ended = bench.adapter().terminate(&spec.id).await;
    is_silent("terminate", &ended)
}

async fn look(bench: &Bench<'_>, spec: &WorkloadSpec) -> Finding {
    let adapter = bench.adapter();
    let words = format!("{adapter:?}");
    ensure!(
        !words.contains(NEEDLE),
        "a tenant's secret is in the adapter's Debug"
    );
    is_silent("observe", &adapter.observe(&spec.id).await)?;
    is_silent("usage", &adapter.usage(&spec.id).await)?;
    is_silent("inventory", &adapter.inventory().await)
}

fn is_silent<T: fmt::Debug>(call: &str, answer: &AdapterResult<T>) -> Finding {
    let words = match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    ensure!(
        !words.contains(NEEDLE),
        "a tenant's secret is in the answer of {call}: {}",
        words.replace(NEEDLE, "[the secret]")
    );
    Ok(())
}

/// Secrets that any workload may carry without running otherwise.
fn hide(service: &mut ServiceSpec) {
    service
        .env
        .insert("CONFORMANCE_SECRET".to_owned(), NEEDLE.to_owned());
    service.credentials = Some(ImageCredentials {
        host: "conformance.invalid".to_owned(),
        username: "conformance".to_owned(),
        email: String::new(),
        password: NEEDLE.to_owned(),
    });
}

/// Secrets everywhere. The workload need not run.
fn fill(service: &mut ServiceSpec) {
    hide(service);
    let command = || vec!["conformance".to_owned(), NEEDLE.to_owned()];
    service.command = command();
    service.args = command();
    service.health = Some(HealthCheck {
        probe: Probe::Exec { command: command() },
        initial_delay_seconds: 0,
        period_seconds: 1,
        timeout_seconds: 1,
        failure_threshold: 1,
        success_threshold: 1,
    });
    service.hooks.post_start = Some(Hook {
        probe: Probe::Exec { command: command() },
        timeout_seconds: 1,
    });
}
