//! One step of a plan: its action, the organizations that can run it, and its dependencies.

use serde::Serialize;
use std::fmt;

/// The action of a step. All actions are idempotent: they read before they write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "action",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    /// Create an organization's authority and the identities of its nodes, with their namespace.
    Identities {
        organization: String,
    },
    /// Provide an organization's public part. Without it, others cannot add it to a channel.
    Definition {
        organization: String,
        file: String,
    },
    /// Create the genesis block of the orderers' system channel and store it in a Secret.
    SystemGenesis {
        organization: String,
        channel: String,
    },
    Install {
        release: String,
        namespace: String,
    },
    Upgrade {
        release: String,
        namespace: String,
    },
    /// Create a channel's genesis block from the public parts of its members.
    Genesis {
        channel: String,
    },
    /// Create a channel and provide its genesis block. Its orderers are in other namespaces.
    Block {
        channel: String,
        file: String,
    },
    /// Create a channel through the orderers' system channel.
    CreateChannel {
        channel: String,
    },
    /// Join an orderer. `block_from` is the node with the genesis block; `None` means the created
    /// one.
    JoinOrderer {
        channel: String,
        organization: String,
        node: String,
        block_from: Option<String>,
    },
    JoinPeer {
        channel: String,
        organization: String,
        node: String,
        block_from: Option<String>,
    },
    /// Set an organization's anchor peers, if the creation of the channel could not.
    Anchors {
        channel: String,
        organization: String,
        peers: Vec<String>,
    },
    /// Change a channel's configuration.
    UpdateChannel {
        channel: String,
        changes: Vec<String>,
        signers: Vec<String>,
    },
    /// Install a chaincode's package on a peer.
    Package {
        chaincode: String,
        organization: String,
        node: String,
        package: String,
    },
    Approve {
        chaincode: String,
        version: String,
        channel: String,
        organization: String,
        sequence: u64,
    },
    Commit {
        chaincode: String,
        version: String,
        channel: String,
        sequence: u64,
    },
    /// Instantiate or upgrade a chaincode under the lifecycle of 1.4.
    Instantiate {
        chaincode: String,
        version: String,
        channel: String,
        upgrade: bool,
    },
    /// Invoke a chaincode's initialization.
    Initialize {
        chaincode: String,
        channel: String,
    },
    /// Remove a node from a channel that is no longer in the file.
    Leave {
        channel: String,
        organization: String,
        node: String,
    },
    /// Uninstall a release that is no longer in the file; volumes and identities stay.
    Uninstall {
        release: String,
        namespace: String,
    },
}

impl Action {
    /// Returns the id of the step, which is the same in every plan: `join/mychannel/org1/peer0`.
    pub fn id(&self) -> String {
        let parts: &[&str] = match self {
            Action::Identities { organization: org }
            | Action::Definition {
                organization: org, ..
            } => &["identities", org],
            Action::SystemGenesis {
                organization: org, ..
            } => &["system-genesis", org],
            Action::Install { release, namespace } | Action::Upgrade { release, namespace } => {
                &["release", namespace, release]
            }
            Action::Uninstall { release, namespace } => &["uninstall", namespace, release],
            Action::Genesis { channel }
            | Action::Block { channel, .. }
            | Action::CreateChannel { channel } => &["channel", channel],
            Action::UpdateChannel { channel, .. } => &["update", channel],
            Action::Anchors {
                channel,
                organization,
                ..
            } => &["anchors", channel, organization],
            _ => return self.id_of_node_or_chaincode(),
        };
        parts.join("/")
    }

    fn id_of_node_or_chaincode(&self) -> String {
        let (verb, of) = match self {
            Action::JoinOrderer {
                channel,
                organization,
                ..
            }
            | Action::JoinPeer {
                channel,
                organization,
                ..
            } => ("join", [channel, organization]),
            Action::Leave {
                channel,
                organization,
                ..
            } => ("leave", [channel, organization]),
            Action::Package {
                chaincode,
                organization,
                ..
            } => ("package", [chaincode, organization]),
            Action::Approve {
                chaincode,
                channel,
                organization,
                ..
            } => {
                return format!("approve/{chaincode}/{channel}/{organization}");
            }
            Action::Commit {
                chaincode, channel, ..
            }
            | Action::Instantiate {
                chaincode, channel, ..
            } => ("commit", [chaincode, channel]),
            Action::Initialize { chaincode, channel } => ("init", [chaincode, channel]),
            _ => return String::new(),
        };
        let [first, second] = of;
        match self.node() {
            "" => format!("{verb}/{first}/{second}"),
            node => format!("{verb}/{first}/{second}/{node}"),
        }
    }
}

