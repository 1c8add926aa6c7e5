//! `ddppo analyze`.

use std::process::ExitCode;

use ddppo::lab::analysis::gradient_error::{GradientErrors, RealStates};
use ddppo::lab::analysis::multi_step::{StepError, multi_step_errors};
use ddppo::lab::analysis::policy_gradient::{PolicyGradientBias, policy_gradient_bias};
use ddppo::lab::analysis::trained_models;
use ddppo::lab::figures::gradient_errors::gradient_errors;
use serde::Serialize;

use super::analyze_table::table;

use super::UsageError;
use crate::cli::AnalyzeArgs;

/// All that was measured.
#[derive(Serialize)]
pub(crate) struct Analysis {
    pub task: String,
    pub step: u64,
    pub seed: u64,
    #[serde(flatten)]
    pub errors: GradientErrors,
    pub multi_step: Vec<StepError>,
    pub policy_gradient: Option<PolicyGradientBias>,
}

/// Compares a run's models with the world.
pub fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let run = super::saved_run(&args.run, args.best)?;
    let (method, task) = (run.method(), run.task());
    let models = trained_models(method, run.config().algorithm())?;
    let states = args.states as usize;
    let errors = RealStates::meet(method.policy(), task, states, args.seed)?.errors(models, task);
    let multi_step = multi_step_errors(method.policy(), models, task, states, args.seed)?;
    // A method that does not differentiate its model has no such gradient.
    let policy_gradient = match method.objective().filter(|of| of.imagination.is_some()) {
        Some(of) => policy_gradient_bias(of, models, task, of.horizon(), states, args.seed)?,
        None => None,
    };
    let (name, step) = (task.name().to_owned(), run.step());
    let analysis =
        Analysis { task: name, step, seed: args.seed, errors, multi_step, policy_gradient };
    if let Some(file) = &args.output {
        let Some(group) = &analysis.errors.regular else {
            let message =
                "every state has a contact event, so there is nothing to draw: try more --states";
            return Err(UsageError(message.to_owned()).into());
        };
        gradient_errors(task.name(), group, &analysis.multi_step).write(file)?;
    }
    super::print(&if args.json {
        serde_json::to_string_pretty(&analysis)? + "\n"
    } else {
        table(&analysis, task)
    })?;
    Ok(ExitCode::SUCCESS)
}
