//! Every pass against central differences in f64.

use crate::nn::{Activation, Keep, Mlp, Shape, Tangent, Tape};
use crate::rng::Rng;

/// More than a normalisation takes at a time on its way back.
const ROWS: usize = 13;
const DIRECTIONS: usize = 2;

/// Whether layers are normalised. The second ε shows in the derivatives as a small one does not.
const NORMS: [Option<[f64; 2]>; 2] = [None, Some([1e-5, 0.5])];

fn network(
    hidden: usize,
    activation: Activation,
    norms: Option<[f64; 2]>,
    rng: &mut Rng,
) -> Mlp<f64> {
    let shape = Shape::new(&[5, hidden, hidden, 4], activation);
    let shape = match norms {
        Some(epsilon) => shape.with_layer_norm(|l| epsilon[l]),
        None => shape,
    };
    let mut network = Mlp::xavier(shape, rng);
    network.update(|p, shape| {
        for l in &shape.layers {
            rng.fill_normal(&mut p[l.bias.start..l.bias.start + l.outputs]);
        }
    });
    network
}

/// Loss Σ w·output + Σ u·(J·v), with fixed random weights: linear in what the passes produce.
struct Problem {
    input: Vec<f64>,
    directions: Vec<f64>,
    value_weights: Vec<f64>,
    tangent_weights: Vec<f64>,
}

impl Problem {
    fn new(rng: &mut Rng) -> Self {
        let mut draw = |n| {
            let mut x = vec![0.0; n];
            rng.fill_normal(&mut x);
            x
        };
        Self {
            input: draw(ROWS * 5),
            directions: draw(ROWS * DIRECTIONS * 5),
            value_weights: draw(ROWS * 4),
            tangent_weights: draw(ROWS * DIRECTIONS * 4),
        }
    }

    fn forward(&self, network: &Mlp<f64>, input: &[f64]) -> (Tape<f64>, Tangent<f64>) {
        let mut tape = Tape::new(network.shape(), ROWS, Keep::Curves);
        let mut tangent = Tangent::new(network.shape(), 4, ROWS, DIRECTIONS);
        for (i, x) in input.chunks(5).enumerate() {
            tape.input.row_mut(i).copy_from_slice(x);
        }
        for (i, v) in self.directions.chunks(5).enumerate() {
            tangent.input.row_mut(i).copy_from_slice(v);
        }
        // In two ranges, as the members of an ensemble share a tape.
        for rows in [0..3, 3..ROWS] {
            network.forward(&mut tape, rows.clone());
            network.tangent(&tape, &mut tangent, rows);
        }
        (tape, tangent)
    }

    fn value_loss(&self, network: &Mlp<f64>, input: &[f64]) -> f64 {
        let (tape, _) = self.forward(network, input);
        self.value_weights.chunks(4).enumerate().map(|(i, w)| dot(w, tape.output.row(i))).sum()
    }

