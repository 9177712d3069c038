//! Criterion benches of the hot paths: `cargo bench -p virtengine-benches`. Figures with the machine beside them are in
//! `benches/README.md`.
