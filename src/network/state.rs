//! The input of a plan: the desired state from the file ([`Wanted`]) and the observed state
//! ([`Observed`]). Plain data.
//!
//! "Does not exist" and "could not be read" are different states. A missing entry means "could not
//! be read".

use super::file::Network;
use std::collections::{BTreeMap, BTreeSet};

/// A state, or the reason why it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    Known(T),
    /// The message of the failure: "org2: you may not list Secrets".
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

/// A chaincode on a channel, or a chaincode's package for an organization: the name of the
/// chaincode, and of the channel or organization.
pub type Pair = (String, String);

/// The desired state, computed from the file by the rooms for charts, packages and definitions.
///
/// A digest equals the one in [`Observed`] exactly if nothing needs to be done.
#[derive(Clone, Debug)]
pub struct Wanted<'n> {
    pub network: &'n Network,
    /// Digests of chart and values of each release: organizations, Kafka, chaincode services.
    pub releases: BTreeMap<ReleaseKey, String>,
    /// Package ids by chaincode and organization; `name:version` under the lifecycle of 1.4.
    pub packages: BTreeMap<Pair, String>,
    /// Digests of definitions by chaincode and channel: everything that organizations approve,
    /// except for the sequence and the package.
    pub definitions: BTreeMap<Pair, String>,
}

/// The observed state.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The releases in the file, and all other releases of the network.
    pub releases: BTreeMap<ReleaseKey, Known<Release>>,
    /// By organization: whether its authority and the identities of its nodes exist.
    pub identities: BTreeMap<String, Known<bool>>,
    /// By orderer organization: whether the Secret with the system channel's genesis block exists.
    pub system_genesis: BTreeMap<String, Known<bool>>,
    /// The nodes in the file, and others of the network. A node that does not exist and has no
    /// volume is `Known(Node::default())`.
    pub nodes: BTreeMap<NodeKey, Known<Node>>,
    /// For existing channels: the differences between their configuration and the file.
    pub channels: BTreeMap<String, Known<Vec<Change>>>,
    /// By chaincode and channel.
    pub definitions: BTreeMap<Pair, Known<Definitions>>,
    /// Organizations whose namespace is not seen from here, and whether their public part is known.
    pub elsewhere: BTreeMap<String, bool>,
    /// Channels whose genesis block is here as a file.
    pub blocks: BTreeSet<String>,
    /// Organizations that the file no longer names in a channel, and that are in it, by channel.
    pub staying: BTreeMap<String, BTreeSet<String>>,
    /// Releases, no longer in the file, that are servers of chaincodes.
    pub servers: BTreeSet<ReleaseKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// It does not exist. `data`: volumes of an earlier release are kept, so its nodes may have
    /// channels.
    Absent { data: bool },
    /// `settled`: its newest revision is deployed, rather than failed or interrupted.
    Present { digest: String, settled: bool },
}

/// The state of one peer or orderer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub channels: BTreeMap<String, Membership>,
    /// For peers: ids of the installed packages.
    pub packages: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Number of blocks.
    pub height: u64,
    /// Hash of block 0, in hex; empty if it was not queried.
    pub genesis: String,
}

/// A difference between a channel's configuration and the file, as described by the ledger room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// "add organization Org3MSP"
    pub words: String,
    /// The organizations whose signatures it needs.
    pub signers: Vec<String>,
}

/// The state of a chaincode on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    pub committed: Option<Committed>,
    /// By organization, its newest approval.
    pub approvals: BTreeMap<String, Known<Option<Approval>>>,
    /// Whether the chaincode was initialized for the desired version.
    pub initialized: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// 0 under the lifecycle of 1.4, which has no sequence.
    pub sequence: u64,
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub sequence: u64,
    pub digest: String,
    pub package: String,
}
