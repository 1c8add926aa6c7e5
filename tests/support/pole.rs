//! A pole near its unstable upright position, linearised: a world small enough to be learned in a test.
#![allow(dead_code)] // Not every test breaks it.

use ddppo::env::{Environment, EnvironmentError, Step, Task};
use ddppo::rng::Rng;

/// Steps of an episode.
pub const LENGTH: usize = 100;

/// The step, counted from the making of a world, at which a [`Fault`] shows.
pub const FAULTY_STEP: usize = 120;

/// How a world may break.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// An observation that is no number.
    Observation,
    /// A reward that is no number.
    Reward,
    /// It says that its physics broke.
    Physics,
}

/// x″ = 10·x + 10·a, 20 steps a second. An episode ends when the pole has fallen to |x| > 1, or after [`LENGTH`] steps; a step
/// is worth 1 − x².
#[derive(Clone, Debug)]
pub struct Balance {
    /// How the world breaks, if it does.
    pub fault: Option<Fault>,
}

impl Task for Balance {
    fn name(&self) -> &str {
        "Balance"
    }
    fn observation_dim(&self) -> usize {
        2
    }
    fn action_dim(&self) -> usize {
        1
    }
    fn action_low(&self) -> &[f64] {
        &[-1.0]
    }
    fn action_high(&self) -> &[f64] {
        &[1.0]
    }
    fn time_limit(&self) -> usize {
        LENGTH
    }
    fn terminated(&self, observation: &[f64]) -> bool {
        fallen(observation)
    }
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(Pole { state: [0.0; 2], fault: self.fault, steps: 0 }))
    }
}

fn fallen(observation: &[f64]) -> bool {
    !(observation[0].abs() <= 1.0 && observation[1].is_finite())
}

struct Pole {
    /// Angle and speed, both observed.
    state: [f64; 2],
    fault: Option<Fault>,
    steps: usize,
}

impl Environment for Pole {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        self.state = [rng.uniform_in(-0.1, 0.1), rng.uniform_in(-0.1, 0.1)];
        observation.copy_from_slice(&self.state);
    }
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        let [x, v] = self.state;
        let v = v + 0.05 * (10.0 * x + 10.0 * action[0]);
        self.state = [x + 0.05 * v, v];
        observation.copy_from_slice(&self.state);
        let mut reward = 1.0 - x * x;
        self.steps += 1;
        match self.fault.filter(|_| self.steps == FAULTY_STEP) {
            Some(Fault::Observation) => observation[1] = f64::INFINITY,
            Some(Fault::Reward) => reward = f64::NAN,
            Some(Fault::Physics) | None => {}
        }
        Ok(Step { reward, terminated: fallen(observation) })
    }
    fn take_warning(&mut self) -> Option<String> {
        let broke = matches!(self.fault, Some(Fault::Physics)) && self.steps == FAULTY_STEP;
        broke.then(|| "the pole broke".to_owned())
    }
    fn state(&self) -> Vec<f64> {
        self.state.to_vec()
    }
    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        self.state.copy_from_slice(state);
        Ok(())
    }
}
