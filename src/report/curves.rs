//! Curves of runs over their steps: evaluation returns, or any other metric.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::aggregate::{deviation, mean};
use super::chart;
use super::chart::{Panel, Point, Series};
use super::metric::Metric;
use super::picture::Picture;
use super::published;
use super::runs::{CurveError, Run, kind, read_all, tasks};
use crate::config::{Config, differences};
use crate::methods;
use crate::run::text::one_line;

/// Learning curves, drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// The drawing.
    pub picture: Picture,
    /// What the user should know of the runs in it.
    pub notes: Vec<String>,
}

/// [`metric_curves`] of evaluation returns.
///
/// # Errors
/// When a folder holds no run, a run no evaluation, or nothing was published of a method.
pub fn learning_curves(roots: &[PathBuf], published: &[String]) -> Result<Curves, CurveError> {
    metric_curves(roots, &Metric::returns(), published)
}

/// Draws runs: a panel a task, a curve for each set of runs that differ in nothing but their seed. After them come the
/// published curves of the methods named in `published`, which are returns. Runs that have not measured the metric are left out.
///
/// # Errors
/// When a folder holds no run, no run has the metric (or, of returns, one has not), or nothing was published of a method.
pub fn metric_curves(
    roots: &[PathBuf],
    metric: &Metric,
    published: &[String],
) -> Result<Curves, CurveError> {
    published::check(published)?;
    let (runs, notes) = read_all(roots, metric)?;
    let panels: Vec<Panel> = tasks(runs)
        .iter()
        .map(|task| panel(&task.title, &task.curves, metric, published))
        .collect();
    Ok(Curves { picture: chart::draw(&panels), notes })
}

/// The numbers behind [`learning_curves`] as CSV: a line a value. `settings` is what differs from the first of these
/// runs of the same task and method, as `key=value` with spaces between; in lists `;` stands for the comma. `robot=` is what
/// tells robots of one's own under one name apart. The second value is what the user should know of the runs.
///
/// # Errors
/// As [`learning_curves`].
pub fn learning_table(roots: &[PathBuf]) -> Result<(String, Vec<String>), CurveError> {
    metric_table(roots, &Metric::returns())
}

/// [`learning_table`] of any metric.
///
/// # Errors
/// As [`metric_curves`].
pub fn metric_table(
    roots: &[PathBuf],
    metric: &Metric,
) -> Result<(String, Vec<String>), CurveError> {
    let (runs, notes) = read_all(roots, metric)?;
    Ok((table(&runs, metric), notes))
}

