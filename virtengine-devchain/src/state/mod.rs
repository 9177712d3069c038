//! What every rule works on: the key-value store with its layers, the gas meter, exact amounts, events and refusals. No I/O.

pub(crate) mod address;
pub(crate) mod amount;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod failure;
pub(crate) mod gas;
pub(crate) mod keys;
pub(crate) mod store;
pub(crate) mod time;
