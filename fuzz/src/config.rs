//! Configuration files, and settings of the command line.

use ddppo::config::Config;
use ddppo::methods;

use super::{Seeds, one_sentence, selected};

const FILE: u8 = 0;
const SETTINGS: u8 = 1;

/// Every preset as a file, and every line of one as a setting.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for info in methods::all() {
        for task in info.tasks_with_presets() {
            let preset = info.preset(task).expect("it is listed");
            seeds.push(selected(FILE, preset.to_toml().as_bytes()));
        }
    }
    for setting in ["seed=3", "model.hidden=100", "policy.horizon=2", "evaluation.every_steps=0"] {
        seeds.push(selected(SETTINGS, setting.as_bytes()));
    }
    seeds
}

/// What is accepted is valid, and written and read again it is the same.
pub fn check(data: &[u8]) {
    let Some((&kind, content)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(content);
    if kind == FILE {
        match methods::parse_config(&text, "config.toml") {
            Ok(config) => accepted(&config),
            Err(error) => drop(one_sentence(&error)),
        }
        return;
    }
    let info = methods::all()[usize::from(kind) % methods::all().len()];
    let preset = info.preset("Hopper").expect("every method has it");
    let settings: Vec<String> = text.lines().take(3).map(str::to_owned).collect();
    match preset.with_settings(&settings) {
        Ok(config) => accepted(&config),
        Err(error) => drop(one_sentence(&error)),
    }
}

fn accepted(config: &Config) {
    let again = methods::parse_config(&config.to_toml(), "again").expect("what is written is read");
    assert_eq!(&again, config);
}
