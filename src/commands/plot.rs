//! `ddppo plot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ddppo::report::curves;
use ddppo::run::storage::StorageError;

use super::output::{print, say};
use crate::cli::PlotArgs;

/// Draws learning curves, or writes the numbers behind them, and says where.
pub fn run(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) =
        args.output.as_ref().filter(|file| file.extension().is_some_and(|e| e == "csv"))
    {
        let (table, notes) = curves::learning_table(&args.runs)?;
        warn(&notes);
        std::fs::write(file, table).map_err(StorageError::of("write", file))?;
        print(&format!("{}\n", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let curves = curves::learning_curves(&args.runs, &args.published)?;
    warn(&curves.notes);
    let files: Vec<PathBuf> = match (&args.output, args.runs.as_slice()) {
        (Some(file), _) => vec![file.clone()],
        (None, [run]) => both_formats(run),
        (None, _) => both_formats(Path::new("")),
    };
    for file in files {
        curves.picture.write(&file)?;
        print(&format!("{}\n", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn both_formats(folder: &Path) -> Vec<PathBuf> {
    ["curve.svg", "curve.png"].map(|name| folder.join(name)).into()
}

fn warn(notes: &[String]) {
    notes.iter().for_each(|note| say(&format!("warning: {note}")));
}
