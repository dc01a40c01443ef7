//! The configuration of a channel as a tree: groups, values and policies by name.
//!
//! Fabric writes maps unsorted, so encodings of the same configuration can differ. A tree has
//! sorted maps, so two trees are equal exactly if Fabric treats them as the same, including the
//! bytes of each value.

use super::config_json::{self, to_json};
use super::message::common::{Block, ChannelHeader, Envelope, HeaderType, Payload};
use super::message::configuration::{
    Config, ConfigEnvelope, ConfigGroup, ConfigPolicy, ConfigValue, GroupEntry, PolicyEntry,
    ValueEntry,
};
use super::message::decode;
use crate::error::{Error, Result};
use prost::Message;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The configuration of a channel at one block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// Counts the configurations of a channel, from 0.
    pub sequence: u64,
    /// The group that Fabric calls `/Channel`.
    pub channel: Group,
}

/// A node of the tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Counts the changes of the node's members, from 0.
    pub version: u64,
    /// The policy that a change of the node's members must satisfy.
    pub mod_policy: String,
    pub groups: BTreeMap<String, Group>,
    pub values: BTreeMap<String, ConfigValue>,
    pub policies: BTreeMap<String, ConfigPolicy>,
}

impl Configuration {
    /// Returns the configuration in a configuration block, with the name of its channel.
    pub fn from_block(block: &Block) -> Result<(String, Configuration)> {
        let data = block.data.as_ref().and_then(|data| data.data.first());
        let data = data.ok_or_else(|| Error::user("the block has no transaction"))?;
        let envelope: Envelope = decode(data, "the first transaction of the block")?;
        let payload: Payload = decode(&envelope.payload, "the payload of the transaction")?;
        let header = payload.header.unwrap_or_default();
        let header: ChannelHeader = decode(&header.channel_header, "the channel header")?;
        if header.r#type() != HeaderType::Config {
            let number = block.header.as_ref().map_or(0, |header| header.number);
            return Err(
                Error::user(format!("block {number} is not a configuration block"))
                    .why("its transaction is of another type"),
            );
        }
        let envelope: ConfigEnvelope = decode(&payload.data, "the configuration of the channel")?;
        let config = envelope.config.unwrap_or_default();
        Ok((header.channel_id, Configuration::from_message(config)?))
    }

    pub fn from_message(config: Config) -> Result<Configuration> {
        let channel = config.channel_group.ok_or_else(|| {
            Error::user("cannot read the configuration").why("it has no channel group")
        })?;
        Ok(Configuration {
            sequence: config.sequence,
            channel: channel.into(),
        })
    }

    pub fn to_message(&self) -> Config {
        Config {
            sequence: self.sequence,
            channel_group: Some(self.channel.clone().into()),
        }
    }

    /// What `configtxlator proto_decode --type common.Config` prints.
    pub fn to_json(&self) -> Result<Json> {
        to_json(&config_json::CONFIG, &self.to_message().encode_to_vec())
    }

    /// What `configtxlator proto_encode --type common.Config` reads.
    pub fn from_json(json: &Json) -> Result<Configuration> {
        let bytes = config_json::from_json(&config_json::CONFIG, json)?;
        Configuration::from_message(decode(&bytes, "the configuration")?)
    }

    /// Applies edited JSON to this configuration.
    ///
    /// Unedited values keep their bytes. JSON shows neither the order of maps nor unknown fields,
    /// and an update must not change a value because of these.
    pub fn edited(&self, json: &Json) -> Result<Configuration> {
        let unedited = Configuration::from_json(&self.to_json()?)?;
        let mut edited = Configuration::from_json(json)?;
        keep_bytes(&self.channel, &unedited.channel, &mut edited.channel);
        Ok(edited)
    }
}

fn keep_bytes(original: &Group, unedited: &Group, edited: &mut Group) {
    for (key, value) in &mut edited.values {
        if let (Some(original), Some(unedited)) =
            (original.values.get(key), unedited.values.get(key))
            && unedited.value == value.value
        {
            value.value.clone_from(&original.value);
        }
    }
    for (key, policy) in &mut edited.policies {
        if let (Some(original), Some(unedited)) =
            (original.policies.get(key), unedited.policies.get(key))
            && unedited.policy == policy.policy
        {
            policy.policy.clone_from(&original.policy);
        }
    }
    for (key, group) in &mut edited.groups {
        if let (Some(original), Some(unedited)) =
            (original.groups.get(key), unedited.groups.get(key))
        {
            keep_bytes(original, unedited, group);
        }
    }
}

