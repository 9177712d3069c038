//! The built program, from outside: exit codes, standard output, standard error.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests")]

mod adapter;
mod daemon;
mod devnet;
mod documents;
mod help;
mod keys;
mod logs;
mod program;
mod tenant;
