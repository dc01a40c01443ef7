//! The embedded charts: each folder `tests/charts/<chart>/<case>/` holds `values.yaml` and what
//! comes of it: `manifest.yaml`, the objects and the notes, or `error.txt`. A `case.yaml` may say
//! `name` and `namespace` of the release; `like: <case>`: then `manifest.diff` has only what
//! differs from that case, so that a change of the chart shows where it means something;
//! `cryptoConfig: <fixture>`: its identities are from there.
//!
//! `BLESS=1 cargo test --test charts` writes the outcomes anew; read the difference before you keep
//! it. Beside the snapshots, rules that every manifest keeps are checked on all of them, so that a
//! case is worth adding even if nobody reads its snapshot.

use kubectl_fabric::chart::{Chart, repository};
use kubectl_fabric::error::Error;
use kubectl_fabric::fabric::{self, Model, Subject};
use kubectl_fabric::identity::{self, Organization};
use kubectl_fabric::manifest::pod_security::{self, Level};
use kubectl_fabric::manifest::{Object, to_yaml};
use kubectl_fabric::render::{Capabilities, Hashing, Input, Output, Release, render};
use kubectl_fabric::values::{self, Source};
use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "charts/certificates.rs"]
mod certificates;
#[path = "charts/empty.rs"]
mod empty;
#[path = "charts/every_value.rs"]
mod every_value;
#[path = "charts/pairs.rs"]
mod pairs;
#[path = "charts/pods.rs"]
mod pods;
#[path = "charts/released.rs"]
mod released;
#[path = "charts/traps.rs"]
mod traps;

struct Case {
    folder: PathBuf,
    chart: String,
    release: String,
    namespace: String,
    /// The case that its manifest is compared with.
    like: Option<String>,
    /// The fixture with its identities.
    crypto_config: Option<String>,
}

/// What a case comes to: its objects, and the Secrets that the program makes beside them.
struct Outcome {
    output: Output,
    values: Value,
    facts: Value,
    organization: Option<Organization>,
    secrets: Vec<String>,
    hosts: Vec<String>,
    pod_security: Level,
}

impl Case {
    /// Every case with its outcome, worked out once for all tests.
    fn all() -> &'static [(Case, Result<Outcome, Error>)] {
        static ALL: LazyLock<Vec<(Case, Result<Outcome, Error>)>> = LazyLock::new(|| {
            let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts");
            let cases = folders(&top)
                .into_iter()
                .flat_map(|chart| folders(&chart))
                .map(Case::read);
            cases
                .map(|case| {
                    let outcome = case.outcome();
                    (case, outcome)
                })
                .collect()
        });
        &ALL
    }

    fn read(folder: PathBuf) -> Case {
        let chart = folder
            .parent()
            .and_then(Path::file_name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let (release, place) = match chart.as_str() {
            "peer-org" => ("org1", "org1"),
            "orderer-org" => ("orgorderer1", "orgorderer1"),
            "chaincode" => ("basic", "org1"),
            other => (other, other),
        };
        let more = fs::read_to_string(folder.join("case.yaml"))
            .map(|text| yaml::parse(&text, "case.yaml").unwrap());
        let more = more.unwrap_or_default();
        let text = |field: &str| more[field].as_str().map(str::to_owned);
        let (name, namespace) = (text("name"), text("namespace"));
        Case {
            release: name.unwrap_or(release.to_owned()),
            namespace: namespace.unwrap_or(place.to_owned()),
            like: text("like"),
            crypto_config: text("cryptoConfig"),
            chart,
            folder,
        }
    }

    /// A release of the chart's usual name that no folder describes.
    fn of(chart: &str) -> Case {
        Case::read(Path::new("nowhere").join(chart).join("case"))
    }

    /// The values without which the chart does not render.
    fn least(&self) -> Value {
        match self.chart.as_str() {
            "chaincode" => json!({
                "image": {"repository": "registry.example.com/basic", "tag": "1.0"},
                "packageID": format!("basic_1.0:{}", "0".repeat(64)),
            }),
            _ => json!({}),
        }
    }

    fn chart(&self) -> Chart {
        repository::find(&self.chart, None).unwrap()
    }

    fn outcome(&self) -> Result<Outcome, Error> {
        self.outcome_of(fs::read_to_string(self.folder.join("values.yaml")).unwrap())
    }

    fn outcome_of(&self, text: String) -> Result<Outcome, Error> {
        let chart = self.chart();
        let user = values::from_sources(vec![Source::File {
            name: "values.yaml".to_owned(),
            text,
        }])?;
        let (values, _) = values::coalesce(values::defaults(&chart.values, "values.yaml")?, &user);
        let schema = chart.schema.as_ref().expect("each chart has a schema");
        values::validate(schema, &values, &[], &self.release, &chart.name_version())?;
        let subject = Subject {
            model: Model::of(&chart)?,
            release: &self.release,
            namespace: &self.namespace,
            values: &values.tree,
        };
        let facts = fabric::facts(subject)?;
        let organization = fabric::organization(subject)?;
        let output = render(&Input {
            chart: &chart,
            values: &values.tree,
            release: Release {
                name: self.release.clone(),
                namespace: self.namespace.clone(),
                revision: 1,
                is_install: true,
                is_upgrade: false,
            },
            capabilities: Capabilities {
                kube_version: "v1.33.0".to_owned(),
                api_versions: Vec::new(),
            },
            fabric: facts.clone(),
            lookup: None,
            hashing: Hashing::default(),
        })?;
        let secrets = organization
            .as_ref()
            .map(identity::secret_names)
            .unwrap_or_default();
        let nodes = organization
            .iter()
            .flat_map(|organization| organization.nodes.iter().chain(&organization.ca_server));
        let hosts = nodes.flat_map(|node| node.hosts.clone()).collect();
        let pod_security = pod_security::level(&pod_security::needs(&output.objects));
        Ok(Outcome {
            output,
            values: values.tree,
            facts,
            organization,
            secrets,
            hosts,
            pod_security,
        })
    }

    fn name(&self) -> String {
        self.folder.display().to_string()
    }

    /// The case that this one is like, with its outcome.
    fn base(&self) -> Option<(&'static Case, &'static Outcome)> {
        let folder = self.folder.with_file_name(self.like.as_ref()?);
        let (case, outcome) = Case::all()
            .iter()
            .find(|(case, _)| case.folder == folder)
            .expect("a case is like another one");
        Some((case, outcome.as_ref().expect("that renders")))
    }
}

