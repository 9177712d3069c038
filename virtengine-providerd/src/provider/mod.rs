//! The pure composition of the machines.
