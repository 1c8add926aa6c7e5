//! The named terms of which a MuJoCo task's reward is the weighted sum.
//!
//! | term | keys | value |
//! |---|---|---|
//! | `coordinate_velocity` | `index` | change of qpos\[index\] over the step, by the step's duration |
//! | `body_velocity` | `body`, `axis` | the same of a body's position along a world axis |
//! | `centre_of_mass_velocity` | `axis` | the same of the whole model's centre of mass |
//! | `alive` | | 1 |
//! | `control_cost` | | −Σa² of the action |
//! | `body_height` | `body` | z of the body after the step |
//! | `distance_cost` | `site`, `target` | −distance of the site to the point |
//!
//! MuJoCo computes Cartesian positions (bodies, sites, centre of mass) before it integrates, so they are one physics step
//! behind the coordinates, here as in Gymnasium.

use mujoco_rs::wrappers::{MjModel, MjtObjBase};

use super::names::named;
use super::simulation::Simulation;
use super::task_file::{RewardTerm, Source};
use crate::config::suggest::hint;
use crate::env::EnvironmentError;

/// One term, its names resolved to the model's indices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    CoordinateVelocity { index: usize },
    BodyVelocity { body: usize, axis: usize },
    CentreOfMassVelocity { axis: usize },
    Alive,
    ControlCost,
    BodyHeight { body: usize },
    DistanceCost { site: usize, target: [f64; 3] },
}

/// A term and its weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weighted {
    pub term: Term,
    pub weight: f64,
    /// As shown to the user, such as "torso x velocity".
    pub label: String,
}

const TERMS: [&str; 7] = [
    "coordinate_velocity",
    "body_velocity",
    "centre_of_mass_velocity",
    "alive",
    "control_cost",
    "body_height",
    "distance_cost",
];
const AXES: [&str; 3] = ["x", "y", "z"];

