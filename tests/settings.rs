//! Settings of all methods: what is written is read back, what is wrong is named, and presets hold what the papers say.

use ddppo::config::{Config, ConfigError, differences};
use ddppo::methods::ddppo::DdppoConfig;
use ddppo::methods::mbpo::MbpoConfig;
use ddppo::methods::{self, preset};
use ddppo::path::GradientSource;
use ddppo::rng::Rng;
use toml::Table;

fn hopper() -> Config {
    preset("ddppo", "Hopper").unwrap()
}

fn set(assignment: &str) -> Result<Config, ConfigError> {
    hopper().with_settings(&[assignment])
}

fn with_variant(config: &Config, name: &str) -> Config {
    methods::find("ddppo").unwrap().with_variant(config, name).unwrap()
}

#[test]
fn settings_reach_their_fields() {
    let config = hopper()
        .with_settings(&[
            "policy.horizon = 4",
            "gradient_loss.weight=3",
            "policy.gradient_source=prediction_model",
            "model.single_model=true",
            "model.layers=1",
            "model.weight_decay=[0, 1e-4]",
        ])
        .unwrap();
    let DdppoConfig { policy, gradient_loss, model, .. } = config.view();
    assert_eq!(policy.path.horizon, 4);
    assert_eq!(gradient_loss.weight, 3.0);
    assert_eq!(policy.path.gradient_source, GradientSource::PredictionModel);
    assert!(model.single_model);
    assert_eq!(model.ensemble.weight_decay, [0.0, 1e-4]);
    let changed = differences(&hopper().identity(), &config.identity());
    assert_eq!(
        changed[0],
        ("gradient_loss.weight".to_owned(), "50.0".to_owned(), "3.0".to_owned())
    );
    assert_eq!(changed.len(), 6);
}

#[test]
fn what_is_written_is_read_back() {
    for info in methods::all() {
        for task in info.tasks_with_presets() {
            let config = info.preset(task).unwrap();
            assert_eq!((config.task(), config.algorithm()), (task, info.name));
            let text = config.to_toml();
            assert_eq!(methods::parse_config(&text, "config.toml").unwrap(), config);
            assert!(text.starts_with("task = ") && !text.contains("\n\n\n"), "{text}");
        }
    }
    let config = set("gradient_loss.weight=0.30000000000000004").unwrap();
    assert_eq!(methods::parse_config(&config.to_toml(), "config.toml").unwrap(), config);
    let text = include_str!("../src/methods/ddppo/presets/default.toml");
    let text = format!("task = \"HalfCheetah\"\n{text}");
    let read = methods::parse_config(&text, "default.toml").unwrap();
    assert_eq!(read, preset("ddppo", "HalfCheetah").unwrap());
}

#[test]
fn wrong_settings_are_named() {
    let table = [
        ("policy.horizn=2", "there is no setting `policy.horizn` (did you mean `policy.horizon`?)"),
        ("horizon=2", "there is no setting `horizon` (did you mean `policy.horizon`?)"),
        ("polcy.horizon=2", "there is no setting `polcy.horizon` (did you mean `policy.horizon`?)"),
        ("xyzzy=2", "there is no setting `xyzzy`"),
        ("evaluation=2", "`evaluation`: it is a section, with every_steps, episodes"),
        ("seed.x=2", "there is no setting `seed.x`"),
        ("a..b=2", "there is no setting `a..b`"),
        ("policy.horizon", "`--set policy.horizon` is not of the form KEY=VALUE"),
        ("=2", "is not of the form KEY=VALUE"),
        ("policy.horizon=", "is not of the form KEY=VALUE"),
        (
            "policy.horizon=two",
            "`policy.horizon` must be a whole number from 1 to 1000, not `\"two\"`",
        ),
        ("policy.horizon=2.5", "must be a whole number"),
        ("policy.horizon=-1", "must be a whole number from 1 to 1000, not `-1`"),
        ("critic.learning_rate=fast", "`critic.learning_rate` must be a number"),
        ("model.single_model=1", "must be `true` or `false`"),
        ("model.weight_decay=1e-4", "must be a list of numbers"),
        ("model.weight_decay=[\"a\"]", "must be a number"),
        (
            "policy.gradient_source=modle",
            "`policy.gradient_source` must be one of `gradient_model`, `prediction_model`, `sampled_step`, not `\"modle\"`",
        ),
        ("algorithm=ppo", "`algorithm` is \"ppo\", but must be chosen by `--algo`"),
        ("algorithm=sac", "`algorithm` is \"sac\", but must be chosen by `--algo`"),
        ("task=3", "`task` must be a word"),
    ];
    for (assignment, expected) in table {
        let message = set(assignment).unwrap_err().to_string();
        assert!(message.contains(expected), "{assignment}: {message}");
        assert!(!message.contains('\n'), "{assignment}: {message}");
    }
}

