//! A method of one's own, from outside `src/`: hill climbing on the policy's weights. It has a part that no other method has, a setting
//! of its own, and gets everything else: records, exact resume, evaluation. `docs/adding-a-method.md` walks through it.

#[path = "support/pole.rs"]
mod pole;

use std::sync::Arc;

use ddppo::config::{Config, Description, RunConfig, Settings};
use ddppo::env::Task;
use ddppo::methods::{Method, MethodInfo, RealStep};
use ddppo::nn::{Activation, LearnError, Mlp, Shape};
use ddppo::path::Objective;
use ddppo::policy::{Exploration, Head, Policy};
use ddppo::rng::Rng;
use ddppo::run::{Entries, Record, SnapshotError, Tally};
use ddppo::train::Trainer;
use pole::Balance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings of a run of hill climbing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct HillConfig {
    #[serde(flatten)]
    run: RunConfig,
    /// The search.
    search: SearchConfig,
}

/// The search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct SearchConfig {
    /// Deviation of the steps in weight space.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 10.0))]
    deviation: f64,
}

impl Settings for HillConfig {}

/// The method, as the program would list it.
const INFO: MethodInfo = MethodInfo {
    name: "hill",
    summary: "Hill climbing on the policy's weights.",
    description: Description::of::<HillConfig>,
    default: "algorithm = 'hill'\nseed = 0\nsteps = 4000\nsearch.deviation = 0.3\n\
        evaluation.every_steps = 1000\nevaluation.episodes = 5\n\
        checkpoint.every_steps = 1000\ncheckpoint.keep = 3\n",
    tasks: &[("Balance", "")],
    robot: "",
    variants: &[("bold", "search.deviation = 1.0")],
    build: |config, task| Box::new(Hill::new(config, task)),
};

/// The new part: the best weights so far, and what they were worth.
struct Best {
    network: Mlp<f32>,
    score: f64,
}

impl Best {
    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { network, score } = self;
        network.visit("best", entries)?;
        entries.array("best/score", &[1], std::slice::from_mut(score))
    }
}

/// What the method is made of.
struct Hill {
    policy: Policy<f32>,
    best: Best,
    /// Rewards of the present episode.
    score: f64,
    ended: bool,
    stream: Rng,
    deviation: f64,
}

impl Hill {
    fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let HillConfig { run, search } = config.view();
        let sizes = [task.observation_dim(), 8, task.action_dim()];
        let shape = Shape::new(&sizes, Activation::Silu);
        let network = Mlp::xavier(shape, &mut Rng::new(run.seed, "initial weights"));
        let range = (task.action_low(), task.action_high());
        let head = Head::Deterministic;
        let mut policy = Policy::from_network(network, range, head, 1e-3, f64::INFINITY);
        policy.exploration = Exploration::Added(0.0);
        Self {
            best: Best { network: policy.network.clone(), score: f64::NEG_INFINITY },
            policy,
            score: 0.0,
            ended: false,
            stream: Rng::new(run.seed, "search"),
            deviation: search.deviation,
        }
    }
}

impl Method for Hill {
    fn policy(&self) -> &Policy<f32> {
        &self.policy
    }

    fn warmup_steps(&self) -> u64 {
        0
    }

    fn record_every(&self) -> u64 {
        250
    }

    fn store(&mut self, step: RealStep<'_>) {
        self.score += f64::from(step.transition.reward);
        self.ended = step.ended;
    }

    /// After an episode: its weights are kept if it was the best, and others are tried from the best ones on.
    fn learn(&mut self, _: u64, tally: &mut Tally) -> Result<(), LearnError> {
        if !std::mem::take(&mut self.ended) {
            return Ok(());
        }
        let score = std::mem::take(&mut self.score);
        LearnError::check("the episode's return", score, f64::INFINITY)?;
        if score >= self.best.score {
            self.best = Best { network: self.policy.network.clone(), score };
        }
        let Self { policy, best, stream, deviation, .. } = self;
        policy.network.update(|parameters, _| {
            for (parameter, &from) in parameters.iter_mut().zip(best.network.parameters()) {
                // Padding stays 0.
                let moved = *parameter != 0.0 || from != 0.0;
                *parameter = from + if moved { (*deviation * stream.normal()) as f32 } else { 0.0 };
            }
        });
        tally.mean("best_return", best.score);
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("deviation", self.deviation)]
    }

    fn objective(&self) -> Option<Objective<'_, f32>> {
        None
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { policy, best, score, ended, stream, deviation: _ } = self;
        policy.visit("policy", entries)?;
        best.visit(entries)?;
        entries.array("score", &[1], std::slice::from_mut(score))?;
        entries.value("ended", ended)?;
        entries.rng("streams/search", stream)
    }
}

fn task() -> Arc<dyn Task> {
    Arc::new(Balance { fault: None })
}

fn trainer(config: &Config) -> Trainer {
    let method = (INFO.build)(config, task());
    Trainer::with_method(method, config.clone(), task()).unwrap()
}

fn advance(trainer: &mut Trainer, steps: u64) -> Vec<Record> {
    let mut records = Vec::new();
    while trainer.step() < steps {
        records.extend(trainer.advance().unwrap());
    }
    records.iter_mut().for_each(|record| record.time.clear());
    records
}

#[test]
fn its_settings_are_read_checked_and_varied() {
    let config = INFO.preset("Balance").unwrap();
    let bold = INFO.with_variant(&config, "bold").unwrap();
    assert_eq!(bold.view::<HillConfig>().search.deviation, 1.0);
    for (setting, expected) in [
        ("search.deviation=0", "above 0 and at most 10"),
        ("search.deviaton=1", "(did you mean `search.deviation`?)"),
        ("policy.horizon=2", "there is no setting `policy.horizon`"),
    ] {
        let message = config.with_settings(&[setting]).unwrap_err().to_string();
        assert!(message.contains(expected), "{setting}: {message}");
    }
}

#[test]
fn it_is_resumed_to_the_bit() {
    let config = INFO.preset("Balance").unwrap();
    let mut whole = trainer(&config);
    let records = advance(&mut whole, 2000);
    assert!(records.iter().any(|record| record.get("best_return").is_some()));
    for stop in [1, 777, 1500] {
        let mut first = trainer(&config);
        let mut pieced = advance(&mut first, stop);
        let method = (INFO.build)(&config, task());
        let snapshot = first.snapshot();
        let mut second = Trainer::restore_method(method, config.clone(), task(), snapshot).unwrap();
        pieced.extend(advance(&mut second, 2000));
        assert_eq!(records, pieced, "stopped at {stop}");
        assert!(whole.snapshot() == second.snapshot(), "stopped at {stop}");
    }
}

/// The bar is far above what chance reaches: a pole that nobody holds falls within some 20 steps.
#[test]
fn it_learns() {
    let config = INFO.preset("Balance").unwrap().with_settings(&["seed=1"]).unwrap();
    let records = advance(&mut trainer(&config), 4000);
    let best = records.iter().rev().find_map(|record| record.get("best_return")).unwrap();
    assert!(best > 90.0, "{best}");
}
