//! What `ddppo analyze` prints for people.

use crate::env::Task;
use crate::lab::analysis::calibration::Calibration;
use crate::lab::analysis::gradient_error::{Group, ModelError};
use crate::lab::analysis::gradient_noise::{GradientNoise, SourceNoise};
use crate::lab::analysis::multi_step::{MODELS, OutputErrors, StepError};
use crate::lab::analysis::policy_gradient::PolicyGradientBias;
use crate::lab::analysis::theorem1_terms::Terms;
use crate::lab::analysis::{Analysis, PairedBias};
use crate::run::text::thousands;

/// Width of the first column.
const NAMES: usize = 26;
/// Width of the first column beside the many narrow ones of the steps.
const SHORT_NAMES: usize = 14;

/// Everything, as tables under each other.
pub fn table(analysis: &Analysis, task: &dyn Task) -> String {
    let mut out = format!(
        "{} after {} steps, on new real states (seed {})\n",
        analysis.task,
        thousands(analysis.step),
        analysis.seed
    );
    if let Some(bias) = &analysis.policy_gradient_by_horizon {
        out += &horizon_table(bias);
    }
    if let Some(noise) = &analysis.policy_gradient_noise {
        out += &noise_table(noise);
    }
    if let Some(calibration) = &analysis.calibration {
        out += &calibration_table(calibration);
    }
    out += "\nmean squared errors in raw units\n";
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
    out += &multi_step_tables(&analysis.multi_step, task);
    if let Some(bias) = &analysis.policy_gradient {
        out += &bias_table(bias);
        out += &terms_table(&bias.theorem1);
    }
    out
}

/// What an update is made of, horizon by horizon.
fn horizon_table(bias: &PairedBias) -> String {
    let mut out = format!(
        "\npolicy gradient by horizon, against the true derivatives, along the same {} real paths\n{:<NAMES$}{:>14}{:>14}{:>14}{:>18}\n",
        bias.paths, "", "‖g−g*‖/‖g*‖", "cosine", "row cosine", "row gain on M^p"
    );
    for horizon in &bias.horizons {
        for (model, own) in horizon.models.iter().enumerate() {
            let gain = model.checked_sub(1).map(|other| horizon.gains[other]);
            let gain =
                gain.map_or(String::new(), |(mean, error)| format!("{mean:+.4} ± {error:.4}"));
            out += &format!(
                "{:<NAMES$}{:>14.4}{:>14.4}{:>14.4}{gain:>18}\n",
                format!("H = {}  {}", horizon.horizon, MODELS[model]),
                own.relative,
                own.cosine,
                own.row_cosine
            );
        }
    }
    out
}

fn noise_table(noise: &GradientNoise) -> String {
    let mut sources = vec![("the run's derivatives", noise.own)];
    sources.extend(noise.prediction_model.map(|noise| ("M^p's", noise)));
    let mut out = format!(
        "\npolicy gradient's noise: {} independent imagined minibatches of {} rows\n{:<NAMES$}",
        noise.minibatches, noise.batch, ""
    );
    for (name, _) in &sources {
        out += &format!("{name:>24}");
    }
    let mut line = |name: &str, cells: Vec<String>| {
        out += &format!("\n{name:<NAMES$}");
        cells.iter().for_each(|cell| out += &format!("{cell:>24}"));
    };
    let of = |f: &dyn Fn(&SourceNoise) -> String| {
        sources.iter().map(|(_, noise)| f(noise)).collect::<Vec<_>>()
    };
    line("cosine between them", of(&|noise| format!("{:.4}", noise.cosine)));
    let rows = |rows: f64| thousands(rows.round() as u64);
    line(
        "rows for a cosine of ½",
        of(&|noise| noise.rows_for_half.map_or("no signal".to_owned(), rows)),
    );
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    line("entries clipped", of(&|noise| percent(noise.clipped)));
    line("|λ| in 1 % of the rows", of(&|noise| percent(noise.largest_percent)));
    line("|λ| in 10 % of the rows", of(&|noise| percent(noise.largest_tenth)));
    if let Some(between) = noise.between {
        line("cosine between the two", vec![format!("{between:.4}")]);
    }
    out + "\n"
}