/// A field of a CSV line, in quotes where it needs them.
fn field(text: &str) -> String {
    let text = one_line(text);
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn table(runs: &[Run], metric: &Metric) -> String {
    let spread = if metric.is_return() { ",return_std" } else { "" };
    let mut table = format!("task,algorithm,settings,seed,step,{}{spread}\n", field(metric.name()));
    for Run { config, scores, robot, .. } in runs {
        let alike = |other: &&Config| {
            (other.task(), other.algorithm()) == (config.task(), config.algorithm())
        };
        let first = kind(runs.iter().map(|run| &run.config).find(alike).unwrap_or(config));
        let mut settings: Vec<String> = differences(&first, &kind(config))
            .iter()
            .map(|(key, _, value)| format!("{key}={}", value.trim_matches('"').replace(", ", ";")))
            .collect();
        settings.extend(robot.iter().map(|robot| format!("robot={robot}")));
        let method = config.algorithm();
        let (task, settings) = (field(config.task()), field(&settings.join(" ")));
        let run = format!("{task},{method},{settings},{}", config.seed());
        for (step, mean, deviation) in scores {
            table += &format!("{run},{step},{mean:?}");
            if metric.is_return() {
                table += &format!(",{deviation:?}");
            }
            table.push('\n');
        }
    }
    table
}

fn panel(title: &str, groups: &[Vec<Run>], metric: &Metric, published: &[String]) -> Panel {
    let mut all: Vec<Series> = groups
        .iter()
        .map(|group| Series {
            label: label(group, first_of_method(group, groups)),
            ..series(group)
        })
        .collect();
    let last = groups.iter().flatten().filter_map(|run| run.scores.last()).map(|&(step, ..)| step);
    let last = last.max().unwrap_or(0) as f64;
    // What was published of a task says nothing of a robot of one's own that has its name.
    if groups[0][0].robot.is_none() {
        all.extend(published::curves(groups[0][0].config.task(), published, last));
    }
    let several = groups.iter().any(|group| group.len() > 1);
    let subtitle = if !metric.is_return() {
        let told = "mean and one standard deviation over seeds; thin lines: single runs";
        if several { told.to_owned() } else { String::new() }
    } else if several {
        "mean and one standard deviation over seeds (of a single run: over its episodes); thin lines: single runs".to_owned()
    } else {
        let episodes = groups[0][0].config.run().evaluation.episodes;
        format!("mean and one standard deviation over the {episodes} episodes of each evaluation")
    };
    Panel {
        title: title.to_owned(),
        subtitle,
        x_label: "environment steps".to_owned(),
        y_label: metric.axis(),
        series: all,
    }
}

/// The settings of the first curve of the same method: curves of other methods differ from it in all of them.
fn first_of_method<'r>(group: &'r [Run], groups: &'r [Vec<Run>]) -> &'r Config {
    let algorithm = group[0].config.algorithm();
    let first = groups.iter().find(|other| other[0].config.algorithm() == algorithm);
    &first.map_or(group, Vec::as_slice)[0].config
}

/// "DDPPO, seed 3" or "DDPPO, 5 seeds", and what differs from the first curve of the method: a variant's name, or settings.
fn label(group: &[Run], first: &Config) -> String {
    let config = &group[0].config;
    let mut parts = vec![config.algorithm().to_uppercase()];
    let mut differing = differences(&kind(first), &kind(config));
    let variant = variant_between(first, config).filter(|_| !differing.is_empty());
    if let Some(variant) = variant {
        parts.push(variant.replace('-', " "));
        differing.clear();
    }
    for (key, _, value) in &differing {
        let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        // "policy learning rate" only where another learning rate has another value.
        let unclear =
            differing.iter().any(|(other, _, v)| short(other) == short(key) && v != value);
        let name = if unclear { key.replace('.', " ") } else { short(key) };
        let part = format!("{} {}", name.replace('_', " "), value.trim_matches('"'));
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let label = one_line(&parts.join(", "));
    let seeds: BTreeSet<u64> = group.iter().map(|run| run.config.seed()).collect();
    match (group.len(), seeds.len()) {
        (1, _) => label + &format!(", seed {}", config.seed()),
        (runs, 1) => label + &format!(", seed {}, {runs} runs", config.seed()),
        (runs, seeds) if runs == seeds => label + &format!(", {seeds} seeds"),
        (runs, seeds) => label + &format!(", {runs} runs of {seeds} seeds"),
    }
}

/// The variant that makes `first` into `config`.
fn variant_between(first: &Config, config: &Config) -> Option<&'static str> {
    let info = methods::find(config.algorithm()).ok()?;
    let makes_it = |name: &&str| {
        info.with_variant(first, name).is_ok_and(|variant| kind(&variant) == kind(config))
    };
    methods::variants_of(info.name).find(makes_it)
}

/// One run with the deviation over its episodes, or the mean over runs with the deviation over them (n − 1 in the
/// denominator), at the steps where all of them were evaluated.
fn series(group: &[Run]) -> Series {
    if let [run] = group {
        let points =
            run.scores.iter().map(|&(x, y, spread)| Point { x: x as f64, y, spread }).collect();
        return Series { points, ..Series::default() };
    }
    let scores = |run: &Run| run.scores.iter().map(|&(step, score, _)| (step, score)).collect();
    mean_curve(&group.iter().map(scores).collect::<Vec<_>>())
}

/// The mean over runs of (step, value), with the deviation over them, at the steps where all of them have one.
pub fn mean_curve(runs: &[Vec<(u64, f64)>]) -> Series {
    let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for &(step, value) in runs.iter().flatten() {
        by_step.entry(step).or_default().push(value);
    }
    let points = by_step
        .into_iter()
        .filter(|(_, values)| values.len() == runs.len())
        .map(|(step, values)| Point {
            x: step as f64,
            y: mean(&values),
            spread: deviation(&values),
        })
        .collect();
    let members =
        runs.iter().map(|run| run.iter().map(|&(x, y)| (x as f64, y)).collect()).collect();
    Series { points, members, ..Series::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(settings: &[&str], scores: &[(u64, f64)]) -> Run {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        run_of("ddppo", &settings, scores)
    }

    fn run_of(algorithm: &str, settings: &[String], scores: &[(u64, f64)]) -> Run {
        let config = methods::preset(algorithm, "Hopper").unwrap().with_settings(settings).unwrap();
        let scores = scores.iter().map(|&(step, score)| (step, score, 1.0)).collect();
        Run { root: PathBuf::from("run"), config, robot: None, scores }
    }

    #[test]
    fn several_runs_become_mean_and_deviation_where_all_have_data() {
        let group =
            [run(&[], &[(1, 1.0), (2, 10.0), (3, 7.0)]), run(&["seed=1"], &[(1, 3.0), (2, 16.0)])];
        let curve = series(&group);
        let expected = [(1.0, 2.0, 2.0_f64.sqrt()), (2.0, 13.0, 18.0_f64.sqrt())];
        assert_eq!(curve.points, expected.map(|(x, y, spread)| Point { x, y, spread }));
        assert_eq!(curve.members[0], [(1.0, 1.0), (2.0, 10.0), (3.0, 7.0)]);
    }

    #[test]
    fn labels_say_what_differs() {
        let first = run(&[], &[]).config;
        assert_eq!(label(&[run(&["seed=4"], &[])], &first), "DDPPO, seed 4");
        let ablation = [
            run(&["gradient_loss.weight=0"], &[]),
            run(&["gradient_loss.weight=0", "seed=1"], &[]),
        ];
        assert_eq!(label(&ablation, &first), "DDPPO, no gradient loss, 2 seeds");
        let heavy = run(&["gradient_loss.weight=3"], &[]);
        assert_eq!(label(&[heavy], &first), "DDPPO, weight 3.0, seed 0");
        let rates = ["policy.learning_rate=1e-3", "critic.learning_rate=1e-3"];
        assert_eq!(label(&[run(&rates, &[])], &first), "DDPPO, learning rate 0.001, seed 0");
        let rates = ["policy.learning_rate=1e-3", "critic.learning_rate=1e-4"];
        assert_eq!(
            label(&[run(&rates, &[])], &first),
            "DDPPO, critic learning rate 0.0001, policy learning rate 0.001, seed 0"
        );
        let other = run(&["policy.gradient_source=prediction_model", "steps=5"], &[]);
        assert_eq!(label(&[other], &first), "DDPPO, gradient source prediction_model, seed 0");
    }

    #[test]
    fn the_table_tells_variants_apart() {
        let runs = [
            run(&[], &[(1, 3.0)]),
            run(&["gradient_loss.weight=0", "model.hidden=100", "seed=1"], &[(1, 4.0), (2, 5.5)]),
            run(&["model.weight_decay=[0, 0, 0, 0, 1]"], &[(1, 6.0)]),
        ];
        assert_eq!(
            table(&runs, &Metric::returns()),
            "task,algorithm,settings,seed,step,return_mean,return_std\n\
             Hopper,ddppo,,0,1,3.0,1.0\n\
             Hopper,ddppo,gradient_loss.weight=0.0 model.hidden=100,1,1,4.0,1.0\n\
             Hopper,ddppo,gradient_loss.weight=0.0 model.hidden=100,1,2,5.5,1.0\n\
             Hopper,ddppo,model.weight_decay=[0.0;0.0;0.0;0.0;1.0],0,1,6.0,1.0\n"
        );
    }

    #[test]
    fn methods_are_curves_of_their_own_beside_the_published_ones() {
        let of = |algorithm, settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
            vec![run_of(algorithm, &settings, &[(1000, 20.0), (12_000, 300.0)])]
        };
        let groups =
            [of("ddppo", &[]), of("sac", &[]), of("sac", &["temperature.automatic=false"])];
        let panel = panel("Hopper", &groups, &Metric::returns(), &["MBPO".to_owned()]);
        let labels: Vec<&str> = panel.series.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "DDPPO, seed 0",
                "SAC, seed 0",
                "SAC, automatic false, seed 0",
                "MBPO, published (Janner et al., 5 seeds, v2)"
            ]
        );
        assert_eq!(panel.series[3].points.last().unwrap().x, 15_000.0);
        assert!(panel.series[3].dashed && !panel.series[1].dashed);
    }

    #[test]
    fn published_curves_go_as_far_as_the_longest_run() {
        let long = run(&["seed=1"], &[(1000, 20.0), (12_000, 300.0), (24_000, 310.0)]);
        let groups = [vec![run(&[], &[(1000, 20.0), (12_000, 300.0)]), long]];
        let panel = panel("Hopper", &groups, &Metric::returns(), &["MBPO".to_owned()]);
        let last = |series: &Series| series.points.last().unwrap().x;
        assert_eq!((last(&panel.series[0]), last(&panel.series[1])), (12_000.0, 25_000.0));
    }
}
