use super::file::{SMALL, parse};

/// A name, what is replaced in [`SMALL`], and the lines of the error from the second on; the last
/// lines are always the same.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);
const WRONG: &[Case] = &[
    (
        "an unknown key",
        &[("kind: Network\n", "kind: Network\nchanels: {}\n")],
        &[
            "  --> network.yaml:3:1   chanels: unknown key",
            "hint: chanels: did you mean \"channels\"?",
        ],
    ),
    (
        "another kind and version",
        &[("v1\nkind: Network", "v2\nkind: network")],
        &[
            "  --> network.yaml:1:1   apiVersion: expected \"kubectl-fabric.io/v1\", found \"kubectl-fabric.io/v2\"",
            "  --> network.yaml:2:1   kind: expected \"Network\", found \"network\"",
            "hint: apiVersion: did you mean \"kubectl-fabric.io/v1\"?",
            "hint: kind: did you mean \"Network\"?",
        ],
    ),
    (
        "wrong types",
        &[
            (
                "    channel: mychannel\n",
                "    channel: mychannel\n    version: 1.5\n    initRequired: yes please\n",
            ),
            (
                "    orderers: [orgorderer1]\n",
                "    orderers: [orgorderer1]\n    batchTimeout: 2\n    batchSize: 3\n",
            ),
        ],
        &[
            "  --> network.yaml:11:5   channels.mychannel.batchTimeout: expected a duration such as 2s or 500ms, found the number 2",
            "  --> network.yaml:12:5   channels.mychannel.batchSize: expected a map, found the number 3",
            "  --> network.yaml:17:5   chaincodes.basic.version: expected a text, found the number 1.5",
            "  --> network.yaml:18:5   chaincodes.basic.initRequired: expected true or false, found \"yes please\"",
            "hint: chaincodes.basic.version: put it in quotes",
        ],
    ),
    (
        "a missing key",
        &[("    orderers: [orgorderer1]\n", "")],
        &["  --> network.yaml:9:3   channels.mychannel: the key \"orderers\" is missing"],
    ),
    (
        "no orderers",
        &[("[orgorderer1]", "[]")],
        &["  --> network.yaml:10:5   channels.mychannel.orderers: a channel needs at least one"],
    ),
    (
        "names that the file lacks",
        &[
            ("[orgorderer1]", "[orgordrer1]"),
            ("[org1, org2]", "[org1, org3]"),
            ("channel: mychannel", "channel: mychanel"),
        ],
        &[
            "  --> network.yaml:10:16   channels.mychannel.orderers[0]: the file has no organization \"orgordrer1\"",
            "  --> network.yaml:11:27   channels.mychannel.organizations[1]: the file has no organization \"org3\"",
            "  --> network.yaml:14:5   chaincodes.basic.channel[0]: the file has no channel \"mychanel\"",
            "hint: channels.mychannel.orderers[0]: did you mean \"orgorderer1\"?",
            "hint: channels.mychannel.organizations[1]: did you mean \"org1\"?",
            "hint: chaincodes.basic.channel[0]: did you mean \"mychannel\"?",
        ],
    ),
    (
        "a name listed twice",
        &[("[org1, org2]", "[org1, org2, org1]")],
        &[
            "  --> network.yaml:11:33   channels.mychannel.organizations[2]: \"org1\" is listed twice",
        ],
    ),
    (
        "organizations in each other's place",
        &[
            ("[orgorderer1]", "[org1]"),
            ("[org1, org2]", "[orgorderer1, org2]"),
        ],
        &[
            "  --> network.yaml:10:16   channels.mychannel.orderers[0]: \"org1\" is not an orderer organization",
            "  --> network.yaml:11:21   channels.mychannel.organizations[0]: \"orgorderer1\" is not a peer organization",
        ],
    ),
    (
        "an MSP id and a namespace that another has",
        &[(
            "  org1:\n",
            "  org1: {namespace: org2, values: {org: {mspID: Org2MSP}}}\n",
        )],
        &[
            "  --> network.yaml:6:3   organizations.org2: \"org1\" already has MSP id \"Org2MSP\"",
            "  --> network.yaml:6:3   organizations.org2: release \"org1\" already uses namespace \"org2\"",
            "hint: organizations.org2: set `values.org.mspID`",
        ],
    ),
    (
        "a Fabric version that does not exist",
        &[(
            "organizations:\n  orgorderer1:",
            "fabricVersion: \"2.5\"\norganizations:\n  orgorderer1:",
        )],
        &[
            "  --> network.yaml:3:1   fabricVersion: Fabric \"2.5\" cannot be installed; supported versions are 1.4.0 to 1.4.12, 2.2.0 to 2.2.15, 2.3.0 to 2.3.3, 2.4.0 to 2.4.9, 2.5.0 to 2.5.16, 3.0.0, 3.1.0 to 3.1.5",
            "hint: the newest patch of this version is 2.5.16",
        ],
    ),
    (
        "an invalid channel name",
        &[
            ("  mychannel:\n", "  My_Channel:\n"),
            ("channel: mychannel", "channel: My_Channel"),
        ],
        &[
            "  --> network.yaml:9:3   channels.My_Channel: a channel name consists of a-z, 0-9, \".\" and \"-\", begins with a letter, and has at most 249 characters",
            "hint: channels.My_Channel: did you mean \"my-channel\"?",
        ],
    ),
    (
        "nodes that an organization lacks",
        &[(
            "[org1, org2]",
            "{org1: {peers: [peer0, peer2], anchors: [peer1]}, org2: {peers: [peer0, peer0]}}",
        )],
        &[
            "  --> network.yaml:11:43   channels.mychannel.organizations.org1.peers[1]: \"org1\" has no \"peer2\", only peer0 to peer1",
            "  --> network.yaml:11:51   channels.mychannel.organizations.org1.anchors: anchor peer \"peer1\" is not among the peers that join the channel",
            "  --> network.yaml:11:92   channels.mychannel.organizations.org2.peers[1]: \"peer0\" is listed twice",
            "hint: channels.mychannel.organizations.org1.peers[1]: did you mean \"peer0\"?",
        ],
    ),
    (
        "fewer orderers than BFT needs, and peers that do not know it",
        &[(
            "  orgorderer1:\n  org1:\n",
            "  orgorderer1: {fabricVersion: 3.1.5, values: {orderers: {consensus: BFT}}}\n  org1: {fabricVersion: 3.1.5}\n",
        )],
        &[
            "  --> network.yaml:9:3   channels.mychannel.capabilities.channel: BFT needs level V3_0",
            "  --> network.yaml:10:5   channels.mychannel.orderers: BFT needs 3f+1 consenters to tolerate f faults: at least 4, not 3",
            "  --> network.yaml:11:27   channels.mychannel.organizations[1]: a channel on BFT requires peers of Fabric 3.0 and later; \"org2\" has 2.5.16",
        ],
    ),
    (
        "Kafka without brokers",
        &[(
            "  orgorderer1:\n",
            "  orgorderer1: {values: {orderers: {consensus: kafka}}}\n",
        )],
        &[
            "  --> network.yaml:4:3   organizations.orgorderer1: orderers.consensus is kafka, but the file has no Kafka cluster",
            "hint: organizations.orgorderer1: add `kafka: {kafka: {}}`",
        ],
    ),
    (
        "a level that a node does not know",
        &[
            (
                "    values: {peers: {count: 1}}\n",
                "    fabricVersion: 2.4.9\n",
            ),
            (
                "    orderers: [orgorderer1]\n",
                "    orderers: [orgorderer1]\n    capabilities: {application: V2_5}\n",
            ),
        ],
        &[
            "  --> network.yaml:11:20   channels.mychannel.capabilities.application: Fabric 2.4.9 of \"org2\" does not support level V2_5",
            "hint: channels.mychannel.capabilities.application: the highest is V2_0",
        ],
    ),
    (
        "policies without an organization, or that are not policies",
        &[
            (
                "    orderers: [orgorderer1]\n",
                "    orderers: [orgorderer1]\n    policies: {application: {Admins: MAJORTY Admins}}\n",
            ),
            (
                "    channel: mychannel\n",
                "    channel: mychannel\n    policy: AND('Org1MSP.peer', 'Org3MSP.per')\n",
            ),
        ],
        &[
            "  --> network.yaml:11:30   channels.mychannel.policies.application.Admins: expected `ANY`, `ALL` or `MAJORITY` and the name of a policy, or a signature policy such as OR('Org1MSP.admin')",
            "  --> network.yaml:16:5   chaincodes.basic.policy: no organization of the channel has MSP id \"Org3MSP\"",
            "  --> network.yaml:16:5   chaincodes.basic.policy: unknown role \"per\"; expected member, admin, client, peer, orderer",
            "hint: channels.mychannel.policies.application.Admins: did you mean \"MAJORITY\"?",
            "hint: chaincodes.basic.policy: did you mean \"Org1MSP\"?",
            "hint: chaincodes.basic.policy: did you mean \"peer\"?",
        ],
    ),
    (
        "block sizes and Raft's ticks that do not fit each other",
        &[(
            "    orderers: [orgorderer1]\n",
            "    orderers: [orgorderer1]\n    batchSize: {preferredMaxBytes: 20 MB}\n    etcdraft: {heartbeatTick: 10}\n    smartBFT: {collectTimeout: 2s}\n",
        )],
        &[
            "  --> network.yaml:11:5   channels.mychannel.batchSize: preferredMaxBytes (20971520 bytes) is more than absoluteMaxBytes (10485760 bytes)",
            "  --> network.yaml:12:5   channels.mychannel.etcdraft.electionTick: it must be greater than heartbeatTick",
            "  --> network.yaml:13:5   channels.mychannel.smartBFT: the channel uses etcdraft, but these are options of BFT",
        ],
    ),
    (
        "a chaincode that peers cannot run",
        &[(
            "    image: registry.example.com/basic:1.0\n",
            "    type: k8s\n    image: registry.example.com/basic:1.0\n    path: ./cc\n    values: {replicas: 2}\n",
        )],
        &[
            "  --> network.yaml:13:3   chaincodes.basic.label: the label of a k8s chaincode must be a valid Kubernetes name, not \"basic_1.0\"",
            "  --> network.yaml:16:5   chaincodes.basic.image: the k8s builder requires the digest of the image",
            "  --> network.yaml:17:5   chaincodes.basic.path: a chaincode of type k8s cannot have path",
            "  --> network.yaml:18:5   chaincodes.basic.values: only a chaincode of type ccaas has a release; this one has type k8s",
            "hint: chaincodes.basic.label: set `label: basic-1-0`",
            "hint: chaincodes.basic.image: write it as repository@sha256:...",
        ],
    ),
    (
        "a service on peers that know none",
        &[(
            "    values: {peers: {count: 1}}\n",
            "    fabricVersion: 2.2.15\n",
        )],
        &[
            "  --> network.yaml:13:3   chaincodes.basic.type: chaincode of type ccaas requires Fabric 2.4.1 and later, but \"org2\" has 2.2.15",
            "hint: chaincodes.basic.type: use `golang`, `node` or `java` with `path`",
        ],
    ),
    (
        "chaincodes that wait for each other",
        &[
            (
                "chaincodes:\n",
                "chaincodes:\n  tokens: {channel: mychannel, image: t, dependsOn: [basic]}\n",
            ),
            (
                "    channel: mychannel\n",
                "    channel: mychannel\n    dependsOn: [tokens, coins]\n",
            ),
        ],
        &[
            "  --> network.yaml:16:5   chaincodes.basic.dependsOn: the chaincodes depend on each other: basic → tokens → basic",
            "  --> network.yaml:16:25   chaincodes.basic.dependsOn[1]: the file has no chaincode \"coins\"",
        ],
    ),
    (
        "organizations of a chaincode that are no members, too few or doubled",
        &[
            (
                "[org1, org2]",
                "[org1, org2]\n  other: {orderers: [orgorderer1], organizations: [org1]}",
            ),
            (
                "    channel: mychannel\n",
                "    channel: [mychannel, other, other]\n    organizations: [org1, org1]\n",
            ),
        ],
        &[
            "  --> network.yaml:15:33   chaincodes.basic.channel[2]: \"other\" is listed twice",
            "  --> network.yaml:16:27   chaincodes.basic.organizations[1]: \"org1\" is listed twice",
        ],
    ),
    (
        "a chaincode that fewer than a majority approve",
        &[(
            "    channel: mychannel\n",
            "    channel: mychannel\n    organizations: [org1]\n",
        )],
        &[
            "  --> network.yaml:15:5   chaincodes.basic.organizations: 1 of 2 organizations of channel \"mychannel\" approve it, but its policy LifecycleEndorsement requires a majority",
        ],
    ),
    (
        "a collection that cannot be",
        &[(
            "    channel: mychannel\n",
            "    channel: mychannel\n    collections:\n    - {name: a, policy: \"OR('Org1MSP.member)\", requiredPeerCount: 2}\n    - {name: a, policy: \"OR('Org1MSP.member')\", endorsementPolicy: {}}\n",
        )],
        &[
            "  --> network.yaml:16:7   chaincodes.basic.collections[0]: requiredPeerCount (2) is more than maxPeerCount (1)",
            "  --> network.yaml:16:17   chaincodes.basic.collections[0].policy: the policy has an unclosed quote",
            "  --> network.yaml:17:7   chaincodes.basic.collections[1]: collection \"a\" is listed twice",
            "  --> network.yaml:17:49   chaincodes.basic.collections[1].endorsementPolicy: expected either signaturePolicy or channelConfigPolicy",
        ],
    ),
    (
        "a file of values that is not there",
        &[("  org1:\n", "  org1: {valuesFiles: [org7.yaml]}\n")],
        &["  --> network.yaml:5:24   organizations.org1.valuesFiles[0]: cannot read \"org7.yaml\""],
    ),
    (
        "a release of a chaincode that an organization has",
        &[("  basic:\n", "  org1:\n")],
        &[
            "  --> network.yaml:13:3   chaincodes.org1: organization \"org1\" already uses release \"org1\"",
            "hint: chaincodes.org1: set `release`",
        ],
    ),
];

#[test]
fn every_mistake_of_a_file_is_reported_with_its_place() {
    let mut wrong = Vec::new();
    for (case, changes, expected) in WRONG {
        let text = changes.iter().fold(SMALL.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{case}: {from:?}");
            text.replacen(from, to, 1)
        });
        let error = parse(&text).expect_err(case).to_string();
        let lines: Vec<&str> = error.lines().skip(1).collect();
        let now = "now: nothing was sent to the cluster or to a node";
        let found: Vec<&str> = lines.iter().copied().filter(|line| *line != now).collect();
        if found != *expected {
            wrong.push(format!(
                "== {case}\n{}\n-- expected\n{}",
                found.join("\n"),
                expected.join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
