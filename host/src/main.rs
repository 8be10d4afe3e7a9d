//! The executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    pallium::cli::main()
}
