//! The study of gradient losses as a picture, a table of all measurements, and a summary over seeds.

use std::fmt::Write;

use crate::lab::estimators::trial::{EstimatorMeasurement, EstimatorOutcome, StudiedLoss};
use crate::report::aggregate::{Aggregate, deviation, mean, paired_ratio};
use crate::report::chart::{Panel, Point, Series, draw};
use crate::report::picture::Picture;

/// Finished trials of one loss, in the order of seeds.
struct Arm<'a> {
    loss: StudiedLoss,
    outcomes: Vec<&'a EstimatorOutcome>,
}

fn arms(outcomes: &[EstimatorOutcome]) -> Vec<Arm<'_>> {
    let of = |loss: StudiedLoss| Arm {
        loss,
        outcomes: outcomes.iter().filter(|outcome| outcome.trial.loss == loss).collect(),
    };
    StudiedLoss::ALL.into_iter().map(of).filter(|arm| !arm.outcomes.is_empty()).collect()
}

/// A number of a measurement at its horizon number `h`.
type Figure = fn(&EstimatorMeasurement, usize) -> f64;

const BIAS: Figure = |m, h| m.biases[h].1.relative;
const ROW_COSINE: Figure = |m, h| m.biases[h].1.row_cosine;

/// Draws the longest horizon's bias and row cosine over steps and over seconds.
pub fn picture(outcomes: &[EstimatorOutcome]) -> Picture {
    let arms = arms(outcomes);
    let trial = &outcomes[0].trial;
    let longest = outcomes[0].by_steps[0].biases.len() - 1;
    let horizon = outcomes[0].by_steps[0].biases[longest].0;
    let panel = |what: &str, x_label: &str, x: fn(&EstimatorMeasurement) -> f64, y: Figure| {
        let series = arms.iter().map(|arm| {
            let point = |i: usize| {
                let of = |f: &dyn Fn(&EstimatorMeasurement) -> f64| -> Vec<f64> {
                    arm.outcomes.iter().map(|outcome| f(&outcome.by_steps[i])).collect()
                };
                let values = of(&|m| y(m, longest));
                Point { x: mean(&of(&x)), y: mean(&values), spread: deviation(&values) }
            };
            let points = (0..arm.outcomes[0].by_steps.len()).map(point).collect();
            Series { label: arm.loss.name().to_owned(), points, ..Series::default() }
        });
        Panel {
            title: format!("{}: {what}, H = {horizon}", trial.task),
            subtitle: format!(
                "mean and deviation over seeds; after {} steps of the run",
                trial.run_step
            ),
            x_label: x_label.to_owned(),
            y_label: what.to_owned(),
            series: series.collect(),
        }
    };
    let panels =
        [("relative bias of the policy gradient", BIAS), ("mean cosine of a row", ROW_COSINE)];
    let drawn = panels.into_iter().flat_map(|(what, y)| {
        [
            panel(what, "minibatches", |m| m.steps as f64, y),
            panel(what, "seconds of training", |m| m.seconds, y),
        ]
    });
    draw(&drawn.collect::<Vec<_>>())
}

/// All measurements as CSV. `mark` says whether a measurement is one of equal steps or of equal seconds.
pub fn csv(outcomes: &[EstimatorOutcome]) -> String {
    let mut out = "task,run_step,loss,seed,members,fresh,mark,steps,seconds,horizon,relative_bias,cosine,row_cosine,\
                   relative_jacobian_error,prediction_error\n"
        .to_owned();
    for EstimatorOutcome { trial, by_steps, at_seconds } in outcomes {
        let measurements = by_steps.iter().map(|m| ("steps", m)).chain([("seconds", at_seconds)]);
        for (mark, m) in measurements {
            for (horizon, bias) in &m.biases {
                let _ = writeln!(
                    out,
                    "{},{},{},{},{},{},{mark},{},{:.3},{horizon},{:e},{},{},{:e},{:e}",
                    trial.task,
                    trial.run_step,
                    trial.loss.name(),
                    trial.seed,
                    trial.members,
                    trial.fresh,
                    m.steps,
                    m.seconds,
                    bias.relative,
                    bias.cosine,
                    bias.row_cosine,
                    m.relative_jacobian_error,
                    m.prediction_error
                );
            }
        }
    }
    out
}

/// Bias and row cosine by horizon after all steps, and at equal seconds, as Markdown; the bias of the longest horizon also as a ratio to the first
/// loss's, seed by seed (geometric mean and bootstrap interval).
pub fn summary(outcomes: &[EstimatorOutcome]) -> String {
    let arms = arms(outcomes);
    let trial = &outcomes[0].trial;
    let start = if trial.fresh { "fresh networks" } else { "the run's prediction model" };
    let mut out = format!(
        "\n{} after {} steps: {start}, {} members, trained on the run's transitions\n",
        trial.task, trial.run_step, trial.members
    );
    let by_steps: fn(&EstimatorOutcome) -> &EstimatorMeasurement =
        |outcome| &outcome.by_steps[outcome.by_steps.len() - 1];
    let marks = [
        (format!("after {} minibatches", trial.steps), by_steps),
        (format!("after {} s of training", trial.seconds), |outcome| &outcome.at_seconds),
    ];
    for (mark, at) in marks {
        out += &table(&mark, &arms, at);
    }
    out
}

fn table(
    mark: &str,
    arms: &[Arm<'_>],
    at: fn(&EstimatorOutcome) -> &EstimatorMeasurement,
) -> String {
    let horizons: Vec<usize> =
        at(arms[0].outcomes[0]).biases.iter().map(|(horizon, _)| *horizon).collect();
    let mut out = format!("\n{mark}\n\n| loss | seeds | minibatches | seconds |");
    for horizon in &horizons {
        let _ = write!(out, " bias, H = {horizon} | row cosine |");
    }
    out += " longest H, to first [95 %] | Jacobian error |\n|---|---|---|---|";
    out += &"---|---|".repeat(horizons.len() + 1);
    for arm in arms {
        let values = |arm: &Arm<'_>, f: &dyn Fn(&EstimatorMeasurement) -> f64| -> Vec<f64> {
            arm.outcomes.iter().map(|outcome| f(at(outcome))).collect()
        };
        let of = |f: &dyn Fn(&EstimatorMeasurement) -> f64| Aggregate::of(&values(arm, f));
        let _ = write!(
            out,
            "\n| {} | {} | {:.0} | {:.1} |",
            arm.loss.name(),
            arm.outcomes.len(),
            of(&|m| m.steps as f64).mean,
            of(&|m| m.seconds).mean
        );
        for h in 0..horizons.len() {
            let (bias, cosine) = (of(&|m| BIAS(m, h)), of(&|m| ROW_COSINE(m, h)));
            let _ = write!(
                out,
                " {:.3} ± {:.3} | {:.3} ± {:.3} |",
                bias.mean, bias.deviation, cosine.mean, cosine.deviation
            );
        }
        let longest = |m: &EstimatorMeasurement| BIAS(m, horizons.len() - 1);
        // Seeds stand in the same order in all arms; a study that was stopped may have fewer of some.
        let (own, first) = (values(arm, &longest), values(&arms[0], &longest));
        let (ratio, (low, high)) = paired_ratio(&own, &first[..own.len()]);
        let jacobian = of(&|m| m.relative_jacobian_error).mean;
        let _ = write!(out, " {ratio:.2} [{low:.2}, {high:.2}] | {jacobian:.2e} |");
    }
    out + "\n"
}
