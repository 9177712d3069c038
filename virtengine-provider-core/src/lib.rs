#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::float_arithmetic
    )
)]

extern crate alloc;

pub mod capacity;
pub mod document;
pub mod fraud;
pub mod id;
pub mod lease;
pub mod lifecycle;
pub mod manifest;
pub mod market;
pub mod money;
pub mod ports;
pub mod pricing;
pub mod time;
pub mod units;
pub mod workload;
