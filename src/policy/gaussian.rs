//! The policy: a tanh-squashed Gaussian, a = scale·tanh(u) + bias with u = μ(s) + σ(s)·η (docs/algorithm.md, "The policy").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Standardiser;
use crate::machine::isa::dispatched;
use crate::nn::{Activation, Adam, Keep, Mlp, Real, Shape, Tape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// Bounds of log σ.
pub const LOG_SIGMA_RANGE: (f64, f64) = (-20.0, 2.0);
/// Keeps the logarithm of the tanh correction finite.
const SQUASH_EPSILON: f64 = 1e-6;
/// Least σ of [`Head::Softplus`].
const LEAST_SIGMA: f64 = 1e-5;
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// Policy network, its optimiser and the action range.
#[derive(Clone, Debug)]
pub struct Policy<T> {
    /// Input s, output (μ, log σ) before the clamp, `2·action_dim`.
    pub network: Mlp<T>,
    /// Moments of the network's parameters.
    pub adam: Adam<T>,
    /// Half the action range, `[action_dim]`.
    pub scale: Vec<T>,
    /// Middle of the action range, `[action_dim]`.
    pub bias: Vec<T>,
    /// Added to log π: 0 in environment units, Σ ln scale where it is the density of actions scaled to [−1, 1].
    pub log_prob_offset: T,
    /// Entries of a gradient are clipped to ± this.
    pub gradient_clip: f64,
    /// What the network's output says.
    pub head: Head,
    /// How the policy departs from its deterministic action while it gathers experience.
    pub exploration: Exploration,
    /// What observations are standardised by before the network sees them; `None`: not at all. Only [`super::Actor`] meets raw
    /// observations: whoever fills a tape standardises first.
    pub input: Option<Standardiser<T>>,
}

/// What a policy network's output says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// (μ, log σ), `2·action_dim`: u = μ + σ·η, a = scale·tanh(u) + bias.
    Gaussian,
    /// (μ, z), `2·action_dim`: [`Head::Gaussian`] with σ = softplus(z) + 1e-5.
    Softplus,
    /// z, `[action_dim]`: a = scale·tanh(z) + bias. There is no noise in a, and its log density counts as 0.
    Deterministic,
}

/// How a policy explores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exploration {
    /// By its own noise.
    Sampled,
    /// By a normal deviation added to tanh(z), the sum clamped to ±1.
    Added(f64),
    /// Each coordinate, with this chance, is tanh(z + η) in place of tanh(z).
    Occasional(f64),
}

/// Policy network and update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyConfig {
    /// Units of each of the two hidden layers (256).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (5; SAC and MBPO: `inf`, not at all).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Take log π of actions scaled to [−1, 1], as MBPO does, instead of in environment units.
    #[serde(default)]
    pub normalised_density: bool,
}

/// Sampled actions of up to `rows` states, and what their way back needs. Allocated once.
#[derive(Clone, Debug)]
pub struct PolicyTape<T> {
    /// States go into `network.input`, `[rows, observation_dim]`.
    pub network: Tape<T>,
    /// η, `[rows, action_dim]`: filled by the caller.
    pub noise: Vec<T>,
    /// a, `[rows, action_dim]`.
    pub actions: Vec<T>,
    /// log π(a|s) in environment units, or as [`Policy::normalise_density`] says, `[rows]`.
    pub log_probs: Vec<T>,
    /// σ, `[rows, action_dim]`.
    pub(super) sigma: Vec<T>,
    /// tanh(u), `[rows, action_dim]`.
    pub(super) squashed: Vec<T>,
    /// 1 − tanh²(u), `[rows, action_dim]`.
    pub(super) slopes: Vec<T>,
    /// Each action's part of log π, `[rows, action_dim]`.
    densities: Vec<T>,
    /// The policy's `scale`, once a row.
    scales: Vec<T>,
}

dispatched! {
    /// What [`Policy::sample`] does with each number: from η, μ (in `squashed`) and the clamped log σ (in `sigma`) to
    /// tanh(u), its slope, σ and the density's logarithm. One loop over all rows, so that it is vectorised whatever the number of
    /// actions is.
    fn squash<T, I>(
        scales: &[T],
        noise: &[T],
        sigma: &mut [T],
        squashed: &mut [T],
        slopes: &mut [T],
        densities: &mut [T],
    ) {
        let half = T::from_f64(0.5);
        let (constant, epsilon) = (T::from_f64(HALF_LOG_TAU), T::from_f64(SQUASH_EPSILON));
        let given = scales.iter().zip(noise);
        let results = sigma.iter_mut().zip(squashed).zip(slopes).zip(densities);
        for ((&scale, &eta), (((sigma, t), slope), density)) in given.zip(results) {
            let log_sigma = *sigma;
            *sigma = log_sigma.exp();
            (*t, *slope) = (*t + *sigma * eta).tanh_with_slope();
            let scaled = scale * *slope;
            *density = -(half * eta * eta + log_sigma + constant + (scaled + epsilon).ln());
        }
    }
}

