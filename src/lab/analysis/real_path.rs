//! Real trajectories of a run's policy, with the noise it acted by and the true derivative of each step.

use crate::env::jacobian::jacobians;
use crate::env::trajectory::{VisitedState, sample_points};
use crate::env::{EnvironmentError, Task};
use crate::nn::{Keep, Real};
use crate::policy::{Actor, Policy, PolicyTape};
use crate::rng::Rng;

/// Steps between two start states.
const EVERY: usize = 10;

/// K real steps from one state, and where they led.
#[derive(Clone, Debug)]
pub(crate) struct RealPath {
    /// Where each step was taken, `[K]`.
    pub points: Vec<VisitedState>,
    /// True Jacobians at `points`.
    pub truth: Vec<Vec<f64>>,
    /// The observation after the last step.
    pub last: Vec<f64>,
    /// η of steps 0..=K.
    pub noise: Vec<Vec<f64>>,
}

impl RealPath {
    /// Its first `steps` steps.
    pub fn beginning(&self, steps: usize) -> Self {
        let last = self.points.get(steps).map_or(&self.last, |point| &point.observation);
        Self {
            points: self.points[..steps].to_vec(),
            truth: self.truth[..steps].to_vec(),
            last: last.clone(),
            noise: self.noise[..=steps].to_vec(),
        }
    }

    /// The observation after step `j`.
    pub fn next(&self, j: usize) -> &[f64] {
        self.points.get(j + 1).map_or(&self.last, |point| &point.observation)
    }
}

/// What a policy's network is given of a state.
pub(crate) fn read<T: Real>(policy: &Policy<T>, state: &[T], input: &mut [T]) {
    match &policy.input {
        Some(standardiser) => standardiser.apply(state.iter().copied(), input),
        None => input.copy_from_slice(state),
    }
}

/// Real trajectories without contact events and ends.
pub(crate) fn live(
    acting: &Policy<f32>,
    task: &dyn Task,
    policy: &Policy<f64>,
    (horizon, starts): (usize, usize),
    seed: u64,
) -> Result<Vec<RealPath>, EnvironmentError> {
    let mut actor = Actor::new(acting);
    let starts = sample_points(task, starts, EVERY, seed, &mut |observation, rng| {
        actor.explore(acting, observation, rng).to_vec()
    })?;
    let mut environment = task.make()?;
    let mut rng = Rng::new(seed, "policy gradient");
    let mut tape = PolicyTape::new(policy, 1, Keep::Nothing);
    let mut all = Vec::new();
    'starts: for start in starts {
        environment.set_state(&start.state)?;
        let mut trajectory = RealPath {
            points: Vec::new(),
            truth: Vec::new(),
            last: start.observation,
            noise: (0..=horizon).map(|_| vec![0.0; task.action_dim()]).collect(),
        };
        for noise in &mut trajectory.noise {
            rng.fill_normal(noise);
        }
        for j in 0..horizon {
            read(policy, &trajectory.last, tape.network.input.row_mut(0));
            tape.noise.copy_from_slice(&trajectory.noise[j]);
            policy.sample(&mut tape, 1);
            let (state, action) = (environment.state(), tape.actions.clone());
            let mut next = vec![0.0; task.observation_dim()];
            if environment.step(&action, &mut next)?.terminated {
                continue 'starts;
            }
            let observation = std::mem::replace(&mut trajectory.last, next);
            trajectory.points.push(VisitedState { state, observation, action });
        }
        all.push(trajectory);
    }
    let points: Vec<VisitedState> = all.iter().flat_map(|t| t.points.clone()).collect();
    let mut found = jacobians(task, &points)?.into_iter();
    let mut regular = Vec::new();
    for mut trajectory in all {
        let own: Vec<_> = found.by_ref().take(horizon).collect();
        if own.iter().all(|jacobian| !jacobian.has_event()) {
            trajectory.truth = own.into_iter().map(|jacobian| jacobian.values).collect();
            regular.push(trajectory);
        }
    }
    Ok(regular)
}
