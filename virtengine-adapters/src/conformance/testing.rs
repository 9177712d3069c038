//! The rules as tests.

use std::sync::{Mutex, PoisonError};

use super::fixture::{Open, Opened};
use super::report::Outcome;
use super::rules::RULES;
use super::run::run_rule;

/// One `#[test]` for each of the [`RULES`](crate::conformance::RULES), against what an [`Open`](crate::conformance::Open) opens.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::__conformance_rules! { ($crate::__conformance_tests) $fixture }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (($fixture:ty) $($subject:ident $rule:ident $sentence:literal;)*) => {$(
        #[test]
        fn $rule() {
            $crate::conformance::test::<$fixture>(stringify!($rule));
        }
    )*};
}

/// Held by the one test that may use a shared back end.
static SHARED: Mutex<()> = Mutex::new(());

/// Runs one rule as a test.
///
/// # Panics
/// It is broken; or there is no back end and the environment variable `CI` is set.
pub fn test<O: Open>(name: &str) {
    let rule = RULES.iter().find(|rule| rule.name == name);
    let rule = rule.expect("the names of the tests come from the same list as the rules");
    // A broken rule leaves the back end to the next one as tidy as one that was kept.
    let _alone = O::SHARED.then(|| SHARED.lock().unwrap_or_else(PoisonError::into_inner));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    let report = runtime.block_on(async {
        match O::open().await {
            Ok(Opened::Ready(fixture)) => Ok(run_rule(&fixture, rule).await),
            Ok(Opened::NotConfigured(why)) => Err(why),
            Err(error) => panic!("the fixture cannot be opened: {error}"),
        }
    });
    match report {
        Ok(report) => match report.outcome {
            Outcome::Passed => {}
            Outcome::NotApplicable(why) => println!("not applicable: {why}"),
            Outcome::Failed(words) => panic!("{}\n{words}", rule.sentence),
        },
        Err(why) => {
            println!("skipped: {why}");
            assert!(!in_ci(), "skipped, which is not allowed where CI is set: {why}");
        }
    }
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}
