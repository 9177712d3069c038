//! What is said is what is so.

use virtengine_provider_core::ports::adapter::{Phase, ServiceObservation};
use virtengine_provider_core::workload::WorkloadSpec;

use super::transport::{CALLS_MAX, able};
use crate::conformance::bench::Bench;
use crate::conformance::finding::{Finding, ensure};
use crate::conformance::fixture::Fault;

pub(crate) async fn a_killed_workload_is_not_said_to_run_on(bench: &mut Bench<'_>) -> Finding {
    let kill = bench.fixture.kill()?;
    let spec = bench.running().await?;
    let restarts = |services: &[ServiceObservation]| {
        services
            .iter()
            .map(|service| u64::from(service.restarts))
            .sum::<u64>()
    };
    let before = restarts(&bench.until(&spec.id, Phase::Running).await?.services);
    kill.kill_workload(&spec.id).await?;
    // A back end that starts it again at once counts that.
    let what = "anything but running on as before";
    bench
        .observed(&spec.id, what, |seen| {
            seen.phase != Phase::Running || restarts(&seen.services) > before
        })
        .await?;
    bench.end(&spec.id).await
}

pub(crate) async fn a_failed_question_is_never_an_answer(bench: &mut Bench<'_>) -> Finding {
    let faults = able(bench, Fault::Unavailable)?;
    let spec = bench.running().await?;
    for fault in SILENCES {
        if faults.kinds().contains(&fault) {
            asked_in_silence(bench, &spec, fault).await?;
        }
    }
    Ok(bench.adapter().terminate(&spec.id).await?)
}

/// The faults after which a question has no answer.
const SILENCES: [Fault; 4] = [
    Fault::Unavailable,
    Fault::LostAnswer,
    Fault::Denied,
    Fault::RateLimited,
];

/// Asks with the k-th call failing, for every k.
async fn asked_in_silence(bench: &Bench<'_>, spec: &WorkloadSpec, fault: Fault) -> Finding {
    let faults = able(bench, fault)?;
    for k in 1.. {
        ensure!(k <= CALLS_MAX, "an observation makes more than {CALLS_MAX} calls");
        faults.arm(k, fault);
        let seen = bench.adapter().observe(&spec.id).await;
        let reached_by_observe = faults.disarm();
        if let Ok(seen) = seen {
            ensure!(
                matches!(seen.phase, Phase::Running | Phase::Unknown),
                "call {k} of an observation met {fault:?}, and the running workload is said to be {:?}",
                seen.phase
            );
        }
        faults.arm(k, fault);
        let listed = bench.adapter().list().await;
        let reached_by_list = faults.disarm();
        if let Ok(listed) = listed {
            ensure!(
                listed.contains(&spec.id),
                "call {k} of a list met {fault:?}, and the list is there, but without the workload"
            );
        }
        if !reached_by_observe && !reached_by_list {
            break;
        }
    }
    Ok(())
}
