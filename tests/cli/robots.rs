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

/// A cone of four triangles.
const OBJ: &str = "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";

/// A robot whose files lie in several folders and refer to each other in every way; returns the model's path.
fn scattered(place: &Place) -> &'static str {
    let motor = "<motor joint=\"shoulder\" gear=\"5\" ctrllimited=\"true\" ctrlrange=\"-1 1\"/>";
    let absolute = place.file("elsewhere/Cone.OBJ");
    for folder in ["robots/arm/parts", "robots/common/meshes", "elsewhere"] {
        fs::create_dir_all(place.file(folder)).unwrap();
    }
    let assets = format!(
        "<compiler meshdir=\"../common/meshes\"/><asset><mesh name=\"near\" file=\"cone 1.obj\"/>\
         <mesh name=\"far\" file=\"{}\"/><hfield name=\"hill\" file=\"../hill.bin\" size=\"5 5 .1 .1\"/></asset>",
        absolute.display()
    );
    let text = ARM
        .replace(motor, "<include file=\"parts/motor.xml\"/>")
        .replace("<worldbody>", &format!("{assets}<worldbody><geom type=\"mesh\" mesh=\"far\"/>"))
        .replace("<site ", "<geom type=\"mesh\" mesh=\"near\"/><site ");
    fs::write(place.file("robots/arm/arm.xml"), text).unwrap();
    fs::write(place.file("robots/arm/parts/motor.xml"), format!("<mujoco>{motor}</mujoco>"))
        .unwrap();
    fs::write(place.file("robots/common/meshes/cone 1.obj"), OBJ).unwrap();
    fs::write(absolute, OBJ).unwrap();
    let mut hill: Vec<u8> = [2_i32, 2].iter().flat_map(|n| n.to_ne_bytes()).collect();
    hill.extend([0.0_f32, 1.0, 1.0, 0.0].iter().flat_map(|x| x.to_ne_bytes()));
    fs::write(place.file("robots/common/hill.bin"), hill).unwrap();
    "robots/arm/arm.xml"
}

#[test]
fn a_run_has_all_files_of_its_robot_and_can_go_anywhere() {
    let place = place("robot-files");
    let model = scattered(&place);
    place.succeed(&train("whole", "300", model, "arm.toml"));
    place.succeed(&train("run", "200", model, "arm.toml"));
    // Copied and moved, and everything that it was made from gone.
    fs::create_dir(place.file("other place")).unwrap();
    fs::rename(place.file("run"), place.file("other place/run")).unwrap();
    fs::remove_dir_all(place.file("robots")).unwrap();
    fs::remove_dir_all(place.file("elsewhere")).unwrap();
    place.succeed(&["resume", "other place/run", "--steps", "300", "--quiet"]);
    assert_eq!(place.metrics("other place/run"), place.metrics("whole"));
    place.succeed(&["evaluate", "other place/run", "--episodes", "1"]);
    place.succeed(&["record", "other place/run", "-o", "arm.gif", "--seconds", "1"]);

    // Every file is part of what the robot is; its content is, and nothing else of it.
    let origin = fs::read_to_string(place.file("whole/robot/origin.toml")).unwrap();
    let files: Vec<&str> = origin
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'))
        .collect();
    assert_eq!(files.len(), 5, "{origin}");
    for file in files {
        let path = place.file("whole/robot/model").join(file);
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let message = place.fail(2, &["evaluate", "whole"]);
        assert!(message.contains("has changed since") && message.contains(file), "{message}");
        fs::write(&path, [&content[..], b" "].concat()).unwrap();
        let message = place.fail(2, &["resume", "whole", "--steps", "400"]);
        assert!(message.contains(file) && message.contains("another content"), "{message}");
        fs::write(&path, content).unwrap();
        place.succeed(&["evaluate", "whole", "--episodes", "1"]);
    }
}

