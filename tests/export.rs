//! Exported policies act as the run's own does, to 1e-5, over a thousand random observations: for every method, and for robots of one's own
//! with unusual action ranges. ONNX is run by onnxruntime, safetensors are read by numpy, the header is compiled by `cc`.

#[path = "support/python.rs"]
mod python;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ddppo::config::Config;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::export::{ExportError, PortablePolicy, export, written};
use ddppo::methods;
use ddppo::policy::Actor;
use ddppo::rng::Rng;
use ddppo::run::Tensor;
use ddppo::run::encoding::encode_with_header;
use ddppo::train::Trainer;
use small_runs::{advance, small, trainer, with};

/// Observations that each policy is asked for.
const ROWS: usize = 1000;
/// Largest difference, in units of the largest action of a coordinate.
const TOLERANCE: &str = "1e-5";

/// Three motors whose ranges are far from ±1: one wide and off its middle, one tiny, one that only pulls.
const ARM: &str = r#"<mujoco>
  <worldbody>
    <body pos="0 0 2"><joint name="a" axis="0 1 0" damping="1"/><geom type="capsule" fromto="0 0 0 .3 0 0" size=".05"/>
      <body pos=".3 0 0"><joint name="b" axis="0 1 0" damping="1"/><geom type="capsule" fromto="0 0 0 .3 0 0" size=".05"/>
        <body pos=".3 0 0"><joint name="c" axis="0 1 0" damping="1"/><geom type="capsule" fromto="0 0 0 .3 0 0" size=".05"/>
          <site name="tip" pos=".3 0 0"/></body></body></body>
  </worldbody>
  <actuator>
    <motor joint="a" gear="0.002" ctrlrange="-50 1000"/>
    <motor joint="b" gear="1000" ctrlrange="-0.0002 0.0003"/>
    <motor joint="c" gear="1" ctrlrange="-2 -0.5"/>
  </actuator>
</mujoco>
"#;

const REACH: &str = r#"name = "Arm_of-3"
frame_skip = 5
time_limit = 60
[[observation]]
part = "qpos"
[[observation]]
part = "qvel"
clip = 20.0
[[reward]]
term = "distance_cost"
site = "tip"
target = [0.0, 0.0, 2.5]
weight = 1.0
[reset]
qpos_uniform = 0.1
"#;

/// A folder of the test's own, removed when it is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("export-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A run that has learned a little, with networks as wide as real ones.
fn learned(config: &Config, task: Option<Arc<dyn Task>>) -> Trainer {
    let wide = [
        "policy.hidden=256",
        "training.warmup_steps=60",
        "training.batch_size=64",
        "training.min_transitions=60",
    ];
    let config = with(config, &wide);
    let mut run = match task {
        Some(task) => Trainer::new(config, task).unwrap(),
        None => trainer(&config),
    };
    let first = run.method().policy().clone();
    advance(&mut run, 110);
    let policy = run.method().policy();
    assert_ne!(first.network.parameters(), policy.network.parameters(), "it has learned");
    assert!(first.input.is_none() || first.input != policy.input, "and seen observations");
    run
}

/// Random observations, of numbers that 32 bits hold, and what the run's own policy does.
fn asked(run: &Trainer, deviation: f64) -> (Vec<f32>, Vec<f64>) {
    let mut rng = Rng::new(5, "observations");
    let (policy, s) = (run.method().policy(), run.task().observation_dim());
    let mut actor = Actor::new(policy);
    let (mut observations, mut actions) = (Vec::new(), Vec::new());
    for _ in 0..ROWS {
        let observation: Vec<f32> = (0..s)
            .map(|d| {
                // Around what the policy takes for usual, where it has an idea of it.
                let (mean, width) = policy
                    .input
                    .as_ref()
                    .map_or((0.0, 1.0), |input| (input.mean[d], input.deviation[d]));
                mean + width * (deviation * rng.normal()) as f32
            })
            .collect();
        let wide: Vec<f64> = observation.iter().map(|&o| f64::from(o)).collect();
        actions.extend(actor.best(policy, &wide));
        observations.extend(observation);
    }
    (observations, actions)
}