impl Group {
    /// The group at this path below, such as `["Application", "Org1MSP"]`.
    pub fn group(&self, path: &[&str]) -> Option<&Group> {
        path.iter()
            .try_fold(self, |group, name| group.groups.get(*name))
    }

    pub fn group_mut(&mut self, path: &[&str]) -> Option<&mut Group> {
        path.iter()
            .try_fold(self, |group, name| group.groups.get_mut(*name))
    }

    /// The message of a value, or `None` if the group does not have the value.
    pub fn value<M: Message + Default>(&self, key: &str) -> Result<Option<M>> {
        let value = self.values.get(key);
        value
            .map(|value| {
                decode(
                    &value.value,
                    &format!("the value {key} of the configuration"),
                )
            })
            .transpose()
    }

    /// Sets the message of a value. The `Admins` policy of the group guards new values.
    pub fn set_value(&mut self, key: &str, message: &impl Message) {
        let value = self
            .values
            .entry(key.to_owned())
            .or_insert_with(|| ConfigValue {
                mod_policy: ADMINS.to_owned(),
                ..ConfigValue::default()
            });
        value.value = message.encode_to_vec();
    }
}

/// The policy of a group's administrators, which guards most elements
/// (`common/channelconfig/util.go`, `AdminsPolicyKey`).
pub const ADMINS: &str = "Admins";

impl From<ConfigGroup> for Group {
    /// If a key occurs twice, the last entry counts, as in Go. A missing value counts as empty.
    fn from(group: ConfigGroup) -> Group {
        let groups = group.groups.into_iter().map(|entry| {
            let value = entry.value.unwrap_or_default();
            (entry.key.unwrap_or_default(), value.into())
        });
        let values = group.values.into_iter();
        let policies = group.policies.into_iter();
        Group {
            version: group.version,
            mod_policy: group.mod_policy,
            groups: groups.collect(),
            values: values
                .map(|entry| {
                    (
                        entry.key.unwrap_or_default(),
                        entry.value.unwrap_or_default(),
                    )
                })
                .collect(),
            policies: policies
                .map(|entry| {
                    (
                        entry.key.unwrap_or_default(),
                        entry.value.unwrap_or_default(),
                    )
                })
                .collect(),
        }
    }
}

impl From<Group> for ConfigGroup {
    fn from(group: Group) -> ConfigGroup {
        let groups = group.groups.into_iter().map(|(key, value)| GroupEntry {
            key: Some(key),
            value: Some(value.into()),
        });
        let values = group.values.into_iter().map(|(key, value)| ValueEntry {
            key: Some(key),
            value: Some(value),
        });
        let policies = group.policies.into_iter().map(|(key, value)| PolicyEntry {
            key: Some(key),
            value: Some(value),
        });
        ConfigGroup {
            version: group.version,
            mod_policy: group.mod_policy,
            groups: groups.collect(),
            values: values.collect(),
            policies: policies.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::message::configuration::{Capabilities, Capability, CapabilityEntry};
    use crate::ledger::update;

    #[test]
    fn what_was_not_edited_keeps_its_bytes() {
        let block = include_bytes!("../../tests/fixtures/v2.5.16/mychannel.block");
        let block: Block = decode(block, "the block").unwrap();
        let (_, mut live) = Configuration::from_block(&block).unwrap();
        // As Go may write it: a map out of order, and a field that is not known.
        let entry = |level: &str| CapabilityEntry {
            key: Some(level.to_owned()),
            value: Some(Capability {}),
        };
        let capabilities = vec![entry("V3_0"), entry("V2_0")];
        live.channel
            .set_value("Capabilities", &Capabilities { capabilities });
        let orderer = live.channel.group_mut(&["Orderer"]).unwrap();
        let timeout = orderer.values.get_mut("BatchTimeout").unwrap();
        timeout.value.extend([0x50, 7]);

        let mut json = live.to_json().unwrap();
        assert_eq!(live.edited(&json).unwrap(), live);
        let path = "/channel_group/groups/Orderer/values/BatchSize/value/max_message_count";
        *json.pointer_mut(path).unwrap() = 10.into();
        let edited = live.edited(&json).unwrap();
        let update = update::compute("mychannel", &live.channel, &edited.channel).unwrap();
        let write = Group::from(update.write_set.unwrap());
        assert!(write.values.is_empty());
        let written = &write.groups["Orderer"].values;
        assert_eq!(written.keys().collect::<Vec<_>>(), ["BatchSize"]);
    }
}
