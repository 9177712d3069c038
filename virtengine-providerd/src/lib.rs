#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod devnet;
pub mod provider;
pub mod tenant;
