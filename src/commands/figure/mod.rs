//! `ddppo figure`: runs what is missing of a figure of the paper, then draws it.

mod comparison;
mod grid;
mod models;
mod runs;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ddppo::report::Picture;
use ddppo::run::storage::{Disk, StorageError, replace};

use self::grid::RunFigure;
use crate::cli::{Figure, FigureArgs};

/// Makes the figure.
pub fn run(args: &FigureArgs) -> anyhow::Result<ExitCode> {
    match &args.figure {
        Figure::Comparison(args) => comparison::run(args),
        Figure::Models(args) => models::with_and_without(args),
        Figure::Directions(args) => models::directions(args),
        Figure::Ablations(args) => runs::run(RunFigure::Ablations, args),
        Figure::Variants(args) => runs::run(RunFigure::Variants, args),
        Figure::PredictionErrors(args) => runs::run(RunFigure::PredictionErrors, args),
        Figure::Parameters(args) => runs::run(RunFigure::Parameters, args),
        Figure::Horizons(args) => runs::run(RunFigure::Horizons, args),
    }
}

/// Writes a figure in both formats and the table behind it, and says where.
pub(crate) fn write(folder: &Path, name: &str, picture: &Picture, csv: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder).map_err(StorageError::of("create", folder))?;
    let table = folder.join(format!("{name}.csv"));
    replace(&Disk, &table, csv.as_bytes())?;
    super::print(&format!("{}\n", table.display()))?;
    for extension in ["svg", "png"] {
        let file = folder.join(format!("{name}.{extension}"));
        picture.write(&file)?;
        super::print(&format!("{}\n", file.display()))?;
    }
    Ok(())
}

/// "2h 3m 10s", to the second.
fn duration(seconds: f64) -> String {
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
}
