//! What other programs are told of this one: `ddppo schema`, `ddppo completions`, `ddppo man`.

use std::fs;
use std::process::ExitCode;

use clap::CommandFactory;
use ddppo::methods;
use ddppo::run::storage::StorageError;

use super::output::print;
use crate::cli::{Cli, CompletionsArgs, ManArgs, SchemaArgs};

/// Prints the JSON schema of a method's settings, or of all methods'.
pub fn schema(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    let schema = match &args.algo {
        Some(name) => methods::schema(methods::find(name)?),
        None => methods::schema_of_all(),
    };
    print(&(serde_json::to_string_pretty(&schema)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a shell's completions.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ddppo", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual.
pub fn manual(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(StorageError::of("create", folder))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(StorageError::of("write", folder))?;
    print(&format!("{}\n", folder.join("ddppo.1").display()))?;
    Ok(ExitCode::SUCCESS)
}
