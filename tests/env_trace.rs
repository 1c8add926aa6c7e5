//! Traces: the lines, and that they are a function of the seed. (`env_parity.rs` replays them in Gymnasium.)

use ddppo::env::{Environment, EnvironmentError, Step, Task, task, trace, uniform_actions};
use ddppo::rng::Rng;
use serde_json::Value;

fn lines(task: &dyn Task, steps: usize, seed: u64) -> Vec<Value> {
    let mut out = Vec::new();
    trace(task, steps, seed, &mut uniform_actions(task), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn episodes_begin_with_the_state_after_the_reset() {
    let lines = lines(&*task("Hopper").unwrap(), 60, 1);
    let keys: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "episode",
        "step",
        "qpos",
        "qvel",
        "action",
        "observation",
        "reward",
        "terminated",
        "truncated",
        "broke",
    ];
    assert_eq!(keys, wanted);

    let (mut episode, mut step, mut taken) = (0, 0, 0);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(
            (&line["episode"], &line["step"]),
            (&episode.into(), &step.into()),
            "line {index}"
        );
        assert_eq!(line["action"].is_null(), step == 0);
        assert_eq!(line["reward"].is_null(), step == 0);
        assert_eq!(line["qpos"].as_array().unwrap().len(), 6);
        assert_eq!(line["observation"][0], line["qpos"][1], "height");
        taken += usize::from(step > 0);
        if line["terminated"] == true {
            (episode, step) = (episode + 1, 0);
        } else {
            step += 1;
        }
    }
    assert!(episode >= 1, "the random hopper fell");
    assert_eq!(taken, 60);
}

#[test]
fn a_trace_is_a_function_of_its_seed() {
    let task = task("PointMass").unwrap();
    assert_eq!(lines(&*task, 20, 5), lines(&*task, 20, 5));
    assert_ne!(lines(&*task, 20, 5), lines(&*task, 20, 6));
}

#[test]
fn episodes_are_cut_at_the_time_limit() {
    let lines = lines(&*task("PointMass").unwrap(), 250, 0);
    let cut: Vec<usize> =
        (0..lines.len()).filter(|&index| lines[index]["truncated"] == true).collect();
    // Line 200 is step 200 of the first episode, line 201 the reset after it.
    assert_eq!(cut, [200]);
    assert_eq!((&lines[201]["episode"], &lines[201]["step"]), (&1.into(), &0.into()));
    assert!(lines.iter().all(|line| line["terminated"] == false));
}

/// Counts its steps, and has no positions. It may cut an episode itself, before its end.
struct Counter {
    count: f64,
    cut_at: Option<f64>,
}

impl Task for Counter {
    fn name(&self) -> &str {
        "Counter"
    }
    fn observation_dim(&self) -> usize {
        1
    }
    fn action_dim(&self) -> usize {
        1
    }
    fn action_low(&self) -> &[f64] {
        &[-1.0]
    }
    fn action_high(&self) -> &[f64] {
        &[1.0]
    }
    fn time_limit(&self) -> usize {
        10
    }
    fn terminated(&self, observation: &[f64]) -> bool {
        observation[0] >= 3.0
    }
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(Counter { count: 0.0, cut_at: self.cut_at }))
    }
}

impl Environment for Counter {
    fn reset(&mut self, _rng: &mut Rng, observation: &mut [f64]) {
        self.count = 0.0;
        observation[0] = self.count;
    }
    fn step(&mut self, _action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        self.count += 1.0;
        observation[0] = self.count;
        Ok(Step { reward: 0.1, terminated: self.count >= 3.0 })
    }
    fn is_cut(&self) -> bool {
        self.cut_at == Some(self.count)
    }
    fn state(&self) -> Vec<f64> {
        vec![self.count]
    }
    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        self.count = state[0];
        Ok(())
    }
}

#[test]
fn a_world_of_ones_own_is_traced_without_positions() {
    let lines = lines(&Counter { count: 0.0, cut_at: None }, 4, 0);
    let seen: Vec<f64> =
        lines.iter().map(|line| line["observation"][0].as_f64().unwrap()).collect();
    assert_eq!(seen, [0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
    assert!(lines.iter().all(|line| line["qpos"].is_null() && line["qvel"].is_null()));
    assert_eq!(lines[3]["terminated"], true);
    assert_eq!(lines[1]["reward"], 0.1);
}

#[test]
fn an_environment_may_cut_an_episode_itself() {
    let lines = lines(&Counter { count: 0.0, cut_at: Some(2.0) }, 4, 0);
    let seen: Vec<f64> =
        lines.iter().map(|line| line["observation"][0].as_f64().unwrap()).collect();
    assert_eq!(seen, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!((&lines[2]["truncated"], &lines[2]["terminated"]), (&true.into(), &false.into()));
    assert_eq!(lines[1]["truncated"], false);
}
