//! The consenters of a channel, on Raft or BFT.

use super::organizations::key_of;
use crate::error::{Error, Result};
use crate::identity::certificate::Certificate;
use crate::ledger::config_tree::Group;
use crate::ledger::genesis::set_bft_block_validation;
use crate::ledger::message::configuration::{self, OrdererAddresses, Orderers};
use crate::ledger::message::decode;
use crate::ledger::message::orderer_configuration::{ConsensusType, RaftConsenter, RaftMetadata};
use crate::ledger::msp::Msp;
use crate::ledger::organization::Organization;
use crate::member::Certificates;
use prost::Message;
use std::collections::BTreeMap;

/// A consenter in a channel's configuration. Certificates are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consenter {
    pub msp_id: String,
    pub host: String,
    /// Its address for other orderers.
    pub port: u16,
    /// Its address for clients, `HOST:PORT`.
    pub endpoint: String,
    /// The certificate for signing blocks. Only in BFT channels.
    pub identity: Vec<u8>,
    pub tls: Vec<u8>,
}

impl Consenter {
    pub fn raft(&self) -> RaftConsenter {
        RaftConsenter {
            host: self.host.clone(),
            port: self.port.into(),
            client_tls_cert: self.tls.clone(),
            server_tls_cert: self.tls.clone(),
        }
    }

    pub fn bft(&self, id: u32) -> configuration::Consenter {
        configuration::Consenter {
            id,
            host: self.host.clone(),
            port: self.port.into(),
            msp_id: self.msp_id.clone(),
            identity: self.identity.clone(),
            client_tls_cert: self.tls.clone(),
            server_tls_cert: self.tls.clone(),
        }
    }
}

/// Takes over the consenters of an organization from the configuration that the channel has.
pub fn keep(current: &Group, wanted: &mut Group, msp_id: &str) -> Result<()> {
    let there = Consenters::of(current)?;
    let own = there.of_organization(current, msp_id)?;
    if own.is_empty() {
        return Ok(());
    }
    let address = |host: &str, port: u32| format!("{host}:{port}");
    let mut next = Consenters::of(wanted)?;
    match (&there, &mut next) {
        (Consenters::Raft(there), Consenters::Raft(next)) => {
            let kept = there.consenters.iter();
            let kept = kept.filter(|it| own.contains(&address(&it.host, it.port)));
            next.consenters.extend(kept.cloned());
        }
        (Consenters::Bft(there), Consenters::Bft(next)) => {
            let kept = there.consenter_mapping.iter();
            let kept = kept.filter(|it| own.contains(&address(&it.host, it.port)));
            let ids = next.consenter_mapping.iter().map(|it| it.id);
            let first = ids.max().unwrap_or(0) + 1;
            let kept = (first..).zip(kept.cloned());
            let kept = kept.map(|(id, it)| configuration::Consenter { id, ..it });
            next.consenter_mapping.extend(kept);
        }
        _ => return Ok(()),
    }
    next.set(wanted)
}

/// The consenters of a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Consenters {
    Raft(RaftMetadata),
    Bft(Orderers),
    /// Kafka and solo have no consenters.
    Unnamed,
}

impl Consenters {
    /// Adds a consenter, or replaces the one with its address. Returns false if the channel's
    /// protocol names none.
    fn put(&mut self, consenter: &Consenter) -> bool {
        let (host, port) = (&consenter.host, u32::from(consenter.port));
        match self {
            Consenters::Raft(raft) => {
                let wanted = consenter.raft();
                let mut present = raft.consenters.iter_mut();
                match present.find(|it| (&it.host, it.port) == (host, port)) {
                    Some(present) => *present = wanted,
                    None => raft.consenters.push(wanted),
                }
            }
            Consenters::Bft(bft) => {
                let ids = bft.consenter_mapping.iter().map(|it| it.id);
                let next = ids.max().unwrap_or(0).saturating_add(1);
                let mut present = bft.consenter_mapping.iter_mut();
                match present.find(|it| (&it.host, it.port) == (host, port)) {
                    Some(present) => *present = consenter.bft(present.id),
                    None => bft.consenter_mapping.push(consenter.bft(next)),
                }
            }
            Consenters::Unnamed => return false,
        }
        true
    }

