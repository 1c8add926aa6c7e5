//! Figures made of training runs as panels, a table of all values, and a summary over seeds.

use super::run_figures::PanelPlan;
use crate::report::aggregate::Aggregate;
use crate::report::chart::Panel;
use crate::report::curves::mean_curve;

/// (step, value) of a metric, seed by seed.
pub type Seeds = Vec<Vec<(u64, f64)>>;

/// A panel with the means over seeds.
pub fn panel(plan: &PanelPlan, curves: &[Seeds]) -> Panel {
    let series = plan.curves.iter().zip(curves).map(|(curve, seeds)| {
        let mut series = mean_curve(seeds);
        series.label.clone_from(&curve.label);
        // With many curves, single runs would hide the means.
        series.members.clear();
        series
    });
    Panel {
        title: plan.title.clone(),
        subtitle: "mean and one standard deviation over seeds".to_owned(),
        x_label: "environment steps".to_owned(),
        y_label: plan.y_label.to_owned(),
        series: series.collect(),
    }
}

/// All values as CSV.
pub fn csv(panels: &[PanelPlan], curves: &[Vec<Seeds>]) -> String {
    let mut out = "panel,curve,metric,seed,step,value\n".to_owned();
    for (panel, curves) in panels.iter().zip(curves) {
        for (curve, seeds) in panel.curves.iter().zip(curves) {
            for (seed, points) in seeds.iter().enumerate() {
                for (step, value) in points {
                    out += &format!(
                        "{},{},{},{seed},{step},{value:?}\n",
                        panel.title,
                        curve.label.replace(',', ""),
                        curve.metric
                    );
                }
            }
        }
    }
    out
}

/// The last values over seeds, as Markdown.
pub fn summary(panels: &[PanelPlan], curves: &[Vec<Seeds>]) -> String {
    let mut out = String::new();
    for (panel, curves) in panels.iter().zip(curves) {
        out += &format!(
            "\n{}, at the last step\n\n| curve | seeds | mean ± deviation | IQM [95 %] |\n|---|---|---|---|\n",
            panel.title
        );
        for (curve, seeds) in panel.curves.iter().zip(curves) {
            let last: Vec<f64> =
                seeds.iter().filter_map(|points| points.last().map(|&(_, value)| value)).collect();
            if last.is_empty() {
                out += &format!("| {} | 0 | – | – |\n", curve.label);
                continue;
            }
            let a = Aggregate::of(&last);
            out += &format!(
                "| {} | {} | {:.4} ± {:.4} | {:.4} [{:.4}, {:.4}] |\n",
                curve.label,
                a.count,
                a.mean,
                a.deviation,
                a.interquartile_mean,
                a.interval.0,
                a.interval.1
            );
        }
    }
    out
}
