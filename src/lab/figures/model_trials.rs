//! Model trials (Fig. 2) as a picture, a table of all measurements, and a summary over seeds.

use std::fmt::Write;

use crate::lab::analysis::gradient_error::ModelError;
use crate::lab::model_trial::{ModelTrial, TrialOutcome};
use crate::report::aggregate::{Aggregate, deviation, mean, paired_ratio};
use crate::report::chart::{Panel, Point, Series, draw};
use crate::report::picture::Picture;

/// Finished trials of one task that differ in nothing but the seed.
struct Arm<'a> {
    task: &'a str,
    label: String,
    outcomes: Vec<&'a TrialOutcome>,
}

/// "without gradient loss", or which one.
fn label(trial: &ModelTrial) -> String {
    let loss = &trial.gradient_loss;
    if loss.weight == 0.0 {
        return "without gradient loss".to_owned();
    }
    format!("w = {}, n = {}, m = {}", loss.weight, loss.neighbours, loss.directions_per_row)
}

/// In the order in which they first occur.
fn arms(outcomes: &[TrialOutcome]) -> Vec<Arm<'_>> {
    let mut arms: Vec<Arm<'_>> = Vec::new();
    for outcome in outcomes {
        let (task, label) = (outcome.trial.task.as_str(), label(&outcome.trial));
        match arms.iter_mut().find(|arm| arm.task == task && arm.label == label) {
            Some(arm) => arm.outcomes.push(outcome),
            None => arms.push(Arm { task, label, outcomes: vec![outcome] }),
        }
    }
    arms
}

fn tasks<'a>(arms: &[Arm<'a>]) -> Vec<&'a str> {
    let mut tasks: Vec<&str> = arms.iter().map(|arm| arm.task).collect();
    tasks.dedup();
    tasks
}

/// Draws gradient and prediction error over epochs, for each task, on a logarithmic scale.
pub fn picture(outcomes: &[TrialOutcome]) -> Picture {
    let arms = arms(outcomes);
    let of_task = |task: &str, what: &str, of: fn(&ModelError) -> f64| {
        let series = arms.iter().filter(|arm| arm.task == task).map(|arm| Series {
            label: arm.label.clone(),
            points: curve(&arm.outcomes, of),
            members: Vec::new(),
            dashed: false,
        });
        Panel {
            title: format!("{task}: {what} error"),
            subtitle: format!(
                "mean and one standard deviation over seeds of log₁₀; {} steps of a random policy",
                outcomes[0].trial.steps
            ),
            x_label: "epochs".to_owned(),
            y_label: "log₁₀ of the mean squared error".to_owned(),
            series: series.collect(),
        }
    };
    let panels: Vec<Panel> = tasks(&arms)
        .into_iter()
        .flat_map(|task| {
            [
                of_task(task, "gradient", ModelError::mean_gradient),
                of_task(task, "prediction", ModelError::mean_prediction),
            ]
        })
        .collect();
    draw(&panels)
}

fn curve(outcomes: &[&TrialOutcome], of: fn(&ModelError) -> f64) -> Vec<Point> {
    (0..outcomes[0].measurements.len())
        .map(|i| {
            let logs: Vec<f64> =
                outcomes.iter().map(|outcome| of(&outcome.measurements[i].error).log10()).collect();
            let x = outcomes[0].measurements[i].epoch as f64;
            Point { x, y: mean(&logs), spread: deviation(&logs) }
        })
        .collect()
}

/// The geometric mean of the gradient error over all measured epochs: how well the derivative was known on the way.
fn over_epochs(outcome: &TrialOutcome) -> f64 {
    let logs = outcome.measurements.iter().map(|m| m.error.mean_gradient().ln());
    mean(&logs.collect::<Vec<_>>()).exp()
}

/// All measurements as CSV.
pub fn csv(outcomes: &[TrialOutcome]) -> String {
    let mut out = "task,seed,steps,weight,neighbours,directions_per_row,epoch,prediction_error,gradient_error,\
                   state_gradient_error,relative_gradient_error,cosine\n"
        .to_owned();
    for TrialOutcome { trial, measurements, .. } in outcomes {
        let loss = &trial.gradient_loss;
        for m in measurements {
            let _ = writeln!(
                out,
                "{},{},{},{},{},{},{},{:e},{:e},{:e},{:e},{}",
                trial.task,
                trial.seed,
                trial.steps,
                loss.weight,
                loss.neighbours,
                loss.directions_per_row,
                m.epoch,
                m.error.mean_prediction(),
                m.error.mean_gradient(),
                m.error.mean_state_gradient(),
                m.error.relative_gradient,
                m.error.mean_cosine()
            );
        }
    }
    out
}

/// The errors after the last epoch over seeds, as Markdown: mean ± deviation, interquartile mean and interval, and the ratio
/// to each task's first arm, seed by seed (geometric mean and bootstrap interval).
pub fn summary(outcomes: &[TrialOutcome]) -> String {
    let arms = arms(outcomes);
    let mut out = String::new();
    for task in tasks(&arms) {
        let of_task: Vec<&Arm<'_>> = arms.iter().filter(|arm| arm.task == task).collect();
        let first = of_task[0];
        let trial = &first.outcomes[0].trial;
        let _ = write!(
            out,
            "\n{task}: {} seeds, {} steps of a random policy, {} epochs\n\n\
             | model | gradient error at the end | IQM [95 %] | to first [95 %] | over all epochs, to first | of s' alone at the end, to first \
             | prediction error | to first | cosine | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n",
            first.outcomes.len(),
            trial.steps,
            trial.epochs
        );
        for arm in &of_task {
            let last = |of: fn(&ModelError) -> f64| -> Vec<f64> {
                arm.outcomes.iter().map(|outcome| of(&outcome.last().error)).collect()
            };
            // Seeds stand in the same order in all arms.
            let ratio = |of: fn(&TrialOutcome) -> f64| {
                let values = |arm: &Arm<'_>| -> Vec<f64> {
                    arm.outcomes.iter().map(|outcome| of(outcome)).collect()
                };
                let (ratio, (low, high)) = paired_ratio(&values(arm), &values(first));
                format!("{ratio:.3} [{low:.3}, {high:.3}]")
            };
            let gradient = Aggregate::of(&last(ModelError::mean_gradient));
            let prediction = Aggregate::of(&last(ModelError::mean_prediction));
            let seconds: Vec<f64> = arm.outcomes.iter().map(|outcome| outcome.seconds).collect();
            let _ = writeln!(
                out,
                "| {} | {:.2e} ± {:.1e} | {:.2e} [{:.2e}, {:.2e}] | {} | {} | {} | {:.2e} ± {:.1e} | {} | {:.4} | {:.0} |",
                arm.label,
                gradient.mean,
                gradient.deviation,
                gradient.interquartile_mean,
                gradient.interval.0,
                gradient.interval.1,
                ratio(|outcome| outcome.last().error.mean_gradient()),
                ratio(over_epochs),
                ratio(|outcome| outcome.last().error.mean_state_gradient()),
                prediction.mean,
                prediction.deviation,
                ratio(|outcome| outcome.last().error.mean_prediction()),
                mean(&last(ModelError::mean_cosine)),
                mean(&seconds)
            );
        }
    }
    out
}
