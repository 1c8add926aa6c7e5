//! Films a random episode of a task, without OpenGL.
//!
//! ```text
//! cargo run --release --example film -- Hopper hopper.gif
//! ```

use std::path::PathBuf;

use ddppo::env::{task, uniform_actions};
use ddppo::report::film::{Shot, record};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "Hopper".to_owned());
    let path = PathBuf::from(arguments.next().unwrap_or_else(|| format!("{name}.gif")));
    let task = task(&name)?;
    let filmed = record(
        &*task,
        &Shot::default(),
        &mut uniform_actions(&*task),
        &path,
        &mut |done, most| println!("picture {done} of at most {most}"),
    )?;
    println!("{}: {} frames of {} steps", path.display(), filmed.frames, filmed.steps);
    Ok(())
}
