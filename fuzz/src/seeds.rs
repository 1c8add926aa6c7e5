//! Writes the inputs from which each target starts into `corpus/TARGET/`, where `cargo fuzz run` looks for them.

use std::fs;
use std::path::Path;

fn main() {
    let targets = [
        ("config", ddppo_fuzz::config::seeds()),
        ("task_file", ddppo_fuzz::task_file::seeds()),
        ("checkpoint", ddppo_fuzz::checkpoint::seeds()),
        ("metrics", ddppo_fuzz::metrics::seeds()),
    ];
    for (target, seeds) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).expect("it can be written");
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
}
