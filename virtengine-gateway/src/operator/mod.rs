//! The operator API: JSON over HTTP on a unix socket.
//!
//! Whoever may connect may do everything, so the socket is 0600 in a directory that only its owner can write to, and each
//! connection must come from the same user or from root. There is no second way in: no TCP port, no password.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /v1/status` | [`ProviderStatus`](crate::api::ProviderStatus) |
//! | `GET /v1/health` | [`HealthReport`](crate::health::HealthReport) |
//! | `GET /v1/bid-engine` | [`BidEngineStatus`](crate::api::BidEngineStatus) |
//! | `GET /v1/bids?last=` | list of [`BidView`](crate::api::BidView) |
//! | `GET /v1/explain?order=` | [`Explanation`](crate::api::Explanation) |
//! | `GET /v1/orders?limit=` | list of [`OrderView`](crate::api::OrderView) |
//! | `GET /v1/leases` | list of [`LeaseView`](crate::api::LeaseView) |
//! | `GET /v1/workloads?state=` | list of [`WorkloadView`](crate::api::WorkloadView) |
//! | `POST /v1/workloads` (manifest) | [`WorkloadView`](crate::api::WorkloadView) |
//! | `GET /v1/workloads/{id}` | [`WorkloadView`](crate::api::WorkloadView) |
//! | `POST /v1/workloads/{id}/{action}` | [`WorkloadView`](crate::api::WorkloadView) |
//! | `GET /v1/usage?pending=&limit=` | list of [`UsageView`](crate::api::UsageView) |
//! | `GET /v1/logs?tail=&level=` | list of [`LogEntry`](crate::api::LogEntry) |
//! | `GET /v1/doctor` | [`DoctorReport`](crate::api::DoctorReport) |
//! | `GET /v1/chain/ping` | [`ChainPing`](crate::api::ChainPing) |
//! | `GET /v1/config` | the configuration, redacted |
//! | `POST /v1/shutdown` | [`ShutdownReceipt`](crate::api::ShutdownReceipt) |
//!
//! A refusal is `{"error":{"code","message","remedy"}}` with the status of its [code](crate::api::ErrorCode).

mod client;
mod routes;
mod server;
mod socket;

pub use client::{ClientError, OperatorClient};
pub use server::{OperatorServer, OperatorServerOptions};
pub use socket::SocketError;
