//! One update of all networks together, and of the temperature, which shares their minibatch (eq. 12, 13).

use std::time::Instant;

use rayon::prelude::*;

use super::minibatch::CriticWorkspace;
use super::networks::Critic;
use super::slope_term::SlopeTerm;
use crate::data::{ExperienceConfig, Replay};
use crate::nn::cpu::vector;
use crate::nn::{LearnError, Real};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CriticReport {
    /// Σ_i MSE_i.
    pub loss: f64,
    /// Mean of min_i Q_i(s, a).
    pub value: f64,
    /// −mean log π(a|s) of fresh actions at the minibatch's states.
    pub entropy: f64,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

impl CriticReport {
    /// Refuses numbers that cannot be learned from, or a loss beyond the guard `limit`.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, limit: f64) -> Result<(), LearnError> {
        LearnError::check("the critic's loss", self.loss, limit)?;
        if !self.entropy.is_finite() {
            return Err(LearnError::NonFinite("the policy's entropy"));
        }
        if !self.value.is_finite() {
            return Err(LearnError::NonFinite("the critic's value"));
        }
        if !self.finite_gradient {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        Ok(())
    }

    /// Tells `tally` of an update.
    pub fn tell(&self, tally: &mut Tally) {
        tally.mean("critic_loss", self.loss);
        tally.mean("q_value", self.value);
        tally.mean("entropy", self.entropy);
        tally.count("critic_updates", 1);
    }
}

impl<T: Real> Critic<T> {
    /// One update on a minibatch whose row i is the row of a buffer that `draw(i, rng)` tells; i is of use for the kind of buffer
    /// alone, since rows have streams of their own, grown from words of `rng`.
    pub fn update<'a>(
        &mut self,
        workspace: &mut CriticWorkspace<T>,
        policy: &Policy<T>,
        temperature: &mut Temperature,
        discount: f64,
        rng: &mut Rng,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
    ) -> CriticReport {
        self.update_with(workspace, policy, temperature, discount, rng, draw, None)
    }

    /// [`Critic::update`] with another term in the loss, whose gradient has been taken.
    #[allow(clippy::too_many_arguments)]
    pub fn update_with<'a>(
        &mut self,
        workspace: &mut CriticWorkspace<T>,
        policy: &Policy<T>,
        temperature: &mut Temperature,
        discount: f64,
        rng: &mut Rng,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
        term: Option<&SlopeTerm<T>>,
    ) -> CriticReport {
        workspace.draw(policy, rng, draw);
        workspace.set_one_step_targets(self, temperature.alpha(), discount);
        let CriticWorkspace { parts, values, gradients, batch, .. } = workspace;
        let (parts, batch) = (&*parts, *batch);
        let (clip, rule) = (self.gradient_clip, self.target_rule);
        // At two threads each takes a network for good; more of them share its rows, then its weights.
        let networks = self.networks.par_iter_mut().zip(values.par_iter_mut().zip(gradients));
        let finite_gradient = networks.enumerate().map(|(n, (q, (tapes, gradient)))| {
            tapes.par_iter_mut().zip(parts).for_each(|(tape, part)| {
                part.accumulate(&q.network, tape, batch);
            });
            q.network.gradient(tapes.iter(), gradient);
            if let Some(term) = term {
                vector::add_assign_shared(gradient, term.gradient(n));
            }
            q.network.update(|parameters, _| q.adam.update_clipped(parameters, gradient, clip));
            rule.apply(&mut q.target, &q.network, q.adam.updates);
            vector::all_finite(gradient)
        });
        let finite_gradient = finite_gradient.reduce(|| true, |one, other| one && other);
        let [loss, value, log_prob] = workspace.means();
        temperature.update(log_prob);
        CriticReport { loss, value, entropy: -log_prob, finite_gradient }
    }
}

/// A method's critic updates: their buffers, their random stream and what limits them.
#[derive(Debug)]
pub struct CriticUpdate {
    /// Rows of a minibatch.
    pub batch: usize,
    /// γ.
    pub discount: f64,
    /// `guards.max_loss`.
    pub max_loss: f64,
    /// Minibatches and noise.
    stream: Rng,
    /// Made at the first update, for the threads that there are then.
    workspace: Option<CriticWorkspace<f32>>,
}