    pub fn of(channel: &Group) -> Result<Consenters> {
        let Some(orderer) = channel.groups.get("Orderer") else {
            return Ok(Consenters::Unnamed);
        };
        let consensus: ConsensusType = orderer.value("ConsensusType")?.unwrap_or_default();
        Ok(match consensus.r#type.as_str() {
            "etcdraft" => Consenters::Raft(decode(&consensus.metadata, "the consenters")?),
            "BFT" => Consenters::Bft(orderer.value("Orderers")?.unwrap_or_default()),
            _ => Consenters::Unnamed,
        })
    }

    /// The encoded entry of each, by its address `HOST:PORT`.
    pub fn by_address(&self) -> BTreeMap<String, Vec<u8>> {
        match self {
            Consenters::Raft(raft) => {
                let all = raft.consenters.iter();
                all.map(|it| (format!("{}:{}", it.host, it.port), it.encode_to_vec()))
                    .collect()
            }
            Consenters::Bft(bft) => {
                let all = bft.consenter_mapping.iter();
                all.map(|it| (format!("{}:{}", it.host, it.port), it.encode_to_vec()))
                    .collect()
            }
            Consenters::Unnamed => BTreeMap::new(),
        }
    }

    /// The certificates of each, by its address `HOST:PORT`. Raft names none for signing.
    pub fn certificates(&self) -> BTreeMap<String, Certificates> {
        match self {
            Consenters::Raft(raft) => {
                let all = raft.consenters.iter().map(|it| {
                    let certificates = Certificates {
                        identity: Vec::new(),
                        tls: it.server_tls_cert.clone(),
                    };
                    (format!("{}:{}", it.host, it.port), certificates)
                });
                all.collect()
            }
            Consenters::Bft(bft) => {
                let all = bft.consenter_mapping.iter().map(|it| {
                    let certificates = Certificates {
                        identity: it.identity.clone(),
                        tls: it.server_tls_cert.clone(),
                    };
                    (format!("{}:{}", it.host, it.port), certificates)
                });
                all.collect()
            }
            Consenters::Unnamed => BTreeMap::new(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Consenters::Raft(raft) => raft.consenters.len(),
            Consenters::Bft(bft) => bft.consenter_mapping.len(),
            Consenters::Unnamed => 0,
        }
    }

    /// Returns the addresses of this organization's consenters. Raft does not record the
    /// organization, so this checks which TLS authority signed the certificate.
    pub fn of_organization(&self, channel: &Group, msp_id: &str) -> Result<Vec<String>> {
        let orderers = channel.groups.get("Orderer");
        let key = orderers.map(|it| key_of(it, msp_id)).transpose()?.flatten();
        let group = key.and_then(|key| orderers?.groups.get(&key));
        let Some(group) = group else {
            return Ok(Vec::new());
        };
        let msp = Organization::from_group(msp_id, group)?.msp;
        Ok(match self {
            Consenters::Raft(raft) => {
                let all = raft.consenters.iter();
                let own = all.filter(|it| signed_tls(&msp, &it.server_tls_cert));
                own.map(|it| format!("{}:{}", it.host, it.port)).collect()
            }
            Consenters::Bft(bft) => {
                let all = bft.consenter_mapping.iter();
                let own = all.filter(|it| it.msp_id == msp_id);
                own.map(|it| format!("{}:{}", it.host, it.port)).collect()
            }
            Consenters::Unnamed => Vec::new(),
        })
    }

    /// Writes them to the channel's configuration.
    fn set(&self, channel: &mut Group) -> Result<()> {
        let Some(orderer) = channel.groups.get_mut("Orderer") else {
            return Ok(());
        };
        match self {
            Consenters::Raft(raft) => {
                let mut consensus: ConsensusType =
                    orderer.value("ConsensusType")?.unwrap_or_default();
                consensus.metadata = raft.encode_to_vec();
                orderer.set_value("ConsensusType", &consensus);
            }
            Consenters::Bft(bft) => {
                orderer.set_value("Orderers", bft);
                set_bft_block_validation(orderer, &bft.consenter_mapping);
            }
            Consenters::Unnamed => {}
        }
        Ok(())
    }
}

/// Whether a TLS authority of the organization signed the certificate.
fn signed_tls(msp: &Msp, pem: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_pem(pem, "it") else {
        return false;
    };
    let authorities = msp.tls_roots.iter().chain(&msp.tls_intermediates);
    let mut authorities = authorities.filter_map(|pem| Certificate::from_pem(pem, "it").ok());
    authorities.any(|authority| certificate.is_signed_by(&authority))
}

