//! The presets, compiled in: one file a method and task.

use super::suggest;
use super::{Algorithm, Config, ConfigError};

/// The presets in a folder under `presets/`: (task, text), that for robots of the user's own last.
macro_rules! presets {
    ($folder:ident) => {
        $crate::config::presets!($folder,
            "InvertedPendulum" "inverted_pendulum",
            "Hopper" "hopper",
            "Walker2d" "walker2d",
            "HalfCheetah" "half_cheetah",
            "AntTruncatedObs" "ant",
            "HumanoidTruncatedObs" "humanoid",
            "PointMass" "point_mass",
            "Pendulum" "pendulum",
            "robot" "robot"
        )
    };
    ($folder:ident, $($task:literal $file:literal),*) => {
        &[$((
            $task,
            include_str!(concat!("../methods/", stringify!($folder), "/presets/", $file, ".toml")),
        )),*]
    };
}
pub(crate) use presets;

/// Stands for any robot in the lists of presets.
const ROBOT: &str = "robot";

/// The tasks for which `algorithm` has a preset.
pub fn tasks_with_presets(algorithm: Algorithm) -> impl Iterator<Item = &'static str> {
    algorithm.presets().iter().map(|&(task, _)| task).filter(|&task| task != ROBOT)
}

impl Config {
    /// The compiled-in configuration of a method on a task.
    ///
    /// # Errors
    /// When there is none: the message names the tasks that have one.
    pub fn preset(algorithm: Algorithm, task: &str) -> Result<Self, ConfigError> {
        let Some(text) = preset_text(algorithm, task).filter(|_| task != ROBOT) else {
            return Err(ConfigError::NoPreset {
                task: task.to_owned(),
                hint: suggest::hint(task, tasks_with_presets(algorithm)),
                known: tasks_with_presets(algorithm).collect::<Vec<_>>().join(", "),
            });
        };
        Self::from_toml(text, &format!("the preset of {task}"))
    }

    /// The compiled-in configuration of a method for a robot of the user's own, whose task has this name.
    ///
    /// # Errors
    /// When the method has none.
    pub fn for_robot(algorithm: Algorithm, name: &str) -> Result<Self, ConfigError> {
        let text = preset_text(algorithm, ROBOT).unwrap_or_default();
        Ok(Self { task: name.to_owned(), ..Self::from_toml(text, "the preset of robots")? })
    }
}

fn preset_text(algorithm: Algorithm, task: &str) -> Option<&'static str> {
    algorithm.presets().iter().find(|(name, _)| *name == task).map(|&(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole_valid_and_about_its_task() {
        for &algorithm in Algorithm::ALL {
            for task in tasks_with_presets(algorithm) {
                let config = Config::preset(algorithm, task).unwrap();
                assert_eq!((config.task.as_str(), config.algorithm), (task, algorithm));
            }
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

    /// Task, updates a step, steps between two model trainings, first and last epoch of k's growth (5 later than MBPO
    /// counts them, which leaves out the random steps), largest k, target entropy in all, hidden units (facts.md 1.2).
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
            let config = Config::preset(Algorithm::Mbpo, task).unwrap();
            let (training, rollout) = (&config.training, &config.rollout);
            let actions = crate::env::task(task).unwrap().action_dim() as f64;
            assert_eq!(
                (training.critic_updates_per_step, training.model_every_steps, rollout.max_length),
                (updates, every, length),
                "{task}"
            );
            assert_eq!((rollout.first_epoch, rollout.last_epoch), epochs, "{task}");
            assert_eq!(config.temperature.target_entropy_per_dim * actions, entropy, "{task}");
            assert_eq!((config.model.hidden, training.warmup_steps), (hidden, warmup), "{task}");
        }
    }

    #[test]
    fn robots_begin_with_half_cheetahs_values() {
        for &algorithm in Algorithm::ALL {
            let mut robot = Config::for_robot(algorithm, "Arm").unwrap();
            assert_eq!(robot.task, "Arm");
            robot.task = "HalfCheetah".to_owned();
            // But that a target entropy per dimension must not depend on the unit of its control range.
            assert!(robot.policy.normalised_density);
            robot.policy.normalised_density =
                Config::preset(algorithm, "HalfCheetah").unwrap().policy.normalised_density;
            assert_eq!(robot, Config::preset(algorithm, "HalfCheetah").unwrap());
        }
    }

    #[test]
    fn a_missing_preset_is_named() {
        let message = Config::preset(Algorithm::Ddppo, "Hoper").unwrap_err().to_string();
        assert!(message.contains("`Hoper` (did you mean `Hopper`?)"), "{message}");
    }
}
