//! Robots of the user's own: trained, found again by every command, and refused when they have changed.

use std::fs;

use crate::program::{Place, small_run_on};

const ARM: &str = r#"<mujoco>
  <worldbody>
    <body name="arm" pos="0 0 1">
      <joint name="shoulder" type="hinge" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03"/>
      <site name="tip" pos="0 0 -0.5"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear="5" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"#;

const TASK: &str = r#"name = "Arm"
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
target = [0.0, 0.0, 1.5]
weight = 1.0

[reset]
qpos_uniform = 0.1
"#;

/// `train` of a small run on the robot in the two files.
pub fn train<'a>(out: &'a str, steps: &'a str, mjcf: &'a str, task: &'a str) -> Vec<&'a str> {
    let mut arguments = small_run_on("Arm", out, steps, &["--mjcf", mjcf, "--task", task]);
    assert_eq!(arguments.remove(1), "Arm", "a robot of one's own has no name on the command line");
    arguments
}

pub fn place(name: &str) -> Place {
    let place = Place::new(name);
    fs::write(place.file("arm.xml"), ARM).unwrap();
    fs::write(place.file("arm.toml"), TASK).unwrap();
    place
}

#[test]
fn a_robot_is_found_again_by_every_command() {
    let place = place("robot");
    place.succeed(&train("whole", "300", "arm.xml", "arm.toml"));
    place.succeed(&train("run", "200", "arm.xml", "arm.toml"));
    // The run has copies: what becomes of the originals is not its concern.
    fs::remove_file(place.file("arm.xml")).unwrap();
    fs::write(place.file("arm.toml"), "").unwrap();
    place.succeed(&["resume", "run", "--steps", "300", "--quiet"]);
    assert_eq!(place.metrics("run"), place.metrics("whole"));
    let played = place.succeed(&["evaluate", "run", "--episodes", "1"]);
    assert!(played.contains("Arm, policy after 300 steps"), "{played}");
    let trace = place.succeed(&["trace", "--policy", "run", "--steps", "5"]);
    assert_eq!(trace.lines().count(), 6);
    place.succeed(&["record", "run", "-o", "arm.gif", "--seconds", "1"]);

    let copy = place.file("run/robot/task.toml");
    fs::write(&copy, fs::read_to_string(&copy).unwrap().replace("1.5]", "1.4]")).unwrap();
    for arguments in [&["resume", "run"][..], &["evaluate", "run"]] {
        let message = place.fail(2, arguments);
        assert!(
            message.contains("the robot of run has changed since the run was started"),
            "{message}"
        );
        assert!(message.contains("run/robot/task.toml"), "{message}");
    }
}

#[test]
fn a_model_with_further_files_stays_where_it_is() {
    let place = place("robot-files");
    let motor = "<motor joint=\"shoulder\" gear=\"5\" ctrllimited=\"true\" ctrlrange=\"-1 1\"/>";
    let included = |gear: &str| format!("<mujoco>{}</mujoco>", motor.replace("5", gear));
    let text = ARM.replace(motor, "<include file=\"motor.xml\"/>");
    assert_ne!(text, ARM);
    fs::write(place.file("arm.xml"), text).unwrap();
    fs::write(place.file("motor.xml"), included("5")).unwrap();
    place.succeed(&train("run", "100", "arm.xml", "arm.toml"));
    assert!(!place.file("run/robot/model.xml").exists());
    place.succeed(&["evaluate", "run", "--episodes", "1"]);
    place.succeed(&["resume", "run", "--steps", "200", "--quiet"]);
    fs::write(place.file("motor.xml"), included("6")).unwrap();
    let message = place.fail(2, &["resume", "run"]);
    assert!(
        message.contains("has changed since") && message.contains("arm.xml, with the files"),
        "{message}"
    );
    fs::write(place.file("motor.xml"), included("5")).unwrap();
    place.succeed(&["evaluate", "run", "--episodes", "1"]);
    fs::remove_file(place.file("motor.xml")).unwrap();
    let message = place.fail(2, &["evaluate", "run"]);
    assert!(message.contains("arm.xml"), "{message}");
}

#[test]
fn mistakes_in_the_files_are_named() {
    let place = place("robot-mistakes");
    let write = |name: &str, text: String| fs::write(place.file(name), text).unwrap();
    write("malformed.xml", ARM.replace("</worldbody>", ""));
    write("idle.xml", ARM.replace("<motor", "<!-- <motor").replace("1 1\"/>", "1 1\"/> -->"));
    write("body.toml", TASK.replace("\"tip\"", "\"toe\""));
    write("term.toml", TASK.replace("distance_cost", "distance_cots"));
    write("name.toml", TASK.replace("\"Arm\"", "\"../Arm\""));
    for (mjcf, task, expected) in [
        ("malformed.xml", "arm.toml", "malformed.xml: line "),
        ("none.xml", "arm.toml", "none.xml cannot be read"),
        ("arm.xml", "none.toml", "none.toml cannot be read"),
        ("idle.xml", "arm.toml", "idle.xml: the model has no actuators"),
        ("arm.xml", "body.toml", "body.toml, line "),
        ("arm.xml", "term.toml", "term.toml, line "),
        ("arm.xml", "name.toml", "name.toml, line 1: `name` is \"../Arm\""),
    ] {
        let message = place.fail(2, &train("run", "100", mjcf, task));
        assert!(message.contains(expected), "{mjcf}, {task}: {message}");
    }
    let mut arguments = train("run", "100", "arm.xml", "arm.toml");
    arguments.extend(["--set", "task=Hopper"]);
    let message = place.fail(2, &arguments);
    assert!(message.contains("the task is named in arm.toml"), "{message}");
    assert!(!place.file("run").exists(), "a refused run leaves no folder");
    for arguments in [
        &["train", "--mjcf", "arm.xml"][..],
        &["train", "Hopper", "--mjcf", "arm.xml", "--task", "arm.toml"],
    ] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// A motor so strong that no step of the physics ends well.
#[test]
fn unstable_physics_ends_the_episode_with_a_warning() {
    let place = place("robot-unstable");
    fs::write(place.file("strong.xml"), ARM.replace("gear=\"5\"", "gear=\"1e14\"")).unwrap();
    let output = place.run(&train("run", "60", "strong.xml", "arm.toml"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let first = said.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("warning: step ")
            && first.contains("task Arm: the physics became unstable"),
        "{said}"
    );
    assert_eq!(
        said.lines().count(),
        10,
        "a robot that breaks all the time says so a few times: {said}"
    );
}
