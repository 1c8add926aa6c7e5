//! The pieces themselves: each is built from random data once, then run and timed any number of times.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::error::BenchError;
use super::piece::Piece;
use crate::config::Config;
use crate::data::{Replay, Transition};
use crate::env::Task;
use crate::methods;
use crate::methods::Method;
use crate::methods::ddppo::{Ddppo, DdppoConfig};
use crate::model::fit::{self, FitWorkspace};
use crate::model::rollout::{RolloutWorkspace, rollout};
use crate::model::{GradientData, StepTape};
use crate::nn::{Keep, Matrix, StopFlag};
use crate::rng::Rng;
use crate::run::checkpoint::{CheckpointStore, Info};
use crate::run::snapshot::Snapshot;
use crate::run::storage::Disk;
use crate::run::{Entries, Tally};
use crate::train::Trainer;
use crate::train::evaluation::{Acting, evaluate};

/// Real transitions: the neighbours' window, and what arrives between two model trainings.
const REAL_ROWS: usize = 10_000;
const NEW_ROWS: usize = 250;
/// Imagined transitions, and how many a rollout adds.
const IMAGINED_ROWS: usize = 400_000;
const ROLLOUT_STARTS: usize = 100_000;
/// Rows of [`Piece::ModelForward10k`], and how many of them one piece of work takes, as in a rollout.
const FORWARD_ROWS: usize = 10_000;
const FORWARD_CHUNK: usize = 256;

/// Runs a piece once; what has to be put back in place first is not in the time returned.
pub(crate) type Timed = Box<dyn FnMut() -> Result<Duration, BenchError> + Send>;

/// Builds a piece.
pub(crate) fn build(
    piece: Piece,
    config: &Config,
    task: &Arc<dyn Task>,
) -> Result<Timed, BenchError> {
    let learner = || learner(config, task);
    match piece {
        Piece::CriticUpdate => Ok(critic_update(learner())),
        Piece::PolicyUpdate => Ok(policy_update(learner())),
        Piece::GradientModelStep => Ok(gradient_model_step(learner())),
        Piece::ModelForward10k => Ok(model_forward(learner())),
        Piece::SecantStep => Ok(gradient_model_step(self::learner(&secants(config)?, task))),
        Piece::NeighbourUpdate => Ok(neighbour_update(&**task, learner())),
        Piece::StandardisedNeighbours => {
            Ok(neighbour_update(&**task, self::learner(&secants(config)?, task)))
        }
        Piece::Rollout100k => Ok(rollout_100k(Arc::clone(task), learner())),
        Piece::EnvironmentStep => environment_step(config, task),
        Piece::Evaluation => Ok(evaluation(config, Arc::clone(task), learner())),
        Piece::Checkpoint => checkpoint(config, Arc::clone(task), learner()),
    }
}

/// The configuration with secants instead of R.
fn secants(config: &Config) -> Result<Config, BenchError> {
    Ok(methods::ddppo::INFO.with_variant(config, "secant")?)
}

fn timed(run: impl FnOnce() -> Result<(), BenchError>) -> Result<Duration, BenchError> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}

/// `rows` transitions of standard normal states and uniform actions.
fn push_random(replay: &mut Replay, task: &dyn Task, rows: usize, rng: &mut Rng) {
    let mut states = [(); 2].map(|()| vec![0.0_f32; task.observation_dim()]);
    let mut action = vec![0.0_f32; task.action_dim()];
    for _ in 0..rows {
        states.iter_mut().for_each(|state| rng.fill_normal(state));
        let ranges = task.action_low().iter().zip(task.action_high());
        for (a, (&low, &high)) in action.iter_mut().zip(ranges) {
            *a = rng.uniform_in(low, high) as f32;
        }
        replay.push(Transition {
            observation: &states[0],
            action: &action,
            reward: states[1][0],
            next_observation: &states[1],
            terminated: false,
        });
    }
}

/// Fresh networks, elites as if trained, both buffers as full as in the middle of a run.
fn learner(config: &Config, task: &Arc<dyn Task>) -> Ddppo {
    learner_with(config, task, IMAGINED_ROWS)
}