#[test]
fn every_case_renders_as_expected() {
    let mut wrong = Vec::new();
    for (case, outcome) in Case::all() {
        let (file, actual) = match (outcome, case.base()) {
            (Ok(outcome), Some((base, of_base))) => (
                "manifest.diff",
                differences((base, of_base), (case, outcome)),
            ),
            (Ok(outcome), None) => ("manifest.yaml", show(case, outcome)),
            (Err(error), _) => ("error.txt", format!("{error}\n")),
        };
        if std::env::var_os("BLESS").is_some() {
            for old in ["manifest.yaml", "manifest.diff", "error.txt"] {
                let _ = fs::remove_file(case.folder.join(old));
            }
            fs::write(case.folder.join(file), &actual).unwrap();
        }
        let expected =
            fs::read_to_string(case.folder.join(file)).unwrap_or_else(|_| format!("(no {file})\n"));
        if actual != expected {
            let diff = similar::TextDiff::from_lines(&expected, &actual);
            wrong.push(format!(
                "{}:\n{}",
                case.name(),
                diff.unified_diff().header("expected", "actual")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A member that is added or removed restarts none of the others, on any line. ZooKeeper is the
/// exception: each server lists its ensemble.
#[test]
fn a_member_that_comes_or_goes_leaves_the_others_as_they_are() {
    let raft = "orderers: {genesis: {secret: genesis}}";
    let kafka = "orderers: {consensus: kafka, genesis: {secret: genesis}}";
    let rows: &[(&str, &str, u64, &str, &str)] = &[
        ("peer-org", "peers.count", 1, "1.4.12", "{}"),
        ("peer-org", "peers.count", 1, "2.2.15", "{}"),
        (
            "peer-org",
            "peers.count",
            1,
            "2.5.16",
            "peers: {stateDatabase: CouchDB}",
        ),
        (
            "peer-org",
            "peers.count",
            1,
            "3.1.5",
            "expose: {type: NodePort, host: a.example.com}",
        ),
        ("orderer-org", "orderers.count", 3, "1.4.12", raft),
        ("orderer-org", "orderers.count", 1, "1.4.12", kafka),
        ("orderer-org", "orderers.count", 3, "2.2.15", raft),
        ("orderer-org", "orderers.count", 3, "2.5.16", "{}"),
        (
            "orderer-org",
            "orderers.count",
            4,
            "3.1.5",
            "orderers: {consensus: BFT}",
        ),
        ("kafka", "kafka.brokers", 4, "1.4.12", "{}"),
    ];
    for (chart, key, least, version, values) in rows {
        let (section, number) = key.split_once('.').expect("two words");
        let workloads = |count: u64| -> BTreeMap<String, Value> {
            let mut user = yaml::parse(values, "values.yaml").unwrap();
            user["fabricVersion"] = json!(version);
            user[section][number] = json!(count);
            let text = user.to_string();
            let outcome = Case::of(chart)
                .outcome_of(text)
                .unwrap_or_else(|error| panic!("{chart} {version}: {error}"));
            let workloads = outcome
                .output
                .objects
                .into_iter()
                .filter(|object| object.key.kind == "StatefulSet");
            workloads
                .map(|object| (object.key.name.clone(), object.body))
                .collect()
        };
        let all: Vec<_> = (*least..=least + 3).map(workloads).collect();
        for (fewer, more) in all.iter().zip(&all[1..]) {
            assert_eq!(more.len(), fewer.len() + 1, "{chart} {version}");
            assert!(
                fewer.iter().all(|(name, body)| more[name] == *body),
                "{chart} {version}: {} members",
                fewer.len()
            );
        }
    }
}

/// What a StatefulSet selects and claims cannot change, so nothing in it may come from a version.
#[test]
fn a_version_changes_nothing_that_cannot_change() {
    let case = Case::of("peer-org");
    let immutable = |values: String| {
        let objects = case.outcome_of(values).unwrap().output.objects.into_iter();
        let objects = objects.filter(|object| object.key.kind == "StatefulSet");
        let parts = [
            "/spec/selector",
            "/spec/serviceName",
            "/spec/volumeClaimTemplates",
            "/spec/podManagementPolicy",
        ];
        objects
            .map(|object| parts.map(|part| object.body.pointer(part).cloned()))
            .collect::<Vec<_>>()
    };
    let of = |version: &str| {
        immutable(format!(
            "fabricVersion: {version}\npeers: {{stateDatabase: CouchDB}}\n"
        ))
    };
    let first = of("1.4.12");
    let claims = |parts: &[Option<Value>; 4]| {
        parts[2]
            .as_ref()
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    assert_eq!(
        first.iter().map(claims).collect::<Vec<_>>(),
        [1, 2, 2],
        "the CA server, and two peers with their CouchDB"
    );
    for version in ["2.2.15", "2.5.15", "2.5.16", "3.1.5"] {
        assert_eq!(of(version), first, "{version}");
    }
}

#[test]
fn rendering_twice_gives_the_same() {
    each_manifest(|case, outcome| {
        let again = case.outcome().unwrap();
        assert_eq!(show(case, &again), show(case, outcome), "{}", case.name());
    });
}

fn each_manifest(check: impl Fn(&Case, &Outcome)) {
    let mut seen = 0;
    for (case, outcome) in Case::all() {
        if let Ok(outcome) = outcome {
            check(case, outcome);
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} cases render");
}

/// Workloads with the pods that they make.
fn pods(objects: &[Object]) -> impl Iterator<Item = (&Object, &Value)> {
    objects
        .iter()
        .filter_map(|object| Some((object, object.body.pointer("/spec/template/spec")?)))
}

/// Maps over each other at every depth.
fn merged(below: Value, above: &Value) -> Value {
    let (Value::Object(mut map), Value::Object(over)) = (below, above) else {
        return above.clone();
    };
    for (key, value) in over {
        let old = map.remove(key).unwrap_or_default();
        map.insert(key.clone(), merged(old, value));
    }
    Value::Object(map)
}

/// Every value under this key, at any depth.
fn find<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(own, value)| {
                if own == key {
                    vec![value]
                } else {
                    find(value, key)
                }
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(|value| find(value, key)).collect(),
        _ => Vec::new(),
    }
}

fn show(case: &Case, outcome: &Outcome) -> String {
    format!(
        "{}{}",
        to_yaml(&case.chart, objects(case, outcome)),
        notes(outcome)
    )
}

/// The objects of the manifest, and its hooks in the case that is about them: they are the same
/// nearly everywhere.
fn objects<'a>(case: &Case, outcome: &'a Outcome) -> impl Iterator<Item = &'a Object> {
    let hooks = outcome
        .output
        .hooks
        .iter()
        .filter(|_| case.folder.ends_with("tests"));
    outcome
        .output
        .objects
        .iter()
        .chain(hooks.map(|hook| &hook.object))
}

fn notes(outcome: &Outcome) -> String {
    let warnings: String = fabric::warnings(&outcome.facts)
        .iter()
        .map(|warning| format!("# Warning: {warning}\n"))
        .collect();
    format!("---\n{warnings}# Notes:\n{}", outcome.output.notes)
}

/// What differs between two cases, object by object.
fn differences((base, of_base): (&Case, &Outcome), (case, outcome): (&Case, &Outcome)) -> String {
    let parts = |case: &Case, outcome: &Outcome| -> Vec<(String, String)> {
        let objects = objects(case, outcome)
            .map(|object| (object.key.to_string(), to_yaml(&case.chart, [object])));
        objects
            .chain([("Notes".to_owned(), notes(outcome))])
            .collect()
    };
    let (before, after) = (parts(base, of_base), parts(case, outcome));
    let find = |parts: &[(String, String)], name: &str| {
        parts
            .iter()
            .find(|part| part.0 == name)
            .map(|part| part.1.clone())
    };
    let mut text = format!(
        "# {}, seen from {}\n",
        case.folder.file_name().unwrap().display(),
        case.like.as_ref().unwrap()
    );
    for (name, _) in before
        .iter()
        .filter(|(name, _)| find(&after, name).is_none())
    {
        text += &format!("=== {name} is not there\n");
    }
    for (name, now) in &after {
        let old = find(&before, name).unwrap_or_default();
        if old != *now {
            text += &format!("=== {name}\n");
            let diff = similar::TextDiff::from_lines(&old, now);
            for group in diff.grouped_ops(1) {
                text += "...\n";
                let changes = group.iter().flat_map(|op| diff.iter_changes(op));
                changes.for_each(|change| text += &format!("{}{}", change.tag(), change.value()));
            }
        }
    }
    text
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}
