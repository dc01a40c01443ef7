//! The first configuration of a channel and its genesis block
//! (`internal/configtxgen/encoder/encoder.go`, `common/genesis/genesis.go`).
//!
//! [`Channel`] describes a channel. [`Channel::group`] checks it and creates the same tree as
//! configtxgen from an equivalent configtx.yaml. An application channel contains its orderers and
//! organizations (2.3 and later). Before, a system channel contains the consortiums
//! ([`Channel::consortiums`]), and [`creation`] requests a channel from it.

mod check;
mod defaults;

pub use check::{check_name, is_duration};
pub use defaults::{
    application_policies, batch_size, bft_options, channel_policies, go_duration, levels,
    orderer_policies, raft_options,
};

use super::block::data_hash;
use super::config_tree::{ADMINS, Configuration, Group};
use super::envelope::Stamp;
use super::message::common::{
    Block, BlockData, BlockHeader, BlockMetadata, ChannelHeader, Envelope, Header, HeaderType,
    LastConfig, Metadata, OrdererBlockMetadata, Payload, SignatureHeader, Timestamp,
};
use super::message::configuration::{
    AclEntry, Acls, ApiResource, BlockDataHashingStructure, Capabilities, Capability,
    CapabilityEntry, ConfigEnvelope, ConfigPolicy, ConfigUpdate, ConfigValue, Consenter,
    Consortium, HashingAlgorithm, OrdererAddresses, Orderers,
};
use super::message::msp::SerializedIdentity;
use super::message::orderer_configuration::{
    BatchSize, BatchTimeout, BftOptions, ChannelRestrictions, ConsensusType, KafkaBrokers,
    RaftConsenter, RaftMetadata, RaftOptions,
};
use super::message::policy::{
    Classification, ImplicitMetaRule, Principal, SignaturePolicyEnvelope,
};
use super::organization::{Organization, Part, Policies, set_policies};
use super::policy::{Policy, n_out_of, signed_by};
use super::proposal::TxId;
use super::update;
use crate::error::{Error, Result};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The description of a new channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channel {
    /// Levels of the channel: `V3_0`.
    pub capabilities: BTreeSet<String>,
    pub policies: Policies,
    pub orderer: Option<Orderer>,
    pub application: Option<Application>,
    /// Organizations that may create channels, by consortium. Only in a system channel (until 2.x).
    pub consortiums: BTreeMap<String, Vec<Organization>>,
    /// The consortium that creates this channel (until 2.x).
    pub consortium: Option<String>,
}

/// The ordering service of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Orderer {
    pub consensus: Consensus,
    pub batch_size: BatchSize,
    pub batch_timeout: Duration,
    pub organizations: Vec<Organization>,
    pub policies: Policies,
    pub capabilities: BTreeSet<String>,
    /// `host:port` of all orderers. Not with the channel level `V3_0`, where each organization has
    /// its endpoints.
    pub addresses: Vec<String>,
    /// Maximum number of channels; 0 means no limit.
    pub max_channels: u64,
}

/// The consensus type.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one for each channel")]
pub enum Consensus {
    /// A single orderer (1.4).
    Solo,
    /// Kafka (1.4).
    Kafka { brokers: Vec<String> },
    Raft {
        consenters: Vec<RaftConsenter>,
        options: RaftOptions,
    },
    /// SmartBFT (3.x).
    Bft {
        consenters: Vec<Consenter>,
        options: BftOptions,
    },
}

/// The organizations that transact on a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Application {
    pub organizations: Vec<Organization>,
    pub policies: Policies,
    pub capabilities: BTreeSet<String>,
    /// The policy of each resource whose default is not wanted: `qscc/GetChainInfo`.
    pub acls: BTreeMap<String, String>,
}

impl Channel {
    /// The checked configuration.
    ///
    /// # Errors
    ///
    /// Lists all problems for which orderers or peers would reject the channel.
    pub fn configuration(&self) -> Result<Configuration> {
        check::check(self)?;
        Ok(Configuration {
            sequence: 0,
            channel: self.group(),
        })
    }

    fn group(&self) -> Group {
        let mut group = group_of(&self.policies, &self.capabilities);
        let name = "SHA256".to_owned();
        group.set_value("HashingAlgorithm", &HashingAlgorithm { name });
        let width = u32::MAX;
        group.set_value(
            "BlockDataHashingStructure",
            &BlockDataHashingStructure { width },
        );
        if let Some(name) = self.consortium.clone() {
            group.set_value("Consortium", &Consortium { name });
        }
        if let Some(orderer) = &self.orderer {
            if !orderer.addresses.is_empty() {
                let addresses = orderer.addresses.clone();
                group.set_value("OrdererAddresses", &OrdererAddresses { addresses });
                if let Some(value) = group.values.get_mut("OrdererAddresses") {
                    value.mod_policy = ORDERER_ADMINS.to_owned();
                }
            }
            group.groups.insert("Orderer".to_owned(), orderer.group());
        }
        if let Some(application) = &self.application {
            group
                .groups
                .insert("Application".to_owned(), application.group());
        }
        if !self.consortiums.is_empty() {
            let consortiums = consortiums_group(&self.consortiums);
            group.groups.insert("Consortiums".to_owned(), consortiums);
        }
        group
    }
}

