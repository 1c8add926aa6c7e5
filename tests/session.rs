//! A run's life through the library: who is told what, who may stop it, and that nothing is printed for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ddppo::config::Config;
use ddppo::run::Record;
use ddppo::session::signals::StopRequest;
use ddppo::session::sink::{Begun, Ended};
use ddppo::session::start::{Place, Ready, Until, begin, begin_or_resume, resume};
use ddppo::session::{Answer, End, Observer, Session, Sink, SinkError};
use ddppo::train::{TrainError, Trainer};

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("session-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn configured(settings: &[&str]) -> Config {
    let config = ddppo::methods::preset("ddppo", "PointMass").unwrap();
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    config.with_settings(&settings).unwrap()
}

fn ready(root: &Path, settings: &[&str]) -> Ready {
    let task = ddppo::env::task("PointMass").unwrap();
    begin(Place::Folder(root), configured(settings), task, None).unwrap()
}

/// Writes down what it is told, and stops at a step.
struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
    stop_at: u64,
}

impl Listener {
    fn hear(&self, text: String) {
        self.heard.lock().unwrap().push(text);
    }
}

impl Sink for Listener {
    fn name(&self) -> &str {
        "the listener"
    }
    fn begin(&mut self, session: Begun<'_>) -> Result<(), SinkError> {
        self.hear(format!("from {}", session.first_step));
        Ok(())
    }
    fn step(&mut self, step: u64, records: &[Record]) -> Result<Answer, SinkError> {
        records.iter().for_each(|record| self.hear(format!("{} at {step}", record.kind)));
        Ok(if step == self.stop_at { Answer::Stop } else { Answer::GoOn })
    }
    fn notice(&mut self, notice: &str) {
        self.hear(notice.to_owned());
    }
    fn end(&mut self, session: Ended<'_>) -> Result<(), SinkError> {
        self.hear(format!("to {}", session.step));
        Ok(())
    }
}

/// Adds a record every five steps.
struct Watcher;

impl Observer for Watcher {
    fn observe(&mut self, trainer: &Trainer, records: &mut Vec<Record>) -> Result<(), TrainError> {
        if trainer.step().is_multiple_of(5) {
            records.push(Record::new("analysis", trainer.step()));
        }
        Ok(())
    }
}

fn run(ready: Ready, stop_at: u64) -> (End, u64, Vec<String>) {
    run_until(ready, stop_at, &StopRequest::default())
}

fn run_until(ready: Ready, stop_at: u64, stop: &StopRequest) -> (End, u64, Vec<String>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Listener { heard: Arc::clone(&heard), stop_at };
    let session = Session {
        ready,
        threads: Some(1),
        sinks: vec![Box::new(sink)],
        observers: vec![Box::new(Watcher)],
    };
    let outcome = session.run(stop).unwrap();
    let heard = heard.lock().unwrap().clone();
    (outcome.end, outcome.step, heard)
}

#[test]
fn a_sink_stops_a_run_and_an_observer_adds_to_it() {
    let root = folder("stop");
    let (end, step, heard) = run(ready(&root, &["steps=12"]), 7);
    assert_eq!((end, step), (End::Stopped, 7));
    assert_eq!(heard, ["from 0", "analysis at 5", "to 7"]);
    assert!(root.join("checkpoints/7/state.json").exists(), "it is saved");
    let (end, step, heard) = run(resume(&root, Until::default()).unwrap(), 0);
    assert_eq!((end, step), (End::Finished, 12));
    assert_eq!(heard, ["from 7", "analysis at 10", "to 12"]);
    let lines = fs::read_to_string(root.join("metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn a_program_asks_a_run_to_stop() {
    let root = folder("asked");
    let stop = StopRequest::default();
    stop.clone().ask();
    let (end, step, _) = run_until(ready(&root, &["steps=12"]), 0, &stop);
    assert_eq!((end, step), (End::Stopped, 1));
    assert!(root.join("checkpoints/1/state.json").exists(), "it is saved");
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_may_change_is_as_the_same_line_says_it_now() {
    let root = folder("resumed-by-its-line");
    run(ready(&root, &["steps=40", "checkpoint.every_steps=40"]), 15);
    let task = ddppo::env::task("PointMass").unwrap();
    let now = ["steps=30", "checkpoint.every_steps=10", "checkpoint.keep=7"];
    let again = begin_or_resume(&root, configured(&now), task, None).unwrap();
    // A run that was made longer is not made shorter again.
    let settings = |config: &Config| (config.steps(), config.run().checkpoint.clone());
    let wanted =
        settings(&configured(&["steps=40", "checkpoint.every_steps=10", "checkpoint.keep=7"]));
    assert_eq!(settings(&again.config), wanted);
    assert_eq!(run(again, 0).1, 40);
    assert_eq!(settings(&ddppo::methods::config_of_run(&root).unwrap()), wanted);
    let saved = |step: u64| root.join(format!("checkpoints/{step}")).exists();
    assert_eq!([10, 15, 20, 30, 40].map(saved), [false, true, true, true, true]);
    fs::remove_dir_all(&root).unwrap();
}

/// What is saved of a step, but for the configuration, which says where the run was to end.
fn saved(root: &Path, step: u64) -> Vec<u8> {
    fs::read(root.join(format!("checkpoints/{step}/state.safetensors"))).unwrap()
}

#[test]
fn a_run_stops_when_its_task_is_solved_and_goes_on_as_if_it_had_not() {
    let root = folder("solved");
    // Returns of a point that is pushed about are far below 0, so any policy reaches −10⁹ at its second evaluation.
    let settings = ["steps=40", "evaluation.every_steps=10", "evaluation.episodes=1"];
    let stopping = ["evaluation.stop_at_return=-1e9", "evaluation.stop_evaluations=2"];
    let (end, step, _) = run(ready(&root, &[&settings[..], &stopping].concat()), 0);
    assert_eq!((end, step), (End::Solved, 20));
    let manifest = fs::read_to_string(root.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"outcome\": \"solved\""), "{manifest}");
    // Whoever goes on with it as it is has nothing to do, a scheduler too.
    let (end, step, heard) = run(resume(&root, Until::default()).unwrap(), 0);
    assert_eq!((end, step, heard.len()), (End::Solved, 20, 2), "{heard:?}");
    let task = ddppo::env::task("PointMass").unwrap();
    let same = configured(&[&settings[..], &stopping].concat());
    let again = begin_or_resume(&root, same, task, None).unwrap();
    assert_eq!(run(again, 0).0, End::Solved);
    // A run that is stopped before, in its window, stops at the same step.
    let other = folder("interrupted-before-solved");
    assert_eq!(run(ready(&other, &[&settings[..], &stopping].concat()), 15).1, 15);
    assert_eq!(run(resume(&other, Until::default()).unwrap(), 0).1, 20);
    let on = Until { stop_at_return: Some(f64::INFINITY), steps: None };
    assert_eq!(run(resume(&root, on).unwrap(), 0).1, 40);
    let straight = folder("never-solved");
    assert_eq!(run(ready(&straight, &settings), 0).0, End::Finished);
    assert_eq!(saved(&root, 40), saved(&straight, 40));
    [root, other, straight].iter().for_each(|root| fs::remove_dir_all(root).unwrap());
}
