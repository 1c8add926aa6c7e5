//! Tangents and their way back against central differences in f64, for both activations.

use crate::nn::{Activation, Keep, Mlp, Shape, Tangent, Tape};
use crate::rng::Rng;

const ROWS: usize = 7;
const DIRECTIONS: usize = 2;
const INPUTS: usize = 5;
const OUTPUTS: usize = 3;
const STEP: f64 = 1e-5;
/// How far every ReLU's argument is from 0, so that no difference crosses a kink.
const MARGIN: f64 = 1e-3;

/// No hidden layer, one, two, three; at 64 a ReLU's zeros are left out of products.
const SHAPES: [&[usize]; 5] = [&[], &[19], &[19, 19], &[64, 64], &[19, 19, 19]];
const ACTIVATIONS: [Activation; 2] = [Activation::Relu, Activation::Silu];

/// A network, points x and directions v, and weights u of the loss Σ u·y + ½ y² of y = J(x)·v.
#[derive(Clone)]
struct Problem {
    network: Mlp<f64>,
    points: Vec<f64>,
    directions: Vec<f64>,
    weights: Vec<f64>,
}

impl Problem {
    fn new(hidden: &[usize], activation: Activation) -> Self {
        let mut rng = Rng::new(6, "tangent");
        let sizes = [&[INPUTS], hidden, &[OUTPUTS]].concat();
        let mut network = Mlp::xavier(Shape::new(&sizes, activation), &mut rng);
        network.update(|p, shape| {
            for l in &shape.layers {
                rng.fill_normal(&mut p[l.bias.start..l.bias.start + l.outputs]);
            }
        });
        let mut draw = |n| {
            let mut numbers = vec![0.0; n];
            rng.fill_normal(&mut numbers);
            numbers
        };
        let directions = draw(ROWS * DIRECTIONS * INPUTS);
        let weights = draw(ROWS * DIRECTIONS * OUTPUTS);
        let mut points = Vec::new();
        while points.len() < ROWS * INPUTS {
            let point = draw(INPUTS);
            if arguments(&network, &point).iter().all(|z| z.abs() > MARGIN) {
                points.extend(point);
            }
        }
        Self { network, points, directions, weights }
    }

    /// Forward, values and tangents, in two ranges, as the members of an ensemble share a tape.
    fn forward(&self, keep: Keep) -> (Tape<f64>, Tangent<f64>) {
        let shape = self.network.shape();
        let mut tape = Tape::new(shape, ROWS, keep);
        let mut tangent = Tangent::new(shape, OUTPUTS, ROWS, DIRECTIONS);
        for (i, x) in self.points.chunks(INPUTS).enumerate() {
            tape.input.row_mut(i).copy_from_slice(x);
        }
        for (t, v) in self.directions.chunks(INPUTS).enumerate() {
            tangent.input.row_mut(t).copy_from_slice(v);
        }
        for rows in [0..3, 3..ROWS] {
            self.network.forward(&mut tape, rows.clone());
            self.network.tangent(&tape, &mut tangent, rows);
        }
        (tape, tangent)
    }

    fn loss(&self) -> f64 {
        let (_, tangent) = self.forward(Keep::Slopes);
        let products = (0..ROWS * DIRECTIONS).flat_map(|t| tangent.output.row(t));
        products.zip(&self.weights).map(|(y, u)| u * y + 0.5 * y * y).sum()
    }

    /// Derivatives of the loss by the parameters (none where not `by_parameters`), by x and by v.
    fn backward(&self, keep: Keep, by_parameters: bool, to_input: bool) -> [Vec<f64>; 3] {
        let (mut tape, mut tangent) = self.forward(keep);
        for (t, u) in self.weights.chunks(OUTPUTS).enumerate() {
            for (o, &u) in u.iter().enumerate() {
                tangent.output_adjoint.row_mut(t)[o] = u + tangent.output.row(t)[o];
            }
        }
        for i in 0..ROWS {
            tape.input_adjoint.row_mut(i).fill(f64::NAN);
        }
        let mut gradient = vec![0.0; self.network.parameters().len()];
        for rows in [0..2, 2..ROWS] {
            let gradient = by_parameters.then_some(&mut gradient[..]);
            self.network.tangent_backward(&mut tape, &mut tangent, rows, gradient, to_input);
        }
        let x = (0..ROWS).flat_map(|i| tape.input_adjoint.row(i).to_vec());
        let v = (0..ROWS * DIRECTIONS).flat_map(|t| tangent.input_adjoint.row(t).to_vec());
        [gradient, x.collect(), v.collect()]
    }