/// The policy of the elements that only the orderers' administrators may change.
const ORDERER_ADMINS: &str = "/Channel/Orderer/Admins";

fn group_of(policies: &Policies, capabilities: &BTreeSet<String>) -> Group {
    let mut group = Group {
        mod_policy: ADMINS.to_owned(),
        ..Group::default()
    };
    set_policies(&mut group, policies);
    if !capabilities.is_empty() {
        let entries = capabilities.iter().map(|level| CapabilityEntry {
            key: Some(level.clone()),
            value: Some(Capability {}),
        });
        let capabilities = entries.collect();
        group.set_value("Capabilities", &Capabilities { capabilities });
    }
    group
}

fn organization_groups(organizations: &[Organization], part: Part) -> BTreeMap<String, Group> {
    let groups = organizations.iter();
    groups.map(|it| (it.name.clone(), it.group(part))).collect()
}

impl Orderer {
    fn group(&self) -> Group {
        let mut group = group_of(&self.policies, &self.capabilities);
        group.set_value("BatchSize", &self.batch_size);
        let timeout = go_duration(self.batch_timeout);
        group.set_value("BatchTimeout", &BatchTimeout { timeout });
        let max_count = self.max_channels;
        group.set_value("ChannelRestrictions", &ChannelRestrictions { max_count });
        let metadata = match &self.consensus {
            Consensus::Solo => Vec::new(),
            Consensus::Kafka { brokers } => {
                let brokers = brokers.clone();
                group.set_value("KafkaBrokers", &KafkaBrokers { brokers });
                Vec::new()
            }
            Consensus::Raft {
                consenters,
                options,
            } => RaftMetadata {
                consenters: consenters.clone(),
                options: Some(options.clone()),
            }
            .encode_to_vec(),
            Consensus::Bft {
                consenters,
                options,
            } => {
                let consenter_mapping = consenters.clone();
                group.set_value("Orderers", &Orderers { consenter_mapping });
                set_bft_block_validation(&mut group, consenters);
                options.encode_to_vec()
            }
        };
        group.set_value(
            "ConsensusType",
            &ConsensusType {
                r#type: self.consensus.name().to_owned(),
                metadata,
                state: 0,
            },
        );
        group.groups = organization_groups(&self.organizations, Part::Orderer);
        group
    }
}

impl Consensus {
    /// The name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Consensus::Solo => "solo",
            Consensus::Kafka { .. } => "kafka",
            Consensus::Raft { .. } => "etcdraft",
            Consensus::Bft { .. } => "BFT",
        }
    }
}

/// A block of a BFT channel must have the signatures of a quorum of its consenters
/// (`common/policies/bft.go`). A change of the consenters must change this policy too.
pub fn set_bft_block_validation(orderer: &mut Group, consenters: &[Consenter]) {
    let nodes = consenters.len();
    let faulty = nodes.saturating_sub(1) / 3;
    let quorum = (nodes + faulty + 1).div_ceil(2);
    let principal = |consenter: &Consenter| Principal {
        principal_classification: Classification::Identity.into(),
        principal: SerializedIdentity {
            mspid: consenter.msp_id.clone(),
            id_bytes: consenter.identity.clone(),
        }
        .encode_to_vec(),
    };
    let policy = Policy::Signature(SignaturePolicyEnvelope {
        version: 0,
        rule: Some(n_out_of(quorum as i32, (0..nodes).map(signed_by).collect())),
        identities: consenters.iter().map(principal).collect(),
    });
    let entry = orderer.policies.entry("BlockValidation".to_owned());
    let entry = entry.or_insert_with(|| ConfigPolicy {
        mod_policy: ADMINS.to_owned(),
        ..ConfigPolicy::default()
    });
    entry.policy = Some(policy.to_message());
}

impl Application {
    fn group(&self) -> Group {
        let mut group = group_of(&self.policies, &self.capabilities);
        if !self.acls.is_empty() {
            let acls = self.acls.iter().map(|(resource, policy)| AclEntry {
                key: Some(resource.clone()),
                value: Some(ApiResource {
                    policy_ref: policy.clone(),
                }),
            });
            let acls = acls.collect();
            group.set_value("ACLs", &Acls { acls });
        }
        group.groups = organization_groups(&self.organizations, Part::Application);
        group
    }
}