#[test]
fn wrong_files_are_named() {
    let good = hopper().to_toml();
    let table = [
        (good.replace("horizon = 2", "horizon = "), "run/config.toml, line "),
        (
            good.replace("horizon = 2", "horizn = 2"),
            "run/config.toml: there is no setting `policy.horizn`",
        ),
        (
            good.replace("horizon = 2", ""),
            "run/config.toml: the setting `policy.horizon` is missing",
        ),
        (
            good.replace("horizon = 2", "horizon = true"),
            "run/config.toml: `policy.horizon` must be",
        ),
        (good.replace("[policy]", "[[policy]]"), "run/config.toml: "),
        (
            good.replace("\"gradient_model\"", "\"model\""),
            "run/config.toml: `policy.gradient_source` must be one of `gradient_model`",
        ),
        (String::new(), "is missing"),
    ];
    for (text, expected) in table {
        let message = methods::parse_config(&text, "run/config.toml").unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn methods_have_only_the_settings_that_they_use() {
    let sac = preset("sac", "Hopper").unwrap();
    for (assignment, expected) in [
        ("model.hidden=100", "there is no setting `model.hidden`"),
        ("policy.horizon=3", "there is no setting `policy.horizon`"),
        ("analysis.every_steps=9", "no setting `analysis.every_steps`"),
        ("evaluation.evry_steps=9", "(did you mean `evaluation.every_steps`?)"),
        // A fault in a setting that the method has is not blamed on one that it lacks.
        ("training.replay_capacity=100", "above `training.batch_size` (256)"),
    ] {
        let error = sac.with_settings(&[assignment]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damaged_files_give_errors_not_panics() {
    let good = hopper().to_toml();
    let mut rng = Rng::new(0, "config fuzz");
    for _ in 0..2000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len());
            match rng.below(3) {
                0 => bytes[at] = b"=[]\"'.#\n0-9eE_ {},a"[rng.below(19)],
                1 => bytes.truncate(at.max(1)),
                _ => drop(bytes.remove(at)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match methods::parse_config(&text, "config.toml") {
            Ok(config) => {
                let again = methods::parse_config(&config.to_toml(), "again");
                assert_eq!(again.expect("what is written is read"), config);
            }
            Err(error) => assert!(
                error.to_string().starts_with("config.toml") || error.to_string().starts_with('`')
            ),
        }
        let assignment = text.lines().nth(rng.below(40)).unwrap_or_default();
        drop(set(assignment));
    }
}

#[test]
fn impossible_values_are_named() {
    let base = hopper();
    // Assignment, and what the message must say.
    let table = [
        ("steps=0", "`steps` is 0, but must be from 1"),
        ("model.elites=8", "`model.elites` is 8, but must be at most `model.members` (7)"),
        ("gradient_loss.directions_per_row=26", "from 1 to `gradient_loss.neighbours` (25)"),
        ("gradient_loss.directions_per_row=0", "from 1 to 10000"),
        (
            "training.replay_capacity=5000",
            "`gradient_loss.window` is 10000, but must be at most `training.replay_capacity` (5000)",
        ),
        ("gradient_loss.neighbours=256", "below `training.min_transitions` (256)"),
        ("gradient_loss.window=20", "below `gradient_loss.window` (20)"),
        ("gradient_loss.weight=-1", "from 0 to"),
        ("gradient_loss.weight=nan", "is NaN"),
        ("model.layers=2", "`model.weight_decay` is a list of 5, but must be a list of 3 numbers"),
        ("model.weight_decay=[0, 0, 0, 0, -1]", "`model.weight_decay` is -1"),
        ("model.min_log_variance=2", "below `model.max_log_variance` (0.5)"),
        ("model.holdout_fraction=0", "above 0"),
        ("model.max_holdout=0", "from 1 to"),
        ("model.improvement=inf", "is inf"),
        ("rollout.max_length=0", "from 1 to 1000"),
        ("rollout.min_length=16", "at most `rollout.max_length` (15)"),
        ("rollout.first_epoch=156", "at most `rollout.last_epoch` (155)"),
        ("policy.horizon=0", "`policy.horizon` is 0"),
        ("policy.gradient_clip=0", "above 0"),
        ("critic.target_rate=1.5", "at most 1"),
        ("training.discount=1.01", "from 0 to 1"),
        ("training.real_ratio=-0.1", "from 0 to 1"),
        ("training.replay_capacity=100", "above `training.batch_size` (256)"),
        ("training.batch_size=9000000000000", "from 1 to 1000000"),
        ("checkpoint.keep=0", "`checkpoint.keep` is 0"),
        ("evaluation.episodes=0", "`evaluation.episodes` is 0"),
        ("analysis.states=0", "`analysis.states` is 0, but must be from 1 to 1000000"),
        ("task=\"\"", "`task` is empty"),
    ];
    for (assignment, expected) in table {
        let message = base.with_settings(&[assignment]).unwrap_err().to_string();
        assert!(message.contains(expected), "{assignment}: {message}");
        assert!(!message.contains('\n'), "{assignment}: {message}");
    }
}

#[test]
fn each_variant_resolves_to_what_the_paper_describes() {
    for task in methods::find("ddppo").unwrap().tasks_with_presets() {
        let base = preset("ddppo", task).unwrap();
        let of = |name: &str| with_variant(&base, name);
        let set = |settings: &[&str]| base.with_settings(settings).unwrap();
        let weight = "gradient_loss.weight=0";
        let source = "policy.gradient_source=prediction_model";
        assert_eq!(of("no-gradient-loss"), set(&[weight]), "two models, without R");
        assert_eq!(of("prediction-gradients"), set(&[weight, source]), "one model, without R");
        assert_eq!(of("doubled"), set(&[weight, source, "model.hidden=285"]), "a larger one");
        assert_eq!(of("single-model"), set(&["model.single_model=true"]), "one model, with R");
    }
}

#[test]
fn doubled_has_the_parameters_of_two_models() {
    for task in methods::find("ddppo").unwrap().tasks_with_presets() {
        let base = preset("ddppo", task).unwrap();
        let task = ddppo::env::task(task).unwrap();
        let (s, a) = (task.observation_dim(), task.action_dim());
        let parameters = |config: &Config| {
            let settings: DdppoConfig = config.view();
            let mut rng = Rng::new(0, "variants test");
            let model =
                ddppo::model::DynamicsModel::<f32>::new(s, a, &settings.model.ensemble, &mut rng);
            (model.members.len() * model.shape().parameter_len()) as f64
        };
        let ratio = parameters(&with_variant(&base, "doubled")) / (2.0 * parameters(&base));
        assert!((0.92..1.08).contains(&ratio), "{}: {ratio}", task.name());
    }
}

#[test]
fn what_is_missing_is_named() {
    let ddppo = methods::find("ddppo").unwrap();
    let message = ddppo.with_variant(&hopper(), "single_modle").unwrap_err().to_string();
    assert!(message.contains("`single_modle` (did you mean `single-model`?)"), "{message}");
    let mbpo = methods::find("mbpo").unwrap();
    let message = mbpo.with_variant(&hopper(), "doubled").unwrap_err().to_string();
    assert!(message.contains("mbpo has no variant `doubled`; it has none"), "{message}");
    let message = preset("ddppo", "Hoper").unwrap_err().to_string();
    assert!(message.contains("`Hoper` (did you mean `Hopper`?)"), "{message}");
    let message = preset("ddpo", "Hopper").unwrap_err().to_string();
    assert!(message.contains("`ddpo` (did you mean `ddppo`?)"), "{message}");
    let text = hopper().to_toml().replace("\"ddppo\"", "\"ppo\"");
    let message = methods::parse_config(&text, "config.toml").unwrap_err().to_string();
    assert!(
        message.contains("config.toml: `algorithm` must be one of `ddppo`, `sac`"),
        "{message}"
    );
}

#[test]
fn presets_hold_table_1() {
    // Task, steps, H, n, w, largest k (Table 1).
    let table = [
        ("InvertedPendulum", 15_000, 3, 10, 10.0, 1),
        ("Hopper", 100_000, 2, 25, 50.0, 15),
        ("Walker2d", 100_000, 3, 25, 0.1, 1),
        ("HalfCheetah", 100_000, 3, 5, 1.0, 1),
        ("AntTruncatedObs", 150_000, 3, 5, 0.1, 1),
        ("HumanoidTruncatedObs", 150_000, 3, 5, 0.1, 25),
    ];
    for (task, steps, horizon, neighbours, weight, length) in table {
        let DdppoConfig { run, policy, gradient_loss, rollout, .. } =
            preset("ddppo", task).unwrap().view();
        let found = (
            run.steps,
            policy.path.horizon,
            gradient_loss.neighbours,
            gradient_loss.weight,
            rollout.max_length,
        );
        assert_eq!(found, (steps, horizon, neighbours, weight, length), "{task}");
    }
}

/// Task, updates a step, steps between two model trainings, first and last epoch of k's growth (5 later than MBPO
/// counts them, which leaves out the random steps), largest k, target entropy in all, hidden units (docs/algorithm.md, "MBPO").
#[test]
fn presets_hold_mbpos_table() {
    let table = [
        ("InvertedPendulum", 10, 250, 1, (25, 155), -0.05, 200, 500),
        ("Hopper", 20, 250, 15, (25, 155), -1.0, 200, 5000),
        ("Walker2d", 20, 250, 1, (25, 155), -3.0, 200, 5000),
        ("HalfCheetah", 40, 250, 1, (25, 155), -3.0, 200, 5000),
        ("AntTruncatedObs", 20, 250, 25, (25, 105), -4.0, 200, 5000),
        ("HumanoidTruncatedObs", 20, 1000, 25, (25, 305), -2.0, 400, 5000),
    ];
    for (task, updates, every, length, epochs, entropy, hidden, warmup) in table {
        let MbpoConfig { training, rollout, model, temperature, .. } =
            preset("mbpo", task).unwrap().view();
        let actions = ddppo::env::task(task).unwrap().action_dim() as f64;
        assert_eq!(
            (
                training.critic_updates_per_step,
                training.cadence.model_every_steps,
                rollout.max_length
            ),
            (updates, every, length),
            "{task}"
        );
        assert_eq!((rollout.first_epoch, rollout.last_epoch), epochs, "{task}");
        assert_eq!(temperature.target_entropy_per_dim * actions, entropy, "{task}");
        assert_eq!((model.hidden, training.experience.warmup_steps), (hidden, warmup), "{task}");
    }
}

#[test]
fn robots_begin_with_half_cheetahs_values() {
    for info in methods::all() {
        let robot = info.for_robot("Arm").unwrap();
        assert_eq!(robot.task(), "Arm");
        let cheetah = info.preset("HalfCheetah").unwrap();
        let differing = differences(&cheetah.identity(), &robot.identity());
        let keys: Vec<&str> = differing.iter().map(|(key, ..)| key.as_str()).collect();
        assert!(keys == ["task"] || keys == ["policy.normalised_density", "task"], "{keys:?}");
    }
}

/// Committed runs were made before the other methods were here, and before analyses and guards.
#[test]
fn configurations_of_older_runs_are_read() {
    let text = include_str!("../results/inverted_pendulum/seed1/config.toml");
    let config = methods::parse_config(text, "config.toml").unwrap();
    let settings: DdppoConfig = config.view();
    assert!(settings.temperature.automatic && !settings.model.ensemble.bootstrap);
    assert_eq!(config.parse_identity(text).unwrap(), config.identity());
    assert_eq!(settings.analysis, hopper().view::<DdppoConfig>().analysis);
    for info in methods::all() {
        let config = info.preset("Hopper").unwrap();
        let older = config.to_toml().replace("[guards]\nmax_loss = inf\n", "");
        assert!(!older.contains("guards"), "{older}");
        assert_eq!(methods::parse_config(&older, "config.toml").unwrap(), config);
        assert_eq!(config.parse_identity(&older).unwrap(), config.identity());
    }
    // Every committed run is of a method and settings that this program still knows.
    let mut found = 0;
    let mut folders =
        vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("config.toml") {
                methods::read_config(&path).unwrap();
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found} committed configurations");
}

#[test]
fn what_may_change_between_sessions_does_not_make_another_run() {
    let often = set("analysis.every_steps=100").unwrap();
    assert_eq!(often.identity(), hopper().identity());
    assert_eq!(set("checkpoint.keep=1").unwrap().identity(), hopper().identity());
    assert_ne!(set("evaluation.every_steps=100").unwrap().identity(), hopper().identity());
    let table: Table = hopper().identity();
    assert!(table.get("steps").is_none() && table.get("policy").is_some());
}
