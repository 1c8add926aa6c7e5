//! What a training of models may meet: trainings that end one by one, replays that wrap around, tables that grow, runs that wait.

use ddppo::run::Record;

use crate::models;
use crate::runs::{self, Lockstep};

/// How many epochs each training of M^p had.
fn epochs(records: &[Record]) -> Vec<f64> {
    let of = |record: &Record| record.values.get("prediction_epochs").and_then(|e| e.as_f64());
    records.iter().filter_map(of).collect()
}

#[test]
fn runs_go_on_in_smaller_batches_when_others_trainings_are_over() {
    let settings = models::with(&[
        "model.patience_epochs=3",
        "model.learning_rate=0.01",
        "training.warmup_steps=79",
        "training.critic_updates_per_step=0",
        "training.policy_updates_per_step=0",
    ]);
    for (algorithm, compared) in [("ddppo", 1), ("mbpo", 2)] {
        let config = |seed| runs::config(algorithm, "Hopper", &settings, seed);
        let configs = [2, 3, 5, 7, 11, 13].map(config);
        let mut together = Lockstep::new(configs.to_vec());
        let records = together.advance(80);
        let snapshots = together.snapshots();
        let mut all: Vec<f64> = records.iter().map(|records| epochs(records)[0]).collect();
        let longest = all.iter().position(|&e| all.iter().all(|&other| other <= e)).unwrap();
        for run in (longest..longest + compared).map(|run| run % 6) {
            let mut alone = Lockstep::new(vec![configs[run].clone()]);
            assert_eq!(alone.advance(80)[0], records[run], "{algorithm}, run {run}");
            assert!(alone.snapshots()[0] == snapshots[run], "{algorithm}, run {run}");
        }
        // Three of six are over before the last, and four.
        all.sort_by(f64::total_cmp);
        assert!(all[3] < all[5], "{algorithm}, epochs {all:?}");
    }
}

/// Two runs to `steps`, and the same gone on with from their states at two steps, are the same bits: one waits for the other then, and all
/// transitions are brought anew.
fn same_when_resumed(algorithm: &str, settings: &[&str], stops: [u64; 2], steps: u64) {
    let configs = || [5, 7].map(|seed| runs::config(algorithm, "Hopper", settings, seed)).to_vec();
    let mut whole = Lockstep::new(configs());
    let mut states = Vec::new();
    for (run, stop) in stops.into_iter().enumerate() {
        whole.advance(stop);
        states.push(whole.snapshots().swap_remove(run));
    }
    whole.advance(steps);
    let mut resumed = Lockstep::resume(configs(), states);
    resumed.advance(steps);
    assert!(resumed.snapshots() == whole.snapshots());
}

#[test]
fn replays_wrap_around_and_runs_wait() {
    // Trainings at 80, 120, 160 and 200; the ring is full at 90. One run is trained alone at 160.
    let settings = models::with(&[
        "training.replay_capacity=90",
        "training.warmup_steps=80",
        "training.critic_updates_per_step=1",
    ]);
    same_when_resumed("mbpo", &settings, [130, 165], 201);
}

#[test]
fn tables_grow_beyond_the_steps_that_were_foreseen() {
    // Trainings at 1020 and 1360: the table has 1024 rows at first.
    let settings = models::with(&[
        "steps=900",
        "training.warmup_steps=1000",
        "training.model_every_steps=340",
        "training.critic_updates_per_step=1",
        "evaluation.every_steps=1000",
    ]);
    same_when_resumed("mbpo", &settings, [1200, 1200], 1361);
}
