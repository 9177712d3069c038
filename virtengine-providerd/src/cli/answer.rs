use serde::Serialize;

use super::error::CliError;

/// What a command has to say: the same for scripts and for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    json: serde_json::Value,
    text: String,
    exit: u8,
}

/// Result of a command.
pub(crate) type CliResult = Result<Answer, CliError>;

impl Answer {
    /// `value` for scripts, `text` for people.
    pub(crate) fn new<T: Serialize>(value: &T, text: impl Into<String>) -> Result<Self, CliError> {
        let json = serde_json::to_value(value).map_err(|error| {
            CliError::failed(format!("the answer cannot be written as JSON: {error}"), "")
        })?;
        Ok(Self {
            json,
            text: text.into(),
            exit: 0,
        })
    }

    /// Nothing more to say: the command has printed what there was.
    pub(crate) const fn printed() -> Self {
        Self {
            json: serde_json::Value::Null,
            text: String::new(),
            exit: 0,
        }
    }

    /// The same, ending with another exit code: the answer is there and is not good.
    pub(crate) const fn exiting(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        self.exit
    }

    /// For people; ends with a line feed unless empty.
    pub(crate) fn to_text(&self) -> String {
        let text = self.text.trim_end_matches('\n');
        if text.is_empty() {
            return String::new();
        }
        format!("{text}\n")
    }

    /// For scripts: indented JSON.
    pub(crate) fn to_json(&self) -> String {
        if self.json.is_null() {
            return String::new();
        }
        // A `Value` always has a text form.
        let text = serde_json::to_string_pretty(&self.json).unwrap_or_default();
        format!("{text}\n")
    }
}
