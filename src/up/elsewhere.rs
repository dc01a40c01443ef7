//! Organizations whose namespaces are not seen from here: by the file they are in another cluster, or
//! this user has no rights there.
//!
//! What they have done is read from the channels, through nodes that are seen from here, and from
//! files that they hand over.

use super::Site;
use crate::error::{Error, Result};
use crate::ledger::config_tree::Group;
use crate::ledger::organization::Organization;
use crate::member::{Certificates, Participant};
use crate::network::file::Channel;
use crate::network::member::Role;
use crate::storage;
use crate::{channel, identity::NodeRole};
use futures::future::join_all;
use std::collections::BTreeSet;

impl Site<'_> {
    /// Finds out which organizations are not seen from here, once.
    pub async fn elsewhere(&self) -> Result<&BTreeSet<String>> {
        let find = async || {
            let names = self.network.organizations.keys();
            let each = names.map(async |name| Ok((name, self.find(name).await?)));
            let all: Vec<Result<(&String, bool)>> = join_all(each).await;
            let mut elsewhere = BTreeSet::new();
            for found in all {
                let (name, is_elsewhere) = found?;
                if is_elsewhere {
                    elsewhere.insert(name.clone());
                }
            }
            Ok::<_, Error>(elsewhere)
        };
        self.memory.elsewhere.get_or_try_init(find).await
    }

    /// Whether an organization is elsewhere. [`Site::elsewhere`] comes first.
    pub fn is_elsewhere(&self, organization: &str) -> bool {
        match self.memory.elsewhere.get() {
            Some(elsewhere) => elsewhere.contains(organization),
            None => self.is_defined_by_file(organization),
        }
    }

    /// Whether all organizations are seen from here and their steps are carried out.
    pub fn is_alone(&self) -> bool {
        let elsewhere = self.memory.elsewhere.get();
        self.organization.is_none() && elsewhere.is_none_or(BTreeSet::is_empty)
    }

    /// The organizations of a channel that are not seen from here.
    pub fn partners<'s>(&'s self, channel: &'s Channel) -> impl Iterator<Item = &'s String> {
        let all = channel.orderers.keys().chain(channel.organizations.keys());
        all.filter(|name| self.is_elsewhere(name))
    }

    /// Whether the file names the organization's public part, and the organization is not the one
    /// whose part is done.
    fn is_defined_by_file(&self, organization: &str) -> bool {
        let named = self.network.organizations.get(organization);
        named.is_some_and(|it| it.definition.is_some()) && self.organization != Some(organization)
    }

    async fn find(&self, organization: &str) -> Result<bool> {
        let Some(own) = self.organization else {
            let is_elsewhere = self.is_defined_by_file(organization);
            if is_elsewhere && self.definition(organization)?.is_none() {
                return Err(self.without_definition(organization));
            }
            return Ok(is_elsewhere);
        };
        if own == organization {
            return Ok(false);
        }
        let namespace = self.network.namespace(organization).unwrap_or_default();
        let may = async |verb: &str, resource: &str| {
            let answer = self
                .cluster
                .can_i(verb, "", resource, Some(namespace), None);
            // A server that does not answer such questions refuses what is not allowed.
            answer.await.unwrap_or(true)
        };
        let (records, secrets) = futures::join!(may("list", "configmaps"), may("get", "secrets"));
        if !records || !secrets {
            return Ok(true);
        }
        // With the right to read every namespace, one in another cluster is not told from one that
        // has no release yet.
        match self.is_defined_by_file(organization) {
            true => {
                let history = storage::history(self.cluster, namespace, organization);
                Ok(history.await?.is_empty())
            }
            false => Ok(false),
        }
    }

    fn without_definition(&self, organization: &str) -> Error {
        let file = self.network.definition_file(organization);
        Error::user(format!(
            "the public part of organization \"{organization}\" is not here: there is no \"{file}\""
        ))
        .why(format!(
            "organizations.{organization}.definition says that the organization is elsewhere"
        ))
        .now("nothing was changed")
        .hint(format!(
            "its operator writes it: `kubectl fabric identity export {organization} --public --to {file}`"
        ))
    }

    /// An organization that is not seen from here, as its file or the channel knows it; `None` if
    /// neither does. Only the channel has the certificates of its orderers.
    pub fn partner(&self, name: &str, current: Option<&Group>) -> Result<Option<Participant>> {
        let organization = &self.network.organizations[name];
        let Some(contact) = organization.member.contact.clone() else {
            return Err(Error::internal(format!(
                "organization {name} has no contact"
            )));
        };
        let part = match organization.member.role {
            Role::Orderers => "Orderer",
            _ => "Application",
        };
        let of_channel = match current.and_then(|it| it.groups.get(part)) {
            Some(part) => member_of(part, &contact.msp_id)?,
            None => None,
        };
        // If the network file names the file, it takes precedence. A file that was only exchanged
        // may be older than the channel.
        let file = self.definition(name)?;
        let known = match organization.definition.is_some() {
            true => file.or(of_channel),
            false => of_channel.or(file),
        };
        let Some(known) = known else {
            return Ok(None);
        };
        let certificates = match current {
            Some(current) => channel::Consenters::of(current)?.certificates(),
            None => Default::default(),
        };
        let is_orderer = contact.role == NodeRole::Orderer;
        let nodes = contact.nodes.iter().filter_map(|node| {
            let address = format!("{}:{}", node.host, node.cluster_port);
            match (certificates.get(&address), is_orderer) {
                (Some(certificates), true) => Some((node.clone(), certificates.clone())),
                (None, true) => None,
                (_, false) => Some((node.clone(), Certificates::default())),
            }
        });
        let (nodes, certificates) = nodes.unzip();
        Ok(Some(Participant {
            msp: known.msp,
            contact: crate::fabric::contact::Contact { nodes, ..contact },
            certificates,
        }))
    }
}

/// An organization of a part of a channel, by its MSP id.
fn member_of(part: &Group, msp_id: &str) -> Result<Option<Organization>> {
    for (key, group) in &part.groups {
        let organization = Organization::from_group(key, group)?;
        if organization.msp.id == msp_id {
            return Ok(Some(organization));
        }
    }
    Ok(None)
}