impl Weighted {
    /// Resolves a written term against the model, or says what is wrong with it and where.
    pub fn resolve(
        source: Source,
        written: &toml::Spanned<RewardTerm>,
        model: &MjModel,
    ) -> Result<Self, EnvironmentError> {
        let raw = written.get_ref();
        let name = raw.term.get_ref().as_str();
        let takes: &[&str] = match name {
            "coordinate_velocity" => &["index"],
            "body_velocity" => &["body", "axis"],
            "centre_of_mass_velocity" => &["axis"],
            "alive" | "control_cost" => &[],
            "body_height" => &["body"],
            "distance_cost" => &["site", "target"],
            unknown => {
                let message = format!(
                    "there is no reward term `{unknown}`{}; the terms are {}",
                    hint(unknown, TERMS),
                    TERMS.join(", ")
                );
                return Err(source.error(raw.term.span().start, &message));
            }
        };
        let keys = [
            ("index", raw.index.as_ref().map(|key| key.span().start)),
            ("body", raw.body.as_ref().map(|key| key.span().start)),
            ("axis", raw.axis.as_ref().map(|key| key.span().start)),
            ("site", raw.site.as_ref().map(|key| key.span().start)),
            ("target", raw.target.as_ref().map(|key| key.span().start)),
        ];
        for (key, place) in keys {
            match (takes.contains(&key), place) {
                (false, Some(place)) => {
                    return Err(
                        source.error(place, &format!("reward term `{name}` takes no key `{key}`"))
                    );
                }
                // `axis` has a default.
                (true, None) if key != "axis" => {
                    let message = format!("reward term `{name}` needs the key `{key}`");
                    return Err(source.error(raw.term.span().start, &message));
                }
                _ => {}
            }
        }
        if !raw.weight.is_finite() {
            let message = format!("the weight of reward term `{name}` must be a finite number");
            return Err(source.error(raw.term.span().start, &message));
        }

        let axis = || match &raw.axis {
            None => Ok(0),
            Some(axis) => AXES.iter().position(|known| known == axis.get_ref()).ok_or_else(|| {
                let message = format!("`axis` is `{}` and must be x, y or z", axis.get_ref());
                source.error(axis.span().start, &message)
            }),
        };
        let object = |kind, written: &Option<toml::Spanned<String>>, what: &str| {
            let written = written.as_ref().expect("the keys of the term were checked above");
            named(model, kind, written.get_ref()).map(|id| (id, written.get_ref().clone())).map_err(
                |hint| {
                    let message = format!("the model has no {what} `{}`{hint}", written.get_ref());
                    source.error(written.span().start, &message)
                },
            )
        };
        let (term, label) = match name {
            "coordinate_velocity" => {
                let index = raw.index.as_ref().expect("the keys of the term were checked above");
                let (place, index) = (index.span().start, *index.get_ref());
                if index >= model.nq() as usize {
                    let message =
                        format!("`index` is {index}, but the model has {} positions", model.nq());
                    return Err(source.error(place, &message));
                }
                (Term::CoordinateVelocity { index }, format!("velocity of qpos[{index}]"))
            }
            "body_velocity" => {
                let (body, body_name) = object(MjtObjBase::mjOBJ_BODY, &raw.body, "body")?;
                let axis = axis()?;
                (Term::BodyVelocity { body, axis }, format!("{body_name} {} velocity", AXES[axis]))
            }
            "centre_of_mass_velocity" => {
                let axis = axis()?;
                let label = format!("centre of mass {} velocity", AXES[axis]);
                (Term::CentreOfMassVelocity { axis }, label)
            }
            "alive" => (Term::Alive, "alive".to_owned()),
            "control_cost" => (Term::ControlCost, "control cost".to_owned()),
            "body_height" => {
                let (body, body_name) = object(MjtObjBase::mjOBJ_BODY, &raw.body, "body")?;
                (Term::BodyHeight { body }, format!("{body_name} height"))
            }
            _ => {
                let (site, site_name) = object(MjtObjBase::mjOBJ_SITE, &raw.site, "site")?;
                let target = raw.target.as_ref().expect("the keys were checked above");
                if target.get_ref().iter().any(|x| !x.is_finite()) {
                    return Err(
                        source.error(target.span().start, "`target` must be three finite numbers")
                    );
                }
                let target = *target.get_ref();
                (Term::DistanceCost { site, target }, format!("{site_name} distance cost"))
            }
        };
        Ok(Self { term, weight: raw.weight, label })
    }
}

impl Term {
    /// The position whose change over a step is the term's value, for the terms that are velocities.
    pub fn anchor(&self, simulation: &Simulation) -> Option<f64> {
        let data = simulation.data();
        match *self {
            Self::CoordinateVelocity { index } => Some(data.qpos()[index]),
            Self::BodyVelocity { body, axis } => Some(data.xpos()[body][axis]),
            Self::CentreOfMassVelocity { axis } => {
                let masses = simulation.model().body_mass();
                let moments =
                    masses.iter().zip(data.xipos()).map(|(mass, place)| mass * place[axis]);
                Some(moments.sum::<f64>() / masses.iter().sum::<f64>())
            }
            _ => None,
        }
    }

    /// The value of a term that is not a velocity, after a step with `action`.
    pub fn value(&self, simulation: &Simulation, action: &[f64]) -> f64 {
        let data = simulation.data();
        match *self {
            Self::Alive => 1.0,
            Self::ControlCost => -action.iter().map(|a| a * a).sum::<f64>(),
            Self::BodyHeight { body } => data.xpos()[body][2],
            Self::DistanceCost { site, target } => {
                let squares =
                    data.site_xpos()[site].iter().zip(target).map(|(x, y)| (x - y) * (x - y));
                -squares.sum::<f64>().sqrt()
            }
            Self::CoordinateVelocity { .. }
            | Self::BodyVelocity { .. }
            | Self::CentreOfMassVelocity { .. } => 0.0,
        }
    }
}
