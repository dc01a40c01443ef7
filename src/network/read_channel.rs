//! Reads one channel of a network file, with its defaults.

use super::capability;
use super::document::{self, Named};
use super::file::{BatchSize, Channel, ChannelMember, Network, OrdererMember, SystemChannel};
use super::member::Member;
use super::quantity;
use serde_json::Value;
use std::time::Duration;

/// Settings that do not depend on the members are used as written. Defaults that depend on unknown
/// members stay empty.
pub fn channel(name: &str, written: &document::Channel, network: &Network) -> Channel {
    let member = |release: &String| {
        let organization = network.organizations.get(release)?;
        Some(&organization.member)
    };
    let orderers: Vec<&Member> = written.orderers.keys().filter_map(member).collect();
    let peers: Vec<&Member> = written.organizations.keys().filter_map(member).collect();
    let has_system = orderers.iter().any(|orderer| orderer.system_channel);
    let or = |text: &Option<String>, default: &str| text.as_deref().unwrap_or(default).to_owned();
    let timeout = written
        .batch_timeout
        .as_deref()
        .and_then(quantity::duration);
    let options = [&written.etcdraft, &written.smart_bft]
        .into_iter()
        .flatten();
    Channel {
        name: name.to_owned(),
        orderers: orderer_members(written, network),
        organizations: members(written, network),
        batch_timeout: timeout.unwrap_or(Duration::from_secs(2)),
        batch_size: batch_size(&written.batch_size),
        capabilities: capability::levels(&written.capabilities, &orderers, &peers),
        set_capabilities: written.capabilities.clone(),
        policies: written.policies.clone(),
        acls: written.acls.clone(),
        options: options
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        system: has_system.then(|| SystemChannel {
            name: or(&written.system_channel, "system-channel"),
            consortium: or(&written.consortium, "SampleConsortium"),
        }),
    }
}

fn nodes(release: &str, network: &Network) -> Vec<String> {
    let organization = network.organizations.get(release);
    organization
        .map(|it| it.member.nodes.clone())
        .unwrap_or_default()
}

fn orderer_members(written: &document::Channel, network: &Network) -> Named<OrdererMember> {
    let member = |(release, it): (&String, &document::OrdererMember)| {
        let consenters = it
            .consenters
            .clone()
            .unwrap_or_else(|| nodes(release, network));
        let policies = it.policies.clone();
        (
            release.clone(),
            OrdererMember {
                consenters,
                policies,
            },
        )
    };
    written.orderers.iter().map(member).collect()
}

fn members(written: &document::Channel, network: &Network) -> Named<ChannelMember> {
    let member = |(release, it): (&String, &document::Member)| {
        let peers = it.peers.clone().unwrap_or_else(|| nodes(release, network));
        let first = || peers.first().cloned().into_iter().collect();
        let anchors = it.anchors.clone().unwrap_or_else(first);
        let policies = it.policies.clone();
        (
            release.clone(),
            ChannelMember {
                anchors,
                peers,
                policies,
            },
        )
    };
    written.organizations.iter().map(member).collect()
}

/// Defaults: `internal/configtxgen/genesisconfig/config.go`, `genesisDefaults`.
fn batch_size(written: &document::BatchSize) -> BatchSize {
    let bytes = |value: &Option<Value>, default: u64| match value {
        Some(Value::String(text)) => quantity::bytes(text).unwrap_or(default),
        Some(value) => value.as_u64().unwrap_or(default),
        None => default,
    };
    BatchSize {
        max_messages: written.max_messages.unwrap_or(500),
        absolute_max_bytes: bytes(&written.absolute_max_bytes, 10 << 20),
        preferred_max_bytes: bytes(&written.preferred_max_bytes, 2 << 20),
    }
}
