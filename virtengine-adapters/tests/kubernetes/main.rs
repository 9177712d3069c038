//! The Kubernetes adapter against a real cluster (`peers/kubernetes`): needs `VE_TEST_KUBECONFIG`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

mod failures;
mod isolation;
mod life;
mod outage;
mod support;
mod usage;
