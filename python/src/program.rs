//! The program: `python -m ddppo`.

use std::process::ExitCode;

use clap::Parser;
use ddppo::run::text::one_line;
use pyo3::prelude::*;

use crate::cli::Cli;
use crate::commands;

/// Runs a command line, the program's name left out, and returns the exit code. What it says goes to the process's own streams.
#[pyfunction]
pub fn main(py: Python<'_>, arguments: Vec<String>) -> u8 {
    py.detach(|| number(run(arguments)))
}

fn run(arguments: Vec<String>) -> ExitCode {
    let words = std::iter::once("ddppo".to_owned()).chain(arguments);
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) if commands::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            commands::say(&format!("error: {}", one_line(&format!("{error:#}"))));
            commands::exit_code(&error)
        }
    }
}

/// The number of an exit code, which does not tell it: it is compared with all that there are.
fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1)
}
