//! A step and a termination test allocate nothing: they run millions of times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ddppo::env::{Episode, names, task, uniform_actions};
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
        let mut rng = Rng::new(0, name);
        let mut policy = uniform_actions(&*task);
        let mut episode = Episode::begin(&*task, &mut rng).unwrap();
        for step in 0..50 {
            let action = policy(episode.observation(), &mut rng);
            let before = allocations();
            let outcome = episode.step(&action).unwrap();
            let imagined = task.terminated(outcome.next_observation);
            assert_eq!(allocations(), before, "{name}, step {step}");
            assert_eq!(outcome.terminated, imagined);
            if outcome.is_over() {
                episode.begin_next(&mut rng);
                assert_eq!(allocations(), before, "{name}, reset after step {step}");
            }
        }
    }
}
