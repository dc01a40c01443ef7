//! What is measured: one function per group of works, each giving its rows.

use crate::charts::{CHANGE, Charts, OBJECTS_PER_PEER, RELEASE};
use crate::control_plane::ControlPlane;
use crate::floor;
use crate::measure::Figure;
use crate::programs::{Programs, Side};
use crate::report::{Row, Target};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub const NAMES: [&str; 7] = [
    "start",
    "template",
    "lifecycle",
    "list",
    "organizations",
    "scale",
    "wait",
];

type Work = fn(&Bench) -> Vec<Row>;

/// The works that need no controllers, in their order.
pub const ON_A_PLAIN_CONTROL_PLANE: [(&str, Work); 6] = [
    ("start", start),
    ("template", template),
    ("lifecycle", lifecycle),
    ("list", list),
    ("organizations", organizations),
    ("scale", scale),
];

/// The kinds of the charts' objects, and of what remembers a release, as paths.
const KINDS: [(&str, &str); 5] = [
    ("api/v1", "configmaps"),
    ("api/v1", "secrets"),
    ("api/v1", "services"),
    ("apis/policy/v1", "poddisruptionbudgets"),
    ("apis/apps/v1", "statefulsets"),
];

/// Peers of the chart that most works use: 1,000 objects.
const PEERS: usize = 200;
/// Runs of what takes milliseconds, and of the install beside the floor, for each that is asked for
/// of the others.
pub const SHORT: usize = 5;

pub struct Bench<'a> {
    pub plane: &'a ControlPlane,
    pub programs: &'a Programs,
    pub charts: &'a Charts,
    pub rounds: usize,
}

