//! DDPPO: one policy update (eq. 11) and one step of the gradient model's loss (eq. 9 and 10).

use super::file::{Probe, numbers_of};
use crate::critic::Critic;
use crate::data::Replay;
use crate::lab::analysis::Unsuitable;
use crate::lab::precision;
use crate::methods::Method;
use crate::methods::ddppo::{Ddppo, DdppoConfig};
use crate::model::gradient_part::GradientPart;
use crate::model::likelihood_loss::LikelihoodPart;
use crate::model::{
    DynamicsModel, Ending, Estimator, GradientLoss, InputCoordinates, Neighbours, OutputWeights,
};
use crate::nn::Real;
use crate::path::{GradientSource, Imagination, Objective, PathPart, PolicyWorkspace};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::run::snapshot::Element;

/// Writes them out. `T` is the float type they are computed in.
///
/// # Errors
/// When the models have not been trained yet, or a setting makes other updates than those of `docs/probe.md`.
pub(super) fn written<T: Real + Element>(ddppo: &Ddppo, seed: u64) -> Result<Probe, Unsuitable> {
    let of = ddppo.objective().ok_or(Unsuitable::NotTrained)?;
    let imagined = of.imagination.ok_or(Unsuitable::NotTrained)?;
    let policy: Policy<T> = precision::policy(of.policy);
    let critic: Critic<T> = precision::critic(of.critic);
    let prediction_model: DynamicsModel<T> = precision::model(imagined.prediction_model);
    let gradient_model: DynamicsModel<T> = precision::model(imagined.gradient_model);
    let head = match imagined.ending {
        Ending::Given(_) => None,
        Ending::Learned(head) => Some(precision::termination(head)),
    };
    let ending = match (imagined.ending, &head) {
        (Ending::Learned(_), Some(head)) => Ending::Learned(head),
        (Ending::Given(task), _) => Ending::Given(task),
        (Ending::Learned(_), None) => unreachable!("a learned end has a head"),
    };
    let imagination = Imagination {
        horizon: imagined.horizon,
        prediction_model: &prediction_model,
        gradient_model: &gradient_model,
        gradient_source: imagined.gradient_source,
        derivative_members: imagined.derivative_members,
        ending,
    };
    let objective = Objective {
        policy: &policy,
        imagination: Some(imagination),
        critic: &critic,
        alpha: of.alpha,
        discount: of.discount,
    };
    let config = ddppo.config();
    not_of_paper(config).map_or(Ok(()), |key| Err(Unsuitable::NotOfPaper(key)))?;
    let mut probe = Probe::default();
    probe.put_header(&objective, config);
    probe.put_networks(&objective, &imagination);
    let mut rng = Rng::new(seed, "probe");
    probe.put_policy_update(&objective, config, &ddppo.real, &mut rng);
    probe.put_gradient_step(&gradient_model, config, &ddppo.real, &mut rng);
    Ok(probe)
}

/// The first setting by which updates are others than those of `docs/probe.md`.
fn not_of_paper(config: &DdppoConfig) -> Option<&'static str> {
    let DdppoConfig { gradient_loss: loss, policy, .. } = config;
    let settings = [
        (loss.estimator != Estimator::Directional, "gradient_loss.estimator"),
        (loss.coordinates != InputCoordinates::Raw, "gradient_loss.coordinates"),
        (loss.output_weights != OutputWeights::Equal, "gradient_loss.output_weights"),
        (loss.unit_directions, "gradient_loss.unit_directions"),
        (policy.derivative_members != 1, "policy.derivative_members"),
    ];
    settings.into_iter().find(|(other, _)| *other).map(|(_, key)| key)
}

impl Probe {
    fn put_header<T: Real>(&mut self, objective: &Objective<'_, T>, config: &DdppoConfig) {
        let source = match config.policy.path.gradient_source {
            GradientSource::GradientModel => "gradient_model",
            GradientSource::PredictionModel => "prediction_model",
            GradientSource::SampledStep => "sampled_step",
        };
        self.say("discount", objective.discount);
        self.say("alpha", objective.alpha);
        self.say("log_prob_offset", objective.policy.log_prob_offset.to_f64());
        self.say("horizon", config.policy.path.horizon);
        self.say("gradient_source", source);
        self.say("min_log_variance", config.model.ensemble.min_log_variance);
        self.say("max_log_variance", config.model.ensemble.max_log_variance);
        self.say("gradient_loss_weight", config.gradient_loss.weight);
        self.say("weight_decay", format!("{:?}", config.model.ensemble.weight_decay));
    }

