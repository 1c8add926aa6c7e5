//! Traces: what a world did, as JSON lines, for anyone to replay elsewhere.

use std::io::Write;

use serde::Serialize;

use super::{EnvironmentError, Task};
use crate::rng::Rng;

/// One line. Step 0 of an episode is the state after the reset; a later line holds the action and what followed it.
#[derive(Serialize)]
struct Line<'a> {
    episode: usize,
    step: usize,
    qpos: Option<&'a [f64]>,
    qvel: Option<&'a [f64]>,
    action: Option<&'a [f64]>,
    observation: &'a [f64],
    reward: Option<f64>,
    terminated: bool,
    truncated: bool,
}

/// Why a trace ended early.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The world failed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A line could not be written.
    #[error("the trace cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Takes `steps` steps with the actions that `policy` gives for an observation and writes a JSON line for each, and one
/// for each reset. Numbers are in the shortest form that reads back as the same bits; `qpos` and `qvel` are null for
/// worlds without them.
///
/// # Errors
/// When the world fails, or when `out` does not take a line.
pub fn trace(
    task: &dyn Task,
    steps: usize,
    seed: u64,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
    out: &mut dyn Write,
) -> Result<(), TraceError> {
    let mut world = task.make()?;
    let mut resets = Rng::new(seed, "trace resets");
    let mut actions = Rng::new(seed, "trace actions");
    let mut observation = vec![0.0; task.observation_dim()];
    let (mut episode, mut step, mut over) = (0, 0, true);
    let mut taken = 0;
    while taken < steps {
        let mut line = Line {
            episode,
            step: 0,
            qpos: None,
            qvel: None,
            action: None,
            observation: &[],
            reward: None,
            terminated: false,
            truncated: false,
        };
        let action;
        if over {
            world.reset(&mut resets, &mut observation);
            (step, over) = (0, false);
        } else {
            action = policy(&observation, &mut actions);
            let outcome = world.step(&action, &mut observation)?;
            taken += 1;
            step += 1;
            line.step = step;
            line.action = Some(&action);
            line.reward = Some(outcome.reward);
            line.terminated = outcome.terminated;
            line.truncated = step >= task.time_limit();
            over = line.terminated || line.truncated;
            episode += usize::from(over);
        }
        let positions = world.positions();
        line.qpos = positions.as_ref().map(|(qpos, _)| &qpos[..]);
        line.qvel = positions.as_ref().map(|(_, qvel)| &qvel[..]);
        line.observation = &observation;
        serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Actions drawn uniformly from the task's control range.
pub fn uniform_actions(task: &dyn Task) -> impl FnMut(&[f64], &mut Rng) -> Vec<f64> + use<> {
    let bounds: Vec<(f64, f64)> =
        task.action_low().iter().copied().zip(task.action_high().iter().copied()).collect();
    move |_, rng| bounds.iter().map(|&(low, high)| rng.uniform_in(low, high)).collect()
}
