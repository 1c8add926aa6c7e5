//! How a target network follows its own.

use crate::nn::cpu::vector;
use crate::nn::{Mlp, Real};

/// What becomes of Q̄ after an update of Q.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetRule {
    /// Q̄ ← Q̄ + τ·(Q − Q̄), with this τ (Polyak).
    Polyak(f64),
    /// Q̄ ← Q, after each so many updates; it stands still between them.
    Copy(u64),
}

impl TargetRule {
    /// Moves `target` after update number `updates` (from 1) of `network`.
    pub fn apply<T: Real>(self, target: &mut Mlp<T>, network: &Mlp<T>, updates: u64) {
        let source = network.parameters();
        match self {
            Self::Polyak(rate) => {
                let rate = T::from_f64(rate);
                target.update_forward_only(|target| vector::blend(target, source, rate));
            }
            Self::Copy(every) if updates.is_multiple_of(every) => {
                target.update_forward_only(|target| target.copy_from_slice(source));
            }
            Self::Copy(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Activation, Shape};
    use crate::rng::Rng;

    #[test]
    fn a_copy_stands_still_until_it_is_due() {
        let mut rng = Rng::new(0, "target");
        let shape = Shape::new(&[2, 8, 1], Activation::Relu);
        let network = Mlp::<f64>::xavier(shape.clone(), &mut rng);
        let old = Mlp::xavier(shape, &mut rng);
        let mut target = old.clone();
        for updates in 1..=2 {
            TargetRule::Copy(3).apply(&mut target, &network, updates);
            assert_eq!(target.parameters(), old.parameters(), "after {updates} updates");
        }
        TargetRule::Copy(3).apply(&mut target, &network, 3);
        assert_eq!(target.parameters(), network.parameters());
        let mut target = old.clone();
        TargetRule::Polyak(0.25).apply(&mut target, &network, 1);
        let moved = target.parameters().iter().zip(old.parameters()).zip(network.parameters());
        assert!(moved.into_iter().all(|((t, o), n)| (t - (0.75 * o + 0.25 * n)).abs() < 1e-15));
    }
}
