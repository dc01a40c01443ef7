//! The properties of an organization, from its chart and values, that other organizations need.

use crate::fabric::contact::Contact;
use semver::Version;

pub use crate::fabric::Consensus;

/// The kind of nodes in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Peers,
    Orderers,
    Kafka,
}

/// A release as seen by the others in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub role: Role,
    /// The peers or orderers, `peer0` first.
    pub nodes: Vec<String>,
    pub msp_id: String,
    pub version: Version,
    /// Of orderers.
    pub consensus: Option<Consensus>,
    /// Orderers that start from a genesis block of a system channel.
    pub system_channel: bool,
    /// Whether the user provides the genesis block of the system channel by a path on a volume.
    pub genesis_on_volume: bool,
    /// The state database of the peers.
    pub state_database: String,
    /// Port on which chaincode services of the organization listen.
    pub chaincode_port: u64,
    /// Its nodes as others reach them; `None` of Kafka.
    pub contact: Option<Contact>,
}
