//! Robots from files: a good pair works, and every mistake is one sentence that names file, line and key.

use std::path::{Path, PathBuf};

use ddppo::env::{MujocoTask, Task, files};
use ddppo::rng::Rng;

const MJCF: &str = r#"<mujoco>
  <worldbody>
    <body name="arm" pos="0 0 1">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03"/>
      <site name="tip" pos="0 0 -0.5"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear="5" ctrllimited="true" ctrlrange="-1 2"/>
  </actuator>
</mujoco>
"#;

const TASK: &str = r#"name = "Arm"
frame_skip = 5
time_limit = 100

[[observation]]
part = "qpos"

[[observation]]
part = "qvel"
clip = 20.0

[[reward]]
term = "distance_cost"
site = "tip"
target = [0.0, 0.0, 1.5]
weight = 2.0

[[reward]]
term = "body_height"
body = "arm"
weight = 0.5

[[reward]]
term = "body_velocity"
body = "arm"
axis = "z"
weight = 1.0

[[healthy]]
part = "qvel"
at_most = 50.0
"#;

/// Loads the pair from files of the test's own folder.
fn load(test: &str, mjcf: &str, task: &str) -> Result<MujocoTask, String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env_files").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("arm.xml"), mjcf).unwrap();
    std::fs::write(folder.join("arm.toml"), task).unwrap();
    MujocoTask::from_files(&folder.join("arm.xml"), &folder.join("arm.toml"))
        .map_err(|error| error.to_string())
}

fn error(test: &str, mjcf: &str, task: &str) -> String {
    let message = load(test, mjcf, task).expect_err("the mistake must be found");
    assert!(!message.trim().contains('\n'), "{message:?} is more than a line");
    message
}

/// The error for the task file with one piece replaced.
fn task_error(from: &str, to: &str) -> String {
    assert!(TASK.contains(from), "{from}");
    let name: String = to.chars().filter(char::is_ascii_alphanumeric).collect();
    error(&format!("task-{name}"), MJCF, &TASK.replacen(from, to, 1))
}

#[test]
fn a_robot_of_ones_own_runs() {
    let task = load("good", MJCF, TASK).unwrap();
    assert_eq!((task.name(), task.observation_dim(), task.action_dim()), ("Arm", 2, 1));
    assert_eq!((task.action_low(), task.action_high()), (&[-1.0][..], &[2.0][..]));
    assert_eq!(task.time_limit(), 100);
    let mut world = task.make().unwrap();
    let mut observation = [1.0; 2];
    world.reset(&mut Rng::new(0, "arm"), &mut observation);
    assert_eq!(observation, [0.0; 2], "without reset noise the robot starts at rest");
    // Hanging at rest: the tip is 1 m below the target, the body at 1 m, and nothing moves.
    let step = world.step(&[0.0], &mut observation).unwrap();
    assert!((step.reward - (-2.0 + 0.5)).abs() < 1e-9, "{step:?}");
    assert!(!step.terminated && task.terminated(&[0.0, 50.5]) && !task.terminated(&[0.0, 50.0]));
    assert!(task.reward_summary().contains("2 × tip distance cost"), "{}", task.reward_summary());
}

#[test]
fn the_built_in_tasks_go_through_files_too() {
    let (mjcf, description) = files("Walker2d").unwrap();
    let task = load("walker", mjcf, description).unwrap();
    assert_eq!((task.name(), task.observation_dim(), task.action_dim()), ("Walker2d", 17, 6));
}

#[test]
fn a_missing_file_is_named() {
    let nowhere = Path::new("/nowhere/robot.xml");
    let message = MujocoTask::from_files(nowhere, nowhere).unwrap_err().to_string();
    assert!(message.starts_with("/nowhere/robot.xml cannot be read: "), "{message}");
}

#[test]
fn a_malformed_model_is_named_with_its_line() {
    for (name, from, to, wanted) in [
        ("unclosed", "</worldbody>", "", "line 2: not well-formed XML (mismatched element)"),
        ("element", "<site ", "<sight ", "sight"),
        ("joint", "joint=\"shoulder\"", "joint=\"elbow\"", "elbow"),
    ] {
        let message = error(name, &MJCF.replacen(from, to, 1), TASK);
        assert!(message.contains("arm.xml: ") && message.contains(wanted), "{message}");
    }
}

