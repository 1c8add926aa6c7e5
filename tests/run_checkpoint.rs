//! Saved states survive what disks and crashes do to them: flipped bytes, cut files, failing operations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddppo::run::checkpoint::{CheckpointError, CheckpointStore, Evaluation, FORMAT, Info};
use ddppo::run::snapshot::Snapshot;
use ddppo::run::storage::{Disk, Storage};

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small state that changes with the step and has a table of two rows a step.
fn state(step: u64) -> Snapshot {
    let mut snapshot = Snapshot::new();
    snapshot.put("weights", &[3], vec![step as f32, 0.5, f32::NAN]);
    snapshot.put("words", &[4], vec![step, 1, 2, u64::MAX]);
    snapshot.put_rows("real/rows", 2, (0..4 * step).map(|i| i as f32).collect());
    snapshot.put_value("episode_step", step % 7);
    snapshot
}

fn info(step: u64, return_mean: f64) -> Info {
    let evaluation = Some(Evaluation { step, return_mean });
    Info { step, metrics_lines: 10 * step, evaluation, config: "seed = 0\n".to_owned() }
}

fn store(folder: &Folder) -> CheckpointStore {
    CheckpointStore::new(&folder.checkpoints(), 2, Box::new(Disk))
}

/// NaN is unequal to itself, so states are compared as text.
fn same(a: &Snapshot, b: &Snapshot) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

#[test]
fn the_newest_state_comes_back_and_the_best_is_kept() {
    let folder = Folder::new("keep");
    let mut store = store(&folder);
    for (step, score) in [(1, 5.0), (2, 9.0), (3, 7.0), (4, 6.0), (5, f64::NAN)] {
        let mut info = info(step, score);
        info.evaluation = info.evaluation.filter(|evaluation| evaluation.return_mean.is_finite());
        store.save(&info, &state(step)).unwrap();
    }
    assert_eq!(store.steps().unwrap(), [2, 4, 5], "the two newest and the best");
    let mut fresh = self::store(&folder);
    let loaded = fresh.load_newest().unwrap();
    assert_eq!(loaded.info.step, 5);
    assert!(same(&loaded.snapshot, &state(5)));
    assert_eq!(fresh.load_best().unwrap().info, info(2, 9.0));
    assert!(loaded.passed_over.is_empty());
}

#[test]
fn rows_are_appended_and_not_written_again() {
    let folder = Folder::new("rows");
    let mut store = store(&folder);
    store.save(&info(1, 0.0), &state(1)).unwrap();
    let rows = folder.checkpoints().join("rows");
    let first = files_below(&rows).remove(0);
    let written = fs::metadata(&first).unwrap().modified().unwrap();
    store.save(&info(2, 0.0), &state(2)).unwrap();
    store.save(&info(9, 0.0), &state(9)).unwrap();
    assert_eq!(files_below(&rows).len(), 3, "one segment a save");
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), written);
    assert!(same(&self::store(&folder).load_newest().unwrap().snapshot, &state(9)));
}

#[test]
fn a_table_that_changed_is_written_anew() {
    let folder = Folder::new("changed");
    let mut store = store(&folder);
    store.save(&info(3, 0.0), &state(3)).unwrap();
    let mut changed = state(4);
    changed.rows = Snapshot::new().rows;
    changed.put_rows("real/rows", 2, vec![9.0_f32; 16]);
    store.save(&info(4, 0.0), &changed).unwrap();
    assert!(same(&self::store(&folder).load_newest().unwrap().snapshot, &changed));
}

#[test]
fn equal_states_are_equal_bytes() {
    let [a, b] = ["bytes-a", "bytes-b"].map(|name| {
        let folder = Folder::new(name);
        let mut store = store(&folder);
        for step in [1, 2] {
            store.save(&info(step, 1.0), &state(step)).unwrap();
        }
        let root = folder.checkpoints();
        files_below(&root)
            .into_iter()
            .map(|file| (file.strip_prefix(&root).unwrap().to_owned(), fs::read(&file).unwrap()))
            .collect::<Vec<_>>()
    });
    assert_eq!(a, b);
    assert_eq!(a.len(), 8, "two folders of three files, two segments");
}

/// The store must answer with the state of step 1 or 2, or name a damaged file; never with anything else.
fn check_damaged(folder: &Folder, damaged: &Path, shared: bool, what: &str) {
    match store(folder).load_newest() {
        Ok(loaded) => {
            assert_eq!(loaded.info.step, 1, "{what}: the damaged checkpoint was loaded");
            assert!(same(&loaded.snapshot, &state(1)), "{what}");
            assert_eq!(loaded.passed_over.len(), 1, "{what}");
        }
        Err(CheckpointError::AllDamaged { damages, .. }) => {
            assert!(shared, "{what}: the older checkpoint was not found");
            assert!(damages.iter().all(|damage| damage.path == damaged), "{what}: {damages:?}");
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let folder = Folder::new("damage");
    let mut store = store(&folder);
    store.save(&info(1, 1.0), &state(1)).unwrap();
    let before = files_below(&folder.checkpoints());
    store.save(&info(2, 2.0), &state(2)).unwrap();
    let older = folder.checkpoints().join("1");
    let mut cases = 0;
    for file in
        files_below(&folder.checkpoints()).into_iter().filter(|file| !file.starts_with(&older))
    {
        let shared = before.contains(&file);
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&file, &bytes).unwrap();
            check_damaged(&folder, &file, shared, &format!("{} byte {at} flipped", file.display()));
            fs::write(&file, &good[..at]).unwrap();
            check_damaged(&folder, &file, shared, &format!("{} cut to {at}", file.display()));
            cases += 2;
        }
        fs::remove_file(&file).unwrap();
        check_damaged(&folder, &file, shared, &format!("{} removed", file.display()));
        fs::write(&file, &good).unwrap();
    }
    assert!(cases > 1500, "{cases} cases");
    assert_eq!(self::store(&folder).load_newest().unwrap().info.step, 2, "all is whole again");
}

