//! The checks of Theorems 1 and 2 as pictures and tables.

use std::fmt::Write;

use crate::lab::theory::ErrorSizes;
use crate::lab::theory::theorem1::Growth;
use crate::lab::theory::theorem2::{Descent, DescentPoint};
use crate::report::chart::{Panel, Point, Series, draw};
use crate::report::picture::Picture;

fn line(label: &str, points: impl Iterator<Item = (f64, f64)>) -> Series {
    let points = points.map(|(x, y)| Point { x: x.log10(), y: y.log10(), spread: 0.0 });
    // What is 0 has no logarithm.
    let points = points.filter(|p| p.x.is_finite() && p.y.is_finite()).collect();
    Series { label: label.to_owned(), points, members: Vec::new(), dashed: false }
}

/// Bias and bound as each error grows, both scales logarithmic.
pub fn theorem1_picture(growths: &[Growth]) -> Picture {
    let panels: Vec<Panel> = growths
        .iter()
        .map(|growth| {
            let largest = growth.biases.last().map_or(0.0, |last| total(&last.sizes));
            let share = |i: usize| total(&growth.biases[i].sizes) / largest;
            let indices = || 0..growth.biases.len();
            Panel {
                title: format!("Theorem 1: growing {}", growth.name),
                subtitle:
                    "bias of the policy gradient, the worst of 40 error directions and 3 set points"
                        .to_owned(),
                x_label: "log₁₀ of the error, in parts of its largest".to_owned(),
                y_label: "log₁₀ of the bias".to_owned(),
                series: vec![
                    line("measured", indices().map(|i| (share(i), growth.biases[i].measured))),
                    line("bound", indices().map(|i| (share(i), growth.biases[i].bound))),
                ],
            }
        })
        .collect();
    draw(&panels)
}

fn total(sizes: &ErrorSizes) -> f64 {
    sizes.prediction + sizes.transition_gradient + sizes.reward_gradient
}

/// The numbers behind [`theorem1_picture`].
pub fn theorem1_csv(growths: &[Growth]) -> String {
    let mut out =
        "grows,prediction_error,transition_gradient_error,reward_gradient_error,measured_bias,bound\n".to_owned();
    for growth in growths {
        for bias in &growth.biases {
            let sizes = &bias.sizes;
            let _ = writeln!(
                out,
                "{},{:e},{:e},{:e},{:e},{:e}",
                growth.name,
                sizes.prediction,
                sizes.transition_gradient,
                sizes.reward_gradient,
                bias.measured,
                bias.bound
            );
        }
    }
    out
}

/// The smallest gradient norm and its bounds over updates, a panel a model.
pub fn theorem2_picture(descents: &[Descent]) -> Picture {
    let panels: Vec<Panel> = descents
        .iter()
        .map(|descent| {
            let sizes = &descent.sizes;
            let of = |label: &str, value: fn(&DescentPoint) -> f64| {
                line(label, descent.progress.iter().map(|p| (p.updates as f64, value(p))))
            };
            let floor = descent.largest_bias.powi(2);
            let mut series = vec![
                of("measured", |p| p.smallest),
                of("bound", |p| p.bound),
                of("bound by the measured bias", |p| p.bound_by_measured_bias),
            ];
            series.push(line(
                "measured bias²",
                descent.progress.iter().map(|p| (p.updates as f64, floor)),
            ));
            Panel {
                title: "Theorem 2: smallest ‖dJ/dφ‖²".to_owned(),
                subtitle: format!(
                    "α = 1/√t; ε_f = {}, ε_f^g = {}, ε_r^g = {}",
                    sizes.prediction, sizes.transition_gradient, sizes.reward_gradient
                ),
                x_label: "log₁₀ of the updates".to_owned(),
                y_label: "log₁₀ of the smallest ‖dJ/dφ‖²".to_owned(),
                series,
            }
        })
        .collect();
    draw(&panels)
}

/// The numbers behind [`theorem2_picture`].
pub fn theorem2_csv(descents: &[Descent]) -> String {
    let mut out = "prediction_error,transition_gradient_error,reward_gradient_error,updates,smallest_squared_gradient,\
                   bound,bound_by_measured_bias,measured_bias\n"
        .to_owned();
    for descent in descents {
        let sizes = &descent.sizes;
        for p in &descent.progress {
            let _ = writeln!(
                out,
                "{:e},{:e},{:e},{},{:e},{:e},{:e},{:e}",
                sizes.prediction,
                sizes.transition_gradient,
                sizes.reward_gradient,
                p.updates,
                p.smallest,
                p.bound,
                p.bound_by_measured_bias,
                descent.largest_bias
            );
        }
    }
    out
}
