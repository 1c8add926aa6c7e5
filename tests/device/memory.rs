//! What a group is said to take of its device's memory is what its arrays take.

use ddppo::device::graph::ProductPrecision;
use ddppo::device::group::DeviceGroup;
use ddppo::device::group::blocks::BlockGroup;
use ddppo::device::group::pieces::{DevicePiece, DevicePieces, PieceCourse};
use ddppo::methods::ddppo_plus::DdppoPlus;
use ddppo::methods::{Method, RealStep};
use ddppo::rng::Rng;

use crate::plugin::device;
use crate::{models, plus, runs};

/// Transitions of a run.
const ROWS: usize = 1500;

/// A method at the start of a run, with random transitions.
fn filled(config: &ddppo::config::Config) -> Box<dyn Method> {
    let task = ddppo::env::task(config.task()).unwrap();
    let mut method = ddppo::methods::build(config, task.clone());
    let mut rng = Rng::new(config.seed(), "memory");
    let mut draw =
        |n: usize| (0..n).map(|_| rng.uniform_in(-0.5, 0.5) as f32).collect::<Vec<f32>>();
    for _ in 0..ROWS {
        let (s, a) = (task.observation_dim(), task.action_dim());
        let (observation, action, next) = (draw(s), draw(a), draw(s));
        let transition = ddppo::data::Transition {
            observation: &observation,
            action: &action,
            reward: 0.5,
            next_observation: &next,
            terminated: false,
        };
        method.store(RealStep { transition, ended: false, draw: None });
    }
    method
}

#[test]
fn arrays_take_what_their_shapes_say() {
    // R's window has as many rows as a minibatch or more.
    let settings = models::with(&["gradient_loss.window=1000", "training.batch_size=64"]);
    for (algorithm, directions, count) in
        [("ddppo", Some(2), 3), ("ddppo", Some(2), 1), ("maac", None, 5)]
    {
        let config = |seed: usize| runs::config(algorithm, "Hopper", &settings, seed as u64);
        let methods: Vec<Box<dyn Method>> = (0..count).map(|seed| filled(&config(seed))).collect();
        let precision = ProductPrecision::Single;
        let mut pieces =
            DevicePieces::new(device().clone(), &config(0), methods, precision).unwrap();
        pieces.time(DevicePiece::Rollout, PieceCourse::Training, 1).unwrap().unwrap();
        let trained = pieces.training_bytes(directions).unwrap();
        // The neighbour lists are there now, as at a training.
        let mut one = filled(&config(0));
        let memory = DeviceGroup::memory(&config(0), &mut *one, count, ROWS).unwrap();
        let what = format!("{count} runs of {algorithm}");
        assert_eq!(pieces.kept_bytes().unwrap(), memory.learned + memory.models, "{what}");
        assert_eq!(trained, memory.training, "{what}");
        assert!(memory.most() > memory.learned + memory.models + memory.training, "{what}");
    }
}

#[test]
fn arrays_of_blocks_take_what_their_shapes_say() {
    for (count, source) in [(1, "gradient"), (3, "prediction")] {
        let source = format!("policy.gradient_source=\"{source}\"");
        let config = |seed: usize| {
            runs::config("ddppo-plus", "Hopper", &plus::with(&[&source]), seed as u64)
        };
        let mut methods: Vec<Box<dyn Method>> =
            (0..count).map(|seed| filled(&config(seed))).collect();
        let mut own: Vec<&mut DdppoPlus> =
            methods.iter_mut().map(|method| method.downcast_mut::<DdppoPlus>().unwrap()).collect();
        let precision = ProductPrecision::Single;
        let config = config(0);
        let memory = BlockGroup::memory(&config.view(), own[0], count, ROWS).unwrap();
        let group = BlockGroup::new(device().clone(), config.view(), &mut own, precision).unwrap();
        assert_eq!(group.kept_bytes(&mut own).unwrap(), memory.kept, "{count} runs, {source}");
        assert!(memory.most() > memory.kept);
        // More transitions are a larger table, and more held-out rows.
        let more = BlockGroup::memory(&config.view(), own[0], count, 500_000).unwrap();
        assert!(more.training > memory.training && more.kept == memory.kept);
    }
}
