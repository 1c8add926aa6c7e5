//! Saved states survive what disks and crashes do to them: flipped bytes, cut files, failing operations.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddppo::run::checkpoint::{CheckpointError, CheckpointStore, Damage, Evaluation, FORMAT, Info};
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
    println!("{cases} flips and cuts");
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
    assert!(message.contains("saved in format 99 by ddppo"), "{message}");
}

#[test]
fn no_checkpoint_is_said() {
    let folder = Folder::new("none");
    assert!(matches!(store(&folder).load_newest(), Err(CheckpointError::None { .. })));
}

/// What a disk can answer: EIO, EACCES, ENOSPC, EROFS, ENOTEMPTY, EDQUOT, ESTALE.
const REASONS: [i32; 7] = [5, 13, 28, 30, 39, 122, 116];

/// Counts operations and lets some of them fail: a write leaves half of its bytes behind.
struct Failing {
    done: Arc<AtomicUsize>,
    /// The first that fails.
    fail_at: usize,
    /// And all after it, as on a disk that stays full, or for a process that has been killed.
    for_good: bool,
    reason: i32,
}

impl Failing {
    fn next(&self) -> io::Result<()> {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        if done == self.fail_at || self.for_good && done > self.fail_at {
            Err(io::Error::from_raw_os_error(self.reason))
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
    for reason in REASONS {
        for for_good in [false, true] {
            every_operation_fails(reason, for_good);
        }
    }
}

fn every_operation_fails(reason: i32, for_good: bool) {
    let mut outcomes = [0, 0];
    let mut fail_at = 0;
    loop {
        let folder = Folder::new("failing");
        for step in 1..=3 {
            let mut store = store(&folder);
            let _ = store.load_newest();
            store.save(&info(step, 0.0), &state(step)).unwrap();
        }
        // The step to be saved is there already, damaged, and a save of it was killed: the longest way through a save.
        fs::create_dir(folder.checkpoints().join("4")).unwrap();
        fs::create_dir(folder.checkpoints().join(".tmp-4")).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let failing = Failing { done: Arc::clone(&done), fail_at, for_good, reason };
        let mut broken = CheckpointStore::new(&folder.checkpoints(), 2, Box::new(failing));
        assert_eq!(broken.load_newest().unwrap().info.step, 3);
        let result = broken.save(&info(4, 0.0), &state(4));
        let warnings = broken.take_warnings();
        let failed = done.load(Ordering::Relaxed) > fail_at;

        let mut after = store(&folder);
        let loaded = after.load_newest().unwrap();
        let step = loaded.info.step;
        assert!(step == 3 || step == 4, "operation {fail_at}: step {step}");
        assert!(same(&loaded.snapshot, &state(step)), "operation {fail_at}");
        assert!(result.is_err() || step == 4, "operation {fail_at}: it said that it had saved");
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

        let words: Vec<String> = match result {
            // A leftover that cannot be removed is left where it is.
            Ok(_) => warnings,
            Err(error) => vec![error.to_string()],
        };
        for message in &words {
            let cause = io::Error::from_raw_os_error(reason).to_string().to_lowercase();
            let cause = cause.split(" (os error").next().unwrap();
            assert!(message.contains("cannot ") && message.ends_with(cause), "{message}");
        }
        if !failed {
            assert!(words.is_empty(), "{words:?}");
            break;
        }
        fail_at += 1;
    }
    println!(
        "{fail_at} operations failed: old state {} times, new state {} times",
        outcomes[0], outcomes[1]
    );
    assert!(fail_at >= 12, "{fail_at} operations were made to fail");
    assert!(
        outcomes[0] > 5 && outcomes[1] > 1,
        "{outcomes:?}: both the old and the new state were seen"
    );
}

#[test]
fn the_best_is_the_policy_that_was_scored() {
    let folder = Folder::new("scored");
    let mut store = store(&folder);
    // Step, and which step was scored last with what.
    let saved =
        [(1, 1, 5.0), (2, 1, 5.0), (3, 3, 7.0), (4, 3, 7.0), (5, 5, 7.0), (6, 5, 7.0), (7, 5, 7.0)];
    for (step, scored, return_mean) in saved {
        let evaluation = Some(Evaluation { step: scored, return_mean });
        store.save(&Info { evaluation, ..info(step, 0.0) }, &state(step)).unwrap();
    }
    // The two newest, and the first of those that scored 7.
    assert_eq!(store.steps().unwrap(), [3, 6, 7]);
    assert_eq!(store.best_score(7).unwrap(), Some(7.0));
    assert_eq!(self::store(&folder).load_best().unwrap().info.step, 3);

    let unscored = Folder::new("unscored");
    let mut store = self::store(&unscored);
    for step in [4, 5] {
        let evaluation = Some(Evaluation { step: 1, return_mean: 9.0 });
        store.save(&Info { evaluation, ..info(step, 0.0) }, &state(step)).unwrap();
    }
    let loaded = self::store(&unscored).load_best().unwrap();
    assert_eq!((loaded.info.step, loaded.info.score()), (5, None), "the newest, and it says so");
}

#[test]
fn a_checkpoint_that_does_not_fit_is_passed_over() {
    let folder = Folder::new("fits");
    let mut first = store(&folder);
    for step in 1..=3 {
        first.save(&info(step, 0.0), &state(step)).unwrap();
    }
    let misfit = |info: &Info| match info.metrics_lines {
        ..=20 => Ok(()),
        _ => Err(Damage { path: "metrics".into(), problem: "is short".to_owned() }),
    };
    let loaded = store(&folder).load_newest_that(misfit).unwrap();
    assert_eq!(
        (loaded.info.step, loaded.passed_over[0].to_string().as_str()),
        (2, "metrics is short")
    );
}
