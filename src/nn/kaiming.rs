//! Initial weights that keep a signal's size through rectifying layers (He et al., 2015, eq. 10).

use super::mlp::Mlp;
use super::shape::Shape;
use crate::machine::Real;
use crate::rng::Rng;

impl<T: Real> Mlp<T> {
    /// Weights from N(0, 2/fan_in), biases from N(0, 1/(4·fan_in)).
    pub fn kaiming(shape: Shape, rng: &mut Rng) -> Self {
        let mut network = Self::new(shape, |l| rng.normal() * (2.0 / l.inputs as f64).sqrt());
        network.update(|parameters, shape| {
            for layer in &shape.layers {
                let deviation = 0.5 / (layer.inputs as f64).sqrt();
                let biases = &mut parameters[layer.bias.clone()][..layer.outputs];
                biases.iter_mut().for_each(|b| *b = T::from_f64(rng.normal() * deviation));
            }
        });
        network
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Activation;

    #[test]
    fn weights_and_biases_have_their_deviations() {
        let shape = Shape::new(&[50, 203, 40], Activation::Silu);
        let network = Mlp::<f64>::kaiming(shape, &mut Rng::new(3, "kaiming"));
        for layer in &network.shape().layers {
            let n = layer.inputs as f64;
            for (what, range, count, variance) in [
                ("weights", layer.weight.clone(), layer.inputs * layer.outputs, 2.0 / n),
                ("biases", layer.bias.clone(), layer.outputs, 0.25 / n),
            ] {
                let numbers = &network.parameters()[range];
                // Padding counts as 0 in both sums.
                let mean = numbers.iter().sum::<f64>() / count as f64;
                let square = numbers.iter().map(|x| x * x).sum::<f64>() / count as f64;
                let error = (2.0 / count as f64).sqrt();
                assert!((square / variance - 1.0).abs() < 4.0 * error, "{what}: {square}");
                assert!(mean.abs() < 4.0 * (variance / count as f64).sqrt(), "{what}: {mean}");
                let padding = numbers.iter().filter(|&&x| x == 0.0).count();
                assert_eq!(padding, numbers.len() - count, "{what}: only padding is 0");
            }
        }
    }
}
