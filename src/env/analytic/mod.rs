//! The two tasks of the paper's Fig. 2, whose step and Jacobian have closed forms: a point mass with drag and a pendulum.
//!
//! The paper does not define its own; these are stand-ins.

mod pendulum;
mod point_mass;
mod task;

pub(super) use pendulum::Pendulum;
pub(super) use point_mass::PointMass;
pub(super) use task::AnalyticTask;
