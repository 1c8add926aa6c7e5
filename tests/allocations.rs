//! The loop's work allocates nothing once it has run: updates and steps happen millions of times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ddppo::config::Config;
use ddppo::data::{Replay, Transition};
use ddppo::methods::ddppo::Ddppo;
use ddppo::methods::maac::Maac;
use ddppo::methods::mage::Mage;
use ddppo::methods::mbpo::Mbpo;
use ddppo::methods::sac::Sac;
use ddppo::methods::{self, Method, RealStep};
use ddppo::model::fit::{FitWorkspace, minibatch};
use ddppo::model::{GradientLoss, Neighbours};
use ddppo::nn::{Activation, Keep, Mlp, Shape, Tangent, Tape};
use ddppo::rng::Rng;
use ddppo::run::Tally;
use ddppo::train::Trainer;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread's own cell, which has no
// destructor and whose making allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of `runs` runs after two unobserved ones, on the one thread that does everything here.
fn allocations(runs: usize, mut run: impl FnMut()) -> usize {
    run();
    run();
    let before = ALLOCATIONS.with(Cell::get);
    (0..runs).for_each(|_| run());
    ALLOCATIONS.with(Cell::get) - before
}

/// Runs on a pool of one thread, whose counter then sees all work.
fn on_one_thread<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(run)
}

const TASK: &str = "Hopper";

/// Narrow networks; batches of two pieces. Nothing is trained but by hand.
fn config(algorithm: &str) -> Config {
    let config = methods::preset(algorithm, TASK).unwrap();
    let settings = ["model.hidden=32", "policy.hidden=32", "critic.hidden=32"];
    let has = |setting: &&str| config.get(setting.split('=').next().unwrap()).is_some();
    let own: Vec<&str> = settings.into_iter().filter(has).collect();
    config.with_settings(&own).unwrap()
}

fn push_random(replay: &mut Replay, rows: usize) {
    let mut rng = Rng::new(0, "transitions");
    let (mut s, mut a, mut next) = ([0.0_f32; 11], [0.0_f32; 3], [0.0_f32; 11]);
    for _ in 0..rows {
        rng.fill_normal(&mut s);
        rng.fill_normal(&mut a);
        rng.fill_normal(&mut next);
        replay.push(Transition {
            observation: &s,
            action: &a,
            reward: s[0],
            next_observation: &next,
            terminated: false,
        });
    }
}

const ELITES: [u32; 5] = [0, 1, 2, 3, 4];

/// DDPPO as if its models had been trained.
fn ddppo() -> Ddppo {
    let mut ddppo = Ddppo::new(&config("ddppo"), ddppo::env::task(TASK).unwrap());
    push_random(&mut ddppo.real, 600);
    push_random(&mut ddppo.imagined.transitions, 600);
    ddppo.prediction_model.model.elites = ELITES.to_vec();
    ddppo.gradient_model.as_mut().unwrap().model.elites = ELITES.to_vec();
    ddppo
}

/// MBPO as if its model had been trained.
fn mbpo() -> Mbpo {
    let mut mbpo = Mbpo::new(&config("mbpo"), ddppo::env::task(TASK).unwrap());
    push_random(&mut mbpo.real, 600);
    push_random(&mut mbpo.imagined.transitions, 600);
    mbpo.model.model.elites = ELITES.to_vec();
    mbpo
}

/// DDPPO with MAGE's critic.
fn ddppo_with_mages_critic() -> Ddppo {
    let config = config("ddppo").with_settings(&["critic.action_gradient_weight=5"]).unwrap();
    let mut ddppo = Ddppo::new(&config, ddppo::env::task(TASK).unwrap());
    push_random(&mut ddppo.real, 600);
    push_random(&mut ddppo.imagined.transitions, 600);
    ddppo.prediction_model.model.elites = ELITES.to_vec();
    ddppo.gradient_model.as_mut().unwrap().model.elites = ELITES.to_vec();
    ddppo
}

/// MAGE after a training of its model, on random transitions.
fn mage() -> Mage {
    let config = config("mage").with_settings(&["model.batches=2"]).unwrap();
    let mut mage = Mage::new(&config, ddppo::env::task(TASK).unwrap());
    let mut random = Replay::new(11, 3, 600);
    push_random(&mut random, 600);
    for row in 0..random.len() {
        mage.store(RealStep { transition: random.get(row), ended: false, draw: None });
    }
    mage.learn(25, &mut Tally::default()).unwrap();
    assert!(mage.model.is_trained());
    mage
}

