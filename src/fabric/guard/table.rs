//! The table: all rules with case, verdict, reason and advice. `docs/reference/guards.md` is
//! generated from it.
//!
//! U01 to U30 have the numbers with which they were collected from Fabric's documentation and code.
//! U00 applies if no other rule does. U31 and later were added since. Files without a repository
//! are hyperledger/fabric's.

use super::image::Component::{self, Ca, CouchDb, Kafka, Orderer, Peer, Tools, ZooKeeper};
use super::{Given, Rule, Setting, Verdict, Way, When};
use crate::fabric::versions::Span;
use semver::Version;

/// The rule that applies if no other does.
pub const UNLISTED: &str = "U00";

const ANY: Span = Span::ALWAYS;
const BEFORE_1_4: Span = Span::ALWAYS.before(1, 4, 0);
const LINE_1_4: Span = Span::since(1, 4, 0).before(1, 5, 0);
const LINES_1: Span = Span::ALWAYS.before(2, 0, 0);
const LINES_2: Span = Span::since(2, 0, 0).before(3, 0, 0);
const LINES_3: Span = Span::since(3, 0, 0).before(4, 0, 0);
const SINCE_2: Span = Span::since(2, 0, 0);
const LINES_2_TO_2_4: Span = Span::since(2, 0, 0).before(2, 5, 0);
const SINCE_2_5: Span = Span::since(2, 5, 0);
/// CouchDB has its own version numbers.
const COUCHDB_2: Span = Span::since(2, 0, 0).before(3, 0, 0);
const COUCHDB_3: Span = Span::since(3, 0, 0).before(4, 0, 0);
/// The CA has its own version numbers too.
const CA_TOKENS: Span = Span::since(1, 5, 14);

const SNAPSHOTS_AND_LEVELS: &str = "a peer ends at a capability level that it does not know and never gets past it, and cannot go on from a \
                                    snapshot that a later line joined a channel by; nothing here can see either";
const LEVELS_ARE_KNOWN: &str = "see that no channel's capability levels are above what the earlier line knows, and say --force U14; or \
                                restore the ledger's backup";
const BEFORE_1_4_9: Span = Span::ALWAYS.before(1, 4, 9);

/// Consensus types whose channel configurations contain the orderers' certificates.
const PINNED: &[&str] = &["etcdraft", "BFT"];
const OTHER_KEY: &str = "each channel's configuration holds the TLS certificates of its orderers, and they reject an orderer with another key: \
                         two such orderers of three stop the channel";
const WHOLE_CERTIFICATE: &str = "this version compares the whole TLS certificate with the one in each channel's configuration, even if the key stays";

const NODES: &[Component] = &[Peer, Orderer];
const GONE_IN_3: &[&str] = &["kafka", "solo"];

const fn step(from: Span, to: Span, way: Way) -> When {
    When::Step {
        from,
        to,
        way,
        given: Given::Always,
    }
}

const fn step_given(from: Span, to: Span, way: Way, given: Given) -> When {
    When::Step {
        from,
        to,
        way,
        given,
    }
}

