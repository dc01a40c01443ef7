//! The traps that charts for Fabric fall into, each with the test that fails without its cure. Most
//! are shown on every case that renders.

use super::{Case, each_manifest, find, pods};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// One container that runs a program of Fabric, with what it is told.
struct Program<'a> {
    place: String,
    /// `1.4.12`
    version: String,
    container: &'a Value,
    pod: &'a Value,
    env: BTreeMap<&'a str, &'a str>,
}

impl Program<'_> {
    fn before(&self, major: u64) -> bool {
        self.version
            .split('.')
            .next()
            .and_then(|text| text.parse::<u64>().ok())
            .is_some_and(|own| own < major)
    }

    fn asks_docker(&self) -> bool {
        self.env
            .get("CORE_VM_ENDPOINT")
            .is_some_and(|endpoint| !endpoint.is_empty())
    }
}

/// Calls `check` for the main container of every node with this role (the label
/// `app.kubernetes.io/component`), in every case.
fn each_program(role: &str, check: impl Fn(&Program, &[kubectl_fabric::manifest::Object])) {
    let seen = std::cell::Cell::new(0);
    each_manifest(|case, outcome| {
        let objects = &outcome.output.objects;
        for (object, pod) in pods(objects).filter(|(object, _)| {
            object.body["metadata"]["labels"]["app.kubernetes.io/component"] == role
        }) {
            let container = &pod["containers"][0];
            let env = container["env"].as_array().into_iter().flatten();
            let env = env
                .filter_map(|variable| {
                    Some((variable["name"].as_str()?, variable["value"].as_str()?))
                })
                .collect();
            let (place, version) = (
                format!("{}: {}", case.name(), object.key),
                outcome.values["fabricVersion"].as_str().unwrap(),
            );
            check(
                &Program {
                    place,
                    version: version.to_owned(),
                    container,
                    pod,
                    env,
                },
                objects,
            );
            seen.set(seen.get() + 1);
        }
    });
    assert!(seen.get() > 0, "no case has a {role}");
}

fn core_yaml(objects: &[kubectl_fabric::manifest::Object]) -> Option<Value> {
    let map = objects
        .iter()
        .find(|object| object.key.name == "peer-core")?;
    Some(
        kubectl_fabric::yaml::parse(map.body["data"]["core.yaml"].as_str().unwrap(), "core.yaml")
            .unwrap(),
    )
}

#[test]
fn trap_1_a_peer_waits_for_a_docker_daemon_that_is_not_there() {
    each_program("peer", |peer, objects| {
        if peer.asks_docker() {
            return;
        }
        if peer.before(3) {
            assert_eq!(
                peer.env["FABRIC_CFG_PATH"], "/etc/hyperledger/config",
                "{}: its own core.yaml is read",
                peer.place
            );
            assert!(
                core_yaml(objects).unwrap().get("vm").is_none(),
                "{}",
                peer.place
            );
        } else {
            assert_eq!(peer.env["CORE_VM_ENDPOINT"], "", "{}", peer.place);
        }
        // 1.4 asks for the daemon's health whatever it is told, so its own health cannot be asked.
        let by_health = peer.container["readinessProbe"].get("httpGet").is_some();
        assert_eq!(by_health, !peer.before(2), "{}", peer.place);
    });
}

#[test]
fn trap_2_an_empty_variable_is_none_before_3_0_and_overrides_since() {
    for role in ["peer", "orderer", "ca", "cli"] {
        each_program(role, |program, _| {
            for (name, value) in &program.env {
                let cure = *name == "CORE_VM_ENDPOINT" && !program.before(3);
                assert!(
                    !value.is_empty() || cure,
                    "{}: {name} is empty",
                    program.place
                );
            }
        });
    }
}

#[test]
fn trap_3_a_peer_with_neither_docker_nor_a_builder_ends_itself() {
    each_program("peer", |peer, objects| {
        // 1.4 has no builders and no such check; the file in the image of 3.x has one, which only a
        // list that is not empty replaces.
        if peer.asks_docker() || peer.before(2) {
            return;
        }
        let builders = match core_yaml(objects) {
            Some(core) => core["chaincode"]["externalBuilders"].clone(),
            None => peer
                .env
                .get("CORE_CHAINCODE_EXTERNALBUILDERS")
                .map_or(json!([{}]), |text| serde_json::from_str(text).unwrap()),
        };
        assert!(!builders.as_array().unwrap().is_empty(), "{}", peer.place);
    });
}

