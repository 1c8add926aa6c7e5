//! Parses the command line, runs one command, prints one clear error.

mod cli;
mod commands;
mod processor;

use std::process::ExitCode;

use clap::Parser;

/// Starts what it gives at cache lines and in pages of 2 MB: worth a tenth of an update (docs/kernels.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) if commands::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            commands::say(&format!("error: {}", ddppo::run::text::one_line(&format!("{error:#}"))));
            commands::exit_code(&error)
        }
    }
}