pub const RULES: &[Rule] = &[
    Rule {
        id: UNLISTED,
        components: &[],
        when: When::Unlisted,
        verdict: Verdict::Block,
        reason: "nobody has described this step, so it is taken for one that does not work",
        way_out: "go by versions between which a step is listed (docs/reference/guards.md)",
        source: "default",
    },
    Rule {
        id: "U01",
        components: &[],
        when: step(ANY, ANY, Way::PatchUp),
        verdict: Verdict::Allow,
        reason: "a patch reads what earlier ones of its line wrote, and takes the same settings",
        way_out: "",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U02",
        components: &[Orderer],
        when: When::Wanted(Span::since(3, 1, 2).before(3, 1, 3)),
        verdict: Verdict::Block,
        reason: "the image of orderer 3.1.2 lacks the folder that its MSP is mounted on, and does not start",
        way_out: "take 3.1.3 or later",
        source: "release_notes/v3.1.3.md",
    },
    Rule {
        id: "U03",
        components: NODES,
        when: step(Span::since(1, 0, 0).before(1, 4, 0), LINE_1_4, Way::Any),
        verdict: Verdict::Allow,
        reason: "1.4 reads the ledgers of every earlier 1.x",
        way_out: "",
        source: "docs/source/upgrading_your_network_tutorial.rst of v1.4.12",
    },
    Rule {
        id: "U04",
        components: &[Peer],
        when: step(LINE_1_4, Span::since(2, 0, 0).before(2, 2, 0), Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "2.x keeps its databases in another format, and peers of 2.0 and 2.1 do not empty CouchDB by themselves: until \
                 `peer node upgrade-dbs` was run on its ledger and CouchDB's data was removed, the peer does not start",
        way_out: "go to 2.2 or later instead; or stop the peer, back up its volumes, run `peer node upgrade-dbs` of the new version on its \
                  ledger, empty CouchDB's volume, and say --force U04",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.0, \"Peer databases upgrade\"",
    },
    Rule {
        id: "U05",
        components: &[Peer],
        when: step(LINE_1_4, Span::since(2, 2, 0).before(3, 0, 0), Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "2.x keeps its databases in another format: until `peer node upgrade-dbs` was run on its ledger, the peer does not start; \
                 then it rebuilds them from the blocks, for hours if the ledger is large, and 1.4 cannot read them any more",
        way_out: "upgrade the orderers first; vendor the shim of Go chaincode; then for each peer: stop it, back up its ledger and MSP, run \
                  `peer node upgrade-dbs` of the new version on its ledger, once, while its CouchDB runs; and say --force U05",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.15; core/ledger/kvledger/upgrade_dbs.go",
    },
    Rule {
        id: "U06",
        components: &[Peer],
        when: step(BEFORE_1_4, SINCE_2, Way::Any),
        verdict: Verdict::Block,
        reason: "the way from before 1.4 to 2.x was never described; every description begins at 1.4",
        way_out: "upgrade to 1.4.12 first",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.15",
    },
    Rule {
        id: "U07",
        components: NODES,
        when: step(LINES_2, LINES_2, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "lines of 2.x need nothing special; 2.5 rebuilds the indexes of private data when it first starts",
        way_out: "",
        source: "docs/source/upgrade_to_newest_version.md of v2.5.16",
    },
    Rule {
        id: "U07",
        components: NODES,
        when: step(LINES_3, LINES_3, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "lines of 3.x share the format of their data and need nothing special",
        way_out: "",
        source: "release_notes/v3.1.0.md; common/ledger/dataformat/dataformats.go",
    },
    Rule {
        id: "U08",
        components: &[Orderer],
        when: step(LINE_1_4, LINES_2, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "1.4 started on a genesis block that it made up (GENESISMETHOD `provisional`), if nobody said otherwise, and 2.x does not \
                 know that method; its ledger must be found where it was; the system channel stays",
        way_out: "back up each orderer's ledger, see that it started from a genesis block in a Secret (orderers.genesis.secret), and say \
                  --force U08",
        source: "orderer/common/localconfig/config.go and orderer/common/server/main.go of v2.2.15",
    },
    Rule {
        id: "U09",
        components: &[Peer],
        when: step(LINES_2, LINES_3, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "3.x has no chaincode lifecycle of 1.x any more, and nothing here can see which chaincode your channels run",
        way_out: "raise every channel's application capability to V2_0 or V2_5, deploy each chaincode anew by the lifecycle of 2.x, and say \
                  --force U09",
        source: "docs/source/upgrade_to_newest_version.md and release_notes/v3.0.0.md of v3.1.5",
    },
    Rule {
        id: "U10",
        components: &[Orderer],
        when: step_given(LINES_2, LINES_3, Way::Any, Given::NoConsensus(GONE_IN_3)),
        verdict: Verdict::NeedsAction,
        reason: "3.x has no system channel any more: an orderer that finds one in its ledger does not start, and nothing here can look into \
                 the ledger",
        way_out: "see that `osnadmin channel list` of each orderer says that systemChannel is null, or remove it on 2.5 first; then say \
                  --force U10",
        source: "orderer/common/server/main.go of v3.1.5; docs/source/create_channel/create_channel_participation.md of v2.5.16",
    },
    Rule {
        id: "U11",
        components: &[Orderer],
        when: step_given(ANY, LINES_3, Way::Any, Given::Consensus(GONE_IN_3)),
        verdict: Verdict::Block,
        reason: "3.x orders neither on Kafka nor Solo",
        way_out: "migrate every channel to Raft on 2.5 first, the system channel before the others",
        source: "release_notes/v3.0.0.md; docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U12",
        components: NODES,
        when: step(LINES_1, LINES_3, Way::Any),
        verdict: Verdict::Block,
        reason: "the way from 1.x to 3.x goes by 2.x",
        way_out: "upgrade to 2.5.16 first",
        source: "docs/source/upgrade_to_newest_version.md of v3.1.5",
    },
    Rule {
        id: "U13",
        components: &[Peer],
        when: When::OrderersBehind,
        verdict: Verdict::Warn,
        reason: "Fabric advises to upgrade orderers before peers, and these orderers are those that networkPolicy.ordererOrgs names",
        way_out: "upgrade the orderers first, unless you know why not",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U14",
        components: &[Peer],
        when: step(SINCE_2_5, LINES_2_TO_2_4, Way::Any),
        verdict: Verdict::Block,
        reason: "2.5 marks the store of private data with a format of its own when it first starts, and an earlier peer that finds it does \
                 not start",
        way_out: "stay on 2.5 or later; or stop the peer, restore its ledger from the backup that was made before the upgrade to 2.5, and \
                  say --force U14",
        source: "core/ledger/pvtdatastorage/retroactive_hashed_index.go of v2.5.0",
    },
    Rule {
        id: "U14",
        components: &[Peer],
        when: step(LINES_2_TO_2_4, LINES_2_TO_2_4, Way::LineDown),
        verdict: Verdict::NeedsAction,
        reason: SNAPSHOTS_AND_LEVELS,
        way_out: LEVELS_ARE_KNOWN,
        source: "docs/source/updating_capabilities.md; common/capabilities",
    },
    Rule {
        id: "U14",
        components: &[Peer],
        when: step(SINCE_2_5, SINCE_2_5, Way::LineDown),
        verdict: Verdict::NeedsAction,
        reason: SNAPSHOTS_AND_LEVELS,
        way_out: LEVELS_ARE_KNOWN,
        source: "docs/source/updating_capabilities.md; common/capabilities",
    },
    Rule {
        id: "U15",
        components: &[Peer],
        when: step(SINCE_2, LINES_1, Way::Any),
        verdict: Verdict::Block,
        reason: "1.x cannot read databases of the format 2.0, and those it could read were dropped by the upgrade",
        way_out: "stop the peer, restore its ledger from the backup that was made before the upgrade, and say --force U15",
        source: "common/ledger/dataformat/dataformats.go; core/ledger/kvledger/upgrade_dbs.go",
    },
    Rule {
        id: "U16",
        components: &[Orderer],
        when: step_given(LINES_3, LINES_2, Way::Any, Given::Consensus(&["BFT"])),
        verdict: Verdict::Block,
        reason: "2.x does not know BFT, nor the channel capability V3_0 that it needs",
        way_out: "stay on 3.x",
        source: "docs/source/raft_bft_migration.md and common/capabilities/channel.go of v3.1.5",
    },
    Rule {
        id: "U16",
        components: &[Orderer],
        when: step_given(LINES_3, LINES_2, Way::Any, Given::NoConsensus(&["BFT"])),
        verdict: Verdict::NeedsAction,
        reason: "an orderer of 2.x ends at the channel capability V3_0, and nothing here can see a channel's capabilities",
        way_out: "see that no channel has V3_0, back up each orderer's ledger, and say --force U16",
        source: "docs/source/updating_capabilities.md; common/capabilities/channel.go of v3.1.5",
    },
    Rule {
        id: "U17",
        components: NODES,
        when: When::Capability,
        verdict: Verdict::Block,
        reason: "a node ends, by design, at a capability level that it does not know",
        way_out: "take a version that knows the level",
        source: "docs/source/capabilities_concept.md; common/capabilities",
    },
    Rule {
        id: "U18",
        components: &[CouchDb],
        when: step(COUCHDB_2, COUCHDB_3, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "CouchDB 3 starts only with an administrator, and takes documents of 8 MB at most",
        way_out: "see that no state is larger, back up the peer's ledger, and say --force U18; a peer rebuilds its CouchDB from the blocks, \
                  by itself after `peer node upgrade-dbs`, else by `peer node rebuild-dbs`",
        source: "docs.couchdb.org, whatsnew/3.0; docs/source/couchdb_as_state_database.rst",
    },
    Rule {
        id: "U19",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_3, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "versions of CouchDB 3 read what earlier ones wrote; each goes with its peer",
        way_out: "",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U20",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_2, Way::Any),
        verdict: Verdict::Block,
        reason: "CouchDB 2 cannot read what CouchDB 3 wrote",
        way_out: "stay on CouchDB 3; or, since its content can be rebuilt, for one peer at a time: stop it, empty CouchDB's volume, run \
                  `peer node rebuild-dbs`, and say --force U20",
        source: "docs/source/commands/peernode.md",
    },
    Rule {
        id: "U21",
        components: &[Peer],
        when: When::StateDatabase,
        verdict: Verdict::Block,
        reason: "the state is not carried from one database to the other, and all peers of a channel must use the same one, lest they \
                 disagree about rich queries",
        way_out: "set peers.stateDatabase back; to change it, run `peer node rebuild-dbs` on every peer of the channel, and say --force U21",
        source: "docs/source/couchdb_as_state_database.rst",
    },
    Rule {
        id: "U22",
        components: &[Ca],
        when: step(LINE_1_4, Span::since(1, 5, 0).before(1, 5, 14), Way::Any),
        verdict: Verdict::Warn,
        reason: "the server may change its database when it first starts",
        way_out: "have a backup of the database",
        source: "docs/source/users-guide.rst of hyperledger/fabric-ca, \"Upgrading the server\"",
    },
    Rule {
        id: "U23",
        components: &[Ca],
        when: step_given(
            Span::since(1, 4, 0).before(1, 5, 14),
            CA_TOKENS,
            Way::Any,
            Given::Unsaid("FABRIC_CA_SERVER_COMPATIBILITY_MODE_V1_3"),
        ),
        verdict: Verdict::NeedsAction,
        reason: "from 1.5.14 on the CA server refuses tokens of clients of before 1.4, unless told to take them",
        way_out: "say whether you have such clients: --set-string ca.env.FABRIC_CA_SERVER_COMPATIBILITY_MODE_V1_3=true takes their tokens, \
                  =false refuses them",
        source: "release_notes/v1.5.14.md and lib/server.go of hyperledger/fabric-ca v1.5.21",
    },
    Rule {
        id: "U23",
        components: &[Ca],
        when: step(LINE_1_4, CA_TOKENS, Way::Any),
        verdict: Verdict::Warn,
        reason: "the server may change its database when it first starts",
        way_out: "have a backup of the database",
        source: "docs/source/users-guide.rst of hyperledger/fabric-ca, \"Upgrading the server\"",
    },
    Rule {
        id: "U24",
        components: &[Ca],
        when: step(ANY, BEFORE_1_4, Way::Down),
        verdict: Verdict::Block,
        reason: "before 1.4 the database had another level, and a server does not start on one that is above its own",
        way_out: "restore the backup of the database that was made before the upgrade, and say --force U24",
        source: "lib/metadata/version.go of hyperledger/fabric-ca v1.5.21",
    },
    Rule {
        id: "U24",
        components: &[Ca],
        when: step(Span::since(1, 4, 0), Span::since(1, 4, 0), Way::Down),
        verdict: Verdict::Warn,
        reason: "the database has the same level in every version from 1.4.0 on, but Fabric CA describes no way back",
        way_out: "have a backup of the database",
        source: "lib/metadata/version.go of hyperledger/fabric-ca v1.4.9 to v1.5.21",
    },
    Rule {
        id: "U25",
        components: &[Kafka, ZooKeeper],
        when: When::ImageFamily,
        verdict: Verdict::Block,
        reason: "images of other makers keep their data elsewhere and read other variables: it would be an empty cluster",
        way_out: "stay with the image, and migrate the ordering service to Raft",
        source: "docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U26",
        components: &[],
        when: When::History,
        verdict: Verdict::Block,
        reason: "manifests can be rolled back, ledgers and channels cannot",
        way_out: "go on from here with an upgrade; or restore backups from before it, and say --force U26",
        source: "docs/source/updating_capabilities.md; docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U27",
        components: &[],
        when: When::SmallerVolume,
        verdict: Verdict::Block,
        reason: "Kubernetes does not make a volume smaller",
        way_out: "set the size that the volume has",
        source: "kubernetes.io, Persistent Volumes, \"Expanding Persistent Volumes Claims\"",
    },
    Rule {
        id: "U27",
        components: &[],
        when: When::NoVolume,
        verdict: Verdict::Block,
        reason: "without its claim a node starts with nothing, and loses what it learns with its pod: a peer its ledger, an orderer its place \
                 in every channel, a CA server its users",
        way_out: "set persistence.enabled back to true",
        source: "kubernetes.io, Volumes, \"emptyDir\"",
    },
    Rule {
        id: "U28",
        components: &[Peer, Orderer, Ca],
        when: When::Registry,
        verdict: Verdict::Allow,
        reason: "newer versions are published at ghcr.io, and taken from there",
        way_out: "",
        source: "scripts/install-fabric.sh of v3.1.5",
    },
    Rule {
        id: "U29",
        components: &[Peer, Orderer, Tools],
        when: When::NoArm64(Span::ALWAYS.before(2, 5, 0)),
        verdict: Verdict::Block,
        reason: "Fabric publishes images for arm64 from 2.5.0 on, and every machine of this cluster is an arm64 one",
        way_out: "take 2.5 or later, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U29",
        components: &[Ca],
        when: When::NoArm64(Span::ALWAYS.before(1, 5, 6)),
        verdict: Verdict::Block,
        reason: "Fabric CA publishes images for arm64 from 1.5.6 on, and every machine of this cluster is an arm64 one",
        way_out: "take a later version, or add an amd64 machine",
        source: "release_notes/v1.5.6.md of hyperledger/fabric-ca",
    },
    Rule {
        id: "U29",
        components: &[Kafka, ZooKeeper],
        when: When::NoArm64(ANY),
        verdict: Verdict::Block,
        reason: "fabric-kafka and fabric-zookeeper have no images for arm64, and every machine of this cluster is an arm64 one",
        way_out: "order by Raft, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U29",
        components: &[CouchDb],
        when: When::NoArm64(COUCHDB_2),
        verdict: Verdict::Block,
        reason: "fabric-couchdb has no image for arm64, and every machine of this cluster is an arm64 one",
        way_out: "take Fabric 2.5 or later, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U30",
        components: &[Tools],
        when: When::OwnImage(LINES_3),
        verdict: Verdict::Block,
        reason: "Fabric publishes no image of its tools from 3.0 on",
        way_out: "name an image of yours that holds the tools you need (cli.image)",
        source: "release_notes/v3.0.0.md",
    },
    Rule {
        id: "U31",
        components: NODES,
        when: step(ANY, Span::since(1, 4, 3), Way::PatchDown),
        verdict: Verdict::Warn,
        reason: "patches of a line keep formats and capability levels (1.4 has all of its own from 1.4.3 on), but Fabric describes no way back",
        way_out: "have a backup of the ledger",
        source: "common/capabilities and common/ledger/dataformat of every tag",
    },
    Rule {
        id: "U32",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_3, Way::Down),
        verdict: Verdict::Warn,
        reason: "CouchDB describes no way back from a later 3.x",
        way_out: "if it does not start, its content can be rebuilt: empty its volume and run `peer node rebuild-dbs`",
        source: "docs/source/commands/peernode.md",
    },
    Rule {
        id: "U33",
        components: NODES,
        when: When::Changed(Setting::MspId),
        verdict: Verdict::Block,
        reason: "channels identify the organization by its MSP id: under another id its nodes, users and signatures are not a \
                 member's",
        way_out: "set org.mspID back; to use another MSP id, install another release and add it to the channels",
        source: "docs/source/membership/membership.md",
    },
    Rule {
        id: "U34",
        components: NODES,
        when: When::Changed(Setting::Domain),
        verdict: Verdict::Block,
        reason: "certificates contain the domain and are made once: new nodes and users would have a different domain from the existing ones",
        way_out: "set org.domain back; add further names of nodes to tls.extraSans",
        source: "docs/source/identity/identity.md",
    },
    Rule {
        id: "U35",
        components: NODES,
        when: When::Changed(Setting::Tls),
        verdict: Verdict::NeedsAction,
        reason: "a node with TLS cannot connect to one without: during the rollout the organization's members lose each other \
                 one by one, and the other organizations lose them all",
        way_out: "set tls.enabled back; if the whole network and its clients change at the same time, use --force U35",
        source: "docs/source/enable_tls.rst",
    },
    Rule {
        id: "U36",
        components: &[Orderer],
        when: When::Changed(Setting::Consensus),
        verdict: Verdict::NeedsAction,
        reason: "each channel's configuration names its consensus: orderers that start with another one do not change it, and \
                 order nothing",
        way_out: "set orderers.consensus back; after migrating every channel as Fabric documents it (Kafka to Raft on 2.5, Raft \
                  to BFT on 3.x), use --force U36",
        source: "docs/source/kafka_raft_migration.md of v2.5.16; docs/source/raft_bft_migration.md of v3.1.5",
    },
    Rule {
        id: "U37",
        components: NODES,
        when: When::Changed(Setting::Crypto),
        verdict: Verdict::NeedsAction,
        reason: "nodes would start with keys and certificates of another source, and channels know orderers by their \
                 certificates",
        way_out: "set crypto.source back; if the other source has the same keys and certificates for every node, use --force U37",
        source: "docs/source/raft_configuration.md; docs/source/certs_management.md",
    },
    Rule {
        id: "U38",
        components: &[Orderer],
        when: When::QuorumLost,
        verdict: Verdict::Block,
        reason: "a channel needs a quorum of its consenters, and removed orderers still count as consenters: without a quorum \
                 the channel orders nothing, not even the change that would remove them",
        way_out: "leave orderers.count as it was; then remove one orderer after the other, the last one first: from the \
                  consenters of every channel, and only then from the values",
        source: "docs/source/raft_configuration.md, \"Reconfiguration\"; docs/source/bft_configuration.md",
    },
    Rule {
        id: "U38",
        components: &[Orderer],
        when: When::Fewer(Orderer),
        verdict: Verdict::NeedsAction,
        reason: "removed orderers stay consenters until the channel's configuration changes, and this program cannot see whether \
                 a channel still counts one",
        way_out: "remove the orderer from the consenters of every channel, check that the others order without it, and use \
                  --force U38; its volume stays",
        source: "docs/source/raft_configuration.md, \"Reconfiguration\"; docs/source/bft_configuration.md",
    },
    Rule {
        id: "U39",
        components: &[Peer],
        when: When::Fewer(Peer),
        verdict: Verdict::NeedsAction,
        reason: "channels may name the removed peer as an anchor peer, applications may call it, and an endorsement policy may \
                 need a chaincode that only it has; this program cannot see that",
        way_out: "check that the remaining peers are anchor peers of every channel and that applications and chaincodes work \
                  without the removed ones, and use --force U39; their volumes stay",
        source: "docs/source/gossip.rst, \"Anchor peers\"; docs/source/endorsement-policies.rst",
    },
    Rule {
        id: "U40",
        components: &[],
        when: When::Missing,
        verdict: Verdict::NeedsAction,
        reason: "pods that refer to it do not start until it exists",
        way_out: "create it in the release's namespace, or correct its name in the values; if a controller creates it after the \
                  pods, use --force U40",
        source: "kubernetes.io, Secrets, \"Using Secrets as files from a Pod\"",
    },
    Rule {
        id: "U41",
        components: &[],
        when: When::Strangers,
        verdict: Verdict::NeedsAction,
        reason: "the policy also applies to pods of others in this namespace: they lose every connection that no other policy \
                 allows",
        way_out: "install into a namespace of its own, or set networkPolicy.enabled=false; if these pods have network policies \
                  of their own, use --force U41",
        source: "kubernetes.io, Network Policies, \"Default policies\"",
    },
    Rule {
        id: "U42",
        components: &[Orderer],
        when: When::Renewed {
            is_tls: true,
            same_key: false,
            orderer: ANY,
            consensus: PINNED,
        },
        verdict: Verdict::NeedsAction,
        reason: OTHER_KEY,
        way_out: "renew with the same key (fabric-ca-client reenroll --csr.keyrequest.reusekey; cert-manager: rotationPolicy Never); or, \
                  for one orderer at a time, put the new certificate into its consenter entry in the configuration of every channel, roll \
                  it out with --force U42, and go on when that orderer follows its channels again",
        source: "docs/source/certs_management.md; orderer/common/cluster/util.go of v3.1.5",
    },
    Rule {
        id: "U42",
        components: &[Orderer],
        when: When::Renewed {
            is_tls: true,
            same_key: true,
            orderer: BEFORE_1_4_9,
            consensus: PINNED,
        },
        verdict: Verdict::NeedsAction,
        reason: WHOLE_CERTIFICATE,
        way_out: "upgrade to 1.4.9 or later first, which compares keys",
        source: "hyperledger/fabric#1825",
    },
    Rule {
        id: "U42",
        components: &[Orderer],
        when: When::Renewed {
            is_tls: true,
            same_key: true,
            orderer: Span::since(2, 0, 0).before(2, 2, 1),
            consensus: PINNED,
        },
        verdict: Verdict::NeedsAction,
        reason: WHOLE_CERTIFICATE,
        way_out: "upgrade to 2.2.1 or later first, which compares keys",
        source: "hyperledger/fabric#1825",
    },
    Rule {
        id: "U43",
        components: &[Orderer],
        when: When::Renewed {
            is_tls: false,
            same_key: false,
            orderer: ANY,
            consensus: &["BFT"],
        },
        verdict: Verdict::NeedsAction,
        reason: "a channel on BFT knows each orderer by the certificate it signs with: its votes with another key do not count",
        way_out: "renew with the same key; or, for one orderer at a time, put the new certificate into its consenter entry (identity) in the \
                  configuration of every channel, roll it out with --force U43, and go on when that orderer follows its channels again",
        source: "release_notes/v3.1.2.md; docs/source/certs_management.md",
    },
    Rule {
        id: "U43",
        components: &[Orderer],
        when: When::Renewed {
            is_tls: false,
            same_key: true,
            orderer: Span::since(3, 0, 0).before(3, 1, 2),
            consensus: &["BFT"],
        },
        verdict: Verdict::NeedsAction,
        reason: "before 3.1.2 a channel on BFT knows each orderer by its whole signing certificate, even if the key stays",
        way_out: "upgrade to 3.1.3 or later first, which compares keys",
        source: "release_notes/v3.1.2.md",
    },
];

/// The first version that knows a capability level of a group. `None` for names outside the table.
///
/// Source: `common/capabilities/{channel,orderer,application}.go` of v1.4.12, v2.2.15, v2.5.16 and
/// v3.1.5.
const LEVELS: &[(&str, &str, (u64, u64, u64))] = &[
    ("channel", "V1_1", (1, 1, 0)),
    ("channel", "V1_3", (1, 3, 0)),
    ("channel", "V1_4_2", (1, 4, 2)),
    ("channel", "V1_4_3", (1, 4, 3)),
    ("channel", "V2_0", (2, 0, 0)),
    ("channel", "V3_0", (3, 0, 0)),
    ("orderer", "V1_1", (1, 1, 0)),
    ("orderer", "V1_4_2", (1, 4, 2)),
    ("orderer", "V2_0", (2, 0, 0)),
    ("application", "V1_1", (1, 1, 0)),
    ("application", "V1_2", (1, 2, 0)),
    ("application", "V1_3", (1, 3, 0)),
    ("application", "V1_4_2", (1, 4, 2)),
    ("application", "V2_0", (2, 0, 0)),
    ("application", "V2_5", (2, 5, 0)),
];

/// Returns the highest level of a group that a version knows. The table is in ascending order.
pub fn highest_level(group: &str, version: &Version) -> Option<&'static str> {
    let known = |since: (u64, u64, u64)| since <= (version.major, version.minor, version.patch);
    let row = LEVELS
        .iter()
        .rfind(|(its, _, since)| *its == group && known(*since))?;
    Some(row.1)
}

/// Returns the levels of a group, lowest first.
pub fn levels(group: &str) -> Vec<&'static str> {
    let rows = LEVELS.iter().filter(|(its, ..)| *its == group);
    rows.map(|(_, level, _)| *level).collect()
}

pub fn knows(group: &str, level: &str) -> Option<Version> {
    let row = LEVELS
        .iter()
        .find(|(its, name, _)| (*its, *name) == (group, level))?;
    let (major, minor, patch) = row.2;
    Some(Version::new(major, minor, patch))
}