/// A command line of words and paths.
fn command(program: &Path, words: &[&str]) -> Vec<OsString> {
    std::iter::once(program.into())
        .chain(words.iter().map(OsString::from))
        .collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Collects figures of several works, side by side.
#[derive(Default)]
struct Sheet {
    figures: BTreeMap<(&'static str, Side), Vec<Figure>>,
}

impl Sheet {
    fn note(&mut self, work: &'static str, side: Side, figure: Figure) {
        eprintln!(
            "bench: {work}: {}: {:.3} s, {} MiB",
            side.name(),
            figure.seconds,
            figure.peak >> 20
        );
        self.figures.entry((work, side)).or_default().push(figure);
    }

    fn row(&mut self, work: &'static str, name: impl Into<String>, targets: &[Target]) -> Row {
        let of_work: Vec<(&'static str, Side)> = self
            .figures
            .keys()
            .filter(|(noted, _)| *noted == work)
            .copied()
            .collect();
        let sides = of_work
            .into_iter()
            .map(|key| (key.1, self.figures.remove(&key).unwrap_or_default()))
            .collect();
        Row {
            work: name.into(),
            sides,
            targets: targets.to_vec(),
        }
    }
}

impl Bench<'_> {
    fn fabric(&self, words: &[&str]) -> Vec<OsString> {
        command(&self.programs.fabric, words)
    }

    fn helm(&self, words: &[&str]) -> Vec<OsString> {
        command(&self.programs.helm, words)
    }

    /// The floor's command: its objects lie in a file beside.
    fn floor(&self, name: &str, objects: &[Value], more: &[&str]) -> Vec<OsString> {
        let file = self
            .charts
            .file(name, &serde_json::to_string(objects).expect("plain data"));
        command(
            &std::env::current_exe().expect("this program has a path"),
            &[&["floor", &file], more].concat(),
        )
    }

    fn namespace(&self, name: &str) -> String {
        self.plane.create_namespaces([name]);
        name.to_owned()
    }
}

fn start(bench: &Bench) -> Vec<Row> {
    let mut sheet = Sheet::default();
    for round in 0..=bench.rounds * SHORT {
        for (side, command) in [
            (Side::Fabric, bench.fabric(&["version"])),
            (Side::Helm, bench.helm(&["version"])),
        ] {
            let figure = bench.plane.run(&command, "start");
            // The first run finds nothing of the program in memory.
            if round > 0 {
                sheet.note("start", side, figure);
            }
        }
    }
    vec![sheet.row(
        "start",
        "start (`version`)",
        &[Target::Faster(12.0), Target::Peak(8 << 20)],
    )]
}

fn template(bench: &Bench) -> Vec<Row> {
    bench.charts.objects(bench.programs, PEERS, "same", &[]);
    let (ours, helms) = (
        text(&bench.charts.fabric(PEERS)),
        text(&bench.charts.helm(PEERS)),
    );
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds * SHORT {
        let fabric = bench.fabric(&["template", RELEASE, "--chart", &ours, "--show-secrets"]);
        sheet.note(
            "template",
            Side::Fabric,
            bench.plane.run(&fabric, "template"),
        );
        sheet.note(
            "template",
            Side::Helm,
            bench
                .plane
                .run(&bench.helm(&["template", RELEASE, &helms]), "template"),
        );
    }
    vec![sheet.row(
        "template",
        "template, 1,000 objects",
        &[Target::Faster(10.0), Target::Peak(25 << 20)],
    )]
}

/// Install, upgrade, upgrade again, rollback and uninstall of 1,000 objects, each side in turn.
///
/// There are no controllers, so that nothing becomes ready: none of them waits. kubectl and the
/// floor have no records and thus no rollback.
fn lifecycle(bench: &Bench) -> Vec<Row> {
    let mut sheet = Sheet::default();
    // The first of all would find an API server that has not applied anything yet.
    bench.plane.run(&floor_install(bench, "first"), "first");
    for round in 0..bench.rounds {
        let mut sides = [
            (
                Side::Fabric,
                fabric_lifecycle(bench, &format!("fabric-{round}")),
            ),
            (
                Side::Floor,
                floor_lifecycle(bench, &format!("floor-{round}")),
            ),
            (Side::Helm, helm_lifecycle(bench, &format!("helm-{round}"))),
        ];
        // Side by side in time, because a machine's speed drifts; each follows another one in each
        // round.
        sides.rotate_left(round % 3);
        for work in LIFECYCLE {
            for (side, commands) in &sides {
                if let Some(command) = commands.get(work) {
                    sheet.note(work, *side, bench.plane.measure(command));
                }
            }
        }
        for turn in 1..SHORT {
            install_beside_floor(bench, &mut sheet, round, turn);
        }
    }
    kubectl_lifecycle(bench, &mut sheet);
    let faster = |times| [Target::Faster(times)];
    vec![
        sheet.row(
            "install",
            "install, 1,000 objects",
            &[
                Target::Faster(3.0),
                Target::OfFloor(1.2),
                Target::Peak(24_000_000),
            ],
        ),
        sheet.row("upgrade", "upgrade, 200 of 1,000 changed", &faster(15.0)),
        sheet.row(
            "nothing",
            "upgrade, nothing changed",
            &[Target::Faster(50.0), Target::Requests(25)],
        ),
        sheet.row("rollback", "rollback of the 200", &faster(15.0)),
        sheet.row("uninstall", "uninstall, 1,000 objects", &faster(3.0)),
    ]
}

/// The same install again, beside the floor alone: one run takes half as long again as the next, so
/// that it needs many to tell them apart.
fn install_beside_floor(bench: &Bench, sheet: &mut Sheet, round: usize, turn: usize) {
    let (ours, floors) = (
        format!("fabric-{round}-{turn}"),
        format!("floor-{round}-{turn}"),
    );
    let mut sides = [
        (Side::Fabric, fabric_install(bench, &ours)),
        (Side::Floor, floor_install(bench, &floors)),
    ];
    sides.rotate_left(turn % 2);
    for (side, command) in sides {
        sheet.note("install", side, bench.plane.measure(&command));
    }
    for namespace in [&ours, &floors] {
        bench.plane.empty(namespace, &KINDS);
    }
}

/// What a release goes through, in this order.
const LIFECYCLE: [&str; 5] = ["install", "upgrade", "nothing", "rollback", "uninstall"];

/// What one side does in a namespace of its own, by work.
type Commands = BTreeMap<&'static str, Vec<OsString>>;

/// The first of our works, in a namespace that is made for it.
fn fabric_install(bench: &Bench, namespace: &str) -> Vec<OsString> {
    let (chart, namespace) = (
        text(&bench.charts.fabric(PEERS)),
        bench.namespace(namespace),
    );
    bench.fabric(&[
        "install",
        RELEASE,
        "--chart",
        &chart,
        "-n",
        &namespace,
        "--wait=false",
    ])
}

fn fabric_lifecycle(bench: &Bench, namespace: &str) -> Commands {
    let chart = text(&bench.charts.fabric(PEERS));
    let run = |words: &[&str]| bench.fabric(&[words, &["-n", namespace, "--wait=false"]].concat());
    Commands::from([
        ("install", fabric_install(bench, namespace)),
        (
            "upgrade",
            run(&["upgrade", RELEASE, "--chart", &chart, "--set", CHANGE]),
        ),
        (
            "nothing",
            run(&["upgrade", RELEASE, "--chart", &chart, "--set", CHANGE]),
        ),
        ("rollback", run(&["rollback", RELEASE, "1"])),
        ("uninstall", run(&["uninstall", RELEASE, "--yes"])),
    ])
}

fn helm_lifecycle(bench: &Bench, namespace: &str) -> Commands {
    let (chart, namespace) = (text(&bench.charts.helm(PEERS)), bench.namespace(namespace));
    let run = |words: &[&str]| bench.helm(&[words, &["-n", &namespace]].concat());
    Commands::from([
        ("install", run(&["install", RELEASE, &chart])),
        (
            "upgrade",
            run(&["upgrade", RELEASE, &chart, "--set", CHANGE]),
        ),
        (
            "nothing",
            run(&["upgrade", RELEASE, &chart, "--set", CHANGE]),
        ),
        ("rollback", run(&["rollback", RELEASE, "1"])),
        ("uninstall", run(&["uninstall", RELEASE])),
    ])
}

/// The first of the floor's works, in a namespace that is made for it.
fn floor_install(bench: &Bench, namespace: &str) -> Vec<OsString> {
    let namespace = bench.namespace(namespace);
    bench.floor(
        "all.json",
        &bench.charts.objects(bench.programs, PEERS, &namespace, &[]),
        &[],
    )
}

fn floor_lifecycle(bench: &Bench, namespace: &str) -> Commands {
    let sets = |set: &[&str]| {
        let mut objects = bench.charts.objects(bench.programs, PEERS, namespace, set);
        objects.retain(|object| object["kind"] == "StatefulSet");
        objects
    };
    // What runs is not changed untried.
    Commands::from([
        ("install", floor_install(bench, namespace)),
        (
            "upgrade",
            bench.floor("after.json", &sets(&[CHANGE]), &[floor::TRIED]),
        ),
        (
            "rollback",
            bench.floor("before.json", &sets(&[]), &[floor::TRIED]),
        ),
    ])
}

/// Once: no target depends on it.
fn kubectl_lifecycle(bench: &Bench, sheet: &mut Sheet) {
    let namespace = bench.namespace("kubectl");
    let list = |set: &[&str]| {
        let objects = bench.charts.objects(bench.programs, PEERS, &namespace, set);
        json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
    };
    let (first, changed) = (
        bench.charts.file("first-list.json", &list(&[])),
        bench.charts.file("changed-list.json", &list(&[CHANGE])),
    );
    for (work, file) in [
        ("install", &first),
        ("upgrade", &changed),
        ("nothing", &changed),
    ] {
        let apply = command(
            &bench.plane.kubectl(),
            &["apply", "--server-side", "-f", file],
        );
        sheet.note(work, Side::Kubectl, bench.plane.measure(&apply));
    }
}

const RELEASES: usize = 200;
const REVISIONS: usize = 10;
/// So many peers make a record of about 6 KB on either side.
const LISTED_PEERS: usize = 10;

/// `list` of 200 releases of 10 revisions. Their records are copies of one that each side wrote
/// itself.
fn list(bench: &Bench) -> Vec<Row> {
    let namespaces: Vec<String> = (0..RELEASES)
        .map(|number| format!("listed{number}"))
        .collect();
    bench
        .plane
        .create_namespaces(namespaces.iter().map(String::as_str));
    let (fabric, helm) = (
        bench.namespace("listed-fabric"),
        bench.namespace("listed-helm"),
    );
    let (ours, helms) = (
        text(&bench.charts.fabric(LISTED_PEERS)),
        text(&bench.charts.helm(LISTED_PEERS)),
    );
    bench.plane.run(
        &bench.fabric(&[
            "install",
            RELEASE,
            "--chart",
            &ours,
            "-n",
            &fabric,
            "--wait=false",
        ]),
        "listed",
    );
    bench.plane.run(
        &bench.helm(&["install", RELEASE, &helms, "-n", &helm]),
        "listed",
    );
    let mut records: Vec<Value> = Vec::new();
    for original in [originals(bench, &fabric), originals(bench, &helm)].concat() {
        for release in &namespaces {
            records.extend((1..=REVISIONS).map(|revision| record_of(&original, release, revision)));
        }
    }
    assert_eq!(
        bench
            .plane
            .run(&bench.floor("records.json", &records, &[]), "listed")
            .code,
        Some(0),
        "the records are written"
    );
    let mut sheet = Sheet::default();
    for _ in 0..bench.rounds * SHORT {
        sheet.note(
            "list",
            Side::Fabric,
            bench.plane.measure(&bench.fabric(&["list"])),
        );
        sheet.note(
            "list",
            Side::Helm,
            bench.plane.measure(&bench.helm(&["list", "-A"])),
        );
    }
    vec![sheet.row(
        "list",
        "list, 200 releases of 10 revisions",
        &[Target::Faster(10.0), Target::Peak(20 << 20)],
    )]
}

/// What either side wrote to remember revision 1: our ConfigMap and its companion Secret, Helm's
/// Secret.
fn originals(bench: &Bench, namespace: &str) -> Vec<Value> {
    let mut found = bench.plane.list("configmaps", namespace);
    found.extend(bench.plane.list("secrets", namespace));
    found.retain(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        name.starts_with("kubectl-fabric.v1.") || name.starts_with("sh.helm.release.v1.")
    });
    for object in &found {
        let size = object.to_string().len();
        eprintln!(
            "bench: a record of {size} bytes: {}/{}",
            object["kind"], object["metadata"]["name"]
        );
    }
    assert!(
        !found.is_empty(),
        "the install in {namespace} wrote a record"
    );
    found
}

/// A record of another release and revision, as if that had been installed; the last revision is
/// the deployed one.
fn record_of(original: &Value, release: &str, revision: usize) -> Value {
    let mut record = original.clone();
    let status = if revision == REVISIONS {
        "deployed"
    } else {
        "superseded"
    };
    let name = record["metadata"]["name"].as_str().unwrap_or_default();
    let name = name.replace(
        &format!(".{RELEASE}.v1"),
        &format!(".{release}.v{revision}"),
    );
    let labels = [
        ("name", release.to_owned()),
        ("status", status.to_owned()),
        ("version", revision.to_string()),
        ("kubectl-fabric.io/release", release.to_owned()),
        ("kubectl-fabric.io/status", status.to_owned()),
        ("kubectl-fabric.io/revision", revision.to_string()),
    ];
    for (label, value) in labels {
        if let Some(there) = record["metadata"]["labels"].get_mut(label) {
            *there = value.into();
        }
    }
    record["metadata"] = json!({
        "name": name, "namespace": release, "labels": record["metadata"]["labels"], "annotations": record["metadata"]["annotations"],
    });
    if record["type"] == "helm.sh/release.v1" {
        let packed = record["data"]["release"].as_str().unwrap_or_default();
        record["data"]["release"] = helm_release(packed, release, revision, status).into();
    }
    record
}

/// Helm's record holds its names inside, too: base64 twice (Helm's and the Secret's), gzip, JSON.
fn helm_release(packed: &str, release: &str, revision: usize, status: &str) -> String {
    let packed = BASE64_STANDARD.decode(packed).expect("a Secret's data");
    let packed = BASE64_STANDARD.decode(packed).expect("Helm's base64");
    let mut text = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .expect("Helm's gzip");
    let mut body: Value = serde_json::from_str(&text).expect("Helm's JSON");
    body["name"] = release.into();
    body["namespace"] = release.into();
    body["version"] = revision.into();
    body["info"]["status"] = status.into();
    // Helm compresses as much as it can (storage/driver/util.go).
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(body.to_string().as_bytes())
        .expect("memory takes every byte");
    BASE64_STANDARD
        .encode(BASE64_STANDARD.encode(encoder.finish().expect("memory takes every byte")))
}

const ORGANIZATIONS: usize = 100;
const AT_ONCE: usize = 8;

/// 100 organizations of two peers, by 100 runs, 8 at a time; the figure is of all of them together,
/// its memory that of the largest.
fn organizations(bench: &Bench) -> Vec<Row> {
    let (ours, helms) = (text(&bench.charts.fabric(2)), text(&bench.charts.helm(2)));
    let mut sheet = Sheet::default();
    let fabric = |namespace: &str| {
        bench.fabric(&[
            "install",
            RELEASE,
            "--chart",
            &ours,
            "-n",
            namespace,
            "--wait=false",
        ])
    };
    sheet.note("organizations", Side::Fabric, many(bench, "ours", &fabric));
    sheet.note(
        "organizations",
        Side::Helm,
        many(bench, "helms", &|namespace| {
            bench.helm(&["install", RELEASE, &helms, "-n", namespace])
        }),
    );
    let embedded = |namespace: &str| {
        bench.fabric(&[
            "install",
            "org1",
            "peer-org",
            "-n",
            namespace,
            "--wait=false",
            "--set",
            "peers.count=2",
        ])
    };
    sheet.note("embedded", Side::Fabric, many(bench, "embedded", &embedded));
    vec![
        sheet.row(
            "organizations",
            "100 organizations of 2 peers, 8 runs at a time",
            &[Target::NoFailure],
        ),
        sheet.row(
            "embedded",
            "the same with the chart peer-org: keys, certificates and policies too",
            &[Target::NoFailure],
        ),
    ]
}

fn many(bench: &Bench, prefix: &str, install: &(dyn Fn(&str) -> Vec<OsString> + Sync)) -> Figure {
    let namespaces: Vec<String> = (0..ORGANIZATIONS)
        .map(|number| format!("{prefix}{number}"))
        .collect();
    bench
        .plane
        .create_namespaces(namespaces.iter().map(String::as_str));
    let (next, figures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let start = bench.plane.audit_length();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(namespace) = namespaces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let figure = bench.plane.run(&install(namespace), namespace);
                    figures
                        .lock()
                        .expect("nothing panics while it holds them")
                        .push(figure);
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let figures = figures.into_inner().expect("nothing panicked");
    Figure {
        seconds,
        cpu: figures.iter().map(|figure| figure.cpu).sum(),
        peak: figures
            .iter()
            .map(|figure| figure.peak)
            .max()
            .unwrap_or_default(),
        code: figures
            .iter()
            .find(|figure| figure.code != Some(0))
            .map_or(Some(0), |failed| failed.code),
        requests: bench.plane.requests_since(start),
    }
}

/// Peers of each size: 100, 1,000 and 10,000 objects.
const SIZES: [usize; 3] = [20, 200, 2000];

/// Install, an upgrade that changes nothing, and uninstall, of ever more objects.
fn scale(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for peers in SIZES {
        let mut sheet = Sheet::default();
        // What takes minutes is measured once.
        for round in 0..if peers > PEERS { 1 } else { bench.rounds } {
            scaled(bench, &mut sheet, peers, round);
        }
        let name = |work: &str| {
            format!(
                "{work}, {} objects",
                crate::report::thousands((peers * OBJECTS_PER_PEER) as u64)
            )
        };
        let limits = |work: &str| match peers > PEERS {
            true => vec![
                Target::OfRow(format!("scale: {work}, 1,000 objects"), 11.0),
                Target::Peak(150_000_000),
            ],
            false => Vec::new(),
        };
        for work in ["install", "nothing", "uninstall"] {
            let words = if work == "nothing" {
                "upgrade of nothing"
            } else {
                work
            };
            rows.push(sheet.row(work, format!("scale: {}", name(words)), &limits(words)));
        }
    }
    rows
}

fn scaled(bench: &Bench, sheet: &mut Sheet, peers: usize, round: usize) {
    let (ours, helms) = (
        text(&bench.charts.fabric(peers)),
        text(&bench.charts.helm(peers)),
    );
    let namespace = bench.namespace(&format!("scale-fabric-{peers}-{round}"));
    for (work, words) in [
        (
            "install",
            ["install", RELEASE, "--chart", ours.as_str()].as_slice(),
        ),
        ("nothing", &["upgrade", RELEASE, "--chart", &ours]),
        ("uninstall", &["uninstall", RELEASE, "--yes"]),
    ] {
        let words = [words, &["-n", &namespace, "--wait=false"]].concat();
        sheet.note(
            work,
            Side::Fabric,
            bench.plane.measure(&bench.fabric(&words)),
        );
    }
    let namespace = bench.namespace(&format!("scale-helm-{peers}-{round}"));
    for (work, words) in [
        ("install", ["install", RELEASE, helms.as_str()].as_slice()),
        ("nothing", &["upgrade", RELEASE, &helms]),
        ("uninstall", &["uninstall", RELEASE]),
    ] {
        let words = [words, &["-n", &namespace]].concat();
        sheet.note(work, Side::Helm, bench.plane.measure(&bench.helm(&words)));
    }
    let namespace = bench.namespace(&format!("scale-floor-{peers}-{round}"));
    let objects = bench.charts.objects(bench.programs, peers, &namespace, &[]);
    sheet.note(
        "install",
        Side::Floor,
        bench
            .plane
            .measure(&bench.floor("scale.json", &objects, &[])),
    );
}

/// Installs that wait until every StatefulSet is ready, with controllers, a scheduler and simulated
/// nodes.
pub fn wait(bench: &Bench) -> Vec<Row> {
    let mut sheet = Sheet::default();
    for (work, peers) in [("200", PEERS), ("2000", 2000)] {
        let (ours, helms) = (
            text(&bench.charts.fabric(peers)),
            text(&bench.charts.helm(peers)),
        );
        let namespace = bench.namespace(&format!("wait-fabric-{peers}"));
        let install = [
            "install",
            RELEASE,
            "--chart",
            &ours,
            "-n",
            &namespace,
            "--timeout",
            "30m",
        ];
        sheet.note(
            work,
            Side::Fabric,
            bench.plane.measure(&bench.fabric(&install)),
        );
        // Helm's own requests alone would take minutes for the larger one.
        if peers == PEERS {
            let namespace = bench.namespace(&format!("wait-helm-{peers}"));
            let install = [
                "install",
                RELEASE,
                &helms,
                "-n",
                &namespace,
                "--wait",
                "--timeout",
                "30m",
            ];
            sheet.note(work, Side::Helm, bench.plane.measure(&bench.helm(&install)));
        }
    }
    vec![
        sheet.row(
            "200",
            "install and wait for 200 StatefulSets",
            &[Target::NoFailure],
        ),
        sheet.row(
            "2000",
            "install and wait for 2,000 StatefulSets",
            &[Target::NoFailure],
        ),
    ]
}
