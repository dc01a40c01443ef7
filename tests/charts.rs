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

#[path = "charts/empty.rs"]
mod empty;
#[path = "charts/pairs.rs"]
mod pairs;
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

/// What a pod mounts or reads is made by the release or by its identities, or is named by the user.
#[test]
fn every_reference_of_a_pod_resolves() {
    each_manifest(|case, outcome| {
        let named = |kind: &str| {
            let objects = outcome
                .output
                .objects
                .iter()
                .filter(move |object| object.key.kind == kind);
            objects
                .map(|object| object.key.name.clone())
                .collect::<BTreeSet<_>>()
        };
        let mut secrets = named("Secret");
        secrets.extend(outcome.secrets.iter().cloned());
        for path in [
            "/ca/existingSecret",
            "/couchdb/existingSecret",
            "/orderers/genesis/secret",
            "/chaincode/dockerTlsSecret",
            "/ca/database/existingSecret",
            "/ca/database/tlsSecret",
            "/tls/secret",
            "/tls/clientCASecret",
        ] {
            secrets.extend(
                outcome
                    .values
                    .pointer(path)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
        let (mut maps, accounts) = (named("ConfigMap"), named("ServiceAccount"));
        for own in ["/peers/env", "/orderers/env", "/ca/env", "/env"]
            .into_iter()
            .filter_map(|path| outcome.values.pointer(path))
        {
            secrets.extend(
                find(own, "secretKeyRef")
                    .iter()
                    .filter_map(|reference| reference["name"].as_str().map(str::to_owned)),
            );
        }
        maps.insert("kube-root-ca.crt".to_owned()); // Kubernetes puts it into every namespace.
        for (object, pod) in pods(&outcome.output.objects) {
            let place = format!("{}: {}", case.name(), object.key);
            for claim in find(pod, "persistentVolumeClaim") {
                let name = claim["claimName"].as_str().unwrap();
                let own = outcome
                    .values
                    .pointer("/crypto/nfs/claim")
                    .and_then(Value::as_str);
                assert!(
                    named("PersistentVolumeClaim").contains(name) || own == Some(name),
                    "{place} names claim {name}"
                );
            }
            for path in ["secretName", "secretKeyRef", "secret", "configMap"] {
                for reference in find(pod, path) {
                    let name = reference.as_str().or_else(|| reference["name"].as_str());
                    let Some(name) = name else { continue };
                    let known = if path == "configMap" { &maps } else { &secrets };
                    assert!(known.contains(name), "{place} names {path} {name}");
                }
            }
            assert!(
                accounts.contains(pod["serviceAccountName"].as_str().unwrap()),
                "{place}"
            );
            let mut volumes: BTreeSet<&str> = pod["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["name"].as_str().unwrap())
                .collect();
            let claims = object
                .body
                .pointer("/spec/volumeClaimTemplates")
                .and_then(Value::as_array);
            volumes.extend(
                claims
                    .into_iter()
                    .flatten()
                    .map(|claim| claim["metadata"]["name"].as_str().unwrap()),
            );
            for mount in find(pod, "volumeMounts")
                .iter()
                .flat_map(|mounts| mounts.as_array().unwrap())
            {
                assert!(
                    volumes.contains(mount["name"].as_str().unwrap()),
                    "{place}: {mount}"
                );
            }
        }
    });
}

/// StatefulSet, container and Service bear the node's name, and every address that a node
/// advertises is such a Service, and stands in the certificate that its organization's nodes get.
#[test]
fn every_address_is_a_service_and_stands_in_a_certificate() {
    each_manifest(|case, outcome| {
        let services: Vec<&Object> = outcome
            .output
            .objects
            .iter()
            .filter(|object| object.key.kind == "Service")
            .collect();
        for (object, pod) in
            pods(&outcome.output.objects).filter(|(object, _)| object.key.kind == "StatefulSet")
        {
            let name = &object.key.name;
            if name == "cli" {
                // It calls others and is not called.
                continue;
            }
            assert_eq!(
                pod["containers"][0]["name"].as_str(),
                Some(name.as_str()),
                "{}",
                case.name()
            );
            assert_eq!(
                object.body["spec"]["serviceName"].as_str(),
                Some(name.as_str())
            );
            let service = services
                .iter()
                .find(|service| service.key.name == *name)
                .expect("each node has its Service");
            let labels = &object.body["spec"]["template"]["metadata"]["labels"];
            for (label, value) in service.body["spec"]["selector"].as_object().unwrap() {
                assert_eq!(labels[label], *value, "{} selects its pod", service.key);
            }
            for variable in pod["containers"][0]["env"].as_array().into_iter().flatten() {
                let (key, value) = (
                    variable["name"].as_str().unwrap(),
                    variable["value"].as_str().unwrap_or_default(),
                );
                if ![
                    "CORE_PEER_ADDRESS",
                    "CORE_PEER_GOSSIP_EXTERNALENDPOINT",
                    "CORE_PEER_CHAINCODEADDRESS",
                ]
                .contains(&key)
                {
                    continue;
                }
                let (host, port) = value.split_once(':').unwrap();
                assert!(outcome.hosts.iter().any(|own| own == host), "{host}");
                // Of an address outside no Service knows; cryptogen's certificates bear no other
                // than the one inside.
                let outside =
                    host != format!("{name}.{}", case.namespace) || case.crypto_config.is_some();
                if key != "CORE_PEER_ADDRESS" && outside {
                    continue;
                }
                assert_eq!(host, format!("{name}.{}", case.namespace));
                let ports = service.body["spec"]["ports"].as_array().unwrap();
                assert!(
                    ports
                        .iter()
                        .any(|own| own["port"].as_u64() == port.parse().ok()),
                    "{key} {value}"
                );
            }
        }
    });
}

/// The Pod Security level "restricted", but for the one image that must begin as root; and traps 6
/// and 14 of running Fabric on Kubernetes: no variables out of Services, no root.
#[test]
fn every_pod_is_confined() {
    each_manifest(|case, outcome| {
        for (object, pod) in pods(&outcome.output.objects) {
            let place = format!("{}: {}", case.name(), object.key);
            assert_eq!(pod["enableServiceLinks"], false, "{place}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{place}"
            );
            for container in ["containers", "initContainers"]
                .iter()
                .filter_map(|key| pod[key].as_array())
                .flatten()
            {
                let context = &container["securityContext"];
                if container["name"] == "logs" {
                    continue; // The user's.
                }
                if container["name"] == "docker" {
                    assert_eq!(outcome.pod_security, Level::Privileged, "{place}");
                    continue;
                }
                assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{place}");
                let old_couchdb = container["image"]
                    .as_str()
                    .unwrap()
                    .contains("fabric-couchdb");
                assert_eq!(
                    context.get("runAsUser") == Some(&json!(0)),
                    old_couchdb,
                    "{place}"
                );
                assert!(
                    !old_couchdb || outcome.pod_security > Level::Restricted,
                    "{place}"
                );
            }
        }
    });
}

/// No pod has a token of the API, and no account a permission there; but with fabric-builder-k8s
/// the peer's container, and none beside it.
#[test]
fn no_pod_may_call_the_api_but_a_peer_that_builds_by_it() {
    let seen = std::cell::Cell::new(0);
    each_manifest(|case, outcome| {
        let objects = &outcome.output.objects;
        let builds = outcome.values.pointer("/chaincode/mode") == Some(&json!("k8s"));
        for account in objects
            .iter()
            .filter(|object| object.key.kind == "ServiceAccount")
        {
            assert_eq!(
                account.body["automountServiceAccountToken"],
                false,
                "{}: {}",
                case.name(),
                account.key
            );
        }
        let given = objects
            .iter()
            .filter(|object| object.key.kind.ends_with("RoleBinding"))
            .flat_map(|binding| find(&binding.body, "subjects"));
        let given: Vec<&Value> = given.flat_map(|subjects| find(subjects, "name")).collect();
        let builder = json!(format!("{}-builder", case.release));
        assert_eq!(
            given,
            if builds { vec![&builder] } else { vec![] },
            "{}",
            case.name()
        );
        for (object, pod) in pods(objects) {
            let place = format!("{}: {}", case.name(), object.key);
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            let tokens = find(&pod["volumes"], "serviceAccountToken").len();
            let is_peer =
                object.body["metadata"]["labels"]["app.kubernetes.io/component"] == "peer";
            assert_eq!(
                (tokens, pod["serviceAccountName"] == builder),
                if builds && is_peer {
                    (1, true)
                } else {
                    (0, false)
                },
                "{place}"
            );
            for container in ["containers", "initContainers"]
                .iter()
                .filter_map(|key| pod[key].as_array())
                .flatten()
            {
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                let has_token = mounts
                    .filter(|mount| {
                        mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
                    })
                    .count();
                assert_eq!(
                    has_token,
                    usize::from(tokens == 1 && container["name"] == object.key.name.as_str()),
                    "{place}"
                );
                seen.set(seen.get() + has_token);
            }
        }
    });
    assert!(seen.get() > 0, "no case builds by the API");
}

/// `restricted` but for what cannot be confined so: the image of fabric-couchdb that begins as
/// root, the builder's Jobs, a Docker daemon.
#[test]
fn a_namespace_is_restricted_wherever_the_mode_allows() {
    let endpoint = "dockerEndpoint: tcp://docker:2375";
    for (chart, values, level) in [
        ("kafka", "{}".to_owned(), Level::Restricted),
        ("orderer-org", "{}".to_owned(), Level::Restricted),
        (
            "chaincode",
            "{tls: {secret: tls}}".to_owned(),
            Level::Restricted,
        ),
        (
            "chaincode",
            "{sidecars: [{name: logs, image: 'logs:1'}]}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{peers: {stateDatabase: CouchDB}, cli: {enabled: true}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{fabricVersion: 1.4.12}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{fabricVersion: 1.4.12, peers: {stateDatabase: CouchDB}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            format!("{{chaincode: {{mode: docker-tcp, {endpoint}}}}}"),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: none}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: external, builders: [{name: a, path: /a}]}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: k8s}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{chaincode: {mode: docker-sock}}".to_owned(),
            Level::Privileged,
        ),
        (
            "peer-org",
            "{chaincode: {mode: dind}}".to_owned(),
            Level::Privileged,
        ),
        (
            "peer-org",
            "{peers: {sidecars: [{name: logs, image: 'logs:1'}]}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{peers: {extraVolumes: [{name: a, hostPath: {path: /a}}]}}".to_owned(),
            Level::Privileged,
        ),
    ] {
        let case = Case::of(chart);
        let all = merged(case.least(), &yaml::parse(&values, "values.yaml").unwrap());
        let outcome = case.outcome_of(all.to_string()).unwrap();
        assert_eq!(outcome.pod_security, level, "{chart}: {values}");
    }
}

/// A kubelet that looks whether a port is open leaves without a TLS handshake, and Fabric's servers
/// log each such visit as an error. The startup probe passes once; those that go on ask the
/// operations service. Chaincode has no such service; gRPC for Go, Java and Node.js logs no such
/// visit unless it is asked to.
#[test]
fn no_probe_breaks_off_handshakes_again_and_again() {
    each_manifest(|case, outcome| {
        if case.chart == "chaincode" {
            return;
        }
        for (object, pod) in pods(&outcome.output.objects) {
            for container in pod["containers"].as_array().unwrap() {
                for probe in ["livenessProbe", "readinessProbe"] {
                    let port = container[probe]["tcpSocket"]["port"]
                        .as_str()
                        .unwrap_or_default();
                    assert!(
                        !["grpc", "cluster", "admin", "chaincode", "ca"].contains(&port),
                        "{}: {} {probe}",
                        case.name(),
                        object.key
                    );
                }
            }
        }
    });
}

/// On Kafka, an orderer that is asked for its health writes into each channel's log, and ends
/// itself while it has not reached Kafka.
#[test]
fn orderers_on_kafka_are_not_asked_for_their_health() {
    each_manifest(|case, outcome| {
        let kafka = case.name().contains("kafka");
        for (object, pod) in pods(&outcome.output.objects)
            .filter(|(object, _)| object.key.name.starts_with("orderer"))
        {
            let asks = find(pod, "path").contains(&&json!("/healthz"));
            assert_eq!(asks, !kafka, "{}: {}", case.name(), object.key);
        }
    });
}

/// A CA server shows what stands on its command line in its log: the password is for another
/// container, which logs warnings only.
#[test]
fn no_ca_server_is_reported_its_administrators_password() {
    let outcome = Case::of("peer-org").outcome_of(String::new()).unwrap();
    let (_, pod) = pods(&outcome.output.objects)
        .find(|(object, _)| object.key.name == "ca")
        .unwrap();
    assert!(
        !pod["containers"].to_string().contains("CA_ADMIN"),
        "{}",
        pod["containers"]
    );
    let command = pod["initContainers"][0]["command"].as_array().unwrap();
    assert!(
        command
            .windows(2)
            .any(|pair| pair == ["--loglevel", "warning"]),
        "{command:?}"
    );
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

/// Each key of a schema, set to something else than its default, and to each word that it may be,
/// changes what is rendered or made, in one of these settings at least.
#[test]
fn every_value_does_something() {
    for (chart, settings) in [
        (
            "peer-org",
            &[
                json!({"cli": {"enabled": true}}),
                json!({"fabricVersion": "1.4.12", "peers": {}}),
                json!({"peers": {"stateDatabase": "CouchDB"}, "chaincode": {"dockerEndpoint": "tcp://docker:2375"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"server": "nfs.example.com", "path": "/share"}}}),
                json!({"crypto": {"source": "secret"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"claim": "local"}}}),
                json!({"chaincode": {"mode": "dind"}}),
                json!({"chaincode": {"mode": "docker-tcp", "dockerEndpoint": "tcp://docker:2375"}}),
                json!({"chaincode": {"mode": "external", "builders": [{"name": "mine", "path": "/mine"}]}}),
                json!({"ca": {"database": {"type": "postgres", "dataSource": "host=db"}}}),
                json!({"ca": {"database": {"type": "mysql", "existingSecret": "mine"}}}),
                json!({"metrics": {"serviceMonitor": {"enabled": true}, "dashboard": {"enabled": true}}}),
                json!({"chaincode": {"mode": "dind", "dind": {"persistence": {"enabled": true}}}}),
                json!({"chaincode": {"mode": "docker-sock"}}),
                json!({"chaincode": {"mode": "k8s"}}),
                json!({"expose": {"type": "NodePort", "host": "example.com"}}),
                json!({"expose": {"type": "LoadBalancer", "host": "example.com"}}),
                json!({"expose": {"type": "Ingress", "className": "nginx", "host": "{node}.example.com"}}),
                json!({"expose": {"type": "Gateway", "gateway": {"name": "edge"}, "host": "{node}.example.com"}}),
            ][..],
        ),
        (
            "orderer-org",
            &[
                json!({"networkPolicy": {}}),
                json!({"metrics": {"serviceMonitor": {"enabled": true}, "dashboard": {"enabled": true}}}),
                json!({"orderers": {"consensus": "kafka", "genesis": {"secret": "orderer-genesis"}}}),
                json!({
                    "fabricVersion": "2.2.15",
                    "orderers": {"genesis": {"path": "genesis.block"}},
                    "crypto": {"source": "nfs", "nfs": {"server": "nfs.example.com", "path": "/share"}},
                }),
                json!({"crypto": {"source": "secret"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"claim": "local"}}}),
                json!({"fabricVersion": "3.1.5", "orderers": {"count": 4, "consensus": "BFT"}}),
                json!({"expose": {"type": "NodePort"}}),
                json!({"expose": {"type": "LoadBalancer"}}),
                json!({"expose": {"type": "Ingress", "className": "nginx", "host": "{node}.example.com"}}),
                json!({"expose": {"type": "Gateway", "gateway": {"name": "edge"}, "host": "{node}.example.com"}}),
            ],
        ),
        (
            "kafka",
            &[
                json!({"kafka": {}}),
                json!({"kafka": {"brokers": 6, "replicationFactor": 4}}),
            ],
        ),
        (
            "chaincode",
            &[json!({}), json!({"tls": {"secret": "server"}})],
        ),
    ] {
        let case = Case::of(chart);
        let settings = settings.iter().cloned();
        let settings: Vec<Value> = settings
            .map(|setting| merged(case.least(), &setting))
            .collect();
        // What comes of values that are accepted. A refusal is no effect: it may be of the value
        // that was made up here.
        let outcome = |values: &Value| {
            let outcome = case.outcome_of(values.to_string()).ok()?;
            Some(format!(
                "{}{:?}{:?}",
                show(&case, &outcome),
                outcome.secrets,
                outcome.hosts
            ))
        };
        let before: Vec<String> = settings
            .iter()
            .map(|setting| outcome(setting).expect("each setting is accepted"))
            .collect();
        let defaults = outcome(&case.least()).expect("defaults are accepted");
        let chart = case.chart();
        let mut idle = Vec::new();
        let node = if case.chart == "peer-org" {
            "peer0"
        } else {
            "orderer0"
        };
        for (path, value) in others(chart.schema.as_ref().unwrap(), node, Vec::new()) {
            // Those that speak of the value's own part come first, as they are likely to show it.
            let (near, far): (Vec<_>, Vec<_>) = settings
                .iter()
                .zip(&before)
                .partition(|(setting, _)| setting.get(&path[0]).is_some());
            let changes = near.into_iter().chain(far).any(|(setting, before)| {
                let pointer = path.iter().map(|key| format!("/{key}")).collect::<String>();
                if setting.pointer(&pointer) == Some(&value) {
                    return *before != defaults; // It needs the rest of the setting.
                }
                let mut values = setting.clone();
                let mut place = &mut values;
                for key in &path {
                    place = &mut place[key.as_str()];
                }
                *place = value.clone();
                outcome(&values).is_some_and(|outcome| outcome != *before)
            });
            if !changes {
                idle.push(format!("{} = {value}", path.join(".")));
            }
        }
        assert!(
            idle.is_empty(),
            "values of {} that do nothing:\n{}",
            chart.metadata.name,
            idle.join("\n")
        );
    }
}

/// Another value than the default for each key of a schema, where one of the nodes is called so.
fn others(schema: &Value, node: &str, path: Vec<String>) -> Vec<(Vec<String>, Value)> {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let below = |(key, schema): (&String, &Value)| {
            others(schema, node, path.iter().chain([key]).cloned().collect())
        };
        return properties.iter().flat_map(below).collect();
    }
    let default = &schema["default"];
    let key = path.last().map_or("", String::as_str);
    let other = match schema["type"].as_str().unwrap() {
        "boolean" => json!(default != true),
        // Two after for a number counted from 1, where 1 is what 0 stands for, and for one that
        // must be odd.
        "integer" => json!(
            default.as_i64().unwrap()
                + if ["organization", "zookeepers"].contains(&key) {
                    2
                } else {
                    1
                }
        ),
        "string" => match schema.get("enum").and_then(Value::as_array) {
            Some(all) => {
                return all
                    .iter()
                    .filter(|other| *other != default)
                    .map(|other| (path.clone(), other.clone()))
                    .collect();
            }
            None => match key {
                "fabricVersion" => json!("2.5.15"),
                "size" => json!("7Gi"),
                "interval" => json!("7s"),
                "heap" | "zookeeperHeap" => json!("64m"),
                "dockerEndpoint" => json!("tcp://elsewhere:2376"),
                "externalEndpoint" => json!("{node}.other:7051"),
                "className" => json!("haproxy"),
                "digest" => json!(format!("sha256:{}", "1".repeat(64))),
                "packageID" => json!(format!("other:{}", "1".repeat(64))),
                "path" if path[0] != "orderers" => json!("/other"),
                _ => json!("other"),
            },
        },
        "array" => match key {
            "hostAliases" => json!([{"ip": "192.0.2.1", "hostnames": ["other"]}]),
            "builders" => json!([{"name": "other", "path": "/other"}]),
            "tolerations" => json!([{"key": "other"}]),
            "egress" => json!([{"ports": [{"port": 1}]}]),
            "sidecars" | "extraVolumes" | "extraVolumeMounts" => json!([{"name": "other"}]),
            "limitRange" => json!([{"type": "Pod"}]),
            "clients" | "admins" | "dockerHosts" => json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]),
            _ => json!(["other"]),
        },
        _ => match key {
            "secrets" => json!({format!("{node}-tls"): "other"}),
            "hosts" => json!({node: "other.example.com"}),
            _ => json!({"OTHER": "value"}),
        },
    };
    vec![(path, other)]
}

