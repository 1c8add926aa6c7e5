//! Line charts with bands, drawn as SVG: panels side by side, each with its axes and legend.

use std::fmt::Write;

use super::axis::Axis;
use super::picture::Picture;

/// Okabe and Ito's colours, told apart with any kind of colour vision, with Tol's wine red in place of their yellow, which is too light for a line;
/// as many as there are methods.
const COLOURS: [&str; 8] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333", "#882255"];
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
const INK: &str = "#333333";

/// Width and height of a panel, margins included.
const PANEL: (f64, f64) = (720.0, 440.0);
const MARGIN_LEFT: f64 = 84.0;
const MARGIN_RIGHT: f64 = 28.0;
const MARGIN_TOP: f64 = 64.0;
const MARGIN_BOTTOM: f64 = 58.0;
const LEGEND_LINE: f64 = 22.0;
/// Panels beside each other before the next row begins.
const COLUMNS: usize = 3;
/// Width of a letter of the legend, roughly: the SVG's viewer has the last word on fonts.
const LETTER: f64 = 7.9;

/// One point of a curve, with its band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Position on the horizontal axis.
    pub x: f64,
    /// Position of the line.
    pub y: f64,
    /// Half the height of the band around it.
    pub spread: f64,
}

/// A curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// In the order of x.
    pub points: Vec<Point>,
    /// Drawn in dashes: not measured here.
    pub dashed: bool,
    /// Thin lines behind it: the (x, y) of each run that it is the mean of.
    pub members: Vec<Vec<(f64, f64)>>,
}

/// A coordinate system with its curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Headline.
    pub title: String,
    /// A smaller line under it.
    pub subtitle: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Name of the vertical axis.
    pub y_label: String,
    /// The curves, first one at the bottom.
    pub series: Vec<Series>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Draws panels, up to three a row; four in two rows.
pub fn draw(panels: &[Panel]) -> Picture {
    let columns = if panels.len() == 4 { 2 } else { panels.len().clamp(1, COLUMNS) };
    let rows = panels.len().div_ceil(columns).max(1);
    let legend = panels.iter().map(legend_height).fold(0.0, f64::max);
    let (width, height) = (PANEL.0, PANEL.1 + legend);
    let (total_width, total_height) = (width * columns as f64, height * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total_width}\" height=\"{total_height}\" \
         viewBox=\"0 0 {total_width} {total_height}\" font-family=\"{FONT}\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = ((i % columns) as f64 * width, (i / columns) as f64 * height);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        draw_panel(&mut svg, panel);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    Picture { svg }
}

/// Where each legend entry goes: line and horizontal offset.
fn legend_layout(panel: &Panel) -> Vec<(usize, f64)> {
    let room = PANEL.0 - MARGIN_LEFT - MARGIN_RIGHT;
    let mut at = (0, 0.0);
    let mut out = Vec::new();
    for series in &panel.series {
        let width = 46.0 + LETTER * series.label.chars().count() as f64;
        if at.1 > 0.0 && at.1 + width > room {
            at = (at.0 + 1, 0.0);
        }
        out.push(at);
        at.1 += width;
    }
    out
}

fn legend_height(panel: &Panel) -> f64 {
    legend_layout(panel).last().map_or(0.0, |&(line, _)| (line + 1) as f64 * LEGEND_LINE)
}

fn draw_panel(svg: &mut String, panel: &Panel) {
    let top = MARGIN_TOP + legend_height(panel);
    let (width, height) =
        (PANEL.0 - MARGIN_LEFT - MARGIN_RIGHT, PANEL.1 - MARGIN_TOP - MARGIN_BOTTOM);
    let bottom = top + height;
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let members = || panel.series.iter().flat_map(|series| series.members.iter().flatten());
    let x = Axis::new(
        points().map(|p| p.x).chain(members().map(|m| m.0)).chain([0.0]),
        MARGIN_LEFT,
        width,
        6.0,
    );
    let y = Axis::new(
        points().flat_map(|p| [p.y - p.spread, p.y + p.spread]).chain(members().map(|m| m.1)),
        bottom,
        -height,
        5.0,
    );

    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN_LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{MARGIN_LEFT}\" y=\"50\" font-size=\"12\" fill=\"#666666\">{}</text>",
        escape(&panel.title),
        escape(&panel.subtitle)
    );
    for (at, label) in y.labels() {
        let _ = writeln!(
            svg,
            "<path d=\"M{MARGIN_LEFT} {at:.2}h{width}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{:.2}\" y=\"{:.2}\" font-size=\"12\" text-anchor=\"end\">{label}</text>",
            MARGIN_LEFT - 9.0,
            at + 4.3
        );
    }
    for (at, label) in x.labels() {
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.2} {bottom:.2}v5\" stroke=\"{INK}\"/>\
             <text x=\"{at:.2}\" y=\"{:.2}\" font-size=\"12\" text-anchor=\"middle\">{label}</text>",
            bottom + 20.0
        );
    }
    // What was not measured here lies under what was.
    for dashed in [true, false] {
        for (i, series) in panel.series.iter().enumerate().filter(|(_, s)| s.dashed == dashed) {
            draw_series(svg, series, COLOURS[i % COLOURS.len()], &x, &y);
        }
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{MARGIN_LEFT} {bottom:.2}h{width}\" stroke=\"{INK}\" stroke-width=\"1.2\"/>\n\
         <text x=\"{:.2}\" y=\"{:.2}\" font-size=\"13\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(22 {:.2}) rotate(-90)\" font-size=\"13\" text-anchor=\"middle\">{}</text>",
        MARGIN_LEFT + width / 2.0,
        bottom + 44.0,
        escape(&panel.x_label),
        top + height / 2.0,
        escape(&panel.y_label)
    );
    for (i, (series, (line, offset))) in panel.series.iter().zip(legend_layout(panel)).enumerate() {
        let (left, middle) = (MARGIN_LEFT + offset, MARGIN_TOP + 6.0 + LEGEND_LINE * line as f64);
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.2} {middle:.2}h22\" stroke=\"{}\" stroke-width=\"3\"{}/>\
             <text x=\"{:.2}\" y=\"{:.2}\" font-size=\"13\">{}</text>",
            COLOURS[i % COLOURS.len()],
            stroke(series),
            left + 30.0,
            middle + 4.5,
            escape(&series.label)
        );
    }
}

