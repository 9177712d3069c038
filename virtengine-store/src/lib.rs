#![doc = include_str!("../README.md")]

pub mod limits;
mod memory;
mod seal;
mod sqlite;

pub use memory::MemoryJournal;
pub use sqlite::{Options, SqliteJournal, Stats, Verified};
