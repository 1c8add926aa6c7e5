//! Checkpoints of which one file is nonsense. Checksums are made right again, so that what lies behind them is reached too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ddppo::config::Config;
use ddppo::methods;
use ddppo::run::checkpoint::{CheckpointError, CheckpointStore, Info};
use ddppo::run::storage::Disk;
use ddppo::train::Trainer;

use super::{Seeds, one_sentence, selected};

const HEADER: &str = "state.json";
const TENSORS: &str = "state.safetensors";
const CHECKSUMS: &str = "checksums";

/// A saved run of five steps, the smallest that there is, and its files.
struct Saved {
    folder: PathBuf,
    config: Config,
    /// (path, content), the three of the step first, then the rows.
    files: Vec<(PathBuf, Vec<u8>)>,
}

fn saved() -> &'static Saved {
    static SAVED: OnceLock<Saved> = OnceLock::new();
    SAVED.get_or_init(|| {
        let folder =
            std::env::temp_dir().join(format!("ddppo-fuzz-checkpoint-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let settings = [
            "model.hidden=1",
            "policy.hidden=1",
            "critic.hidden=1",
            "training.batch_size=2",
            "training.min_transitions=12",
            "gradient_loss.window=12",
            "rollout.starts=2",
            "rollout.capacity_per_step=2",
        ];
        let preset = methods::preset("ddppo", "PointMass").expect("it is listed");
        let config = preset.with_settings(&settings).expect("they are possible");
        let mut run = trainer(&config);
        for _ in 0..5 {
            run.advance().expect("nothing is learned yet");
        }
        let text = config.to_toml();
        let info = Info { step: 5, metrics_lines: 1, evaluation: None, config: text };
        store(&folder).save(&info, &run.snapshot()).expect("the temporary folder can be written");
        let step = folder.join("5");
        let mut paths = vec![step.join(HEADER), step.join(TENSORS), step.join(CHECKSUMS)];
        let rows = fs::read_dir(folder.join("rows")).expect("it was saved");
        paths.extend(rows.map(|entry| entry.expect("it was saved").path()));
        paths[3..].sort();
        let read = |path: PathBuf| {
            let content = fs::read(&path).expect("it was saved");
            (path, content)
        };
        Saved { folder, config, files: paths.into_iter().map(read).collect() }
    })
}

fn trainer(config: &Config) -> Trainer {
    let task = ddppo::env::task(config.task()).expect("it is built in");
    Trainer::new(config.clone(), task).expect("its world can be made")
}

fn store(folder: &Path) -> CheckpointStore {
    CheckpointStore::new(folder, 1, Box::new(Disk))
}

/// Each file as it should be.
pub fn seeds() -> Seeds {
    (0..).zip(&saved().files).map(|(which, (_, content))| selected(which, content)).collect()
}

/// A state is loaded and used, or refused in one sentence.
pub fn check(data: &[u8]) {
    let Some((&which, content)) = data.split_first() else { return };
    let Saved { folder, config, files } = saved();
    let which = usize::from(which) % files.len();
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).expect("the temporary folder can be written");
    };
    let mut contents: Vec<Vec<u8>> = files.iter().map(|(_, content)| content.clone()).collect();
    if which >= 3 {
        let old = crc32fast::hash(&contents[which]).to_string();
        let header = String::from_utf8(contents[0].clone()).expect("JSON is text");
        contents[0] = header.replace(&old, &crc32fast::hash(content).to_string()).into_bytes();
    }
    contents[which] = content.to_vec();
    if which != 2 {
        contents[2] = checksums(&contents[0], &contents[1]).into_bytes();
    }
    for ((path, _), content) in files.iter().zip(&contents) {
        write(path, content);
    }
    match store(folder).load_newest() {
        Ok(loaded) => {
            assert_eq!(loaded.info.step, 5);
            let task = ddppo::env::task(config.task()).expect("it is built in");
            let before = loaded.snapshot.clone();
            match Trainer::restore(config.clone(), task, loaded.snapshot) {
                Ok(mut run) => same(&run.snapshot(), &before),
                Err(error) => drop(one_sentence(&error)),
            }
        }
        Err(CheckpointError::AllDamaged { damages, .. }) => {
            assert_eq!(damages.len(), 1);
            one_sentence(&damages[0]);
        }
        Err(error) => drop(one_sentence(&error)),
    }
}

/// Removes the files that the checks were made with.
pub fn clean() {
    let _ = fs::remove_dir_all(&saved().folder);
}

/// NaN is unequal to itself, so what differs is compared as text.
fn same(a: &ddppo::run::snapshot::Snapshot, b: &ddppo::run::snapshot::Snapshot) {
    assert!(a == b || format!("{a:?}") == format!("{b:?}"), "restored and saved again it differs");
}

fn checksums(header: &[u8], tensors: &[u8]) -> String {
    [(HEADER, header), (TENSORS, tensors)]
        .map(|(name, bytes)| format!("{:08x} {} {name}\n", crc32fast::hash(bytes), bytes.len()))
        .concat()
}
