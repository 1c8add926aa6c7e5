//! DDPPO+: one update of critic and policy on short paths, and one step of the training of the model whose derivatives are used.

use super::file::{Probe, numbers_of};
use crate::critic::Critic;
use crate::lab::analysis::Unsuitable;
use crate::lab::precision;
use crate::methods::ddppo_plus::DdppoPlus;
use crate::model::{BudgetWorkspace, NormalisedModel, RowDraws, SecantData, Split};
use crate::nn::{Real, Shape};
use crate::path::{DerivativeSource, ShortPart, ShortPath, ShortPathWorkspace, mean_value_slopes};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::run::snapshot::Element;

/// Writes them out. `T` is the float type they are computed in.
///
/// # Errors
/// When the models have not been trained yet.
pub(super) fn written<T: Real + Element>(plus: &DdppoPlus, seed: u64) -> Result<Probe, Unsuitable> {
    if !plus.prediction_model.trained || plus.states.is_empty() {
        return Err(Unsuitable::NotTrained);
    }
    let policy: Policy<T> = precision::policy(&plus.policy);
    let critic: Critic<T> = precision::critic(&plus.critic);
    let prediction_model = precision::normalised_model(&plus.prediction_model);
    let gradient_model = plus.gradient_model.as_ref().map(precision::normalised_model::<f32, T>);
    let mut rng = Rng::new(seed, "probe");
    let one = rng.below(critic.networks.len());
    let other = (one + 1 + rng.below(critic.networks.len() - 1)) % critic.networks.len();
    let path = ShortPath {
        config: plus.config().policy.path,
        policy: &policy,
        critic: &critic,
        range: (plus.range.centre(), plus.range.half_width()),
        pair: (one, other),
        prediction_model: &prediction_model,
        gradient_model: gradient_model.as_ref(),
        alpha: plus.temperature.alpha(),
        discount: plus.config().training.experience.discount,
        task: &*plus.task,
    };
    let mut probe = Probe::default();
    probe.say_plus(&path);
    probe.put_parts(&path);
    probe.put_update(&path, plus, &mut rng);
    probe.put_model_step(&path, plus, &mut rng);
    Ok(probe)
}

/// What `of` gives of each part at step `j`, all rows in order.
fn at<T, E>(parts: &[ShortPart<T>], of: impl Fn(&ShortPart<T>) -> Vec<E>) -> Vec<E> {
    parts.iter().flat_map(of).collect()
}