/// Writes the run's policy in all formats, and what is expected of it.
fn write_out(run: &Trainer, folder: &Folder) -> (Vec<f32>, Vec<f64>) {
    for name in ["policy.onnx", "policy.safetensors", "policy.h"] {
        let policy = export(run, &folder.file(name)).unwrap();
        assert_eq!(policy.about.task, run.task().name());
    }
    let (observations, actions) = asked(run, 0.7);
    let dims = [run.task().observation_dim(), run.task().action_dim()];
    let tensors = BTreeMap::from([
        ("observations".to_owned(), Tensor::new(&[ROWS, dims[0]], observations.clone())),
        ("actions".to_owned(), Tensor::new(&[ROWS, dims[1]], actions.clone())),
    ]);
    fs::write(folder.file("expected.safetensors"), encode_with_header(&tensors, None)).unwrap();
    (observations, actions)
}

/// Has Python compare; exit code and what it said.
fn by_python(folder: &Folder) -> (Option<i32>, String) {
    let output = Command::new(python::python("tests/python/requirements-export.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_export.py"))
        .args([folder.0.to_str().unwrap(), TOLERANCE])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said + &String::from_utf8_lossy(&output.stderr))
}

/// Reads observations from standard input and writes actions, both as they lie in memory.
const MAIN: &str = r#"#include <stdio.h>
#include "policy.h"
int main(void)
{
    float observation[POLICY_OBSERVATIONS], action[POLICY_ACTIONS];
    while (fread(observation, sizeof observation, 1, stdin) == 1) {
        policy_act(observation, action);
        fwrite(action, sizeof action, 1, stdout);
    }
    return 0;
}
"#;

/// What a compiler is asked to find fault with.
const STRICT: [&str; 9] = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wundef",
    "-O2",
];

/// The actions of the header's function.
fn by_c(folder: &Folder, observations: &[f32]) -> Vec<f32> {
    fs::write(folder.file("main.c"), MAIN).unwrap();
    // Included twice, and by a file that does not use it.
    fs::write(
        folder.file("unused.c"),
        "#include \"policy.h\"\n#include \"policy.h\"\nint unused;\n",
    )
    .unwrap();
    fs::write(folder.file("main.cc"), MAIN).unwrap();
    let compile = |compiler: &str, standard: &str, files: &[&str], to: &str| {
        let mut command = Command::new(compiler);
        command
            .arg(standard)
            .args(STRICT)
            .args(files)
            .args(["-o", to, "-lm"])
            .current_dir(&folder.0);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    };
    compile("cc", "-std=c99", &["main.c", "unused.c"], "act");
    compile("c++", "-std=c++11", &["main.cc"], "act++");
    let [plain, plus] = ["act", "act++"].map(|program| {
        fs::write(folder.file("observations"), bytemuck::cast_slice::<f32, u8>(observations))
            .unwrap();
        let input = fs::File::open(folder.file("observations")).unwrap();
        Command::new(folder.file(program)).stdin(input).output().unwrap().stdout
    });
    assert_eq!(plain, plus, "C and C++ compute the same");
    bytemuck::pod_collect_to_vec(&plain)
}

