//! An organization's group in a channel, and its JSON form of `configtxgen -printOrg`, which
//! organizations exchange (`internal/configtxgen/encoder/encoder.go`).

use super::config_json::{self, group_from_json, group_to_json};
use super::config_tree::{ADMINS, Group};
use super::message::configuration::{
    AnchorPeer, AnchorPeers, ConfigGroup, ConfigPolicy, OrdererAddresses,
};
use super::message::decode;
use super::message::msp_configuration::MspConfig;
use super::message::policy::RoleType;
use super::msp::Msp;
use super::policy::Policy;
use crate::error::{Error, Result};
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;

/// Policies by name.
pub type Policies = BTreeMap<String, Policy>;

/// An organization in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Organization {
    /// The key of its group. Usually the MSP id.
    pub name: String,
    pub msp: Msp,
    pub policies: Policies,
    /// The anchor peers, for peers of other organizations. Only in the application group.
    pub anchor_peers: Vec<AnchorPeer>,
    /// `host:port` of its orderers. Only in the orderer group.
    pub endpoints: Vec<String>,
}

/// The section of a channel that contains an organization's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Application,
    Orderer,
    Consortium,
}

impl Organization {
    /// An organization with peers, under its MSP id and the default policies.
    pub fn of_peers(msp: Msp) -> Organization {
        let id = &msp.id;
        let quoted = |roles: &[&str]| {
            let roles: Vec<String> = roles.iter().map(|role| format!("'{id}.{role}'")).collect();
            Policy::parse(&format!("OR({})", roles.join(", ")))
        };
        // Without units, there is no distinction between peers and clients.
        let tells_roles = msp.node_ous.as_ref().is_some_and(|ous| ous.enable);
        let (readers, writers) = match tells_roles {
            true => (
                quoted(&["admin", "peer", "client"]),
                quoted(&["admin", "client"]),
            ),
            false => (quoted(&["member"]), quoted(&["member"])),
        };
        let endorsers = if tells_roles {
            RoleType::Peer
        } else {
            RoleType::Member
        };
        // The policy language cannot express this MSP id, so its policies omit it.
        let any_member = || Policy::signed_by(RoleType::Member, id);
        let policies = [
            ("Admins", Policy::signed_by(RoleType::Admin, id)),
            ("Endorsement", Policy::signed_by(endorsers, id)),
            ("Readers", readers.unwrap_or_else(|_| any_member())),
            ("Writers", writers.unwrap_or_else(|_| any_member())),
        ];
        Organization::new(msp.clone(), policies)
    }

    /// An organization with orderers, under its MSP id and the default policies.
    pub fn of_orderers(msp: Msp, endpoints: Vec<String>) -> Organization {
        let id = &msp.id;
        let policies = [
            ("Admins", Policy::signed_by(RoleType::Admin, id)),
            ("Readers", Policy::signed_by(RoleType::Member, id)),
            ("Writers", Policy::signed_by(RoleType::Member, id)),
        ];
        Organization {
            endpoints,
            ..Organization::new(msp.clone(), policies)
        }
    }

    fn new<const N: usize>(msp: Msp, policies: [(&str, Policy); N]) -> Organization {
        Organization {
            name: msp.id.clone(),
            policies: policies
                .map(|(name, policy)| (name.to_owned(), policy))
                .into(),
            msp,
            anchor_peers: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    /// Its group in this part of a channel.
    pub fn group(&self, part: Part) -> Group {
        let mut group = Group {
            mod_policy: ADMINS.to_owned(),
            ..Group::default()
        };
        set_policies(&mut group, &self.policies);
        group.set_value("MSP", &self.msp.to_message());
        if part == Part::Application && !self.anchor_peers.is_empty() {
            let anchor_peers = self.anchor_peers.clone();
            group.set_value("AnchorPeers", &AnchorPeers { anchor_peers });
        }
        if part == Part::Orderer && !self.endpoints.is_empty() {
            let addresses = self.endpoints.clone();
            group.set_value("Endpoints", &OrdererAddresses { addresses });
        }
        group
    }

    /// Reads the group of an organization.
    pub fn from_group(name: &str, group: &Group) -> Result<Organization> {
        let msp: Option<MspConfig> = group.value("MSP")?;
        let msp = msp.ok_or_else(|| {
            Error::user(format!("cannot read the organization {name}")).why("it has no MSP")
        })?;
        let mut policies = Policies::new();
        for (key, policy) in &group.policies {
            if let Some(policy) = &policy.policy {
                policies.insert(key.clone(), Policy::from_message(policy)?);
            }
        }
        let anchor_peers: Option<AnchorPeers> = group.value("AnchorPeers")?;
        let endpoints: Option<OrdererAddresses> = group.value("Endpoints")?;
        Ok(Organization {
            name: name.to_owned(),
            msp: Msp::from_message(&msp)?,
            policies,
            anchor_peers: anchor_peers.unwrap_or_default().anchor_peers,
            endpoints: endpoints.unwrap_or_default().addresses,
        })
    }

    /// Returns the JSON of `configtxgen -printOrg`: an orderer organization if it has endpoints,
    /// otherwise a peer organization.
    pub fn to_json(&self) -> Result<Value> {
        let (part, schema) = match self.endpoints.is_empty() {
            true => (
                Part::Application,
                &config_json::APPLICATION_ORGANIZATION_GROUP,
            ),
            false => (Part::Orderer, &config_json::ORDERER_ORGANIZATION_GROUP),
        };
        group_to_json(schema, &ConfigGroup::from(self.group(part)).encode_to_vec())
    }

    /// The same as text, byte for byte.
    pub fn print(&self) -> Result<String> {
        Ok(config_json::print(&self.to_json()?))
    }

    /// Reads the output of `configtxgen -printOrg`. It does not contain the name, so the MSP id is
    /// used.
    pub fn from_json(json: &Value) -> Result<Organization> {
        let is_orderer = json.pointer("/values/Endpoints").is_some();
        let schema = match is_orderer {
            true => &config_json::ORDERER_ORGANIZATION_GROUP,
            false => &config_json::APPLICATION_ORGANIZATION_GROUP,
        };
        let bytes = group_from_json(schema, json)?;
        let group: ConfigGroup = decode(&bytes, "the organization")?;
        let organization = Organization::from_group("in the file", &group.into())?;
        Ok(Organization {
            name: organization.msp.id.clone(),
            ..organization
        })
    }
}

/// Sets policies that are guarded by the group's `Admins`.
pub fn set_policies(group: &mut Group, policies: &Policies) {
    for (name, policy) in policies {
        group.policies.insert(
            name.clone(),
            ConfigPolicy {
                version: 0,
                policy: Some(policy.to_message()),
                mod_policy: ADMINS.to_owned(),
            },
        );
    }
}

#[cfg(test)]
mod tests;
