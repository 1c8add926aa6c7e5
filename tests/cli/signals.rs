//! Whatever signal a terminal or a scheduler sends, the run saves, stops, and goes on to the bit.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::{Place, Running, small_run, small_run_by};

const STEPS: &str = "600";

#[test]
fn interrupted_runs_go_on_to_the_bit() {
    let place = Place::new("interrupted");
    place.succeed(&small_run("whole", STEPS, &[]));
    let signals =
        [("INT", 130), ("HUP", 129), ("TERM", 75), ("USR1", 75), ("USR2", 75), ("XCPU", 75)];
    for (name, code) in signals.into_iter().filter(|(name, _)| is_heard(name)) {
        // Long enough not to be over before the signal comes.
        let mut child = place.spawn(&small_run(name, "1000000", &[]));
        place.wait_for(&mut child, &format!("{name}/checkpoints/100"));
        child.signal(name);
        let (status, said) = child.end();
        assert_eq!(status.code(), Some(code), "SIG{name}: {status}: {said}");
        assert!(said.contains(&format!("go on with `ddppo resume {name}`")), "{said}");
        let newest = *place.steps(name).last().unwrap();
        assert!(said.contains(&format!("saved at step {newest}")) || newest >= 1000, "{said}");
        if newest <= 600 && ["INT", "XCPU"].contains(&name) {
            place.succeed(&["resume", name, "--steps", STEPS, "--quiet"]);
            assert_eq!(place.metrics(name), place.metrics("whole"), "SIG{name}");
            assert!(place.state(name) == place.state("whole"), "SIG{name}");
        }
    }
}

/// A block of `ddppo-plus` takes minutes on a real task. A signal does not wait for its end, and loses nothing.
#[test]
fn a_block_of_learning_is_broken_off_and_repeated_to_the_bit() {
    let place = Place::new("block");
    let run = |name| {
        let mut words = small_run_by("ddppo-plus", name, "60");
        words.extend([
            "--set",
            "training.first_updates=4000",
            "--set",
            "checkpoint.every_steps=20",
        ]);
        words
    };
    let started = Instant::now();
    place.succeed(&run("whole"));
    let whole = started.elapsed();
    let mut child = place.spawn(&run("broken"));
    place.wait_for(&mut child, "broken/checkpoints/40");
    // The ten steps to the block take no time, the block most of the run's.
    sleep(whole / 4);
    child.signal("TERM");
    let (status, said) = child.end();
    assert_eq!(status.code(), Some(75), "{status}: {said}");
    assert!(said.contains("saved at step 49"), "{whole:?}: {said}");
    assert_eq!(place.steps("broken").last(), Some(&49));
    place.succeed(&["resume", "broken", "--quiet"]);
    assert_eq!(place.metrics("broken"), place.metrics("whole"));
    // Bytes: the tally of this small run holds a NaN, which is not equal to itself.
    assert!(place.checkpoint("broken", 60)[0] == place.checkpoint("whole", 60)[0]);
}

/// Slurm sends USR1, then TERM; the save that the first asked for is not cut short by the second.
#[test]
fn a_second_signal_does_not_cut_the_save_short() {
    let place = Place::new("twice");
    let pairs = [("USR1", "TERM"), ("TERM", "TERM"), ("HUP", "INT")];
    for (first, second) in pairs.into_iter().filter(|(first, _)| is_heard(first)) {
        let run = format!("{first}-{second}");
        let mut child = place.spawn(&small_run(&run, "1000000", &[]));
        place.wait_for(&mut child, &format!("{run}/checkpoints/100"));
        child.signal(first);
        child.try_signal(second);
        let (status, said) = child.end();
        assert!([Some(75), Some(129)].contains(&status.code()), "{run}: {status}: {said}");
        assert!(said.contains("saved at step"), "{run}: {said}");
    }
}

/// Whether a run hears of a signal: not of HUP where the tests were started under nohup, which is what the next test is about.
fn is_heard(name: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    name != "HUP" || u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 0
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let place = Place::new("nohup");
    let line = format!("trap '' HUP; exec {} \"$@\"", env!("CARGO_BIN_EXE_ddppo"));
    let mut command = Command::new("sh");
    command.args(["-c", &line, "sh"]).args(small_run("run", "1000000", &[]));
    command
        .current_dir(&place.path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn().unwrap());
    place.wait_for(&mut child, "run/checkpoints/100");
    child.signal("HUP");
    let before = *place.steps("run").last().unwrap();
    for _ in 0..6000 {
        assert!(child.0.try_wait().unwrap().is_none(), "{}", child.end().1);
        if place.steps("run").last().is_some_and(|&step| step > before + 100) {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("the run does not go on");
}

/// `ulimit -f`: a file that reaches its limit stops the run with a sentence, not with a core dump.
#[test]
fn a_limit_of_file_sizes_is_a_sentence() {
    let place = Place::new("file-size");
    let line = format!("ulimit -f 16; exec {} \"$@\"", env!("CARGO_BIN_EXE_ddppo"));
    let mut command = Command::new("sh");
    command.args(["-c", &line, "sh"]).args(small_run("run", STEPS, &[])).current_dir(&place.path);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: stopped at step ") && text.contains("file too large"), "{text}");
}
