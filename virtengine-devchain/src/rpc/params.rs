//! Parameters of a request: named or positional JSON, or a URI's query. Numbers of 64 bits are strings in JSON.

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::rpc::RpcError;

/// The parameters.
#[derive(Debug, Clone)]
pub(crate) enum Params {
    Uri(HashMap<String, String>),
    Named(Map<String, Value>),
    Positional(Vec<Value>),
}

fn bad_json(what: impl core::fmt::Display) -> RpcError {
    RpcError::params(format!("error converting json params to arguments: {what}"))
}

fn bad_uri(what: impl core::fmt::Display) -> RpcError {
    RpcError::params(format!("error converting http params to arguments: {what}"))
}

/// One parameter.
enum Raw<'a> {
    Text(&'a str),
    Json(&'a Value),
}

impl Params {
    /// The parameters of a JSON request.
    pub(crate) fn from_json(value: Option<&Value>) -> Result<Self, RpcError> {
        match value {
            None | Some(Value::Null) => Ok(Self::Named(Map::new())),
            Some(Value::Object(map)) => Ok(Self::Named(map.clone())),
            Some(Value::Array(list)) => Ok(Self::Positional(list.clone())),
            Some(other) => Err(bad_json(format_args!("expected object or array, got {other}"))),
        }
    }

    fn raw(&self, name: &str, at: usize) -> Option<Raw<'_>> {
        let raw = match self {
            Self::Uri(map) => Raw::Text(map.get(name).filter(|t| !t.is_empty())?),
            Self::Named(map) => Raw::Json(map.get(name)?),
            Self::Positional(list) => Raw::Json(list.get(at)?),
        };
        match raw {
            Raw::Json(Value::Null) => None,
            other => Some(other),
        }
    }

    /// A 64-bit number.
    pub(crate) fn number(&self, name: &str, at: usize) -> Result<Option<i64>, RpcError> {
        match self.raw(name, at) {
            None => Ok(None),
            Some(Raw::Text(text)) => text
                .trim_matches('"')
                .parse()
                .map(Some)
                .map_err(|_| bad_uri(format_args!("failed to parse int, {text:?}"))),
            Some(Raw::Json(Value::String(text))) => text.parse().map(Some).map_err(|_| {
                match text.chars().next().filter(|c| !c.is_ascii_digit()) {
                    Some(first) => bad_json(format_args!(
                        "invalid character '{first}' looking for beginning of value"
                    )),
                    None => bad_json(format_args!("cannot parse {text:?} as a 64-bit integer")),
                }
            }),
            Some(Raw::Json(other)) => Err(bad_json(format_args!(
                "invalid 64-bit integer encoding \"{other}\", expected string"
            ))),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &str, at: usize) -> Result<Option<String>, RpcError> {
        match self.raw(name, at) {
            None => Ok(None),
            Some(Raw::Text(text)) => Ok(Some(unquoted(text).to_owned())),
            Some(Raw::Json(Value::String(text))) => Ok(Some(text.clone())),
            Some(Raw::Json(other)) => Err(bad_json(format_args!("expected a string, got {other}"))),
        }
    }

    /// Bytes: base64 in JSON; `0x…` or a quoted text in a URI.
    pub(crate) fn base64(&self, name: &str, at: usize) -> Result<Option<Vec<u8>>, RpcError> {
        match self.raw(name, at) {
            None => Ok(None),
            Some(Raw::Text(text)) => uri_bytes(text).map(Some),
            Some(Raw::Json(Value::String(text))) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map(Some)
                .map_err(|_| {
                    let at = text
                        .bytes()
                        .take_while(|b| b.is_ascii_alphanumeric() || b"+/".contains(b))
                        .count();
                    bad_json(format_args!("illegal base64 data at input byte {at}"))
                }),
            Some(Raw::Json(other)) => Err(bad_json(format_args!("expected a string, got {other}"))),
        }
    }

    /// Bytes that are hexadecimal in JSON too.
    pub(crate) fn hex(&self, name: &str, at: usize) -> Result<Option<Vec<u8>>, RpcError> {
        match self.raw(name, at) {
            None => Ok(None),
            Some(Raw::Text(text)) => uri_bytes(text).map(Some),
            Some(Raw::Json(Value::String(text))) => hex::decode(text)
                .map(Some)
                .map_err(|e| bad_json(format_args!("encoding/hex: {e}"))),
            Some(Raw::Json(other)) => Err(bad_json(format_args!("expected a string, got {other}"))),
        }
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text)
}

fn uri_bytes(text: &str) -> Result<Vec<u8>, RpcError> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return hex::decode(digits).map_err(|e| bad_uri(format_args!("encoding/hex: {e}")));
    }
    if text.starts_with('"') {
        return Ok(unquoted(text).as_bytes().to_vec());
    }
    let first = text.chars().next().unwrap_or(' ');
    Err(bad_uri(format_args!(
        "invalid character '{first}' looking for beginning of value"
    )))
}

/// The parameters of a URI's query.
pub(crate) fn of_query(query: &str) -> HashMap<String, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (percent_decoded(key), percent_decoded(value)))
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (_, Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_json_must_be_a_string() {
        let params = Params::Named(serde_json::from_str(r#"{"height":2}"#).unwrap());
        assert_eq!(
            params.number("height", 0).unwrap_err().data,
            "error converting json params to arguments: invalid 64-bit integer encoding \"2\", expected string"
        );
    }

    #[test]
    fn a_query_string_is_decoded() {
        let params = Params::Uri(of_query("path=%22/a%22&data=0x0aff&query=%22x%20EXISTS%22"));
        assert_eq!(params.text("path", 0).unwrap().unwrap(), "/a");
        assert_eq!(params.hex("data", 0).unwrap().unwrap(), [0x0a, 0xff]);
        assert_eq!(params.text("query", 0).unwrap().unwrap(), "x EXISTS");
        assert_eq!(params.number("height", 0).unwrap(), None);
    }
}