    /// The central difference of the loss as `change` moves something by a step.
    fn difference(&self, change: impl Fn(&mut Self, f64)) -> f64 {
        let at = |step| {
            let mut moved = self.clone();
            change(&mut moved, step);
            moved.loss()
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    }
}

/// What the hidden units' nonlinearities are applied to at a point, by plain loops over exported weights.
fn arguments(network: &Mlp<f64>, point: &[f64]) -> Vec<f64> {
    let shape = network.shape();
    let mut all = Vec::new();
    let mut before = point.to_vec();
    for l in 0..shape.layers.len() - 1 {
        let (weight, mut z) = shape.export(l, network.parameters());
        for (x, row) in before.iter().zip(weight.chunks(z.len())) {
            z.iter_mut().zip(row).for_each(|(z, w)| *z += x * w);
        }
        all.extend_from_slice(&z);
        before = match shape.activation {
            Activation::Relu => z.iter().map(|z| z.max(0.0)).collect(),
            Activation::Silu => z.iter().map(|z| z / (1.0 + (-z).exp())).collect(),
        };
    }
    all
}

/// Fails where a derivative is further from its difference than rounding explains.
fn assert_close(what: &str, derivative: f64, difference: f64) {
    let error = (derivative - difference).abs() / (1.0 + derivative.abs());
    assert!(error < 1e-8, "{what}: {derivative} is not {difference}");
}

#[test]
fn tangents_equal_central_differences() {
    for (hidden, activation) in SHAPES.iter().flat_map(|s| ACTIVATIONS.map(|a| (s, a))) {
        let problem = Problem::new(hidden, activation);
        let (_, tangent) = problem.forward(Keep::Slopes);
        for t in 0..ROWS * DIRECTIONS {
            let row = t / DIRECTIONS;
            let outputs = |step: f64| {
                let mut moved = problem.clone();
                for d in 0..INPUTS {
                    moved.points[row * INPUTS + d] += step * problem.directions[t * INPUTS + d];
                }
                moved.forward(Keep::Slopes).0.output.row(row).to_vec()
            };
            let (plus, minus) = (outputs(STEP), outputs(-STEP));
            for o in 0..OUTPUTS {
                let what = format!("{hidden:?} {activation:?}, direction {t}, output {o}");
                let difference = (plus[o] - minus[o]) / (2.0 * STEP);
                assert_close(&what, tangent.output.row(t)[o], difference);
            }
        }
    }
}

#[test]
fn the_way_back_of_tangents_equals_central_differences() {
    for (hidden, activation) in SHAPES.iter().flat_map(|s| ACTIVATIONS.map(|a| (s, a))) {
        let problem = Problem::new(hidden, activation);
        let [gradient, x, v] = problem.backward(Keep::Curves, true, true);
        let case = format!("{hidden:?} {activation:?}");
        for (k, (&g, &p)) in gradient.iter().zip(problem.network.parameters()).enumerate() {
            // Weights and biases were drawn: what is exactly zero is padding.
            if p == 0.0 {
                assert_eq!(g, 0.0, "{case}, padding {k}");
                continue;
            }
            let move_one = |p: &mut Problem, step| p.network.update(|q, _| q[k] += step);
            assert_close(&format!("{case}, parameter {k}"), g, problem.difference(move_one));
        }
        for (k, &x) in x.iter().enumerate() {
            let difference = problem.difference(|p, step| p.points[k] += step);
            assert_close(&format!("{case}, number {k} of x"), x, difference);
        }
        for (k, &v) in v.iter().enumerate() {
            let difference = problem.difference(|p, step| p.directions[k] += step);
            assert_close(&format!("{case}, number {k} of v"), v, difference);
        }
        // The check sees something: only curvature makes the Jacobian depend on where it is taken.
        let curved = activation == Activation::Silu && !hidden.is_empty();
        assert!([&gradient, &v].iter().all(|d| d.iter().any(|d| d.abs() > 0.1)), "{case}");
        assert_eq!(x.iter().any(|x| x.abs() > 0.1), curved, "{case}");
        assert!(curved || x.iter().all(|&x| x == 0.0), "{case}");
    }
}

#[test]
fn what_is_asked_for_changes_no_result() {
    for (hidden, activation) in SHAPES.iter().flat_map(|s| ACTIVATIONS.map(|a| (s, a))) {
        let problem = Problem::new(hidden, activation);
        let [gradient, x, v] = problem.backward(Keep::Curves, true, true);
        assert_eq!(problem.backward(Keep::Curves, true, false)[0], gradient);
        let adjoints = problem.backward(Keep::Curves, false, true);
        assert!(adjoints[0].iter().all(|&g| g == 0.0));
        assert_eq!(adjoints[1..], [x.clone(), v.clone()]);
        if activation == Activation::Relu {
            for keep in [Keep::Slopes, Keep::Values, Keep::Adjoints] {
                let expected = [gradient.clone(), x.clone(), v.clone()];
                assert_eq!(problem.backward(keep, true, true), expected, "{keep:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "needs curves")]
fn the_way_back_through_silu_asks_for_curves() {
    Problem::new(&[19], Activation::Silu).backward(Keep::Slopes, true, false);
}

/// Loss ½ Σ |∇ₓ Q|² of a scalar network: the gradient by the parameters, through one direction a row, v = ∇ₓ Q held fixed.
#[test]
fn the_norm_of_a_slope_has_the_gradient_of_its_central_difference() {
    for activation in ACTIVATIONS {
        let mut rng = Rng::new(7, "slope");
        let shape = Shape::new(&[INPUTS, 64, 64, 1], activation);
        let mut network = Mlp::<f64>::xavier(shape.clone(), &mut rng);
        network.update(|p, shape| {
            for l in &shape.layers {
                rng.fill_normal(&mut p[l.bias.start..l.bias.start + l.outputs]);
            }
        });
        let mut points = Vec::new();
        while points.len() < ROWS * INPUTS {
            let mut point = [0.0; INPUTS];
            rng.fill_normal(&mut point);
            if arguments(&network, &point).iter().all(|z| z.abs() > MARGIN) {
                points.extend(point);
            }
        }
        let mut tape = Tape::new(&shape, ROWS, Keep::Curves);
        for (i, x) in points.chunks(INPUTS).enumerate() {
            tape.input.row_mut(i).copy_from_slice(x);
            tape.output_adjoint.row_mut(i)[0] = 1.0;
        }
        let slopes = |network: &Mlp<f64>, tape: &mut Tape<f64>| -> Vec<f64> {
            network.forward(tape, 0..ROWS);
            network.backward(tape, 0..ROWS, None, true);
            (0..ROWS).flat_map(|i| tape.input_adjoint.row(i).to_vec()).collect()
        };
        let slope = slopes(&network, &mut tape);
        let mut tangent = Tangent::new(&shape, 1, ROWS, 1);
        for (i, v) in slope.chunks(INPUTS).enumerate() {
            tangent.input.row_mut(i).copy_from_slice(v);
            tangent.output_adjoint.row_mut(i)[0] = 1.0;
        }
        network.tangent(&tape, &mut tangent, 0..ROWS);
        // J·v at v = ∇Q is |∇Q|².
        let squares = slope.chunks(INPUTS).map(|g| g.iter().map(|g| g * g).sum::<f64>());
        for (i, square) in squares.enumerate() {
            assert_close("a slope's square", tangent.output.row(i)[0], square);
        }
        let mut gradient = vec![0.0; network.parameters().len()];
        network.tangent_backward(&mut tape, &mut tangent, 0..ROWS, Some(&mut gradient), false);
        for k in (0..gradient.len()).step_by(7) {
            let parameter = network.parameters()[k];
            let mut at = |step: f64| {
                network.update(|p, _| p[k] = parameter + step);
                0.5 * slopes(&network, &mut tape).iter().map(|g| g * g).sum::<f64>()
            };
            let difference = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            at(0.0);
            // Padding is exactly zero.
            if parameter != 0.0 {
                assert_close(&format!("{activation:?} parameter {k}"), gradient[k], difference);
            }
        }
    }
}
