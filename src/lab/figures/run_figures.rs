//! Which runs the paper's figures compare: panels of curves, each a configuration and one of its metrics; `run_curves.rs` draws them.

use crate::config::{Config, ConfigError};
use crate::methods::ddppo::{DdppoConfig, INFO};

/// Tasks of Fig. 1, in its order.
pub const ALL: [&str; 6] = [
    "InvertedPendulum",
    "Hopper",
    "Walker2d",
    "HalfCheetah",
    "AntTruncatedObs",
    "HumanoidTruncatedObs",
];
/// Tasks of Fig. 3: one of few dimensions, one of many.
const ABLATION: [&str; 2] = ["Hopper", "AntTruncatedObs"];
/// w in Fig. 3. The labels cannot be read in the text that we have; these are Table 1's values.
const WEIGHTS: [f64; 4] = [0.1, 1.0, 10.0, 50.0];
/// n in Fig. 3.
const NEIGHBOURS: [usize; 3] = [1, 5, 25];

/// A figure made of training runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFigure {
    /// Fig. 3: n, w and the method.
    Ablations,
    /// Fig. 5: without R, and with one model.
    Variants,
    /// Fig. 4 and 7: as many parameters.
    Parameters,
    /// Fig. 6: prediction errors of the two models.
    PredictionErrors,
    /// B.2.2: H.
    Horizons,
}

/// A curve over seeds.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name in the legend.
    pub label: String,
    /// The runs' configuration; their seeds are put in later.
    pub config: Config,
    /// Kind of the metric's records.
    pub kind: &'static str,
    /// Name of the metric.
    pub metric: &'static str,
}

/// A coordinate system.
#[derive(Clone, Debug)]
pub struct PanelPlan {
    /// Headline.
    pub title: String,
    /// Name of the vertical axis.
    pub y_label: &'static str,
    /// What is drawn in it.
    pub curves: Vec<Curve>,
}

impl RunFigure {
    /// Name of the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ablations => "figure3",
            Self::Variants => "figure5",
            Self::Parameters => "figure7",
            Self::PredictionErrors => "figure6",
            Self::Horizons => "figure-h",
        }
    }

    /// The paper's tasks.
    pub fn tasks(self) -> &'static [&'static str] {
        match self {
            Self::Ablations => &ABLATION,
            Self::Horizons => &["Hopper"],
            Self::Variants | Self::Parameters | Self::PredictionErrors => &ALL,
        }
    }

    /// The panels of one task, from its preset with the user's settings on top.
    ///
    /// # Errors
    /// When a setting is impossible.
    pub fn panels(self, task: &str, settings: &[String]) -> Result<Vec<PanelPlan>, ConfigError> {
        let base = INFO.preset(task)?.with_settings(settings)?;
        let score = |label: &str, config: Config| Curve {
            label: label.to_owned(),
            config,
            kind: "evaluation",
            metric: "return_mean",
        };
        let ours = || score("ours", base.clone());
        let variant = |label: &str, name: &str| {
            Ok::<_, ConfigError>(score(label, INFO.with_variant(&base, name)?))
        };
        let without = || variant("without gradient loss", "no-gradient-loss");
        let panel = |what: &str, curves: Vec<Curve>| PanelPlan {
            title: format!("{task}: {what}"),
            y_label: "evaluation return",
            curves,
        };
        Ok(match self {
            Self::Ablations => {
                let directions = base.view::<DdppoConfig>().gradient_loss.directions_per_row;
                let mut points = vec![without()?];
                for n in NEIGHBOURS {
                    let m = directions.min(n);
                    points.push(score(
                        &format!("n = {n}"),
                        set(
                            &base,
                            &[
                                format!("gradient_loss.neighbours={n}"),
                                format!("gradient_loss.directions_per_row={m}"),
                            ],
                        )?,
                    ));
                }
                points.push(variant("MAAC's actor", "prediction-gradients")?);
                let weights = WEIGHTS.iter().map(|w| {
                    let config = set(&base, &[format!("gradient_loss.weight={w:?}")])?;
                    Ok(score(&format!("w = {w}"), config))
                });
                let weights = weights.collect::<Result<_, ConfigError>>()?;
                vec![
                    panel("number of points", points),
                    panel("weight", weights),
                    panel(
                        "method",
                        vec![ours(), without()?, variant("single model", "single-model")?],
                    ),
                ]
            }
            Self::Variants => vec![panel(
                "variants",
                vec![ours(), without()?, variant("single model", "single-model")?],
            )],
            Self::Parameters => vec![panel(
                "parameters",
                vec![
                    ours(),
                    variant("baseline, ~1M", "prediction-gradients")?,
                    variant("baseline, ~2M", "doubled")?,
                ],
            )],
            Self::PredictionErrors => {
                let error = |label: &str, metric| Curve {
                    kind: "model",
                    metric,
                    ..score(label, base.clone())
                };
                vec![PanelPlan {
                    title: format!("{task}: prediction error"),
                    y_label: "holdout mean squared error of the elites",
                    curves: vec![
                        error("gradient model", "gradient_holdout_error"),
                        error("prediction model", "prediction_holdout_error"),
                    ],
                }]
            }
            Self::Horizons => {
                let horizons = (1..=5).map(|h| {
                    Ok(score(&format!("H = {h}"), set(&base, &[format!("policy.horizon={h}")])?))
                });
                vec![panel("H", horizons.collect::<Result<_, ConfigError>>()?)]
            }
        })
    }
}

fn set(base: &Config, settings: &[String]) -> Result<Config, ConfigError> {
    base.with_settings(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_every_task_resolves() {
        for (figure, panels, curves) in [
            (RunFigure::Ablations, 3, 5),
            (RunFigure::Variants, 1, 3),
            (RunFigure::Parameters, 1, 3),
            (RunFigure::PredictionErrors, 1, 2),
            (RunFigure::Horizons, 1, 5),
        ] {
            for task in figure.tasks() {
                let plan = figure.panels(task, &[]).unwrap();
                assert_eq!((plan.len(), plan[0].curves.len()), (panels, curves), "{task}");
            }
        }
    }
}
