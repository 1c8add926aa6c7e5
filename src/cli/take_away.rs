//! Flags of the commands that write for other programs: exported policies, schemas, completions, manuals.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::checkpoint_args::CheckpointArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
The file takes an observation in the environment's units and gives the deterministic action in the environment's units.
Its name's end says the format: .onnx for ONNX runtimes, .safetensors for the weights alone, .h for a C99 header that
needs nothing but math.h. docs/export.md describes each.

Examples:
  ddppo export runs/Hopper-seed0-1 -o hopper.onnx
  ddppo export runs/Hopper-seed0-1 --best -o hopper.safetensors
  ddppo export runs/Arm-seed0-1 --step 15000 -o arm.h        the function is arm_act")]
pub struct ExportArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// File to write, .onnx, .safetensors or .h
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a JSON schema (draft 2020-12) of the config.toml in a run's folder, for editors and for programs that write
settings. Without --algo it is that of all methods, told apart by `algorithm`. JSON has no infinity: a default of null
is `inf` in TOML.

Examples:
  ddppo schema > ddppo.schema.json
  ddppo schema --algo sac > sac.schema.json")]
pub struct SchemaArgs {
    /// Method whose settings are described [default: all]
    #[arg(long, value_name = "METHOD")]
    pub algo: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints a script that teaches a shell the program's commands and flags.

Examples:
  ddppo completions bash > ~/.local/share/bash-completion/completions/ddppo
  ddppo completions zsh > ~/.zfunc/_ddppo        with ~/.zfunc in fpath
  ddppo completions fish > ~/.config/fish/completions/ddppo.fish")]
pub struct CompletionsArgs {
    /// Shell to complete in
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes a manual page for the program and one for each command, in the format that `man` reads, and says where. The
folder is made if it is not there.

Examples:
  ddppo man ~/.local/share/man/man1 && man ddppo-train
  ddppo man man && man man/ddppo.1")]
pub struct ManArgs {
    /// Folder to write them to
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
