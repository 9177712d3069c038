#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::float_arithmetic
    )
)]

pub mod alerts;
mod bytes;
pub mod charge;
pub mod meter;
pub mod metrics;
pub mod pricing;
pub mod record;
pub mod settlement;
pub mod signed;
mod traffic;
pub mod verify;
pub mod window;
