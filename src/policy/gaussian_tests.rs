//! The policy's derivatives against central differences, and its density against its integral.

use super::*;

fn policy(
    observation_dim: usize,
    low: &[f64],
    high: &[f64],
    hidden: usize,
    rng: &mut Rng,
) -> Policy<f64> {
    let config = PolicyConfig {
        hidden,
        learning_rate: 1e-3,
        gradient_clip: f64::INFINITY,
        normalised_density: false,
    };
    Policy::new(observation_dim, (low, high), &config, rng)
}

#[test]
fn backward_equals_central_differences() {
    [Head::Gaussian, Head::Softplus].into_iter().for_each(backward_is_right);
}

fn backward_is_right(head: Head) {
    let mut rng = Rng::new(0, "policy");
    let mut policy = policy(3, &[-3.0, -0.4], &[3.0, 0.6], 16, &mut rng);
    policy.head = head;
    // One log σ about the lower clamp: cut off in some rows, not in others. (At the upper one tanh saturates, and
    // differences drown in rounding.)
    policy.network.update(|p, shape| {
        let last = shape.layers[2].clone();
        p[last.bias.start + 3] = if head == Head::Gaussian { -20.0 } else { -1.0 };
    });
    let rows = 6;
    let mut tape = PolicyTape::new(&policy, rows, Keep::Adjoints);
    for i in 0..rows {
        rng.fill_normal(tape.network.input.row_mut(i));
    }
    rng.fill_normal(&mut tape.noise);
    let mut action_weight = vec![0.0; rows * 2];
    let mut log_weight = vec![0.0; rows];
    rng.fill_normal(&mut action_weight);
    rng.fill_normal(&mut log_weight);
    let loss = |policy: &Policy<f64>, tape: &mut PolicyTape<f64>| {
        policy.sample(tape, rows);
        let by_action: f64 = tape.actions.iter().zip(&action_weight).map(|(x, w)| x * w).sum();
        by_action + tape.log_probs.iter().zip(&log_weight).map(|(x, w)| x * w).sum::<f64>()
    };
    loss(&policy, &mut tape);
    let clamped = (0..rows).filter(|&i| tape.network.output.row(i)[3] < LOG_SIGMA_RANGE.0).count();
    let some = 0 < clamped && clamped < rows;
    assert!(some == (head == Head::Gaussian), "{clamped} rows beyond the clamp");
    let mut gradient = vec![0.0; policy.network.parameters().len()];
    policy.backward(&mut tape, rows, &action_weight, &log_weight, None, true);
    policy.network.gradient(std::iter::once(&tape.network), &mut gradient);
    let by_input: Vec<f64> =
        (0..rows).flat_map(|i| tape.network.input_adjoint.row(i).to_vec()).collect();
    for k in 0..gradient.len() {
        if policy.network.parameters()[k] == 0.0 && gradient[k] == 0.0 {
            continue;
        }
        let mut at = |h: f64| {
            let mut moved = policy.clone();
            moved.network.update(|p, _| p[k] += h);
            loss(&moved, &mut tape)
        };
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!(
            (difference - gradient[k]).abs() < 1e-6 * (1.0 + difference.abs()),
            "{head:?}, parameter {k}"
        );
    }
    for (k, &expected) in by_input.iter().enumerate() {
        let mut at = |h: f64| {
            tape.network.input.row_mut(k / 3)[k % 3] += h;
            let value = loss(&policy, &mut tape);
            tape.network.input.row_mut(k / 3)[k % 3] -= h;
            value
        };
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((difference - expected).abs() < 1e-6 * (1.0 + difference.abs()), "input {k}");
    }
}

/// A one-dimensional policy's density over its action range, by the change of variables a → u.
fn integral(policy: &Policy<f64>) -> f64 {
    let n = 4001;
    let mut tape = PolicyTape::new(policy, n, Keep::Nothing);
    for i in 0..n {
        tape.network.input.row_mut(i)[0] = 0.3;
        tape.noise[i] = -8.0 + 16.0 * i as f64 / (n - 1) as f64;
    }
    policy.sample(&mut tape, n);
    (1..n)
        .map(|i| {
            let width = tape.actions[i] - tape.actions[i - 1];
            width * 0.5 * (tape.log_probs[i].exp() + tape.log_probs[i - 1].exp())
        })
        .sum()
}

#[test]
fn density_integrates_to_one_over_the_range_that_it_is_of() {
    let rng = &mut Rng::new(1, "density");
    let mut policy = policy(1, &[-2.0], &[2.0], 8, rng);
    let over_range = integral(&policy);
    assert!((over_range - 1.0).abs() < 1e-3, "{over_range}");
    // The density of a/2 is twice that of a, and so is its integral over a.
    policy.head = Head::Softplus;
    let over_range = integral(&policy);
    assert!((over_range - 1.0).abs() < 1e-3, "{over_range} with a softplus head");
    policy.normalise_density();
    let over_unit_range = integral(&policy) / 2.0;
    assert!((over_unit_range - 1.0).abs() < 1e-3, "{over_unit_range}");
}
