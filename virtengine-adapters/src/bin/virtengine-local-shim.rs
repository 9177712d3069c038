//! The supervisor of the local adapter as a program of its own, for programs that embed the adapter without giving their own
//! binary the two sub-commands.

use std::process::ExitCode;

use virtengine_adapters::local::{demo, shim};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("local-shim") => shim::main(args),
        Some("demo-service") => demo::main(args),
        _ => {
            eprintln!("virtengine-local-shim: this program is started by the local adapter, not by hand");
            ExitCode::from(2)
        }
    }
}
