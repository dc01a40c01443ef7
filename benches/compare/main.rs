//! The plugin beside Helm, kubectl and the floor, on the same objects and the same API server, in
//! turn: `make bench`.
//!
//! The floor is what the API server itself needs: every object applied once by 32 workers, and
//! nothing else. Whatever is measured runs as a process of its own, as a user would start it; its
//! requests are counted in the API server's audit log.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures"
)]

mod charts;
mod control_plane;
#[path = "../../tests/support/counts.rs"]
mod counts;
mod curves;
mod floor;
mod machine;
mod measure;
mod programs;
mod report;
mod work;

use charts::Charts;
use control_plane::ControlPlane;
use programs::Programs;
use report::{Row, Versions};
use std::path::PathBuf;

const USAGE: &str = "\
make bench ARGS='[--rounds N] [WORK...]'

WORK is one of: start template lifecycle list organizations scale wait; all of them when none is named. Only then is docs/benchmarks.md written.
--rounds N    how often each side does each work (3); a quick look is --rounds 1";

/// What the command line asks for.
struct Arguments {
    rounds: usize,
    works: Vec<String>,
}

impl Arguments {
    fn parse(words: impl Iterator<Item = String>) -> Option<Arguments> {
        let mut arguments = Arguments {
            rounds: 3,
            works: Vec::new(),
        };
        let mut words = words.filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => {
                    arguments.rounds = words.next()?.parse().ok().filter(|rounds| *rounds > 0)?
                }
                name if work::NAMES.contains(&name) => arguments.works.push(word),
                _ => return None,
            }
        }
        Some(arguments)
    }

    fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| wanted == work)
    }
}

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    match words.peek().map(String::as_str) {
        Some("measure") => return measure::measure(words.skip(1).collect()),
        Some("floor") => return floor::run(words.skip(1).collect()),
        _ => {}
    }
    let Some(arguments) = Arguments::parse(words) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let programs = Programs::find();
    let charts = Charts::new(scratch.path().join("charts"));
    let (rows, versions) = run(&arguments, &programs, &charts, scratch.path().to_owned());
    print!("{}", report::tables(&rows));
    if arguments.works.is_empty() {
        report::write(
            &rows,
            &programs,
            &versions,
            arguments.rounds,
            work::SHORT * arguments.rounds,
        );
        curves::write(&rows);
    }
    let target = format!(
        "binary for {}-{}",
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    counts::compare(&target, &[("bytes", programs.fabric_size())]);
}

fn run(
    arguments: &Arguments,
    programs: &Programs,
    charts: &Charts,
    scratch: PathBuf,
) -> (Vec<Row>, Versions) {
    let mut rows = Vec::new();
    let plane = ControlPlane::start("bench", &[], scratch.clone());
    let versions = Versions {
        kubernetes: plane.version(),
        kubectl: plane.kubectl_version(),
    };
    let bench = work::Bench {
        plane: &plane,
        programs,
        charts,
        rounds: arguments.rounds,
    };
    for (name, work) in work::ON_A_PLAIN_CONTROL_PLANE {
        if arguments.wants(name) {
            rows.extend(work(&bench));
        }
    }
    drop(plane);
    if arguments.wants("wait") {
        let plane = ControlPlane::start("bench-sim", &["--sim"], scratch);
        rows.extend(work::wait(&work::Bench {
            plane: &plane,
            programs,
            charts,
            rounds: 1,
        }));
    }
    (rows, versions)
}
