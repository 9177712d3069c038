//! Calls of the transport that fail, one after the other.

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{AdapterError, AdapterResult, Retry};
use virtengine_provider_core::workload::WorkloadSpec;

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Break, Finding, ensure};
use crate::conformance::fixture::{Fault, Faults, Unable};

/// No deploy or terminate makes more calls than this; one that does not end is not tried for ever.
pub(crate) const CALLS_MAX: u64 = 1000;

/// The faults of the fixture, if it can do this one.
pub(crate) fn able<'f>(bench: &Bench<'f>, fault: Fault) -> Finding<&'f dyn Faults> {
    let faults = bench.fixture.faults()?;
    if faults.kinds().contains(&fault) {
        return Ok(faults);
    }
    Err(Unable(match fault {
        Fault::Unavailable => "the fixture cannot make a call be refused",
        Fault::LostAnswer => "the fixture cannot lose an answer",
        Fault::Cut => "the fixture cannot cut off a call",
        Fault::Delayed => "the fixture cannot delay a call",
        Fault::Denied => "the fixture cannot make credentials be refused",
        Fault::RateLimited => "the fixture cannot make a call be put off",
    })
    .into())
}

/// How a call on which a fault was armed has ended.
struct Struck<T> {
    answer: AdapterResult<T>,
    /// Whether the fault was reached.
    reached: bool,
}

/// What is done after a deploy that failed.
#[derive(Clone, Copy)]
enum Afterwards {
    DoAgain,
    GiveUp,
}

async fn deploys(bench: &mut Bench<'_>, fault: Fault) -> Finding {
    let faults = able(bench, fault)?;
    let footprint = bench.usual_footprint().await?;
    for afterwards in [Afterwards::DoAgain, Afterwards::GiveUp] {
        for k in 1.. {
            ensure!(k <= CALLS_MAX, "a deploy makes more than {CALLS_MAX} calls");
            let spec = bench.spec();
            faults.arm(k, fault);
            let answer = bench.adapter().deploy(&spec).await;
            let reached = faults.disarm();
            let struck = Struck { answer, reached };
            let trial = deploy_ended(bench, &spec, &struck, afterwards, &footprint).await;
            named(k, trial)?;
            if !reached {
                break;
            }
        }
    }
    Ok(())
}

/// Says which call it was that failed.
fn named(k: u64, trial: Finding) -> Finding {
    trial.map_err(|found| match found {
        Break::Broken(words) => Break::Broken(format!("call {k} was made to fail: {words}")),
        other @ Break::NotApplicable(_) => other,
    })
}

async fn deploy_ended(
    bench: &mut Bench<'_>,
    spec: &WorkloadSpec,
    struck: &Struck<()>,
    afterwards: Afterwards,
    footprint: &[String],
) -> Finding {
    match (&struck.answer, struck.reached) {
        (Err(error), false) => return Err(error.clone().into()),
        (Err(error), true) => may_be_tried_again(error)?,
        (Ok(()), _) => {}
    }
    if struck.answer.is_err() {
        let listed = bench.listed().await?.contains(&spec.id);
        let objects = bench.objects().await?;
        ensure!(
            listed || objects.is_empty(),
            "the failed deploy left {objects:?}, but the workload is not listed, so nobody will look for them"
        );
    }
    if matches!(afterwards, Afterwards::DoAgain) {
        bench.run(spec).await?;
        bench.is_one(&spec.id, footprint).await?;
    } else {
        // Whoever gives up may have been restarted meanwhile.
        bench.restart().await?;
    }
    bench.end(&spec.id).await
}

async fn terminates(bench: &mut Bench<'_>, fault: Fault) -> Finding {
    let faults = able(bench, fault)?;
    for k in 1.. {
        ensure!(k <= CALLS_MAX, "a terminate makes more than {CALLS_MAX} calls");
        let spec = bench.running().await?;
        faults.arm(k, fault);
        let answer = bench.adapter().terminate(&spec.id).await;
        let reached = faults.disarm();
        let struck = Struck { answer, reached };
        named(k, terminate_ended(bench, &spec.id, struck).await)?;
        if !reached {
            break;
        }
    }
    Ok(())
}

async fn terminate_ended(bench: &Bench<'_>, id: &WorkloadId, struck: Struck<()>) -> Finding {
    match (struck.answer, struck.reached) {
        // It has said that all is gone, so it is.
        (Ok(()), _) => return bench.nothing_is_left().await,
        (Err(error), false) => return Err(error.into()),
        (Err(error), true) => may_be_tried_again(&error)?,
    }
    bench.end(id).await
}

fn may_be_tried_again(error: &AdapterError) -> Finding {
    ensure!(
        error.retry != Retry::Never,
        "the back end failed, which passes, but the error says never to try again: {error}"
    );
    Ok(())
}

pub(crate) async fn every_call_of_a_deploy_may_fail(bench: &mut Bench<'_>) -> Finding {
    deploys(bench, Fault::Unavailable).await
}

pub(crate) async fn every_call_of_a_terminate_may_fail(bench: &mut Bench<'_>) -> Finding {
    terminates(bench, Fault::Unavailable).await
}

pub(crate) async fn every_answer_of_a_deploy_may_be_lost(bench: &mut Bench<'_>) -> Finding {
    deploys(bench, Fault::LostAnswer).await
}

pub(crate) async fn every_answer_of_a_terminate_may_be_lost(bench: &mut Bench<'_>) -> Finding {
    terminates(bench, Fault::LostAnswer).await
}

pub(crate) async fn every_call_of_a_deploy_may_be_cut_off(bench: &mut Bench<'_>) -> Finding {
    deploys(bench, Fault::Cut).await
}

pub(crate) async fn every_call_of_a_terminate_may_be_cut_off(bench: &mut Bench<'_>) -> Finding {
    terminates(bench, Fault::Cut).await
}

pub(crate) async fn every_call_of_a_deploy_may_be_slow(bench: &mut Bench<'_>) -> Finding {
    deploys(bench, Fault::Delayed).await
}

pub(crate) async fn every_call_of_a_terminate_may_be_slow(bench: &mut Bench<'_>) -> Finding {
    terminates(bench, Fault::Delayed).await
}