/// Adds a consenter. One that the channel names already gets the certificates that it has now.
pub fn add(channel: &mut Group, consenter: &Consenter) -> Result<Option<String>> {
    let address = format!("{}:{}", consenter.host, consenter.port);
    let cannot = || Error::user(format!("{address} cannot become a consenter"));
    let orderers = channel.groups.get("Orderer");
    let key = orderers
        .map(|it| key_of(it, &consenter.msp_id))
        .transpose()?
        .flatten();
    let group = key.as_ref().and_then(|key| orderers?.groups.get(key));
    let Some(group) = group else {
        return Err(cannot()
            .why(format!(
                "its organization {} has no orderers in this channel",
                consenter.msp_id
            ))
            .hint("add the organization in the same command: --add-org"));
    };
    let msp = Organization::from_group(&consenter.msp_id, group)?.msp;
    if !signed_tls(&msp, &consenter.tls) {
        return Err(cannot().why(format!(
            "it has no TLS certificate, or none that a TLS authority of {} signed",
            consenter.msp_id
        )));
    }
    let mut consenters = Consenters::of(channel)?;
    let before = consenters.clone();
    if !consenters.put(consenter) {
        return Err(cannot().why("orderers on Kafka are not named in the channel"));
    }
    if consenters == before {
        return Ok(Some(format!("{address} is a consenter")));
    }
    consenters.set(channel)?;
    change_addresses(channel, &consenter.msp_id, |addresses| {
        if !addresses.contains(&consenter.endpoint) {
            addresses.push(consenter.endpoint.clone());
        }
    })?;
    Ok(None)
}

pub fn remove(channel: &mut Group, address: &str) -> Result<Option<String>> {
    let mut consenters = Consenters::of(channel)?;
    if !consenters.by_address().contains_key(address) {
        return Ok(Some(format!("{address} is not a consenter")));
    }
    match &mut consenters {
        Consenters::Raft(raft) => raft
            .consenters
            .retain(|it| format!("{}:{}", it.host, it.port) != address),
        Consenters::Bft(bft) => bft
            .consenter_mapping
            .retain(|it| format!("{}:{}", it.host, it.port) != address),
        Consenters::Unnamed => {}
    }
    consenters.set(channel)?;
    // Clients must no longer call an orderer that is not a consenter.
    let (host, _) = address.rsplit_once(':').unwrap_or((address, ""));
    let is_its = |it: &String| it.rsplit_once(':').is_some_and(|(of, _)| of == host);
    let names: Vec<String> = match channel.groups.get("Orderer") {
        Some(orderer) => orderer.groups.keys().cloned().collect(),
        None => Vec::new(),
    };
    for name in names {
        let group = channel.group_mut(&["Orderer", &name]);
        if let Some(group) = group {
            edit_addresses(group, "Endpoints", |addresses| {
                addresses.retain(|it| !is_its(it));
            })?;
        }
    }
    edit_addresses(channel, "OrdererAddresses", |addresses| {
        addresses.retain(|it| !is_its(it));
    })?;
    Ok(None)
}

/// Changes the addresses of an organization's orderers for clients: its endpoints, and the
/// channel's common addresses if it has them.
fn change_addresses(
    channel: &mut Group,
    msp_id: &str,
    edit: impl Fn(&mut Vec<String>),
) -> Result<()> {
    if let Some(orderer) = channel.groups.get_mut("Orderer")
        && let Some(key) = key_of(orderer, msp_id)?
        && let Some(group) = orderer.groups.get_mut(&key)
    {
        edit_addresses(group, "Endpoints", &edit)?;
    }
    edit_addresses(channel, "OrdererAddresses", edit)
}

/// Changes a list of addresses. A group without the list stays without it.
fn edit_addresses(group: &mut Group, value: &str, edit: impl Fn(&mut Vec<String>)) -> Result<()> {
    let present: Option<OrdererAddresses> = group.value(value)?;
    let Some(mut addresses) = present.filter(|it| !it.addresses.is_empty()) else {
        return Ok(());
    };
    let before = addresses.clone();
    edit(&mut addresses.addresses);
    if addresses != before {
        group.set_value(value, &addresses);
    }
    Ok(())
}