    fn put_networks<T: Real + Element>(
        &mut self,
        objective: &Objective<'_, T>,
        imagination: &Imagination<'_, T>,
    ) {
        let policy = objective.policy;
        self.put_vector("policy", policy.network.shape(), policy.network.parameters());
        self.put("action_scale", &[policy.action_dim()], policy.scale.clone());
        self.put("action_bias", &[policy.action_dim()], policy.bias.clone());
        for (q, own) in objective.critic.networks.iter().enumerate() {
            self.put_vector(
                &format!("critic{}", q + 1),
                own.network.shape(),
                own.network.parameters(),
            );
        }
        let models = [
            ("prediction_model", imagination.prediction_model),
            ("gradient_model", imagination.gradient_model),
        ];
        for (name, model) in models {
            for (m, member) in model.members.iter().enumerate() {
                self.put_vector(&format!("{name}/{m}"), model.shape(), member.network.parameters());
            }
            let inputs = model.shape().inputs();
            self.put(&format!("{name}/input_mean"), &[inputs], model.standardiser.mean.clone());
            self.put(&format!("{name}/input_std"), &[inputs], model.standardiser.deviation.clone());
        }
    }

    fn put_policy_update<T: Real + Element>(
        &mut self,
        objective: &Objective<'_, T>,
        config: &DdppoConfig,
        real: &Replay,
        rng: &mut Rng,
    ) {
        let (b, k) = (config.training.experience.batch_size, config.policy.path.horizon);
        let (s, a) = (objective.policy.observation_dim(), objective.policy.action_dim());
        let mut workspace = PolicyWorkspace::new(objective, b);
        let start = |_, rng: &mut Rng| real.get(rng.below(real.len())).observation;
        workspace.draw(objective, start, rng);
        workspace.differentiate(objective);
        let parts: Vec<&PathPart<T>> = workspace.parts().collect();
        let parts = &parts[..];
        let put = &mut *self;
        let start_states = states(parts, 0);
        put.put("policy_update/start_states", &[b, s], start_states);
        let by_step =
            |steps: std::ops::Range<usize>, of: &dyn Fn(&PathPart<T>, usize) -> Vec<T>| -> Vec<T> {
                steps.flat_map(|j| parts.iter().flat_map(move |p| of(p, j))).collect()
            };
        put.put(
            "policy_update/action_noise",
            &[k + 1, b, a],
            by_step(0..k + 1, &|p, j| p.points[j].noise.clone()),
        );
        put.put(
            "policy_update/model_noise",
            &[k, b, 1 + s],
            by_step(0..k, &|p, j| p.model_noise[j].clone()),
        );
        put.put("policy_update/alive", &[k + 1, b], by_step(0..k + 1, &|p, j| p.alive[j].clone()));
        put.put(
            "policy_update/actions",
            &[k + 1, b, a],
            by_step(0..k + 1, &|p, j| p.points[j].actions.clone()),
        );
        put.put(
            "policy_update/log_probs",
            &[k + 1, b],
            by_step(0..k + 1, &|p, j| p.points[j].log_probs.clone()),
        );
        put.put(
            "policy_update/states",
            &[k + 1, b, s],
            (0..=k).flat_map(|j| states(parts, j)).collect::<Vec<T>>(),
        );
        let unscale = |p: &PathPart<T>, j: usize| {
            let factor = T::from_f64(b as f64 / objective.discount.powi(j as i32));
            p.adjoints[j].iter().map(|&x| x * factor).collect()
        };
        put.put("policy_update/adjoints", &[k + 1, b, s], by_step(0..k + 1, &unscale));
        let elites = |of: &dyn Fn(&PathPart<T>, usize) -> Vec<u32>| -> Vec<u32> {
            (0..k).flat_map(|j| parts.iter().flat_map(move |p| of(p, j))).collect()
        };
        let prediction = elites(&|p, j| p.prediction_elites[j].clone());
        let derivatives = match config.policy.path.gradient_source {
            GradientSource::GradientModel => elites(&|p, j| p.gradient_elites[j].clone()),
            GradientSource::PredictionModel | GradientSource::SampledStep => prediction.clone(),
        };
        put.put("policy_update/prediction_elites", &[k, b], prediction);
        put.put("policy_update/gradient_elites", &[k, b], derivatives);
        put.put_vector(
            "policy_update/gradient",
            objective.policy.network.shape(),
            workspace.gradient(),
        );
    }

