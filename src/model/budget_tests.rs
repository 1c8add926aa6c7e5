//! Training within a budget against central differences, and the draws that decide its rows.

use super::*;
use crate::data::{Standardiser, Transition};
use crate::model::secant::SecantNeighbours;

#[test]
fn gradients_of_likelihood_and_secants_equal_central_differences() {
    let rng = &mut Rng::new(0, "budget");
    let mut replay = Replay::new(2, 1, 80);
    for _ in 0..80 {
        let mut x = [0.0_f32; 6];
        rng.fill_normal(&mut x);
        replay.push(Transition {
            observation: &x[..2],
            action: &x[2..3],
            reward: 3.0 * x[3],
            next_observation: &[x[0] + 0.1 * x[4], x[1] + 0.2 * x[5]],
            terminated: false,
        });
    }
    let config = BudgetConfig {
        members: 2,
        hidden: 12,
        layers: 2,
        learning_rate: 1e-3,
        weight_decay: vec![0.0; 3],
        batch_size: 20,
        first_steps: 1,
        steps: 1,
        look_every: 1,
        holdout_fraction: 0.2,
    };
    let mut model = NormalisedModel::<f64>::new((2, 1), 2, (12, 2), rng);
    model.standardise(&replay);
    let draws = RowDraws::new(0, "test");
    let mut split = Split::default();
    split.renew(&replay, draws, 0.2);
    let mut neighbours = SecantNeighbours::new(5, 3);
    let rows: Vec<u32> = (0..80).collect();
    let inputs = Standardiser::fit(&replay, &rows, 3);
    neighbours.update(&replay, &inputs, &split.training, &split.holdout);
    let term = SecantTerm {
        neighbours: &neighbours,
        directions: 2,
        weight: 3.0,
        weights: &[1.0, 0.5, 2.0],
        least_square: 0.04,
    };
    let units = SecantUnits {
        inputs: &model.inputs,
        label_scale: &model.labels.deviation,
        weights: term.weights,
        least_square: 0.04,
    };
    let lesson = Lesson {
        replay: &replay,
        split: &split,
        draws,
        units: Some((term, units)),
        inputs: &model.inputs,
        labels: &model.labels,
        config: &config,
        steps: 1,
        stop: &StopFlag::default(),
    };
    let mut workspace = BudgetWorkspace::new(&model, &config, 2);
    let trainee = &mut workspace.trainees[1];
    let mut member = model.members[1].clone();
    member.log_sigma = vec![-0.5, 0.2, -1.0];
    let rows: Vec<u32> = split.training[..20].to_vec();
    trainee.draw_ends(&rows, &lesson);
    let mut loss = |member: &NormalisedMember<f64>| {
        let mut sums = Sums::default();
        trainee.gradient.fill(0.0);
        trainee.sigma_gradient.fill(0.0);
        trainee.evaluate(Some(1), member, &lesson, (&rows, (20, 20)), &mut sums);
        let gradients = (trainee.gradient.clone(), trainee.sigma_gradient.clone());
        (sums.nll + 3.0 * sums.secants, gradients)
    };
    let (_, (gradient, sigma_gradient)) = loss(&member);
    let mut compare = |expected: f64, change: &dyn Fn(&mut NormalisedMember<f64>, f64)| {
        let mut at = |h: f64| {
            let mut moved = member.clone();
            change(&mut moved, h);
            loss(&moved).0
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!(
            (difference - expected).abs() < 1e-7 * (1.0 + difference.abs()),
            "{expected} for {difference}"
        );
    };
    for (k, &expected) in gradient.iter().enumerate() {
        // Padding has no part in the loss: the products never read it.
        if expected != 0.0 {
            compare(expected, &|member, h| member.network.update(|p, _| p[k] += h));
        }
    }
    for (d, &expected) in sigma_gradient.iter().enumerate() {
        compare(expected, &|member, h| member.log_sigma[d] += h);
    }
    assert!(gradient.iter().filter(|g| g.abs() > 1e-4).count() > 150);
}

#[test]
fn row_draws_are_fixed_and_have_their_distributions() {
    let draws = RowDraws::new(3, "test");
    let n = 20_000;
    let out = (0..n).filter(|&k| draws.holds_out(k, 0.2)).count() as f64 / n as f64;
    // Six standard errors each.
    assert!((out - 0.2).abs() < 6.0 * (0.16 / n as f64).sqrt(), "{out}");
    for power in [1, 2] {
        let sum: f64 = (0..n).map(|k| draws.weight(k, 1).powi(power)).sum();
        let (moment, expected) = (sum / n as f64, f64::from(power));
        let deviation = if power == 1 { 1.0 } else { 20.0_f64.sqrt() };
        assert!((moment - expected).abs() < 6.0 * deviation / (n as f64).sqrt(), "{moment}");
    }
    assert_eq!(draws.weight(7, 0), RowDraws::new(3, "test").weight(7, 0));
    assert_ne!(draws.weight(7, 0), draws.weight(7, 1));
    assert_ne!(draws.weight(7, 0), RowDraws::new(3, "other").weight(7, 0));
}
