//! The errors of the two models by output, as a picture.

use super::chart::{Panel, Point, Series, draw};
use super::picture::Picture;
use crate::analysis::gradient_error::{Group, ModelError};

/// Draws prediction and gradient errors by output, on a logarithmic scale.
pub fn gradient_errors(title: &str, group: &Group) -> Picture {
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
    draw(&[panel("prediction", |e| &e.prediction), panel("gradient", |e| &e.gradient)])
}
