//! The errors of the two models, by output and over several steps, as a picture.

use crate::lab::analysis::gradient_error::{Group, ModelError};
use crate::lab::analysis::multi_step::{MODELS, StepError};
use crate::report::chart::{Panel, Point, Series, draw};
use crate::report::picture::Picture;

/// Draws prediction and gradient errors by output, and the prediction error over several steps, on a logarithmic scale.
pub fn gradient_errors(title: &str, group: &Group, multi_step: &[StepError]) -> Picture {
    let models = [("M^p", Some(&group.prediction_model)), ("M^g", group.gradient_model.as_ref())];
    let panel = |what: &str, of: fn(&ModelError) -> &[f64]| {
        let series = models.iter().filter_map(|(label, model)| {
            let points = of((*model)?)
                .iter()
                .enumerate()
                // A point at 0 has no logarithm.
                .filter(|(_, value)| **value > 0.0)
                .map(|(output, value)| Point { x: output as f64, y: value.log10(), spread: 0.0 });
            let label = (*label).to_owned();
            Some(Series { label, points: points.collect(), ..Series::default() })
        });
        Panel {
            title: format!("{title}: {what} error"),
            subtitle: format!("mean over {} real states without contact events", group.states),
            x_label: "output: next observation from 0 on, then the reward".to_owned(),
            y_label: "log₁₀ of the mean squared error".to_owned(),
            series: series.collect(),
        }
    };
    draw(&[
        panel("prediction", |e| &e.prediction),
        panel("gradient", |e| &e.gradient),
        over_steps(title, multi_step),
    ])
}

/// The mean over outputs, for each number of steps.
fn over_steps(title: &str, errors: &[StepError]) -> Panel {
    let series = MODELS.iter().enumerate().filter_map(|(model, label)| {
        let points: Vec<Point> = errors
            .iter()
            .filter_map(|error| Some((error.steps as f64, error.of_models()[model]?.mean)))
            .filter(|(_, mean)| *mean > 0.0)
            .map(|(x, mean)| Point { x, y: mean.log10(), spread: 0.0 })
            .collect();
        let label = (*label).to_owned();
        (!points.is_empty()).then(|| Series { label, points, ..Series::default() })
    });
    let count = |error: Option<&StepError>| error.map_or((0, 0), |e| (e.trajectories, e.steps));
    let ((all, _), (last, steps)) = (count(errors.first()), count(errors.last()));
    Panel {
        title: format!("{title}: prediction error over several steps"),
        subtitle: format!(
            "mean over outputs and {all} real trajectories, of which {last} last {steps} steps"
        ),
        x_label: "steps that the model takes on its own predictions".to_owned(),
        y_label: "log₁₀ of the mean squared error".to_owned(),
        series: series.collect(),
    }
}
