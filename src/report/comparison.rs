//! Methods beside each other (Fig. 1): a panel a task, a curve a method, whatever there is of its runs.

use super::aggregate::Aggregate;
use super::chart::{self, Panel, Series};
use super::curves::mean_curve;
use super::picture::Picture;
use super::published;
use super::scored_run::ScoredRun;
use crate::config::{Config, differences};
use crate::methods;

/// Two runs of one method on one task that cannot be one curve.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Their settings differ.
    #[error(
        "{first} and {second} are runs of one method on one task, but `{key}` is {here} in one and {there} in the other: `ddppo plot` \
         draws them as two curves"
    )]
    Settings {
        /// A run's folder or table.
        first: String,
        /// The other's.
        second: String,
        /// The first setting that differs.
        key: String,
        /// Its value in the first.
        here: String,
        /// Its value in the second.
        there: String,
    },
    /// They have the same seed: one of them would count twice.
    #[error("{first} and {second} are runs of one method on one task with the same seed ({seed})")]
    Seed {
        /// A run's folder or table.
        first: String,
        /// The other's.
        second: String,
        /// Their seed.
        seed: u64,
    },
}

/// The tasks and methods that are compared, and the runs that there are of them.
#[derive(Clone, Debug)]
pub struct Comparison {
    tasks: Vec<String>,
    methods: Vec<&'static str>,
    runs: Vec<ScoredRun>,
    published: Vec<String>,
}

impl Comparison {
    /// Of these tasks and methods; runs of others are left out. Curves of the methods named in `published` are laid under.
    ///
    /// # Errors
    /// When runs of one method on one task have other settings, or the same seed.
    pub fn new(
        tasks: Vec<String>,
        methods: Vec<&'static str>,
        mut runs: Vec<ScoredRun>,
        published: Vec<String>,
    ) -> Result<Self, Mismatch> {
        runs.retain(|run| tasks.contains(&run.task) && methods.contains(&run.method.as_str()));
        for (i, run) in runs.iter().enumerate() {
            let same =
                |other: &&ScoredRun| (&other.task, &other.method) == (&run.task, &run.method);
            for other in runs[..i].iter().filter(same) {
                compatible(other, run)?;
            }
        }
        runs.sort_by_key(|run| run.seed);
        Ok(Self { tasks, methods, runs, published })
    }

    /// The runs of a cell that have been evaluated.
    fn cell(&self, task: &str, method: &str) -> Vec<&ScoredRun> {
        let of =
            |run: &&ScoredRun| run.task == task && run.method == method && !run.returns.is_empty();
        self.runs.iter().filter(of).collect()
    }

    fn panel(&self, task: &str) -> Panel {
        let mut series: Vec<Series> = Vec::new();
        for &method in &self.methods {
            let runs = self.cell(task, method);
            let returns: Vec<_> = runs.iter().map(|run| run.returns.clone()).collect();
            let mut curve = if runs.is_empty() { Series::default() } else { mean_curve(&returns) };
            // With many curves, single runs would hide the means; alone, a run is its own mean.
            curve.members.clear();
            let name = method.to_uppercase();
            curve.label = match runs.len() {
                0 => format!("{name}, no run"),
                1 => format!("{name}, 1 seed"),
                n => format!("{name}, {n} seeds"),
            };
            series.push(curve);
        }
        let measured = series.iter().any(|curve| !curve.points.is_empty());
        let last = series.iter().flat_map(|curve| &curve.points).map(|p| p.x).fold(0.0, f64::max);
        // Where nothing has been run, as far as the first method's preset goes.
        let preset = || methods::preset(self.methods.first()?, task).ok();
        let last = if measured { last } else { preset().map_or(f64::MAX, |c| c.steps() as f64) };
        series.extend(published::curves(task, &self.published, last));
        let subtitle = match measured {
            true => "mean and one standard deviation over seeds; in dashes: published",
            false => "no run yet; in dashes: published",
        };
        Panel {
            title: task.to_owned(),
            subtitle: subtitle.to_owned(),
            x_label: "environment steps".to_owned(),
            y_label: "evaluation return".to_owned(),
            series,
        }
    }

    /// Draws the panels.
    pub fn picture(&self) -> Picture {
        let panels: Vec<Panel> = self.tasks.iter().map(|task| self.panel(task)).collect();
        chart::draw(&panels)
    }

    /// The numbers behind the picture: a line an evaluation.
    pub fn table(&self) -> String {
        let mut out = "task,method,seed,step,return_mean\n".to_owned();
        for task in &self.tasks {
            for method in &self.methods {
                for run in self.cell(task, method) {
                    for (step, value) in &run.returns {
                        out += &format!("{task},{method},{},{step},{value:?}\n", run.seed);
                    }
                }
            }
        }
        out
    }

