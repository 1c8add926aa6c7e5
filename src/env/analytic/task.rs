//! A task from its equations.

use crate::env::{Environment, EnvironmentError, Step, Task};
use crate::rng::Rng;

/// Steps of an episode, for both.
const TIME_LIMIT: usize = 200;

/// The equations of a task: a state of `S` numbers, all observed, and an action of `A` numbers.
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

    fn healthy_ranges(&self) -> Option<Vec<(f32, f32)>> {
        Some(vec![(f32::MIN, f32::MAX); self.observation_dim()])
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
