#![doc = include_str!("../README.md")]

pub mod api;
pub mod health;
mod listen;
pub mod log;
pub mod metrics;
pub mod operator;
pub mod rfc3339;
pub mod tenant;
