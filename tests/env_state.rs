//! Running worlds: saving and restoring in mid-episode, termination, and physics that fails.

use ddppo::env::{
    Environment, EnvironmentError, Episode, EpisodeState, MujocoTask, Outcome, Task, files, names,
    task,
};
use ddppo::rng::Rng;

fn random_action(task: &dyn Task, rng: &mut Rng) -> Vec<f64> {
    let bounds = task.action_low().iter().zip(task.action_high());
    bounds.map(|(&low, &high)| rng.uniform_in(low, high)).collect()
}

/// Takes `steps` random steps, with resets where episodes end; returns the last (observation, reward, terminated).
fn drive(
    task: &dyn Task,
    environment: &mut dyn Environment,
    rng: &mut Rng,
    steps: usize,
) -> Vec<(Vec<f64>, f64, bool)> {
    let mut observation = vec![0.0; task.observation_dim()];
    (0..steps)
        .map(|_| {
            let step = environment.step(&random_action(task, rng), &mut observation).unwrap();
            let seen = (observation.clone(), step.reward, step.terminated);
            if step.terminated {
                environment.reset(rng, &mut observation);
            }
            seen
        })
        .collect()
}

#[test]
fn a_restored_world_continues_bit_for_bit() {
    for name in names() {
        let task = task(name).unwrap();
        let mut environment = task.make().unwrap();
        let mut rng = Rng::new(1, name);
        let mut observation = vec![0.0; task.observation_dim()];
        environment.reset(&mut rng, &mut observation);
        // Save at many moments, in the air and on the ground, some in the middle of a contact.
        for moment in 0..12 {
            drive(&*task, &mut *environment, &mut rng, 7);
            let (state, rng_state) = (environment.state(), rng.state());
            let expected = drive(&*task, &mut *environment, &mut rng, 25);

            let mut fresh = task.make().unwrap();
            fresh.set_state(&state).unwrap();
            let mut again = Rng::from_state(rng_state).unwrap();
            let found = drive(&*task, &mut *fresh, &mut again, 25);
            assert_eq!(found, expected, "{name}: a fresh world, moment {moment}");

            let mut again = Rng::from_state(rng_state).unwrap();
            environment.set_state(&state).unwrap();
            let found = drive(&*task, &mut *environment, &mut again, 25);
            assert_eq!(found, expected, "{name}: the same world, moment {moment}");
            assert_eq!(environment.state(), fresh.state(), "{name}");
        }
    }
}

#[test]
fn a_state_of_another_length_is_refused() {
    for name in names() {
        let mut environment = task(name).unwrap().make().unwrap();
        let mut state = environment.state();
        state.push(0.0);
        let message = environment.set_state(&state).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(&state.len().to_string()), "{message}");
    }
}

#[test]
fn an_unknown_task_is_named_with_its_neighbour() {
    let error = task("hoper").err().expect("there is no such task");
    assert!(matches!(error, EnvironmentError::UnknownTask { .. }));
    assert!(error.to_string().contains("did you mean `Hopper`?"), "{error}");
}

#[test]
fn imagined_and_real_termination_agree() {
    for name in names() {
        let task = task(name).unwrap();
        let mut environment = task.make().unwrap();
        let mut rng = Rng::new(2, name);
        environment.reset(&mut rng, &mut vec![0.0; task.observation_dim()]);
        for (observation, _, terminated) in drive(&*task, &mut *environment, &mut rng, 400) {
            assert_eq!(task.terminated(&observation), terminated, "{name}: {observation:?}");
        }
        assert!(task.terminated(&vec![f64::NAN; task.observation_dim()]), "{name}");
    }
}

#[test]
fn hopper_ends_exactly_outside_its_ranges() {
    let hopper = task("Hopper").unwrap();
    let ends = |index: usize, value: f64| {
        let mut observation = [0.0; 11];
        observation[0] = 1.25;
        observation[index] = value;
        hopper.terminated(&observation)
    };
    assert!(ends(0, 0.7) && !ends(0, 0.7000001) && !ends(0, 1e9), "height");
    assert!(ends(1, 0.2) && ends(1, -0.2) && !ends(1, 0.1999999), "pitch");
    assert!(ends(4, 100.0) && ends(4, -100.0) && !ends(4, 99.9), "joint angle, on both sides");
    assert!(ends(10, f64::INFINITY), "velocity");
}

/// Hopper with a piece of its model or description replaced.
fn changed(model: (&str, &str), description: (&str, &str)) -> Result<MujocoTask, EnvironmentError> {
    let (mjcf, toml) = files("Hopper").unwrap();
    assert!(mjcf.contains(model.0) && toml.contains(description.0));
    let (mjcf, toml) =
        (mjcf.replacen(model.0, model.1, 1), toml.replacen(description.0, description.1, 1));
    MujocoTask::from_texts(("hopper.xml", &mjcf), ("hopper.toml", &toml))
}