    /// Where every cell stands, as Markdown: its runs' last evaluations.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        for task in &self.tasks {
            out += &format!(
                "\n{task}\n\n| method | seeds | last evaluation at | mean ± deviation | IQM [95 %] |\n|---|---|---|---|---|\n"
            );
            for &method in &self.methods {
                let runs = self.cell(task, method);
                let last: Vec<(u64, f64)> =
                    runs.iter().filter_map(|run| run.returns.last().copied()).collect();
                let values: Vec<f64> = last.iter().map(|&(_, value)| value).collect();
                if values.is_empty() {
                    out += &format!("| {method} | no run | – | – | – |\n");
                    continue;
                }
                let steps = || last.iter().map(|&(step, _)| step);
                let at = match (steps().min(), steps().max()) {
                    (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
                    (_, last) => last.unwrap_or(0).to_string(),
                };
                let a = Aggregate::of(&values);
                out += &format!(
                    "| {method} | {} | {at} | {:.1} ± {:.1} | {:.1} [{:.1}, {:.1}] |\n",
                    a.count, a.mean, a.deviation, a.interquartile_mean, a.interval.0, a.interval.1
                );
            }
        }
        out
    }
}

fn compatible(first: &ScoredRun, second: &ScoredRun) -> Result<(), Mismatch> {
    let name = |run: &ScoredRun| run.source.display().to_string();
    if first.seed == second.seed {
        let seed = first.seed;
        return Err(Mismatch::Seed { first: name(first), second: name(second), seed });
    }
    let kind = |config: &Config| {
        let mut table = config.identity();
        table.remove("seed");
        table
    };
    // A table does not have its runs' settings.
    let (Some(here), Some(there)) = (&first.config, &second.config) else { return Ok(()) };
    match differences(&kind(here), &kind(there)).into_iter().next() {
        None => Ok(()),
        Some((key, here, there)) => {
            Err(Mismatch::Settings { first: name(first), second: name(second), key, here, there })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(method: &str, task: &str, settings: &[&str], returns: &[(u64, f64)]) -> ScoredRun {
        let config = methods::preset(method, task).unwrap().with_settings(settings).unwrap();
        ScoredRun {
            source: format!("{method}-{}", settings.join("-")).into(),
            task: task.to_owned(),
            method: method.to_owned(),
            seed: config.seed(),
            config: Some(config),
            returns: returns.to_vec(),
        }
    }

    fn comparison(runs: Vec<ScoredRun>) -> Result<Comparison, Mismatch> {
        let tasks = vec!["Hopper".to_owned(), "Walker2d".to_owned()];
        Comparison::new(tasks, vec!["ddppo", "sac"], runs, vec!["MBPO".to_owned()])
    }

    #[test]
    fn a_curve_a_method_and_what_has_no_run_says_so() {
        let runs = vec![
            run("ddppo", "Hopper", &["seed=1"], &[(1000, 4.0), (2000, 8.0)]),
            run("ddppo", "Hopper", &[], &[(1000, 2.0), (2000, 4.0)]),
            run("ddppo", "HalfCheetah", &[], &[(1000, 2.0)]),
            // Begun, but not evaluated.
            run("sac", "Hopper", &[], &[]),
        ];
        let comparison = comparison(runs).unwrap();
        let panel = comparison.panel("Hopper");
        let labels: Vec<&str> = panel.series.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels[..2], ["DDPPO, 2 seeds", "SAC, no run"]);
        assert!(labels[2].starts_with("MBPO, published") && panel.series[2].dashed, "{labels:?}");
        let points: Vec<(f64, f64)> = panel.series[0].points.iter().map(|p| (p.x, p.y)).collect();
        assert_eq!(points, [(1000.0, 3.0), (2000.0, 6.0)]);
        let empty = comparison.panel("Walker2d");
        assert!(empty.subtitle.starts_with("no run yet"), "{}", empty.subtitle);
        assert!(empty.series[2].points.len() > 3, "published curves are there all the same");
        assert_eq!(
            comparison.table(),
            "task,method,seed,step,return_mean\nHopper,ddppo,0,1000,2.0\nHopper,ddppo,0,2000,4.0\n\
             Hopper,ddppo,1,1000,4.0\nHopper,ddppo,1,2000,8.0\n"
        );
        let summary = comparison.summary();
        assert!(summary.contains("| ddppo | 2 | 2000 | 6.0 ± 2.8 |"), "{summary}");
        assert_eq!(summary.matches("| no run |").count(), 3, "{summary}");
        assert!(comparison.picture().png().is_ok());
    }

    #[test]
    fn runs_that_are_no_one_curve_are_refused() {
        let other = ["seed=1", "critic.hidden=32"];
        let runs = vec![run("sac", "Hopper", &[], &[]), run("sac", "Hopper", &other, &[])];
        let message = comparison(runs).unwrap_err().to_string();
        assert!(message.contains("`critic.hidden` is 256 in one and 32 in the other"), "{message}");
        let runs = vec![run("sac", "Hopper", &[], &[]), run("sac", "Hopper", &[], &[])];
        let message = comparison(runs).unwrap_err().to_string();
        assert!(message.contains("the same seed (0)"), "{message}");
        // Longer, or with other guards, is the same run.
        let longer = ["seed=1", "steps=5"];
        let runs = vec![run("sac", "Hopper", &[], &[]), run("sac", "Hopper", &longer, &[])];
        comparison(runs).unwrap();
    }
}
