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

const SNAPSHOTS_AND_LEVELS: &str = "a peer stops at a capability level that it does not support, \
                                    and it cannot use a ledger that a later minor version created \
                                    from a snapshot; this program can see neither";
const LEVELS_ARE_KNOWN: &str = "check that no channel has a capability level that the earlier \
                                version does not support, and use --force U14; or restore the \
                                ledger's backup";
const BEFORE_1_4_9: Span = Span::ALWAYS.before(1, 4, 9);

/// Consensus types whose channel configurations contain the orderers' certificates.
const PINNED: &[&str] = &["etcdraft", "BFT"];
const OTHER_KEY: &str = "each channel's configuration contains the TLS certificates of its \
                         orderers, which reject an orderer with another key: two such orderers of \
                         three stop the channel";
const WHOLE_CERTIFICATE: &str = "this version compares the whole TLS certificate with the one in \
                                 each channel's configuration, even if the key stays";

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
        reason: "this step is not documented, so it is assumed not to work",
        way_out: "upgrade through versions with documented steps (docs/reference/guards.md)",
        source: "default",
    },
    Rule {
        id: "U01",
        components: &[],
        when: step(ANY, ANY, Way::PatchUp),
        verdict: Verdict::Allow,
        reason: "a patch reads the data of earlier patches, and has the same settings",
        way_out: "",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U02",
        components: &[Orderer],
        when: When::Wanted(Span::since(3, 1, 2).before(3, 1, 3)),
        verdict: Verdict::Block,
        reason: "the orderer image of 3.1.2 does not start: it lacks the folder for the mount of its MSP",
        way_out: "use 3.1.3 or later",
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
        reason: "2.x uses another database format, and peers of 2.0 and 2.1 do not clear CouchDB: \
                 a peer does not start until `peer node upgrade-dbs` has run on its ledger and \
                 CouchDB's data is removed",
        way_out: "upgrade to 2.2 or later instead; or stop the peer, back up its volumes, run \
                  `peer node upgrade-dbs` of the new version on its ledger, clear CouchDB's \
                  volume, and use --force U04",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.0, \"Peer databases upgrade\"",
    },
    Rule {
        id: "U05",
        components: &[Peer],
        when: step(LINE_1_4, Span::since(2, 2, 0).before(3, 0, 0), Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "2.x uses another database format: a peer does not start until `peer node \
                 upgrade-dbs` has run on its ledger; it then rebuilds the databases from the \
                 blocks, which takes hours for a large ledger, and 1.4 can no longer read them",
        way_out: "upgrade the orderers first; vendor the shim of Go chaincode; then for each peer: \
                  stop it, back up its ledger and MSP, run `peer node upgrade-dbs` of the new \
                  version on its ledger, once, while its CouchDB runs; and use --force U05",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.15; core/ledger/kvledger/upgrade_dbs.go",
    },
    Rule {
        id: "U06",
        components: &[Peer],
        when: step(BEFORE_1_4, SINCE_2, Way::Any),
        verdict: Verdict::Block,
        reason: "an upgrade from before 1.4 to 2.x is not documented; every documented upgrade starts at 1.4",
        way_out: "upgrade to 1.4.12 first",
        source: "docs/source/upgrade_to_newest_version.md of v2.2.15",
    },
    Rule {
        id: "U07",
        components: NODES,
        when: step(LINES_2, LINES_2, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "upgrades within 2.x need no special steps; 2.5 rebuilds the indexes of private \
                 data at its first start",
        way_out: "",
        source: "docs/source/upgrade_to_newest_version.md of v2.5.16",
    },
    Rule {
        id: "U07",
        components: NODES,
        when: step(LINES_3, LINES_3, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "all 3.x versions share one data format and need no special steps",
        way_out: "",
        source: "release_notes/v3.1.0.md; common/ledger/dataformat/dataformats.go",
    },
    Rule {
        id: "U08",
        components: &[Orderer],
        when: step(LINE_1_4, LINES_2, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "by default, 1.4 generates its own genesis block (GENESISMETHOD `provisional`), \
                 which 2.x does not support; the path of the ledger must not change; the system \
                 channel stays",
        way_out: "back up each orderer's ledger, check that it started from a genesis block in a \
                  Secret (orderers.genesis.secret), and use --force U08",
        source: "orderer/common/localconfig/config.go and orderer/common/server/main.go of v2.2.15",
    },
    Rule {
        id: "U09",
        components: &[Peer],
        when: step(LINES_2, LINES_3, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "3.x has removed the chaincode lifecycle of 1.x, and this program cannot see which \
                 chaincode your channels run",
        way_out: "raise every channel's application capability to V2_0 or V2_5, deploy each \
                  chaincode again with the lifecycle of 2.x, and use --force U09",
        source: "docs/source/upgrade_to_newest_version.md and release_notes/v3.0.0.md of v3.1.5",
    },
    Rule {
        id: "U10",
        components: &[Orderer],
        when: step_given(LINES_2, LINES_3, Way::Any, Given::NoConsensus(GONE_IN_3)),
        verdict: Verdict::NeedsAction,
        reason: "3.x has removed the system channel: an orderer with one in its ledger does not \
                 start, and this program cannot read the ledger",
        way_out: "check that `osnadmin channel list` of each orderer shows systemChannel as null, \
                  or remove it on 2.5 first; then use --force U10",
        source: "orderer/common/server/main.go of v3.1.5; \
                 docs/source/create_channel/create_channel_participation.md of v2.5.16",
    },
    Rule {
        id: "U11",
        components: &[Orderer],
        when: step_given(ANY, LINES_3, Way::Any, Given::Consensus(GONE_IN_3)),
        verdict: Verdict::Block,
        reason: "3.x supports neither Kafka nor Solo",
        way_out: "migrate every channel to Raft on 2.5 first, the system channel before the others",
        source: "release_notes/v3.0.0.md; docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U12",
        components: NODES,
        when: step(LINES_1, LINES_3, Way::Any),
        verdict: Verdict::Block,
        reason: "an upgrade from 1.x to 3.x needs a step to 2.x",
        way_out: "upgrade to 2.5.16 first",
        source: "docs/source/upgrade_to_newest_version.md of v3.1.5",
    },
    Rule {
        id: "U13",
        components: &[Peer],
        when: When::OrderersBehind,
        verdict: Verdict::Warn,
        reason: "Fabric recommends upgrading orderers before peers; networkPolicy.ordererOrgs names these orderers",
        way_out: "upgrade the orderers first, unless you have a reason not to",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U14",
        components: &[Peer],
        when: step(SINCE_2_5, LINES_2_TO_2_4, Way::Any),
        verdict: Verdict::Block,
        reason: "2.5 marks the store of private data with a new format at its first start, and an \
                 earlier peer does not start on it",
        way_out: "stay on 2.5 or later; or stop the peer, restore its ledger from the backup from \
                  before the upgrade to 2.5, and use --force U14",
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
        reason: "1.x cannot read databases of format 2.0, and the upgrade has dropped those of the old format",
        way_out: "stop the peer, restore its ledger from the backup from before the upgrade, and use --force U15",
        source: "common/ledger/dataformat/dataformats.go; core/ledger/kvledger/upgrade_dbs.go",
    },
    Rule {
        id: "U16",
        components: &[Orderer],
        when: step_given(LINES_3, LINES_2, Way::Any, Given::Consensus(&["BFT"])),
        verdict: Verdict::Block,
        reason: "2.x supports neither BFT nor the channel capability V3_0 that BFT needs",
        way_out: "stay on 3.x",
        source: "docs/source/raft_bft_migration.md and common/capabilities/channel.go of v3.1.5",
    },
    Rule {
        id: "U16",
        components: &[Orderer],
        when: step_given(LINES_3, LINES_2, Way::Any, Given::NoConsensus(&["BFT"])),
        verdict: Verdict::NeedsAction,
        reason: "an orderer of 2.x stops at the channel capability V3_0, and this program cannot \
                 see the capabilities of channels",
        way_out: "check that no channel has V3_0, back up each orderer's ledger, and use --force U16",
        source: "docs/source/updating_capabilities.md; common/capabilities/channel.go of v3.1.5",
    },
    Rule {
        id: "U17",
        components: NODES,
        when: When::Capability,
        verdict: Verdict::Block,
        reason: "a node stops, by design, at a capability level that it does not support",
        way_out: "use a version that supports the level",
        source: "docs/source/capabilities_concept.md; common/capabilities",
    },
    Rule {
        id: "U18",
        components: &[CouchDb],
        when: step(COUCHDB_2, COUCHDB_3, Way::Any),
        verdict: Verdict::NeedsAction,
        reason: "CouchDB 3 needs an administrator, and limits documents to 8 MB",
        way_out: "check that no state is larger, back up the peer's ledger, and use --force U18; a \
                  peer rebuilds its CouchDB from the blocks after `peer node upgrade-dbs` or with \
                  `peer node rebuild-dbs`",
        source: "docs.couchdb.org, whatsnew/3.0; docs/source/couchdb_as_state_database.rst",
    },
    Rule {
        id: "U19",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_3, Way::LineUp),
        verdict: Verdict::Allow,
        reason: "versions of CouchDB 3 read the data of earlier ones; each is upgraded with its peer",
        way_out: "",
        source: "docs/source/upgrading_your_components.md",
    },
    Rule {
        id: "U20",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_2, Way::Any),
        verdict: Verdict::Block,
        reason: "CouchDB 2 cannot read data of CouchDB 3",
        way_out: "stay on CouchDB 3; or, because its content can be rebuilt, for one peer at a \
                  time: stop it, clear CouchDB's volume, run `peer node rebuild-dbs`, and use \
                  --force U20",
        source: "docs/source/commands/peernode.md",
    },
    Rule {
        id: "U21",
        components: &[Peer],
        when: When::StateDatabase,
        verdict: Verdict::Block,
        reason: "the state is not migrated between databases, and all peers of a channel must use \
                 the same one: rich queries have different results otherwise",
        way_out: "set peers.stateDatabase back; to change it, run `peer node rebuild-dbs` on every \
                  peer of the channel, and use --force U21",
        source: "docs/source/couchdb_as_state_database.rst",
    },
    Rule {
        id: "U22",
        components: &[Ca],
        when: step(LINE_1_4, Span::since(1, 5, 0).before(1, 5, 14), Way::Any),
        verdict: Verdict::Warn,
        reason: "the server may migrate its database at its first start",
        way_out: "back up the database",
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
        reason: "since 1.5.14, the CA server rejects tokens of clients before 1.4 by default",
        way_out: "choose whether to accept such clients: --set-string \
                  ca.env.FABRIC_CA_SERVER_COMPATIBILITY_MODE_V1_3=true accepts their tokens, \
                  =false rejects them",
        source: "release_notes/v1.5.14.md and lib/server.go of hyperledger/fabric-ca v1.5.21",
    },
    Rule {
        id: "U23",
        components: &[Ca],
        when: step(LINE_1_4, CA_TOKENS, Way::Any),
        verdict: Verdict::Warn,
        reason: "the server may migrate its database at its first start",
        way_out: "back up the database",
        source: "docs/source/users-guide.rst of hyperledger/fabric-ca, \"Upgrading the server\"",
    },
    Rule {
        id: "U24",
        components: &[Ca],
        when: step(ANY, BEFORE_1_4, Way::Down),
        verdict: Verdict::Block,
        reason: "before 1.4, the database had a lower level, and a server does not start on a level above its own",
        way_out: "restore the backup of the database from before the upgrade, and use --force U24",
        source: "lib/metadata/version.go of hyperledger/fabric-ca v1.5.21",
    },
    Rule {
        id: "U24",
        components: &[Ca],
        when: step(Span::since(1, 4, 0), Span::since(1, 4, 0), Way::Down),
        verdict: Verdict::Warn,
        reason: "the database has the same level since 1.4.0, but Fabric CA documents no downgrade",
        way_out: "back up the database",
        source: "lib/metadata/version.go of hyperledger/fabric-ca v1.4.9 to v1.5.21",
    },
    Rule {
        id: "U25",
        components: &[Kafka, ZooKeeper],
        when: When::ImageFamily,
        verdict: Verdict::Block,
        reason: "images of other vendors use other data paths and variables: the cluster would be empty",
        way_out: "keep the image, and migrate the ordering service to Raft",
        source: "docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U26",
        components: &[],
        when: When::History,
        verdict: Verdict::Block,
        reason: "manifests can be rolled back, but ledgers and channels cannot",
        way_out: "upgrade from here instead; or restore backups from before the change, and use --force U26",
        source: "docs/source/updating_capabilities.md; docs/source/kafka_raft_migration.md of v2.5.16",
    },
    Rule {
        id: "U27",
        components: &[],
        when: When::SmallerVolume,
        verdict: Verdict::Block,
        reason: "Kubernetes cannot shrink a volume",
        way_out: "set the current size of the volume",
        source: "kubernetes.io, Persistent Volumes, \"Expanding Persistent Volumes Claims\"",
    },
    Rule {
        id: "U27",
        components: &[],
        when: When::NoVolume,
        verdict: Verdict::Block,
        reason: "without its claim, a node starts empty and loses its data with its pod: a peer \
                 loses its ledger, an orderer its channels, a CA server its users",
        way_out: "set persistence.enabled back to true",
        source: "kubernetes.io, Volumes, \"emptyDir\"",
    },
    Rule {
        id: "U28",
        components: &[Peer, Orderer, Ca],
        when: When::Registry,
        verdict: Verdict::Allow,
        reason: "newer versions are published at ghcr.io, and pulled from there",
        way_out: "",
        source: "scripts/install-fabric.sh of v3.1.5",
    },
    Rule {
        id: "U29",
        components: &[Peer, Orderer, Tools],
        when: When::NoArm64(Span::ALWAYS.before(2, 5, 0)),
        verdict: Verdict::Block,
        reason: "Fabric publishes arm64 images since 2.5.0, and all machines of this cluster are arm64",
        way_out: "use 2.5 or later, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U29",
        components: &[Ca],
        when: When::NoArm64(Span::ALWAYS.before(1, 5, 6)),
        verdict: Verdict::Block,
        reason: "Fabric CA publishes arm64 images since 1.5.6, and all machines of this cluster are arm64",
        way_out: "use a later version, or add an amd64 machine",
        source: "release_notes/v1.5.6.md of hyperledger/fabric-ca",
    },
    Rule {
        id: "U29",
        components: &[Kafka, ZooKeeper],
        when: When::NoArm64(ANY),
        verdict: Verdict::Block,
        reason: "fabric-kafka and fabric-zookeeper have no arm64 images, and all machines of this cluster are arm64",
        way_out: "use Raft, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U29",
        components: &[CouchDb],
        when: When::NoArm64(COUCHDB_2),
        verdict: Verdict::Block,
        reason: "fabric-couchdb has no arm64 image, and all machines of this cluster are arm64",
        way_out: "use Fabric 2.5 or later, or add an amd64 machine",
        source: "release_notes/v2.5.0.md",
    },
    Rule {
        id: "U30",
        components: &[Tools],
        when: When::OwnImage(LINES_3),
        verdict: Verdict::Block,
        reason: "Fabric publishes no image with its tools since 3.0",
        way_out: "set cli.image to an image with the tools you need",
        source: "release_notes/v3.0.0.md",
    },
    Rule {
        id: "U31",
        components: NODES,
        when: step(ANY, Span::since(1, 4, 3), Way::PatchDown),
        verdict: Verdict::Warn,
        reason: "patches keep formats and capability levels (1.4 has all of its levels since \
                 1.4.3), but Fabric documents no downgrade",
        way_out: "back up the ledger",
        source: "common/capabilities and common/ledger/dataformat of every tag",
    },
    Rule {
        id: "U32",
        components: &[CouchDb],
        when: step(COUCHDB_3, COUCHDB_3, Way::Down),
        verdict: Verdict::Warn,
        reason: "CouchDB documents no downgrade within 3.x",
        way_out: "if it does not start, rebuild its content: clear its volume and run `peer node rebuild-dbs`",
        source: "docs/source/commands/peernode.md",
    },
    Rule {
        id: "U33",
        components: NODES,
        when: When::Changed(Setting::MspId),
        verdict: Verdict::Block,
        reason: "channels identify the organization by its MSP id: with another id, its nodes, \
                 users and signatures are not those of a member",
        way_out: "set org.mspID back; to use another MSP id, install another release and add it to the channels",
        source: "docs/source/membership/membership.md",
    },
    Rule {
        id: "U34",
        components: NODES,
        when: When::Changed(Setting::Domain),
        verdict: Verdict::Block,
        reason: "certificates contain the domain and are created once: new nodes and users would \
                 have another domain than existing ones",
        way_out: "set org.domain back; add further names of nodes to tls.extraSans",
        source: "docs/source/identity/identity.md",
    },
    Rule {
        id: "U35",
        components: NODES,
        when: When::Changed(Setting::Tls),
        verdict: Verdict::NeedsAction,
        reason: "a node with TLS cannot connect to one without: during the rollout, the \
                 organization's nodes lose each other one by one, and other organizations lose \
                 them all",
        way_out: "set tls.enabled back; if the whole network and its clients change at the same time, use --force U35",
        source: "docs/source/enable_tls.rst",
    },
    Rule {
        id: "U36",
        components: &[Orderer],
        when: When::Changed(Setting::Consensus),
        verdict: Verdict::NeedsAction,
        reason: "each channel's configuration names its consensus: orderers with another one do \
                 not change it, and order nothing",
        way_out: "set orderers.consensus back; after migrating every channel as Fabric documents \
                  it (Kafka to Raft on 2.5, Raft to BFT on 3.x), use --force U36",
        source: "docs/source/kafka_raft_migration.md of v2.5.16; docs/source/raft_bft_migration.md of v3.1.5",
    },
    Rule {
        id: "U37",
        components: NODES,
        when: When::Changed(Setting::Crypto),
        verdict: Verdict::NeedsAction,
        reason: "nodes would start with keys and certificates from another source, and channels \
                 identify orderers by their certificates",
        way_out: "set crypto.source back; if the other source has the same keys and certificates \
                  for every node, use --force U37",
        source: "docs/source/raft_configuration.md; docs/source/certs_management.md",
    },
    Rule {
        id: "U38",
        components: &[Orderer],
        when: When::QuorumLost,
        verdict: Verdict::Block,
        reason: "a channel needs a quorum of its consenters, and removed orderers still count as \
                 consenters: without a quorum the channel orders nothing, not even the change that \
                 would remove them",
        way_out: "leave orderers.count as it was; then remove one orderer after the other, the \
                  last one first: from the consenters of every channel, and only then from the \
                  values",
        source: "docs/source/raft_configuration.md, \"Reconfiguration\"; docs/source/bft_configuration.md",
    },
    Rule {
        id: "U38",
        components: &[Orderer],
        when: When::Fewer(Orderer),
        verdict: Verdict::NeedsAction,
        reason: "removed orderers stay consenters until the channel's configuration changes, and \
                 this program cannot see whether a channel still counts one",
        way_out: "remove the orderer from the consenters of every channel, check that the others \
                  order without it, and use --force U38; its volume stays",
        source: "docs/source/raft_configuration.md, \"Reconfiguration\"; docs/source/bft_configuration.md",
    },
    Rule {
        id: "U39",
        components: &[Peer],
        when: When::Fewer(Peer),
        verdict: Verdict::NeedsAction,
        reason: "channels may name the removed peer as an anchor peer, applications may call it, \
                 and an endorsement policy may need a chaincode that only it has; this program \
                 cannot see that",
        way_out: "check that the remaining peers are anchor peers of every channel and that \
                  applications and chaincodes work without the removed ones, and use --force U39; \
                  their volumes stay",
        source: "docs/source/gossip.rst, \"Anchor peers\"; docs/source/endorsement-policies.rst",
    },
    Rule {
        id: "U40",
        components: &[],
        when: When::Missing,
        verdict: Verdict::NeedsAction,
        reason: "pods that refer to it do not start until it exists",
        way_out: "create it in the release's namespace, or correct its name in the values; if a \
                  controller creates it after the pods, use --force U40",
        source: "kubernetes.io, Secrets, \"Using Secrets as files from a Pod\"",
    },
    Rule {
        id: "U41",
        components: &[],
        when: When::Strangers,
        verdict: Verdict::NeedsAction,
        reason: "the policy also applies to other pods in this namespace: they lose every \
                 connection that no other policy allows",
        way_out: "install into a namespace of its own, or set networkPolicy.enabled=false; if \
                  these pods have network policies of their own, use --force U41",
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
        way_out: "if its Secret is gone, restore it from a backup; renew with the same key (fabric-ca-client reenroll --csr.keyrequest.reusekey; \
                  cert-manager: rotationPolicy Never); or, for one orderer at a time, put the new \
                  certificate into its consenter entry in the configuration of every channel, roll \
                  it out with --force U42, and continue when that orderer follows its channels \
                  again",
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
        reason: "a channel with BFT identifies each orderer by its signing certificate: votes with \
                 another key do not count",
        way_out: "renew with the same key; or, for one orderer at a time, put the new certificate \
                  into its consenter entry (identity) in the configuration of every channel, roll \
                  it out with --force U43, and continue when that orderer follows its channels \
                  again",
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
        reason: "before 3.1.2, a channel with BFT identifies each orderer by its whole signing \
                 certificate, even if the key stays",
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