/// What cryptogen made is enough for every node of a case, under every address that is told to
/// others.
#[test]
fn a_crypto_config_has_all_that_a_case_needs() {
    each_manifest(|case, outcome| {
        let (Some(fixture), Some(organization)) = (&case.crypto_config, &outcome.organization)
        else {
            return;
        };
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(fixture)
            .join("crypto-config");
        let mut files = BTreeMap::new();
        read_tree(&top, &top, &mut files);
        let source = identity::Source::CryptoConfig {
            folder: fixture.clone(),
            files,
        };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let plan = identity::plan(organization, &BTreeMap::new(), &source, now)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let made: BTreeSet<_> = plan
            .create
            .iter()
            .map(|secret| secret.key.name.clone())
            .collect();
        assert_eq!(
            made,
            outcome.secrets.iter().cloned().collect(),
            "{}",
            case.name()
        );
        assert!(
            !plan.generated && plan.warnings.is_empty(),
            "{}: {:?}",
            case.name(),
            plan.warnings
        );
    });
}

/// The files of a folder by their paths below `top`.
fn read_tree(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for path in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        match path.is_dir() {
            true => read_tree(top, &path, files),
            false => {
                files.insert(
                    path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
}

#[test]
fn rendering_twice_gives_the_same() {
    each_manifest(|case, outcome| {
        let again = case.outcome().unwrap();
        assert_eq!(show(case, &again), show(case, outcome), "{}", case.name());
    });
}

#[test]
fn every_chart_shares_its_macros() {
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts");
    let text = |name: &str| {
        fs::read_to_string(charts.join(name).join("0.1.0/templates/_helpers.jinja")).unwrap()
    };
    assert_eq!(text("peer-org"), text("orderer-org"));
    assert_eq!(text("peer-org"), text("kafka"));
    assert_eq!(text("peer-org"), text("chaincode"));
}

/// Keys of values.yaml and of the schema are the same, each with a description and the same
/// default.
#[test]
fn schemas_describe_every_value() {
    fn check(schema: &Value, value: &Value, path: &str) {
        assert!(
            schema["description"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{path} has a description"
        );
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            assert_eq!(schema["default"], *value, "{path}");
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path}");
        let keys: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(properties.keys().collect::<Vec<_>>(), keys, "{path}");
        for (key, property) in properties {
            check(property, &value[key], &format!("{path}/{key}"));
        }
    }
    for (name, _, _) in repository::embedded() {
        let chart = repository::find(name, None).unwrap();
        check(
            chart.schema.as_ref().unwrap(),
            &yaml::parse(&chart.values, "values.yaml").unwrap(),
            name,
        );
    }
}

/// charts/released.txt against the charts there are: the complaints.
fn unlike_released(released: &str, embedded: &[(&str, &str, &str)]) -> Vec<String> {
    let lines = released
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, version, digest] = words[..] else {
                return Some(format!("not \"name version digest\": {line}"));
            };
            match embedded
                .iter()
                .find(|chart| (chart.0, chart.1) == (name, version))
            {
                None => Some(format!("{name} {version} was released and is gone")),
                Some(chart) if chart.2 != digest => {
                    Some(format!("{name} {version} was released and has changed"))
                }
                Some(_) => None,
            }
        })
        .collect()
}

#[test]
fn a_released_chart_never_changes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/released.txt");
    assert_eq!(
        unlike_released(&fs::read_to_string(path).unwrap(), repository::embedded()),
        Vec::<String>::new()
    );

    let embedded = [("a", "0.1.0", "1234"), ("b", "0.1.0", "5678")];
    assert!(unlike_released("# nothing yet\n\na 0.1.0 1234\n", &embedded).is_empty());
    assert_eq!(
        unlike_released("a 0.1.0 9999\nb 0.2.0 5678\nb\n", &embedded),
        [
            "a 0.1.0 was released and has changed",
            "b 0.2.0 was released and is gone",
            "not \"name version digest\": b"
        ]
    );
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
