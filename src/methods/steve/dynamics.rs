//! The model: ensembles that predict s' − s, r, and whether the episode ends in s'; and their update.

use super::config::WorldConfig;
use super::minibatch::{Minibatch, join};
use crate::model::bernoulli::cross_entropy;
use crate::model::{Credits, Ensemble, EnsembleReport, TerminationSource};
use crate::nn::{Activation, Mlp, Real, Shape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// The three ensembles.
#[derive(Clone, Debug)]
pub struct SteveDynamics<T> {
    /// f: (s, t) → s' − s.
    pub transition: Ensemble<T>,
    /// R: (s', s, t) → r.
    pub reward: Ensemble<T>,
    /// g: (s', s, t) → logit of an end in s'; member e goes with f_e. `None` where the task says when episodes end.
    pub termination: Option<Ensemble<T>>,
}

/// Draws and buffers of an update of the model, allocated once.
#[derive(Debug)]
pub struct SteveDynamicsWorkspace<T> {
    /// Real transitions, to be drawn.
    pub batch: Minibatch<T>,
    /// Which member of f, R and g each row is credited to.
    pub members: [Vec<u32>; 3],
    /// Passes of f and of R.
    pub credits: [Credits<T>; 2],
    /// Passes of g, where there is one.
    pub end_credits: Option<Credits<T>>,
}

/// What an update of the model saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldReport {
    /// Of ½‖s + f − s'‖².
    pub transition: EnsembleReport,
    /// Of ½(R − r)².
    pub reward: EnsembleReport,
    /// Of the cross-entropy of g.
    pub termination: Option<EnsembleReport>,
}

/// A network of an ensemble of `members`, ReLU, biases 0. STEVE's authors draw all members as one array, whose first axis counts
/// into the fans, so that their weights are smaller than Xavier's by √members and their first predictions near 0.
pub fn network<T: Real>(
    (inputs, hidden, layers, outputs): (usize, usize, usize, usize),
    members: usize,
    rng: &mut Rng,
) -> Mlp<T> {
    let mut sizes = vec![inputs];
    sizes.extend(std::iter::repeat_n(hidden, layers));
    sizes.push(outputs);
    Mlp::new(Shape::new(&sizes, Activation::Relu), |l| {
        let bound = (6.0 / (members * (l.inputs + l.outputs)) as f64).sqrt();
        rng.uniform_in(-bound, bound)
    })
}

impl<T: Real> SteveDynamics<T> {
    /// Freshly drawn networks.
    pub fn new((s, a): (usize, usize), config: &WorldConfig, rng: &mut Rng) -> Self {
        let &WorldConfig { members, learning_rate, decay, .. } = config;
        let mut ensemble = |size| {
            let networks = (0..members).map(|_| network(size, members, rng));
            Ensemble::from_networks(networks, learning_rate, decay)
        };
        let head = (2 * s + a, config.head_hidden, config.head_layers, 1);
        Self {
            transition: ensemble((s + a, config.hidden, config.layers, s)),
            reward: ensemble(head),
            termination: (config.termination == TerminationSource::Learned).then(|| ensemble(head)),
        }
    }

    /// One Adam step of every network, on the rows credited to it.
    pub fn update(&mut self, workspace: &mut SteveDynamicsWorkspace<T>) -> WorldReport {
        let SteveDynamicsWorkspace { batch, members, credits, end_credits } = workspace;
        let (batch, [of_f, of_r, of_g], [f_credits, r_credits]) = (&*batch, members, credits);
        let Self { transition, reward, termination } = self;
        let share = T::from_f64(1.0 / batch.rows() as f64);
        let half = 0.5;
        let load = |i: usize, input: &mut [T]| {
            join(input, &[batch.next_state(i), batch.state(i), batch.action(i)]);
        };
        let learn_transition = || {
            let load = |i: usize, input: &mut [T]| join(input, &[batch.state(i), batch.action(i)]);
            transition.update(f_credits, of_f, load, |i, output, adjoint| {
                let change = batch.next_state(i).iter().zip(batch.state(i)).map(|(&n, &s)| n - s);
                let mut loss = 0.0;
                for ((adjoint, &f), change) in adjoint.iter_mut().zip(output).zip(change) {
                    let error = f - change;
                    *adjoint = share * error;
                    loss += half * error.to_f64() * error.to_f64();
                }
                loss
            })
        };
        let learn_reward = || {
            reward.update(r_credits, of_r, load, |i, output, adjoint| {
                let error = output[0] - batch.rewards[i];
                adjoint[0] = share * error;
                half * error.to_f64() * error.to_f64()
            })
        };
        let learn_termination = || {
            let (ensemble, credits) = (termination.as_mut()?, end_credits.as_mut()?);
            Some(ensemble.update(credits, of_g, load, |i, output, adjoint| {
                let (loss, slope) = cross_entropy(output[0], batch.terminated[i]);
                adjoint[0] = share * slope;
                loss.to_f64()
            }))
        };
        let (transition, (reward, termination)) =
            rayon::join(learn_transition, || rayon::join(learn_reward, learn_termination));
        WorldReport { transition, reward, termination }
    }
}

impl SteveDynamics<f32> {
    /// Saves or restores everything that is learned.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { transition, reward, termination } = self;
        transition.visit("transition_model", entries)?;
        reward.visit("reward_model", entries)?;
        match termination {
            Some(termination) => termination.visit("termination_model", entries),
            None => Ok(()),
        }
    }
}

impl<T: Real> SteveDynamicsWorkspace<T> {
    /// Buffers for minibatches of `rows` rows.
    pub fn new(dynamics: &SteveDynamics<T>, sizes: (usize, usize), rows: usize) -> Self {
        let credits = |e: &Ensemble<T>| Credits::new(e.shape(), e.members.len(), rows);
        Self {
            batch: Minibatch::new(sizes, rows),
            members: [(); 3].map(|()| vec![0; rows]),
            credits: [&dynamics.transition, &dynamics.reward].map(credits),
            end_credits: dynamics.termination.as_ref().map(credits),
        }
    }

    /// Draws the members of f, R and g that each row is credited to.
    pub fn credit(&mut self, members: usize, rng: &mut Rng) {
        let kinds = if self.end_credits.is_some() { 3 } else { 2 };
        for i in 0..self.batch.rows() {
            for of in &mut self.members[..kinds] {
                of[i] = rng.below(members) as u32;
            }
        }
    }
}
