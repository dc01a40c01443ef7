use crate::error::Error;
use crate::network::file::*;
use crate::network::member::*;
use crate::network::read::{Draft, Given};
use semver::Version;
use std::collections::BTreeMap;

/// Replaces charts: describes a release by its own values and the charts' defaults.
pub fn describe(installation: &Installation) -> Result<Member, Error> {
    let value = |pointer: &str| installation.values.tree.pointer(pointer);
    let text = |pointer: &str, default: &str| {
        value(pointer)
            .and_then(|it| it.as_str())
            .unwrap_or(default)
            .to_owned()
    };
    let count =
        |pointer: &str, default| value(pointer).and_then(|it| it.as_u64()).unwrap_or(default);
    let name = installation.release.as_str();
    let version =
        Version::parse(&text("/fabricVersion", "2.5.16")).unwrap_or(Version::new(2, 5, 16));
    let (role, nodes, consensus) = if name.starts_with("orgorderer") {
        let nodes = (0..count("/orderers/count", 3))
            .map(|i| format!("orderer{i}"))
            .collect();
        let consensus = Some(Consensus::named(&text("/orderers/consensus", "etcdraft")));
        (Role::Orderers, nodes, consensus)
    } else if name.starts_with("kafka") {
        (Role::Kafka, Vec::new(), None)
    } else {
        let nodes = (0..count("/peers/count", 2))
            .map(|i| format!("peer{i}"))
            .collect();
        (Role::Peers, nodes, None)
    };
    let capital = name[..1].to_ascii_uppercase() + &name[1..];
    Ok(Member {
        role,
        nodes,
        msp_id: text("/org/mspID", &format!("{capital}MSP")),
        system_channel: role == Role::Orderers
            && (consensus == Some(Consensus::Kafka) || version < Version::new(2, 3, 0)),
        genesis_on_volume: !text("/orderers/genesis/path", "").is_empty(),
        state_database: text("/peers/stateDatabase", "goleveldb"),
        chaincode_port: 9999,
        contact: None,
        version,
        consensus,
    })
}

pub fn parse(text: &str) -> Result<Network, Error> {
    parse_on(text, None)
}

pub fn parse_on(text: &str, suffix: Option<&str>) -> Result<Network, Error> {
    let draft = Draft::read(text, "network.yaml")?;
    let files = draft.files().into_iter().map(|file| {
        let content = match file {
            "org1.yaml" => Ok("peers:\n  count: 3\n".to_owned()),
            other => Err(Error::user(format!("cannot read \"{other}\""))),
        };
        (file.to_owned(), content)
    });
    let given = Given {
        files: files.collect::<BTreeMap<_, _>>(),
        suffix,
        describe: &describe,
    };
    draft.finish(&given)
}

pub const SMALL: &str = "\
apiVersion: kubectl-fabric.io/v1
kind: Network
organizations:
  orgorderer1:
  org1:
  org2:
    values: {peers: {count: 1}}
channels:
  mychannel:
    orderers: [orgorderer1]
    organizations: [org1, org2]
chaincodes:
  basic:
    channel: mychannel
    image: registry.example.com/basic:1.0
";

#[test]
fn a_small_file_is_filled_with_defaults() {
    let network = parse(SMALL).unwrap();
    assert_eq!(
        (network.name.as_str(), network.warnings.as_slice()),
        ("fabric", &[][..])
    );
    let channel = &network.channels["mychannel"];
    assert_eq!(
        channel.orderers["orgorderer1"].consenters,
        ["orderer0", "orderer1", "orderer2"]
    );
    assert_eq!(channel.organizations["org1"].peers, ["peer0", "peer1"]);
    assert_eq!(channel.organizations["org2"].anchors, ["peer0"]);
    assert_eq!(channel.batch_timeout.as_secs(), 2);
    assert_eq!(channel.batch_size.max_messages, 500);
    let levels = &channel.capabilities;
    let levels = [&levels.channel, &levels.orderer, &levels.application];
    assert_eq!(
        levels.map(|it| it.as_deref().unwrap()),
        ["V2_0", "V2_0", "V2_5"]
    );
    assert_eq!(channel.system, None);
    let basic = &network.chaincodes["basic"];
    assert_eq!(basic.organizations["mychannel"], ["org1", "org2"]);
    assert_eq!(
        (basic.label.as_str(), basic.release.as_str()),
        ("basic", "basic")
    );
    assert_eq!(basic.kind, ChaincodeType::Service);
}

#[test]
fn a_network_has_a_copy_per_suffix() {
    let network = parse_on(SMALL, Some("dev")).unwrap();
    let namespaces: Vec<_> = network
        .installations()
        .map(|it| it.namespace.as_str())
        .collect();
    assert_eq!(namespaces, ["org1-dev", "org2-dev", "orgorderer1-dev"]);
    let values = &network.organizations["org1"].installation.values.tree;
    assert_eq!(
        values["networkPolicy"]["peerOrgs"],
        serde_json::json!(["org2-dev"])
    );
}

