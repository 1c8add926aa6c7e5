//! A robot of one's own, model and task file together: it is refused in one sentence that names a file, or it is kept in a
//! run's folder, found again there, and both act alike, bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ddppo::env::robot::{Robot, task_of_run};
use ddppo::env::{Task, files, names};
use ddppo::rng::Rng;

use super::{Seeds, one_sentence};

/// A model of what the built-in robots do not have (free, ball and slide joints, tendons, servos, sensors, a height field, a
/// mesh, a keyframe), and its task.
const KIT: (&str, &str) =
    (include_str!("robot_files/kit.xml"), include_str!("robot_files/kit.toml"));

/// Steps of the agent that an accepted robot is tried for.
const STEPS: usize = 12;

/// What numbers become.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "2",
    "1e-12",
    "1e9",
    "-1e308",
    "1e400",
    "nan",
    "inf",
    "65536",
    "4294967296",
    "0.5",
    "-0",
    "1 1 1 1 1 1 1 1",
    "",
];

/// The robots that are changed.
fn robots() -> Vec<(&'static str, &'static str)> {
    names().into_iter().filter_map(files).chain([KIT]).collect()
}

/// Each robot as it is, and with a change of each kind to each of its files.
pub fn seeds() -> Seeds {
    let robots = robots().len() as u8;
    let changes = (0..KINDS).flat_map(|kind| [(0, kind), (1, kind)]);
    (0..robots)
        .flat_map(|robot| {
            let changed = changes.clone().map(move |(file, kind)| {
                vec![robot, file, kind, 37_u8.wrapping_mul(kind + robot), kind, robot, 90]
            });
            std::iter::once(vec![robot]).chain(changed)
        })
        .collect()
}

/// Ways to change a text.
const KINDS: u8 = 8;

/// Applies changes of six bytes each: which text, how, where (two bytes), and two more that say with what.
fn changed(texts: &mut [Vec<u8>; 2], changes: &[u8]) {
    for change in changes.chunks_exact(6) {
        let &[file, kind, low, high, first, second] = change else { continue };
        let text = &mut texts[usize::from(file % 2)];
        let place = usize::from(u16::from_le_bytes([low, high]));
        let other = usize::from(u16::from_le_bytes([first, second]));
        match kind % KINDS {
            // A number becomes another one.
            0 | 1 => {
                if let Some(number) = pick(&spans(text, is_of_number), place) {
                    text.splice(number, NUMBERS[other % NUMBERS.len()].bytes());
                }
            }
            // A word becomes another word of the text: a name, a type, an element, a key.
            2 | 3 => {
                let words = spans(text, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if let (Some(to), Some(from)) = (pick(&words, place), pick(&words, other)) {
                    let word = text[from].to_vec();
                    text.splice(to, word);
                }
            }
            // A line is left out.
            4 => {
                if let Some(line) = pick(&spans(text, |byte| byte != b'\n'), place) {
                    text.drain(line);
                }
            }
            // A line is put elsewhere, once more.
            5 => {
                let lines = spans(text, |byte| byte != b'\n');
                if let (Some(to), Some(from)) = (pick(&lines, place), pick(&lines, other)) {
                    let line = [b"\n", &text[from], b"\n"].concat();
                    text.splice(to.end..to.end, line);
                }
            }
            // A byte becomes another one.
            6 => {
                let length = text.len().max(1);
                if let Some(byte) = text.get_mut(place % length) {
                    *byte = first;
                }
            }
            // The text ends there.
            _ => {
                let length = text.len().max(1);
                if first.is_multiple_of(4) {
                    text.truncate(place % length);
                }
            }
        }
    }
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
}

/// Where the runs of such bytes are.
fn spans(text: &[u8], is_part: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut spans = Vec::new();
    let mut start = None;
    for (at, &byte) in text.iter().chain([&b'\0']).enumerate() {
        match (start, at < text.len() && is_part(byte)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                spans.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    spans
}

fn pick(spans: &[std::ops::Range<usize>], number: usize) -> Option<std::ops::Range<usize>> {
    (!spans.is_empty()).then(|| spans[number % spans.len()].clone())
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        place.join(format!("ddppo-fuzz-robot-{}", std::process::id()))
    })
}

/// The robot is refused, or kept, found again and acted in.
pub fn check(data: &[u8]) {
    let Some((&robot, changes)) = data.split_first() else { return };
    let robots = robots();
    let (mjcf, task) = robots[usize::from(robot) % robots.len()];
    let mut texts = [mjcf, task].map(|text| text.as_bytes().to_vec());
    changed(&mut texts, changes);

    let folder = folder();
    let _ = fs::remove_dir_all(folder);
    let run = folder.join("run");
    fs::create_dir_all(&run).expect("the temporary folder can be written");
    let [mjcf, task_file] = ["model.xml", "task.toml"].map(|name| folder.join(name));
    for (path, text) in [&mjcf, &task_file].into_iter().zip(&texts) {
        fs::write(path, text).expect("the temporary folder can be written");
    }
    let robot = match Robot::from_files(&mjcf, &task_file) {
        Ok(robot) => robot,
        Err(error) => {
            let sentence = one_sentence(&error);
            let file =
                [&mjcf, &task_file].iter().any(|file| sentence.contains(&*file.to_string_lossy()));
            assert!(file, "no file is named: {sentence}");
            return;
        }
    };
    robot.keep(&run).expect("what was read can be kept");
    let task = robot.task();
    let again = task_of_run(&run, task.name()).expect("what was kept can be read");
    let [first, second] = [&task, &again].map(|task| tried(task.as_ref()));
    assert_eq!(first, second, "the robot that was kept acts otherwise");
}

/// What a few steps show: the bits of observations and rewards, and a sentence where physics break down.
fn tried(task: &dyn Task) -> (Vec<u64>, Option<String>) {
    assert!(!task.reward_summary().contains('\n'));
    assert!(task.warnings().iter().all(|warning| !warning.contains('\n')));
    let mut seen = Vec::new();
    let mut world = match task.make() {
        Ok(world) => world,
        Err(error) => return (seen, Some(one_sentence(&error))),
    };
    let mut rng = Rng::new(0, "fuzz");
    let mut observation = vec![0.0; task.observation_dim()];
    world.reset(&mut rng, &mut observation);
    seen.extend(observation.iter().map(|x| x.to_bits()));
    // A frame skip of a billion is the user's wish, but takes as long as it says.
    if task.step_seconds().is_some_and(|seconds| seconds > 0.1) {
        return (seen, None);
    }
    for _ in 0..STEPS {
        let action: Vec<f64> = task
            .action_low()
            .iter()
            .zip(task.action_high())
            .map(|(low, high)| low + (high - low) * rng.uniform())
            .collect();
        match world.step(&action, &mut observation) {
            Ok(step) => {
                seen.push(step.reward.to_bits());
                seen.extend(observation.iter().map(|x| x.to_bits()));
                if task.terminated(&observation) {
                    world.reset(&mut rng, &mut observation);
                }
            }
            Err(error) => return (seen, Some(one_sentence(&error))),
        }
    }
    (seen, None)
}

/// Removes what the checks wrote.
pub fn clean() {
    let _ = fs::remove_dir_all(folder());
}
