//! `demo-web`, the service that ships inside the program: a small web server that does a little steady work, so that there is
//! something to deploy, to reach and to measure on a host that has nothing else.
//!
//! | Path | What it does |
//! |---|---|
//! | `/` | says who it is and how often it was asked, also before it was last stopped |
//! | `/healthz` | `ok` |
//! | `/burn?ms=500` | uses that much CPU time |
//! | `/alloc?mb=64` | holds that much memory instead of what it held before |
//! | `/write?mb=8` | keeps that much on disk instead of what it kept before |
//! | `/bytes?kb=64` | answers with that many bytes |
//! | `/exit?code=3` | ends |

mod http;
mod work;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use work::Work;

/// Runs the service until it is ended. `args` are what follows the sub-command: `--port <port>` (default: what `PORT` says, or
/// 8080) and `--idle` (no steady work). It listens on 127.0.0.1 and keeps its data in `VE_DATA_DIR` or the working directory.
#[must_use]
pub fn main<I: IntoIterator<Item = String>>(args: I) -> ExitCode {
    match serve(args.into_iter()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("demo-web: {message}");
            ExitCode::from(2)
        }
    }
}

fn serve(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let mut idle = false;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--port" => port = args.next().ok_or("--port needs a number")?,
            "--idle" => idle = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let data = std::env::var_os("VE_DATA_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    println!("demo-web: listening on port {port}");
    let work = Arc::new(Work::new(data));
    if !idle {
        let steady = Arc::clone(&work);
        std::thread::spawn(move || steady.steadily());
    }
    http::serve(&listener, &work);
    Ok(())
}
