//! Keys in memory only: for tests and throw-away networks. They are gone when the process ends.

mod storage;

pub use storage::MemoryStorage;
