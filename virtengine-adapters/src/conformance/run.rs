//! Running rules.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use virtengine_provider_core::id::WorkloadId;

use super::bench::{Bench, ID_PREFIX};
use super::finding::{Break, Finding};
use super::fixture::{Fixture, FixtureResult};
use super::polled::caught;
use super::report::{Outcome, Report, RuleReport};
use super::rules::{FOREIGN_RULE, RULES, Rule};

/// The longest that one rule may take on a slow back end. A call that never ends breaks the rule.
const RULE_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The longest that tidying up after one rule may take.
const TIDY_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Runs every rule, one after the other.
pub async fn run_all(fixture: &dyn Fixture) -> Report {
    run_each(fixture, |_| {}).await
}

/// Runs every rule, one after the other, and tells each as soon as it has ended.
pub async fn run_each(fixture: &dyn Fixture, mut tell: impl FnMut(&RuleReport)) -> Report {
    let mut report = Report {
        back_end: fixture.name(),
        rules: Vec::with_capacity(RULES.len()),
    };
    let mut harms: Vec<String> = Vec::new();
    for rule in RULES {
        let (mut ended, harm) = run_watched(fixture, rule).await;
        harms.extend(harm.map(|harm| format!("during {}: {harm}", rule.name)));
        // The last of all rules answers for what was seen during the others.
        if rule.name == FOREIGN_RULE && !harms.is_empty() {
            ended.outcome = Outcome::Failed(harms.join("; "));
        }
        tell(&ended);
        report.rules.push(ended);
    }
    report
}

/// Ends what an earlier run of the kit left that was killed midway: everything with an id of the kit. Not while another run is at
/// work on the same back end, which would lose its workloads.
///
/// # Errors
/// The back end cannot be asked, or something cannot be ended.
pub async fn remove_leftovers(fixture: &dyn Fixture) -> FixtureResult<Vec<WorkloadId>> {
    let adapter = fixture.adapter().await?;
    let mut left = adapter.list().await?;
    left.retain(|id| id.as_str().starts_with(ID_PREFIX));
    for id in &left {
        adapter.terminate(id).await?;
    }
    Ok(left)
}

/// Runs one rule. Harm to objects of others breaks it, whatever it is about.
pub async fn run_rule(fixture: &dyn Fixture, rule: &Rule) -> RuleReport {
    let (mut ended, harm) = run_watched(fixture, rule).await;
    if let Some(harm) = harm {
        ended.outcome = match ended.outcome {
            Outcome::Failed(words) => Outcome::Failed(format!("{words}; {harm}")),
            _ => Outcome::Failed(harm),
        };
    }
    ended
}

/// Runs one rule beside an object of somebody else, and says what became of that.
async fn run_watched(fixture: &dyn Fixture, rule: &Rule) -> (RuleReport, Option<String>) {
    let began = Instant::now();
    let foreign = fixture.foreign().ok();
    let mut harm = None;
    if let Some(foreign) = foreign
        && let Err(error) = foreign.plant().await
    {
        harm = Some(format!(
            "the fixture could not put an object of others there: {error}"
        ));
    }
    let found = judged(fixture, rule).await;
    if let (Some(foreign), None) = (foreign, &harm) {
        harm = match foreign.harm().await {
            Ok(harm) => harm,
            Err(error) => Some(format!(
                "the fixture could not look at the object of others: {error}"
            )),
        };
    }
    if let Some(foreign) = foreign
        && let Err(error) = foreign.remove().await
    {
        harm = harm.or_else(|| Some(format!("the object of others could not be removed: {error}")));
    }
    let outcome = match found {
        Ok(()) => Outcome::Passed,
        Err(Break::Broken(words)) => Outcome::Failed(words),
        Err(Break::NotApplicable(words)) => Outcome::NotApplicable(words),
    };
    let report = RuleReport {
        rule: rule.name,
        subject: rule.subject,
        sentence: rule.sentence,
        outcome,
        took: began.elapsed(),
    };
    (report, harm)
}

async fn judged(fixture: &dyn Fixture, rule: &Rule) -> Finding {
    let mut bench = Bench::new(fixture).await?;
    let found = timeout(RULE_PATIENCE, caught((rule.check)(&mut bench))).await;
    let found = found.unwrap_or_else(|_| {
        let words = format!("it had not ended after {} minutes", RULE_PATIENCE.as_secs() / 60);
        Ok(Err(Break::Broken(words)))
    });
    let found = found.unwrap_or_else(|panic| Err(Break::Broken(format!("it panicked: {panic}"))));
    let tidied = timeout(TIDY_PATIENCE, caught(bench.tidy())).await;
    let tidied = tidied.map_or_else(
        |_| Err("it had not ended in time".to_owned()),
        |tidied| match tidied {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Break::Broken(words) | Break::NotApplicable(words))) => Err(words),
            Err(panic) => Err(format!("it panicked: {panic}")),
        },
    );
    match (found, tidied) {
        (found, Ok(())) => found,
        (Err(Break::Broken(words)), Err(left)) => Err(Break::Broken(format!(
            "{words}; and tidying up afterwards failed: {left}"
        ))),
        (_, Err(left)) => Err(Break::Broken(format!("tidying up afterwards failed: {left}"))),
    }
}