#[test]
fn values_files_are_below_the_values_of_the_file() {
    let text = SMALL.replace("  org1:\n", "  org1: {valuesFiles: [org1.yaml]}\n");
    assert_eq!(
        parse(&text).unwrap().organizations["org1"]
            .member
            .nodes
            .len(),
        3
    );
    let both = "  org1: {valuesFiles: [org1.yaml], values: {peers: {count: 1}}}\n";
    let text = SMALL.replace("  org1:\n", both);
    assert_eq!(
        parse(&text).unwrap().organizations["org1"]
            .member
            .nodes
            .len(),
        1
    );
}

#[test]
fn what_a_release_says_about_others_follows_from_the_file() {
    let text = SMALL.replace(
        "  org2:\n    values: {peers: {count: 1}}\n",
        "  org2:\n    values: {networkPolicy: {peerOrgs: [org9]}}\n  org3:\n",
    );
    let network = parse(&text).unwrap();
    let policy = |release: &str| {
        network.organizations[release]
            .installation
            .values
            .tree
            .get("networkPolicy")
            .cloned()
    };
    let json = serde_json::json!({"ordererOrgs": ["orgorderer1"], "peerOrgs": ["org2"]});
    assert_eq!(policy("org1"), Some(json));
    let json = serde_json::json!({"peerOrgs": ["org1", "org2"]});
    assert_eq!(policy("orgorderer1"), Some(json));
    let json = serde_json::json!({"ordererOrgs": ["orgorderer1"], "peerOrgs": ["org9"]});
    assert_eq!(policy("org2"), Some(json));
    assert_eq!(policy("org3"), None);
    assert_eq!(
        network.warnings,
        [
            "network.yaml:7: networkPolicy.peerOrgs of \"org2\" lacks org1, which shares a channel \
          with it; your value is used"
        ]
    );
}

#[test]
fn orderers_on_kafka_know_their_cluster_and_their_genesis_block() {
    let text = SMALL
        .replace(
            "organizations:\n  orgorderer1:\n",
            "fabricVersion: 1.4.12\nkafka: {kafka: {}}\n\
         organizations:\n  orgorderer1: {values: {orderers: {consensus: kafka}}}\n",
        )
        .replace(
            "    image: registry.example.com/basic:1.0\n",
            "    type: golang\n    path: ./cc\n",
        );
    let network = parse(&text).unwrap();
    let values = &network.organizations["orgorderer1"]
        .installation
        .values
        .tree;
    assert_eq!(values["networkPolicy"]["kafka"], "kafka");
    assert_eq!(values["orderers"]["genesis"]["secret"], "genesis");
    let values = &network.kafka["kafka"].values.tree;
    assert_eq!(
        values["networkPolicy"]["ordererOrgs"],
        serde_json::json!(["orgorderer1"])
    );
    let channel = &network.channels["mychannel"];
    assert!(channel.is_legacy());
    assert_eq!(channel.system.as_ref().unwrap().name, "system-channel");
    assert_eq!(channel.capabilities.channel.as_deref(), Some("V1_4_3"));
}

#[test]
fn the_first_line_counts_and_the_state_is_reported() {
    let text = SMALL.replace("kind: Network\n", "kind: Network\na: 1\nb: 2\n");
    let error = parse(&text).unwrap_err().to_string();
    assert!(
        error.starts_with("network file \"network.yaml\" has 2 mistakes\n"),
        "{error}"
    );
    assert!(
        error.contains("\nnow: nothing was sent to the cluster or to a node"),
        "{error}"
    );
}

#[test]
fn a_text_that_is_no_yaml_or_no_map_is_reported_by_the_reader() {
    for (text, expected) in [
        (
            "organizations:\n\torg1:\n",
            "network.yaml:2:1   the line is indented with a tab",
        ),
        (
            "kind: Network\nkind: Network\n",
            "network.yaml:2:1   duplicate key \"kind\", first on line 1",
        ),
        ("- a\n", "network.yaml:1:1   expected a map"),
        ("", "network.yaml:1:1   expected a map"),
        ("a: *x\n", "network.yaml:1:4   an alias"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn no_document_makes_the_reader_panic() {
    // Replaces the value of each key, one at a time, by a value of each type.
    for (at, _) in SMALL.match_indices([':', ',', '[', '{']) {
        for value in [
            "",
            " 1",
            " []",
            " {}",
            " a",
            " [[1]]",
            " {a: {b: 1}}",
            " null",
        ] {
            let mut text = SMALL.to_owned();
            text.insert_str(at + 1, value);
            let _ = parse(&text);
            let line = SMALL[at..].find('\n').map_or(SMALL.len(), |end| at + end);
            let text = format!("{}{value}{}", &SMALL[..=at], &SMALL[line..]);
            let _ = parse(&text);
        }
    }
}
