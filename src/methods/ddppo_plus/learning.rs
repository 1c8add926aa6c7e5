//! The three things that a block is made of: model training, long rollouts, updates on short paths.

use std::time::Instant;

use rayon::prelude::*;

use super::DdppoPlus;
use super::buffers::Buffers;
use super::seen::{LOOK_EVERY, PolicyGradientSeen, UpdateSeen, models_record};
use crate::model::{BudgetWorkspace, SecantData, fit_within};
use crate::nn::LearnError;
use crate::nn::cpu::vector::all_finite;
use crate::path::{LongWorkspace, ShortPath, ShortPathWorkspace, roll_out_states};
use crate::run::Tally;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

impl DdppoPlus {
    /// Trains M^p by likelihood and M^g by likelihood plus w·R̃, in a block that has been opened.
    pub(super) fn train_models(
        &mut self,
        step: u64,
        steps: usize,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        let started = Instant::now();
        let Self { prediction_model, gradient_model, real, buffers, config, .. } = self;
        let Buffers { split, draws, secants, training, stop, .. } = buffers;
        let [prediction_stream, gradient_stream, ..] = &mut self.streams;
        let (model, directions) = (&config.model, config.gradient_loss.directions_per_row);
        let [of_prediction, of_gradient] = training;
        let workspace =
            of_prediction.get_or_insert_with(|| BudgetWorkspace::new(prediction_model, model, 0));
        workspace.stop = stop.clone();
        let rows = (&*split, draws[0]);
        let stream = &mut prediction_stream.1;
        let prediction =
            fit_within(prediction_model, workspace, real, rows, None, model, steps, stream);
        stop.check()?;
        let mut gradient = None;
        if let Some(gradient_model) = gradient_model {
            let workspace = of_gradient
                .get_or_insert_with(|| BudgetWorkspace::new(gradient_model, model, directions));
            workspace.stop = stop.clone();
            let (rows, term) = ((&*split, draws[1]), secants.as_ref().map(SecantData::term));
            let stream = &mut gradient_stream.1;
            let report =
                fit_within(gradient_model, workspace, real, rows, term, model, steps, stream);
            stop.check()?;
            gradient = Some(report);
        }
        tally.add_seconds("models", started.elapsed().as_secs_f64());
        tally.record(models_record(step, real.len(), &prediction, gradient.as_ref())?);
        Ok(())
    }

    /// Long rollouts of the present policy into the ring of states; returns how many states they met.
    ///
    /// # Errors
    /// When a state is not finite.
    pub fn roll_out(&mut self, tally: &mut Tally) -> Result<u64, LearnError> {
        let started = Instant::now();
        let Self { policy, prediction_model, real, states, task, buffers, config, .. } = self;
        let size = (config.rollout.starts, config.rollout.length);
        let workspace =
            buffers.long.get_or_insert_with(|| LongWorkspace::new(policy, prediction_model, size));
        let buffers = (&*real, &mut *states);
        let stream = &mut self.streams[3].1;
        let report = roll_out_states(workspace, policy, prediction_model, &**task, buffers, stream);
        tally.add_seconds("rollout", started.elapsed().as_secs_f64());
        match report.broken {
            0 => Ok(report.states),
            _ => Err(LearnError::NonFinite("the prediction model's output")),
        }
    }

    /// An update of the critic on short paths from states of the ring and, where it is a block's n-th update of the policy, of policy and
    /// temperature on the same paths.
    ///
    /// # Errors
    /// When a number is not finite, or a loss beyond the guard.
    pub fn update(&mut self, of_policy: Option<u64>, tally: &mut Tally) -> Result<(), LearnError> {
        let started = Instant::now();
        let Self {
            policy,
            critic,
            range,
            temperature,
            prediction_model,
            gradient_model,
            states,
            buffers,
            config,
            task,
            ..
        } = self;
        let Buffers { short, policy_gradient, half_gradient, critic_gradients, .. } = buffers;
        let stream = &mut self.streams[2].1;
        let (experience, max_loss) = (&config.training.experience, config.run.guards.max_loss);
        // Two networks that differ.
        let one = stream.below(critic.networks.len());
        let other = (one + 1 + stream.below(critic.networks.len() - 1)) % critic.networks.len();
        let mut path = ShortPath {
            config: config.policy.path,
            policy,
            critic,
            range: (0.0, 1.0),
            pair: (one, other),
            prediction_model,
            gradient_model: gradient_model.as_ref(),
            alpha: temperature.alpha(),
            discount: experience.discount,
            task: &**task,
        };
        let with_policy = of_policy.is_some();
        let short =
            short.get_or_insert_with(|| ShortPathWorkspace::new(&path, experience.batch_size));
        short.imagine(&path, |_, rng| states.get(rng.below(states.len())), stream);
        range.note(short.rewards(path.alpha), experience.discount);
        path.range = (range.centre(), range.half_width());
        let paths = short.differentiate(&path, with_policy);
        let of_gradient = of_policy.map(|number| {
            policy_gradient.resize(policy.network.parameters().len(), 0.0);
            short.policy_gradient(&policy.network, policy_gradient);
            let half = number.is_multiple_of(LOOK_EVERY).then(|| {
                half_gradient.resize(policy_gradient.len(), 0.0);
                short.half_policy_gradient(&policy.network, half_gradient);
                [dot(half_gradient, half_gradient), dot(half_gradient, policy_gradient)]
            });
            let (finite, square) =
                (all_finite(policy_gradient), dot(policy_gradient, policy_gradient));
            PolicyGradientSeen { finite, square, half }
        });
        critic_gradients.resize_with(critic.networks.len(), || vec![0.0; 0]);
        let len = critic.shape().parameter_len();
        critic_gradients.iter_mut().for_each(|gradient| gradient.resize(len, 0.0));
        let networks = critic_gradients.par_iter_mut().zip(&critic.networks).enumerate();
        networks.for_each(|(q, (gradient, own))| short.critic_gradient(q, &own.network, gradient));
        let finite_critic = critic_gradients.iter().all(|gradient| all_finite(gradient));
        UpdateSeen { paths, policy: of_gradient, finite_critic }.tell(max_loss, tally)?;
        critic.update_by(critic_gradients.par_iter().map(|gradient| &gradient[..]));
        if with_policy {
            policy.update(policy_gradient);
            temperature.update(paths.log_prob);
        }
        tally.add_seconds("updates", started.elapsed().as_secs_f64());
        Ok(())
    }
}
