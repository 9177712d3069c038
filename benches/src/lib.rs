//! Criterion benches of the hot paths: `cargo xtask bench`. Figures with the machine beside them are in `benches/README.md`.
//!
//! This library makes what the benches measure on; it fails loudly, since a bench on something else would be worthless.

pub mod manifest;
pub mod market;
pub mod metered;
