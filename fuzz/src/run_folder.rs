//! A whole run's folder of which some files are nonsense, given to all that reads one: it is gone on with, played, probed
//! and drawn, or refused in one sentence.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ddppo::lab::probe::probe;
use ddppo::report::curves;
use ddppo::session::signals::StopRequest;
use ddppo::session::start::{self, Place, Until};
use ddppo::session::{Session, SessionError};

use super::{Seeds, one_sentence};

/// The smallest run in which everything happens: models are trained, and the policy is scored and saved.
const SETTINGS: &str = "steps=12 training.warmup_steps=4 training.batch_size=2 training.model_every_steps=6 \
    training.min_transitions=4 training.policy_updates_per_step=1 training.critic_updates_per_step=1 \
    training.replay_capacity=50 evaluation.every_steps=4 evaluation.episodes=1 model.members=2 model.elites=1 model.hidden=1 \
    model.layers=1 model.weight_decay=[0,0] model.patience_epochs=1 gradient_loss.neighbours=2 \
    gradient_loss.directions_per_row=2 gradient_loss.window=50 rollout.starts=3 rollout.capacity_per_step=9 policy.hidden=1 \
    policy.horizon=1 critic.hidden=1 checkpoint.every_steps=6";

/// Steps that a folder that is accepted is trained for.
const MORE: u64 = 16;

/// The run, and its files: (path in the folder, content).
struct Base {
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        // In memory where that can be: a run forces its files to the disk many times.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = place.join(format!("ddppo-fuzz-run-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let root = folder.join("base");
        let settings: Vec<String> = SETTINGS.split_whitespace().map(str::to_owned).collect();
        let preset = ddppo::methods::preset("ddppo", "PointMass").expect("it is listed");
        let config = preset.with_settings(&settings).expect("they are settings");
        let task = ddppo::env::task("PointMass").expect("it is built in");
        let ready = start::begin(Place::Folder(&root), config, task, None);
        train(ready.expect("the folder is free")).expect("it trains");
        let mut files = Vec::new();
        read_below(&root, &root, &mut files);
        files.sort();
        Base { folder, files }
    })
}

fn read_below(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_below(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is below").to_owned();
            files.push((name, fs::read(&path).expect("it is there")));
        }
    }
}

fn train(ready: start::Ready) -> Result<(), SessionError> {
    let session = Session { ready, threads: Some(1), sinks: Vec::new(), observers: Vec::new() };
    session.run(&StopRequest::default()).map(drop)
}

/// A change of each kind to each file.
pub fn seeds() -> Seeds {
    let files = base().files.len() as u8;
    (0..files)
        .flat_map(|file| (0..KINDS).map(move |kind| vec![1, file, kind, 7, 0, b'9', b'9']))
        .chain((0..files).map(|file| vec![0, file, 0, 3, 0, b'-']))
        .collect()
}

/// Ways to change a file.
const KINDS: u8 = 8;

/// Applies changes of five bytes or more each: which file, how, where (two bytes), and with what up to a `;`.
fn changed(mut data: &[u8]) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let base = base();
    let mut files: Vec<(PathBuf, Option<Vec<u8>>)> =
        base.files.iter().map(|(path, bytes)| (path.clone(), Some(bytes.clone()))).collect();
    while let [file, kind, low, high, rest @ ..] = data {
        let end = rest.iter().position(|&byte| byte == b';').unwrap_or(rest.len());
        let (with, after) = rest.split_at(end);
        data = after.get(1..).unwrap_or_default();
        let which = usize::from(*file) % files.len();
        let other = base.files[usize::from(*low) % base.files.len()].1.clone();
        let Some(bytes) = &mut files[which].1 else { continue };
        let at = usize::from(u16::from_le_bytes([*low, *high])) % (bytes.len() + 1);
        match kind % KINDS {
            0 => {
                let end = (at + with.len()).min(bytes.len());
                bytes.splice(at..end, with.iter().copied());
            }
            1 => drop(bytes.splice(at..at, with.iter().copied())),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + with.len()).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => *bytes = other,
            5 => {
                // A number of the text becomes another one.
                let digit = bytes[at..].iter().position(u8::is_ascii_digit).map(|digit| at + digit);
                if let Some(digit) = digit {
                    let digits = bytes[digit..].iter().take_while(|byte| byte.is_ascii_digit());
                    let end = digit + digits.count();
                    bytes.splice(
                        digit..end,
                        with.iter().copied().filter(u8::is_ascii_digit).take(6),
                    );
                }
            }
            6 => files[which].1 = None,
            _ => {
                // A line more or less.
                let start =
                    bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |n| n + 1);
                let end = bytes[at..].iter().position(|&byte| byte == b'\n');
                let end = end.map_or(bytes.len(), |n| at + n + 1);
                let line = bytes[start..end].to_vec();
                let twice = with.first().is_some_and(|byte| byte % 2 == 0);
                bytes.splice(
                    start..end,
                    if twice { [line.clone(), line].concat() } else { Vec::new() },
                );
            }
        }
    }
    files
}

