//! Time, memory and requests by the number of objects, as one small SVG: three panels, both axes
//! logarithmic.

use crate::control_plane::repository;
use crate::programs::Side;
use crate::report::{Row, mebibytes};
use std::fmt::Write;
use std::fs;

const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 34.0;
/// Objects at the left and right ends, as powers of ten.
const OBJECTS: (f64, f64) = (2.0, 4.0);
const LINES: [(Side, &str); 3] = [
    (Side::Fabric, "#0969da"),
    (Side::Helm, "#cf222e"),
    (Side::Floor, "#848d97"),
];

/// What a panel shows: its title, its range as powers of ten, its value.
struct Panel {
    title: &'static str,
    range: (i32, i32),
    value: fn(&Row, Side) -> Option<f64>,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "install: seconds",
        range: (-1, 3),
        value: |row, side| row.seconds(side),
    },
    Panel {
        title: "install: peak memory, MiB",
        range: (0, 3),
        value: |row, side| row.median(side, mebibytes),
    },
    Panel {
        title: "upgrade of nothing: requests",
        range: (1, 5),
        value: |row, side| row.requests(side),
    },
];

/// Draws docs/benchmarks.svg.
pub fn write(rows: &[Row]) {
    fs::write(repository().join("docs/benchmarks.svg"), svg(rows)).expect("docs/benchmarks.svg");
}

/// The picture of the rows whose work is named `scale: ...`.
fn svg(rows: &[Row]) -> String {
    let width = PANELS.len() as f64 * (WIDTH + LEFT) + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        HEIGHT + 90.0
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let left = LEFT + index as f64 * (WIDTH + LEFT);
        writeln!(svg, "<g transform=\"translate({left} {TOP})\">")
            .expect("a String takes every write");
        draw(&mut svg, panel, rows);
        svg.push_str("</g>\n");
    }
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, rows: &[Row]) {
    let words = panel.title.split(':').next().unwrap_or_default();
    writeln!(
        svg,
        "<text y=\"-12\" font-weight=\"bold\">{}</text>",
        panel.title
    )
    .expect("a String takes every write");
    for power in panel.range.0..=panel.range.1 {
        let y = place(
            f64::from(power),
            (f64::from(panel.range.0), f64::from(panel.range.1)),
            HEIGHT,
            0.0,
        );
        line(svg, (0.0, y), (WIDTH - 30.0, y), "#d0d7de");
        writeln!(
            svg,
            "<text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            10f64.powi(power)
        )
        .expect("a String takes every write");
    }
    for power in 2..=4u32 {
        let x = place(f64::from(power), OBJECTS, 0.0, WIDTH - 30.0);
        let label = crate::report::thousands(10u64.pow(power));
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            HEIGHT + 16.0
        )
        .expect("a String takes every write");
    }
    for (side, colour) in LINES {
        let points = points(panel, words, rows, side);
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        )
        .expect("a String takes every write");
        for (x, y) in points {
            writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            )
            .expect("a String takes every write");
        }
    }
}

/// Where the figures of one side stand.
fn points(panel: &Panel, words: &str, rows: &[Row], side: Side) -> Vec<(f64, f64)> {
    let range = (f64::from(panel.range.0), f64::from(panel.range.1));
    let of_panel = rows.iter().filter_map(|row| {
        let objects = row
            .work
            .strip_prefix(&format!("scale: {words}, "))?
            .strip_suffix(" objects")?
            .replace(',', "");
        let value = (panel.value)(row, side).filter(|value| *value > 0.0)?;
        let x = place(
            objects.parse::<f64>().ok()?.log10(),
            OBJECTS,
            0.0,
            WIDTH - 30.0,
        );
        Some((x, place(value.log10(), range, HEIGHT, 0.0)))
    });
    of_panel.collect()
}

/// A value of `range` on the way from `from` to `to`.
fn place(value: f64, range: (f64, f64), from: f64, to: f64) -> f64 {
    from + (to - from) * (value - range.0) / (range.1 - range.0)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    )
    .expect("a String takes every write");
}

fn legend(svg: &mut String) {
    let y = TOP + HEIGHT + 40.0;
    for (index, (side, colour)) in LINES.iter().enumerate() {
        let x = LEFT + index as f64 * 130.0;
        line(svg, (x, y - 4.0), (x + 18.0, y - 4.0), colour);
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{y}\">{}</text>",
            x + 24.0,
            side.name()
        )
        .expect("a String takes every write");
    }
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{y}\">objects, from left to right; all axes logarithmic</text>",
        LEFT + 400.0
    )
    .expect("a String takes every write");
}
