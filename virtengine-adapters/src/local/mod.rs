//! Workloads as supervised processes of this host, for development. **There is no isolation**: a service is a process of the
//! user who runs the daemon, and [`Capabilities::isolation`] says so.
//!
//! An image name stands for a command that the operator maps ([`Config::images`]); nothing is pulled. Each workload has a
//! supervisor, a small process that outlives the daemon: see [`shim`]. A program that embeds this adapter gives its binary two
//! sub-commands: `local-shim` calls [`shim::main`], `demo-service` calls [`demo::main`]; or it points [`Config::supervisor`] at
//! the program `virtengine-local-shim` that comes with this crate.
//!
//! What a service is told, in its environment: `PORT` and `VE_PORT_<port>` (where to listen instead of the port that the
//! manifest names), `VE_DATA_DIR` (its working directory, kept until the workload is terminated), `VE_VOLUME_<NAME>`,
//! `VE_ADDR_<SERVICE>_<PORT>` (where the ports of the workload's services are reached), `VE_SERVICE`, `VE_REPLICA`,
//! `VE_WORKLOAD`; of the daemon's own environment only `PATH`, `LANG` and `TZ`.
//!
//! What counts as usage: CPU of every process that belongs to the workload, also of those that have ended; memory with shared
//! pages divided among those that share them, whatever a process did to its environment; storage that its data occupy; bytes through its exposed ports. What a service
//! sends on its own account is not seen. Without control groups, what a process used after the last look is lost when nobody
//! waits for it (`SIGCHLD` ignored).
//!
//! A workload has 1024 connections through its exposed ports at the same time, fewer where the host gives the supervisor few
//! files. When all are taken, a newcomer gets the place of one that is not used; one that is silent for an hour is closed.
//!
//! [`Capabilities::isolation`]: virtengine_provider_core::ports::adapter::Capabilities::isolation

mod adapter;
mod cgroup;
mod config;
mod control;
pub mod demo;
mod deploy;
mod error;
mod host;
mod image;
mod layout;
mod logs;
mod observe;
mod plan;
mod ports;
mod process;
mod record;
pub mod shim;
mod sweep;
mod teardown;
mod turns;

pub use adapter::LocalAdapter;
pub use cgroup::Enforcement;
pub use config::{CgroupMode, Config, ConfigError, DEMO_IMAGE, ImageCommand, PortRange, SELF_PROGRAM};