/// The folder is gone on with, played, probed and drawn, or refused; what lies beside it stays as it is.
pub fn check(data: &[u8]) {
    let Some((&how, changes)) = data.split_first() else { return };
    let mut files = changed(changes);
    if how % 2 == 1 {
        mend(&mut files);
    }
    if asks_for_much(&files) {
        return;
    }
    let root = base().folder.join("victim");
    let outside = base().folder.join("outside");
    let _ = fs::remove_dir_all(&root);
    fs::write(&outside, "theirs").expect("the temporary folder can be written");
    for (path, content) in &files {
        let path = root.join(path);
        let folder = path.parent().expect("it is below the root");
        fs::create_dir_all(folder).expect("the temporary folder can be written");
        match content {
            Some(bytes) => fs::write(&path, bytes).expect("the temporary folder can be written"),
            // What is taken away may have become a link.
            None if how % 4 >= 2 => symlink(&outside, &path).expect("links can be made"),
            None => {}
        }
    }
    let said = |error: &(dyn std::error::Error + 'static)| {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // Names are printed through `one_line`; what is checked here is that there is a sentence at all.
            let text = ddppo::run::text::one_line(&error.to_string());
            one_sentence(&text);
            cause = error.source();
        }
    };
    let roots = [root.clone()];
    if let Err(error) = curves::learning_curves(&roots, &[]) {
        said(&error);
    }
    if let Err(error) = curves::learning_table(&roots) {
        said(&error);
    }
    for best in [false, true] {
        match ddppo::session::saved::load(&root, best, &mut |_| {}) {
            Ok(run) => {
                if let Err(error) = run.evaluate(1, 0) {
                    said(&error);
                }
                if let Err(error) = probe::<f32>(run.method(), run.config().algorithm(), 0) {
                    said(&error);
                }
            }
            Err(error) => said(&error),
        }
    }
    match start::resume(&root, Until { steps: Some(MORE), ..Until::default() }) {
        Ok(ready) => {
            if let Err(error) = train(ready) {
                said(&error);
            }
        }
        Err(error) => said(&error),
    }
    assert_eq!(fs::read(&outside).expect("it is there"), b"theirs", "a link was followed");
}

/// Makes checksums right again, so that what lies behind them is reached, too.
fn mend(files: &mut [(PathBuf, Option<Vec<u8>>)]) {
    let base = &base().files;
    let sums: Vec<(Vec<u8>, Vec<u8>)> = files
        .iter()
        .zip(base)
        .filter(|((path, _), _)| path.starts_with("checkpoints/rows"))
        .filter_map(|((_, now), (_, before))| {
            let sum = |bytes: &[u8]| crc32fast::hash(bytes).to_string().into_bytes();
            Some((sum(before), sum(now.as_ref()?)))
        })
        .filter(|(before, now)| before != now)
        .collect();
    for (_, content) in files.iter_mut().filter(|(path, _)| path.ends_with("state.json")) {
        let Some(bytes) = content else { continue };
        for (before, now) in &sums {
            if let Some(at) = bytes.windows(before.len()).position(|window| window == before) {
                bytes.splice(at..at + before.len(), now.iter().copied());
            }
        }
    }
    let content = |files: &[(PathBuf, Option<Vec<u8>>)], path: &Path| {
        let file = files.iter().find(|(other, _)| other == path);
        file.and_then(|(_, content)| content.clone()).unwrap_or_default()
    };
    for i in 0..files.len() {
        if files[i].0.ends_with("checksums") && files[i].1.is_some() {
            let folder = files[i].0.parent().expect("it lies in a checkpoint").to_owned();
            let parts = ["state.json", "state.safetensors"]
                .map(|name| (name, content(files, &folder.join(name))));
            let lines = parts.map(|(name, bytes)| {
                format!("{:08x} {} {name}\n", crc32fast::hash(&bytes), bytes.len())
            });
            files[i].1 = Some(lines.concat().into_bytes());
        }
    }
}

/// Whether the configuration has a number of four digits more than it had: a run as large as somebody wishes takes as long
/// as it says.
fn asks_for_much(files: &[(PathBuf, Option<Vec<u8>>)]) -> bool {
    let large = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let numbers = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
        numbers
            .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .filter(|word| word.len() > 3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let file = |(path, _): &&(PathBuf, Option<Vec<u8>>)| path == Path::new("config.toml");
    let now = files.iter().find(file).and_then(|(_, content)| content.as_ref());
    let before = base().files.iter().find(|(path, _)| path == Path::new("config.toml"));
    let before = large(&before.expect("a run has one").1);
    now.is_some_and(|bytes| large(bytes).iter().any(|number| !before.contains(number)))
}

/// Removes the folder that the checks were made with.
pub fn clean() {
    let _ = fs::remove_dir_all(&base().folder);
}
