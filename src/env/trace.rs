//! Traces: what an environment did, as JSON lines, for anyone to replay elsewhere.

use std::io::Write;

use serde::Serialize;

use super::{EnvironmentError, Episode, Outcome, Task};
use crate::rng::Rng;

/// One line. Step 0 of an episode is the state after the reset; a later line holds the action and what followed it.
#[derive(Default, Serialize)]
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
    broke: bool,
}

/// Why a trace ended early.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The environment failed.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A line could not be written.
    #[error("the trace cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Takes `steps` steps with the actions that `policy` gives for an observation and writes a JSON line for each, and one
/// for each reset. Numbers are in the shortest form that reads back as the same bits; `qpos` and `qvel` are null for
/// environments without them.
///
/// # Errors
/// When the environment fails, or when `out` does not take a line.
pub fn trace(
    task: &dyn Task,
    steps: usize,
    seed: u64,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
    out: &mut dyn Write,
) -> Result<(), TraceError> {
    let mut resets = Rng::new(seed, "trace resets");
    let mut actions = Rng::new(seed, "trace actions");
    let mut running = Episode::begin(task, &mut resets)?;
    let mut episode = 0;
    write(out, &running, Line { episode, ..Line::default() })?;
    for taken in 1..=steps {
        let action = policy(running.observation(), &mut actions);
        let outcome = running.step(&action)?;
        let (reward, over) = (Some(outcome.reward), outcome.is_over());
        let Outcome { terminated, truncated, broke, .. } = outcome;
        let step = running.length();
        let action = Some(&action[..]);
        let line =
            Line { episode, step, action, reward, terminated, truncated, broke, ..Line::default() };
        write(out, &running, line)?;
        // The reset after the last step belongs to no step that was asked for.
        if over && taken < steps {
            running.begin_next(&mut resets);
            episode += 1;
            write(out, &running, Line { episode, ..Line::default() })?;
        }
    }
    Ok(())
}

/// Writes a line, with what the environment shows now.
fn write(out: &mut dyn Write, running: &Episode, line: Line<'_>) -> std::io::Result<()> {
    let positions = running.environment().positions();
    let line = Line {
        qpos: positions.as_ref().map(|(qpos, _)| &qpos[..]),
        qvel: positions.as_ref().map(|(_, qvel)| &qvel[..]),
        observation: running.observation(),
        ..line
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Actions drawn uniformly from the task's control range.
pub fn uniform_actions(task: &dyn Task) -> impl FnMut(&[f64], &mut Rng) -> Vec<f64> + use<> {
    let bounds: Vec<(f64, f64)> =
        task.action_low().iter().copied().zip(task.action_high().iter().copied()).collect();
    move |_, rng| bounds.iter().map(|&(low, high)| rng.uniform_in(low, high)).collect()
}
