//! Capabilities, both ways: declared, it works; undeclared, it is refused without any effect.

use std::fmt;

use virtengine_provider_core::ports::adapter::{AdapterResult, ErrorKind, Retry};
use virtengine_provider_core::workload::{VolumeSpec, WorkloadSpec};

use crate::conformance::bench::Bench;
use crate::conformance::finding::{Break, Finding, ensure};

pub(crate) fn undeclared(what: &str) -> Break {
    Break::NotApplicable(format!("the adapter does not declare {what}"))
}

pub(crate) fn is_unsupported<T: fmt::Debug>(answer: AdapterResult<T>, what: &str) -> Finding {
    let right = |kind, retry| (kind, retry) == (ErrorKind::Unsupported, Retry::Never);
    ensure!(
        answer.as_ref().is_err_and(|error| right(error.kind, error.retry)),
        "{what} is not declared, so it is refused (kind Unsupported, retry Never), but the answer is {answer:?}"
    );
    Ok(())
}

/// Deploys what is not declared.
async fn is_refused(bench: &Bench<'_>, spec: &WorkloadSpec, what: &str) -> Finding {
    is_unsupported(bench.adapter().deploy(spec).await, what)?;
    has_no_effect(bench, what).await
}

/// A refused deploy has made nothing.
pub(crate) async fn has_no_effect(bench: &Bench<'_>, what: &str) -> Finding {
    let (listed, objects) = (bench.listed().await?, bench.objects().await?);
    ensure!(
        listed.is_empty() && objects.is_empty(),
        "{what} was refused, but there is {objects:?}, and listed are {listed:?}"
    );
    Ok(())
}

pub(crate) async fn gpus_work_or_are_refused(bench: &mut Bench<'_>) -> Finding {
    let mut spec = bench.spec();
    if let Some(service) = spec.services.first_mut() {
        service.gpus = 1;
    }
    if !bench.adapter().capabilities().gpus {
        return is_refused(bench, &spec, "a gpu").await;
    }
    match bench.adapter().deploy(&spec).await {
        Err(error) if error.kind == ErrorKind::Exhausted => {
            has_no_effect(bench, "a gpu").await?;
            let words = format!("gpus are declared, but none is free now: {error}");
            return Err(Break::NotApplicable(words));
        }
        answer => answer?,
    }
    bench.run(&spec).await?;
    bench
        .counted(&spec.id, "use of the gpu", |counters| counters.gpu_seconds > 0)
        .await?;
    bench.end(&spec.id).await
}

pub(crate) async fn persistent_storage_works_or_is_refused(bench: &mut Bench<'_>) -> Finding {
    let mut spec = bench.spec();
    if let Some(service) = spec.services.first_mut() {
        service.volumes.push(VolumeSpec {
            name: "kept".to_owned(),
            bytes: 16 << 20,
            mount: Some("/kept".to_owned()),
            persistent: true,
            class: None,
            read_only: false,
        });
    }
    if !bench.adapter().capabilities().persistent_storage {
        return is_refused(bench, &spec, "a persistent volume").await;
    }
    bench.run(&spec).await?;
    bench.adapter().stop(&spec.id).await?;
    bench.restart().await?;
    bench.run(&spec).await?;
    bench.end(&spec.id).await
}
