//! Runs the built program in a folder of the test's own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ddppo::run::storage::Disk;
use ddppo::run::{CheckpointStore, Snapshot};

/// Settings that make a whole run a matter of a second: small networks, few updates.
const SMALL: &str = "training.warmup_steps=50 training.batch_size=16 training.model_every_steps=100 \
    training.min_transitions=50 training.policy_updates_per_step=1 training.critic_updates_per_step=1 \
    evaluation.every_steps=100 evaluation.episodes=1 model.members=2 model.elites=1 model.hidden=8 model.layers=1 \
    model.weight_decay=[0,0] model.patience_epochs=1 gradient_loss.neighbours=3 gradient_loss.window=200 \
    rollout.starts=50 rollout.capacity_per_step=400 policy.hidden=8 policy.horizon=2 critic.hidden=8 \
    checkpoint.every_steps=100";

/// The same for methods that learn in blocks of steps.
const SMALL_BLOCKS: &str = "training.block_steps=100 training.first_updates=20 training.critic_updates=5 model.first_steps=20 \
    model.steps=10 model.look_every=5 policy.layers=1 critic.layers=1 rollout.capacity=2000";

/// A working folder, removed when the test is over.
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// The program with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ddppo"));
        command.args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    /// Starts the program, without its final message.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.start(self.command(arguments))
    }

    /// Starts a command, without its final message.
    pub fn start(&self, mut command: Command) -> Running {
        Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Steps of a run's checkpoints, oldest first.
    pub fn steps(&self, run: &str) -> Vec<u64> {
        let store =
            CheckpointStore::new(&self.path.join(run).join("checkpoints"), 1, Box::new(Disk));
        store.steps().unwrap()
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it to its end, which must be a good one; returns what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it to its end, which must be exit code `code` with one line of error; returns that line.
    pub fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("warning: ")).collect();
        assert_eq!(lines.len(), 1, "{arguments:?} should fail with one sentence: {text}");
        assert!(lines[0].starts_with("error: "), "{text}");
        lines[0]["error: ".len()..].to_owned()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// `metrics.jsonl` of a run without the only part that may differ between equal runs.
    pub fn metrics(&self, run: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path.join(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| line.split(",\"time\":").next().unwrap().to_owned()).collect()
    }

    /// A checkpoint's own files.
    pub fn checkpoint(&self, run: &str, step: u64) -> Vec<Vec<u8>> {
        let folder = self.path.join(run).join("checkpoints").join(step.to_string());
        ["state.safetensors", "state.json"].map(|name| fs::read(folder.join(name)).unwrap()).into()
    }

    /// The newest saved state of a run, whatever files it is spread over.
    pub fn state(&self, run: &str) -> Snapshot {
        let mut store =
            CheckpointStore::new(&self.path.join(run).join("checkpoints"), 1, Box::new(Disk));
        store.load_newest().unwrap().snapshot
    }

    /// Waits until a file is there.
    pub fn wait_for(&self, child: &mut Running, path: &str) {
        let start = Instant::now();
        while !self.path.join(path).exists() {
            assert!(
                child.0.try_wait().unwrap().is_none(),
                "the program ended before {path} was there"
            );
            assert!(start.elapsed() < Duration::from_secs(60), "{path} did not come");
            sleep(Duration::from_millis(2));
        }
    }
}

/// A started program that does not outlive its test.
pub struct Running(pub Child);

impl Running {
    /// Waits for its end; returns its status and what it said on standard error.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap(), said)
    }

    /// Kills it, with no time to save.
    pub fn kill(&mut self) -> ExitStatus {
        let _ = self.0.kill();
        self.0.wait().unwrap()
    }

    /// Sends a signal, as Ctrl-C or `kill` would.
    pub fn signal(&self, name: &str) {
        assert!(self.try_signal(name));
    }

    /// Sends a signal to a process that may be over; whether it was there.
    pub fn try_signal(&self, name: &str) -> bool {
        let process = self.0.id().to_string();
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &process]).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// `train` by another method on the point mass, with those of the small settings that it has.
pub fn small_run_by<'a>(algorithm: &'a str, out: &'a str, steps: &'a str) -> Vec<&'a str> {
    let preset = ddppo::methods::preset(algorithm, "PointMass").unwrap();
    let mut arguments = vec!["train", "PointMass", "--algo", algorithm];
    arguments.extend(["--quiet", "--out", out, "--steps", steps]);
    if algorithm == "ddppo-plus" {
        // With both of its models.
        arguments.extend(["--variant", "gradient-model"]);
    }
    let has = |setting: &&str| preset.get(setting.split('=').next().unwrap()).is_some();
    for setting in SMALL.split_whitespace().chain(SMALL_BLOCKS.split_whitespace()).filter(has) {
        arguments.extend(["--set", setting]);
    }
    arguments
}

/// `train` with small networks.
pub fn small_run_on<'a>(
    task: &'a str,
    out: &'a str,
    steps: &'a str,
    more: &[&'a str],
) -> Vec<&'a str> {
    let mut arguments = vec!["train", task, "--quiet", "--out", out, "--steps", steps];
    for setting in SMALL.split_whitespace() {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(more);
    arguments
}

/// `train` on the point mass, the cheapest task, with small networks.
pub fn small_run<'a>(out: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    small_run_on("PointMass", out, steps, more)
}
