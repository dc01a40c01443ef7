//! What the edge tells about a network before it is planned: what the file comes to ([`Wanted`]),
//! and what is there ([`Observed`]). Plain data.
//!
//! "Not there" and "could not be read" are different answers. What no answer was given for counts
//! as could not be read.

use super::file::Network;
use std::collections::{BTreeMap, BTreeSet};

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    Known(T),
    /// In the words of whatever failed: "org2: you may not list Secrets".
    Unknown(String),
}

impl<T> Known<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Known::Known(value) => Some(value),
            Known::Unknown(_) => None,
        }
    }
}

/// A release: its name and its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseKey {
    pub release: String,
    pub namespace: String,
}

impl ReleaseKey {
    pub fn new(release: &str, namespace: &str) -> ReleaseKey {
        ReleaseKey {
            release: release.to_owned(),
            namespace: namespace.to_owned(),
        }
    }
}

/// A peer or an orderer: the organization's release and the node's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeKey {
    pub organization: String,
    pub node: String,
}

impl NodeKey {
    pub fn new(organization: &str, node: &str) -> NodeKey {
        NodeKey {
            organization: organization.to_owned(),
            node: node.to_owned(),
        }
    }
}

/// A chaincode on a channel, or a chaincode's package for an organization: the chaincode's name
/// and the other's.
pub type Pair = (String, String);

/// What the file comes to in the hands of the rooms that know charts, packages and definitions.
///
/// A digest equals the one in [`Observed`] exactly if nothing has to be done.
#[derive(Clone, Debug)]
pub struct Wanted<'n> {
    pub network: &'n Network,
    /// Digests of chart and values of each release: organizations, Kafka, chaincode services.
    pub releases: BTreeMap<ReleaseKey, String>,
    /// Package ids by chaincode and organization; `name:version` under the lifecycle of 1.4.
    pub packages: BTreeMap<Pair, String>,
    /// Digests of definitions by chaincode and channel: everything that organizations approve, but
    /// the sequence and the package.
    pub definitions: BTreeMap<Pair, String>,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The wanted releases, and every other release that belongs to the network.
    pub releases: BTreeMap<ReleaseKey, Known<Release>>,
    /// By organization: whether its authority and the identities of its nodes exist.
    pub identities: BTreeMap<String, Known<bool>>,
    /// By orderer organization: whether the Secret with the system channel's genesis block exists.
    pub system_genesis: BTreeMap<String, Known<bool>>,
    /// The wanted nodes, and others of the network. A node that does not exist and has no volume
    /// is `Known(Node::default())`.
    pub nodes: BTreeMap<NodeKey, Known<Node>>,
    /// Of channels that exist: how their configuration differs from the file.
    pub channels: BTreeMap<String, Known<Vec<Change>>>,
    /// By chaincode and channel.
    pub definitions: BTreeMap<Pair, Known<Definitions>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// There is none. `data`: volumes of an earlier one are kept, so its nodes may know channels.
    Absent { data: bool },
    /// `settled`: its newest revision is deployed, rather than failed or interrupted.
    Present { digest: String, settled: bool },
}

/// What one peer or orderer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub channels: BTreeMap<String, Membership>,
    /// Ids of the packages that are installed; of peers.
    pub packages: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Number of blocks.
    pub height: u64,
    /// Hash of block 0, in hex; empty if it was not asked.
    pub genesis: String,
}

/// A difference between a channel's configuration and the file, as the ledger room says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// "add organization Org3MSP"
    pub words: String,
    /// The organizations whose signatures it needs.
    pub signers: Vec<String>,
}

/// What a channel knows of a chaincode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    pub committed: Option<Committed>,
    /// By organization, its newest approval.
    pub approvals: BTreeMap<String, Known<Option<Approval>>>,
    /// Whether the chaincode was initialized at the wanted version.
    pub initialized: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// 0 under the lifecycle of 1.4, which counts none.
    pub sequence: u64,
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub sequence: u64,
    pub digest: String,
    pub package: String,
}