#[test]
fn trap_4_an_orderer_of_3_0_ends_itself_when_told_of_a_genesis_file() {
    each_program("orderer", |orderer, _| {
        let told = orderer.env.keys().any(|name| {
            name.starts_with("ORDERER_GENERAL_BOOTSTRAP")
                || name.starts_with("ORDERER_GENERAL_GENESIS")
        });
        assert_eq!(told, orderer.before(3), "{}", orderer.place);
        // What 1.4 does by itself is to make up a network of its own.
        let method = orderer.env.get("ORDERER_GENERAL_GENESISMETHOD");
        assert!(
            !orderer.before(2) || method == Some(&"file"),
            "{}",
            orderer.place
        );
    });
}

#[test]
fn trap_5_upgrade_dbs_drops_databases_whenever_it_runs() {
    each_manifest(|case, outcome| {
        for (object, pod) in pods(&outcome.output.objects) {
            assert!(
                !pod.to_string().contains("upgrade-dbs"),
                "{}: {}: a pod is started more than once",
                case.name(),
                object.key
            );
        }
    });
}

#[test]
fn trap_6_a_service_s_name_becomes_a_setting() {
    each_manifest(|case, outcome| {
        for (object, pod) in pods(&outcome.output.objects) {
            assert_eq!(
                pod["enableServiceLinks"],
                false,
                "{}: {}",
                case.name(),
                object.key
            );
        }
    });
    // The entry point of fabric-kafka makes a property of whatever begins with KAFKA_: the brokers
    // start past it.
    each_program("kafka", |broker, _| {
        assert_eq!(
            broker.container["command"][0], "/opt/kafka/bin/kafka-server-start.sh",
            "{}",
            broker.place
        );
    });
}

#[test]
fn trap_7_a_file_that_is_missing_is_mounted_as_a_folder() {
    let mut of_a_volume = false;
    each_program("orderer", |orderer, _| {
        let mounts = orderer.container["volumeMounts"].as_array().unwrap();
        for mount in mounts.iter().filter(|mount| {
            mount["mountPath"]
                .as_str()
                .unwrap()
                .starts_with("/etc/hyperledger/genesis")
        }) {
            let volumes = orderer.pod["volumes"].as_array().unwrap();
            let volume = volumes
                .iter()
                .find(|volume| volume["name"] == mount["name"])
                .unwrap();
            match volume.get("secret") {
                Some(secret) => assert_eq!(
                    secret["items"][0]["key"], "genesis.block",
                    "{}: by its key",
                    orderer.place
                ),
                None => {
                    assert_eq!(
                        volume["persistentVolumeClaim"]["readOnly"], true,
                        "{}: a folder cannot be made",
                        orderer.place
                    )
                }
            }
        }
    });
    each_manifest(|_, outcome| {
        for (_, pod) in pods(&outcome.output.objects) {
            for mounts in find(pod, "volumeMounts") {
                for mount in mounts
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|mount| mount.get("subPath").is_some())
                {
                    // The others are folders of a volume that is the pod's own.
                    assert!(
                        mount["readOnly"] == true || mount["name"] != "crypto",
                        "{mount}"
                    );
                }
            }
        }
    });
    for (case, outcome) in Case::all() {
        of_a_volume |= case.name().ends_with("nfs-of-kafka") && outcome.is_ok();
    }
    assert!(of_a_volume, "a case has its genesis block on a volume");
}

