//! Formats a channel's configuration as text. Pure.

use crate::error::Result;
use crate::identity::certificate::Certificate;
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::configuration::{
    AnchorPeers, Capabilities, Consenter, OrdererAddresses, Orderers,
};
use crate::ledger::message::decode;
use crate::ledger::message::orderer_configuration::{
    BatchSize, BatchTimeout, ConsensusType, KafkaBrokers, RaftMetadata,
};
use crate::ledger::organization::Organization;
use crate::ledger::policy::Policy;

/// The configuration of block `number` as text.
pub fn words(name: &str, number: u64, configuration: &Configuration) -> Result<String> {
    let channel = &configuration.channel;
    let empty = Group::default();
    let orderer = channel.groups.get("Orderer").unwrap_or(&empty);
    let application = channel.groups.get("Application").unwrap_or(&empty);
    let mut text = format!(
        "CHANNEL: {name}\nCONFIGURATION: {} (block {number})\n",
        configuration.sequence
    );
    let levels = [
        ("channel", channel),
        ("orderer", orderer),
        ("application", application),
    ];
    let levels = levels.map(|(group, of)| Ok(format!("{group} {}", capabilities(of)?)));
    let levels: Vec<String> = levels.into_iter().collect::<Result<_>>()?;
    text.push_str(&format!("CAPABILITIES: {}\n", levels.join(", ")));
    ordering(&mut text, channel, orderer)?;
    text.push_str("ORDERER ORGANIZATIONS:\n");
    for (key, group) in &orderer.groups {
        let organization = Organization::from_group(key, group)?;
        line(
            &mut text,
            &organization.msp.id,
            &organization.endpoints.join(", "),
        );
    }
    text.push_str("ORGANIZATIONS:\n");
    for (key, group) in &application.groups {
        let organization = Organization::from_group(key, group)?;
        line(&mut text, &organization.msp.id, &anchors(group)?);
    }
    text.push_str("POLICIES:\n");
    policies(&mut text, "", channel)?;
    for (part, group) in [("Application", application), ("Orderer", orderer)] {
        policies(&mut text, &format!("{part}/"), group)?;
        for (key, group) in &group.groups {
            policies(&mut text, &format!("{part}/{key}/"), group)?;
        }
    }
    Ok(text)
}

fn line(text: &mut String, name: &str, rest: &str) {
    let line = format!("  {name}   {rest}");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn capabilities(group: &Group) -> Result<String> {
    let levels: Capabilities = group.value("Capabilities")?.unwrap_or_default();
    let names: Vec<String> = levels
        .capabilities
        .into_iter()
        .filter_map(|entry| entry.key)
        .collect();
    Ok(match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(" and "),
    })
}

fn ordering(text: &mut String, channel: &Group, orderer: &Group) -> Result<()> {
    let consensus: ConsensusType = orderer.value("ConsensusType")?.unwrap_or_default();
    let maintenance = if consensus.state == 1 {
        ", in maintenance"
    } else {
        ""
    };
    text.push_str(&format!("CONSENSUS: {}{maintenance}\n", consensus.r#type));
    let size: BatchSize = orderer.value("BatchSize")?.unwrap_or_default();
    let timeout: BatchTimeout = orderer.value("BatchTimeout")?.unwrap_or_default();
    text.push_str(&format!(
        "BLOCKS: after {}, {} transactions, or {} bytes; a transaction has at most {} bytes\n",
        timeout.timeout, size.max_message_count, size.preferred_max_bytes, size.absolute_max_bytes
    ));
    let addresses: OrdererAddresses = channel.value("OrdererAddresses")?.unwrap_or_default();
    if !addresses.addresses.is_empty() {
        text.push_str(&format!(
            "ORDERER ADDRESSES: {}\n",
            addresses.addresses.join(", ")
        ));
    }
    let brokers: KafkaBrokers = orderer.value("KafkaBrokers")?.unwrap_or_default();
    if !brokers.brokers.is_empty() {
        text.push_str(&format!("KAFKA BROKERS: {}\n", brokers.brokers.join(", ")));
    }
    let bft: Orderers = orderer.value("Orderers")?.unwrap_or_default();
    let consenters = match consensus.r#type.as_str() {
        "etcdraft" => {
            let raft: RaftMetadata = decode(&consensus.metadata, "the consenters")?;
            let each = raft.consenters.into_iter();
            let each = each.map(|it| consenter(&it.host, it.port, "", "TLS", &it.server_tls_cert));
            each.collect()
        }
        _ => bft
            .consenter_mapping
            .iter()
            .map(bft_consenter)
            .collect::<Vec<_>>(),
    };
    if !consenters.is_empty() {
        text.push_str("CONSENTERS:\n");
        text.push_str(&consenters.concat());
    }
    Ok(())
}

fn bft_consenter(it: &Consenter) -> String {
    let id = format!("{} of {}, ", it.id, it.msp_id);
    consenter(&it.host, it.port, &id, "identity", &it.identity)
}

fn consenter(host: &str, port: u32, id: &str, kind: &str, certificate: &[u8]) -> String {
    let end = match Certificate::from_pem(certificate, "it") {
        Ok(certificate) => format!(
            "{kind} certificate {} until {}",
            &certificate.fingerprint()[..16],
            certificate.not_after
        ),
        Err(_) => format!("{kind} certificate unreadable"),
    };
    format!("  {host}:{port}   {id}{end}\n")
}

fn anchors(group: &Group) -> Result<String> {
    let peers: AnchorPeers = group.value("AnchorPeers")?.unwrap_or_default();
    let each: Vec<String> = peers
        .anchor_peers
        .iter()
        .map(|peer| format!("{}:{}", peer.host, peer.port))
        .collect();
    Ok(match each.is_empty() {
        true => "no anchor peer".to_owned(),
        false => format!("anchor {}", each.join(", ")),
    })
}

fn policies(text: &mut String, path: &str, group: &Group) -> Result<()> {
    for (name, policy) in &group.policies {
        if let Some(policy) = &policy.policy {
            line(
                text,
                &format!("{path}{name}"),
                &Policy::from_message(policy)?.to_string(),
            );
        }
    }
    Ok(())
}
