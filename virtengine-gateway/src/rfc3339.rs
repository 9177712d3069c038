//! Times in JSON are RFC 3339 texts in UTC: `#[serde(with = "virtengine_gateway::rfc3339")]` on a
//! [`Timestamp`], and [`option`] for one that may be missing.

use serde::{Deserialize, Deserializer, Serializer};
use virtengine_provider_core::time::Timestamp;

/// Reads an RFC 3339 text.
///
/// # Errors
/// A sentence that names the text.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    text.parse::<jiff::Timestamp>()
        .map(|moment| Timestamp::from_millis(moment.as_millisecond()))
        .map_err(|_| format!("{text:?} is not an RFC 3339 time such as 2026-11-24T22:14:28Z"))
}

/// Writes the text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(moment)
}

/// Reads the text.
///
/// # Errors
/// The text is no RFC 3339 time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same for a time that may be missing (`null`).
pub mod option {
    use serde::{Deserialize, Deserializer, Serializer};
    use virtengine_provider_core::time::Timestamp;

    /// Writes the text, or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => serializer.collect_str(moment),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text, or `null`.
    ///
    /// # Errors
    /// The text is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| super::parse(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        let moment = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(parse(&moment.to_string()), Ok(moment));
        assert_eq!(parse("2023-11-14T23:13:20.123+01:00"), Ok(moment));
        assert!(parse("yesterday").is_err());
    }
}