/// σ of [`Head::Softplus`]: ln(1 + e^z) + 1e-5, of which neither term overflows.
#[inline]
fn softplus_sigma<T: Real>(z: T) -> T {
    z.max(T::ZERO) + (-z.max(-z)).exp().ln_1p() + T::from_f64(LEAST_SIGMA)
}

impl<T: Real> PolicyTape<T> {
    /// Buffers for up to `rows` states.
    pub fn new(policy: &Policy<T>, rows: usize, keep: Keep) -> Self {
        let numbers = rows * policy.action_dim();
        Self {
            network: Tape::new(policy.network.shape(), rows, keep),
            noise: vec![T::ZERO; numbers],
            actions: vec![T::ZERO; numbers],
            log_probs: vec![T::ZERO; rows],
            sigma: vec![T::ZERO; numbers],
            squashed: vec![T::ZERO; numbers],
            slopes: vec![T::ZERO; numbers],
            densities: vec![T::ZERO; numbers],
            scales: (0..rows).flat_map(|_| policy.scale.iter().copied()).collect(),
        }
    }
}

impl<T> PolicyTape<T> {
    /// tanh(u), the actions scaled to [−1, 1], `[rows, action_dim]`, after [`Policy::sample`].
    pub fn normalised_actions(&self) -> &[T] {
        &self.squashed
    }
}

impl<T: Real> Policy<T> {
    /// A policy for actions between `low` and `high`, Xavier-uniform, biases 0.
    pub fn new(
        observation_dim: usize,
        (low, high): (&[f64], &[f64]),
        config: &PolicyConfig,
        rng: &mut Rng,
    ) -> Self {
        let &PolicyConfig { hidden, learning_rate, gradient_clip, normalised_density } = config;
        let shape = Shape::new(&[observation_dim, hidden, hidden, 2 * low.len()], Activation::Relu);
        let (network, head) = (Mlp::xavier(shape, rng), Head::Gaussian);
        let mut policy =
            Self::from_network(network, (low, high), head, learning_rate, gradient_clip);
        if normalised_density {
            policy.normalise_density();
        }
        policy
    }

    /// A policy for actions between `low` and `high` around a network with the outputs of its head; it explores by its own noise
    /// until it is told otherwise.
    pub fn from_network(
        network: Mlp<T>,
        (low, high): (&[f64], &[f64]),
        head: Head,
        learning_rate: f64,
        gradient_clip: f64,
    ) -> Self {
        let outputs = if head == Head::Deterministic { low.len() } else { 2 * low.len() };
        assert_eq!(network.shape().outputs(), outputs, "outputs of a policy network");
        let ranges = || low.iter().zip(high);
        Self {
            adam: Adam::new(network.shape().parameter_len(), learning_rate),
            network,
            scale: ranges().map(|(l, h)| T::from_f64((h - l) / 2.0)).collect(),
            bias: ranges().map(|(l, h)| T::from_f64((h + l) / 2.0)).collect(),
            log_prob_offset: T::ZERO,
            gradient_clip,
            head,
            exploration: Exploration::Sampled,
            input: None,
        }
    }

    /// One Adam step down a gradient laid out like the parameters, its entries clipped.
    pub fn update(&mut self, gradient: &[T]) {
        let Self { network, adam, gradient_clip, .. } = self;
        network.update(|parameters, _| adam.update_clipped(parameters, gradient, *gradient_clip));
    }