/// The methods in the middle of a run, each with a step at which it updates but trains no model.
fn methods_at_work() -> Vec<(Box<dyn Method>, u64)> {
    let mut sac = Sac::new(&config("sac"), ddppo::env::task(TASK).unwrap());
    push_random(&mut sac.real, 600);
    let mut maac = Maac::new(&config("maac"), ddppo::env::task(TASK).unwrap());
    push_random(&mut maac.real, 600);
    push_random(&mut maac.imagined.transitions, 600);
    maac.model.model.elites = ELITES.to_vec();
    vec![
        (Box::new(ddppo()), 5001),
        (Box::new(sac), 601),
        (Box::new(mbpo()), 5001),
        (Box::new(maac), 5001),
        (Box::new(ddppo_with_mages_critic()), 5001),
        (Box::new(mage()), 5001),
    ]
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(5, || drop(std::hint::black_box(Box::new(1)))), 5);
}

/// At 64 a ReLU's zeros are left out of products.
#[test]
fn tangents_and_their_way_back_allocate_nothing() {
    on_one_thread(|| {
        for activation in [Activation::Relu, Activation::Silu] {
            let shape = Shape::new(&[5, 64, 64, 3], activation);
            let network = Mlp::<f32>::xavier(shape.clone(), &mut Rng::new(0, "tangents"));
            let mut tape = Tape::new(&shape, 40, Keep::Curves);
            let mut tangent = Tangent::new(&shape, 3, 40, 2);
            let mut gradient = vec![0.0; shape.parameter_len()];
            let count = allocations(3, || {
                network.forward(&mut tape, 0..40);
                network.tangent(&tape, &mut tangent, 0..40);
                let gradient = Some(&mut gradient[..]);
                network.tangent_backward(&mut tape, &mut tangent, 0..40, gradient, true);
            });
            assert_eq!(count, 0, "{activation:?}");
        }
    });
}

#[test]
fn policy_and_critic_updates_allocate_nothing() {
    on_one_thread(|| {
        for (mut method, step) in methods_at_work() {
            let mut tally = Tally::default();
            let count = allocations(3, || method.learn(step, &mut tally).unwrap());
            let told = tally.take_train_record(step, &[]);
            for updates in ["policy_updates", "critic_updates"] {
                assert!(told.get(updates).is_some_and(|n| n > 0.0), "{updates}");
            }
            assert_eq!(count, 0, "updates of {:?}", method.gauges());
        }
    });
}

#[test]
fn model_minibatches_allocate_nothing() {
    on_one_thread(|| {
        let (learner, bounded) = (ddppo(), mbpo());
        let config = learner.config();
        let (n, directions) = (config.gradient_loss.neighbours, 3);
        let mut neighbours = Neighbours::new(n, config.gradient_loss.window, 14);
        neighbours.update(&learner.real);
        let rows: Vec<u32> = (0..600).collect();
        let mut rng = Rng::new(0, "fit");
        let r = GradientLoss::of_paper(&neighbours, 1.0, directions);
        for (loss, of, name) in [
            (None, &learner.prediction_model, "likelihood"),
            (None, &bounded.model, "likelihood with trained bounds"),
            (Some(r), &learner.prediction_model, "likelihood and R"),
        ] {
            let mut model = of.model.clone();
            let mut workspace = FitWorkspace::new(&model, 256, loss);
            workspace.start(&rows, loss);
            let mut first = 0;
            let count = allocations(6, || {
                let (model, decay) = (&mut model, &config.model.ensemble.weight_decay);
                minibatch(model, &mut workspace, &learner.real, loss, decay, first, &mut rng);
                // The last of three is a short one.
                first = (first + 256) % 768;
            });
            assert_eq!(count, 0, "{name}");
        }
    });
}

#[test]
fn acting_allocates_nothing() {
    on_one_thread(|| {
        for warmup_steps in [1_000_000_000, 0] {
            let config = config("ddppo");
            let warmup = format!("training.warmup_steps={warmup_steps}");
            let settings = [
                &warmup[..],
                "training.policy_updates_per_step=0",
                "training.critic_updates_per_step=0",
                "training.model_every_steps=1_000_000_000",
                "evaluation.every_steps=1_000_000_000",
                // Until it is full, the buffer grows.
                "training.replay_capacity=300",
                "gradient_loss.window=300",
            ];
            let config = config.with_settings(&settings).unwrap();
            let task = ddppo::env::task(TASK).unwrap();
            let mut trainer = Trainer::new(config, Arc::clone(&task)).unwrap();
            (0..300).for_each(|_| drop(trainer.advance().unwrap()));
            // Episodes end and begin among these.
            let count = allocations(200, || drop(trainer.advance().unwrap()));
            assert_eq!(count, 0, "acting, {warmup_steps} steps of warm-up");
        }
    });
}
