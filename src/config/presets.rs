//! The presets, compiled in: one file a method and task.

use super::{Algorithm, Config, ConfigError};
use crate::suggest;

/// Task name and preset of each task, for [`Algorithm::Ddppo`].
const DDPPO: [(&str, &str); 8] = [
    ("InvertedPendulum", include_str!("../../presets/ddppo/inverted_pendulum.toml")),
    ("Hopper", include_str!("../../presets/ddppo/hopper.toml")),
    ("Walker2d", include_str!("../../presets/ddppo/walker2d.toml")),
    ("HalfCheetah", include_str!("../../presets/ddppo/half_cheetah.toml")),
    ("AntTruncatedObs", include_str!("../../presets/ddppo/ant.toml")),
    ("HumanoidTruncatedObs", include_str!("../../presets/ddppo/humanoid.toml")),
    ("PointMass", include_str!("../../presets/ddppo/point_mass.toml")),
    ("Pendulum", include_str!("../../presets/ddppo/pendulum.toml")),
];

/// For robots of the user's own.
const ROBOT: &str = include_str!("../../presets/ddppo/robot.toml");

fn presets(algorithm: Algorithm) -> &'static [(&'static str, &'static str)] {
    match algorithm {
        Algorithm::Ddppo => &DDPPO,
    }
}

/// The tasks for which `algorithm` has a preset.
pub fn tasks_with_presets(algorithm: Algorithm) -> impl Iterator<Item = &'static str> {
    presets(algorithm).iter().map(|&(task, _)| task)
}

impl Config {
    /// The compiled-in configuration of a method on a task.
    ///
    /// # Errors
    /// When there is none: the message names the tasks that have one.
    pub fn preset(algorithm: Algorithm, task: &str) -> Result<Self, ConfigError> {
        let Some((_, text)) = presets(algorithm).iter().find(|(name, _)| *name == task) else {
            return Err(ConfigError::NoPreset {
                task: task.to_owned(),
                hint: suggest::hint(task, tasks_with_presets(algorithm)),
                known: tasks_with_presets(algorithm).collect::<Vec<_>>().join(", "),
            });
        };
        Self::from_toml(text, &format!("the preset of {task}"))
    }

    /// The compiled-in configuration for a robot of the user's own, whose task has this name.
    pub fn for_robot(name: &str) -> Self {
        let preset =
            Self::from_toml(ROBOT, "the preset of robots").expect("a test reads every preset");
        Self { task: name.to_owned(), ..preset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole_valid_and_about_its_task() {
        for task in tasks_with_presets(Algorithm::Ddppo) {
            let config = Config::preset(Algorithm::Ddppo, task).unwrap();
            assert_eq!(config.task, task);
            assert_eq!(config.algorithm, Algorithm::Ddppo);
        }
    }

    #[test]
    fn presets_hold_table_1() {
        // Task, steps, H, n, w, largest k (SPEC section 4).
        let table = [
            ("InvertedPendulum", 15_000, 3, 10, 10.0, 1),
            ("Hopper", 100_000, 2, 25, 50.0, 15),
            ("Walker2d", 100_000, 3, 25, 0.1, 1),
            ("HalfCheetah", 100_000, 3, 5, 1.0, 1),
            ("AntTruncatedObs", 150_000, 3, 5, 0.1, 1),
            ("HumanoidTruncatedObs", 150_000, 3, 5, 0.1, 25),
        ];
        for (task, steps, horizon, neighbours, weight, length) in table {
            let config = Config::preset(Algorithm::Ddppo, task).unwrap();
            let found = (
                config.steps,
                config.policy.horizon,
                config.gradient_loss.neighbours,
                config.gradient_loss.weight,
                config.rollout.max_length,
            );
            assert_eq!(found, (steps, horizon, neighbours, weight, length), "{task}");
        }
    }

    #[test]
    fn robots_begin_with_half_cheetahs_values() {
        let mut robot = Config::for_robot("Arm");
        assert_eq!(robot.task, "Arm");
        robot.task = "HalfCheetah".to_owned();
        assert_eq!(robot, Config::preset(Algorithm::Ddppo, "HalfCheetah").unwrap());
    }

    #[test]
    fn a_missing_preset_is_named() {
        let message = Config::preset(Algorithm::Ddppo, "Hoper").unwrap_err().to_string();
        assert!(message.contains("`Hoper` (did you mean `Hopper`?)"), "{message}");
    }
}
