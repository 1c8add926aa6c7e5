//! The twin critic (eq. 12): two networks Q(s, a), their slowly moving targets, and one update of all of them together
//! with the temperature, which shares its minibatch (SPEC section 3).

use rayon::prelude::*;

use super::minibatch::CriticWorkspace;
use crate::config::{CriticConfig, TrainingConfig};
use crate::data::Replay;
use crate::nn::cpu::vector;
use crate::nn::{Activation, Adam, Mlp, Real, Shape};
use crate::policy::gaussian::Policy;
use crate::policy::temperature::Temperature;
use crate::rng::Rng;

/// One Q network, its target and its optimiser.
#[derive(Clone, Debug)]
pub struct QNetwork<T> {
    /// Q: input (s, a), output one value.
    pub network: Mlp<T>,
    /// Q̄, following Q at the Polyak rate.
    pub target: Mlp<T>,
    /// Moments of Q's parameters.
    pub adam: Adam<T>,
}

/// Both Q networks.
#[derive(Clone, Debug)]
pub struct TwinCritic<T> {
    /// Q₁ and Q₂.
    pub twins: [QNetwork<T>; 2],
    gradient_clip: f64,
    target_rate: f64,
    /// γ.
    pub(crate) discount: f64,
}

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CriticReport {
    /// MSE₁ + MSE₂.
    pub loss: f64,
    /// Mean of min(Q₁, Q₂)(s, a).
    pub value: f64,
    /// −mean log π(a|s) of fresh actions at the minibatch's states.
    pub entropy: f64,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

impl<T: Real> TwinCritic<T> {
    /// Two Xavier-uniform networks; the targets start as copies.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        config: &CriticConfig,
        training: &TrainingConfig,
        rng: &mut Rng,
    ) -> Self {
        let sizes = [observation_dim + action_dim, config.hidden, config.hidden, 1];
        let shape = Shape::new(&sizes, Activation::Relu);
        let twins = [0, 1].map(|_| {
            let network = Mlp::xavier(shape.clone(), rng);
            let adam = Adam::new(shape.parameter_len(), config.learning_rate);
            QNetwork { target: network.clone(), network, adam }
        });
        Self {
            twins,
            gradient_clip: config.gradient_clip,
            target_rate: config.target_rate,
            discount: training.discount,
        }
    }

    /// The same settings around other networks.
    pub fn with_twins<U>(&self, twins: [QNetwork<U>; 2]) -> TwinCritic<U> {
        let Self { twins: _, gradient_clip, target_rate, discount } = self;
        let (gradient_clip, target_rate, discount) = (*gradient_clip, *target_rate, *discount);
        TwinCritic { twins, gradient_clip, target_rate, discount }
    }

    /// Shape of both networks.
    pub fn shape(&self) -> &Shape {
        self.twins[0].network.shape()
    }

    /// One update on a minibatch whose row i is the row of a buffer that `draw(i, rng)` tells; i is of use for the kind of buffer
    /// alone, since rows have streams of their own, grown from words of `rng`.
    pub fn update<'a>(
        &mut self,
        workspace: &mut CriticWorkspace<T>,
        policy: &Policy<T>,
        temperature: &mut Temperature,
        rng: &mut Rng,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
    ) -> CriticReport {
        workspace.draw(policy, rng, draw);
        workspace.make_goal(self, T::from_f64(temperature.alpha()));
        let CriticWorkspace { parts, values, gradients, batch, .. } = workspace;
        let (parts, batch) = (&*parts, *batch);
        let (clip, rate) = (self.gradient_clip, T::from_f64(self.target_rate));
        // At two threads each takes a network for good; more of them share its rows, then its weights.
        let twins = self.twins.par_iter_mut().zip(values.par_iter_mut().zip(gradients));
        let finite_gradient = twins.map(|(twin, (tapes, gradient))| {
            tapes.par_iter_mut().zip(parts).for_each(|(tape, part)| {
                part.descend(&twin.network, tape, batch);
            });
            twin.network.gradient(tapes.iter(), gradient);
            twin.network
                .update(|parameters, _| twin.adam.update_clipped(parameters, gradient, clip));
            twin.target.update_forward_only(|target| {
                vector::blend(target, twin.network.parameters(), rate)
            });
            vector::all_finite(gradient)
        });
        let finite_gradient = finite_gradient.reduce(|| true, |one, other| one && other);
        let report = CriticReport { finite_gradient, ..workspace.report() };
        temperature.update(-report.entropy);
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Algorithm, Config};
    use crate::data::Transition;

    #[test]
    fn a_gradient_beyond_all_numbers_is_seen_though_its_loss_is_finite() {
        let Config { critic: settings, training, temperature, .. } =
            Config::preset(Algorithm::Ddppo, "PointMass").unwrap();
        let mut rng = Rng::new(0, "critic");
        let policy = Policy::<f32>::new(2, &[-1.0], &[1.0], 8, 3e-4, &mut rng);
        let mut critic = TwinCritic::<f32>::new(2, 1, &settings, &training, &mut rng);
        for twin in &mut critic.twins {
            // Hidden values of about 1e10 and an output of 0: the error is the goal, and times a hidden value it overflows.
            twin.network.update(|parameters, shape| {
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
            let report = critic.update(&mut workspace, &policy, &mut temperature, &mut rng, draw);
            assert!(report.loss.is_finite(), "{report:?}");
            assert_eq!(report.finite_gradient, finite, "{report:?}");
        }
    }
}
