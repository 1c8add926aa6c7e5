//! The pendulum.

use super::task::Equations;
use crate::rng::Rng;

/// Gym's Pendulum in the form (θ, ω), θ not wrapped and 0 at the top.
#[derive(Clone, Copy, Debug)]
pub struct Pendulum;

impl Pendulum {
    /// Seconds a step.
    const DT: f64 = 0.05;
    /// 3g / 2l, with g = 10 m/s² and l = 1 m.
    const GRAVITY: f64 = 15.0;
    /// 3 / m l².
    const TORQUE: f64 = 3.0;
    /// Largest |ω|, rad/s.
    const MAX_SPEED: f64 = 8.0;

    /// ω after the step, before it is clipped.
    fn speed(theta: f64, omega: f64, torque: f64) -> f64 {
        omega + Self::DT * (Self::GRAVITY * theta.sin() + Self::TORQUE * torque)
    }

    /// θ wrapped to [−π, π).
    fn wrapped(theta: f64) -> f64 {
        (theta + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI
    }
}

impl Equations<2, 1> for Pendulum {
    const NAME: &'static str = "Pendulum";
    const REWARD: &'static str = "−(θ² + 0.1 ω² + 0.001 u²), θ wrapped";
    const ACTION_LIMIT: [f64; 1] = [2.0];

    fn start(rng: &mut Rng) -> [f64; 2] {
        let pi = std::f64::consts::PI;
        [rng.uniform_in(-pi, pi), rng.uniform_in(-1.0, 1.0)]
    }

    fn step(&[theta, omega]: &[f64; 2], &[torque]: &[f64; 1]) -> ([f64; 2], f64) {
        let speed = Self::speed(theta, omega, torque);
        let angle = Self::wrapped(theta);
        let reward = -(angle * angle + 0.1 * omega * omega + 0.001 * torque * torque);
        // As in Gym's v0, the angle moves by the speed before clipping.
        ([theta + Self::DT * speed, speed.clamp(-Self::MAX_SPEED, Self::MAX_SPEED)], reward)
    }

    fn jacobian(&[theta, omega]: &[f64; 2], &[torque]: &[f64; 1]) -> Vec<f64> {
        let dt = Self::DT;
        let speed = [dt * Self::GRAVITY * theta.cos(), 1.0, dt * Self::TORQUE];
        let clipped = Self::speed(theta, omega, torque).abs() > Self::MAX_SPEED;
        let kept = if clipped { 0.0 } else { 1.0 };
        [
            [1.0 + dt * speed[0], dt * speed[1], dt * speed[2]],
            speed.map(|derivative| kept * derivative),
            [-2.0 * Self::wrapped(theta), -0.2 * omega, -0.002 * torque],
        ]
        .concat()
    }
}