/// How a series' line is drawn, as attributes.
fn stroke(series: &Series) -> &'static str {
    if series.dashed { " stroke-dasharray=\"6 4\"" } else { " stroke-linecap=\"round\"" }
}

fn draw_series(svg: &mut String, series: &Series, colour: &str, x: &Axis, y: &Axis) {
    let finite: Vec<Point> =
        series.points.iter().copied().filter(|p| p.y.is_finite() && p.spread.is_finite()).collect();
    let place = |px: f64, py: f64| format!("{:.2} {:.2}", x.at(px), y.at(py));
    if finite.len() > 1 && finite.iter().any(|p| p.spread > 0.0) {
        let upper = finite.iter().map(|p| place(p.x, p.y + p.spread));
        let lower = finite.iter().rev().map(|p| place(p.x, p.y - p.spread));
        let outline = upper.chain(lower).collect::<Vec<_>>().join("L");
        let _ = writeln!(svg, "<path d=\"M{outline}Z\" fill=\"{colour}\" fill-opacity=\"0.18\"/>");
    }
    for member in &series.members {
        let line = member
            .iter()
            .filter(|m| m.1.is_finite())
            .map(|&(mx, my)| place(mx, my))
            .collect::<Vec<_>>()
            .join("L");
        if !line.is_empty() {
            let _ = writeln!(
                svg,
                "<path d=\"M{line}\" fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.35\"/>"
            );
        }
    }
    let line = finite.iter().map(|p| place(p.x, p.y)).collect::<Vec<_>>().join("L");
    if !line.is_empty() {
        let _ = writeln!(
            svg,
            "<path d=\"M{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.4\" stroke-linejoin=\"round\"{}/>",
            stroke(series)
        );
    }
    if finite.len() <= 40 {
        for p in &finite {
            let (cx, cy) = (x.at(p.x), y.at(p.y));
            let _ =
                writeln!(svg, "<circle cx=\"{cx:.2}\" cy=\"{cy:.2}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_series_are_drawn_as_valid_pictures() {
        let point = |x, y, spread| Point { x, y, spread };
        let series = |points: &[Point]| Series {
            label: "a < b & \"c\"".to_owned(),
            points: points.to_vec(),
            dashed: true,
            members: vec![vec![(0.0, f64::NAN)]],
        };
        let cases = [
            vec![],
            vec![series(&[])],
            vec![series(&[point(1.0, 5.0, 0.0)])],
            vec![series(&[point(0.0, f64::NAN, 0.0), point(1.0, f64::INFINITY, 1.0)])],
            vec![series(&[point(0.0, 1e300, 0.0), point(1e12, -1e300, 1.0)]); 9],
        ];
        for series in cases {
            let picture = draw(&[Panel { title: "T".to_owned(), series, ..Panel::default() }]);
            let png = picture.png().unwrap();
            assert!(png.starts_with(b"\x89PNG"), "{}", picture.svg);
            assert!(
                !picture.svg.contains("NaN") && !picture.svg.contains("inf"),
                "{}",
                picture.svg
            );
        }
    }

    #[test]
    fn text_is_rendered_without_system_fonts() {
        let panel = |title: &str| Panel { title: title.to_owned(), ..Panel::default() };
        let [with, without] = ["Hopper", ""].map(|title| draw(&[panel(title)]).png().unwrap());
        assert_ne!(with, without);
    }
}
