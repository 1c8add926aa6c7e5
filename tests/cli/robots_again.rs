//! `train --resume` with a robot: it goes on with the same robot, wherever its files lie now, and with no other.

use std::fs;

use crate::robots::{place, train};

#[test]
fn a_run_is_gone_on_with_by_its_own_robot_only() {
    let place = place("robot-again");
    place.succeed(&train("run", "120", "arm.xml", "arm.toml"));
    let again = |steps: &'static str, mjcf: &'static str, task: &'static str| {
        let mut arguments = train("run", steps, mjcf, task);
        arguments.push("--resume");
        arguments
    };
    // The same files at another place are the same robot.
    fs::create_dir(place.file("moved")).unwrap();
    for file in ["arm.xml", "arm.toml"] {
        fs::copy(place.file(file), place.file("moved").join(file)).unwrap();
    }
    place.succeed(&again("140", "moved/arm.xml", "moved/arm.toml"));
    let edit = |file: &str, before: &str, after: &str| {
        let text = fs::read_to_string(place.file(file)).unwrap();
        assert!(text.contains(before), "{text}");
        fs::write(
            place.file("changed").with_file_name(format!("other-{file}")),
            text.replace(before, after),
        )
        .unwrap();
    };
    edit("arm.xml", "gear=\"5\"", "gear=\"6\"");
    edit("arm.toml", "weight = 1.0", "weight = 2.0");
    fs::create_dir(place.file("heavier")).unwrap();
    fs::rename(place.file("other-arm.xml"), place.file("heavier/arm.xml")).unwrap();
    for (mjcf, task, difference) in [
        ("heavier/arm.xml", "arm.toml", "`arm.xml` had another content"),
        ("arm.xml", "other-arm.toml", "its task file had another content"),
    ] {
        let message = place.fail(2, &again("160", mjcf, task));
        let expected =
            format!("run holds a run of another robot: {difference}; choose another folder");
        assert!(message.contains(&expected), "{message}");
    }
    // Nothing was lost by it.
    place.succeed(&again("160", "arm.xml", "arm.toml"));
    place.succeed(&train("whole", "160", "arm.xml", "arm.toml"));
    assert_eq!(place.metrics("run"), place.metrics("whole"));
}
