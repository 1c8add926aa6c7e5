//! What only reports cannot stop a run: the log, the terminal, the last word, git.

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, small_run};

/// A run that says a lot: an evaluation, and so a line, at nearly every step.
fn talkative(out: &str) -> Vec<&str> {
    let mut arguments = small_run(out, "300", &["--set", "evaluation.every_steps=2"]);
    arguments.retain(|argument| *argument != "--quiet");
    arguments
}

fn saved(place: &Place, run: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{run}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(place.file(run).join("checkpoints/300/state.json").exists(), "{run}");
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let place = Place::new("log");
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&talkative("full")).stdout(full()).stderr(full()).output().unwrap();
    saved(&place, "full", &output);

    // `| head -3`: the reader goes away while the run is under way.
    let mut child = place
        .command(&talkative("gone"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    saved(&place, "gone", &child.wait_with_output().unwrap());

    // Closed before the program starts.
    let closed = |run: &str| {
        let mut shell = Command::new("sh");
        let line = format!("exec {} \"$@\" >&- 2>&-", env!("CARGO_BIN_EXE_ddppo"));
        shell.args(["-c", &line, "sh"]).args(talkative(run)).current_dir(&place.path);
        shell.output().unwrap()
    };
    saved(&place, "closed", &closed("closed"));
}

#[test]
fn a_log_that_nobody_reads_is_no_reason_to_wait() {
    let place = Place::new("unread");
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the descriptor is open; the call changes the pipe's size only.
    assert!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) } > 0);
    let second = writer.try_clone().unwrap();
    let start = Instant::now();
    let output = place.command(&talkative("run")).stdout(second).stderr(writer).output().unwrap();
    saved(&place, "run", &output);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    drop(reader);
}

/// A terminal of its own is made by `script`; what is seen on it is returned.
fn on_a_terminal(place: &Place, term: Option<&str>, run: &str) -> String {
    let line = format!("{} {}", env!("CARGO_BIN_EXE_ddppo"), talkative(run).join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(&place.path).env_remove("TERM");
    command.envs(term.map(|term| ("TERM", term))).stdin(Stdio::null());
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let place = Place::new("dumb");
    for (term, run) in [(None, "none"), (Some("dumb"), "dumb"), (Some(""), "empty")] {
        let seen = on_a_terminal(&place, term, run);
        assert!(
            seen.lines().filter(|line| line.starts_with("step ")).count() > 50,
            "{term:?}: {seen}"
        );
        assert!(!seen.contains('\u{1b}'), "{term:?}: {seen}");
    }
    let seen = on_a_terminal(&place, Some("xterm"), "clever");
    assert!(!seen.lines().any(|line| line.starts_with("step ")), "{seen}");
    assert!(seen.contains("trained PointMass for 300 steps"), "{seen}");
}

#[test]
fn a_curve_that_cannot_be_drawn_is_a_warning() {
    let place = Place::new("no-curve");
    let mut child = place.spawn(&small_run("run", "100000", &[]));
    place.wait_for(&mut child, "run/checkpoints/100");
    // Under the curve's temporary name lies a folder.
    fs::create_dir(place.file("run/.tmp-curve.svg")).unwrap();
    child.kill();
    let newest = *place.steps("run").last().unwrap();
    let steps = (newest + 5).to_string();
    let output = place.run(&["resume", "run", "--steps", &steps, "--quiet"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("warning: the curve fails and is left out: cannot write"), "{text}");
}

#[test]
fn git_is_asked_when_the_program_is_built_and_not_when_it_runs() {
    let place = Place::new("git");
    let bin = place.file("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("git"), "#!/bin/sh\nsleep 100\n").unwrap();
    fs::set_permissions(bin.join("git"), Permissions::from_mode(0o755)).unwrap();
    let start = Instant::now();
    let mut command = place.command(&small_run("run", "60", &[]));
    let output = command.env("GIT_DIR", "/nonexistent").env("PATH", &bin).output().unwrap();
    assert!(output.status.success() && start.elapsed() < Duration::from_secs(20));
    let manifest = fs::read_to_string(place.file("run/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let revision = manifest["sessions"][0]["git_revision"].as_str().unwrap().to_owned();
    let hash = revision.trim_end_matches("-dirty");
    assert!(hash == "unknown" || hash.len() == 40, "{revision}");
}

#[test]
fn output_that_is_what_the_command_is_for_must_be_written() {
    let place = Place::new("output");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(&["tasks"]).stdout(full).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: standard output cannot be written"), "{text}");
}
