//! Task files of a user's robot, beside a model that is in order: MuJoCo's own reader of models is not tested here.

use ddppo::env::{MujocoTask, Task, files, names};
use ddppo::rng::Rng;

use super::{Seeds, one_sentence, selected};

/// The tasks that are made of two files, in the order of the first byte.
fn models() -> Vec<(&'static str, &'static str)> {
    names().into_iter().filter_map(files).collect()
}

/// The task files of the built-in robots, each beside its model.
pub fn seeds() -> Seeds {
    (0..).zip(models()).map(|(model, (_, task))| selected(model, task.as_bytes())).collect()
}

/// What is accepted can be reset and acted in, and shows as many numbers as it says.
pub fn check(data: &[u8]) {
    let Some((&model, content)) = data.split_first() else { return };
    let models = models();
    let (mjcf, _) = models[usize::from(model) % models.len()];
    let text = String::from_utf8_lossy(content);
    let task = match MujocoTask::from_texts(("model.xml", mjcf), ("task.toml", &text)) {
        Ok(task) => task,
        Err(error) => {
            let sentence = one_sentence(&error);
            assert!(sentence.starts_with("task.toml"), "{sentence}");
            return;
        }
    };
    let mut world = task.make().expect("a task that is accepted makes worlds");
    let mut observation = vec![f64::NAN; task.observation_dim()];
    world.reset(&mut Rng::new(0, "fuzz"), &mut observation);
    let state = world.state();
    world.set_state(&state).expect("its own state");
    let _ = task.terminated(&observation);
    assert!(!task.reward_summary().contains('\n'));
    // A frame skip of a billion is the user's wish, but takes as long as it says.
    if task.step_seconds().is_none_or(|seconds| seconds < 0.1) {
        let middle: Vec<f64> =
            task.action_low().iter().zip(task.action_high()).map(|(a, b)| (a + b) / 2.0).collect();
        if let Err(error) = world.step(&middle, &mut observation) {
            one_sentence(&error);
        }
    }
}
