//! The point mass.

use super::task::Equations;
use crate::rng::Rng;

/// A point of unit mass in the plane, pushed by the action: state (p, v), linear dynamics, quadratic reward.
#[derive(Clone, Copy, Debug)]
pub struct PointMass;

impl PointMass {
    /// Seconds a step.
    const DT: f64 = 0.1;
    /// Velocity lost per second, by velocity.
    const DRAG: f64 = 0.1;
}

impl Equations<4, 2> for PointMass {
    const NAME: &'static str = "PointMass";
    const REWARD: &'static str = "−(‖p‖² + 0.1‖v‖² + 0.01‖a‖²)";
    const ACTION_LIMIT: [f64; 2] = [1.0; 2];

    fn start(rng: &mut Rng) -> [f64; 4] {
        let mut draw = |half_width: f64| rng.uniform_in(-half_width, half_width);
        [draw(1.0), draw(1.0), draw(0.5), draw(0.5)]
    }

    fn step(&[px, py, vx, vy]: &[f64; 4], &[ax, ay]: &[f64; 2]) -> ([f64; 4], f64) {
        let dt = Self::DT;
        let position = |p: f64, v: f64, a: f64| p + dt * v + 0.5 * dt * dt * a;
        let velocity = |v: f64, a: f64| (1.0 - Self::DRAG * dt) * v + dt * a;
        let next = [position(px, vx, ax), position(py, vy, ay), velocity(vx, ax), velocity(vy, ay)];
        let reward = -(px * px + py * py + 0.1 * (vx * vx + vy * vy) + 0.01 * (ax * ax + ay * ay));
        (next, reward)
    }

    fn jacobian(&[px, py, vx, vy]: &[f64; 4], &[ax, ay]: &[f64; 2]) -> Vec<f64> {
        let dt = Self::DT;
        let (half, keep) = (0.5 * dt * dt, 1.0 - Self::DRAG * dt);
        [
            [1.0, 0.0, dt, 0.0, half, 0.0],
            [0.0, 1.0, 0.0, dt, 0.0, half],
            [0.0, 0.0, keep, 0.0, dt, 0.0],
            [0.0, 0.0, 0.0, keep, 0.0, dt],
            [-2.0 * px, -2.0 * py, -0.2 * vx, -0.2 * vy, -0.02 * ax, -0.02 * ay],
        ]
        .concat()
    }
}
