//! Pictures and films.

use std::path::PathBuf;

use ddppo::env::{Frame, MujocoTask, Task, task, uniform_actions};
use ddppo::report::film::{FilmError, Shot, record};
use ddppo::rng::Rng;

fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("env_film");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn pixel(picture: &Frame, column: usize, row: usize) -> [i32; 3] {
    let start = 3 * (row * picture.width + column);
    std::array::from_fn(|channel| i32::from(picture.rgb[start + channel]))
}

#[test]
fn a_picture_shows_the_robot_on_its_ground() {
    let hopper = task("Hopper").unwrap();
    let mut environment = hopper.make().unwrap();
    environment.reset(&mut Rng::new(0, "picture"), &mut [0.0; 11]);
    let (width, height) = (120, 90);
    let mut picture = Frame::new(width, height);
    environment.draw(None, &mut picture).unwrap();

    // The robot stands in the middle column: dark blue links, an orange foot below them, the sky beside them.
    let column: Vec<[i32; 3]> = (0..height).map(|row| pixel(&picture, width / 2, row)).collect();
    let link = |[red, _, blue]: [i32; 3]| blue < 170 && blue > red + 10;
    let foot = |[red, _, blue]: [i32; 3]| red > blue + 60;
    let links = column.iter().filter(|&&colour| link(colour)).count();
    let feet: Vec<usize> = (0..height).filter(|&row| foot(column[row])).collect();
    assert!(links > height / 4, "{links} rows of links");
    assert!(feet.len() > 2 && feet[0] > height / 2, "{feet:?}");
    let sky = pixel(&picture, 3, 3);
    assert!(sky[2] > 220 && sky[2] > sky[0], "{sky:?}");

    // The same state gives the same picture, another one another.
    let mut again = Frame::new(width, height);
    environment.draw(None, &mut again).unwrap();
    assert_eq!(picture, again);
    environment.step(&[1.0, 1.0, 1.0], &mut [0.0; 11]).unwrap();
    environment.draw(None, &mut again).unwrap();
    assert_ne!(picture, again);
}

#[test]
fn a_film_is_a_gif_in_real_time() {
    let task = task("InvertedPendulum").unwrap();
    let path = file("pendulum.gif");
    let shot = Shot { seed: 3, seconds: 0.4, width: 64, height: 48, camera: None };
    // Without control the pole takes more than 0.4 s to fall from upright.
    let filmed = record(&*task, &shot, &mut |_, _| vec![0.0], &path, &mut |_, _| ()).unwrap();
    assert_eq!((filmed.steps, filmed.frames, filmed.total_reward), (10, 11, 10.0));

    let mut decoder =
        gif::DecodeOptions::new().read_info(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!((decoder.width(), decoder.height()), (64, 48));
    let mut delays = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay);
    }
    assert_eq!(delays, [4; 11], "a frame for each step of 0.04 s");
}

#[test]
fn what_cannot_be_filmed_is_said() {
    let pendulum = task("Pendulum").unwrap();
    let refused = |name: &str, path: &str| {
        let task = task(name).unwrap();
        let shot = Shot { seconds: 0.1, width: 16, height: 16, ..Shot::default() };
        let result =
            record(&*task, &shot, &mut uniform_actions(&*task), &file(path), &mut |_, _| ());
        result.expect_err("it cannot be filmed").to_string()
    };
    assert_eq!(pendulum.step_seconds(), None);
    assert_eq!(refused("Pendulum", "x.gif"), "this task cannot be drawn: only MuJoCo tasks can");
    assert!(refused("Hopper", "x.avi").ends_with("x.avi` must end in .gif or .mp4"));
    assert!(refused("Hopper", "nowhere/x.gif").contains("nowhere/x.gif cannot be written: "));
}

#[test]
fn mp4_needs_ffmpeg() {
    let task = task("Hopper").unwrap();
    let shot = Shot { seconds: 0.1, width: 64, height: 48, ..Shot::default() };
    let path = file("hopper.mp4");
    match record(&*task, &shot, &mut uniform_actions(&*task), &path, &mut |_, _| ()) {
        Ok(filmed) => assert!(filmed.frames > 1 && std::fs::metadata(&path).unwrap().len() > 100),
        Err(FilmError::Encoder(error)) => {
            let message = FilmError::Encoder(error).to_string();
            assert!(message.contains("install it, or name a .gif file"), "{message}");
        }
        Err(other) => panic!("{other}"),
    }
}

const SEEN: &str = "[[observation]]\npart = \"qpos\"\n[[reward]]\nterm = \"alive\"\nweight = 1.0\n";

/// The colour in the middle of a picture of a box that fills it, made of the geoms `geoms`.
fn seen(assets: &str, geoms: &str) -> [i32; 3] {
    let mjcf = format!(
        "<mujoco><asset>{assets}</asset><worldbody><camera pos='0 -2 0' xyaxes='1 0 0 0 0 1'/>\
         <body><joint name='j' axis='0 0 1'/>{geoms}</body></worldbody>\
         <actuator><motor joint='j' ctrlrange='-1 1'/></actuator></mujoco>"
    );
    let file = format!("name = \"Seen\"\nframe_skip = 1\ntime_limit = 9\n{SEEN}");
    let task = MujocoTask::from_texts(("seen.xml", &mjcf), ("seen.toml", &file)).unwrap();
    let mut environment = task.make().unwrap();
    environment.reset(&mut Rng::new(0, "seen"), &mut [0.0]);
    let mut picture = Frame::new(20, 20);
    environment.draw(None, &mut picture).unwrap();
    pixel(&picture, 10, 10)
}

#[test]
fn what_is_meant_to_be_seen_is_seen_in_its_materials_colours() {
    let orange = |[red, green, blue]: [i32; 3]| red > 2 * blue + 60 && red > green + 30;
    let grey = |[red, green, blue]: [i32; 3]| (red - blue).abs() < 12 && (red - green).abs() < 12;
    let material = "<material name='orange' rgba='1 .5 0 1'/>";
    let visual = "<geom type='box' size='.2 .2 .2' group='2' material='orange'/>";
    let collision = |group: u8| format!("<geom type='box' size='.5 .5 .5' group='{group}'/>");
    assert!(orange(seen(material, visual)));
    for group in 3..6 {
        assert!(orange(seen(material, &format!("{visual}{}", collision(group)))), "group {group}");
        // Where nothing else is there, shapes that collide are better than nothing.
        assert!(grey(seen("", &collision(group))), "group {group}");
    }
    assert!(grey(seen(material, &format!("{visual}{}", collision(0)))));
    // A geom's own colour goes before its material's, as in MuJoCo.
    let blue = visual.replace("material", "rgba='0 0 1 1' material");
    assert!(!orange(seen(material, &blue)) && !grey(seen(material, &blue)));
    // A texture gives its mean colour.
    let textured = "<texture name='t' type='2d' builtin='flat' rgb1='1 .5 0' width='8' height='8'/>\
        <material name='orange' texture='t'/>";
    assert!(orange(seen(textured, visual)));
}

#[test]
fn progress_is_told_picture_by_picture() {
    let task = task("InvertedPendulum").unwrap();
    let shot = Shot { seconds: 0.2, width: 16, height: 16, ..Shot::default() };
    let mut told = Vec::new();
    let mut tell = |done, most| told.push((done, most));
    record(&*task, &shot, &mut |_, _| vec![0.0], &file("told.gif"), &mut tell).unwrap();
    assert_eq!(told, [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]);
}