#[test]
fn trap_8_a_ledger_goes_with_its_pod() {
    each_manifest(|case, outcome| {
        for (object, pod) in
            pods(&outcome.output.objects).filter(|(object, _)| object.key.kind == "StatefulSet")
        {
            let templates = object
                .body
                .pointer("/spec/volumeClaimTemplates")
                .and_then(Value::as_array);
            let claimed: BTreeSet<&str> = templates
                .into_iter()
                .flatten()
                .map(|claim| claim["metadata"]["name"].as_str().unwrap())
                .collect();
            let mounts = find(pod, "volumeMounts")
                .into_iter()
                .flat_map(|mounts| mounts.as_array().unwrap());
            for mount in mounts.filter(|mount| mount.get("readOnly").is_none()) {
                let (name, path) = (
                    mount["name"].as_str().unwrap(),
                    mount["mountPath"].as_str().unwrap(),
                );
                let role = object.body["metadata"]["labels"]["app.kubernetes.io/component"]
                    .as_str()
                    .unwrap();
                // Where values waive it, by role and volume.
                let switch = match (role, name) {
                    ("peer", "ledger") => "/peers/persistence/enabled",
                    ("orderer", "ledger") => "/orderers/persistence/enabled",
                    (_, "couchdb") => "/couchdb/persistence/enabled",
                    (_, "home") => "/ca/persistence/enabled",
                    ("cli", "work") => "/cli/persistence/enabled",
                    ("kafka", "data") => "/kafka/persistence/enabled",
                    ("zookeeper", "data") => "/kafka/zookeeperPersistence/enabled",
                    _ => continue,
                };
                let wanted = outcome
                    .values
                    .pointer(switch)
                    .and_then(Value::as_bool)
                    .unwrap();
                assert_eq!(
                    claimed.contains(name),
                    wanted,
                    "{}: {}: {path}",
                    case.name(),
                    object.key
                );
            }
        }
    });
    let peers = Case::of("peer-org")
        .outcome_of("peers: {stateDatabase: CouchDB}".to_owned())
        .unwrap();
    let claims = peers
        .output
        .objects
        .iter()
        .flat_map(|object| find(&object.body, "volumeClaimTemplates"));
    assert_eq!(
        claims
            .map(|claims| claims.as_array().unwrap().len())
            .sum::<usize>(),
        5,
        "by default nothing is waived"
    );
}

#[test]
fn trap_9_a_claim_takes_another_organization_s_volume() {
    let mut pairs = 0;
    for (case, outcome) in Case::all() {
        let Ok(outcome) = outcome else { continue };
        let of = |kind: &str| {
            outcome
                .output
                .objects
                .iter()
                .find(|object| object.key.kind == kind)
        };
        let (Some(volume), Some(claim)) = (of("PersistentVolume"), of("PersistentVolumeClaim"))
        else {
            continue;
        };
        let (volume, claim) = (&volume.body, &claim.body);
        assert_eq!(
            claim["spec"]["storageClassName"], "",
            "a default class would make an empty volume"
        );
        assert_eq!(volume["spec"]["storageClassName"], "");
        assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
        assert_eq!(
            volume["spec"]["claimRef"]["name"],
            claim["metadata"]["name"]
        );
        assert_eq!(volume["spec"]["claimRef"]["namespace"], case.namespace);
        assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
        assert_eq!(
            volume["metadata"]["name"],
            format!("{}-crypto", case.namespace),
            "the whole cluster shares these names"
        );
        pairs += 1;
    }
    assert!(pairs >= 2, "only {pairs} cases have a volume");
}

#[test]
fn trap_10_kafka_is_given_numbers_that_lose_blocks() {
    let case = Case::of("kafka");
    let properties = |values: &str| {
        let outcome = case.outcome_of(values.to_owned()).unwrap();
        let map = outcome
            .output
            .objects
            .iter()
            .find(|object| object.key.kind == "ConfigMap" && object.key.name == "kafka0")
            .unwrap();
        let text = map.body["data"]["server.properties"].as_str().unwrap();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let by_default: BTreeMap<String, String> = properties("{}");
    let number = |key: &str| by_default[key].parse::<u64>().unwrap();
    let (brokers, replicas, in_sync) = (
        4,
        number("default.replication.factor"),
        number("min.insync.replicas"),
    );
    assert!(1 < in_sync && in_sync < replicas && replicas < brokers);
    // AbsoluteMaxBytes of the configtx.yaml that Fabric ships, 98 MB, and a MiB for what goes
    // around a block.
    let largest = 98 * 1024 * 1024 + 1024 * 1024;
    assert!(
        largest <= number("replica.fetch.max.bytes")
            && number("replica.fetch.max.bytes") <= number("message.max.bytes")
    );
    assert_eq!(
        (
            by_default["unclean.leader.election.enable"].as_str(),
            by_default["log.retention.ms"].as_str()
        ),
        ("false", "-1")
    );
    // The numbers of the article's chart, and of PIVT.
    for values in [
        "kafka: {brokers: 3, replicationFactor: 3}",
        "kafka: {replicationFactor: 4}",
        "kafka: {config: {message.max.bytes: 1048576}}",
    ] {
        assert!(case.outcome_of(values.to_owned()).is_err(), "{values}");
    }
}

#[test]
fn trap_11_the_orderer_s_image_of_3_1_2_has_no_place_for_its_msp() {
    let of =
        |version: &str| Case::of("orderer-org").outcome_of(format!("fabricVersion: {version}"));
    assert!(of("3.1.2").is_err_and(|error| error.to_string().contains("3.1.3 or later")));
    assert!(of("3.1.1").is_ok() && of("3.1.3").is_ok());
    assert!(
        Case::of("peer-org")
            .outcome_of("fabricVersion: 3.1.2".to_owned())
            .is_ok(),
        "the peer's image is whole"
    );
}

#[test]
fn trap_12_kinds_are_asked_for_by_versions_that_are_gone() {
    each_manifest(|case, outcome| {
        for object in &outcome.output.objects {
            let version = object.body["apiVersion"].as_str().unwrap();
            assert!(
                !version.starts_with("extensions/") && !version.contains("beta"),
                "{}: {}: {version}",
                case.name(),
                object.key
            );
        }
        for (object, _) in pods(&outcome.output.objects) {
            let selector = object.body["spec"]["selector"]["matchLabels"]
                .as_object()
                .unwrap();
            let labels = &object.body["spec"]["template"]["metadata"]["labels"];
            assert!(
                !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value),
                "{}",
                object.key
            );
        }
    });
}

