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
    let mut environment = task.make().unwrap();
    let mut observation = [1.0; 2];
    environment.reset(&mut Rng::new(0, "arm"), &mut observation);
    assert_eq!(observation, [0.0; 2], "without reset noise the robot starts at rest");
    // Hanging at rest: the tip is 1 m below the target, the body at 1 m, and nothing moves.
    let step = environment.step(&[0.0], &mut observation).unwrap();
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
        message.contains("arm.xml: the model has no actuators, so there is nothing to act with"),
        "{message}"
    );
    let unlimited = MJCF.replace(" ctrllimited=\"true\" ctrlrange=\"-1 2\"", "");
    let message = error("unlimited", &unlimited, TASK);
    assert!(message.contains("actuator 0 has no ctrlrange"), "{message}");
}

#[test]
fn control_ranges_that_nobody_can_act_in_are_refused_with_the_actuators_name() {
    let motor = "gear=\"5\" ctrllimited=\"true\" ctrlrange=\"-1 2\"";
    for (written, wanted) in [
        ("name=\"lift\" gear=\"5\"", "actuator 0 (`lift`) has no ctrlrange"),
        (
            "name=\"lift\" ctrllimited=\"false\" ctrlrange=\"-1 2\"",
            "actuator 0 (`lift`) has ctrllimited=\"false\"",
        ),
        ("ctrllimited=\"true\" ctrlrange=\"nan nan\"", "actuator 0 has the ctrlrange NaN to NaN"),
        ("name=\"a\" ctrlrange=\"-inf inf\"", "actuator 0 (`a`) has the ctrlrange -inf to inf"),
        ("name=\"a\" ctrlrange=\"0 inf\"", "two finite numbers"),
        ("name=\"a\" ctrlrange=\"-3e38 3e38\"", "too wide"),
        ("name=\"a\" ctrlrange=\"1000000 1000000.001\"", "nothing to choose"),
    ] {
        assert!(MJCF.contains(motor));
        let message = error("ranges", &MJCF.replace(motor, written), TASK);
        assert!(message.contains(wanted), "{written}: {message}");
    }
    // Narrow is not wrong.
    load("narrow", &MJCF.replace("-1 2", "0 0.00001"), TASK).unwrap();
}

