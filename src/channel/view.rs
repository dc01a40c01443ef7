//! The addresses and authorities in the configuration of a channel. Pure.

use crate::error::{Error, Result};
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::common::Block;
use crate::ledger::message::configuration::{OrdererAddresses, Orderers};
use crate::ledger::message::orderer_configuration::ConsensusType;
use crate::ledger::organization::Organization;
use std::collections::{BTreeMap, BTreeSet};

/// A channel as its configuration describes it.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub channel: Group,
    /// TLS authorities (PEM) of the organizations with peers, by MSP id.
    pub organizations: BTreeMap<String, String>,
    pub orderers: Vec<Address>,
    /// Number of orderers that must accept a transaction for one of them to forward it: one more
    /// than the tolerated faults in a BFT channel, otherwise one.
    pub takers: usize,
}

/// An orderer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `orderer0.orgorderer1:7050`
    pub address: String,
    /// Its TLS authorities, PEM.
    pub authorities: String,
}

impl View {
    /// Reads a configuration block of this channel.
    pub fn of(name: &str, block: &Block) -> Result<View> {
        let (of, Configuration { channel, .. }) = Configuration::from_block(block)?;
        if of != name {
            return Err(Error::cluster(format!(
                "cannot read the configuration of channel \"{name}\""
            ))
            .why(format!("the peer sent that of channel \"{of}\"")));
        }
        let mut organizations = BTreeMap::new();
        for organization in members(&channel, "Application")? {
            organizations.insert(organization.msp.id.clone(), authorities(&organization));
        }
        let (orderers, takers) = orderers(&channel)?;
        Ok(View {
            name: name.to_owned(),
            channel,
            organizations,
            orderers,
            takers,
        })
    }

    /// The MSP ids of its organizations with peers.
    pub fn msp_ids(&self) -> BTreeSet<String> {
        self.organizations.keys().cloned().collect()
    }
}

fn members(channel: &Group, part: &str) -> Result<Vec<Organization>> {
    let groups = channel.groups.get(part).into_iter();
    let groups = groups.flat_map(|group| &group.groups);
    groups
        .map(|(key, group)| Organization::from_group(key, group))
        .collect()
}

fn authorities(organization: &Organization) -> String {
    let msp = &organization.msp;
    let all = msp.tls_roots.iter().chain(&msp.tls_intermediates);
    all.map(|pem| format!("{}\n", String::from_utf8_lossy(pem).trim_end()))
        .collect()
}

fn orderers(channel: &Group) -> Result<(Vec<Address>, usize)> {
    let members = members(channel, "Orderer")?;
    let mut orderers = Vec::new();
    for organization in &members {
        let authorities = authorities(organization);
        orderers.extend(organization.endpoints.iter().map(|address| Address {
            address: address.clone(),
            authorities: authorities.clone(),
        }));
    }
    // Older channels have addresses only for the whole channel.
    let common: OrdererAddresses = channel.value("OrdererAddresses")?.unwrap_or_default();
    if orderers.is_empty() {
        let authorities: String = members.iter().map(authorities).collect();
        orderers.extend(common.addresses.into_iter().map(|address| Address {
            address,
            authorities: authorities.clone(),
        }));
    }
    let Some(group) = channel.groups.get("Orderer") else {
        return Ok((orderers, 1));
    };
    let consensus: ConsensusType = group.value("ConsensusType")?.unwrap_or_default();
    let consenters: Orderers = group.value("Orderers")?.unwrap_or_default();
    let takers = match consensus.r#type.as_str() {
        "BFT" => consenters.consenter_mapping.len().saturating_sub(1) / 3 + 1,
        _ => 1,
    };
    Ok((orderers, takers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn view(block: &[u8]) -> View {
        View::of("mychannel", &Block::decode(block).unwrap()).unwrap()
    }

    #[test]
    fn a_channel_names_its_orderers_and_whom_to_trust() {
        for (block, orderers, takers) in [
            (
                &include_bytes!("../../tests/fixtures/v2.5.16/mychannel.block")[..],
                3,
                1,
            ),
            (
                &include_bytes!("../../tests/fixtures/v3.1.5/mychannel.block")[..],
                4,
                2,
            ),
        ] {
            let view = view(block);
            assert_eq!((view.orderers.len(), view.takers), (orderers, takers));
            assert_eq!(view.orderers[0].address, "orderer0.orgorderer1:7050");
            assert_eq!(
                view.msp_ids(),
                ["Org1MSP", "Org2MSP"].map(String::from).into()
            );
            let all = view.organizations.values();
            for authorities in all.chain(view.orderers.iter().map(|it| &it.authorities)) {
                assert!(authorities.starts_with("-----BEGIN CERTIFICATE-----"));
            }
        }
    }

    #[test]
    fn the_block_of_another_channel_is_refused() {
        let block = include_bytes!("../../tests/fixtures/v2.5.16/mychannel.block");
        let error = View::of("yours", &Block::decode(&block[..]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("that of channel \"mychannel\""));
    }
}
