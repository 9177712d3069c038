//! The tenant API: manifests, lease status and logs, for whoever signs with the account that owns the lease.
//!
//! | Route | Who | Answer |
//! |---|---|---|
//! | `GET /version`, `GET /address`, `GET /status` | anybody | version, address, [`PublicStatus`](crate::api::PublicStatus) |
//! | `PUT /deployment/{dseq}/manifest` | owner | [`ManifestReceipt`](crate::api::ManifestReceipt) |
//! | `GET /deployment/{dseq}/manifest` | owner | [`ManifestStatus`](crate::api::ManifestStatus) |
//! | `GET /lease/{dseq}/{gseq}/{oseq}/status` | owner | [`LeaseStatus`](crate::api::LeaseStatus) |
//! | `GET /lease/{dseq}/{gseq}/{oseq}/logs` | owner | log lines, see below |
//!
//! # Who asks
//!
//! There are no passwords and no sessions: each request is signed with the secp256k1 account key of the tenant, as an
//! ADR-36 document, which wallets and Ledgers know how to show and sign. Five headers carry it:
//!
//! | Header | Value |
//! |---|---|
//! | `X-VE-Address` | bech32 address of the tenant |
//! | `X-VE-PubKey` | base64 of the 33-byte compressed public key |
//! | `X-VE-Timestamp` | Unix milliseconds, at most 60 s away from the provider's clock |
//! | `X-VE-Nonce` | 16 to 64 of `A-Z a-z 0-9 - _`, never used before |
//! | `X-VE-Signature` | base64 of `r ‖ s`, 64 bytes, low `s` |
//!
//! What is signed is the amino-JSON document with one `sign/MsgSignData` message (account number, sequence and fee zero, chain
//! id empty), whose `data` is the base64 of these lines, each ended by a line feed:
//!
//! ```text
//! virtengine-tenant-request/1
//! <method>
//! <path with its query, exactly as sent>
//! <lower-case hex SHA-256 of the body>
//! <address of the provider>
//! <chain id>
//! <timestamp>
//! <nonce>
//! ```
//!
//! So a signature is good for one request, to one provider, on one chain, once, for a minute. [`SignedRequest`] makes the
//! headers; [`TenantClient`] uses them.
//!
//! | Status | Means |
//! |---|---|
//! | 401 | a header is missing or malformed, the time is off, the nonce was used, or the signature is of something else |
//! | 403 | it is known who asks; the deployment is somebody else's |
//! | 404 | no such lease of this provider |
//! | 429, 503 | too many requests; busy |
//!
//! # Logs
//!
//! Query: `service=`, `replica=`, `tail=` (last lines per replica, at most 10,000), `after=` (only lines after this position),
//! `follow=true`. The answer is a stream of JSON objects, one per line ([`LogLine`](virtengine_provider_core::ports::adapter::LogLine));
//! with `Accept: text/plain` it is plain text. An empty line means that there is nothing new; a line `{"error":…}` ends a stream
//! that broke. To resume after a broken connection ask again for one service and replica with `after=` the last position.

mod client;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod nonces;
mod options;
mod routes;
mod server;
mod signed;
mod streams;
mod tls;
mod verify;

pub use client::{TenantClient, TenantClientError, TenantClientOptions, Trust};
pub use options::{TenantServerOptions, TlsChoice};
pub use server::{TenantServer, TenantServerError};
pub use signed::{RequestToSign, SignRequestError, SignedRequest, account_address};
pub use tls::{Fingerprint, TlsError};