    /// Takes log π of actions scaled to [−1, 1], as MBPO does, instead of in environment units.
    pub fn normalise_density(&mut self) {
        self.log_prob_offset = self.scale.iter().map(|scale| scale.ln()).sum();
    }

    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.network.shape().inputs()
    }

    /// |A|.
    pub fn action_dim(&self) -> usize {
        self.scale.len()
    }

    /// Samples actions and their log-probabilities for the first `rows` states of the tape, from its noise; of a deterministic
    /// policy, its actions, with 0 for the log-probabilities.
    pub fn sample(&self, tape: &mut PolicyTape<T>, rows: usize) {
        if self.head == Head::Deterministic {
            self.act_deterministically(tape, rows);
            tape.log_probs[..rows].fill(T::ZERO);
            return;
        }
        self.network.forward(&mut tape.network, 0..rows);
        let a = self.action_dim();
        let (low, high) = (T::from_f64(LOG_SIGMA_RANGE.0), T::from_f64(LOG_SIGMA_RANGE.1));
        let PolicyTape {
            network,
            noise,
            actions,
            log_probs,
            sigma,
            squashed,
            slopes,
            densities,
            scales,
        } = tape;
        for (i, (mean, log_sigma)) in
            squashed.chunks_exact_mut(a).zip(sigma.chunks_exact_mut(a)).enumerate().take(rows)
        {
            let (output, raw) = network.output.row(i).split_at(a);
            mean.copy_from_slice(output);
            match self.head {
                Head::Softplus => {
                    log_sigma.iter_mut().zip(raw).for_each(|(l, &r)| *l = softplus_sigma(r).ln());
                }
                _ => log_sigma.iter_mut().zip(raw).for_each(|(l, r)| *l = r.max(low).min(high)),
            }
        }
        let n = rows * a;
        let results = (&mut sigma[..n], &mut squashed[..n], &mut slopes[..n], &mut densities[..n]);
        squash(&scales[..n], &noise[..n], results.0, results.1, results.2, results.3);
        let range = self.scale.iter().zip(&self.bias);
        for (actions, squashed) in
            actions.chunks_exact_mut(a).zip(squashed.chunks_exact(a)).take(rows)
        {
            for ((action, &t), (&scale, &bias)) in
                actions.iter_mut().zip(squashed).zip(range.clone())
            {
                *action = scale * t + bias;
            }
        }
        for (log_prob, densities) in log_probs.iter_mut().zip(densities.chunks_exact(a)).take(rows)
        {
            *log_prob = self.log_prob_offset + densities.iter().copied().sum();
        }
    }

    /// The way back of [`Policy::sample`]: `action_adjoint` `[rows, action_dim]` and `log_prob_adjoint` `[rows]` are the
    /// derivatives of a loss by a and log π. Adds to `gradient` where it is given (else [`Mlp::gradient`] can make it, where the
    /// tape keeps adjoints); writes `tape.network.input_adjoint` where `to_input`.
    pub fn backward(
        &self,
        tape: &mut PolicyTape<T>,
        rows: usize,
        action_adjoint: &[T],
        log_prob_adjoint: &[T],
        gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        self.output_adjoints(tape, rows, action_adjoint, log_prob_adjoint);
        self.network.backward(&mut tape.network, 0..rows, gradient, to_input);
    }

    /// The first half of [`Policy::backward`]: to the derivatives by the network's output, `tape.network.output_adjoint`.
    pub fn output_adjoints(
        &self,
        tape: &mut PolicyTape<T>,
        rows: usize,
        action_adjoint: &[T],
        log_prob_adjoint: &[T],
    ) {
        let a = self.action_dim();
        let (low, high) = (T::from_f64(LOG_SIGMA_RANGE.0), T::from_f64(LOG_SIGMA_RANGE.1));
        let two = T::from_f64(2.0);
        for (i, &weight) in log_prob_adjoint.iter().enumerate().take(rows) {
            let raw = &tape.network.output.row(i)[a..];
            let adjoint = tape.network.output_adjoint.row_mut(i);
            if self.head == Head::Deterministic {
                for (d, z) in adjoint.iter_mut().enumerate() {
                    *z = action_adjoint[i * a + d] * self.scale[d] * tape.slopes[i * a + d];
                }
                continue;
            }
            for d in 0..a {
                let at = i * a + d;
                let t = tape.squashed[at];
                let slope = self.scale[d] * tape.slopes[at];
                // ∂a/∂u = slope; ∂(−ln(slope + ε))/∂u = 2·t·slope/(slope + ε).
                let by_u = action_adjoint[at] * slope
                    + weight * two * t * slope / (slope + T::from_f64(SQUASH_EPSILON));
                adjoint[d] = by_u;
                // log σ moves u by σ·η and log π by −1; the clamp cuts it off.
                let inside = raw[d] >= low && raw[d] <= high;
                let by_log_sigma = by_u * tape.sigma[at] * tape.noise[at] - weight;
                if self.head == Head::Softplus {
                    // softplus' is the logistic function.
                    let slope = T::ONE / (T::ONE + (-raw[d]).exp());
                    adjoint[a + d] = by_log_sigma * slope / softplus_sigma(raw[d]);
                    continue;
                }
                adjoint[a + d] = if inside { by_log_sigma } else { T::ZERO };
            }
        }
    }

    /// The deterministic action scale·tanh(μ) + bias for the first `rows` states, into `tape.actions`.
    pub fn act_deterministically(&self, tape: &mut PolicyTape<T>, rows: usize) {
        self.network.forward(&mut tape.network, 0..rows);
        let a = self.action_dim();
        for i in 0..rows {
            for d in 0..a {
                let (t, slope) = tape.network.output.row(i)[d].tanh_with_slope();
                tape.squashed[i * a + d] = t;
                tape.slopes[i * a + d] = slope;
                tape.actions[i * a + d] = self.scale[d] * t + self.bias[d];
            }
        }
    }
}

impl Policy<f32> {
    /// Saves or restores what is learned, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            network,
            adam,
            scale: _,
            bias: _,
            log_prob_offset: _,
            gradient_clip: _,
            head: _,
            exploration: _,
            input,
        } = self;
        network.visit(name, entries)?;
        adam.visit(name, network.shape(), entries)?;
        match input {
            Some(standardiser) => standardiser.visit(name, entries),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "gaussian_tests.rs"]
mod tests;