    fn tangent_loss(&self, network: &Mlp<f64>) -> f64 {
        let (_, tangent) = self.forward(network, &self.input);
        self.tangent_weights.chunks(4).enumerate().map(|(i, u)| dot(u, tangent.output.row(i))).sum()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Largest difference of `gradient` from central differences of `loss` over the real (unpadded) parameters.
fn parameter_error(network: &Mlp<f64>, gradient: &[f64], loss: impl Fn(&Mlp<f64>) -> f64) -> f64 {
    let mut worst = 0.0_f64;
    let step = 1e-5;
    let mut moved = network.clone();
    for (k, (&g, &p)) in gradient.iter().zip(network.parameters()).enumerate() {
        let padding = p == 0.0; // biases were drawn, so only padding is exactly zero
        let mut at = |x: f64| {
            moved.update(|q, _| q[k] = x);
            loss(&moved)
        };
        if !padding {
            let difference = (at(p + step) - at(p - step)) / (2.0 * step);
            worst = worst.max((difference - g).abs() / (1.0 + g.abs()));
        }
        at(p);
    }
    worst
}

#[test]
fn backward_equals_central_differences() {
    // At 64 a ReLU's zeros are left out of products.
    let plain = [(19, Activation::Relu, None), (64, Activation::Relu, None)];
    let normed = NORMS.map(|norms| (19, Activation::Silu, norms));
    for (hidden, activation, norms) in plain.into_iter().chain(normed) {
        let mut rng = Rng::new(1, "mlp");
        let network = network(hidden, activation, norms, &mut rng);
        let problem = Problem::new(&mut rng);
        let (mut tape, _) = problem.forward(&network, &problem.input);
        let mut gradient = vec![0.0; network.parameters().len()];
        for (i, w) in problem.value_weights.chunks(4).enumerate() {
            tape.output_adjoint.row_mut(i).copy_from_slice(w);
        }
        network.backward(&mut tape, 0..4, Some(&mut gradient), true);
        network.backward(&mut tape, 4..ROWS, Some(&mut gradient), true);
        let error = parameter_error(&network, &gradient, |n| problem.value_loss(n, &problem.input));
        assert!(error < 1e-8, "{hidden} {activation:?} {norms:?} parameters: {error:e}");
        for i in 0..ROWS * 5 {
            let at = |x: f64| {
                let mut input = problem.input.clone();
                input[i] += x;
                problem.value_loss(&network, &input)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (difference - tape.input_adjoint.row(i / 5)[i % 5]).abs() < 1e-8,
                "{activation:?} input {i}"
            );
        }
        // The same input adjoint without asking for parameters.
        let kept = tape.input_adjoint.clone();
        network.backward(&mut tape, 0..ROWS, None, true);
        assert_eq!(kept.row(5), tape.input_adjoint.row(5));
    }
}

#[test]
fn tangent_equals_central_differences() {
    NORMS.into_iter().for_each(tangent_of);
}

fn tangent_of(norms: Option<[f64; 2]>) {
    let mut rng = Rng::new(2, "mlp");
    let network = network(19, Activation::Silu, norms, &mut rng);
    let problem = Problem::new(&mut rng);
    let (_, tangent) = problem.forward(&network, &problem.input);
    for row in 0..ROWS {
        for k in 0..DIRECTIONS {
            let t = row * DIRECTIONS + k;
            let outputs = |h: f64| {
                let mut input = problem.input.clone();
                for d in 0..5 {
                    input[row * 5 + d] += h * problem.directions[t * 5 + d];
                }
                problem.forward(&network, &input).0.output.row(row).to_vec()
            };
            let (plus, minus) = (outputs(1e-5), outputs(-1e-5));
            for o in 0..4 {
                let difference = (plus[o] - minus[o]) / 2e-5;
                assert!(
                    (difference - tangent.output.row(t)[o]).abs() < 1e-8,
                    "{norms:?} row {row} direction {k} output {o}"
                );
            }
        }
    }
}

#[test]
fn tangent_backward_equals_central_differences() {
    let mut rng = Rng::new(3, "mlp");
    let network = network(19, Activation::Silu, None, &mut rng);
    let problem = Problem::new(&mut rng);
    let (mut tape, mut tangent) = problem.forward(&network, &problem.input);
    for (i, u) in problem.tangent_weights.chunks(4).enumerate() {
        tangent.output_adjoint.row_mut(i).copy_from_slice(u);
    }
    let mut gradient = vec![0.0; network.parameters().len()];
    network.tangent_backward(&mut tape, &mut tangent, 0..2, Some(&mut gradient), false);
    network.tangent_backward(&mut tape, &mut tangent, 2..ROWS, Some(&mut gradient), false);
    let error = parameter_error(&network, &gradient, |n| problem.tangent_loss(n));
    assert!(error < 1e-8, "{error:e}");
    assert!(
        gradient.iter().map(|g| g.abs()).fold(0.0, f64::max) > 0.1,
        "the check must see something"
    );
}

/// An elite may have no rows of a minibatch.
#[test]
fn passes_over_no_rows_do_nothing() {
    let mut rng = Rng::new(8, "mlp");
    for activation in [Activation::Relu, Activation::Silu] {
        let network = Mlp::<f32>::xavier(Shape::new(&[5, 64, 64, 1], activation), &mut rng);
        let mut tape = Tape::new(network.shape(), ROWS, Keep::Curves);
        let mut tangent = Tangent::new(network.shape(), 1, ROWS, DIRECTIONS);
        let mut gradient = vec![0.0; network.parameters().len()];
        tape.output.row_mut(3)[0] = 7.0;
        network.forward(&mut tape, 3..3);
        network.backward(&mut tape, 3..3, Some(&mut gradient), true);
        network.tangent(&tape, &mut tangent, 3..3);
        network.tangent_backward(&mut tape, &mut tangent, 3..3, Some(&mut gradient), true);
        assert_eq!(tape.output.row(3)[0], 7.0);
        assert!(gradient.iter().all(|&g| g == 0.0));
    }
}

#[test]
fn padding_stays_zero() {
    let mut rng = Rng::new(4, "mlp");
    let network = network(19, Activation::Silu, None, &mut rng);
    let problem = Problem::new(&mut rng);
    let (mut tape, mut tangent) = problem.forward(&network, &problem.input);
    let mut gradient = vec![0.0; network.parameters().len()];
    for i in 0..ROWS {
        tape.output_adjoint.row_mut(i).fill(1.0);
        for k in 0..DIRECTIONS {
            tangent.output_adjoint.row_mut(i * DIRECTIONS + k).fill(1.0);
        }
    }
    network.backward(&mut tape, 0..ROWS, Some(&mut gradient), true);
    network.tangent_backward(&mut tape, &mut tangent, 0..ROWS, Some(&mut gradient), true);
    for (g, p) in gradient.iter().zip(network.parameters()) {
        assert!(*p != 0.0 || *g == 0.0);
    }
}

#[test]
fn the_first_outputs_alone_are_those_of_the_whole_pass() {
    let mut rng = Rng::new(5, "mlp");
    let network = network(19, Activation::Silu, None, &mut rng);
    let problem = Problem::new(&mut rng);
    let (mut whole, mut tangents) = problem.forward(&network, &problem.input);
    let mut tape = Tape::of_first_outputs(network.shape(), 2, ROWS, Keep::Curves);
    let mut tangent = Tangent::new(network.shape(), 2, ROWS, DIRECTIONS);
    for (i, x) in problem.input.chunks(5).enumerate() {
        tape.input.row_mut(i).copy_from_slice(x);
    }
    for (t, v) in problem.directions.chunks(5).enumerate() {
        tangent.input.row_mut(t).copy_from_slice(v);
    }
    network.forward(&mut tape, 0..ROWS);
    network.tangent(&tape, &mut tangent, 0..ROWS);
    let mut gradients = [(); 2].map(|()| vec![0.0; network.parameters().len()]);
    for i in 0..ROWS {
        assert_eq!(tape.output.row(i), &whole.output.row(i)[..2]);
        let weights = &problem.value_weights[i * 4..i * 4 + 2];
        tape.output_adjoint.row_mut(i).copy_from_slice(weights);
        whole.output_adjoint.row_mut(i)[..2].copy_from_slice(weights);
    }
    for t in 0..ROWS * DIRECTIONS {
        assert_eq!(tangent.output.row(t), &tangents.output.row(t)[..2]);
        let weights = &problem.tangent_weights[t * 4..t * 4 + 2];
        tangent.output_adjoint.row_mut(t).copy_from_slice(weights);
        tangents.output_adjoint.row_mut(t)[..2].copy_from_slice(weights);
    }
    network.backward(&mut tape, 0..ROWS, Some(&mut gradients[0]), true);
    network.backward(&mut whole, 0..ROWS, Some(&mut gradients[1]), true);
    assert_eq!(tape.input_adjoint.row(3), whole.input_adjoint.row(3));
    network.tangent_backward(&mut tape, &mut tangent, 0..ROWS, Some(&mut gradients[0]), true);
    network.tangent_backward(&mut whole, &mut tangents, 0..ROWS, Some(&mut gradients[1]), true);
    assert_eq!(gradients[0], gradients[1]);
    assert_eq!(tape.input_adjoint.row(3), whole.input_adjoint.row(3));
    assert_eq!(tangent.input_adjoint.row(3), tangents.input_adjoint.row(3));
    assert!(gradients[0].iter().any(|g| g.abs() > 0.1));
}

#[test]
fn what_a_tape_keeps_changes_no_result() {
    let shape = |activation| Shape::new(&[5, 19, 19, 19, 19, 4], activation);
    let normed = shape(Activation::Silu).with_layer_norm(|_| 0.1);
    for shape in [shape(Activation::Relu), shape(Activation::Silu), normed] {
        let mut rng = Rng::new(4, "keep");
        let network = Mlp::<f64>::xavier(shape.clone(), &mut rng);
        let (mut input, mut adjoint) = (vec![0.0; ROWS * 5], vec![0.0; ROWS * 4]);
        rng.fill_normal(&mut input);
        rng.fill_normal(&mut adjoint);
        // Both ranges forward before the first goes back, as an ensemble does.
        let run = |keep| {
            let mut tape = Tape::new(network.shape(), ROWS, keep);
            for (i, x) in input.chunks(5).enumerate() {
                tape.input.row_mut(i).copy_from_slice(x);
            }
            for rows in [0..4, 4..ROWS] {
                network.forward(&mut tape, rows);
            }
            if keep > Keep::Nothing {
                for (i, a) in adjoint.chunks(4).enumerate() {
                    tape.output_adjoint.row_mut(i).copy_from_slice(a);
                }
                for rows in [0..4, 4..ROWS] {
                    network.backward(&mut tape, rows, None, true);
                }
            }
            tape
        };
        let all = run(Keep::Curves);
        for keep in [Keep::Nothing, Keep::Slopes, Keep::Values] {
            let tape = run(keep);
            for i in 0..ROWS {
                assert_eq!(tape.output.row(i), all.output.row(i), "{shape:?} {keep:?}");
                if keep > Keep::Nothing {
                    let (one, other) = (tape.input_adjoint.row(i), all.input_adjoint.row(i));
                    assert!(one == other && one.iter().all(|&x| x != 0.0), "{shape:?} {keep:?}");
                }
            }
        }
    }
}
