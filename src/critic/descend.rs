//! A step of all networks, each down a gradient of its own.

use rayon::prelude::*;

use super::networks::{Critic, QNetwork};
use crate::nn::cpu::vector;
use crate::nn::{Mlp, Real};

impl<T: Real> Critic<T> {
    /// An Adam step of every network, and a Polyak step of its target. The gradient of network q is what `gradient(q, network, numbers)`
    /// writes into numbers laid out like the parameters, `gradients[q]`. Whether all of them were finite.
    pub fn descend(
        &mut self,
        gradients: &mut [Vec<T>],
        gradient: impl Fn(usize, &Mlp<T>, &mut [T]) + Sync,
    ) -> bool {
        let (clip, rate) = (self.gradient_clip, T::from_f64(self.target_rate));
        let networks = self.networks.par_iter_mut().zip(gradients).enumerate();
        let finite = networks.map(|(index, (q, numbers))| {
            gradient(index, &q.network, numbers);
            let QNetwork { network, target, adam } = q;
            network.update(|parameters, _| adam.update_clipped(parameters, numbers, clip));
            target.update_forward_only(|target| vector::blend(target, network.parameters(), rate));
            vector::all_finite(numbers)
        });
        finite.reduce(|| true, |one, other| one && other)
    }

    /// Forgets the moments of all networks.
    pub fn restart_moments(&mut self) {
        self.networks.iter_mut().for_each(|q| q.adam.restart());
    }
}