fn calibration_table(found: &Calibration) -> String {
    let correlation = found.correlation.map_or("–".to_owned(), |c| format!("{c:.3}"));
    format!(
        "\nvalues and discounted returns of {} episodes, {} states\n{:<NAMES$}{:>14}{:>14}{:>14}\n\
         {:<NAMES$}{:>14.3}{:>14.3}{:>14.3}\n{:<NAMES$}{:>14.3}{:>14.3}{:>14.3}\n\
         error over the returns' deviation {:.3}, correlation {correlation}\n",
        found.episodes,
        found.states,
        "",
        "Q",
        "return",
        "ratio",
        "first states",
        found.start_value,
        found.start_return,
        found.start_value / found.start_return,
        "all states",
        found.value,
        found.discounted_return,
        found.value / found.discounted_return,
        found.relative_error
    )
}

fn output_name(task: &dyn Task, output: usize) -> String {
    match output == task.observation_dim() {
        true => "reward".to_owned(),
        false => format!("s'[{output}]"),
    }
}

/// A table a model, with a column for each number of steps.
fn multi_step_tables(errors: &[StepError], task: &dyn Task) -> String {
    // No state is followed by a real step where the physics breaks at each.
    if errors.is_empty() {
        return String::new();
    }
    let mut out = "\nprediction error after several steps: the model fed its own predictions and the real actions\n"
        .to_owned();
    let line = |name: &str, cell: &dyn Fn(&StepError) -> String| {
        let cells: String = errors.iter().map(|error| format!("{:>9}", cell(error))).collect();
        format!("{name:<SHORT_NAMES$}{cells}\n")
    };
    out += &line("steps", &|error| error.steps.to_string());
    out += &line("trajectories", &|error| error.trajectories.to_string());
    for (model, name) in MODELS.iter().enumerate() {
        if errors.iter().any(|error| error.of_models()[model].is_none()) {
            continue;
        }
        out += &format!("{name}\n");
        let cell = |error: &StepError, of: &dyn Fn(&OutputErrors) -> f64| {
            error.of_models()[model]
                .map_or_else(String::new, |errors| format!("{:.2e}", of(errors)))
        };
        for output in 0..=task.observation_dim() {
            let cell = |error: &StepError| cell(error, &|errors| errors.by_output[output]);
            out += &line(&output_name(task, output), &cell);
        }
        out += &line("mean", &|error| cell(error, &|errors| errors.mean));
    }
    out
}

fn bias_table(bias: &PolicyGradientBias) -> String {
    let mut out = format!(
        "\npolicy gradient over {} real trajectories of {} steps, against the true Jacobians\n{:<NAMES$}{:>14}{:>14}\n",
        bias.trajectories, bias.horizon, "", "‖g−g*‖/‖g*‖", "cosine"
    );
    let mut rows = vec![("M^p".to_owned(), bias.prediction_model)];
    for mixture in &bias.mixtures {
        let name = format!("{}·M^p + {}·M^g", 1.0 - mixture.share, mixture.share);
        rows.push((name, mixture.bias));
    }
    rows.extend(bias.gradient_model.map(|bias| ("M^g".to_owned(), bias)));
    for (name, bias) in rows {
        out += &format!("{name:<NAMES$}{:>14.4}{:>14.4}\n", bias.relative, bias.cosine);
    }
    out
}

fn terms_table(terms: &Terms) -> String {
    let mut out = format!(
        "\nterms of Theorem 1 at the {} states of these trajectories, in raw units\n{:<NAMES$}{:>14}{:>14}{:>14}\n",
        terms.states, "", "ε_f", "ε_f^g", "ε_r^g"
    );
    let models = [("M^p", Some(terms.prediction_model)), ("M^g", terms.gradient_model)];
    for (name, of) in models.into_iter().filter_map(|(name, of)| Some((name, of?))) {
        for (which, sizes) in [("mean", of.mean), ("largest", of.largest)] {
            out += &format!(
                "{:<NAMES$}{:>14.3e}{:>14.3e}{:>14.3e}\n",
                format!("{name} {which}"),
                sizes.prediction,
                sizes.transition_gradient,
                sizes.reward_gradient
            );
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
        line(
            &output_name(task, output),
            [&|error| error.prediction[output], &|error| error.gradient[output]],
        );
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