/// [`learner`] with so many imagined transitions.
pub(crate) fn learner_with(config: &Config, task: &Arc<dyn Task>, imagined: usize) -> Ddppo {
    let mut learner = Ddppo::new(config, Arc::clone(task));
    let mut rng = Rng::new(0, "bench");
    push_random(&mut learner.real, &**task, REAL_ROWS, &mut rng);
    for row in 0..imagined {
        learner.imagined.transitions.push(learner.real.get(row % REAL_ROWS));
    }
    let elites: Vec<u32> = (0..learner.config().model.ensemble.elites as u32).collect();
    learner.prediction_model.model.elites.clone_from(&elites);
    if let Some(learned) = &mut learner.gradient_model {
        learned.model.elites = elites;
    }
    learner
}

fn critic_update(mut learner: Ddppo) -> Timed {
    let mut tally = Tally::default();
    Box::new(move || timed(|| Ok(learner.improve_critic(&mut tally)?)))
}

fn policy_update(mut learner: Ddppo) -> Timed {
    let mut tally = Tally::default();
    Box::new(move || timed(|| Ok(learner.improve_policy(&mut tally)?)))
}

/// The window's neighbour lists, and what else R is told by the data.
fn gradient_data(learner: &Ddppo) -> GradientData {
    let sizes = (learner.policy.observation_dim(), learner.policy.action_dim());
    let mut data = GradientData::new(&learner.config().gradient_loss, sizes);
    data.update(&learner.real, || vec![1.0; sizes.0]);
    data
}

fn gradient_model_step(learner: Ddppo) -> Timed {
    let data = gradient_data(&learner);
    let DdppoConfig { training, model, .. } = learner.config().clone();
    let batch = training.experience.batch_size;
    let Ddppo { gradient_model, prediction_model, real, .. } = learner;
    let mut learned = gradient_model.unwrap_or(prediction_model).model;
    let mut workspace = FitWorkspace::new(&learned, batch, Some(data.loss()));
    let mut rng = Rng::new(0, "bench fit");
    let mut rows: Vec<u32> = (0..real.len() as u32).collect();
    rng.shuffle(&mut rows);
    let mut first = 0;
    let mut started = false;
    Box::new(move || {
        let loss = Some(data.loss());
        if !started {
            workspace.start(&rows, loss);
            started = true;
        }
        first = if first + 2 * batch > rows.len() { 0 } else { first + batch };
        let decay = &model.ensemble.weight_decay;
        timed(|| {
            fit::minibatch(&mut learned, &mut workspace, &real, loss, decay, first, &mut rng);
            Ok(())
        })
    })
}

/// What one thread needs for a chunk of rows.
struct Chunk {
    step: StepTape<f32>,
    rng: Rng,
    states: Matrix<f32>,
    actions: Vec<f32>,
    noise: Vec<f32>,
    next: Vec<f32>,
    rewards: Vec<f32>,
}

fn model_forward(learner: Ddppo) -> Timed {
    let model = learner.prediction_model.model;
    let (s, a) = (model.observation_dim(), model.action_dim());
    let mut rng = Rng::new(0, "bench forward");
    let mut chunks: Vec<Chunk> = (0..FORWARD_ROWS.div_ceil(FORWARD_CHUNK))
        .map(|c| {
            let rows = FORWARD_CHUNK.min(FORWARD_ROWS - c * FORWARD_CHUNK);
            let mut states = Matrix::zeros(rows, s);
            (0..rows).for_each(|i| rng.fill_normal(states.row_mut(i)));
            Chunk {
                step: StepTape::new(&model, rows, Keep::Nothing),
                rng: Rng::from_word(rng.next_u64()),
                states,
                actions: vec![0.5; rows * a],
                noise: vec![0.0; model.label_dim()],
                next: vec![0.0; rows * s],
                rewards: vec![0.0; rows],
            }
        })
        .collect();
    let members = [0; FORWARD_CHUNK];
    Box::new(move || {
        timed(|| {
            chunks.par_iter_mut().for_each(|chunk| {
                let rows = chunk.rewards.len();
                model.forward(&mut chunk.step, &members[..rows], &chunk.states, &chunk.actions);
                let outcomes = chunk.rewards.iter_mut().zip(chunk.next.chunks_exact_mut(s));
                for (i, (reward, next)) in outcomes.enumerate() {
                    chunk.rng.fill_normal(&mut chunk.noise);
                    let state = chunk.states.row(i);
                    *reward = model.sample(chunk.step.output(i), &chunk.noise, state, next);
                }
            });
            Ok(())
        })
    })
}

