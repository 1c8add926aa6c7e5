//! Published learning curves, to be drawn under our own: `published.csv`, where each number has its source and its caveat.

use super::chart::{Point, Series};
use crate::config::suggest;

const TABLE: &str = include_str!("published.csv");

/// The methods drawn where none are named: those of the paper's comparison whose returns were published.
pub const USUAL: &str = "MBPO,SAC";

/// A method of which nothing was published.
#[derive(Debug, thiserror::Error)]
#[error("there are no published returns of `{method}`{hint}; there are those of {known}")]
pub struct UnknownMethod {
    method: String,
    hint: String,
    known: String,
}

/// One line of the table.
struct Row<'a> {
    method: &'a str,
    task: &'a str,
    /// Environment step, mean return, deviation over seeds.
    point: Point,
    seeds: &'a str,
    version: &'a str,
    observation: &'a str,
    source: &'a str,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let columns: Vec<&str> = line.split(',').collect();
        let [method, task, step, mean, deviation, seeds, version, observation, source, _, _] =
            columns[..]
        else {
            return None;
        };
        let (x, y) = (step.parse().ok()?, mean.parse().ok()?);
        // Where no deviation was noted there is no band.
        let point = Point { x, y, spread: deviation.parse().unwrap_or(0.0) };
        Some(Self { method, task, point, seeds, version, observation, source })
    }

    /// "MBPO, published (Janner et al., 5 seeds, v2)".
    fn label(&self) -> String {
        let Self { method, seeds, version, observation, source, .. } = self;
        let noun = if *seeds == "1" { "seed" } else { "seeds" };
        let full = if *observation == "full" { ", full observations" } else { "" };
        format!("{method}, published ({source}, {seeds} {noun}, {version}{full})")
    }
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    TABLE.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(Row::parse)
}

/// Checks the names of methods.
///
/// # Errors
/// On the first of which nothing was published.
pub fn check(methods: &[String]) -> Result<(), UnknownMethod> {
    let mut known: Vec<&str> = rows().map(|row| row.method).collect();
    known.dedup();
    match methods.iter().find(|method| !known.contains(&method.as_str())) {
        None => Ok(()),
        Some(method) => Err(UnknownMethod {
            method: method.clone(),
            hint: suggest::hint(method, known.iter().copied()),
            known: known.join(", "),
        }),
    }
}

/// The published curves of these methods on a task, up to the first point at or after `last_step`.
pub fn curves(task: &str, methods: &[String], last_step: f64) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    let wanted = |row: &Row<'_>| row.task == task && methods.iter().any(|m| m == row.method);
    for row in rows().filter(wanted) {
        let label = row.label();
        let at = all.iter().position(|series| series.label == label).unwrap_or_else(|| {
            all.push(Series { label, dashed: true, ..Series::default() });
            all.len() - 1
        });
        let points = &mut all[at].points;
        if points.last().is_none_or(|last| last.x < last_step) {
            points.push(row.point);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count() - 1;
        assert_eq!(rows().count(), lines);
        for row in rows() {
            assert!(crate::env::task(row.task).is_ok(), "{}", row.task);
            assert!(!row.source.is_empty() && row.seeds.parse::<u32>().is_ok(), "{}", row.label());
            assert!(row.point.spread >= 0.0 && row.point.y.is_finite(), "{}", row.label());
        }
    }

    #[test]
    fn curves_hold_the_published_numbers_in_order() {
        let both: Vec<String> = USUAL.split(',').map(str::to_owned).collect();
        check(&both).unwrap();
        let hopper = curves("Hopper", &both, 20_000.0);
        let labels: Vec<&str> = hopper.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "MBPO, published (Janner et al., 5 seeds, v2)",
                "SAC, published (SimbaV2 repository, 10 seeds, v4)",
                "SAC, published (erl_lib, 8 seeds, v4)",
            ]
        );
        let points: Vec<(f64, f64, f64)> =
            hopper[0].points.iter().map(|p| (p.x, p.y, p.spread)).collect();
        assert_eq!(
            points,
            [(10_000.0, 328.0, 167.0), (15_000.0, 458.0, 214.0), (25_000.0, 587.0, 214.0)]
        );
        for task in crate::env::names() {
            for series in curves(task, &both, f64::INFINITY) {
                assert!(series.points.windows(2).all(|p| p[0].x < p[1].x), "{}", series.label);
            }
        }
        let error = check(&["MPBO".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`MPBO` (did you mean `MBPO`?); there are those of MBPO, SAC, "));
    }
}