#[test]
fn a_robots_folder_from_elsewhere_is_at_worst_refused() {
    let place = place("robot-trust");
    place.succeed(&train("run", "100", "arm.xml", "arm.toml"));
    let origin = place.file("run/robot/origin.toml");
    let good = fs::read_to_string(&origin).unwrap();
    fs::write(place.file("secret"), ARM).unwrap();
    for (from, to, wanted) in [
        ("path = \"arm.xml\"", "path = \"../../../secret\"", "leads out of it"),
        ("path = \"arm.xml\"", "path = \"/etc/passwd\"", "leads out of it"),
        ("model = \"arm.xml\"", "model = \"other.xml\"", "the model is not among its files"),
        ("root = \"/", "root = \"", "`root` is no absolute path"),
        ("checksum = ", "sum = ", "does not say what the robot of the run is"),
        ("model = ", "\u{1b}[31m = ", "does not say what the robot of the run is"),
    ] {
        assert!(good.contains(from), "{good}");
        fs::write(&origin, good.replacen(from, to, 1)).unwrap();
        let message = place.fail(2, &["evaluate", "run"]);
        assert!(message.contains(wanted), "{to}: {message}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
    fs::write(&origin, &good).unwrap();
    let copy = place.file("run/robot/model/arm.xml");
    fs::remove_file(&copy).unwrap();
    std::os::unix::fs::symlink(place.file("arm.xml"), &copy).unwrap();
    let message = place.fail(2, &["evaluate", "run"]);
    assert!(message.contains("is a link"), "{message}");
    fs::rename(place.file("run/robot"), place.file("moved")).unwrap();
    std::os::unix::fs::symlink(place.file("moved"), place.file("run/robot")).unwrap();
    assert_eq!(place.run(&["evaluate", "run"]).status.code().map(|code| code != 0), Some(true));
}

/// As runs were before they kept all files of their robots.
#[test]
fn robots_of_older_runs_are_read_or_refused() {
    let place = place("robot-old");
    place.succeed(&train("run", "100", "arm.xml", "arm.toml"));
    let robot = place.file("run/robot");
    fs::remove_dir_all(robot.join("model")).unwrap();
    fs::write(robot.join("model.xml"), ARM).unwrap();
    let crc = crc32fast::hash(format!("{TASK}{ARM}").as_bytes());
    let write = |model: &str| {
        let text = format!("model = \"{model}\"\nchecksum = \"{crc:08x}\"\n");
        fs::write(robot.join("origin.toml"), text).unwrap();
    };
    write("model.xml");
    place.succeed(&["evaluate", "run", "--episodes", "1"]);
    fs::write(robot.join("model.xml"), ARM.replace("0.03", "0.04")).unwrap();
    assert!(place.fail(2, &["evaluate", "run"]).contains("has changed since"));
    write("/home/me/arm.xml");
    let message = place.fail(2, &["resume", "run"]);
    assert!(
        message.contains("older ddppo") && message.contains("--mjcf /home/me/arm.xml"),
        "{message}"
    );
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
        &["train", "Hopper", "--task", "arm.toml"],
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

#[test]
fn a_robot_with_which_no_step_goes_well_stops_its_run() {
    let place = place("robot-hopeless");
    fs::write(place.file("strong.xml"), ARM.replace("gear=\"5\"", "gear=\"1e14\"")).unwrap();
    fs::write(
        place.file("heavy.xml"),
        ARM.replace("<mujoco>", "<mujoco><option gravity=\"0 0 nan\"/>"),
    )
    .unwrap();
    for model in ["strong.xml", "heavy.xml"] {
        let _ = fs::remove_dir_all(place.file("run"));
        let message = place.fail(1, &train("run", "130", model, "arm.toml"));
        assert!(message.contains("unstable in each of the last 100 steps"), "{model}: {message}");
    }
}

/// An arm of two links whose physics breaks within a few steps of strong control.
const WHIP: &str = r#"<mujoco>
  <option timestep="0.02"/>
  <worldbody>
    <body pos="0 0 1"><joint name="a" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 .3 0 0" size=".02"/>
      <body pos=".3 0 0"><joint name="b" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 .3 0 0" size=".02"/>
        <site name="tip" pos=".3 0 0"/></body></body>
  </worldbody>
  <actuator><motor joint="a" gear="500" ctrlrange="-1 1"/><motor joint="b" gear="500" ctrlrange="-1 1"/></actuator>
</mujoco>
"#;

#[test]
fn an_episode_that_broke_is_no_score() {
    let place = place("robot-broke");
    fs::write(place.file("whip.xml"), WHIP).unwrap();
    let mut arguments = train("run", "200", "whip.xml", "arm.toml");
    arguments.extend(["--set", "policy.learning_rate=0.01"]);
    place.run(&arguments);
    let metrics = fs::read_to_string(place.file("run/metrics.jsonl")).unwrap();
    let evaluated: Vec<&str> =
        metrics.lines().filter(|line| line.contains("\"kind\":\"evaluation\"")).collect();
    assert!(!evaluated.is_empty());
    let broke = |line: &str| line.contains("\"unstable\":1");
    assert!(evaluated.iter().any(|line| broke(line)), "{evaluated:?}");
    for line in evaluated {
        assert_eq!(broke(line), line.contains("\"return_mean\":\"NaN\""), "{line}");
    }
    let said = place.succeed(&["evaluate", "run", "--episodes", "2"]);
    assert!(said.contains("the physics became unstable: no score"), "{said}");
    assert!(said.contains("2 episodes unstable, left out of the mean"), "{said}");
    let said = place.succeed(&["record", "run", "-o", "whip.gif"]);
    assert!(said.contains("the physics became unstable at step "), "{said}");
}

#[test]
fn an_odd_start_is_said_before_training() {
    let place = place("robot-odd");
    fs::write(
        place.file("sick.toml"),
        format!("{TASK}\n[[healthy]]\npart = \"qpos\"\nabove = 0.5\n"),
    )
    .unwrap();
    let output = place.run(&train("run", "20", "arm.xml", "sick.toml"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.starts_with("warning: task Arm: episodes begin outside their own [[healthy]] range"),
        "{said}"
    );
}

#[test]
fn a_camera_of_the_models_can_film() {
    let place = place("robot-camera");
    let cameras = "<camera name=\"front\" pos=\"0 -3 1\" xyaxes=\"1 0 0 0 0 1\"/>\
        <camera name=\"top\" pos=\"0 0 4\"/>";
    fs::write(place.file("seen.xml"), ARM.replace("<worldbody>", &format!("<worldbody>{cameras}")))
        .unwrap();
    place.succeed(&train("run", "20", "seen.xml", "arm.toml"));
    let film = |camera: &str| {
        let name = format!("{camera}.gif");
        place.succeed(&["record", "run", "-o", &name, "--seconds", "1", "--camera", camera]);
        fs::read(place.file(&name)).unwrap()
    };
    assert_ne!(film("front"), film("top"));
    place.succeed(&["record", "run", "-o", "default.gif", "--seconds", "1"]);
    assert_eq!(film("front"), fs::read(place.file("default.gif")).unwrap());
    let message = place.fail(2, &["record", "run", "-o", "x.gif", "--camera", "fornt"]);
    assert!(
        message.contains("no camera `fornt` (did you mean `front`?); the cameras are front, top"),
        "{message}"
    );
}

/// Where memory ends early, MuJoCo's compiler throws what nobody in this process could catch.
#[test]
fn a_model_that_exhausts_memory_is_one_sentence() {
    let place = place("robot-memory");
    for (name, piece) in [
        ("data", "<size nuser_body=\"2000000000\"/>"),
        (
            "hill",
            "<asset><hfield name=\"h\" nrow=\"100000\" ncol=\"100000\" size=\"1 1 1 1\"/></asset>",
        ),
    ] {
        let file = format!("{name}.xml");
        fs::write(place.file(&file), ARM.replace("<worldbody>", &format!("{piece}<worldbody>")))
            .unwrap();
        for limit in ["unlimited", "8000000"] {
            let output = std::process::Command::new("sh")
                .args([
                    "-c",
                    &format!("ulimit -v {limit}; exec \"$@\""),
                    "sh",
                    env!("CARGO_BIN_EXE_ddppo"),
                ])
                .args(train("run", "20", &file, "arm.toml"))
                .current_dir(&place.path)
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}, {limit}: {said}");
            assert!(
                said.starts_with(&format!("error: {file}: ")) && said.lines().count() == 1,
                "{said}"
            );
        }
    }
}

/// MuJoCo's own plugins lie beside its library.
#[test]
fn a_model_with_a_plugin_of_mujocos_trains() {
    let place = place("robot-plugin");
    let motor = "<motor joint=\"shoulder\" gear=\"5\" ctrllimited=\"true\" ctrlrange=\"-1 1\"/>";
    let text = ARM
        .replace("<mujoco>", "<mujoco><extension><plugin plugin=\"mujoco.pid\"/></extension>")
        .replace(motor, "<plugin joint=\"shoulder\" plugin=\"mujoco.pid\" ctrlrange=\"-1 1\"/>");
    fs::write(place.file("servo.xml"), text).unwrap();
    place.succeed(&train("run", "60", "servo.xml", "arm.toml"));
    place.succeed(&["resume", "run", "--steps", "120", "--quiet"]);
    fs::write(
        place.file("none.xml"),
        ARM.replace("<mujoco>", "<mujoco><extension><plugin plugin=\"my.own\"/></extension>"),
    )
    .unwrap();
    let message = place.fail(2, &train("run2", "60", "none.xml", "arm.toml"));
    assert!(message.contains("my.own"), "{message}");
}
