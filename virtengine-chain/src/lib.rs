#![doc = include_str!("../README.md")]

pub mod account;
mod amino;
mod block_time;
mod client;
mod config;
pub mod event;
pub mod follower;
pub mod message;
pub mod pipeline;
#[rustfmt::skip]
pub mod proto;
mod query;
pub mod rejection;
pub mod rpc;
pub mod tx;
pub mod wire;

pub use client::{AccountState, ChainClient, LeasePayment};
pub use config::{ChainConfig, ConfigError, ConfigProblem};
pub use follower::{Follower, FollowerEvent};
pub use pipeline::{Batch, Pipeline};
