//! Scoring a policy: whole episodes, mostly of its deterministic actions, in environments of their own.

use rayon::prelude::*;

use crate::env::{EnvironmentError, Episode, Task};
use crate::nn::StopFlag;
use crate::policy::{Actor, Policy};
use crate::rng::Rng;
use crate::run::metrics::Record;

/// One evaluation episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// Sum of rewards, undiscounted.
    pub score: f64,
    /// Steps.
    pub length: usize,
    /// The physics broke in its last step: the sum of rewards up to there is no score.
    pub broke: bool,
}

/// What evaluation episodes come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Mean of the scores. NaN where every episode broke.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// Mean number of steps, of all episodes.
    pub length: f64,
    /// Episodes whose physics broke. They are no score; a policy that has any is not to be preferred to one that has none.
    pub unstable: usize,
}

impl Scores {
    /// Sums up; `played` must not be empty.
    pub fn of(played: &[Played]) -> Self {
        let scores: Vec<f64> = played.iter().filter(|p| !p.broke).map(|p| p.score).collect();
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n;
        let length = played.iter().map(|p| p.length as f64).sum::<f64>() / played.len() as f64;
        Self { mean, deviation: variance.sqrt(), length, unstable: played.len() - scores.len() }
    }
}

/// The evaluation of `step` as a record. `returns` has the episodes that did not break; `unstable` is there if any did.
pub fn record(step: u64, played: &[Played]) -> Record {
    let Scores { mean, deviation, length, unstable } = Scores::of(played);
    let scores: Vec<f64> = played.iter().filter(|p| !p.broke).map(|p| p.score).collect();
    let mut record = Record::new("evaluation", step);
    record.put("return_mean", mean);
    record.put("return_std", deviation);
    record.put_list("returns", &scores);
    record.put("length_mean", length);
    if unstable > 0 {
        record.put_count("unstable", unstable as u64);
    }
    record
}

/// How a policy acts while it is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// By its deterministic action.
    Best,
    /// As in training, with whatever noise it explores by.
    Exploring,
}

/// Runs `episodes` episodes, each in an environment of its own with a reset stream grown from a word of `rng`, so that the
/// result does not depend on how many run at the same time. `None` where `stop` was raised meanwhile.
///
/// # Errors
/// When an environment cannot be made or refuses a step, or the policy's action is not finite.
pub fn evaluate(
    policy: &Policy<f32>,
    task: &dyn Task,
    acting: Acting,
    episodes: usize,
    rng: &mut Rng,
    stop: &StopFlag,
) -> Result<Option<Vec<Played>>, EnvironmentError> {
    let words: Vec<u64> = (0..episodes).map(|_| rng.next_u64()).collect();
    let play = |&word: &u64| play(policy, task, acting, &mut Rng::from_word(word), stop);
    let played = words.par_iter().map(play).collect::<Result<Vec<_>, _>>()?;
    Ok(played.into_iter().collect())
}

fn play(
    policy: &Policy<f32>,
    task: &dyn Task,
    acting: Acting,
    rng: &mut Rng,
    stop: &StopFlag,
) -> Result<Option<Played>, EnvironmentError> {
    let mut episode = Episode::begin(task, rng)?;
    let mut actor = Actor::new(policy);
    while !stop.is_raised() {
        let action = match acting {
            Acting::Best => actor.best(policy, episode.observation()),
            // The start has been drawn: what the stream gives from here on is noise.
            Acting::Exploring => actor.explore(policy, episode.observation(), rng),
        };
        let outcome = episode.step(action)?;
        if outcome.is_over() {
            let broke = outcome.broke;
            let score = episode.total_reward();
            return Ok(Some(Played { score, length: episode.length(), broke }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(score: f64, broke: bool) -> Played {
        Played { score, length: 10, broke }
    }

    #[test]
    fn an_episode_that_broke_is_no_score() {
        let scores = Scores::of(&[played(-0.8, true), played(-70.0, false), played(-74.0, false)]);
        assert_eq!((scores.mean, scores.deviation, scores.unstable), (-72.0, 2.0, 1));
        let record = record(5, &[played(-0.8, true), played(-70.0, false)]);
        assert_eq!(record.get("unstable"), Some(1.0));
        assert_eq!(record.values["returns"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn where_all_broke_there_is_no_score_at_all() {
        let scores = Scores::of(&[played(-0.8, true), played(-0.9, true)]);
        assert!(scores.mean.is_nan());
        assert_eq!(scores.unstable, 2);
        assert_eq!(record(5, &[played(1.0, false)]).get("unstable"), None);
    }
}
