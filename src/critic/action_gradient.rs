//! A critic's error in its *action gradient* (MAGE, D'Oro & Jaśkowski 2020): how far ∇_t Q(s, a) lies from the slope k that the target
//! has there, for some rows of one network.
//!
//! With g = k − ∇_t Q the loss of a row is h(‖g‖), h(n) = ½n² for n < 1, else n − ½, so its derivative by ∇_t Q is
//! −g/max(1, ‖g‖): no singularity at 0. k does not depend on the network's parameters. So the only second-order pass is
//! forward-tangent, then reverse, over that one network: its tangent along that derivative is a number whose gradient by the parameters
//! is the loss's.

use super::networks::Critic;
use crate::nn::{Keep, Mlp, Real, Tangent, Tape};

/// Huber's loss with unit threshold: ½x² for |x| < 1, else |x| − ½.
pub fn huber(x: f64) -> f64 {
    if x.abs() < 1.0 { 0.5 * x * x } else { x.abs() - 0.5 }
}

/// Buffers to run up to `rows` rows through one network of a critic and back, values and slopes by the action.
#[derive(Clone, Debug)]
pub struct ActionGradient<T> {
    /// Input (s, a): filled by the caller.
    pub tape: Tape<T>,
    tangent: Tangent<T>,
}

impl<T: Real> ActionGradient<T> {
    /// Buffers.
    pub fn new(critic: &Critic<T>, rows: usize) -> Self {
        let mut tangent = Tangent::new(critic.shape(), 1, rows, 1);
        for i in 0..rows {
            tangent.output_adjoint.row_mut(i)[0] = T::ONE;
        }
        Self { tape: Tape::new(critic.shape(), rows, Keep::Curves), tangent }
    }

    /// Q(s, a) of the first `rows` rows.
    pub fn forward(&mut self, network: &Mlp<T>, rows: usize) {
        network.forward(&mut self.tape, 0..rows);
    }

    /// Row `i`'s value, after [`ActionGradient::forward`].
    #[inline]
    pub fn value(&self, i: usize) -> T {
        self.tape.output.row(i)[0]
    }

    /// Adds to `gradient` that of Σ_rows scale·h(‖k − ∇_t Q‖) by the network's parameters, after [`ActionGradient::forward`]; returns
    /// Σ_rows h. `slopes` are k `[rows, action_dim]`, and a = unit·t + constant, `[action_dim]`, says what t is.
    pub fn add_slope_loss(
        &mut self,
        network: &Mlp<T>,
        slopes: &[T],
        unit: &[T],
        scale: T,
        gradient: &mut [T],
    ) -> f64 {
        let Self { tape, tangent } = self;
        let rows = slopes.len() / unit.len();
        for i in 0..rows {
            tape.output_adjoint.row_mut(i)[0] = T::ONE;
        }
        network.backward(tape, 0..rows, None, true);
        let states = network.shape().inputs() - unit.len();
        let mut sum = 0.0;
        for (i, slopes) in slopes.chunks_exact(unit.len()).enumerate() {
            let own = &tape.input_adjoint.row(i)[states..];
            let direction = &mut tangent.input.row_mut(i)[states..];
            let mut squares = T::ZERO;
            for (((g, &k), &own), &unit) in direction.iter_mut().zip(slopes).zip(own).zip(unit) {
                *g = k - unit * own;
                squares += *g * *g;
            }
            let norm = squares.sqrt();
            sum += huber(norm.to_f64());
            let factor = -scale / T::ONE.max(norm);
            direction.iter_mut().zip(unit).for_each(|(g, &unit)| *g = factor * *g * unit);
        }
        network.tangent(tape, tangent, 0..rows);
        network.tangent_backward(tape, tangent, 0..rows, Some(gradient), false);
        sum
    }

