//! `ddppo plot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ddppo::report::curves;
use ddppo::report::metric::Metric;
use ddppo::run::storage::StorageError;

use super::output::{UsageError, print, say};
use crate::cli::PlotArgs;

/// Draws learning curves, or writes the numbers behind them, and says where.
pub fn run(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let metric = args.metric.as_deref().map_or_else(Metric::returns, Metric::named);
    if !args.published.is_empty() && !metric.is_return() {
        let message = format!("published curves are of returns, not of `{}`", metric.word());
        return Err(UsageError(message).into());
    }
    if let Some(file) =
        args.output.as_ref().filter(|file| file.extension().is_some_and(|e| e == "csv"))
    {
        let (table, notes) = curves::metric_table(&args.runs, &metric)?;
        warn(&notes);
        std::fs::write(file, table).map_err(StorageError::of("write", file))?;
        print(&format!("{}\n", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let curves = curves::metric_curves(&args.runs, &metric, &args.published)?;
    warn(&curves.notes);
    let files: Vec<PathBuf> = match (&args.output, args.runs.as_slice()) {
        (Some(file), _) => vec![file.clone()],
        (None, [run]) => both_formats(run, &metric),
        (None, _) => both_formats(Path::new(""), &metric),
    };
    for file in files {
        curves.picture.write(&file)?;
        print(&format!("{}\n", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Named after the metric, so that none takes the place of the learning curve.
fn both_formats(folder: &Path, metric: &Metric) -> Vec<PathBuf> {
    let name =
        if metric.is_return() { "curve".to_owned() } else { metric.name().replace('/', "-") };
    ["svg", "png"].map(|format| folder.join(format!("{name}.{format}"))).into()
}

fn warn(notes: &[String]) {
    notes.iter().for_each(|note| say(&format!("warning: {note}")));
}
