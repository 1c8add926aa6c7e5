//! The three things that a block is made of: model training, long rollouts, updates on short paths.

use std::time::Instant;

use rayon::prelude::*;

use super::DdppoPlus;
use super::buffers::Buffers;
use crate::data::Standardiser;
use crate::model::{BudgetReport, BudgetWorkspace, SecantData, fit_within};
use crate::nn::LearnError;
use crate::nn::cpu::vector::all_finite;
use crate::path::{
    LongWorkspace, ShortPath, ShortPathWorkspace, mean_value_slopes, roll_out_states,
};
use crate::run::{Record, Tally};

/// Updates between two looks at the noise of the policy's gradient.
const LOOK_EVERY: u64 = 250;

/// Puts what a model's training came to into its record.
fn put(record: &mut Record, name: &str, report: &BudgetReport) {
    record.put(&format!("{name}_nll"), report.nll);
    record.put(&format!("{name}_holdout_loss"), report.holdout_loss);
    record.put(&format!("{name}_holdout_error"), report.holdout_error);
    record.put(&format!("{name}_best_step"), report.best_step);
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

impl DdppoPlus {
    /// Whether there are rows on both sides of the split, and enough to be neighbours.
    pub(super) fn can_train_models(&mut self) -> bool {
        if self.real.is_empty() {
            return false;
        }
        let Self { real, buffers: Buffers { split, draws, .. }, config, .. } = self;
        split.renew(real, draws[0], config.model.holdout_fraction);
        config.gradient_loss.has_neighbours(real, split) && !split.holdout.is_empty()
    }

    /// Trains M^p by likelihood and M^g by likelihood plus w·R̃, on standardisers made anew, which policy and critic read through, too.
    pub(super) fn train_models(
        &mut self,
        step: u64,
        first: bool,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        let started = Instant::now();
        let Self { prediction_model, gradient_model, real, policy, critic, range, .. } = self;
        let Self { buffers, config, .. } = self;
        let Buffers { split, draws, secants, training, stop, .. } = buffers;
        let [prediction_stream, gradient_stream, ..] = &mut self.streams;
        let (model, of_loss) = (&config.model, &config.gradient_loss);
        let steps = if first { model.first_steps } else { model.steps };
        let mut record = Record::new("model", step);
        record.put_count("transitions", real.len() as u64);
        prediction_model.standardise(real);
        let s = prediction_model.observation_dim();
        policy.input = Some(Standardiser {
            mean: prediction_model.inputs.mean[..s].to_vec(),
            deviation: prediction_model.inputs.deviation[..s].to_vec(),
        });
        let [of_prediction, of_gradient] = training;
        let workspace =
            of_prediction.get_or_insert_with(|| BudgetWorkspace::new(prediction_model, model, 0));
        workspace.stop = stop.clone();
        let rows = (&*split, draws[0]);
        let stream = &mut prediction_stream.1;
        let report =
            fit_within(prediction_model, workspace, real, rows, None, model, steps, stream);
        stop.check()?;
        put(&mut record, "prediction", &report);
        let mut losses = vec![(report.nll + report.holdout_loss, "the prediction model's loss")];
        if let Some(gradient_model) = gradient_model {
            gradient_model.inputs = prediction_model.inputs.clone();
            gradient_model.labels = prediction_model.labels.clone();
            let sizes = (s, gradient_model.action_dim());
            let secants = secants.get_or_insert_with(|| SecantData::new(of_loss, sizes));
            let (half_width, discount) = (range.half_width(), config.training.experience.discount);
            secants.update(real, &gradient_model.inputs, split, || {
                mean_value_slopes(policy, critic, half_width, discount, real)
            });
            let workspace = of_gradient.get_or_insert_with(|| {
                BudgetWorkspace::new(gradient_model, model, of_loss.directions_per_row)
            });
            workspace.stop = stop.clone();
            let (rows, term) = ((&*split, draws[1]), Some(secants.term()));
            let stream = &mut gradient_stream.1;
            let report =
                fit_within(gradient_model, workspace, real, rows, term, model, steps, stream);
            stop.check()?;
            put(&mut record, "gradient", &report);
            record.put("secant_loss", report.secant_loss);
            let loss = report.nll + report.secant_loss + report.holdout_loss;
            losses.push((loss, "the gradient model's loss"));
        }
        tally.add_seconds("models", started.elapsed().as_secs_f64());
        tally.record(record);
        match losses.into_iter().find(|(loss, _)| !loss.is_finite()) {
            Some((_, name)) => Err(LearnError::NonFinite(name)),
            None => Ok(()),
        }
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
        let report = short.differentiate(&path, with_policy);
        if report.broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        LearnError::check("the critic's loss", report.critic_loss, max_loss)?;
        tally.mean("critic_loss", report.critic_loss);
        tally.mean("q_value", report.value);
        tally.mean("q_target", report.target);
        tally.mean("clipped_targets", report.clipped);
        tally.mean("imagined_alive", report.alive);
        if with_policy {
            LearnError::check("the policy's loss", report.policy_loss, max_loss)?;
            policy_gradient.resize(policy.network.parameters().len(), 0.0);
            short.policy_gradient(&policy.network, policy_gradient);
            if !all_finite(policy_gradient) {
                return Err(LearnError::NonFinite("the policy's gradient"));
            }
            let square = dot(policy_gradient, policy_gradient);
            tally.mean("policy_loss", report.policy_loss);
            tally.mean("mean_abs_adjoint", report.mean_abs_adjoint);
            tally.mean("policy_gradient_norm", square.sqrt());
            tally.mean("entropy", -report.log_prob);
            if of_policy.is_some_and(|number| number.is_multiple_of(LOOK_EVERY)) {
                half_gradient.resize(policy_gradient.len(), 0.0);
                short.half_policy_gradient(&policy.network, half_gradient);
                let (own, cross) =
                    (dot(half_gradient, half_gradient), dot(half_gradient, policy_gradient));
                // The other half is what remains of the whole.
                let others = square - 2.0 * cross + own;
                tally.mean("policy_gradient_cosine", (cross - own) / (own * others).sqrt());
            }
        }
        critic_gradients.resize_with(critic.networks.len(), || vec![0.0; 0]);
        let len = critic.shape().parameter_len();
        critic_gradients.iter_mut().for_each(|gradient| gradient.resize(len, 0.0));
        let networks = critic_gradients.par_iter_mut().zip(&critic.networks).enumerate();
        networks.for_each(|(q, (gradient, own))| short.critic_gradient(q, &own.network, gradient));
        if !critic_gradients.iter().all(|gradient| all_finite(gradient)) {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        critic.descend(critic_gradients.par_iter().map(|gradient| &gradient[..]));
        tally.count("critic_updates", 1);
        if with_policy {
            policy.update(policy_gradient);
            temperature.update(report.log_prob);
            tally.count("policy_updates", 1);
        }
        tally.add_seconds("updates", started.elapsed().as_secs_f64());
        Ok(())
    }
}
