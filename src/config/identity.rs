//! What makes two configurations those of one run, and reading it as older programs wrote it.

use toml::Table;

use super::Config;
use super::reference::add_later_keys;

impl Config {
    /// All that decides which states a run goes through: everything but its length, its checkpoints, its guards
    /// and its analyses.
    pub fn identity(&self) -> Table {
        let mut table = self.to_table();
        without_free(&mut table);
        table
    }

    /// [`Config::identity`] of a configuration that an older program may have written.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn parse_identity(text: &str) -> Result<Table, toml::de::Error> {
        let mut table: Table = text.parse()?;
        add_later_keys(&mut table);
        without_free(&mut table);
        Ok(table)
    }
}

/// Takes out what may change between two sessions of a run.
fn without_free(table: &mut Table) {
    for key in ["steps", "checkpoint", "guards", "analysis"] {
        table.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Algorithm;

    fn hopper() -> Config {
        Config::preset(Algorithm::Ddppo, "Hopper").unwrap()
    }

    fn set(assignment: &str) -> Config {
        hopper().with_settings(&[assignment.to_owned()]).unwrap()
    }

    /// The committed runs were made before the other methods were here.
    #[test]
    fn configurations_of_older_runs_are_read() {
        let text = include_str!("../../results/inverted_pendulum/seed1/config.toml");
        let config = Config::from_toml(text, "config.toml").unwrap();
        assert!(config.temperature.automatic && !config.model.bootstrap);
        assert_eq!(Config::parse_identity(text).unwrap(), config.identity());
        assert_eq!(config.analysis, hopper().analysis);
        // Those of the other methods lack what came later still.
        for &algorithm in Algorithm::ALL {
            let config = Config::preset(algorithm, "Hopper").unwrap();
            let older = config.to_toml().replace("[analysis]\nevery_steps = 0\nstates = 200\n", "");
            assert!(!older.contains("analysis"), "{older}");
            assert_eq!(Config::from_toml(&older, "config.toml").unwrap(), config);
            assert_eq!(Config::parse_identity(&older).unwrap(), config.identity());
        }
    }

    #[test]
    fn analyses_do_not_make_another_run() {
        let often = set("analysis.every_steps=100");
        assert_eq!(often.analysis.every_steps, 100);
        assert_eq!(often.identity(), hopper().identity());
        assert_ne!(set("evaluation.every_steps=100").identity(), hopper().identity());
    }
}