/// The worst difference, in units of the largest action of its coordinate.
fn worst(run: &Trainer, found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let ranges = run.task().action_low().iter().zip(run.task().action_high());
    let largest: Vec<f64> = ranges.map(|(low, high)| low.abs().max(high.abs())).collect();
    let differences = found.iter().zip(expected).enumerate();
    differences
        .map(|(i, (&a, &b))| (f64::from(a) - b).abs() / largest[i % largest.len()])
        .fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

/// All formats of a run's policy.
fn check(run: &Trainer, name: &str) {
    let folder = Folder::new(name);
    let (observations, actions) = write_out(run, &folder);
    let (code, said) = by_python(&folder);
    assert_eq!(code, Some(0), "{name}: {said}");
    let worst = worst(run, &by_c(&folder, &observations), &actions);
    assert!(worst <= TOLERANCE.parse().unwrap(), "{name}: C differs by {worst:e}");
    println!("{name}: {said}c: {worst:.2e}");
}

fn check_method(method: &str) {
    let run = learned(&small(method, "Hopper"), None);
    check(&run, method);
    let standardised = run.method().policy().input.is_some();
    assert_eq!(standardised, ["mage", "ddppo-plus"].contains(&method), "{method}");
}

#[test]
fn policies_of_all_methods_act_alike_everywhere() {
    for info in methods::all() {
        check_method(info.name);
    }
}

fn arm() -> Arc<dyn Task> {
    let folder = Folder::new("robot");
    fs::write(folder.file("arm.xml"), ARM).unwrap();
    fs::write(folder.file("arm.toml"), REACH).unwrap();
    Robot::from_files(&folder.file("arm.xml"), &folder.file("arm.toml")).unwrap().task()
}

#[test]
fn unusual_action_ranges_act_alike_everywhere() {
    let task = arm();
    assert_eq!(task.action_low(), [-50.0, -0.0002, -2.0]);
    // Without a standardiser, and with those of two methods.
    for method in ["sac", "mage", "ddppo-plus"] {
        let like = small(method, "Hopper");
        let own = methods::find(method).unwrap().for_robot(task.name()).unwrap();
        let shared: Vec<String> =
            ["model.hidden", "critic.hidden", "model.members", "rollout.starts"]
                .iter()
                .filter_map(|key| Some(format!("{key}={}", like.get(key)?)))
                .collect();
        let small_ones: Vec<&str> = shared.iter().map(String::as_str).collect();
        let run = learned(&with(&with(&own, &small_ones), &BLOCKS), Some(Arc::clone(&task)));
        check(&run, &format!("arm-{method}"));
    }
}

/// What makes the first learning of each method come early and end soon.
const BLOCKS: [&str; 14] = [
    "training.min_transitions=60",
    "training.model_every_steps=50",
    "training.block_steps=50",
    "training.first_updates=10",
    "training.critic_updates=0",
    "training.pretraining_updates=5",
    "model.batches=3",
    "model.batch_size=50",
    "model.first_steps=10",
    "model.steps=5",
    "model.look_every=5",
    "rollout.starts=50",
    "evaluation.every_steps=100000",
    "model.head_hidden=8",
];

#[test]
fn another_policy_is_noticed() {
    let run = learned(&small("sac", "PointMass"), None);
    let other = learned(&with(&small("sac", "PointMass"), &["seed=12"]), None);
    let folder = Folder::new("another");
    let (observations, _) = write_out(&run, &folder);
    for name in ["policy.onnx", "policy.safetensors", "policy.h"] {
        export(&other, &folder.file(name)).unwrap();
    }
    let (code, said) = by_python(&folder);
    assert_eq!(code, Some(1), "{said}");
    let (_, actions) = asked(&run, 0.7);
    assert!(worst(&run, &by_c(&folder, &observations), &actions) > 1e-3);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let run = learned(&small("sac", "PointMass"), None);
    let mut policy = PortablePolicy::of_run(&run);
    let name = |path: &str| written(&policy, Path::new(path)).map_err(|error| error.to_string());
    for path in ["policy", "policy.pt", "policy.ONNX", ".h", ""] {
        let error = name(path).unwrap_err();
        assert_eq!(error, format!("`{path}` must end in .onnx, .safetensors or .h"));
    }
    for path in ["a.onnx", "a.safetensors", "a.h"] {
        assert_eq!(name(path), name(path), "equal policies are equal files");
    }
    policy.mean.bias[0] = f32::NAN;
    let error = written(&policy, Path::new("a.h")).unwrap_err();
    assert!(matches!(error, ExportError::NotFinite { step: 110 }), "{error}");
}