#[test]
fn trap_13_programs_listen_on_loopback() {
    for (role, listeners) in [
        (
            "peer",
            &[
                "CORE_PEER_LISTENADDRESS",
                "CORE_PEER_CHAINCODELISTENADDRESS",
                "CORE_OPERATIONS_LISTENADDRESS",
            ][..],
        ),
        (
            "orderer",
            &[
                "ORDERER_GENERAL_LISTENADDRESS",
                "ORDERER_OPERATIONS_LISTENADDRESS",
            ],
        ),
        ("ca", &["FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS"]),
    ] {
        each_program(role, |program, _| {
            for name in listeners {
                assert!(
                    program.env[name].starts_with("0.0.0.0"),
                    "{}: {name}",
                    program.place
                );
            }
            for (name, value) in program
                .env
                .iter()
                .filter(|(name, _)| name.ends_with("LISTENADDRESS"))
            {
                assert!(value.starts_with("0.0.0.0"), "{}: {name}", program.place);
            }
            let admin = program.container["ports"]
                .as_array()
                .unwrap()
                .iter()
                .any(|port| port["name"] == "admin");
            assert_eq!(
                program.env.contains_key("ORDERER_ADMIN_LISTENADDRESS"),
                admin,
                "{}",
                program.place
            );
        });
    }
}

#[test]
fn trap_14_upstream_images_run_as_root() {
    for role in ["peer", "orderer", "ca", "cli", "kafka", "zookeeper"] {
        each_program(role, |program, _| {
            let context = &program.pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{}", program.place);
            // The images name no user, so a number is needed, and volumes have to be that user's.
            assert!(
                context["runAsUser"].as_u64() > Some(0) && context["fsGroup"].as_u64() > Some(0),
                "{}",
                program.place
            );
            assert!(
                program.container["securityContext"]
                    .get("runAsUser")
                    .is_none(),
                "{}",
                program.place
            );
            assert_eq!(
                program.container["securityContext"]["readOnlyRootFilesystem"], true,
                "{}",
                program.place
            );
        });
    }
}

/// Who connects to an address that is just gone waits for 20 s, and an orderer that leads sends no
/// heartbeat meanwhile. So the shell that runs an orderer hands on what tells it to stop, and is
/// there for a moment longer.
#[test]
fn an_orderer_ends_before_its_address_is_gone() {
    let outcome = Case::of("orderer-org").outcome_of("{}".to_owned()).unwrap();
    let (_, pod) = pods(&outcome.output.objects).next().expect("an orderer");
    let command: Vec<&str> = pod["containers"][0]["command"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let told = "trap 'touch ended; exit 3' TERM; /bin/sleep 0.3; touch runs; while :; do /bin/sleep 0.05; done";
    for (orderer, is_told, status) in [
        (told, true, 3),
        ("touch runs; touch ended; exit 7", false, 7),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("orderer", orderer),
            ("sleep", "[ -e ended ] && touch lingered"),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!(
            "{}:{}",
            folder.path().display(),
            std::env::var("PATH").unwrap()
        );
        let mut pod = Command::new(command[0])
            .args(&command[1..])
            .env("PATH", path)
            .current_dir(&folder)
            .spawn()
            .unwrap();
        while !folder.path().join("runs").exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if is_told {
            assert!(
                Command::new("kill")
                    .arg(pod.id().to_string())
                    .status()
                    .unwrap()
                    .success()
            );
        }
        assert_eq!(pod.wait().unwrap().code(), Some(status), "{orderer}");
        assert!(folder.path().join("lingered").exists(), "{orderer}");
    }
}