/// Bytes instead of a model.
fn error_of_bytes(test: &str, bytes: &[u8]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env_files").join(test);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("robot"), bytes).unwrap();
    std::fs::write(folder.join("arm.toml"), TASK).unwrap();
    let loaded = MujocoTask::from_files(&folder.join("robot"), &folder.join("arm.toml"));
    loaded.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_is_no_mjcf_is_named_with_what_to_do() {
    for (bytes, wanted) in [
        (&b"<?xml version='1.0'?>\n<robot name='r'><link name='a'/></robot>"[..], "URDF"),
        (b"<sdf version='1.6'/>", "SDFormat"),
        (b"PXR-USDC\x00\x08", "USD"),
        (b"#usda 1.0\n", "USD"),
        (&[0x1f, 0x8b, 8, 0, 0], "gzip"),
        (b"PK\x03\x04\x14", "ZIP"),
        (&[0x31, 0xd4, 0, 0, 0, 0, 0, 0], ".mjb"),
        (b"ply\nformat ascii", "no XML"),
        (b"", "empty"),
    ] {
        let message = error_of_bytes("formats", bytes);
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
}

#[test]
fn a_model_in_another_encoding_is_mujocos_to_read() {
    let latin = MJCF
        .replace("<mujoco>", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!-- gr--><mujoco>");
    let mut bytes = latin.into_bytes();
    let at = bytes.windows(2).position(|pair| pair == b"gr").unwrap();
    bytes.insert(at + 2, 0xfc);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env_files/latin1");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("arm.xml"), bytes).unwrap();
    std::fs::write(folder.join("arm.toml"), TASK).unwrap();
    MujocoTask::from_files(&folder.join("arm.xml"), &folder.join("arm.toml")).unwrap();
    // Names too, and hints at them.
    let named: Vec<u8> =
        MJCF.bytes().flat_map(|b| if b == b'p' { vec![0xe9] } else { vec![b] }).collect();
    std::fs::write(folder.join("arm.xml"), named).unwrap();
    let message =
        MujocoTask::from_files(&folder.join("arm.xml"), &folder.join("arm.toml")).unwrap_err();
    assert!(!message.to_string().is_empty());
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env_files/pipes");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(folder.join("arm.toml"), TASK).unwrap();
    std::fs::write(folder.join("arm.xml"), MJCF).unwrap();
    let refused =
        |model: &Path, task: &Path| MujocoTask::from_files(model, task).unwrap_err().to_string();
    let (good_model, good_task) = (folder.join("arm.xml"), folder.join("arm.toml"));
    assert!(refused(&pipe, &good_task).contains("pipe is a named pipe, and no file"));
    assert!(refused(&good_model, &pipe).contains("pipe is a named pipe, and no file"));
    assert!(refused(&folder, &good_task).contains("is a folder, and no file"));
    assert!(refused(Path::new("/dev/zero"), &good_task).contains("is a device"));
    for reference in [
        "<include file=\"pipe\"/>",
        "<asset><mesh name=\"m\" file=\"pipe\" content_type=\"model/stl\"/></asset>",
    ] {
        std::fs::write(
            folder.join("refers.xml"),
            MJCF.replace("<worldbody>", &format!("{reference}<worldbody>")),
        )
        .unwrap();
        let message = refused(&folder.join("refers.xml"), &good_task);
        assert!(message.contains("is a named pipe, and no file"), "{message}");
    }
}

#[test]
fn a_missing_file_is_named_however_long_its_path() {
    let long = "a_folder_with_a_long_name/".repeat(12) + "front_left_lower_leg.stl";
    for reference in [
        format!("<asset><mesh name=\"m\" file=\"{long}\"/></asset>"),
        format!("<include file=\"{}\"/>", long.replace(".stl", ".xml")),
        format!(
            "<asset><hfield name=\"h\" size=\"1 1 1 1\" file=\"{}\"/></asset>",
            long.replace(".stl", ".png")
        ),
    ] {
        let message =
            error("long", &MJCF.replace("<worldbody>", &format!("{reference}<worldbody>")), TASK);
        assert!(
            message.contains("front_left_lower_leg.") && message.contains("No such file"),
            "{message}"
        );
    }
}

/// Models that MuJoCo's compiler does not survive in a process with little memory, or with any.
#[test]
fn the_compiler_cannot_take_the_process_down() {
    for (name, piece) in [
        ("user-data", "<size nuser_body=\"2000000000\"/>"),
        ("user-geoms", "<size nuser_geom=\"2000000000\"/>"),
        (
            "field",
            "<asset><hfield name=\"h\" nrow=\"100000\" ncol=\"100000\" size=\"1 1 1 1\"/></asset>",
        ),
        (
            "texture",
            "<asset><texture name=\"t\" type=\"2d\" builtin=\"flat\" width=\"90000\" height=\"90000\"/></asset>",
        ),
    ] {
        let message =
            error(name, &MJCF.replace("<worldbody>", &format!("{piece}<worldbody>")), TASK);
        assert!(message.contains("arm.xml: "), "{name}: {message}");
    }
    // And the process goes on.
    load("after", MJCF, TASK).unwrap();
}

#[test]
fn episodes_may_begin_in_a_keyframe() {
    let mjcf = MJCF.replace(
        "</mujoco>",
        "<keyframe><key name=\"low\" qpos=\"0.25\"/><key name=\"high\" time=\"3\" qpos=\"2.5\" qvel=\"-1\"/></keyframe></mujoco>",
    );
    let keyframe = |name: &str| format!("{TASK}\n[reset]\nkeyframe = \"{name}\"\n");
    let mut observation = [0.0; 2];
    for (name, start) in [("low", [0.25, 0.0]), ("high", [2.5, -1.0])] {
        let task = load("keyframe", &mjcf, &keyframe(name)).unwrap();
        let mut environment = task.make().unwrap();
        environment.reset(&mut Rng::new(0, "keyframe"), &mut observation);
        assert_eq!(observation, start);
        environment.step(&[1.0], &mut observation).unwrap();
        environment.reset(&mut Rng::new(1, "keyframe"), &mut observation);
        assert_eq!(observation, start);
    }
    let message = error("keyframe-typo", &mjcf, &keyframe("hihg"));
    assert!(
        message.contains("line 34: the model has no keyframe `hihg` (did you mean `high`?)"),
        "{message}"
    );
    let message = error("keyframe-none", MJCF, &keyframe("home"));
    assert!(
        message.contains("has no keyframe `home`") && message.contains("no named keyframes"),
        "{message}"
    );
}

#[test]
fn odd_starts_are_warned_of() {
    let warnings = |mjcf: &str, task: &str| load("odd", mjcf, task).unwrap().warnings().join("\n");
    assert_eq!(warnings(MJCF, TASK), "");
    let outside = warnings(MJCF, &TASK.replace("at_most = 50.0", "above = 0.5"));
    assert!(outside.contains("outside their own [[healthy]] range of qvel 0 to 1"), "{outside}");
    let bent = MJCF.replace("damping", "range=\"20 90\" damping");
    let bent =
        bent.replace("<mujoco>", "<mujoco><keyframe><key name=\"home\" qpos=\"0.6\"/></keyframe>");
    let said = warnings(&bent, TASK);
    assert!(
        said.contains("joint `shoulder` at 0.000, outside its range") && said.contains("`home`"),
        "{said}"
    );
    let home = format!("{TASK}\n[reset]\nkeyframe = \"home\"\n");
    assert_eq!(warnings(&bent, &home), "");
    for broken in ["gravity=\"0 0 nan\"", "wind=\"inf 0 0\" density=\"1\""] {
        let mjcf = MJCF.replace("<mujoco>", &format!("<mujoco><option {broken}/>"));
        assert!(warnings(&mjcf, TASK).contains("unstable in the very first step"), "{broken}");
    }
}

#[test]
fn names_that_a_terminal_would_obey_are_refused_or_shown() {
    for (from, to) in [
        ("site = \"tip\"", "site = \"\\u001b[31mtip\""),
        ("body = \"arm\"", "body = \"arm\\u202e\""),
        ("\"body_height\"", "\"body_height\\u0007\""),
        ("name = \"Arm\"", "name = \"Arm\\u009b2J\""),
    ] {
        let message = error("escapes", MJCF, &TASK.replacen(from, to, 1));
        assert!(message.contains("cannot be printed"), "{message}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
    let long = TASK.replace("\"Arm\"", &format!("\"{}\"", "A".repeat(61)));
    assert!(error("long-name", MJCF, &long).contains("at most 60"));
    // Names in models are MuJoCo's to accept; what is said of them is harmless.
    let mjcf = MJCF.replace("joint=\"shoulder\"", "joint=\"el\u{1b}[31mbow\"");
    let message = error("model-escapes", &mjcf, TASK);
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

#[test]
fn numbers_that_never_end_are_refused() {
    for (from, to, wanted) in [
        (
            "frame_skip = 5",
            "frame_skip = 1000000000000",
            "`frame_skip` is 1000000000000 and must be at most",
        ),
        ("time_limit = 100", "time_limit = 9000000000000000000", "`time_limit` is"),
        (
            "target = [0.0, 0.0, 1.5]",
            "target = [0.0, nan, 1.5]",
            "`target` must be three finite numbers",
        ),
    ] {
        let message = error("endless", MJCF, &TASK.replacen(from, to, 1));
        assert!(message.contains(wanted), "{message}");
    }
    let noisy = format!("{TASK}\n[reset]\nqpos_uniform = 1e300\n");
    assert!(error("noise", MJCF, &noisy).contains("`qpos_uniform` is"));
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
    let mut environment = task.make().unwrap();
    let mut observation = vec![0.0; task.observation_dim()];
    environment.reset(&mut Rng::new(0, "documented"), &mut observation);
    let step = environment.step(&[0.5], &mut observation).unwrap();
    assert!(!step.terminated && (-1.1..-0.9).contains(&step.reward), "{step:?}");
}