impl CriticUpdate {
    /// Updates on minibatches that draw from `stream`.
    pub fn new(experience: &ExperienceConfig, max_loss: f64, stream: Rng) -> Self {
        let &ExperienceConfig { batch_size: batch, discount, .. } = experience;
        Self { batch, discount, max_loss, stream, workspace: None }
    }

    /// One update of critic and temperature, told to `tally`; `draw` as in [`Critic::update`].
    ///
    /// # Errors
    /// When a number is not finite, or the loss beyond the guard.
    pub fn run<'a>(
        &mut self,
        critic: &mut Critic<f32>,
        policy: &Policy<f32>,
        temperature: &mut Temperature,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
        tally: &mut Tally,
    ) -> Result<CriticReport, LearnError> {
        self.run_with(critic, policy, temperature, draw, None, tally)
    }

    /// [`CriticUpdate::run`] with another term in the loss, whose gradient has been taken.
    ///
    /// # Errors
    /// As [`CriticUpdate::run`].
    pub fn run_with<'a>(
        &mut self,
        critic: &mut Critic<f32>,
        policy: &Policy<f32>,
        temperature: &mut Temperature,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
        term: Option<&SlopeTerm<f32>>,
        tally: &mut Tally,
    ) -> Result<CriticReport, LearnError> {
        let started = Instant::now();
        let Self { batch, discount, max_loss, stream, workspace } = self;
        let workspace =
            workspace.get_or_insert_with(|| CriticWorkspace::new(critic, policy, *batch));
        let report =
            critic.update_with(workspace, policy, temperature, *discount, stream, draw, term);
        report.check(*max_loss)?;
        report.tell(tally);
        tally.add_seconds("critic", started.elapsed().as_secs_f64());
        Ok(report)
    }

    /// What its minibatches are drawn from, for a device that makes the updates.
    pub fn stream_mut(&mut self) -> &mut Rng {
        &mut self.stream
    }

    /// State of row `row` of the last minibatch, `[observation_dim]`. There must have been one.
    pub fn state(&self, row: usize) -> &[f32] {
        self.workspace.as_ref().expect("an update has run").state(row)
    }

    /// Saves or restores the stream.
    ///
    /// # Errors
    /// When it is missing.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { batch: _, discount: _, max_loss: _, stream, workspace: _ } = self;
        entries.rng("streams/critic", stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::CriticConfig;
    use crate::data::Transition;
    use crate::policy::{PolicyConfig, TemperatureConfig};

    #[test]
    fn a_non_finite_gradient_is_seen_though_its_loss_is_finite() {
        let (hidden, learning_rate, gradient_clip) = (256, 3e-4, 100.0);
        let settings = CriticConfig { hidden, learning_rate, gradient_clip, target_rate: 0.005 };
        let policy =
            PolicyConfig { hidden: 8, learning_rate, gradient_clip, normalised_density: false };
        let temperature = TemperatureConfig {
            automatic: true,
            learning_rate,
            initial_log: 0.0,
            target_entropy_per_dim: -1.0,
        };
        let mut rng = Rng::new(0, "critic");
        let policy = Policy::<f32>::new(2, (&[-1.0], &[1.0]), &policy, &mut rng);
        let mut critic = Critic::<f32>::new(2, 1, 2, &settings, &mut rng);
        for q in &mut critic.networks {
            // Hidden values of about 1e10 and an output of 0: the error is the target, and times a hidden value it overflows.
            q.network.update(|parameters, shape| {
                let [first, .., last] = &shape.layers[..] else { panic!("two hidden layers") };
                parameters[first.weight.clone()].iter_mut().for_each(|w| *w *= 1e10);
                parameters[last.weight.clone()].fill(0.0);
            });
        }
        for (reward, finite) in [(1.0, true), (1e30, false)] {
            let mut critic = critic.clone();
            let mut workspace = CriticWorkspace::new(&critic, &policy, 8);
            let mut temperature = Temperature::new(&temperature, 1);
            let mut replay = Replay::new(2, 1, 1);
            replay.push(Transition {
                observation: &[1.0, -0.5],
                action: &[0.5],
                reward,
                next_observation: &[0.5, 1.0],
                terminated: false,
            });
            let draw = |_: usize, _: &mut Rng| (&replay, 0);
            let report =
                critic.update(&mut workspace, &policy, &mut temperature, 0.99, &mut rng, draw);
            assert!(report.loss.is_finite(), "{report:?}");
            assert_eq!(report.finite_gradient, finite, "{report:?}");
        }
    }
}
