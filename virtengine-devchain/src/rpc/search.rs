//! The query language of searches and subscriptions: conditions joined by `AND`. There is no `OR` (spec/chain.md C.2).

use std::collections::BTreeMap;

use crate::state::event::Event;

/// Longest query text.
const QUERY_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(String),
    Compare(Order, i128),
    Contains(String),
    Exists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    conditions: Vec<(String, Test)>,
}

/// Attributes by `type.key`, each with all its values.
pub(super) type Tags = BTreeMap<String, Vec<String>>;

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || "<>='\"".contains(c))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// A quoted text, or a bare word.
    fn value(&mut self) -> Result<String, String> {
        self.skip_space();
        let start = self.at;
        if !self.take("'") {
            let word = self.word();
            return if word.is_empty() {
                Err(format!("offset {start}: EOF"))
            } else {
                Ok(word.to_owned())
            };
        }
        let rest = self.rest();
        let end = rest
            .find('\'')
            .ok_or_else(|| format!("offset {start}: unterminated string"))?;
        self.at += end + 1;
        Ok(rest[..end].to_owned())
    }
}

impl Query {
    /// Parses a query; the errors are those of the node.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > QUERY_BYTES_MAX {
            return Err("maximum query length exceeded".to_owned());
        }
        let mut scanner = Scanner { text, at: 0 };
        let mut conditions = Vec::new();
        loop {
            conditions.push(condition(&mut scanner)?);
            scanner.skip_space();
            let start = scanner.at;
            match scanner.word() {
                "" if scanner.rest().is_empty() => return Ok(Self { conditions }),
                "AND" => {}
                _ => return Err(format!("offset {start}: got tag, want 6")),
            }
        }
    }

    /// Whether every condition is met by some value.
    pub(super) fn matches(&self, tags: &Tags) -> bool {
        self.conditions.iter().all(|(key, test)| {
            tags.get(key)
                .is_some_and(|values| *test == Test::Exists || values.iter().any(|v| passes(test, v)))
        })
    }
}

fn condition(scanner: &mut Scanner<'_>) -> Result<(String, Test), String> {
    scanner.skip_space();
    let start = scanner.at;
    let key = scanner.word().to_owned();
    if key.is_empty() {
        return Err(format!("offset {start}: EOF"));
    }
    scanner.skip_space();
    for (token, order) in [
        ("<=", Order::AtMost),
        (">=", Order::AtLeast),
        ("<", Order::Less),
        (">", Order::More),
    ] {
        if scanner.take(token) {
            let at = scanner.at;
            let number = scanner
                .value()?
                .parse()
                .map_err(|_| format!("offset {at}: invalid number"))?;
            return Ok((key, Test::Compare(order, number)));
        }
    }
    if scanner.take("=") {
        return Ok((key, Test::Equal(scanner.value()?)));
    }
    let at = scanner.at;
    match scanner.word() {
        "EXISTS" => Ok((key, Test::Exists)),
        "CONTAINS" => Ok((key, Test::Contains(scanner.value()?))),
        _ => Err(format!("offset {at}: expected operator")),
    }
}

fn passes(test: &Test, value: &str) -> bool {
    match test {
        Test::Exists => true,
        Test::Equal(wanted) => wanted == value,
        Test::Contains(part) => value.contains(part.as_str()),
        Test::Compare(order, number) => value.parse::<i128>().is_ok_and(|v| match order {
            Order::Less => v < *number,
            Order::AtMost => v <= *number,
            Order::More => v > *number,
            Order::AtLeast => v >= *number,
        }),
    }
}

/// The tags of events. Events without a type have none: nobody can search for them (spec/chain.md 0, 9).
pub(super) fn tags_of(events: &[Event]) -> Tags {
    let mut tags = Tags::new();
    for event in events.iter().filter(|e| !e.kind.is_empty()) {
        for (key, value) in event.attributes.iter().filter(|(k, _)| !k.is_empty()) {
            tags.entry(format!("{}.{key}", event.kind))
                .or_default()
                .push(value.clone());
        }
    }
    tags
}

/// The tags of a transaction in a block.
pub(super) fn tags_of_tx(events: &[Event], height: u64, hash: &[u8; 32]) -> Tags {
    let mut tags = tags_of(events);
    tags.insert("tm.event".to_owned(), vec!["Tx".to_owned()]);
    tags.insert("tx.hash".to_owned(), vec![hex::encode_upper(hash)]);
    tags.insert("tx.height".to_owned(), vec![height.to_string()]);
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[(&str, &str)]) -> Tags {
        let mut out = Tags::new();
        for (k, v) in list {
            out.entry((*k).to_owned()).or_default().push((*v).to_owned());
        }
        out
    }

    #[test]
    fn or_is_refused_with_the_recorded_text() {
        assert_eq!(
            Query::parse("a.b='1' OR c.d='2'").unwrap_err(),
            "offset 8: got tag, want 6"
        );
        assert_eq!(
            Query::parse("a.b=1 OR c.d=2").unwrap_err(),
            "offset 6: got tag, want 6"
        );
        assert_eq!(Query::parse("").unwrap_err(), "offset 0: EOF");
    }

    #[test]
    fn all_conditions_must_be_met() {
        let query = Query::parse("tm.event='Tx' AND a.id EXISTS AND tx.height>=5").unwrap();
        assert!(query.matches(&tags(&[("tm.event", "Tx"), ("a.id", "x"), ("tx.height", "5")])));
        assert!(!query.matches(&tags(&[("tm.event", "Tx"), ("tx.height", "5")])));
        assert!(!query.matches(&tags(&[("tm.event", "Tx"), ("a.id", "x"), ("tx.height", "4")])));
    }
}
