//! The whole job on one machine.
