//! Training within a budget against central differences, its looks against their definition, and the draws that decide its rows.

use super::*;
use crate::data::{Standardiser, Transition};
use crate::model::secant::SecantNeighbours;
use crate::nn::InitialWeights;

/// A replay of 80 transitions of a noisy linear system.
fn replay(rng: &mut Rng) -> Replay {
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
    replay
}

fn config(members: usize) -> BudgetConfig {
    BudgetConfig {
        members,
        hidden: 12,
        layers: 2,
        initial_weights: InitialWeights::TruncatedNormal,
        layer_norm: true,
        learning_rate: 1e-3,
        weight_decay: vec![0.0; 3],
        batch_size: 20,
        first_steps: 1,
        steps: 1,
        look_every: 1,
        holdout_fraction: 0.2,
    }
}

#[test]
fn gradients_of_likelihood_and_secants_equal_central_differences() {
    let rng = &mut Rng::new(0, "budget");
    let replay = replay(rng);
    let config = config(2);
    let mut model = NormalisedModel::<f64>::new((2, 1), 2, (12, 2), rng).with_layer_norm();
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
    let (stop, standardisers) = (StopFlag::default(), (&model.inputs, &model.labels));
    let lesson = Lesson::new(&replay, (&split, draws), Some(term), standardisers, &config, &stop);
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
        trainee.evaluate(1, member, &lesson, (&rows, (20, 20)), &mut sums);
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

/// What the trainees say together of the held-out rows, against the mixture written out by its definition.
#[test]
fn a_look_sees_the_mixture_of_all_members() {
    let rng = &mut Rng::new(1, "look");
    let (replay, config) = (replay(rng), config(3));
    let mut model = NormalisedModel::<f64>::new((2, 1), 3, (12, 2), rng).with_layer_norm();
    model.standardise(&replay);
    for (m, member) in model.members.iter_mut().enumerate() {
        member.log_sigma = vec![-0.5 + 0.3 * m as f64, 0.2, -1.0 - 0.2 * m as f64];
    }
    let draws = RowDraws::new(0, "test");
    let mut split = Split::default();
    split.renew(&replay, draws, 0.5);
    let mut neighbours = SecantNeighbours::new(5, 3);
    let inputs = Standardiser::fit(&replay, &split.training, 3);
    neighbours.update(&replay, &inputs, &split.training, &split.holdout);
    let weights = &[1.0, 0.5, 2.0];
    let (directions, least_square) = (2, 0.04);
    let term =
        SecantTerm { neighbours: &neighbours, directions, weight: 3.0, weights, least_square };
    let (stop, standardisers) = (StopFlag::default(), (&model.inputs, &model.labels));
    let lesson = Lesson::new(&replay, (&split, draws), Some(term), standardisers, &config, &stop);
    let mut workspace = BudgetWorkspace::new(&model, &config, directions);
    let seen = MixtureLosses::of(&model.members, &lesson, &mut workspace.examiners);

    let members = model.members.len() as f64;
    let label = |row: u32, d: usize| {
        let raw = replay.get(row as usize).label::<f64>(d);
        (raw - model.labels.mean[d]) / model.labels.deviation[d]
    };
    let input = |row: u32, d: usize| {
        let raw = replay.get(row as usize).input::<f64>(d);
        (raw - model.inputs.mean[d]) / model.inputs.deviation[d]
    };
    let outputs = |row: u32| -> Vec<Vec<f64>> {
        let of = |member: &NormalisedMember<f64>| {
            let mut tape = Tape::new(member.network.shape(), 1, Keep::Nothing);
            (0..3).for_each(|d| tape.input.row_mut(0)[d] = input(row, d));
            member.network.forward(&mut tape, 0..1);
            tape.output.row(0).to_vec()
        };
        model.members.iter().map(of).collect()
    };
    let mean = |outputs: &[Vec<f64>], d: usize| outputs.iter().map(|o| o[d]).sum::<f64>() / members;
    let (mut nll, mut squares, mut secants) = (0.0, 0.0, 0.0);
    let each = 1.0 / (split.holdout.len() * 3) as f64;
    for &row in &split.holdout {
        let own = outputs(row);
        for d in 0..3 {
            let mean = mean(&own, d);
            let apart = own.iter().map(|o| (o[d] - mean).powi(2)).sum::<f64>() / members;
            let noise = model.members.iter().map(|m| (2.0 * m.log_sigma[d]).exp()).sum::<f64>();
            let (square, variance) = ((mean - label(row, d)).powi(2), noise / members + apart);
            nll += each * 0.5 * (square / variance + variance.ln());
            squares += each * square;
        }
        for k in 0..directions {
            let end = term.end(row, (row as usize + k) % neighbours.count());
            let other = outputs(end);
            let length: f64 = (0..3).map(|d| (input(end, d) - input(row, d)).powi(2)).sum();
            for (d, weight) in weights.iter().enumerate() {
                let change = mean(&other, d) - mean(&own, d) - (label(end, d) - label(row, d));
                let of_all = each / directions as f64;
                secants += of_all * weight * change * change / (length + least_square);
            }
        }
    }
    for (seen, expected) in [(seen.nll, nll), (seen.squares, squares), (seen.secants, secants)] {
        assert!((seen - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{seen} for {expected}");
    }
}

/// The ensemble's best weights come back, not those of the last step: a rate of learning that ruins them shows it.
#[test]
fn the_best_weights_come_back() {
    let rng = &mut Rng::new(2, "best");
    let replay = replay(rng);
    let mut model = NormalisedModel::<f64>::new((2, 1), 3, (12, 2), rng);
    model.standardise(&replay);
    let draws = RowDraws::new(0, "test");
    let mut split = Split::default();
    split.renew(&replay, draws, 0.3);
    let config = BudgetConfig { learning_rate: 0.5, look_every: 2, ..config(3) };
    let mut workspace = BudgetWorkspace::new(&model, &config, 0);
    let train = |model: &mut NormalisedModel<f64>, workspace: &mut BudgetWorkspace<f64>, steps| {
        let (rows, stream) = ((&split, draws), &mut Rng::new(3, "steps"));
        fit_within(model, workspace, &replay, rows, None, &config, steps, stream)
    };
    let mut again = model.clone();
    let report = train(&mut model, &mut workspace, 41);
    assert!(report.best_step > 0 && report.best_step < 40, "{report:?}");
    assert!(report.best_step.is_multiple_of(2));
    let shorter = train(&mut again, &mut workspace, report.best_step);
    assert_eq!(shorter.holdout_loss, report.holdout_loss);
    for (a, b) in model.members.iter().zip(&again.members) {
        assert_eq!(a.network.parameters(), b.network.parameters());
        assert_eq!(a.log_sigma, b.log_sigma);
    }
}
