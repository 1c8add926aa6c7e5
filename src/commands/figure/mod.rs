//! `ddppo figure`: runs what is missing of a figure of the paper, then draws it.

mod comparison;
mod estimators;
mod models;
mod runs;
mod written;

use std::process::ExitCode;

use ddppo::lab::figures::run_figures::RunFigure;

pub(crate) use self::written::write;
use crate::cli::{Figure, FigureArgs};

/// Makes the figure.
pub fn run(args: &FigureArgs) -> anyhow::Result<ExitCode> {
    match &args.figure {
        Figure::Comparison(args) => comparison::run(args),
        Figure::Models(args) => models::with_and_without(args),
        Figure::Directions(args) => models::directions(args),
        Figure::Estimators(args) => estimators::run(args),
        Figure::Ablations(args) => runs::run(RunFigure::Ablations, args),
        Figure::Variants(args) => runs::run(RunFigure::Variants, args),
        Figure::PredictionErrors(args) => runs::run(RunFigure::PredictionErrors, args),
        Figure::Parameters(args) => runs::run(RunFigure::Parameters, args),
        Figure::Horizons(args) => runs::run(RunFigure::Horizons, args),
    }
}
