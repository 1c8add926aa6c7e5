//! The derivative of an imagined step as the mean of several members'.

use std::sync::Arc;

use ddppo::lab::precision;
use ddppo::methods;
use ddppo::methods::ddppo::Ddppo;
use ddppo::model::DynamicsModel;
use ddppo::path::{GradientSource, Imagination, Objective, PolicyWorkspace};
use ddppo::rng::Rng;

const ROWS: usize = 40;

/// The policy gradient over `horizon` steps of fresh networks on the point mass, with the derivative of `k` of the gradient model's members,
/// the first of which is `first` where it is given.
fn gradient(
    source: GradientSource,
    (horizon, k): (usize, usize),
    first: Option<u32>,
    change: impl Fn(&mut DynamicsModel<f64>),
) -> Vec<f64> {
    let config = methods::preset("ddppo", "PointMass").unwrap().with_settings(&["model.hidden=24"]);
    let task = ddppo::env::task("PointMass").unwrap();
    let method = Ddppo::new(&config.unwrap(), Arc::clone(&task));
    let policy = precision::policy::<f32, f64>(&method.policy);
    let critic = precision::critic(&method.critic);
    let mut prediction_model = precision::model(&method.prediction_model.model);
    let mut gradient_model = precision::model(&method.gradient_model.as_ref().unwrap().model);
    for model in [&mut prediction_model, &mut gradient_model] {
        model.elites = vec![4, 1, 6];
        change(model);
    }
    let imagination = Imagination {
        horizon,
        prediction_model: &prediction_model,
        gradient_model: &gradient_model,
        gradient_source: source,
        derivative_members: k,
        task: &*task,
    };
    let objective = Objective {
        policy: &policy,
        imagination: Some(imagination),
        critic: &critic,
        alpha: 0.1,
        discount: 0.9,
    };
    let mut workspace = PolicyWorkspace::new(&objective, ROWS);
    let starts: Vec<[f32; 4]> =
        (0..ROWS).map(|i| std::array::from_fn(|d| (0.7 * (i * 4 + d) as f32).sin())).collect();
    workspace.draw(&objective, |row, _| &starts[row], &mut Rng::new(5, "members"));
    if let Some(first) = first {
        for part in workspace.parts_mut() {
            part.gradient_elites.iter_mut().for_each(|elites| elites.fill(first));
        }
    }
    workspace.differentiate(&objective);
    workspace.gradient().to_vec()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12 * largest, "{found} for {expected}");
    }
}

/// Over one step the gradient is linear in the derivative.
#[test]
fn the_mean_of_members_is_the_mean_of_their_gradients() {
    let source = GradientSource::GradientModel;
    let of = |k, first| gradient(source, (1, k), Some(first), |_| ());
    let alone = [4, 1, 6].map(|first| of(1, first));
    let mean = |members: &[usize]| -> Vec<f64> {
        let sum = |p: usize| members.iter().map(|&m| alone[m][p]).sum::<f64>();
        (0..alone[0].len()).map(|p| sum(p) / members.len() as f64).collect()
    };
    // The drawn elite, then those after it in the order of the elites.
    for (k, first, members) in
        [(2, 4, &[0, 1][..]), (2, 1, &[1, 2]), (2, 6, &[2, 0]), (3, 1, &[0, 1, 2])]
    {
        assert_close(&of(k, first), &mean(members));
    }
    assert!(alone[0] != alone[1]);
}

/// Over several steps, and with the noise differentiated, equal members must be as good as one.
#[test]
fn equal_members_are_as_one() {
    let equal = |model: &mut DynamicsModel<f64>| {
        let one = model.members[0].clone();
        model.members.fill(one);
    };
    for source in [
        GradientSource::GradientModel,
        GradientSource::PredictionModel,
        GradientSource::SampledStep,
    ] {
        let one = gradient(source, (3, 1), None, equal);
        for k in [2, 3] {
            assert_close(&gradient(source, (3, k), None, equal), &one);
        }
        assert!(one.iter().any(|g| g.abs() > 1e-6));
        let different = |k| gradient(source, (3, k), None, |_| ());
        assert!(different(1) != different(2), "{source:?}");
    }
}
