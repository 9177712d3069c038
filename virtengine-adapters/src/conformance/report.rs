//! What came out, for people and for scripts.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How one rule ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "words", rename_all = "snake_case")]
pub enum Outcome {
    /// The adapter keeps it.
    Passed,
    /// The adapter breaks it; the words say how.
    Failed(String),
    /// It cannot be asked here; the words say why.
    NotApplicable(String),
}

/// One rule and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Name of the rule.
    pub rule: &'static str,
    /// What it is about, e.g. `usage`.
    pub subject: &'static str,
    /// What it asks for.
    pub sentence: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

/// Every rule and how it ended, in the order of [`RULES`](super::RULES).
///
/// Its `Display` is a table for people; serialized it is the same for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the back end.
    pub back_end: String,
    /// Every rule.
    pub rules: Vec<RuleReport>,
}

impl Report {
    /// Whether no rule is broken. Rules that are not applicable do not count.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.broken().is_empty()
    }

    /// Names of the rules that are broken.
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        let failed = |report: &&RuleReport| matches!(report.outcome, Outcome::Failed(_));
        self.rules
            .iter()
            .filter(failed)
            .map(|report| report.rule)
            .collect()
    }

    /// How many rules ended how, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{}: {} passed, {} failed, {} not applicable",
            self.back_end,
            self.count(|outcome| *outcome == Outcome::Passed),
            self.broken().len(),
            self.count(|outcome| matches!(outcome, Outcome::NotApplicable(_)))
        )
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.rules.iter().filter(|report| wanted(&report.outcome)).count()
    }
}

impl fmt::Display for RuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match &self.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(words) => ("FAILED", Some(words)),
            Outcome::NotApplicable(words) => ("not applicable", Some(words)),
        };
        write!(f, "{word:<15} {:>7.2} s  {}", self.took.as_secs_f64(), self.rule)?;
        if let Some(why) = why {
            write!(f, "\n{:28}{why}", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in &self.rules {
            writeln!(f, "{report}")?;
        }
        f.write_str(&self.summary())
    }
}
