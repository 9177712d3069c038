use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the devnet is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevnetOptions {
    /// Run every deployment to its end once, then stop.
    pub once: bool,
    /// How many tenants, 1 to 100.
    pub tenants: u32,
    /// How many deployments of each tenant, 1 to 100.
    pub deployments: u32,
    /// Only the chain.
    pub chain_only: bool,
    /// Time between two blocks, 10 ms to a minute.
    pub block_time: Duration,
    /// Where state is kept; `None`: a directory that is removed at the end.
    pub home: Option<PathBuf>,
    /// Address of the chain's RPC, on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether answers are for scripts.
    pub json: bool,
    /// Whether to use colours.
    pub colour: bool,
}