impl Action {
    /// Returns the node that joins or leaves a channel or gets a package. Empty for other steps.
    pub fn node(&self) -> &str {
        match self {
            Action::JoinOrderer { node, .. }
            | Action::JoinPeer { node, .. }
            | Action::Leave { node, .. }
            | Action::Package { node, .. } => node,
            _ => "",
        }
    }

    fn words_of_release(&self) -> Option<String> {
        let release = |release: &str, namespace: &str| match release == namespace {
            true => release.to_owned(),
            false => format!("{release} in namespace {namespace}"),
        };
        Some(match self {
            Action::Identities { organization } => {
                format!("create the identities of {organization}")
            }
            Action::Definition { organization, file } => {
                format!("provide the public part of {organization}: {file}")
            }
            Action::SystemGenesis {
                organization,
                channel,
            } => {
                format!("create the genesis block of {channel} for {organization}")
            }
            Action::Install {
                release: name,
                namespace,
            } => {
                format!("install {}", release(name, namespace))
            }
            Action::Upgrade {
                release: name,
                namespace,
            } => {
                format!("upgrade {}", release(name, namespace))
            }
            Action::Uninstall {
                release: name,
                namespace,
            } => {
                format!("uninstall {}", release(name, namespace))
            }
            _ => return None,
        })
    }

    fn words_of_channel(&self) -> Option<String> {
        Some(match self {
            Action::Genesis { channel } => format!("create the genesis block of {channel}"),
            Action::Block { channel, file } => {
                format!("provide the genesis block of {channel}: {file}")
            }
            Action::CreateChannel { channel } => format!("create {channel}"),
            Action::JoinOrderer {
                channel,
                organization,
                node,
                ..
            }
            | Action::JoinPeer {
                channel,
                organization,
                node,
                ..
            } => {
                format!("join {node} of {organization} to {channel}")
            }
            Action::Leave {
                channel,
                organization,
                node,
            } => {
                format!("remove {node} of {organization} from {channel}")
            }
            Action::Anchors {
                channel,
                organization,
                peers,
            } => {
                let peers = peers.join(", ");
                format!("set anchor peers of {organization} in {channel}: {peers}")
            }
            Action::UpdateChannel {
                channel, changes, ..
            } => {
                format!("update {channel}: {}", changes.join("; "))
            }
            _ => return None,
        })
    }

    fn words_of_chaincode(&self) -> Option<String> {
        Some(match self {
            Action::Package {
                chaincode,
                organization,
                node,
                ..
            } => {
                format!("install the package of {chaincode} on {node} of {organization}")
            }
            Action::Approve {
                chaincode,
                version,
                channel,
                organization,
                sequence,
            } => format!(
                "approve {chaincode} {version} on {channel} for {organization}, sequence {sequence}"
            ),
            Action::Commit {
                chaincode,
                version,
                channel,
                sequence,
            } => {
                format!("commit {chaincode} {version} on {channel}, sequence {sequence}")
            }
            Action::Instantiate {
                chaincode,
                version,
                channel,
                upgrade,
            } => {
                let verb = if *upgrade { "upgrade" } else { "instantiate" };
                format!("{verb} {chaincode} {version} on {channel}")
            }
            Action::Initialize { chaincode, channel } => {
                format!("initialize {chaincode} on {channel}")
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Action {
    /// Describes the step: `join peer0 of org1 to mychannel`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words_of_release();
        let words = words.or_else(|| self.words_of_channel());
        let words = words.or_else(|| self.words_of_chaincode());
        f.write_str(&words.unwrap_or_else(|| self.id()))
    }
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub id: String,
    #[serde(flatten)]
    pub action: Action,
    /// The organizations whose permissions are sufficient: any one of them.
    pub by: Vec<String>,
    /// Ids of steps in the same plan that must be completed first.
    pub after: Vec<String>,
}

impl Step {
    /// Returns true if the step provides a file to other organizations.
    pub fn is_handover(&self) -> bool {
        matches!(
            self.action,
            Action::Definition { .. } | Action::Block { .. }
        )
    }
}