    fn put_gradient_step<T: Real + Element>(
        &mut self,
        model: &DynamicsModel<T>,
        config: &DdppoConfig,
        real: &Replay,
        rng: &mut Rng,
    ) {
        let loss = &config.gradient_loss;
        let (m, inputs, labels) =
            (loss.directions_per_row, model.shape().inputs(), model.label_dim());
        let mut neighbours = Neighbours::new(loss.neighbours, loss.window, inputs);
        neighbours.update(real);
        let batch = config.training.experience.batch_size.min(real.len());
        let mut step = GradientStep::default();
        let mut likelihood = LikelihoodPart::new(model, batch);
        let mut part = GradientPart::new(model, batch, m, loss.neighbours);
        let (mut nll, mut squares) = (Vec::new(), 0.0);
        let window = neighbours.sequences();
        let numbers = model.members.len() * batch * m * labels;
        for (index, member) in model.members.iter().enumerate() {
            let rows: Vec<u32> = (0..batch).map(|_| rng.below(real.len()) as u32).collect();
            let mut gradient = vec![T::ZERO; model.shape().parameter_len()];
            nll.push(T::from_f64(likelihood.add(
                model,
                &member.network,
                real,
                &rows,
                batch,
                &mut gradient,
            )));
            self.put_vector(
                &format!("gradient_step/nll_gradient/{index}"),
                model.shape(),
                &gradient,
            );
            rows.iter().for_each(|&row| step.likelihood_row(real, row as usize));

            let span = (window.end - window.start) as usize;
            let sequences: Vec<u64> =
                (0..batch).map(|_| window.start + rng.below(span) as u64).collect();
            gradient.fill(T::ZERO);
            for rows in sequences.chunks(part.chunk()) {
                let scale = 1.0 / numbers as f64;
                let buffers = (real, GradientLoss::of_paper(&neighbours, loss.weight, m));
                squares +=
                    part.add(model, &member.network, buffers, rows, scale, rng, &mut gradient);
                for (&own, drawn) in rows.iter().zip(part.drawn().chunks_exact(m)) {
                    step.window_row(real, real.row_of(own), drawn.iter().map(|&d| real.row_of(d)));
                }
            }
            self.put_vector(&format!("gradient_step/r_gradient/{index}"), model.shape(), &gradient);
        }
        let members = model.members.len();
        self.put("gradient_step/nll", &[members], nll);
        self.put("gradient_step/r", &[1], vec![T::from_f64(squares / numbers as f64)]);
        let GradientStep { inputs: x, targets, window_inputs, directions, differences } = step;
        self.put("gradient_step/inputs", &[members, batch, inputs], numbers_of::<T>(x));
        self.put("gradient_step/targets", &[members, batch, labels], numbers_of::<T>(targets));
        self.put(
            "gradient_step/window_inputs",
            &[members, batch, inputs],
            numbers_of::<T>(window_inputs),
        );
        self.put(
            "gradient_step/directions",
            &[members, batch, m, inputs],
            numbers_of::<T>(directions),
        );
        self.put(
            "gradient_step/differences",
            &[members, batch, m, labels],
            numbers_of::<T>(differences),
        );
    }
}

/// s_j of all rows.
fn states<T: Real>(parts: &[&PathPart<T>], j: usize) -> Vec<T> {
    let rows = |p: &PathPart<T>| -> Vec<T> {
        (0..p.rows).flat_map(|i| p.points[j].network.input.row(i).to_vec()).collect()
    };
    parts.iter().copied().flat_map(rows).collect()
}

/// The data of a gradient-loss step, taken from the replay buffer and computed in `f64`.
#[derive(Default)]
struct GradientStep {
    inputs: Vec<f64>,
    targets: Vec<f64>,
    window_inputs: Vec<f64>,
    directions: Vec<f64>,
    differences: Vec<f64>,
}

impl GradientStep {
    /// x = (s, a).
    fn input(real: &Replay, row: usize) -> impl Iterator<Item = f64> {
        let t = real.get(row);
        t.observation.iter().chain(t.action).map(|&x| f64::from(x))
    }

    /// y = (r, s').
    fn target(real: &Replay, row: usize) -> impl Iterator<Item = f64> {
        let t = real.get(row);
        std::iter::once(t.reward).chain(t.next_observation.iter().copied()).map(f64::from)
    }

    fn likelihood_row(&mut self, real: &Replay, row: usize) {
        self.inputs.extend(Self::input(real, row));
        let state = real.get(row).observation.iter().map(|&s| f64::from(s));
        let before = std::iter::once(0.0).chain(state);
        self.targets.extend(Self::target(real, row).zip(before).map(|(y, s)| y - s));
    }

    fn window_row(&mut self, real: &Replay, own: usize, others: impl Iterator<Item = usize>) {
        self.window_inputs.extend(Self::input(real, own));
        for other in others {
            self.directions
                .extend(Self::input(real, other).zip(Self::input(real, own)).map(|(x, y)| x - y));
            self.differences
                .extend(Self::target(real, other).zip(Self::target(real, own)).map(|(x, y)| x - y));
        }
    }
}
