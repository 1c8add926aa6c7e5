//! Run folders that somebody sends: never a way to files that lie elsewhere, nor to the terminal.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use ddppo::run::checkpoint::CheckpointStore;
use ddppo::run::snapshot::{Data, Tensor};
use ddppo::run::storage::Disk;

use crate::folders::{RESUME, copy, place, says};
use crate::program::Place;

/// Each is put in a run that somebody sends; afterwards the files outside are as they were.
#[test]
fn no_link_in_a_run_is_followed() {
    let place = place("links");
    let outside = place.file("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(outside.join("folder")).unwrap();
    let keep = outside.join("folder/real-rewards-0-5-00000000.safetensors");
    for file in [&outside.join("file"), &keep] {
        fs::write(file, "theirs\n").unwrap();
    }
    let names = [
        ("run.lock", "file", true),
        ("metrics.jsonl", "file", true),
        (".tmp-manifest.json", "file", false),
        ("manifest.json", "file", false),
        (".tmp-config.toml", "file", false),
        ("curve.svg", "file", false),
        (".tmp-curve.png", "file", false),
        ("config.toml", "file", true),
        ("checkpoints", "folder", true),
        ("checkpoints/rows", "folder", true),
        ("checkpoints/300", "folder", false),
        ("checkpoints/.tmp-400", "folder", false),
        ("checkpoints/.old-400", "folder", false),
        ("checkpoints/400", "folder", false),
        ("robot", "folder", true),
    ];
    for (name, target, refused) in names {
        copy(&place.file("run"), &place.file("sent"));
        let path = place.file("sent").join(name);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        symlink(outside.join(target), &path).unwrap();
        let arguments = ["resume", "sent", "--steps", "400", "--quiet"];
        let output = place.run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(!output.status.success(), refused, "{name}: {said}");
        assert!(!refused || said.contains("is a link"), "{name}: {said}");
        for command in
            [&["evaluate", "sent", "--episodes", "1"][..], &["plot", "sent", "-o", "x.svg"]]
        {
            let output = place.run(command);
            assert!(matches!(output.status.code(), Some(0..=2)), "{name}: {command:?}");
        }
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"theirs\n", "{name}");
        assert_eq!(fs::read(&keep).unwrap(), b"theirs\n", "{name}");
        assert_eq!(fs::read_dir(outside.join("folder")).unwrap().count(), 1, "{name}");
        fs::remove_dir_all(place.file("sent")).unwrap();
    }
    // A copy made of hard links keeps what it has.
    assert!(
        Command::new("cp")
            .args(["-al", "run", "copy"])
            .current_dir(&place.path)
            .status()
            .unwrap()
            .success()
    );
    let before = fs::read(place.file("copy/metrics.jsonl")).unwrap();
    let lock = fs::read(place.file("copy/run.lock")).unwrap();
    place.succeed(&RESUME);
    assert_eq!(fs::read(place.file("copy/metrics.jsonl")).unwrap(), before);
    assert_eq!(fs::read(place.file("copy/run.lock")).unwrap(), lock);
}

