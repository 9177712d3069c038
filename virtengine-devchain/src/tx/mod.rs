//! Transactions: from bytes to checked messages. Unknown fields, unknown types and malformed amounts are refused here, before any
//! rule runs.

pub(crate) mod decode;
pub(crate) mod fields;
pub(crate) mod message;

pub(crate) use decode::Tx;
