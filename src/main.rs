//! Parses the command line, runs one command, prints one clear error.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

/// Starts what it gives at cache lines and in pages of 2 MB: worth a tenth of an update (docs/kernels.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) if commands::reader_went_away(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            commands::exit_code(&error)
        }
    }
}