    /// Adds to `gradient` that of a loss whose derivative by row i's value q is `seed(i, q)`, after [`ActionGradient::forward`] of as
    /// many rows.
    pub fn add_value_loss(
        &mut self,
        network: &Mlp<T>,
        rows: usize,
        seed: impl Fn(usize, T) -> T,
        gradient: &mut [T],
    ) {
        for i in 0..rows {
            self.tape.output_adjoint.row_mut(i)[0] = seed(i, self.tape.output.row(i)[0]);
        }
        network.backward(&mut self.tape, 0..rows, Some(gradient), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::TargetRule;
    use crate::nn::{Activation, Shape};
    use crate::rng::Rng;

    const ROWS: usize = 5;
    const UNIT: [f64; 2] = [3.0, 0.4];

    fn critic(activation: Activation, rng: &mut Rng) -> Critic<f64> {
        let shape = Shape::new(&[5, 12, 12, 1], activation);
        let mut network = Mlp::xavier(shape, rng);
        network.update(|p, shape| {
            let bias = shape.layers[0].bias.start;
            rng.fill_normal(&mut p[bias..bias + 12]);
        });
        Critic::from_networks(std::iter::once(network), 1e-4, 5.0, TargetRule::Polyak(0.005))
    }

    /// Σ scale·h and its gradient at the network.
    fn loss(of: &mut ActionGradient<f64>, network: &Mlp<f64>, slopes: &[f64]) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; network.parameters().len()];
        of.forward(network, ROWS);
        let sum = of.add_slope_loss(network, slopes, &UNIT, 0.7, &mut gradient);
        (0.7 * sum, gradient)
    }

    #[test]
    fn gradients_equal_central_differences_on_both_sides_of_the_threshold() {
        for activation in [Activation::Silu, Activation::Relu] {
            let mut rng = Rng::new(0, "action gradient");
            let critic = critic(activation, &mut rng);
            let network = &critic.networks[0].network;
            let mut of = ActionGradient::new(&critic, ROWS);
            (0..ROWS).for_each(|i| rng.fill_normal(of.tape.input.row_mut(i)));
            let mut slopes = vec![0.0; 2 * ROWS];
            rng.fill_normal(&mut slopes);
            // Some rows' gradients are close to the target's, some far from it.
            slopes[..4].iter_mut().for_each(|k| *k *= 0.1);
            slopes[4..].iter_mut().for_each(|k| *k *= 4.0);
            let (sum, gradient) = loss(&mut of, network, &slopes);
            assert!(sum > 0.7 && gradient.iter().filter(|&&g| g != 0.0).count() > 50);
            for k in 0..gradient.len() {
                let mut at = |h: f64| {
                    let mut moved = network.clone();
                    moved.update(|p, _| p[k] += h);
                    loss(&mut of, &moved, &slopes).0
                };
                if network.parameters()[k] == 0.0 && gradient[k] == 0.0 {
                    continue;
                }
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let error = (difference - gradient[k]).abs();
                assert!(error < 1e-7 * (1.0 + difference.abs()), "{activation:?}, parameter {k}");
            }
        }
    }

    /// Q = cᵀa + f(s), by a network without hidden layers: the gradient touches c alone, is −Σ scale·unit·g/max(1, ‖g‖), and nothing where
    /// the target's slope is that of Q.
    #[test]
    fn of_a_critic_linear_in_the_action_only_its_slope_is_moved() {
        let mut rng = Rng::new(1, "action gradient");
        let network = Mlp::<f64>::xavier(Shape::new(&[5, 1], Activation::Silu), &mut rng);
        let critic =
            Critic::from_networks(std::iter::once(network), 1e-4, 5.0, TargetRule::Polyak(0.005));
        let network = &critic.networks[0].network;
        let mut of = ActionGradient::new(&critic, ROWS);
        (0..ROWS).for_each(|i| rng.fill_normal(of.tape.input.row_mut(i)));
        let (weight, _) = network.shape().export(0, network.parameters());
        let c = [UNIT[0] * weight[3], UNIT[1] * weight[4]];
        let equal: Vec<f64> = (0..ROWS).flat_map(|_| c).collect();
        let (sum, gradient) = loss(&mut of, network, &equal);
        assert!(sum == 0.0 && gradient.iter().all(|&g| g == 0.0));
        let mut slopes = vec![0.0; 2 * ROWS];
        rng.fill_normal(&mut slopes);
        let (_, gradient) = loss(&mut of, network, &slopes);
        let (by_weight, by_bias) = network.shape().export(0, &gradient);
        let mut expected = [0.0; 5];
        for k in slopes.chunks_exact(2) {
            let g = [k[0] - c[0], k[1] - c[1]];
            let norm = g[0].hypot(g[1]).max(1.0);
            (0..2).for_each(|d| expected[3 + d] -= 0.7 * UNIT[d] * g[d] / norm);
        }
        assert_eq!(by_bias, [0.0]);
        for (found, expected) in by_weight.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{by_weight:?}");
        }
    }
}
