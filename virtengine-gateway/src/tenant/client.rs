use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::header::ACCEPT;
use reqwest::{Method, Response, Url};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::de::DeserializeOwned;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::adapter::{LogLine, LogQuery};
use virtengine_provider_core::ports::clock::Clock;
use virtengine_provider_core::ports::signer::Signer;

use super::signed::{RequestToSign, SignRequestError, SignedRequest};
use super::tls::Fingerprint;
use crate::api::{ApiError, ErrorBody, LeaseStatus, ManifestReceipt, ManifestStatus, PublicStatus};

/// The largest answer that is read, and the longest line of a log.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The longest silence of a provider. It marks a quiet log every 15 seconds: whoever says nothing for four times as long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The longest until an answer is whole, or a log begins.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Which certificate of the provider is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// One that a root of this host vouches for.
    Roots,
    /// Exactly this one.
    Pinned(Fingerprint),
}

/// Whom to ask, and as whom.
#[derive(Clone)]
pub struct TenantClientOptions {
    /// Base address, e.g. `https://provider.example:8443`.
    pub base: String,
    /// Which certificate is believed.
    pub trust: Trust,
    /// The provider's account.
    pub provider: Address,
    /// The chain that it provides on.
    pub chain_id: String,
    /// The tenant's account key.
    pub signer: Arc<dyn Signer>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Why a provider did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantClientError {
    /// The options make no sense.
    #[error("{0}")]
    Options(String),
    /// The request cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignRequestError),
    /// The provider cannot be reached, or its certificate is not believed.
    #[error("the provider at {base} cannot be reached: {message}")]
    Unreachable {
        /// Where.
        base: String,
        /// Why.
        message: String,
    },
    /// Its answer cannot be used.
    #[error("the provider's answer cannot be used: {0}")]
    Broken(String),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

type Result<T> = std::result::Result<T, TenantClientError>;

/// Talks to a provider as a tenant.
#[derive(Debug, Clone)]
pub struct TenantClient {
    options: TenantClientOptions,
    base: Url,
    http: reqwest::Client,
}

impl TenantClient {
    /// Prepares; nothing is sent.
    ///
    /// # Errors
    /// [`TenantClientError::Options`].
    pub fn new(options: TenantClientOptions) -> Result<Self> {
        let bad = |message: String| TenantClientError::Options(message);
        let base = Url::parse(&options.base)
            .map_err(|error| bad(format!("{:?} is not an address: {error}", options.base)))?;
        let local = matches!(base.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if base.scheme() != "https" && !(base.scheme() == "http" && local) {
            return Err(bad(format!(
                "{base} must begin with https:// (http:// only on this host)"
            )));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(options.trust).map_err(bad)?)
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .build()
            .map_err(|error| bad(chain(&error)))?;
        Ok(Self { options, base, http })
    }

    /// What anybody may know about the provider.
    ///
    /// # Errors
    /// See [`TenantClientError`]; the same for every method.
    pub async fn public_status(&self) -> Result<PublicStatus> {
        self.ask(Method::GET, "/status", Bytes::new()).await
    }

    /// Sends the manifest of a deployment.
    ///
    /// # Errors
    /// See [`TenantClientError`].
    pub async fn put_manifest(&self, dseq: u64, manifest: &str) -> Result<ManifestReceipt> {
        let body = Bytes::copy_from_slice(manifest.as_bytes());
        self.ask(Method::PUT, &format!("/deployment/{dseq}/manifest"), body)
            .await
    }

    /// How far the manifest has come.
    ///
    /// # Errors
    /// See [`TenantClientError`].
    pub async fn manifest_status(&self, dseq: u64) -> Result<ManifestStatus> {
        self.ask(Method::GET, &format!("/deployment/{dseq}/manifest"), Bytes::new())
            .await
    }

    /// How a lease fares.
    ///
    /// # Errors
    /// See [`TenantClientError`].
    pub async fn lease_status(&self, dseq: u64, gseq: u32, oseq: u32) -> Result<LeaseStatus> {
        let path = format!("/lease/{dseq}/{gseq}/{oseq}/status");
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Log lines of a lease. The stream ends with the log or with the first error; a provider from which nothing comes for 60 seconds,
    /// not even the mark of a quiet log, is one ([`TenantClientError::Unreachable`]). Ask again with `query.after` to go on.
    ///
    /// # Errors
    /// See [`TenantClientError`].
    pub async fn lease_logs(
        &self,
        (dseq, gseq, oseq): (u64, u32, u32),
        query: &LogQuery,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<LogLine>> + Send + 'static> {
        let mut url = self.url(&format!("/lease/{dseq}/{gseq}/{oseq}/logs"))?;
        let mut pairs = url.query_pairs_mut();
        let numbers = [
            ("replica", query.replica.map(u64::from)),
            ("after", query.after),
            (
                "tail",
                query.tail.map(|tail| u64::try_from(tail).unwrap_or(u64::MAX)),
            ),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                pairs.append_pair(name, &value.to_string());
            }
        }
        if let Some(service) = &query.service {
            pairs.append_pair("service", service);
        }
        pairs.append_pair("follow", if follow { "true" } else { "false" });
        drop(pairs);
        let begin = async { checked(self.send(Method::GET, url, Bytes::new(), None).await?).await };
        let response = tokio::time::timeout(ANSWER_TIME_MAX, begin)
            .await
            .unwrap_or_else(|_| Err(silent(&self.base)))?;
        Ok(lines(response, self.base.clone()))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        let url = self.url(path)?;
        let limit = Some(ANSWER_TIME_MAX);
        let response = checked(self.send(method, url, body, limit).await?).await?;
        let body = whole(response).await?;
        serde_json::from_slice(&body).map_err(|error| TenantClientError::Broken(error.to_string()))
    }

    fn url(&self, path: &str) -> Result<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| TenantClientError::Options(error.to_string()))
    }

    async fn send(&self, method: Method, url: Url, body: Bytes, limit: Option<Duration>) -> Result<Response> {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let nonce = nonce()?;
        let to_sign = RequestToSign {
            method: method.as_str(),
            path_and_query: &path,
            body: &body,
            provider: &self.options.provider,
            chain_id: &self.options.chain_id,
            at: self.options.clock.now(),
            nonce: &nonce,
        };
        let prefix = self.options.provider.prefix();
        let signed = SignedRequest::sign(&to_sign, &*self.options.signer, prefix).await?;
        let mut request = self
            .http
            .request(method, url)
            .header(ACCEPT, "application/json, application/x-ndjson")
            .body(body);
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        for (name, value) in signed.headers() {
            request = request.header(*name, value);
        }
        request
            .send()
            .await
            .map_err(|error| TenantClientError::Unreachable {
                base: self.base.to_string(),
                message: chain(&error),
            })
    }
}

impl fmt::Debug for TenantClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantClientOptions")
            .field("base", &self.base)
            .field("trust", &self.trust)
            .field("provider", &self.provider)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| TenantClientError::Options(format!("no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}

/// An error with its causes: the outermost text alone seldom says what is wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

async fn checked(response: Response) -> Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = whole(response).await?;
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(refusal) => Err(refusal.error.into()),
        Err(_) => Err(TenantClientError::Broken(format!(
            "status {status} without a reason"
        ))),
    }
}

async fn whole(response: Response) -> Result<Bytes> {
    let mut body = BytesMut::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| TenantClientError::Broken(chain(&error)))?;
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(TenantClientError::Broken("it is too large".to_owned()));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn silent(base: &Url) -> TenantClientError {
    TenantClientError::Unreachable {
        base: base.to_string(),
        message: format!("it said nothing for {} s", SILENCE_MAX.as_secs()),
    }
}

fn lines(response: Response, base: Url) -> impl Stream<Item = Result<LogLine>> + Send + 'static {
    let parts = response
        .bytes_stream()
        .map_err(|error| TenantClientError::Broken(chain(&error)))
        .boxed();
    let start = (parts, BytesMut::new(), base, false);
    futures_util::stream::unfold(start, |(mut parts, mut held, base, over)| async move {
        if over {
            return None;
        }
        loop {
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line = held.split_to(end + 1);
                let Some(line) = line.strip_suffix(b"\n").filter(|line| !line.is_empty()) else {
                    continue;
                };
                let item = line_of(line);
                let over = item.is_err();
                return Some((item, (parts, held, base, over)));
            }
            if held.len() > ANSWER_BYTES_MAX {
                let error = TenantClientError::Broken("a log line is too long".to_owned());
                return Some((Err(error), (parts, held, base, true)));
            }
            let error = match tokio::time::timeout(SILENCE_MAX, parts.next()).await {
                Ok(Some(Ok(part))) => {
                    held.extend_from_slice(&part);
                    continue;
                }
                Ok(None) => return None,
                Ok(Some(Err(error))) => error,
                Err(_) => silent(&base),
            };
            return Some((Err(error), (parts, held, base, true)));
        }
    })
    .boxed()
}

fn line_of(bytes: &[u8]) -> Result<LogLine> {
    serde_json::from_slice::<LogLine>(bytes).map_err(|error| {
        match serde_json::from_slice::<ErrorBody>(bytes) {
            Ok(refusal) => refusal.error.into(),
            Err(_) => TenantClientError::Broken(error.to_string()),
        }
    })
}

fn tls(trust: Trust) -> std::result::Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    match trust {
        Trust::Pinned(fingerprint) => {
            let verifier = Arc::new(PinnedCertificate {
                fingerprint,
                provider,
            });
            Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth())
        }
        Trust::Roots => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Ok(builder.with_root_certificates(roots).with_no_client_auth())
        }
    }
}

/// Believes one certificate, whatever names and dates it states: its fingerprint came over another way.
#[derive(Debug)]
struct PinnedCertificate {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if Fingerprint::of(end_entity) == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
