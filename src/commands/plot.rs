//! `ddppo plot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ddppo::report::curves;

use crate::cli::PlotArgs;

/// Draws learning curves and says where.
pub fn run(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let picture = curves::learning_curves(&args.runs)?;
    let files: Vec<PathBuf> = match (&args.output, args.runs.as_slice()) {
        (Some(file), _) => vec![file.clone()],
        (None, [run]) => both_formats(run),
        (None, _) => both_formats(Path::new("")),
    };
    for file in files {
        picture.write(&file)?;
        super::print(&format!("{}\n", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn both_formats(folder: &Path) -> Vec<PathBuf> {
    ["curve.svg", "curve.png"].map(|name| folder.join(name)).into()
}
