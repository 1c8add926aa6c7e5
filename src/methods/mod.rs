//! The methods, a folder each: what a method is made of, the order of its updates, its settings and its presets. What methods share are
//! parts (`critic/`, `policy/`, `model/`, `path/`, `data/`), never each other. How to add one: `docs/adding-a-method.md`.

pub mod ddppo;
pub mod ddppo_plus;
mod info;
pub mod maac;
pub mod mage;
pub mod mbpo;
mod registry;
pub mod sac;
mod schema;
pub mod steve;
pub mod svg;

pub use info::MethodInfo;
pub use registry::{
    all, build, config_of_run, find, parse_config, preset, read_config, variants_of,
};
pub use schema::{schema, schema_of_all};

use std::any::Any;

use crate::data::{Replay, Transition};
use crate::model::Models;
use crate::nn::{LearnError, StopFlag};
use crate::path::{Objective, Valuation};
use crate::policy::{Draw, Policy};
use crate::run::{Entries, SnapshotError, Tally};

/// A real step, as a method takes it in.
#[derive(Clone, Copy, Debug)]
pub struct RealStep<'a> {
    /// What happened.
    pub transition: Transition<'a>,
    /// Whether the episode goes no further, for whatever reason.
    pub ended: bool,
    /// How the policy drew the action; `None` where it was uniformly random, or the policy has no density.
    pub draw: Option<Draw<'a>>,
}

/// A method in the middle of a run: everything that is learned, and what it is learned from.
pub trait Method: Any + Send {
    /// The policy that acts.
    fn policy(&self) -> &Policy<f32>;

    /// Steps at the start of a run whose actions are uniformly random.
    fn warmup_steps(&self) -> u64;

    /// Environment steps between two `train` records.
    fn record_every(&self) -> u64;

    /// Takes in a real step.
    fn store(&mut self, step: RealStep<'_>);

    /// The stored step before this one was the last of its episode: the physics broke in the one that followed, which is no data. Of use to
    /// methods that read real steps one after the other.
    fn end_episode(&mut self) {}

    /// All learning after environment step number `step`, whose transition has been stored; `tally` is told of it.
    ///
    /// # Errors
    /// When a number is not finite, or a loss beyond the guard: names it.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError>;

    /// Whether learning after step `step` may take more than a second or two, so that it should break off where it is asked to. The state
    /// before such a step is copied, so it is not to be said of every step.
    fn takes_long(&self, _step: u64) -> bool {
        false
    }

    /// Has [`Method::learn`] return [`LearnError::BrokenOff`] within a second or so of `stop`'s being raised, where it
    /// [takes long](Method::takes_long). What is half learned then is thrown away.
    fn heed(&mut self, _stop: &StopFlag) {}

    /// Present values worth a place in every `train` record, by name.
    fn gauges(&self) -> Vec<(&'static str, f64)>;

    /// The learned models, trained or not; `None` where the method learns none.
    fn models(&self) -> Option<Models<'_>> {
        None
    }

    /// The setting by which the task's own function ends imagined episodes ([`crate::env::Task::knows_termination`]): `algorithm` of a method
    /// that always asks it; `None` where it is not asked.
    fn given_termination(&self) -> Option<&'static str> {
        None
    }

    /// What the policy is improved on, where that is an [`Objective`]; `None` while a model that it needs has not been trained.
    fn objective(&self) -> Option<Objective<'_, f32>>;

    /// The policy and what values the end of its paths, for analyses along real paths; `None` of a method that differentiates no model, and while
    /// it has not been trained.
    fn valuation(&self) -> Option<Valuation<'_, f32>> {
        self.objective().and_then(Valuation::of)
    }

    /// Transitions whose states the objective's imagined steps begin in, for analyses; `None` where there are none.
    fn starts(&self) -> Option<&Replay> {
        None
    }

    /// Saves or restores everything that changes. What is derived (neighbour lists, buffers of the updates) is made again.
    ///
    /// # Errors
    /// When an entry is missing or does not fit.
    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError>;
}

impl dyn Method {
    /// The method itself, if it is an `M`.
    pub fn downcast<M: Method>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }

    /// [`dyn Method::downcast`], to be changed: a device learns in place of the method.
    pub fn downcast_mut<M: Method>(&mut self) -> Option<&mut M> {
        (self as &mut dyn Any).downcast_mut()
    }
}