#[test]
fn unstable_physics_ends_the_episode_and_tells() {
    // Motors a million million times too strong.
    let task = changed(("gear=\"200\"", "gear=\"2e14\""), ("", "")).unwrap();
    let mut environment = task.make().unwrap();
    let mut rng = Rng::new(0, "unstable");
    let mut observation = vec![0.0; task.observation_dim()];
    environment.reset(&mut rng, &mut observation);
    let step = environment.step(&[1.0, -1.0, 1.0], &mut observation).unwrap();
    assert!(step.terminated && step.reward.is_finite());
    assert!(observation.iter().all(|x| x.is_finite()));
    let warning = environment.take_warning().unwrap();
    assert!(warning.contains("Hopper") && warning.contains("step 1 "), "{warning}");
    assert_eq!(environment.take_warning(), None);
    // The world goes on after a reset.
    environment.reset(&mut rng, &mut observation);
    assert!(!environment.step(&[0.0; 3], &mut observation).unwrap().terminated);
}

#[test]
fn an_error_inside_mujoco_becomes_an_error_of_the_step() {
    // The least working memory with which the model compiles is too small for a step: MuJoCo raises an error, which by
    // default ends the process.
    let task = (1..200)
        .find_map(|size| {
            let size = format!("<size memory=\"{}\"/><default>", 200 * size);
            changed(("<default>", &size), ("", "")).ok()
        })
        .unwrap();
    // Python's MuJoCo may have left such a file here.
    let log_length = || std::fs::metadata("MUJOCO_LOG.TXT").map(|log| log.len()).ok();
    let before = log_length();
    let mut rng = Rng::new(0, "error");
    let mut observation = vec![0.0; task.observation_dim()];
    let mut environment = task.make().unwrap();
    environment.reset(&mut rng, &mut observation);
    for _ in 0..3 {
        let error = environment.step(&[0.0; 3], &mut observation).unwrap_err().to_string();
        assert!(error.starts_with("task Hopper: MuJoCo failed"), "{error}");
        environment.reset(&mut rng, &mut observation);
    }
    assert_eq!(log_length(), before, "MuJoCo wrote to its log file");
}

#[test]
fn loading_every_task_prints_nothing_of_mujocos() {
    // HalfCheetah's model makes MuJoCo's compiler warn about a deprecated attribute.
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_ddppo")).arg("tasks").output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(names().iter().all(|name| listed.contains(name)), "{listed}");
    assert!(!listed.contains("WARNING"), "{listed}");
}

#[test]
fn an_episode_tells_its_ends_apart() {
    // Terminated: the random hopper falls. Truncated: nothing ends a point mass. Broke: motors too strong.
    let ends = |task: &dyn Task, steps: usize| {
        let mut rng = Rng::new(3, "ends");
        let mut episode = Episode::begin(task, &mut rng).unwrap();
        let mut ends = Vec::new();
        for _ in 0..steps {
            let action = random_action(task, &mut rng);
            let before = episode.observation().to_vec();
            let (length, total) = (episode.length(), episode.total_reward());
            let outcome = episode.step(&action).unwrap();
            assert_eq!(outcome.observation, before);
            let Outcome { reward, terminated, truncated, broke, .. } = outcome;
            let after = outcome.next_observation.to_vec();
            assert!(outcome.is_finite());
            assert_eq!((episode.length(), episode.observation()), (length + 1, &after[..]));
            assert_eq!(episode.total_reward(), if broke { total } else { total + reward });
            assert_eq!(episode.take_warning().is_some(), broke);
            assert!(!broke || after == before);
            if terminated || truncated || broke {
                ends.push((terminated, truncated, broke));
                episode.begin_next(&mut rng);
                assert_eq!((episode.length(), episode.total_reward()), (0, 0.0));
            }
        }
        (ends, episode.broken_in_a_row())
    };
    let (fallen, row) = ends(&*task("Hopper").unwrap(), 200);
    assert!(
        !fallen.is_empty() && fallen.iter().all(|end| *end == (true, false, false)) && row == 0
    );
    assert_eq!(ends(&*task("PointMass").unwrap(), 401).0, [(false, true, false); 2]);
    let strong = changed(("gear=\"200\"", "gear=\"2e14\""), ("", "")).unwrap();
    assert_eq!(ends(&strong, 20), (vec![(false, false, true); 20], 20));
}

#[test]
fn an_episode_continues_from_its_state_bit_for_bit() {
    let task = task("Walker2d").unwrap();
    let mut rng = Rng::new(4, "episode");
    let mut episode = Episode::begin(&*task, &mut rng).unwrap();
    let live = |episode: &mut Episode, rng: &mut Rng, steps: usize| {
        for _ in 0..steps {
            if episode.step(&random_action(&*task, rng)).unwrap().is_over() {
                episode.begin_next(rng);
            }
        }
        episode.state()
    };
    live(&mut episode, &mut rng, 13);
    let (state, words) = (episode.state(), rng.state());
    let expected = live(&mut episode, &mut rng, 60);
    let mut fresh = Episode::begin(&*task, &mut Rng::new(9, "other")).unwrap();
    fresh.set_state(state.clone()).unwrap();
    assert_eq!(live(&mut fresh, &mut Rng::from_state(words).unwrap(), 60), expected);
    let short = EpisodeState { observation: vec![0.0; 3], ..state };
    assert!(fresh.set_state(short).is_err());
}

#[test]
fn actions_that_are_not_finite_are_refused() {
    let task = task("Hopper").unwrap();
    let mut episode = Episode::begin(&*task, &mut Rng::new(0, "nan")).unwrap();
    for bad in [f64::NAN, f64::INFINITY] {
        let message = episode.step(&[0.0, bad, 0.0]).unwrap_err().to_string();
        assert!(message.contains("task Hopper: action 1 is"), "{message}");
    }
}
