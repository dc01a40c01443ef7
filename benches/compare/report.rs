//! The figures as tables, on the terminal and in docs/benchmarks.md.

use crate::control_plane::repository;
use crate::machine;
use crate::measure::Figure;
use crate::programs::{Programs, Side};
use std::fmt::Write;
use std::fs;

/// One kind of work and what it took on each side.
pub struct Row {
    pub work: String,
    pub sides: Vec<(Side, Vec<Figure>)>,
    pub targets: Vec<Target>,
}

/// What a row is to reach.
#[derive(Clone, Debug)]
pub enum Target {
    /// So many times as fast as Helm.
    Faster(f64),
    /// At most so many times the floor.
    OfFloor(f64),
    /// Less than so many bytes at the peak.
    Peak(u64),
    /// Fewer than so many requests.
    Requests(u64),
    /// At most so many times the time of another row.
    OfRow(String, f64),
    NoFailure,
}

impl Row {
    pub fn figures(&self, side: Side) -> &[Figure] {
        self.sides
            .iter()
            .find(|(of, _)| *of == side)
            .map_or(&[], |(_, figures)| figures)
    }

    /// The median of what `of` takes from each figure; absent when the side has none, or failed.
    pub fn median(&self, side: Side, of: impl Fn(&Figure) -> f64) -> Option<f64> {
        let figures = self.figures(side);
        if figures.iter().any(|figure| figure.code != Some(0)) {
            return None;
        }
        sorted(figures, of).get(figures.len() / 2).copied()
    }

    pub fn seconds(&self, side: Side) -> Option<f64> {
        self.median(side, |figure| figure.seconds)
    }

    pub fn requests(&self, side: Side) -> Option<f64> {
        self.median(side, |figure| figure.requests.values().sum::<u64>() as f64)
    }

    /// The highest of all runs.
    fn peak(&self, side: Side) -> Option<f64> {
        sorted(self.figures(side), mebibytes).last().copied()
    }

    fn ratio(&self, side: Side) -> Option<f64> {
        Some(self.seconds(side)? / self.seconds(Side::Fabric)?)
    }
}

pub fn mebibytes(figure: &Figure) -> f64 {
    figure.peak as f64 / 1024.0 / 1024.0
}

fn sorted(figures: &[Figure], of: impl Fn(&Figure) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// `10,000`
pub fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => thousands(value.round() as u64),
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", short(seconds * 1000.0))
    } else {
        format!("{} s", short(seconds))
    }
}

impl Target {
    /// The target in words, and what was reached of it (absent when that was not measured).
    fn judge(&self, row: &Row, rows: &[Row]) -> (String, Option<(String, bool)>) {
        let times = |words: &str, wanted: f64, reached: Option<f64>, least: bool| {
            let judged = reached.map(|reached| {
                (
                    format!("{} ×", short(reached)),
                    if least {
                        reached >= wanted
                    } else {
                        reached <= wanted
                    },
                )
            });
            (format!("{words} {wanted} ×"), judged)
        };
        match self {
            Target::Faster(wanted) => {
                times("Helm's time at least", *wanted, row.ratio(Side::Helm), true)
            }
            Target::OfFloor(wanted) => times(
                "the floor at most",
                *wanted,
                row.ratio(Side::Floor).map(f64::recip),
                false,
            ),
            Target::OfRow(name, wanted) => {
                let other = rows
                    .iter()
                    .find(|row| row.work == *name)
                    .and_then(|row| row.seconds(Side::Fabric));
                let reached = row
                    .seconds(Side::Fabric)
                    .zip(other)
                    .map(|(own, other)| own / other);
                times(
                    "a tenth of the objects' time at most",
                    *wanted,
                    reached,
                    false,
                )
            }
            Target::Peak(wanted) => {
                let (unit, name) = if wanted % (1 << 20) == 0 {
                    ((1 << 20) as f64, "MiB")
                } else {
                    (1e6, "MB")
                };
                let (wanted, peak) = (
                    *wanted as f64 / unit,
                    row.peak(Side::Fabric)
                        .map(|peak| peak * (1 << 20) as f64 / unit),
                );
                (
                    format!("below {wanted} {name}"),
                    peak.map(|peak| (format!("{} {name}", short(peak)), peak < wanted)),
                )
            }
            Target::Requests(wanted) => {
                let judged = row
                    .requests(Side::Fabric)
                    .map(|count| (format!("{count}"), count < *wanted as f64));
                (format!("fewer than {wanted} requests"), judged)
            }
            Target::NoFailure => {
                let failed = row
                    .figures(Side::Fabric)
                    .iter()
                    .filter(|figure| figure.code != Some(0))
                    .count();
                (
                    "no run fails".to_owned(),
                    Some((format!("{failed} failed"), failed == 0)),
                )
            }
        }
    }
}

/// All tables, as Markdown that reads well on a terminal, too.
pub fn tables(rows: &[Row]) -> String {
    [times(rows), targets(rows), memory(rows), requests(rows)].join("\n")
}

