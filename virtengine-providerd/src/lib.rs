//! The provider daemon: its configuration, its command line, the pure composition of the machines ([`provider`]) and the
//! loops around it ([`daemon`]). The binary is `virtengine-provider`.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod devnet;
pub mod provider;
pub mod tenant;
