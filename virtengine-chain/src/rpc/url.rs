//! Where an endpoint is. Paths and credentials may hold API keys, so only the origin is ever printed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Address of a CometBFT RPC endpoint. `Display` and `Debug` show scheme, host and port alone; serialising gives the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(reqwest::Url);

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint such as http://127.0.0.1:26657: {0}")]
pub struct UrlError(&'static str);

impl EndpointUrl {
    pub(crate) fn http(&self) -> reqwest::Url {
        self.0.clone()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Where blocks announce themselves.
    pub(crate) fn websocket(&self) -> reqwest::Url {
        let mut url = self.0.clone();
        let scheme = if self.is_https() { "wss" } else { "ws" };
        // Both are special schemes, so the change cannot be refused.
        let _ = url.set_scheme(scheme);
        let path = format!("{}/websocket", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

impl FromStr for EndpointUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text
            .strip_prefix("tcp://")
            .map_or_else(|| text.to_owned(), |rest| format!("http://{rest}"));
        let url = reqwest::Url::parse(&text).map_err(|_| UrlError("it cannot be parsed"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError("the scheme must be http, https or tcp"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError("the host is missing"));
        }
        if url.fragment().is_some() {
            return Err(UrlError("a fragment makes no sense here"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EndpointUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for EndpointUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_in_the_path_is_never_printed() {
        let url: EndpointUrl = "https://user:pass@rpc.example/secret-key?k=v".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "https://rpc.example https://rpc.example"
        );
        assert_eq!(
            url.websocket().as_str(),
            "wss://user:pass@rpc.example/secret-key/websocket?k=v"
        );
    }

    #[test]
    fn tcp_means_http() {
        let url: EndpointUrl = "tcp://127.0.0.1:26657".parse().unwrap();
        assert_eq!(url.http().as_str(), "http://127.0.0.1:26657/");
        assert_eq!(url.websocket().as_str(), "ws://127.0.0.1:26657/websocket");
        for text in ["", "127.0.0.1:26657", "ftp://x", "http://", "http://x/#y"] {
            assert!(text.parse::<EndpointUrl>().is_err(), "{text:?}");
        }
    }
}
