//! Plain ensembles: networks of one shape that learn the same thing, each from the rows of a minibatch that are credited to it.
//! What they predict, and what is wrong with it, the caller says row by row.

use rayon::prelude::*;

use super::dynamics::Member;
use super::grouping::Grouping;
use crate::nn::cpu::vector;
use crate::nn::{Adam, Keep, Mlp, Real, Shape, Tape};
use crate::run::{Entries, SnapshotError};

/// An ensemble.
#[derive(Clone, Debug)]
pub struct Ensemble<T> {
    /// All networks.
    pub members: Vec<Member<T>>,
    /// Weight λ of the penalty ½·λ‖weights and biases‖² of every member.
    pub decay: f64,
}

/// What one update saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnsembleReport {
    /// Mean loss over the minibatch, without the penalty.
    pub loss: f64,
    /// Whether every entry of the gradients was finite.
    pub finite_gradient: bool,
}

/// Which rows of a minibatch are credited to which network, and each network's passes over its own. Allocated once.
#[derive(Debug)]
pub struct Credits<T> {
    grouping: Grouping,
    /// Rows of the minibatch, those of network 0 first.
    order: Vec<usize>,
    passes: Vec<MemberPass<T>>,
}

/// A network's passes over the rows that are credited to it.
#[derive(Debug)]
pub struct MemberPass<T> {
    tape: Tape<T>,
    /// Its rows within [`Credits::order`].
    rows: std::ops::Range<usize>,
    /// Derivative of the losses' sum by its parameters.
    pub gradient: Vec<T>,
    /// Σ of its rows' losses.
    pub loss: f64,
}

impl<T: Real> Credits<T> {
    /// Buffers for minibatches of up to `rows` rows and `members` networks of this shape: all rows may fall to one of them.
    pub fn new(shape: &Shape, members: usize, rows: usize) -> Self {
        let pass = |_| MemberPass {
            tape: Tape::new(shape, rows, Keep::Values),
            rows: 0..0,
            gradient: vec![T::ZERO; shape.parameter_len()],
            loss: 0.0,
        };
        Self {
            grouping: Grouping::new(rows, members),
            order: vec![0; rows],
            passes: (0..members).map(pass).collect(),
        }
    }

    /// Credits row i of a minibatch to network `members[i]`.
    pub fn arrange(&mut self, members: &[u32]) {
        let Self { grouping, order, passes } = self;
        grouping.arrange(members);
        (0..members.len()).for_each(|i| order[grouping.place(i)] = i);
        passes.iter_mut().for_each(|pass| pass.rows = 0..0);
        grouping.ranges().for_each(|(m, rows)| passes[m].rows = rows);
    }

    /// Every network's passes, and the minibatch's rows in the order of their networks, for [`MemberPass::differentiate`].
    pub fn passes(&mut self) -> (&mut [MemberPass<T>], &[usize]) {
        (&mut self.passes, &self.order)
    }

    /// What the last passes came to, of a minibatch of `batch` rows: the networks' losses summed in order.
    pub fn report(&self, batch: usize) -> EnsembleReport {
        let passes = self.passes.iter();
        EnsembleReport {
            loss: passes.clone().map(|pass| pass.loss).sum::<f64>() / batch as f64,
            finite_gradient: passes.fold(true, |all, p| all & vector::all_finite(&p.gradient)),
        }
    }
}

impl<T: Real> MemberPass<T> {
    /// The gradient of the network's rows: `load(i, input)` writes the input of row i of the minibatch, `loss(i, output, adjoint)`
    /// the derivative of its loss, which it returns; `order` as [`Credits::passes`] gives it.
    pub fn differentiate(
        &mut self,
        network: &Mlp<T>,
        order: &[usize],
        load: impl Fn(usize, &mut [T]),
        loss: impl Fn(usize, &[T], &mut [T]) -> f64,
    ) {
        let Self { tape, rows, gradient, loss: sum } = self;
        gradient.fill(T::ZERO);
        *sum = 0.0;
        let own = &order[rows.clone()];
        if own.is_empty() {
            return;
        }
        for (place, &i) in own.iter().enumerate() {
            load(i, tape.input.row_mut(place));
        }
        network.forward(tape, 0..own.len());
        for (place, &i) in own.iter().enumerate() {
            *sum += loss(i, tape.output.row(place), tape.output_adjoint.row_mut(place));
        }
        network.backward(tape, 0..own.len(), Some(gradient), false);
    }
}

impl<T: Real> Ensemble<T> {
    /// An ensemble of networks that have been drawn, all of one shape.
    pub fn from_networks(
        networks: impl Iterator<Item = Mlp<T>>,
        learning_rate: f64,
        decay: f64,
    ) -> Self {
        let member = |network: Mlp<T>| {
            let adam = Adam::new(network.shape().parameter_len(), learning_rate);
            Member { network, adam }
        };
        Self { members: networks.map(member).collect(), decay }
    }

    /// Shape of all networks.
    pub fn shape(&self) -> &Shape {
        self.members[0].network.shape()
    }

    /// One Adam step of every member, those without a row too: the penalty moves them. `load` and `loss` as in
    /// [`MemberPass::differentiate`]; the losses' derivatives are already divided by the rows of the minibatch, of which there are
    /// as many as entries of `members`.
    pub fn update(
        &mut self,
        credits: &mut Credits<T>,
        members: &[u32],
        load: impl Fn(usize, &mut [T]) + Sync,
        loss: impl Fn(usize, &[T], &mut [T]) -> f64 + Sync,
    ) -> EnsembleReport {
        credits.arrange(members);
        let decay = self.decay;
        let (passes, order) = credits.passes();
        self.members.par_iter_mut().zip(passes).for_each(|(member, pass)| {
            let Member { network, adam } = member;
            pass.differentiate(network, order, &load, &loss);
            network.update(|parameters, _| {
                let all = 0..parameters.len();
                adam.begin().apply(parameters, &pass.gradient, all, decay);
            });
        });
        credits.report(members.len())
    }
}

impl Ensemble<f32> {
    /// Saves or restores everything that is learned, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { members, decay: _ } = self;
        for (m, Member { network, adam }) in members.iter_mut().enumerate() {
            let name = format!("{name}/{m}");
            network.visit(&name, entries)?;
            adam.visit(&name, network.shape(), entries)?;
        }
        Ok(())
    }
}
