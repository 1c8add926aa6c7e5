//! The secant loss: its derivative against central differences, and its neighbours against their definition.

use ddppo::data::{Replay, Standardiser, Transition};
use ddppo::model::secant::{SecantNeighbours, SecantPart, SecantUnits};
use ddppo::nn::{Activation, Mlp, Shape};
use ddppo::rng::Rng;

/// Random transitions with two observations and one action, the second observation ten times as large.
fn replay(rows: usize, rng: &mut Rng) -> Replay {
    let mut replay = Replay::new(2, 1, rows);
    for _ in 0..rows {
        let mut x = [0.0_f32; 6];
        rng.fill_normal(&mut x);
        replay.push(Transition {
            observation: &[x[0], 10.0 * x[1]],
            action: &x[2..3],
            reward: x[3],
            next_observation: &[x[0] + 0.1 * x[4], 10.0 * x[1] + x[5]],
            terminated: false,
        });
    }
    replay
}

#[test]
fn gradient_equals_central_differences() {
    let rng = &mut Rng::new(0, "secant");
    let replay = replay(60, rng);
    let all: Vec<u32> = (0..60).collect();
    let inputs = Standardiser::<f32>::fit(&replay, &all, 3);
    let mut neighbours = SecantNeighbours::new(4, 3);
    neighbours.update(&replay, &inputs, &all, &[]);
    let inputs = Standardiser::<f64>::fit(&replay, &all, 3);
    let units = SecantUnits {
        inputs: &inputs,
        label_scale: &[0.5, 0.1, 2.0],
        weights: &[1.0, 0.3, 2.0],
        least_square: 0.05,
    };
    // Six outputs, of which the loss knows the first three.
    let shape = Shape::new(&[3, 16, 16, 6], Activation::Silu);
    let network = Mlp::<f64>::xavier(shape.clone(), rng);
    let mut piece = SecantPart::new(&shape, 3, 8, (2, 4));
    let rows = [3, 17, 40, 41, 59];
    let nth = |row: u32, k: usize| neighbours.nth(row, k);
    let mut run = |network: &Mlp<f64>, gradient: &mut [f64]| {
        let rng = &mut Rng::from_word(7);
        0.25 * piece.add(network, units, &replay, nth, &rows, 0.25, rng, gradient)
    };
    let mut gradient = vec![0.0; shape.parameter_len()];
    let value = run(&network, &mut gradient);
    // By its definition: the draws are the piece's own.
    let mut draws = Rng::from_word(7);
    let mut expected = 0.0;
    let mean = |row: u32| {
        let mut tape = ddppo::nn::Tape::new(&shape, 1, ddppo::nn::Keep::Nothing);
        let t = replay.get(row as usize);
        inputs.apply((0..3).map(|d| t.input(d)), tape.input.row_mut(0));
        network.forward(&mut tape, 0..1);
        (tape.input.row(0).to_vec(), tape.output.row(0).to_vec())
    };
    for row in rows {
        let mut choice = [0, 1, 2, 3];
        for k in 0..2 {
            choice.swap(k, k + draws.below(4 - k));
            let other = neighbours.nth(row, choice[k]);
            let ((x, mu), (x_i, mu_i)) = (mean(row), mean(other));
            let square: f64 = x.iter().zip(&x_i).map(|(a, b)| (b - a) * (b - a)).sum();
            let (own, other) = (replay.get(row as usize), replay.get(other as usize));
            for d in 0..3 {
                let y = (other.label::<f64>(d) - own.label::<f64>(d)) / units.label_scale[d];
                let e = (mu_i[d] - mu[d]) - y;
                expected += 0.25 * units.weights[d] * e * e / (square + 0.05);
            }
        }
    }
    assert!((value - expected).abs() < 1e-10 * expected, "{value} for {expected}");
    for k in 0..gradient.len() {
        let mut at = |h: f64| {
            let mut moved = network.clone();
            moved.update(|p, _| p[k] += h);
            run(&moved, &mut vec![0.0; shape.parameter_len()])
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        // Padding has no part in anything: the products never read it.
        let padding = network.parameters()[k] == 0.0 && gradient[k] == 0.0;
        let close = (difference - gradient[k]).abs() < 1e-6 * (1.0 + difference.abs());
        assert!(close || padding, "parameter {k}: {} for {difference}", gradient[k]);
    }
    let seen = gradient.iter().filter(|g| g.abs() > 1e-3).count();
    assert!(seen > 200, "only {seen} parameters matter");
}

#[test]
fn neighbours_are_the_nearest_in_standardised_inputs_and_epsilon_is_their_quantile() {
    let rng = &mut Rng::new(1, "secant");
    let replay = replay(700, rng);
    let among: Vec<u32> = (0..700).filter(|row| row % 5 != 0).collect();
    let all: Vec<u32> = (0..700).collect();
    let inputs = Standardiser::<f32>::fit(&replay, &all, 3);
    let mut neighbours = SecantNeighbours::new(6, 3);
    let others: Vec<u32> = (0..700).filter(|row| row % 5 == 0).collect();
    neighbours.update(&replay, &inputs, &among, &others);
    let point = |row: u32| {
        let mut x = [0.0_f32; 3];
        let t = replay.get(row as usize);
        inputs.apply((0..3).map(|d| t.input(d)), &mut x);
        x.map(f64::from)
    };
    let mut squares = Vec::new();
    for row in 0..700 {
        let x = point(row);
        let others = among.iter().filter(|&&other| other != row);
        let mut by_distance: Vec<(f64, u32)> = others
            .map(|&other| (x.iter().zip(point(other)).map(|(a, b)| (a - b) * (a - b)).sum(), other))
            .collect();
        by_distance.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for (k, &(square, other)) in by_distance[..6].iter().enumerate() {
            assert_eq!(neighbours.nth(row, k), other, "row {row}, neighbour {k}");
            squares.push(square);
        }
    }
    squares.sort_by(f64::total_cmp);
    let expected = squares[((squares.len() - 1) as f64 * 0.05) as usize];
    let found = neighbours.least_square(0.05);
    assert!((found - expected).abs() < 1e-5 * expected, "{found} for {expected}");
}