/// A pipe would keep its reader waiting for ever.
#[test]
fn pipes_in_a_run_are_refused() {
    let place = place("pipes");
    for name in
        ["config.toml", "metrics.jsonl", "manifest.json", "run.lock", "checkpoints/300/checksums"]
    {
        copy(&place.file("run"), &place.file("sent"));
        let path = place.file("sent").join(name);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let start = Instant::now();
        for command in [
            &["resume", "sent", "--quiet"][..],
            &["plot", "sent", "-o", "x.svg"],
            &["evaluate", "sent"],
        ] {
            let output = place.run(command);
            assert!(matches!(output.status.code(), Some(0..=2)), "{name}: {command:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{name}");
        fs::remove_dir_all(place.file("sent")).unwrap();
    }
}

/// Saves the newest state again as another one, with checksums that are right.
fn forge(place: &Place, run: &str, step: u64, change: impl Fn(&mut ddppo::run::Snapshot)) {
    let folder = place.file(run).join("checkpoints");
    let open = || CheckpointStore::new(&folder, 1, Box::new(Disk));
    let loaded = open().load_newest().unwrap();
    let (mut info, mut snapshot) = (loaded.info, loaded.snapshot);
    info.step = step;
    change(&mut snapshot);
    fs::remove_dir_all(&folder).unwrap();
    open().save(&info, &snapshot).unwrap();
}

fn elites(snapshot: &mut ddppo::run::Snapshot, model: &str, elites: Vec<u32>) {
    let tensor = Tensor::new(&[elites.len()], elites);
    snapshot.tensors.insert(format!("{model}_model/elites"), tensor);
}

#[test]
fn states_of_another_step_or_size_are_refused() {
    let place = place("forged");
    type Change<'a> = (u64, &'a dyn Fn(&mut ddppo::run::Snapshot), &'a str);
    let changes: [Change; 7] = [
        (
            300,
            &|snapshot| drop(snapshot.values.insert("step".to_owned(), 7.into())),
            "it holds the state of step 7",
        ),
        (301, &|_| {}, "it holds the state of step 300"),
        (1_000_000_000_000_000_000, &|_| {}, "it holds the state of step 300"),
        (
            300,
            &|snapshot| drop(snapshot.tensors.remove("policy/0/bias")),
            "has no entry `policy/0/bias`",
        ),
        (300, &|snapshot| elites(snapshot, "gradient", vec![]), "`gradient_model/elites`"),
        (300, &|snapshot| elites(snapshot, "prediction", vec![0, 0]), "none of them twice"),
        (
            300,
            &|snapshot| drop(snapshot.values.insert("real/capacity".to_owned(), 7.into())),
            "`real/capacity`",
        ),
    ];
    for (step, change, expected) in changes {
        copy(&place.file("run"), &place.file("sent"));
        forge(&place, "sent", step, change);
        for command in [&["resume", "sent", "--quiet"][..], &["evaluate", "sent"]] {
            let said = says(&place, 1, command);
            assert!(said.contains(expected), "{said}");
        }
        fs::remove_dir_all(place.file("sent")).unwrap();
    }
}

#[test]
fn checkpoints_that_ask_for_more_memory_than_their_files_have_are_refused() {
    let place = place("sizes");
    let file = place.file("run/checkpoints/300/state.safetensors");
    // A file of a terabyte that takes no room, and a list that says so.
    fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
    let said = says(&place, 0, &["evaluate", "run", "--episodes", "1"]);
    assert!(
        said.contains("state.safetensors cannot be read: it has 1099511627776 bytes"),
        "{said}"
    );
    let metrics = place.file("run/metrics.jsonl");
    fs::File::options().write(true).open(&metrics).unwrap().set_len(1 << 40).unwrap();
    for arguments in [&["plot", "run"][..], &RESUME] {
        let said = says(&place, 1, arguments);
        assert!(said.contains("metrics.jsonl: it has 1099511627776 bytes"), "{said}");
    }
}

/// Escape sequences of a terminal in everything that a folder can name.
#[test]
fn names_are_printed_without_their_commands() {
    let place = place("escapes");
    let escape = "\\u001B]0;owned\\u0007\\u009B2J";
    let config = place.file("run/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"PointMass\"", &format!("\"Po{escape}\""))).unwrap();
    let bad =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().any(|c| c.is_control() && c != '\n');
    for arguments in [
        &["resume", "run"][..],
        &["evaluate", "run"],
        &["plot", "run", "-o", "x.svg"],
        &["plot", "run", "-o", "x.csv"],
    ] {
        let output = place.run(arguments);
        assert!(!bad(&output.stdout) && !bad(&output.stderr), "{arguments:?}: {output:?}");
    }
    for file in ["x.svg", "x.csv"] {
        let bytes = fs::read(place.file(file)).unwrap();
        assert!(!bad(&bytes), "{file}: {}", String::from_utf8_lossy(&bytes));
    }
    fs::write(&config, &text).unwrap();
    let header = place.file("whole/checkpoints/400/state.json");
    let json = fs::read_to_string(&header).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(json.contains(&version));
    let json = json.replace(&version, &format!("\"version\": \"{escape}\""));
    fs::write(&header, &json).unwrap();
    let sums = place.file("whole/checkpoints/400/checksums");
    let tensors = fs::read_to_string(&sums).unwrap();
    let line = format!("{:08x} {} state.json", crc32fast::hash(json.as_bytes()), json.len());
    fs::write(&sums, format!("{line}\n{}\n", tensors.lines().nth(1).unwrap())).unwrap();
    let output = place.run(&["resume", "whole", "--quiet"]);
    assert!(output.status.success() && !bad(&output.stderr), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("was saved by ddppo \\u{1b}]0;owned\\u{7}\\u{9b}2J"), "{said}");
}

#[test]
fn a_policy_of_nans_is_no_success() {
    let place = place("nan");
    forge(&place, "run", 300, |snapshot| {
        let Some(Data::F32(weights)) =
            snapshot.tensors.get_mut("policy/0/weight").map(|tensor| &mut tensor.data)
        else {
            panic!("a policy has weights");
        };
        weights.fill(f32::NAN);
    });
    let said = says(&place, 1, &["evaluate", "run", "--episodes", "1"]);
    assert!(said.starts_with("error: ") && said.contains("finite"), "{said}");
}
