//! MAGE's critic in DDPPO (`--variant mage-critic`): whole runs, and the slope of the one-step target.

#[path = "support/small_runs.rs"]
mod small_runs;

use ddppo::critic::LeastTape;
use ddppo::data::Replay;
use ddppo::lab::precision;
use ddppo::methods::ddppo::Ddppo;
use ddppo::model::{Ending, StepTape};
use ddppo::nn::{Keep, Matrix};
use ddppo::path::{ActionSlopes, GradientSource, Imagination, Objective};
use ddppo::policy::PolicyTape;
use ddppo::rng::Rng;
use ddppo::train::Trainer;
use small_runs::{advance, in_pool, small, trainer, with};

/// γ.
const DISCOUNT: f64 = 0.99;

fn mage_critic(task: &str) -> ddppo::config::Config {
    let config = small("ddppo", task);
    ddppo::methods::find("ddppo").unwrap().with_variant(&config, "mage-critic").unwrap()
}

#[test]
fn ddppo_takes_mages_critic_at_any_thread_count_and_resumes_to_the_bit() {
    let config = mage_critic("Hopper");
    let run = |threads| {
        in_pool(threads, || {
            let mut trainer = trainer(&config);
            let records = advance(&mut trainer, 220);
            (records, trainer.snapshot())
        })
    };
    let (records, snapshot) = run(1);
    let loss = records.iter().rev().find_map(|record| record.get("action_gradient_loss"));
    assert!(loss.is_some_and(|loss| loss > 0.0), "{loss:?}");
    for threads in [2, 4] {
        let (again, state) = run(threads);
        assert!(records == again && snapshot == state, "{threads} threads");
    }
    let mut first = trainer(&config);
    let mut pieced = advance(&mut first, 173);
    let task = ddppo::env::task(config.task()).unwrap();
    let mut second = Trainer::restore(config.clone(), task, first.snapshot()).unwrap();
    pieced.extend(advance(&mut second, 220));
    assert_eq!(records, pieced);
    assert!(snapshot == second.snapshot());
    // A weight of 0 is the paper's critic, and tells nothing of slopes.
    let off = with(&config, &["critic.action_gradient_weight=0"]);
    let plain = advance(&mut trainer(&off), 220);
    assert_eq!(plain, advance(&mut trainer(&small("ddppo", "Hopper")), 220));
    assert_ne!(plain, records);
}

/// The slope of DDPPO's one-step target, where the sampled step is differentiated: against central differences of the target, written out.
#[test]
fn the_slope_of_ddppos_target_equals_central_differences() {
    // A model of few steps ends most of Hopper's imagined episodes at once, and none of HalfCheetah's.
    assert!(slopes_equal_differences("Hopper") < 40.0);
    assert_eq!(slopes_equal_differences("HalfCheetah"), 40.0);
}

/// How many of the 40 rows went on after their step.
fn slopes_equal_differences(task: &str) -> f64 {
    let mut trainer = trainer(&mage_critic(task));
    advance(&mut trainer, 160);
    let ddppo: &Ddppo = trainer.method().downcast().unwrap();
    let policy = precision::policy::<f32, f64>(&ddppo.policy);
    let critic = precision::critic::<f32, f64>(&ddppo.critic);
    let model = precision::model::<f32, f64>(&ddppo.prediction_model.model);
    let imagination = Imagination {
        horizon: 1,
        prediction_model: &model,
        gradient_model: &model,
        gradient_source: GradientSource::SampledStep,
        derivative_members: 1,
        ending: Ending::Given(trainer.task()),
    };
    let (alpha, discount) = (0.3, DISCOUNT);
    let objective = Objective {
        policy: &policy,
        imagination: Some(imagination),
        critic: &critic,
        alpha,
        discount,
    };
    let real: &Replay = &ddppo.real;
    let mut slopes = ActionSlopes::new(&objective, 40);
    let start = |_: usize, rng: &mut Rng| real.get(rng.below(real.len())).observation;
    assert_eq!(slopes.run(&objective, start, &mut Rng::new(1, "slopes")), 0);
    let part = &slopes.parts()[0];
    let (states, actions, k) = slopes.block(0);
    let (rows, a) = (40, policy.action_dim());
    let mut step = StepTape::new(&model, rows, Keep::Nothing);
    let mut next = PolicyTape::new(&policy, rows, Keep::Nothing);
    let mut values = LeastTape::new(&critic, rows);
    next.noise.copy_from_slice(&part.points[1].noise);
    let mut targets = |actions: &[f64]| -> Vec<f64> {
        model.forward(&mut step, &part.prediction_elites[0], states, actions);
        let labels = model.label_dim();
        let rewards: Vec<f64> = (0..rows)
            .map(|i| {
                let noise = &part.model_noise[0][i * labels..(i + 1) * labels];
                let to: &mut Matrix<f64> = &mut next.network.input;
                model.sample(step.output(i), noise, states.row(i), to.row_mut(i))
            })
            .collect();
        policy.sample(&mut next, rows);
        critic.least(&mut values, &next.network.input, &next.actions);
        let value = |i: usize| values.value(i) - alpha * next.log_probs[i];
        (0..rows).map(|i| rewards[i] + discount * part.alive[1][i] * value(i)).collect()
    };
    for d in 0..a {
        let mut at = |h: f64| {
            let mut moved = actions.to_vec();
            moved.iter_mut().skip(d).step_by(a).for_each(|x| *x += h * policy.scale[d]);
            targets(&moved)
        };
        let (high, here, low) = (at(1e-6), at(0.0), at(-1e-6));
        for i in 0..rows {
            let k = k[i * a + d];
            // The critics have kinks, and the slope at one is that of its side.
            let sides = [high[i] - low[i], 2.0 * (high[i] - here[i]), 2.0 * (here[i] - low[i])];
            let differences = sides.map(|difference| difference / 2e-6);
            let close = |difference: &f64| (difference - k).abs() < 1e-5 * (1.0 + k.abs());
            assert!(differences.iter().any(close), "{i}, {d}: {differences:?}, {k}");
        }
    }
    part.alive[1].iter().sum()
}
