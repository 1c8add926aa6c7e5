//! The two worlds of Fig. 2, whose step and Jacobian have closed forms: a point mass with drag and a pendulum.
//!
//! The paper does not define its own; these are the stand-ins of SPEC section 5.

use super::{Environment, EnvironmentError, Step, Task};
use crate::rng::Rng;

/// Steps of an episode, for both.
const TIME_LIMIT: usize = 200;

/// The equations of a world: a state of `S` numbers, all observed, and an action of `A` numbers.
pub trait Equations<const S: usize, const A: usize>: Clone + Send + Sync + 'static {
    /// Name of the task.
    const NAME: &'static str;
    /// The reward, in one line.
    const REWARD: &'static str;
    /// Actions lie within ± this.
    const ACTION_LIMIT: [f64; A];

    /// A state to start from.
    fn start(rng: &mut Rng) -> [f64; S];
    /// Next state and reward.
    fn step(state: &[f64; S], action: &[f64; A]) -> ([f64; S], f64);
    /// Derivatives of (next state, reward) by (state, action): `S + 1` rows of `S + A` numbers, row after row.
    fn jacobian(state: &[f64; S], action: &[f64; A]) -> Vec<f64>;
}

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

/// The task of some equations.
#[derive(Clone, Debug)]
pub struct AnalyticTask<const S: usize, const A: usize, E> {
    low: [f64; A],
    equations: std::marker::PhantomData<fn() -> E>,
}

impl<const S: usize, const A: usize, E: Equations<S, A>> Default for AnalyticTask<S, A, E> {
    fn default() -> Self {
        Self { low: E::ACTION_LIMIT.map(|limit| -limit), equations: std::marker::PhantomData }
    }
}

impl<const S: usize, const A: usize, E: Equations<S, A>> Task for AnalyticTask<S, A, E> {
    fn name(&self) -> &str {
        E::NAME
    }

    fn observation_dim(&self) -> usize {
        S
    }

    fn action_dim(&self) -> usize {
        A
    }

    fn action_low(&self) -> &[f64] {
        &self.low
    }

    fn action_high(&self) -> &[f64] {
        &E::ACTION_LIMIT
    }

    fn time_limit(&self) -> usize {
        TIME_LIMIT
    }

    fn terminated(&self, observation: &[f64]) -> bool {
        !observation.iter().all(|x| x.is_finite())
    }

    fn reward_summary(&self) -> String {
        E::REWARD.to_owned()
    }

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(AnalyticEnvironment::<S, A, E> {
            state: [0.0; S],
            equations: std::marker::PhantomData,
        }))
    }

    fn closed_form_jacobian(&self, observation: &[f64], action: &[f64]) -> Option<Vec<f64>> {
        Some(E::jacobian(observation.try_into().ok()?, action.try_into().ok()?))
    }
}

struct AnalyticEnvironment<const S: usize, const A: usize, E> {
    state: [f64; S],
    equations: std::marker::PhantomData<fn() -> E>,
}

impl<const S: usize, const A: usize, E: Equations<S, A>> Environment
    for AnalyticEnvironment<S, A, E>
{
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        self.state = E::start(rng);
        observation.copy_from_slice(&self.state);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        let action = action.try_into().map_err(|_| {
            EnvironmentError::Physics(format!(
                "task {}: an action has {A} numbers, not {}",
                E::NAME,
                action.len()
            ))
        })?;
        let (next, reward) = E::step(&self.state, action);
        self.state = next;
        observation.copy_from_slice(&next);
        Ok(Step { reward, terminated: !next.iter().all(|x| x.is_finite()) })
    }

    fn state(&self) -> Vec<f64> {
        self.state.to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        self.state = state.try_into().map_err(|_| EnvironmentError::State {
            task: E::NAME.to_owned(),
            found: state.len(),
            expected: S,
        })?;
        Ok(())
    }

    fn displace(&mut self, displacement: &[f64]) -> Result<(), EnvironmentError> {
        self.state.iter_mut().zip(displacement).for_each(|(x, change)| *x += change);
        Ok(())
    }

    fn positions(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        // Both states are positions followed by their velocities.
        let (positions, velocities) = self.state.split_at(S / 2);
        Some((positions.to_vec(), velocities.to_vec()))
    }
}