fn times(rows: &[Row]) -> String {
    let mut table = String::from(
        "## Time\n\nMedian (fastest to slowest), and how many times as long as `kubectl fabric` the others take.\n\n\
         | work | kubectl fabric | Helm | kubectl apply | floor | Helm ÷ ours | kubectl ÷ ours | ours ÷ floor |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cell = |side| {
            let all = sorted(row.figures(side), |figure| figure.seconds);
            match (row.seconds(side), all.first().zip(all.last())) {
                (Some(median), Some((first, last))) if all.len() > 1 => {
                    format!("{} ({} to {})", time(median), time(*first), time(*last))
                }
                (Some(median), _) => time(median),
                (None, Some(_)) => "fails".to_owned(),
                (None, None) => String::new(),
            }
        };
        let ratio = |ratio: Option<f64>| {
            ratio
                .map(|ratio| format!("**{}**", short(ratio)))
                .unwrap_or_default()
        };
        let cells = [Side::Fabric, Side::Helm, Side::Kubectl, Side::Floor]
            .map(cell)
            .join(" | ");
        let ratios = [
            row.ratio(Side::Helm),
            row.ratio(Side::Kubectl),
            row.ratio(Side::Floor).map(f64::recip),
        ]
        .map(ratio)
        .join(" | ");
        writeln!(table, "| {} | {cells} | {ratios} |", row.work)
            .expect("a String takes every write");
    }
    table
}

fn targets(rows: &[Row]) -> String {
    let mut table =
        String::from("## Targets\n\n| work | target | reached | |\n|---|---|---|---|\n");
    for row in rows {
        for target in &row.targets {
            let (words, judged) = target.judge(row, rows);
            let (reached, met) = judged.unwrap_or_default();
            let limit = match (
                target,
                row.seconds(Side::Helm).zip(row.seconds(Side::Floor)),
            ) {
                (Target::Faster(_), Some((helm, floor))) if !met => {
                    format!(": the floor is {} ×", short(helm / floor))
                }
                _ => String::new(),
            };
            writeln!(
                table,
                "| {} | {words} | {reached} | {}{limit} |",
                row.work,
                if met { "met" } else { "**missed**" }
            )
            .expect("a String takes every write");
        }
    }
    table
}

fn memory(rows: &[Row]) -> String {
    let mut table = String::from(
        "## Memory and processor\n\nHighest peak of all runs; median of the processor time of the program itself.\n\n\
         | work | kubectl fabric | Helm | kubectl apply | floor |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let cell = |side| {
            let used = row.peak(side).zip(row.median(side, |figure| figure.cpu));
            used.map(|(peak, cpu)| format!("{} MiB, {}", short(peak), time(cpu)))
                .unwrap_or_default()
        };
        let cells = [Side::Fabric, Side::Helm, Side::Kubectl, Side::Floor]
            .map(cell)
            .join(" | ");
        writeln!(table, "| {} | {cells} |", row.work).expect("a String takes every write");
    }
    table
}

fn requests(rows: &[Row]) -> String {
    let mut table = String::from(
        "## Requests\n\nFrom the API server's audit log, by verb.\n\n| work | kubectl fabric | Helm | kubectl apply |\n|---|---|---|---|\n",
    );
    for row in rows
        .iter()
        .filter(|row| row.requests(Side::Fabric).is_some_and(|count| count > 0.0))
    {
        let cell = |side| row.figures(side).first().map(verbs).unwrap_or_default();
        let cells = [Side::Fabric, Side::Helm, Side::Kubectl]
            .map(cell)
            .join(" | ");
        writeln!(table, "| {} | {cells} |", row.work).expect("a String takes every write");
    }
    table
}

/// `1,006: patch 1,000, get 3, list 2, create 1`
fn verbs(figure: &Figure) -> String {
    let mut counts: Vec<(&String, &u64)> = figure.requests.iter().collect();
    counts.sort_by(|one, other| other.1.cmp(one.1));
    let each: Vec<String> = counts
        .iter()
        .map(|(verb, count)| format!("{verb} {}", thousands(**count)))
        .collect();
    format!(
        "**{}**: {}",
        thousands(figure.requests.values().sum()),
        each.join(", ")
    )
}

/// Between these lines docs/benchmarks.md is written by this program.
const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- /measured -->\n";

/// What the programs beside the plugin and Helm are.
pub struct Versions {
    pub kubernetes: String,
    pub kubectl: String,
}

/// Writes the measured part of docs/benchmarks.md. Operations that take milliseconds ran `short` times.
pub fn write(
    rows: &[Row],
    programs: &Programs,
    Versions {
        kubernetes,
        kubectl,
    }: &Versions,
    rounds: usize,
    short: usize,
) {
    let page = repository().join("docs/benchmarks.md");
    let text = fs::read_to_string(&page).expect("docs/benchmarks.md");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the page says where its figures begin");
    let (_, after) = rest
        .split_once(END)
        .expect("the page says where its figures end");
    let measured = format!(
        "Measured on {}; Kubernetes {kubernetes} (one API server, one etcd, nothing else), kubectl {kubectl}, Helm {}, kubectl fabric {}; \
         {rounds} rounds, each side in turn. Operations that take milliseconds, and the install compared with the floor, ran {short} times; \
         kubectl, 10,000 objects, 100 runs at a time and the waits once.\n\n{}\n\
         ## Curves\n\n![time, memory and requests by the number of objects](benchmarks.svg)\n",
        machine::description(),
        programs.helm_version,
        env!("CARGO_PKG_VERSION"),
        tables(rows),
    );
    fs::write(&page, format!("{before}{BEGIN}\n{measured}\n{END}{after}"))
        .expect("docs/benchmarks.md");
}
