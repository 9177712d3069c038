//! An embedded single-node VirtEngine chain. It speaks the CometBFT RPC of a node (JSON-RPC over POST, URI over GET, WebSocket) and
//! refuses what a node refuses, with the same codes and texts; so a client that works here works there. It is a judge for tests
//! and a stage for demonstrations, never a chain to hold value: its keys are public.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use virtengine_devchain::{Config, Devchain};
//!
//! let chain = Devchain::start(Config::manual()).await?;
//! assert_eq!(chain.height(), 1);
//! chain.advance_blocks(3)?;
//! assert_eq!(chain.height(), 4);
//! println!("RPC at {}", chain.rpc_url());
//! chain.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! The rules are written from measurements of a real node, independently of `virtengine-chain`: that crate is only asked for the
//! protobuf types. What differs from a node is listed in the README.

mod ante;
mod devchain;
mod faults;
mod genesis;
mod home;
mod machine;
mod node;
mod query;
mod rpc;
mod rules;
mod state;
mod tx;
mod wire;

pub use devchain::{AdvanceError, BLOCK_TIME_MIN, Config, Devchain, Endpoint, MANUAL_STEP, Pace, StartError};
pub use faults::{EventFault, Fault, FaultKind, Faults, LostResults};
pub use genesis::{
    CHAIN_ID, Genesis, GenesisAccount, GenesisAttribute, GenesisError, GenesisInfo, GenesisProvider, Rules,
    TEST_ACCOUNTS, TestAccount,
};
pub use home::HomeError;
pub use state::time::BlockTime;
