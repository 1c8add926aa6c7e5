//! The off-line study of losses (`ddppo figure estimators`), on small runs of both methods that have a gradient loss.

use ddppo::lab::estimators::study::{EstimatorStudy, StudySize};
use ddppo::lab::estimators::trial::{EstimatorOutcome, EstimatorTrial, LossSettings, StudiedLoss};
use ddppo::lab::figures::estimators;
use ddppo::lab::kept;
use ddppo::methods;
use ddppo::train::Trainer;

/// A run on the point mass right after its first model training.
fn trained(algorithm: &str, settings: &str) -> Trainer {
    let settings: Vec<&str> = settings.split_whitespace().collect();
    let config = methods::preset(algorithm, "PointMass").unwrap().with_settings(&settings);
    let mut trainer =
        Trainer::new(config.unwrap(), ddppo::env::task("PointMass").unwrap()).unwrap();
    while trainer.method().valuation().is_none() {
        trainer.advance().unwrap();
    }
    trainer
}

fn ddppo() -> Trainer {
    trained(
        "ddppo",
        "training.warmup_steps=599 training.batch_size=64 training.model_every_steps=300 \
         training.min_transitions=600 training.policy_updates_per_step=0 \
         training.critic_updates_per_step=0 model.members=3 model.elites=2 model.hidden=24 \
         model.layers=2 model.weight_decay=[0,0,0] rollout.starts=100",
    )
}

/// A run of M^p alone: the study brings the secants.
fn plus() -> Trainer {
    trained(
        "ddppo-plus",
        "training.warmup_steps=300 training.first_updates=40 training.batch_size=32 \
         model.members=3 model.hidden=24 model.layers=2 model.weight_decay=[0,0,0] model.batch_size=64 \
         model.first_steps=150 rollout.starts=20 policy.hidden=24 critic.hidden=24",
    )
}

/// Runs what is asked for on both methods, on one thread: each of thousands of small steps would wait for another one.
fn on_both(check: impl Fn(Trainer) + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| [ddppo, plus].map(|run| check(run())));
}

/// Small trials of a study.
fn study_of(run: &Trainer, fresh: bool) -> (EstimatorStudy<'_>, Vec<EstimatorTrial>) {
    let study = EstimatorStudy::new(run, 12).unwrap();
    let size = StudySize { steps: 8, seconds: 0.0, seeds: 1, states: 12, members: Some(2), fresh };
    let trials = study.trials(size).unwrap();
    (study, trials)
}

/// The losses that a run's kind of model can be trained by.
fn losses(run: &Trainer) -> Vec<StudiedLoss> {
    match run.config().algorithm() {
        "ddppo" => StudiedLoss::ALL.into(),
        _ => vec![StudiedLoss::Likelihood, StudiedLoss::Secant, StudiedLoss::SecantByValue],
    }
}

/// The trial with another weight of its loss.
fn weighed(mut trial: EstimatorTrial, weight: f64) -> EstimatorTrial {
    match &mut trial.settings {
        LossSettings::Ddppo(settings) => settings.weight = weight,
        LossSettings::DdppoPlus(settings) => settings.weight = weight,
    }
    trial
}

#[test]
fn trials_repeat_and_differ_in_their_loss_alone() {
    on_both(|run| {
        for fresh in [false, true] {
            let (study, trials) = study_of(&run, fresh);
            assert_eq!(trials.iter().map(|trial| trial.loss).collect::<Vec<_>>(), losses(&run));
            let numbers = |trial: &EstimatorTrial| {
                let outcome = study.run(trial).unwrap();
                let steps = outcome.by_steps.iter().map(|m| m.steps).collect::<Vec<_>>();
                assert_eq!(steps, [1, 2, 4, 8]);
                assert_eq!(outcome.at_seconds.steps, 1);
                outcome.by_steps.into_iter().map(|m| m.biases).collect::<Vec<_>>()
            };
            let all: Vec<_> = trials.iter().map(numbers).collect();
            for (i, own) in all.iter().enumerate() {
                assert_eq!(numbers(&trials[i]), *own, "{:?}", trials[i].loss);
                assert!(all[..i].iter().all(|other| other != own), "{:?}", trials[i].loss);
            }
        }
    });
}

/// So small a weight that single precision does not see it: the same minibatches, so the same model as without the loss.
#[test]
fn losses_share_their_minibatches() {
    let run = ddppo();
    let (study, trials) = study_of(&run, false);
    let numbers = |trial: &EstimatorTrial| study.run(trial).unwrap().by_steps[3].biases.clone();
    let mut without = trials[0].clone();
    // Neighbours are drawn for either, from streams of their own.
    if let (LossSettings::Ddppo(own), LossSettings::Ddppo(secant)) =
        (&mut without.settings, &trials[3].settings)
    {
        own.window = secant.window;
    }
    assert_eq!(numbers(&weighed(trials[3].clone(), 1e-30)), numbers(&without));
    assert_ne!(numbers(&trials[3]), numbers(&without));
}

/// Fresh networks of DDPPO+ must tell its policy less of a lie after 400 steps than after 50, whatever their loss.
#[test]
fn what_is_measured_is_the_model_in_training() {
    let run = plus();
    let (study, trials) = study_of(&run, true);
    for trial in trials {
        let outcome = study.run(&EstimatorTrial { steps: 400, ..trial.clone() }).unwrap();
        let bias = |i: usize| outcome.by_steps[i].biases[2].1.relative;
        assert!(bias(3) < 0.6 * bias(0), "{:?}: {} then {}", trial.loss, bias(0), bias(3));
    }
}

#[test]
fn more_members_than_there_are_are_refused() {
    on_both(|run| {
        let study = EstimatorStudy::new(&run, 12).unwrap();
        let members = Some(4);
        let size = StudySize { steps: 1, seconds: 0.0, seeds: 1, states: 1, members, fresh: true };
        let message = study.trials(size).unwrap_err().to_string();
        assert_eq!(message, "--members is 4, but the run's ensemble has 3");
    });
}

#[test]
fn studies_are_kept_and_drawn() {
    on_both(|run| {
        let (study, trials) = study_of(&run, false);
        let file = format!("{}-trial.json", run.config().algorithm());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&file);
        let _ = std::fs::remove_file(&path);
        assert!(kept::read_of::<EstimatorOutcome>(&path, &trials[0]).unwrap().is_none());
        let outcomes: Vec<EstimatorOutcome> =
            trials.iter().map(|trial| study.run(trial).unwrap()).collect();
        kept::write(&path, &outcomes[0]).unwrap();
        let found = kept::read_of::<EstimatorOutcome>(&path, &trials[0]).unwrap();
        assert_eq!(found.as_ref(), Some(&outcomes[0]));
        let message = kept::read_of::<EstimatorOutcome>(&path, &trials[1]).unwrap_err().to_string();
        assert!(
            message.contains(&format!("{file} holds a trial with other settings")),
            "{message}"
        );
        let table = estimators::summary(&outcomes);
        let csv = estimators::csv(&outcomes);
        for loss in losses(&run) {
            assert_eq!(table.matches(&format!("| {} |", loss.name())).count(), 2, "{table}");
            // Five measurements of three horizons.
            assert_eq!(csv.matches(&format!(",{},0,2,false,", loss.name())).count(), 15, "{csv}");
        }
        estimators::picture(&outcomes);
    });
}
