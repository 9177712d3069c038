//! CometBFT JSON-RPC over HTTP: one endpoint ([`Rpc`]), and a pool of them that uses the freshest one that agrees with the
//! others.

mod answer;
mod client;
mod error;
mod health;
mod pool;
mod tls;
mod url;

pub use answer::{AbciAnswer, Block, BlockResults, BroadcastAnswer, NodeStatus, TxAnswer, TxResult};
pub use client::Rpc;
pub use error::RpcError;
pub use health::{EndpointHealth, EndpointStatus};
pub use url::{EndpointUrl, UrlError};

pub(crate) use answer::announced_height;
pub(crate) use error::excerpt;
pub(crate) use pool::{Failures, Pool};
pub(crate) use tls::client_config;
