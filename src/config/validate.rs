//! What a configuration must satisfy beyond its types. The upper bounds are far beyond any sensible run: they keep a slip
//! of the fingers from asking for more memory than there is.

use std::fmt::Display;

use super::{Algorithm, Config, ConfigError, GradientSource};

fn require(
    holds: bool,
    key: &'static str,
    value: impl Display,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::Impossible { key, value: value.to_string(), expected: expected.into() })
    }
}

fn whole(key: &'static str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
    require((low..=high).contains(&value), key, value, format!("from {low} to {high}"))
}

fn size(key: &'static str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    whole(key, value as u64, low as u64, high as u64)
}

/// `low ≤ value ≤ high`; NaN satisfies nothing.
fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), ConfigError> {
    require((low..=high).contains(&value), key, value, format!("from {low} to {high}"))
}

/// `low < value ≤ high`.
fn above(key: &'static str, value: f64, low: f64, high: f64) -> Result<(), ConfigError> {
    require(value > low && value <= high, key, value, format!("above {low} and at most {high}"))
}

impl Config {
    /// Checks every value, and the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible: the message names key, value and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        require(!self.task.is_empty(), "task", "empty", "the name of a task")?;
        // TOML's integers end there.
        whole("seed", self.seed, 0, i64::MAX as u64)?;
        whole("steps", self.steps, 1, 1_000_000_000)?;
        self.validate_training()?;
        self.validate_model()?;
        if self.algorithm.uses("gradient_loss") {
            self.validate_gradient_loss()?;
        }
        self.validate_rollout()?;
        self.validate_agent()?;
        whole("evaluation.every_steps", self.evaluation.every_steps, 1, 1_000_000_000)?;
        size("evaluation.episodes", self.evaluation.episodes, 1, 100_000)?;
        whole("analysis.every_steps", self.analysis.every_steps, 0, 1_000_000_000)?;
        size("analysis.states", self.analysis.states, 1, 1_000_000)?;
        whole("checkpoint.every_steps", self.checkpoint.every_steps, 1, 1_000_000_000)?;
        size("checkpoint.keep", self.checkpoint.keep, 1, 10_000)?;
        let largest = self.guards.max_loss;
        require(largest > 0.0, "guards.max_loss", largest, "above 0, or inf for no guard")
    }

    fn validate_training(&self) -> Result<(), ConfigError> {
        let training = &self.training;
        whole("training.warmup_steps", training.warmup_steps, 0, 1_000_000_000)?;
        size("training.batch_size", training.batch_size, 1, 1_000_000)?;
        whole("training.model_every_steps", training.model_every_steps, 1, 1_000_000_000)?;
        // Fewer would leave nothing to train on beside the holdout.
        size("training.min_transitions", training.min_transitions, 2, 100_000_000)?;
        size("training.policy_updates_per_step", training.policy_updates_per_step, 0, 10_000)?;
        size("training.critic_updates_per_step", training.critic_updates_per_step, 0, 10_000)?;
        within("training.real_ratio", training.real_ratio, 0.0, 1.0)?;
        within("training.discount", training.discount, 0.0, 1.0)?;
        size("training.replay_capacity", training.replay_capacity, 2, 100_000_000)?;
        require(
            training.replay_capacity >= training.min_transitions,
            "training.replay_capacity",
            training.replay_capacity,
            format!("at least `training.min_transitions` ({})", training.min_transitions),
        )
    }

    fn validate_model(&self) -> Result<(), ConfigError> {
        let model = &self.model;
        size("model.members", model.members, 1, 1000)?;
        size("model.elites", model.elites, 1, 1000)?;
        require(
            model.elites <= model.members,
            "model.elites",
            model.elites,
            format!("at most `model.members` ({})", model.members),
        )?;
        size("model.hidden", model.hidden, 1, 16_384)?;
        size("model.layers", model.layers, 1, 64)?;
        above("model.learning_rate", model.learning_rate, 0.0, 1.0)?;
        let expected = model.layers + 1;
        require(
            model.weight_decay.len() == expected,
            "model.weight_decay",
            format!("a list of {}", model.weight_decay.len()),
            format!(
                "a list of {expected} numbers: one for each of the {} hidden layers and the output",
                model.layers
            ),
        )?;
        for &decay in &model.weight_decay {
            within("model.weight_decay", decay, 0.0, 1e6)?;
        }
        within("model.min_log_variance", model.min_log_variance, -80.0, 80.0)?;
        within("model.max_log_variance", model.max_log_variance, -80.0, 80.0)?;
        require(
            model.min_log_variance < model.max_log_variance,
            "model.min_log_variance",
            model.min_log_variance,
            format!("below `model.max_log_variance` ({})", model.max_log_variance),
        )?;
        above("model.holdout_fraction", model.holdout_fraction, 0.0, 0.9)?;
        size("model.max_holdout", model.max_holdout, 1, 100_000_000)?;
        size("model.patience_epochs", model.patience_epochs, 1, 100_000)?;
        within("model.improvement", model.improvement, 0.0, 1.0)
    }

    fn validate_gradient_loss(&self) -> Result<(), ConfigError> {
        let loss = &self.gradient_loss;
        within("gradient_loss.weight", loss.weight, 0.0, 1e9)?;
        size("gradient_loss.neighbours", loss.neighbours, 1, 10_000)?;
        size("gradient_loss.window", loss.window, 2, 100_000_000)?;
        for (limit, name) in [
            (loss.window, "gradient_loss.window"),
            (self.training.min_transitions, "training.min_transitions"),
        ] {
            // A row is no neighbour of its own.
            require(
                loss.neighbours < limit,
                "gradient_loss.neighbours",
                loss.neighbours,
                format!("below `{name}` ({limit})"),
            )?;
        }
        require(
            (1..=loss.neighbours).contains(&loss.directions_per_row),
            "gradient_loss.directions_per_row",
            loss.directions_per_row,
            format!("from 1 to `gradient_loss.neighbours` ({})", loss.neighbours),
        )
    }

    fn validate_rollout(&self) -> Result<(), ConfigError> {
        let rollout = &self.rollout;
        size("rollout.starts", rollout.starts, 1, 100_000_000)?;
        size("rollout.min_length", rollout.min_length, 1, 1000)?;
        size("rollout.max_length", rollout.max_length, 1, 1000)?;
        require(
            rollout.min_length <= rollout.max_length,
            "rollout.min_length",
            rollout.min_length,
            format!("at most `rollout.max_length` ({})", rollout.max_length),
        )?;
        whole("rollout.last_epoch", rollout.last_epoch, 0, 1_000_000_000)?;
        require(
            rollout.first_epoch <= rollout.last_epoch,
            "rollout.first_epoch",
            rollout.first_epoch,
            format!("at most `rollout.last_epoch` ({})", rollout.last_epoch),
        )?;
        size("rollout.capacity_per_step", rollout.capacity_per_step, 1, 100_000_000)
    }

    fn validate_agent(&self) -> Result<(), ConfigError> {
        let Self { policy, critic, temperature, .. } = self;
        size("policy.hidden", policy.hidden, 1, 16_384)?;
        above("policy.learning_rate", policy.learning_rate, 0.0, 1.0)?;
        above("policy.gradient_clip", policy.gradient_clip, 0.0, f64::INFINITY)?;
        size("policy.horizon", policy.horizon, 1, 1000)?;
        require(
            !(self.algorithm == Algorithm::Maac
                && policy.gradient_source == GradientSource::GradientModel),
            "policy.gradient_source",
            "gradient_model",
            "`sampled_step` or `prediction_model`: MAAC has one model",
        )?;
        size("critic.hidden", critic.hidden, 1, 16_384)?;
        above("critic.learning_rate", critic.learning_rate, 0.0, 1.0)?;
        above("critic.gradient_clip", critic.gradient_clip, 0.0, f64::INFINITY)?;
        above("critic.target_rate", critic.target_rate, 0.0, 1.0)?;
        above("temperature.learning_rate", temperature.learning_rate, 0.0, 1.0)?;
        within("temperature.initial_log", temperature.initial_log, -50.0, 50.0)?;
        within(
            "temperature.target_entropy_per_dim",
            temperature.target_entropy_per_dim,
            -1000.0,
            1000.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Algorithm;

    #[test]
    fn impossible_values_are_named() {
        let base = Config::preset(Algorithm::Ddppo, "Hopper").unwrap();
        // Assignment, and what the message must say.
        let table = [
            ("steps=0", "`steps` is 0, but must be from 1"),
            ("model.elites=8", "`model.elites` is 8, but must be at most `model.members` (7)"),
            ("gradient_loss.directions_per_row=26", "from 1 to `gradient_loss.neighbours` (25)"),
            ("gradient_loss.directions_per_row=0", "from 1 to `gradient_loss.neighbours` (25)"),
            ("gradient_loss.neighbours=256", "below `training.min_transitions` (256)"),
            ("gradient_loss.window=20", "below `gradient_loss.window` (20)"),
            ("gradient_loss.weight=-1", "from 0 to"),
            ("gradient_loss.weight=nan", "is NaN"),
            (
                "model.layers=2",
                "`model.weight_decay` is a list of 5, but must be a list of 3 numbers",
            ),
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
            ("training.replay_capacity=100", "at least `training.min_transitions` (256)"),
            ("training.batch_size=9000000000000", "from 1 to 1000000"),
            ("checkpoint.keep=0", "`checkpoint.keep` is 0"),
            ("evaluation.episodes=0", "`evaluation.episodes` is 0"),
            ("analysis.states=0", "`analysis.states` is 0, but must be from 1 to 1000000"),
            ("task=\"\"", "`task` is empty"),
        ];
        for (assignment, expected) in table {
            let message = base.with_settings(&[assignment.to_owned()]).unwrap_err().to_string();
            assert!(message.contains(expected), "{assignment}: {message}");
            assert!(!message.contains('\n'), "{assignment}: {message}");
        }
    }
}
