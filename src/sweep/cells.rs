//! The cells of a plan: each a configuration with a seed, and the folder of its run.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};
use crate::lab::figures::run_figures::PanelPlan;

/// One training run of a plan.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Its settings, the seed among them.
    pub config: Config,
}

/// The different configurations of some panels, each with a name of its own: a run that stands in two panels is trained once.
pub fn arms(panels: &[PanelPlan]) -> Vec<(String, Config)> {
    let mut arms: Vec<(String, Config)> = Vec::new();
    for curve in panels.iter().flat_map(|panel| &panel.curves) {
        if arms.iter().any(|(_, config)| *config == curve.config) {
            continue;
        }
        let word: String = curve
            .label
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        arms.push((
            format!("{}-{}", curve.config.task(), word.replace("--", "")),
            curve.config.clone(),
        ));
    }
    arms
}

/// Folder of the run of an arm with a seed, in the folder of the whole plan.
pub fn folder(output: &Path, name: &str, seed: u64) -> PathBuf {
    output.join("runs").join(format!("{name}-seed{seed}"))
}

/// Every arm with every seed, seed by seed, so that a plan that was stopped has whole comparisons.
///
/// # Errors
/// When a configuration does not take the seed.
pub fn cells(
    output: &Path,
    arms: &[(String, Config)],
    seeds: u64,
) -> Result<Vec<Cell>, ConfigError> {
    let each = (0..seeds).flat_map(|seed| arms.iter().map(move |arm| (seed, arm)));
    each.map(|(seed, (name, config))| {
        let config = config.with_settings(&[format!("seed={seed}")])?;
        Ok(Cell { folder: folder(output, name, seed), config })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::figures::run_figures::RunFigure;

    #[test]
    fn each_configuration_is_trained_once_a_seed() {
        let panels = RunFigure::Ablations.panels("Hopper", &[]).unwrap();
        let curves = panels.iter().map(|panel| panel.curves.len()).sum::<usize>();
        let arms = arms(&panels);
        // "without gradient loss" stands in two panels, and one n, one w and "ours" are the preset's own.
        assert!(arms.len() < curves, "{} of {curves}", arms.len());
        let cells = cells(Path::new("f"), &arms, 3).unwrap();
        assert_eq!(cells.len(), 3 * arms.len());
        let mut folders: Vec<&PathBuf> = cells.iter().map(|cell| &cell.folder).collect();
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), cells.len(), "a folder each");
        assert_eq!(cells[arms.len()].config.seed(), 1);
    }
}
