//! A world of your own, and a short training in it: a boat that is to be brought to a buoy against a current, and kept
//! there.
//!
//! ```text
//! cargo run --release --example custom_environment
//! ```
//!
//! Two traits are to be implemented. A `Task` is what never changes (sizes, bounds, when a state ends an episode); an
//! `Environment` is one running world. For a robot that MuJoCo can simulate neither is needed: see `MujocoTask`.

use std::error::Error;
use std::sync::Arc;

use ddppo::config::{Config, ConfigError};
use ddppo::env::{Environment, EnvironmentError, Step, Task};
use ddppo::methods;
use ddppo::rng::Rng;
use ddppo::train::{TrainError, Trainer};

/// Seconds of a step.
const DT: f64 = 0.1;
/// Speed of the current along x, m/s.
const CURRENT: f64 = 0.2;
/// Speed lost to the water, per second.
const DRAG: f64 = 0.5;
/// Metres from the buoy at which the boat is lost.
const LOST: f64 = 5.0;

/// The fixed description.
struct Boat;

impl Task for Boat {
    fn name(&self) -> &str {
        "Boat"
    }

    /// Position from the buoy (x, y) and velocity (x, y).
    fn observation_dim(&self) -> usize {
        4
    }

    /// Thrust along x and y, m/s².
    fn action_dim(&self) -> usize {
        2
    }

    fn action_low(&self) -> &[f64] {
        &[-1.0; 2]
    }

    fn action_high(&self) -> &[f64] {
        &[1.0; 2]
    }

    /// Only where episodes are cut: the trainer counts the steps, and does not take a cut for an end.
    fn time_limit(&self) -> usize {
        150
    }

    /// Asked about observations that a learned model imagines, millions of times: keep it cheap, and let what is not
    /// finite end the episode.
    fn terminated(&self, observation: &[f64]) -> bool {
        let lost = observation[..2].iter().any(|x| x.abs() > LOST);
        lost || !observation.iter().all(|x| x.is_finite())
    }

    fn reward_summary(&self) -> String {
        "−distance² from the buoy − 0.01 thrust²".to_owned()
    }

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(Water { boat: [0.0; 4] }))
    }
}

/// A running world.
struct Water {
    boat: [f64; 4],
}

impl Environment for Water {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        self.boat = [rng.uniform_in(-2.0, 2.0), rng.uniform_in(-2.0, 2.0), 0.0, 0.0];
        observation.copy_from_slice(&self.boat);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        let (position, velocity) = self.boat.split_at_mut(2);
        for (axis, thrust) in action.iter().enumerate() {
            let current = if axis == 0 { CURRENT } else { 0.0 };
            velocity[axis] += DT * (thrust - DRAG * (velocity[axis] - current));
            position[axis] += DT * velocity[axis];
        }
        observation.copy_from_slice(&self.boat);
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        Ok(Step {
            reward: -square(&self.boat[..2]) - 0.01 * square(action),
            terminated: Boat.terminated(&self.boat),
        })
    }

    /// All that the next step depends on: it goes into checkpoints, and a resumed run continues bit for bit.
    fn state(&self) -> Vec<f64> {
        self.boat.to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        self.boat = state.try_into().map_err(|_| EnvironmentError::State {
            task: Boat.name().to_owned(),
            found: state.len(),
            expected: self.boat.len(),
        })?;
        Ok(())
    }
}

/// A run short enough to watch: small networks, few updates a step. The boat is simple; what is left out here is in the
/// presets.
fn configuration() -> Result<Config, ConfigError> {
    let settings = [
        "steps=1500",
        "training.warmup_steps=450",
        "training.batch_size=128",
        "training.policy_updates_per_step=2",
        "training.critic_updates_per_step=2",
        "model.members=3",
        "model.elites=2",
        "model.hidden=64",
        "model.layers=2",
        "model.weight_decay=[0, 0, 0]",
        "model.patience_epochs=3",
        "policy.hidden=64",
        "critic.hidden=64",
        "rollout.starts=5000",
        "rollout.capacity_per_step=20_000",
    ];
    methods::find("ddppo")?.for_robot(Boat.name())?.with_settings(&settings)
}

/// Mean return of ten episodes with the deterministic policy.
fn score(trainer: &Trainer) -> Result<f64, TrainError> {
    let episodes = trainer.evaluate(10, 0)?;
    Ok(episodes.iter().map(|episode| episode.score).sum::<f64>() / episodes.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = configuration()?;
    let mut trainer = Trainer::new(config.clone(), Arc::new(Boat))?;
    println!("{}: {}", Boat.name(), Boat.reward_summary());
    println!("mean return of the untrained policy: {:.1}", score(&trainer)?);
    while trainer.step() < config.steps() {
        for record in trainer.advance()? {
            if let ("train", Some(score)) = (record.kind, record.get("episode_return")) {
                println!("step {:>5}: return of the last episodes {score:.1}", trainer.step());
            }
        }
    }
    println!("mean return of the trained policy: {:.1}", score(&trainer)?);
    Ok(())
}