/// ε of the layer normalisations, separated by blanks.
fn norms(shape: &Shape) -> String {
    shape.norms.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

impl Probe {
    fn say_plus<T: Real>(&mut self, path: &ShortPath<'_, T>) {
        let source = match path.config.gradient_source {
            DerivativeSource::Gradient => "gradient",
            DerivativeSource::Prediction => "prediction",
        };
        self.say("algorithm", "ddppo-plus");
        self.say("discount", path.discount);
        self.say("alpha", path.alpha);
        self.say("log_prob_offset", path.policy.log_prob_offset.to_f64());
        self.say("horizon", path.config.horizon);
        self.say("gradient_source", source);
        self.say("derivative_members", path.config.derivative_members);
        self.say("critic_norms", norms(path.critic.shape()));
        self.say("model_norms", norms(path.prediction_model.shape()));
        self.say("value_centre", path.range.0);
        self.say("value_half_width", path.range.1);
    }

    fn put_parts<T: Real + Element>(&mut self, path: &ShortPath<'_, T>) {
        let policy = path.policy;
        self.put_vector("policy", policy.network.shape(), policy.network.parameters());
        self.put("action_scale", &[policy.action_dim()], policy.scale.clone());
        self.put("action_bias", &[policy.action_dim()], policy.bias.clone());
        for (q, own) in path.critic.networks.iter().enumerate() {
            let shape = own.network.shape();
            self.put_vector(&format!("critic/{q}"), shape, own.network.parameters());
            self.put_vector(&format!("target_critic/{q}"), shape, own.target.parameters());
        }
        let models = [
            ("prediction_model", Some(path.prediction_model)),
            ("gradient_model", path.gradient_model),
        ];
        for (name, model) in models {
            let Some(model) = model else { continue };
            for (m, member) in model.members.iter().enumerate() {
                self.put_vector(&format!("{name}/{m}"), model.shape(), member.network.parameters());
                let log_sigma = member.log_sigma.clone();
                self.put(&format!("{name}/{m}/log_sigma"), &[model.label_dim()], log_sigma);
            }
            for (what, of) in [("input", &model.inputs), ("label", &model.labels)] {
                let size = [of.mean.len()];
                self.put(&format!("{name}/{what}_mean"), &size, of.mean.clone());
                self.put(&format!("{name}/{what}_std"), &size, of.deviation.clone());
            }
        }
    }

    fn put_update<T: Real + Element>(
        &mut self,
        path: &ShortPath<'_, T>,
        plus: &DdppoPlus,
        rng: &mut Rng,
    ) {
        let b = plus.config().training.experience.batch_size;
        let (h, k) = (path.config.horizon, path.config.derivative_members);
        let (s, a) = (path.policy.observation_dim(), path.policy.action_dim());
        let mut workspace = ShortPathWorkspace::new(path, b);
        let states = &plus.states;
        workspace.imagine(path, |_, rng| states.get(rng.below(states.len())), rng);
        let report = workspace.differentiate(path, true);
        let parts = &workspace.parts[..];
        let points: Vec<usize> = (0..=h).collect();
        let at_points = |of: &dyn Fn(&ShortPart<T>, usize) -> Vec<T>| -> Vec<T> {
            points.iter().flat_map(|&j| at(parts, |part| of(part, j))).collect()
        };
        let at_steps = |of: &dyn Fn(&ShortPart<T>, usize) -> Vec<T>| -> Vec<T> {
            points[..h].iter().flat_map(|&j| at(parts, |part| of(part, j))).collect()
        };
        let state = |part: &ShortPart<T>, j: usize| -> Vec<T> {
            let input = &part.points[j].network.input;
            (0..input.rows()).flat_map(|i| input.row(i).to_vec()).collect()
        };
        let members = |of: &dyn Fn(&ShortPart<T>) -> Vec<u32>| at(parts, |part| of(part));
        self.put("update/pair", &[2], [path.pair.0, path.pair.1].map(|q| q as u32).to_vec());
        self.put("update/start_states", &[b, s], at(parts, |part| state(part, 0)));
        let noise = at_points(&|part, j| part.points[j].noise.clone());
        self.put("update/action_noise", &[h + 1, b, a], noise);
        self.put("update/model_noise", &[h, b, s], at_steps(&|part, j| part.noise[j].clone()));
        let drawn = (0..h).flat_map(|j| members(&|part| part.members[j].clone()));
        self.put("update/members", &[h, b], drawn.collect::<Vec<u32>>());
        let derivatives = (0..h).flat_map(|j| {
            (0..k).flat_map(move |k| at(parts, |part| part.derivative_members[j][k].clone()))
        });
        self.put("update/derivative_members", &[h, k, b], derivatives.collect::<Vec<u32>>());
        self.put("update/alive", &[h + 1, b], at_points(&|part, j| part.alive[j].clone()));
        self.put("update/states", &[h + 1, b, s], at_points(&state));
        let actions = at_points(&|part, j| part.points[j].actions.clone());
        self.put("update/actions", &[h + 1, b, a], actions);
        let log_probs = at_points(&|part, j| part.points[j].log_probs.clone());
        self.put("update/log_probs", &[h + 1, b], log_probs);
        self.put("update/rewards", &[h, b], at_steps(&|part, j| part.rewards[j].clone()));
        self.put("update/targets", &[b], at(parts, |part| part.targets.clone()));
        self.put("update/policy_loss", &[1], numbers_of::<T>([report.policy_loss]));
        self.put("update/critic_loss", &[1], numbers_of::<T>([report.critic_loss]));
        let mut gradient = vec![T::ZERO; path.policy.network.parameters().len()];
        workspace.policy_gradient(&path.policy.network, &mut gradient);
        self.put_vector("update/policy_gradient", path.policy.network.shape(), &gradient);
        for (q, own) in path.critic.networks.iter().enumerate() {
            let mut gradient = vec![T::ZERO; path.critic.shape().parameter_len()];
            workspace.critic_gradient(q, &own.network, &mut gradient);
            let name = format!("update/critic_gradient/{q}");
            self.put_vector(&name, path.critic.shape(), &gradient);
        }
    }

    /// A step of the model whose derivatives are used, on the transitions that there are now.
    fn put_model_step<T: Real + Element>(
        &mut self,
        path: &ShortPath<'_, T>,
        plus: &DdppoPlus,
        rng: &mut Rng,
    ) {
        let (config, real) = (plus.config(), &plus.real);
        let (model, name): (&NormalisedModel<T>, _) = match path.gradient_model {
            Some(model) => (model, "gradient"),
            None => (path.prediction_model, "prediction"),
        };
        let (inputs, labels, s) =
            (model.shape().inputs(), model.label_dim(), model.observation_dim());
        let draws = RowDraws::new(config.run.seed, name);
        let mut split = Split::default();
        split.renew(real, draws, config.model.holdout_fraction);
        let loss = &config.gradient_loss;
        let secants = path.gradient_model.map(|_| {
            let mut data = SecantData::<T>::new(loss, (s, model.action_dim()));
            data.update(real, &plus.prediction_model.inputs, &split, || {
                let (half_width, discount) = (path.range.1, path.discount);
                mean_value_slopes(path.policy, path.critic, half_width, discount, real)
            });
            data
        });
        let term = secants.as_ref().map(SecantData::term);
        let directions = term.map_or(0, |term| term.directions);
        self.say("secant_weight", term.map_or(0.0, |term| term.weight));
        self.say("secant_least_square", term.map_or(0.0, |term| term.least_square));
        let ones = vec![T::ONE; labels];
        let weights = term.map_or(ones, |term| term.weights.to_vec());
        self.put("model_step/output_weights", &[labels], weights);
        let mut workspace = BudgetWorkspace::new(model, &config.model, directions);
        let steps = workspace.steps(model, real, (&split, draws), term, &config.model, rng);
        let (members, b) = (steps.len(), config.model.batch_size);
        // Rows of the replay, in `f64`.
        let input = |row: u32| (0..inputs).map(move |d| real.get(row as usize).input::<f64>(d));
        let label = |row: u32| (0..labels).map(move |d| real.get(row as usize).label::<f64>(d));
        let (own, far) =
            (|| steps.iter().flat_map(|s| &s.rows), || steps.iter().flat_map(|s| &s.ends));
        let raw = |rows: &mut dyn Iterator<Item = &u32>| {
            let rows: Vec<u32> = rows.copied().collect();
            let x = numbers_of::<T>(rows.iter().flat_map(|&row| input(row)));
            (x, numbers_of::<T>(rows.iter().flat_map(|&row| label(row))))
        };
        let (x, y) = raw(&mut own());
        self.put("model_step/inputs", &[members, b, inputs], x);
        self.put("model_step/labels", &[members, b, labels], y);
        if directions > 0 {
            let (x, y) = raw(&mut far());
            self.put("model_step/far_inputs", &[members, b, directions, inputs], x);
            self.put("model_step/far_labels", &[members, b, directions, labels], y);
        }
        let weights = steps.iter().flat_map(|step| step.weights.iter().copied());
        self.put("model_step/row_weights", &[members, b], numbers_of::<T>(weights));
        let nll = steps.iter().map(|step| step.nll);
        self.put("model_step/nll", &[members], numbers_of::<T>(nll));
        let secant_loss = steps.iter().map(|step| step.secant_loss);
        self.put("model_step/secant_loss", &[members], numbers_of::<T>(secant_loss));
        for (m, step) in steps.into_iter().enumerate() {
            self.put_vector(&format!("model_step/gradient/{m}"), model.shape(), &step.gradient);
            let name = format!("model_step/gradient/{m}/log_sigma");
            self.put(&name, &[labels], step.log_sigma_gradient);
        }
    }
}
