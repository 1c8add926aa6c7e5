//! Model trials (Fig. 2): pairs share everything but R, repeat to the bit, and say what went wrong.

use ddppo::lab::kept;
use ddppo::lab::model_trial::{ModelTrial, TrialError, TrialOutcome};

/// A trial of a small network with weight `w`.
fn trial(w: f64) -> ModelTrial {
    let settings = [
        "training.min_transitions=300 training.batch_size=64 model.members=1 model.elites=1",
        "model.hidden=32 model.layers=2 model.weight_decay=[0,0,0]",
    ];
    let mut settings: Vec<String> =
        settings.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
    settings.push(format!("gradient_loss.weight={w:?}"));
    let config =
        ddppo::methods::preset("ddppo", "Pendulum").unwrap().with_settings(&settings).unwrap();
    ModelTrial::new(&config, 400, 30, 40)
}

fn run(trial: &ModelTrial) -> TrialOutcome {
    trial.run(&*ddppo::env::task("Pendulum").unwrap(), &mut |_| {}).unwrap()
}

#[test]
fn pairs_differ_in_nothing_but_the_gradient_loss() {
    let without = run(&trial(0.0));
    // So small that R changes nothing that single precision can see: the same minibatches, so the same model.
    let with = run(&trial(1e-30));
    assert_eq!(without.measurements, with.measurements);
    assert_eq!(run(&trial(0.0)).measurements, without.measurements, "and again");
    assert_ne!(run(&trial(10.0)).measurements, without.measurements);
    let epochs: Vec<u64> = without.measurements.iter().map(|m| m.epoch).collect();
    assert_eq!((epochs[0], epochs[epochs.len() - 1]), (2, 30));
    // Not so the gradient error: without R it need not fall in so short a training, and here it does not.
    let first = without.measurements[0].error.mean_prediction();
    let last = without.last().error.mean_prediction();
    assert!(last < first, "learning makes predictions better: {first}, then {last}");
}

#[test]
fn finished_trials_are_read_back_and_others_refused() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("model-trials");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("trial.json");
    let _ = std::fs::remove_file(&path);
    assert!(kept::read::<TrialOutcome>(&path).unwrap().is_none());
    let short = ModelTrial { epochs: 1, ..trial(1.0) };
    let outcome = run(&short);
    kept::write(&path, &outcome).unwrap();
    assert_eq!(kept::read::<TrialOutcome>(&path).unwrap(), Some(outcome));
    std::fs::write(&path, "{\"trial\": 3}").unwrap();
    let message = kept::read::<TrialOutcome>(&path).unwrap_err().to_string();
    assert!(message.contains("trial.json is no finished trial"), "{message}");
}

#[test]
fn a_model_that_breaks_is_named() {
    let mut wild = trial(1.0);
    wild.model.learning_rate = 1e30;
    let task = ddppo::env::task("Pendulum").unwrap();
    let error = wild.run(&*task, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrialError::NonFinite { .. }), "{error}");
}