pub(crate) fn neighbour_update(task: &dyn Task, mut learner: Ddppo) -> Timed {
    let before = gradient_data(&learner).neighbours;
    push_random(&mut learner.real, task, NEW_ROWS, &mut Rng::new(1, "bench"));
    Box::new(move || {
        let mut lists = before.clone();
        timed(|| {
            lists.update(&learner.real);
            Ok(())
        })
    })
}

fn rollout_100k(task: Arc<dyn Task>, learner: Ddppo) -> Timed {
    let Ddppo { policy, prediction_model, real, mut imagined, .. } = learner;
    let model = &prediction_model.model;
    let mut workspace = RolloutWorkspace::new(&policy, model, prediction_model.ending(&*task), 1);
    let mut rng = Rng::new(0, "bench rollout");
    Box::new(move || {
        let (into, size) = (&mut imagined.transitions, (ROLLOUT_STARTS, 1));
        let (model, ending) = (&prediction_model.model, prediction_model.ending(&*task));
        timed(|| {
            rollout(&mut workspace, &policy, model, ending, &real, into, size, &mut rng);
            Ok(())
        })
    })
}

fn environment_step(config: &Config, task: &Arc<dyn Task>) -> Result<Timed, BenchError> {
    /// Steps a run, since one takes microseconds.
    const STEPS: u32 = 100;
    let mut trainer = Trainer::new(acting_only(config)?, Arc::clone(task))?;
    Ok(Box::new(move || {
        let time = timed(|| {
            for _ in 0..STEPS {
                trainer.advance()?;
            }
            Ok(())
        })?;
        Ok(time / STEPS)
    }))
}

/// A configuration under which a run acts with its policy, stores transitions, and learns nothing.
fn acting_only(config: &Config) -> Result<Config, BenchError> {
    Ok(config.with_settings(&[
        "training.warmup_steps=0",
        "training.policy_updates_per_step=0",
        "training.critic_updates_per_step=0",
        "training.model_every_steps=1000000000",
        "evaluation.every_steps=1000000000",
    ])?)
}

fn evaluation(config: &Config, task: Arc<dyn Task>, learner: Ddppo) -> Timed {
    let episodes = config.run().evaluation.episodes;
    let mut rng = Rng::new(0, "bench evaluation");
    Box::new(move || {
        let started = Instant::now();
        let stop = StopFlag::default();
        let played = evaluate(&learner.policy, &*task, Acting::Best, episodes, &mut rng, &stop)?;
        let time = started.elapsed();
        // An untrained policy may fall at once; a trained one is evaluated at the episodes' full length.
        let steps: usize = played.iter().flatten().map(|episode| episode.length).sum();
        Ok(time.mul_f64((episodes * task.time_limit()) as f64 / steps.max(1) as f64))
    })
}

/// A folder that goes when its owner does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, BenchError> {
        let path = std::env::temp_dir().join(format!("ddppo-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|reason| BenchError::File { path: path.clone(), reason })?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: at worst a folder stays in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn checkpoint(
    config: &Config,
    task: Arc<dyn Task>,
    mut learner: Ddppo,
) -> Result<Timed, BenchError> {
    let scratch = Scratch::new()?;
    let mut store =
        CheckpointStore::new(scratch.path(), config.run().checkpoint.keep, Box::new(Disk));
    let mut rng = Rng::new(2, "bench");
    let mut info = Info { step: 0, metrics_lines: 0, evaluation: None, config: config.to_toml() };
    Ok(Box::new(move || {
        let _kept_while_saving = &scratch;
        push_random(&mut learner.real, &*task, NEW_ROWS, &mut rng);
        push_random(&mut learner.imagined.transitions, &*task, ROLLOUT_STARTS, &mut rng);
        info.step += 1;
        timed(|| {
            let mut snapshot = Snapshot::new();
            let saved = learner.visit(&mut Entries::Save(&mut snapshot));
            saved.expect("saving meets no other state");
            store.save(&info, &snapshot)?;
            Ok(())
        })
    }))
}