fn consortiums_group(consortiums: &BTreeMap<String, Vec<Organization>>) -> Group {
    let mut group = Group {
        mod_policy: ORDERER_ADMINS.to_owned(),
        ..Group::default()
    };
    // Nothing refers to it; the channel's MAJORITY of Admins counts it as satisfied.
    let accept_all = Policy::Signature(SignaturePolicyEnvelope {
        version: 0,
        rule: Some(n_out_of(0, Vec::new())),
        identities: Vec::new(),
    });
    set_policies(&mut group, &[(ADMINS.to_owned(), accept_all)].into());
    for policy in group.policies.values_mut() {
        policy.mod_policy = ORDERER_ADMINS.to_owned();
    }
    for (name, organizations) in consortiums {
        let creation = Policy::ImplicitMeta(ImplicitMetaRule::Any, ADMINS.to_owned());
        let creation = ConfigValue {
            version: 0,
            value: creation.to_message().encode_to_vec(),
            mod_policy: ORDERER_ADMINS.to_owned(),
        };
        group.groups.insert(
            name.clone(),
            Group {
                mod_policy: ORDERER_ADMINS.to_owned(),
                groups: organization_groups(organizations, Part::Consortium),
                values: [("ChannelCreationPolicy".to_owned(), creation)].into(),
                ..Group::default()
            },
        );
    }
    group
}

/// Returns the update that requests a channel from the system channel, until 2.x (`encoder.go`,
/// `NewChannelCreateConfigUpdate` and `DefaultConfigTemplate`).
pub fn creation(name: &str, channel: &Channel) -> Result<ConfigUpdate> {
    check::check_name(name)?;
    let consortium = channel.consortium.clone().ok_or_else(|| {
        Error::user(format!("cannot create the channel {name}"))
            .why("a channel created by a system channel must belong to a consortium")
    })?;
    let to = channel.configuration()?.channel;
    let mut template = to.clone();
    let application = template.groups.get_mut("Application").ok_or_else(|| {
        Error::user(format!("cannot create the channel {name}")).why("it has no organizations")
    })?;
    application.values.clear();
    application.policies.clear();
    let mut update = update::compute(name, &template, &to)?;
    let sets = [&mut update.read_set, &mut update.write_set].map(Option::take);
    let [mut read, mut write] = sets.map(|set| Group::from(set.unwrap_or_default()));
    read.values
        .insert("Consortium".to_owned(), ConfigValue::default());
    let value = Consortium { name: consortium }.encode_to_vec();
    let value = ConfigValue {
        value,
        ..ConfigValue::default()
    };
    write.values.insert("Consortium".to_owned(), value);
    (update.read_set, update.write_set) = (Some(read.into()), Some(write.into()));
    Ok(update)
}

/// Returns the first block of a channel. Ignores the stamp's connection, because the block is not
/// signed.
pub fn block(name: &str, configuration: &Configuration, stamp: &Stamp) -> Result<Block> {
    check::check_name(name)?;
    let channel_header = ChannelHeader {
        r#type: HeaderType::Config.into(),
        version: 1,
        timestamp: Some(Timestamp {
            seconds: stamp.time.as_second(),
            nanos: 0,
        }),
        channel_id: name.to_owned(),
        tx_id: TxId::new(&stamp.nonce, &[]).to_string(),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: Vec::new(),
        nonce: stamp.nonce.to_vec(),
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: channel_header.encode_to_vec(),
            signature_header: signature_header.encode_to_vec(),
        }),
        data: ConfigEnvelope {
            config: Some(configuration.to_message()),
            last_update: None,
        }
        .encode_to_vec(),
    };
    let envelope = Envelope {
        payload: payload.encode_to_vec(),
        signature: Vec::new(),
    };
    let data = BlockData {
        data: vec![envelope.encode_to_vec()],
    };
    let signatures = Metadata {
        value: OrdererBlockMetadata {
            last_config: Some(LastConfig { index: 0 }),
            consenter_metadata: Vec::new(),
        }
        .encode_to_vec(),
        signatures: Vec::new(),
    };
    let mut metadata = vec![Vec::new(); 5];
    metadata[0] = signatures.encode_to_vec();
    Ok(Block {
        header: Some(BlockHeader {
            number: 0,
            previous_hash: Vec::new(),
            data_hash: data_hash(&data).to_vec(),
        }),
        data: Some(data),
        metadata: Some(BlockMetadata { metadata }),
    })
}

#[cfg(test)]
mod tests;
