//! The loop's work allocates nothing once it has run: updates and steps happen millions of times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ddppo::config::{Algorithm, Config};
use ddppo::data::{Replay, Transition};
use ddppo::methods::Learner;
use ddppo::model::fit::{FitWorkspace, minibatch};
use ddppo::model::{GradientLoss, Neighbours};
use ddppo::nn::{Activation, Keep, Mlp, Shape, Tangent, Tape};
use ddppo::path::Starts;
use ddppo::rng::Rng;
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

/// Narrow networks; batches of two pieces.
fn config(algorithm: Algorithm) -> Config {
    let mut config = Config::preset(algorithm, TASK).unwrap();
    config.model.hidden = 32;
    config.policy.hidden = 32;
    config.critic.hidden = 32;
    config
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

fn learner(config: &Config) -> Learner {
    let mut learner = Learner::new(config, ddppo::env::task(TASK).unwrap());
    push_random(&mut learner.real, 600);
    if let Some(world) = &mut learner.world {
        push_random(&mut world.imagined, 600);
        world.prediction_model.elites = vec![0, 1, 2, 3, 4];
        if let Some(model) = &mut world.gradient_model {
            model.elites = vec![0, 1, 2, 3, 4];
        }
    }
    learner
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
        for &algorithm in Algorithm::ALL {
            let mut learner = learner(&config(algorithm));
            let count = allocations(5, || _ = learner.improve_critic().unwrap());
            assert_eq!(count, 0, "critic updates of {algorithm:?}");
            for starts in [Starts::Real, Starts::CriticMinibatch] {
                let count = allocations(5, || _ = learner.improve_policy(starts).unwrap().unwrap());
                assert_eq!(count, 0, "policy updates of {algorithm:?} from {starts:?}");
            }
        }
    });
}

#[test]
fn model_minibatches_allocate_nothing() {
    on_one_thread(|| {
        let config = config(Algorithm::Ddppo);
        let learner = learner(&config);
        let bounded = self::learner(&self::config(Algorithm::Mbpo));
        let (n, directions) = (config.gradient_loss.neighbours, 3);
        let mut neighbours = Neighbours::new(n, config.gradient_loss.window, 14);
        neighbours.update(&learner.real);
        let rows: Vec<u32> = (0..600).collect();
        let mut rng = Rng::new(0, "fit");
        let r = GradientLoss { neighbours: &neighbours, weight: 1.0, directions };
        for (loss, of, name) in [
            (None, &learner, "likelihood"),
            (None, &bounded, "likelihood with trained bounds"),
            (Some(r), &learner, "likelihood and R"),
        ] {
            let mut model = of.world.as_ref().unwrap().prediction_model.clone();
            let mut workspace = FitWorkspace::new(&model, 256, loss.map(|_| (directions, n)));
            workspace.start(&rows, loss);
            let mut first = 0;
            let count = allocations(6, || {
                let (model, decay) = (&mut model, &config.model.weight_decay);
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
        for warmup_steps in [u64::MAX, 0] {
            let mut config = config(Algorithm::Ddppo);
            config.training.warmup_steps = warmup_steps;
            config.training.policy_updates_per_step = 0;
            config.training.critic_updates_per_step = 0;
            config.training.model_every_steps = u64::MAX;
            config.evaluation.every_steps = u64::MAX;
            // Until it is full, the buffer grows.
            config.training.replay_capacity = 300;
            let task = ddppo::env::task(TASK).unwrap();
            let mut trainer = Trainer::new(config, Arc::clone(&task)).unwrap();
            (0..300).for_each(|_| drop(trainer.advance().unwrap()));
            // Episodes end and begin among these.
            let count = allocations(200, || drop(trainer.advance().unwrap()));
            assert_eq!(count, 0, "acting, {warmup_steps} steps of warm-up");
        }
    });
}
