//! A step and a termination test allocate nothing: they run millions of times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ddppo::env::{names, task, uniform_actions};
use ddppo::rng::Rng;

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

fn allocations() -> usize {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn steps_and_termination_allocate_nothing() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert!(allocations() > before, "the counter counts");

    for name in names() {
        let task = task(name).unwrap();
        let mut world = task.make().unwrap();
        let mut rng = Rng::new(0, name);
        let mut policy = uniform_actions(&*task);
        let mut observation = vec![0.0; task.observation_dim()];
        world.reset(&mut rng, &mut observation);
        for step in 0..50 {
            let action = policy(&observation, &mut rng);
            let before = allocations();
            let terminated = world.step(&action, &mut observation).unwrap().terminated;
            let imagined = task.terminated(&observation);
            assert_eq!(allocations(), before, "{name}, step {step}");
            assert_eq!(terminated, imagined);
            if terminated {
                world.reset(&mut rng, &mut observation);
            }
        }
    }
}
