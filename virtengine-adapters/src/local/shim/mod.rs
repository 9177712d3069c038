//! The supervisor of one workload: a small process that outlives the daemon. It starts the replicas, restarts them, checks
//! them, captures their logs, carries and counts their traffic, measures what they use, and takes them down.
//!
//! ```text
//! adapter ──spawns──► shim run <workload dir>          (own session; holds shim.lock; listens on ctl.sock)
//!                       ├─ shim exec … -- program      (becomes the program of replica 0: own session, own control group)
//!                       ├─ shim exec … -- program      (replica 1)
//!                       └─ whatever they leave behind  (orphans come to the supervisor, which adopts and kills them)
//! ```
//!
//! The goal stands in `desired.json`; a request on the socket only says "look again". So the supervisor does the same after
//! a lost request, and a daemon that was killed between writing and asking loses nothing.

mod accounts;
mod capture;
mod exec;
mod family;
mod launch;
mod meter;
mod places;
mod probe;
mod proxy;
mod replica;
mod server;
mod starting;
mod storage;
mod supervisor;
mod takedown;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use launch::inherited;
pub(crate) use meter::Meter;

/// Runs a supervisor, or becomes a program under its bounds: `args` are what follows the sub-command that leads here
/// (`local-shim` by default), i.e. `run <workload dir>` or `exec … -- <program> …`.
///
/// Call it from `main` before anything else is started: it makes this process its own session and uses its only thread.
#[must_use]
pub fn main<I: IntoIterator<Item = String>>(args: I) -> ExitCode {
    let mut args = args.into_iter();
    let outcome = match args.next().as_deref() {
        Some("run") => match args.next() {
            Some(dir) => supervisor::run(PathBuf::from(dir)),
            None => Err("run: the directory of a workload is missing".to_owned()),
        },
        Some("exec") => Err(exec::become_program(args)),
        _ => Err("this command is started by the local adapter, not by hand".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("virtengine local supervisor: {message}"));
            // As shells do: found but not startable.
            ExitCode::from(126)
        }
    }
}

/// Writes a line to our own log. It lies on the disk that may be full: a supervisor does not die of not being heard.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
