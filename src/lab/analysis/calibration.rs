//! How well the critic's values are calibrated: Q(s, a) at the states and actions of whole episodes, beside the discounted return that followed.
//!
//! The return is the one that Q stands for: G_t = r_t + γ·(G_{t+1} − α·log π(a_{t+1}|s_{t+1})), nothing after a termination. Where a time limit
//! cuts an episode, the critic's own value of the state reached stands for what would have followed; at its start, γ to the power of the
//! episode's length is what that counts.

use serde::Serialize;

use super::end_values::EndValues;
use super::real_path::read;
use crate::env::{EnvironmentError, Task};
use crate::nn::{Keep, Matrix};
use crate::path::Valuation;
use crate::policy::{Policy, PolicyTape};
use crate::rng::Rng;

/// Episodes that are played.
const EPISODES: usize = 5;

/// Values beside returns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Episodes of the run's stochastic policy.
    pub episodes: usize,
    /// States in them.
    pub states: usize,
    /// Mean of Q over all states: of what the policy is improved on, min Q or the critics' mean.
    pub value: f64,
    /// Mean discounted return over all states.
    pub discounted_return: f64,
    /// Mean of Q at the episodes' first states.
    pub start_value: f64,
    /// Mean discounted return from there.
    pub start_return: f64,
    /// √ of the mean squared difference, over the returns' deviation: 1 is what the best constant has.
    pub relative_error: f64,
    /// Correlation of values and returns over all states; `None` where one of them is constant.
    pub correlation: Option<f64>,
}

/// One episode, in the order of steps.
struct Episode {
    values: Vec<f64>,
    rewards: Vec<f64>,
    log_probs: Vec<f64>,
    /// Value and log π of the state after the last step; `None` after a termination.
    after: Option<(f64, f64)>,
}

impl Episode {
    fn returns(&self, alpha: f64, discount: f64) -> Vec<f64> {
        let mut next = self.after.map_or(0.0, |(value, log_prob)| value - alpha * log_prob);
        let mut returns = vec![0.0; self.rewards.len()];
        for t in (0..returns.len()).rev() {
            returns[t] = self.rewards[t] + discount * next;
            next = returns[t] - alpha * self.log_probs[t];
        }
        returns
    }
}

/// Plays episodes with the objective's policy.
///
/// # Errors
/// When the environment fails.
pub fn calibration(
    of: Valuation<'_, f32>,
    task: &dyn Task,
    seed: u64,
) -> Result<Calibration, EnvironmentError> {
    let mut rng = Rng::new(seed, "calibration");
    let values = EndValues::new(of);
    let episodes: Vec<Episode> = (0..EPISODES)
        .map(|_| play(of.policy, &values, task, &mut rng))
        .collect::<Result<_, _>>()?;
    Ok(summary(&episodes, of.alpha, of.discount))
}

fn play(
    policy: &Policy<f32>,
    of_end: &EndValues,
    task: &dyn Task,
    rng: &mut Rng,
) -> Result<Episode, EnvironmentError> {
    let mut environment = task.make()?;
    let mut acting = PolicyTape::new(policy, 1, Keep::Nothing);
    let mut observation = vec![0.0; task.observation_dim()];
    environment.reset(rng, &mut observation);
    // Samples an action; (Q, log π) of it.
    let mut act = |observation: &[f64]| {
        let narrow: Vec<f32> = observation.iter().map(|&s| s as f32).collect();
        read(policy, &narrow, acting.network.input.row_mut(0));
        rng.fill_normal(&mut acting.noise);
        policy.sample(&mut acting, 1);
        let action: Vec<f64> = acting.actions.iter().map(|&a| f64::from(a)).collect();
        let mut state = Matrix::zeros(1, observation.len());
        state.row_mut(0).copy_from_slice(observation);
        (of_end.values(&state, &action)[0], f64::from(acting.log_probs[0]), action)
    };
    let (values, rewards, log_probs) = (Vec::new(), Vec::new(), Vec::new());
    let mut episode = Episode { values, rewards, log_probs, after: None };
    for _ in 0..task.time_limit() {
        let (value, log_prob, action) = act(&observation);
        let step = environment.step(&action, &mut observation)?;
        episode.values.push(value);
        episode.rewards.push(step.reward);
        episode.log_probs.push(log_prob);
        if step.terminated {
            return Ok(episode);
        }
    }
    let (value, log_prob, _) = act(&observation);
    episode.after = Some((value, log_prob));
    Ok(episode)
}

fn summary(episodes: &[Episode], alpha: f64, discount: f64) -> Calibration {
    let returns: Vec<Vec<f64>> =
        episodes.iter().map(|episode| episode.returns(alpha, discount)).collect();
    let all: Vec<(f64, f64)> = episodes
        .iter()
        .zip(&returns)
        .flat_map(|(episode, returns)| episode.values.iter().copied().zip(returns.iter().copied()))
        .collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    let (value, discounted_return) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let spread = mean(&|pair| (pair.1 - discounted_return).powi(2)).sqrt();
    let value_spread = mean(&|pair| (pair.0 - value).powi(2)).sqrt();
    let common = mean(&|pair| (pair.0 - value) * (pair.1 - discounted_return));
    let first = |of: &dyn Fn(usize) -> f64| {
        (0..episodes.len()).map(of).sum::<f64>() / episodes.len() as f64
    };
    Calibration {
        episodes: episodes.len(),
        states: all.len(),
        value,
        discounted_return,
        start_value: first(&|i| episodes[i].values[0]),
        start_return: first(&|i| returns[i][0]),
        relative_error: mean(&|pair| (pair.0 - pair.1).powi(2)).sqrt() / spread,
        correlation: (spread * value_spread > 0.0).then(|| common / (spread * value_spread)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_those_of_the_critics_equation() {
        let episode = |after| Episode {
            values: vec![1.0, 2.0, 4.0],
            rewards: vec![1.0, 10.0, 100.0],
            log_probs: vec![7.0, 2.0, -3.0],
            after,
        };
        // G_2 = 100; G_1 = 10 + ½·(100 + 0.1·3); G_0 = 1 + ½·(G_1 − 0.1·2). log π of the first action is in no return.
        let g_1 = 10.0 + 0.5 * 100.3;
        let ended = episode(None);
        assert_eq!(ended.returns(0.1, 0.5), [1.0 + 0.5 * (g_1 - 0.2), g_1, 100.0]);
        let cut = episode(Some((8.0, 20.0)));
        assert_eq!(cut.returns(0.1, 0.5)[2], 100.0 + 0.5 * (8.0 - 2.0));

        let found = summary(&[ended], 0.0, 0.0);
        assert_eq!((found.states, found.value, found.discounted_return), (3, 7.0 / 3.0, 37.0));
        assert_eq!((found.start_value, found.start_return), (1.0, 1.0));
        assert!(found.correlation.unwrap() > 0.9 && found.relative_error > 1.0, "{found:?}");
    }
}
