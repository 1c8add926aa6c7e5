//! When a task is solved: the mean of the last evaluations reaches `evaluation.stop_at_return`.

use std::collections::VecDeque;
use std::path::Path;

use crate::config::EvaluationConfig;
use crate::run::metrics::{self, MetricsError};

/// The kind of a record of an evaluation.
pub(super) const EVALUATION: &str = "evaluation";

/// A policy's score, of an evaluation whose numbers are `get(name)`. A policy that breaks the physics, if only at times, has none.
pub(super) fn score(get: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let stable = get("unstable").is_none_or(|unstable| unstable == 0.0);
    get("return_mean").filter(|score| score.is_finite() && stable)
}

/// What a run is to reach, and its newest scores.
#[derive(Debug)]
pub(super) struct Goal {
    wanted: f64,
    window: usize,
    scores: VecDeque<Option<f64>>,
}

impl Goal {
    /// That of a run whose metrics so far are at `path`: a run that is gone on with stops where it would have stopped.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub(super) fn new(config: &EvaluationConfig, path: &Path) -> Result<Self, MetricsError> {
        let &EvaluationConfig { stop_at_return: wanted, stop_evaluations: window, .. } = config;
        let mut goal = Self { wanted, window, scores: VecDeque::new() };
        if wanted < f64::INFINITY {
            let lines = metrics::read(path)?;
            for line in lines.iter().filter(|line| line.kind == EVALUATION) {
                goal.note(score(|name| line.get(name)));
            }
        }
        Ok(goal)
    }

    /// Takes in the score of one more evaluation.
    pub(super) fn note(&mut self, score: Option<f64>) {
        self.scores.push_back(score);
        if self.scores.len() > self.window {
            self.scores.pop_front();
        }
    }

    /// Whether the task is solved.
    pub(super) fn is_reached(&self) -> bool {
        let scores: Option<Vec<f64>> = self.scores.iter().copied().collect();
        let full = scores.filter(|scores| scores.len() == self.window);
        full.is_some_and(|scores| scores.iter().sum::<f64>() / self.window as f64 >= self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_the_last_evaluations_decides_and_a_broken_one_is_no_score() {
        let mut goal = Goal { wanted: 10.0, window: 2, scores: VecDeque::new() };
        for (score, reached) in [
            (Some(30.0), false),
            (Some(-20.0), false),
            (Some(40.0), true),
            (None, false),
            (Some(40.0), false),
            (Some(-20.0), true),
        ] {
            goal.note(score);
            assert_eq!(goal.is_reached(), reached, "{goal:?}");
        }
        let goal = Goal { wanted: f64::INFINITY, window: 1, scores: [Some(f64::MAX)].into() };
        assert!(!goal.is_reached());
    }
}
