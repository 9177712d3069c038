//! See the README.
use std::process::ExitCode;

use virtengine_adapters::local::{demo, shim};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    // The local adapter starts this program again as the supervisor of a workload, and as its demonstration service.
    match args.next().as_deref() {
        Some("local-shim") => shim::main(args),
        Some("demo-service") => demo::main(args),
        _ => virtengine_providerd::cli::main(std::env::args_os()),
    }
}