#[test]
fn damaged_later_checkpoints_go_when_the_run_has_gone_on() {
    let folder = Folder::new("later");
    let mut first = store(&folder);
    for step in 1..=3 {
        first.save(&info(step, 0.0), &state(step)).unwrap();
    }
    fs::write(folder.checkpoints().join("3/state.json"), b"{").unwrap();
    let mut second = store(&folder);
    let loaded = second.load_newest().unwrap();
    assert_eq!(loaded.info.step, 2);
    assert!(loaded.passed_over[0].to_string().contains("3/checksums"), "{:?}", loaded.passed_over);
    second.save(&info(3, 0.0), &state(3)).unwrap();
    let loaded = store(&folder).load_newest().unwrap();
    assert_eq!(loaded.info.step, 3);
    assert!(same(&loaded.snapshot, &state(3)));
}

#[test]
fn a_newer_format_is_said() {
    let folder = Folder::new("format");
    store(&folder).save(&info(1, 0.0), &state(1)).unwrap();
    let path = folder.checkpoints().join("1");
    let json = fs::read_to_string(path.join("state.json")).unwrap();
    let json = json
        .replace(&format!("\"format\": {FORMAT}"), "\"format\": 99")
        .replace("\"values\"", "\"new\"");
    let checksums = fs::read_to_string(path.join("checksums")).unwrap();
    let tensors = checksums.lines().nth(1).unwrap();
    fs::write(path.join("state.json"), &json).unwrap();
    let line =
        format!("{:08x} {} state.json\n{tensors}\n", crc32fast::hash(json.as_bytes()), json.len());
    fs::write(path.join("checksums"), line).unwrap();
    let message = store(&folder).load_newest().unwrap_err().to_string();
    assert!(message.contains("saved in format 99 by a newer ddppo"), "{message}");
}

#[test]
fn no_checkpoint_is_said() {
    let folder = Folder::new("none");
    assert!(matches!(store(&folder).load_newest(), Err(CheckpointError::None { .. })));
}

/// Counts operations and lets one of them fail: a write leaves half of its bytes behind.
struct Failing {
    done: Arc<AtomicUsize>,
    fail_at: usize,
}

impl Failing {
    fn next(&self) -> io::Result<()> {
        if self.done.fetch_add(1, Ordering::Relaxed) == self.fail_at {
            Err(io::Error::from_raw_os_error(28)) // ENOSPC
        } else {
            Ok(())
        }
    }
}

impl Storage for Failing {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.next().and_then(|()| Disk.create_directory(path))
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.next() {
            Disk.write(path, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        Disk.write(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.next().and_then(|()| Disk.rename(from, to))
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.next().and_then(|()| Disk.sync_directory(path))
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.next().and_then(|()| Disk.remove_directory(path))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.next().and_then(|()| Disk.remove_file(path))
    }
}

#[test]
fn whatever_operation_fails_the_old_or_the_new_state_loads() {
    let mut outcomes = [0, 0];
    let mut fail_at = 0;
    loop {
        let folder = Folder::new("failing");
        for step in 1..=3 {
            let mut store = store(&folder);
            let _ = store.load_newest();
            store.save(&info(step, 0.0), &state(step)).unwrap();
        }
        // The step to be saved is there already, damaged: the longest way through a save.
        fs::create_dir(folder.checkpoints().join("4")).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let failing = Failing { done: Arc::clone(&done), fail_at };
        let mut broken = CheckpointStore::new(&folder.checkpoints(), 2, Box::new(failing));
        assert_eq!(broken.load_newest().unwrap().info.step, 3);
        let result = broken.save(&info(4, 0.0), &state(4));

        let mut after = store(&folder);
        let loaded = after.load_newest().unwrap();
        let step = loaded.info.step;
        assert!(step == 3 || step == 4, "operation {fail_at}: step {step}");
        assert!(same(&loaded.snapshot, &state(step)), "operation {fail_at}");
        outcomes[usize::from(step == 4)] += 1;
        // And the run goes on from there.
        after.save(&info(5, 0.0), &state(5)).unwrap();
        assert!(
            same(&store(&folder).load_newest().unwrap().snapshot, &state(5)),
            "operation {fail_at}"
        );
        let leftovers: Vec<_> = files_below(&folder.checkpoints())
            .into_iter()
            .filter(|file| file.to_string_lossy().contains("/."))
            .collect();
        assert!(leftovers.is_empty(), "operation {fail_at}: {leftovers:?}");

        match result {
            Ok(_) => break,
            Err(error) => {
                let message = error.to_string();
                assert!(
                    message.starts_with("cannot ")
                        && message.ends_with(": no space left on device"),
                    "{message}"
                );
            }
        }
        fail_at += 1;
    }
    assert!(fail_at >= 12, "{fail_at} operations were made to fail");
    assert!(
        outcomes[0] > 5 && outcomes[1] > 1,
        "{outcomes:?}: both the old and the new state were seen"
    );
}
