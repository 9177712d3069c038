//! The loops around the composition: one per port.