#[test]
fn a_model_that_cannot_be_acted_on_is_refused() {
    let start = MJCF.find("  <actuator>").unwrap();
    let message = error("no-actuator", &format!("{}</mujoco>\n", &MJCF[..start]), TASK);
    assert!(
        message.ends_with("arm.xml: the model has no actuators, so there is nothing to act with"),
        "{message}"
    );
    let unlimited = MJCF.replace(" ctrllimited=\"true\" ctrlrange=\"-1 2\"", "");
    let message = error("unlimited", &unlimited, TASK);
    assert!(message.contains("actuator 0 has no ctrlrange"), "{message}");
}

#[test]
fn mistakes_in_the_task_file_are_named_with_line_and_key() {
    for (from, to, line, wanted) in [
        (
            "body = \"arm\"\nw",
            "body = \"amr\"\nw",
            20,
            "the model has no body `amr` (did you mean `arm`?)",
        ),
        ("site = \"tip\"", "site = \"tp\"", 14, "the model has no site `tp` (did you mean `tip`?)"),
        (
            "\"body_height\"",
            "\"body_hight\"",
            19,
            "there is no reward term `body_hight` (did you mean `body_height`?)",
        ),
        ("body = \"arm\"\nw", "w", 19, "reward term `body_height` needs the key `body`"),
        ("axis = \"z\"", "axis = \"up\"", 26, "`axis` is `up` and must be x, y or z"),
        ("axis = \"z\"", "site = \"tip\"", 26, "reward term `body_velocity` takes no key `site`"),
        ("frame_skip = 5", "frame_skip = 0", 2, "`frame_skip` is 0 and must be at least 1"),
        ("frame_skip = 5", "frame_skip = \"5\"", 2, "invalid type"),
        ("frame_skip", "frame_skips", 2, "unknown field `frame_skips`"),
        ("frame_skip = 5", "frame_skip = ", 2, ""),
        ("time_limit = 100", "time_limit = -1", 3, "`time_limit` is -1 and must be at least 1"),
        ("part = \"qpos\"", "part = \"qpose\"", 6, "qpose"),
        (
            "part = \"qpos\"",
            "part = \"qpos\"\nfrom = 1",
            5,
            "`from` 1 to 1 is no range of the model's 1 positions",
        ),
        ("clip = 20.0", "clip = -1.0", 8, "`clip` must be more than 0"),
        (
            "at_most = 50.0",
            "at_most = 50.0\nbelow = 1.0",
            29,
            "takes `below` or `at_most`, not both",
        ),
        (
            "at_most = 50.0",
            "at_most = 1.0\nabove = 2.0",
            29,
            "the lower bound of a healthy range must be less",
        ),
        (
            "part = \"qpos\"",
            "part = \"qvel\"\nto = 1\n[[healthy]]\npart = \"qpos\"",
            8,
            "must lie within one [[observation]]",
        ),
    ] {
        let message = task_error(from, to);
        let place = format!("arm.toml, line {line}: ");
        assert!(message.contains(&place) && message.contains(wanted), "{place}{wanted}\n{message}");
    }
}

#[test]
fn a_task_without_reward_or_observation_is_refused() {
    for (key, wanted) in
        [("reward", "at least one [[reward]]"), ("observation", "at least one [[observation]]")]
    {
        let head = "frame_skip = 1\ntime_limit = 9\nname = \"x\"\n";
        let other = if key == "reward" {
            "[[observation]]\npart = \"qpos\"\n"
        } else {
            "[[reward]]\nterm = \"alive\"\nweight = 1.0\n"
        };
        let message = error(&format!("no-{key}"), MJCF, &format!("{head}{key} = []\n{other}"));
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn the_example_of_the_documentation_works() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/own-robot.md"))
            .unwrap();
    let block = |language: &str| {
        let start = format!("```{language}\n");
        page.split_once(&start).and_then(|(_, rest)| rest.split_once("```")).unwrap().0.to_owned()
    };
    let task = load("documented", &block("xml"), &block("toml")).unwrap();
    let mut world = task.make().unwrap();
    let mut observation = vec![0.0; task.observation_dim()];
    world.reset(&mut Rng::new(0, "documented"), &mut observation);
    let step = world.step(&[0.5], &mut observation).unwrap();
    assert!(!step.terminated && (-1.1..-0.9).contains(&step.reward), "{step:?}");
}
