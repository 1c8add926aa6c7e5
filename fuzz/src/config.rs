//! Configuration files, and settings of the command line.

use ddppo::config::{Algorithm, Config, tasks_with_presets};

use super::{Seeds, one_sentence, selected};

const FILE: u8 = 0;
const SETTINGS: u8 = 1;

/// Every preset as a file, and every line of one as a setting.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for &algorithm in Algorithm::ALL {
        for task in tasks_with_presets(algorithm) {
            let preset = Config::preset(algorithm, task).expect("it is listed");
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
        match Config::from_toml(&text, "config.toml") {
            Ok(config) => accepted(&config),
            Err(error) => drop(one_sentence(&error)),
        }
        return;
    }
    let algorithm = Algorithm::ALL[usize::from(kind) % Algorithm::ALL.len()];
    let preset = Config::preset(algorithm, "Hopper").expect("every method has it");
    let settings: Vec<String> = text.lines().take(3).map(str::to_owned).collect();
    match preset.with_settings(&settings) {
        Ok(config) => accepted(&config),
        Err(error) => drop(one_sentence(&error)),
    }
}

fn accepted(config: &Config) {
    config.validate().expect("what is accepted is valid");
    let again = Config::from_toml(&config.to_toml(), "again").expect("what is written is read");
    assert_eq!(&again, config);
}
