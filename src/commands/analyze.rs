//! `ddppo analyze`.

use std::process::ExitCode;

use ddppo::analysis::gradient_error::{GradientErrors, Group, ModelError, RealStates};
use ddppo::analysis::policy_gradient::{PolicyGradientBias, policy_gradient_bias};
use ddppo::analysis::trained_world;
use ddppo::env::Task;
use ddppo::report::gradient_errors::gradient_errors;
use serde::Serialize;

use super::{UsageError, saved_run, thousands};
use crate::cli::AnalyzeArgs;

/// All that was measured.
#[derive(Serialize)]
struct Analysis {
    task: String,
    step: u64,
    seed: u64,
    #[serde(flatten)]
    errors: GradientErrors,
    policy_gradient: Option<PolicyGradientBias>,
}

/// Compares a run's models with the world.
pub fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let run = saved_run::load(&args.run, args.best)?;
    let (learner, task) = (run.learner(), run.task());
    let world = trained_world(learner)?;
    let states = args.states as usize;
    let errors = RealStates::meet(learner, task, states, args.seed)?.errors(world, task);
    // A method that does not differentiate its model has no such gradient.
    let policy_gradient = if run.config().algorithm.uses("policy.horizon") {
        let horizon = run.config().policy.horizon;
        policy_gradient_bias(learner, world, task, horizon, states, args.seed)?
    } else {
        None
    };
    let (name, step) = (task.name().to_owned(), run.step());
    let analysis = Analysis { task: name, step, seed: args.seed, errors, policy_gradient };
    if let Some(file) = &args.output {
        let Some(group) = &analysis.errors.regular else {
            let message =
                "every state has a contact event, so there is nothing to draw: try more --states";
            return Err(UsageError(message.to_owned()).into());
        };
        gradient_errors(task.name(), group).write(file)?;
    }
    super::print(&if args.json {
        serde_json::to_string_pretty(&analysis)? + "\n"
    } else {
        table(&analysis, task)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(analysis: &Analysis, task: &dyn Task) -> String {
    let mut out = format!(
        "{} after {} steps, on new real states (seed {}); mean squared errors in raw units\n",
        analysis.task,
        thousands(analysis.step),
        analysis.seed
    );
    let groups = [
        ("without contact events", &analysis.errors.regular),
        ("with contact events, where the derivative means little", &analysis.errors.events),
    ];
    for (title, group) in groups {
        if let Some(group) = group {
            out += &format!("\n{} states {title}\n", group.states);
            out += &group_table(group, task);
        }
    }
    if let Some(bias) = &analysis.policy_gradient {
        out += &format!(
            "\npolicy gradient over {} real trajectories of {} steps, against the true Jacobians\n{:<26}{:>14}{:>14}\n",
            bias.trajectories, bias.horizon, "", "‖g−g*‖/‖g*‖", "cosine"
        );
        let models = [("M^p", Some(bias.prediction_model)), ("M^g", bias.gradient_model)];
        for (name, bias) in models.into_iter().filter_map(|(name, bias)| Some((name, bias?))) {
            out += &format!("{name:<26}{:>14.4}{:>14.4}\n", bias.relative, bias.cosine);
        }
    }
    out
}

fn group_table(group: &Group, task: &dyn Task) -> String {
    let mut models = vec![("M^p", &group.prediction_model)];
    models.extend(group.gradient_model.as_ref().map(|model| ("M^g", model)));
    let mut out = format!("{:<26}", "output");
    for what in ["prediction", "gradient"] {
        for (name, _) in &models {
            out += &format!("{:>16}", format!("{what} {name}"));
        }
    }
    let mut line = |name: &str, of: [&dyn Fn(&ModelError) -> f64; 2]| {
        let values = of.iter().flat_map(|of| models.iter().map(move |(_, model)| of(model)));
        let values: String = values.map(|value| format!("{value:>16.3e}")).collect();
        out += &format!("\n{name:<26}{values}");
    };
    for output in 0..=task.observation_dim() {
        let name = match output == task.observation_dim() {
            true => "reward".to_owned(),
            false => format!("s'[{output}]"),
        };
        line(&name, [&|error| error.prediction[output], &|error| error.gradient[output]]);
    }
    line("mean", [&ModelError::mean_prediction, &ModelError::mean_gradient]);
    out += "\n\nderivative by";
    out += &format!("{:>pad$}", "", pad = 26 - "derivative by".len());
    for (name, _) in &models {
        out += &format!("{:>16}", format!("cosine {name}"));
    }
    for column in 0..task.observation_dim() + task.action_dim() {
        let name = match column.checked_sub(task.observation_dim()) {
            None => format!("s[{column}]"),
            Some(action) => format!("a[{action}]"),
        };
        let cosines = models.iter().map(|(_, model)| match model.cosine[column] {
            Some(cosine) => format!("{cosine:>16.4}"),
            None => format!("{:>16}", "–"),
        });
        out += &format!("\n{name:<26}{}", cosines.collect::<String>());
    }
    let sums = |of: fn(&ModelError) -> f64| -> String {
        models.iter().map(|(_, model)| format!("{:>16.4}", of(model))).collect()
    };
    out += &format!("\n{:<26}{}", "mean", sums(ModelError::mean_cosine));
    out += &format!("\n\n{:<26}{}\n", "Σ‖J−J*‖² / Σ‖J*‖²", sums(|error| error.relative_gradient));
    out
}
