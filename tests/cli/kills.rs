//! Runs that are killed without warning, half of the time in the middle of a save, go on and end in the same bits as a run
//! that was left alone.
//!
//! By hand, with more kills: `DDPPO_KILLS=100 cargo test --release --test cli kills -- --nocapture`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use ddppo::rng::Rng;

use crate::program::{Place, small_run_on};

/// What has a temporary name, with its time of change: what a save has begun and not ended.
fn temporaries(checkpoints: &Path) -> BTreeSet<(PathBuf, SystemTime)> {
    let folders = [checkpoints.to_owned(), checkpoints.join("rows")];
    let entries =
        folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp"))
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?)))
        .collect()
}

fn killed_runs_end_in_the_same_bits(task: &str) {
    let kills: u32 = std::env::var("DDPPO_KILLS")
        .map_or(10, |text| text.parse().expect("DDPPO_KILLS is a number"));
    let place = Place::new(&format!("killed-{task}"));
    // A checkpoint every 100 steps: a kill costs half of such a stretch on average.
    let steps = (100 * kills).to_string();
    let start = Instant::now();
    place.succeed(&small_run_on(task, "whole", &steps, &[]));
    let stretch = start.elapsed() / kills;

    let checkpoints = place.file("run/checkpoints");
    let mut rng = Rng::new(0, "kills");
    let (mut killed, mut in_a_save) = (0, 0);
    // Left by earlier kills: no sign of a save that is going on.
    let mut before = BTreeSet::new();
    let mut child = place.spawn(&small_run_on(task, "run", &steps, &[]));
    place.wait_for(&mut child, "run/config.toml");
    for kill in 0..kills {
        if kill % 2 == 0 {
            sleep(stretch.mul_f64(2.0 * rng.uniform()));
        } else {
            let patience = Instant::now();
            while temporaries(&checkpoints).is_subset(&before)
                && patience.elapsed() < Duration::from_secs(30)
            {}
        }
        let was_killed = child.kill().signal() == Some(9);
        killed += u32::from(was_killed);
        let now = temporaries(&checkpoints);
        in_a_save += u32::from(was_killed && !now.is_subset(&before));
        before = now;
        child = place.spawn(&["resume", "run", "--quiet"]);
    }
    let (status, said) = child.end();
    assert!(status.success(), "{said}");
    println!("{task}: {killed} of {kills} kills hit the run, {in_a_save} of them in a save");
    assert!(killed >= kills / 2, "only {killed} of {kills} kills came before the run was over");
    assert!(in_a_save >= kills / 5, "only {in_a_save} of {kills} kills came in a save");
    assert_eq!(place.metrics("run"), place.metrics("whole"));
    assert!(place.state("run") == place.state("whole"));
}

#[test]
fn inverted_pendulum() {
    killed_runs_end_in_the_same_bits("InvertedPendulum");
}

#[test]
fn hopper() {
    killed_runs_end_in_the_same_bits("Hopper");
}
