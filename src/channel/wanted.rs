//! The desired channel, from the installed organizations. Pure.

use super::change::Consenter;
use super::options;
use crate::error::{Error, Place, Result, nearest};
use crate::fabric::contact::{Contact, Node};
use crate::fabric::{Bootstrap, Consensus};
use crate::identity::NodeRole;
use crate::identity::certificate::Certificate;
use crate::ledger::genesis::{self, Application, Channel, Orderer};
use crate::ledger::message::configuration::AnchorPeer;
use crate::ledger::message::orderer_configuration::BatchSize;
use crate::ledger::organization::{Organization, Part, Policies};
use crate::ledger::policy::Policy;
use crate::member::{Certificates, Participant, definition};
use crate::node::Address;
use semver::Version;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The requested channel.
pub struct Wanted<'a> {
    pub name: &'a str,
    /// The organizations whose orderers serve the channel.
    pub orderers: &'a [Participant],
    /// The organizations whose peers join the channel.
    pub organizations: &'a [Participant],
    pub settings: &'a Settings,
}

/// The settings of a channel. A missing one has Fabric's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub batch_timeout: Option<Duration>,
    pub max_message_count: Option<u32>,
    pub absolute_max_bytes: Option<u32>,
    pub preferred_max_bytes: Option<u32>,
    /// Anchor peers by release. Default: the first peer of an organization.
    pub anchors: BTreeMap<String, Vec<String>>,
    /// Capability levels by group: `channel`, `orderer`, `application`.
    pub capabilities: BTreeMap<String, String>,
    /// Policies by path below the channel: `Application/Endorsement`, `Application/Org1MSP/Admins`.
    pub policies: BTreeMap<String, String>,
    /// The policy of each resource that overrides the default.
    pub acls: BTreeMap<String, String>,
    /// Consensus options by their names in network files: `electionTick`.
    pub options: Map<String, Value>,
}

impl Wanted<'_> {
    /// The channel's first configuration, unchecked: [`Channel::configuration`] checks it.
    ///
    /// # Errors
    ///
    /// Fails for organizations that cannot share a channel, and for settings of organizations that
    /// are not members.
    pub fn channel(&self) -> Result<Channel> {
        genesis::check_name(self.name)?;
        self.check_roles()?;
        let consensus = self.consensus()?;
        let version = |of: &[Participant]| of.iter().map(|it| it.contact.version.clone()).min();
        let orderers = version(self.orderers).unwrap_or(Version::new(2, 5, 0));
        let peers = version(self.organizations).unwrap_or_else(|| orderers.clone());
        let both = orderers.clone().min(peers.clone());
        let settings = self.settings;
        let mut channel = Channel {
            capabilities: self.levels("channel", &both),
            policies: genesis::channel_policies(),
            orderer: Some(Orderer {
                consensus,
                batch_size: self.batch_size(),
                batch_timeout: settings.batch_timeout.unwrap_or(Duration::from_secs(2)),
                organizations: self
                    .orderers
                    .iter()
                    .map(|it| definition(&it.contact, &it.msp))
                    .collect(),
                policies: genesis::orderer_policies(),
                capabilities: self.levels("orderer", &orderers),
                addresses: Vec::new(),
                max_channels: 0,
            }),
            application: Some(Application {
                organizations: self.peer_organizations()?,
                policies: genesis::application_policies(&peers),
                capabilities: self.levels("application", &peers),
                acls: settings.acls.clone(),
            }),
            ..Channel::default()
        };
        self.set_policies(&mut channel)?;
        Ok(channel)
    }

    fn cannot(&self) -> Error {
        Error::user(format!("channel \"{}\" cannot be created", self.name))
    }

    /// Checks the roles of the organizations, and that their MSP ids are unique.
    fn check_roles(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.orderers.is_empty() {
            problems.push(Place::new("--orderers").note("no orderer organization is given"));
        }
        if self.organizations.is_empty() {
            problems.push(Place::new("--organizations").note("no peer organization is given"));
        }
        let all = || self.orderers.iter().chain(self.organizations);
        for (flag, of, role, has) in [
            (
                "--orderers",
                self.orderers,
                NodeRole::Orderer,
                "it has peers, but no orderers",
            ),
            (
                "--organizations",
                self.organizations,
                NodeRole::Peer,
                "it has orderers, but no peers",
            ),
        ] {
            for it in of.iter().filter(|it| it.contact.role != role) {
                let note = format!("organization \"{}\" has {has}", it.contact.release);
                problems.push(Place::new(flag).note(note));
            }
        }
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for Contact {
            release, msp_id, ..
        } in all().map(|it| &it.contact)
        {
            if let Some(other) = seen.insert(msp_id, release) {
                let note = match other == release {
                    true => format!("organization \"{release}\" is given twice"),
                    false => format!("\"{other}\" and \"{release}\" have the same MSP id {msp_id}"),
                };
                problems.push(Place::new(self.name).note(note));
            }
        }
        let genesis = |it: &&Participant| {
            it.contact
                .ordering
                .is_some_and(|it| it.bootstrap == Bootstrap::Genesis)
        };
        for it in self.orderers.iter().filter(genesis) {
            let Contact {
                release, version, ..
            } = &it.contact;
            problems.push(
                Place::new(format!("organization \"{release}\"")).note(format!(
                    "its orderers (Fabric {version}) have a system channel, which creates channels"
                )),
            );
        }
        let named = self.settings.anchors.keys();
        for release in named.filter(|name| {
            !self
                .organizations
                .iter()
                .any(|it| it.contact.release == **name)
        }) {
            let note = format!("organization \"{release}\" is not one of --organizations");
            problems.push(Place::new("--anchor").note(note));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(self
                .cannot()
                .at_all(problems)
                .now("nothing was sent to any node")),
        }
    }

    fn consensus(&self) -> Result<genesis::Consensus> {
        let of = |it: &Participant| it.contact.ordering.map(|ordering| ordering.consensus);
        let kinds: BTreeSet<&str> = self
            .orderers
            .iter()
            .filter_map(of)
            .map(Consensus::name)
            .collect();
        if kinds.len() > 1 {
            let each = self.orderers.iter().filter_map(|it| {
                let note = format!("consensus {}", of(it)?.name());
                Some(Place::new(format!("organization \"{}\"", it.contact.release)).note(note))
            });
            return Err(self
                .cannot()
                .at_all(each)
                .why("all orderers of a channel must use the same consensus protocol")
                .now("nothing was sent to any node"));
        }
        let consenters = self.orderers.iter().flat_map(|it| {
            let nodes = it.contact.nodes.iter().zip(&it.certificates);
            nodes.map(move |(node, certificates)| consenter_of(&it.contact, node, certificates))
        });
        let consenters: Vec<Consenter> = consenters.collect::<Result<_>>()?;
        match self.orderers.first().and_then(of) {
            Some(Consensus::Bft) => Ok(genesis::Consensus::Bft {
                consenters: consenters
                    .iter()
                    .zip(1..)
                    .map(|(it, id)| it.bft(id))
                    .collect(),
                options: options::bft(&self.settings.options)?,
            }),
            Some(Consensus::Kafka) | None => Err(self
                .cannot()
                .why("orderers on Kafka create channels through a system channel")),
            Some(Consensus::Raft) => Ok(genesis::Consensus::Raft {
                consenters: consenters.iter().map(Consenter::raft).collect(),
                options: options::raft(&self.settings.options)?,
            }),
        }
    }

    fn batch_size(&self) -> BatchSize {
        let default = genesis::batch_size();
        let absolute_max_bytes = self
            .settings
            .absolute_max_bytes
            .unwrap_or(default.absolute_max_bytes);
        BatchSize {
            max_message_count: self
                .settings
                .max_message_count
                .unwrap_or(default.max_message_count),
            absolute_max_bytes,
            preferred_max_bytes: self
                .settings
                .preferred_max_bytes
                .unwrap_or(default.preferred_max_bytes.min(absolute_max_bytes)),
        }
    }

    fn levels(&self, group: &str, version: &Version) -> BTreeSet<String> {
        match self.settings.capabilities.get(group) {
            Some(level) => BTreeSet::from([level.clone()]),
            None => genesis::levels(group, version),
        }
    }

    fn peer_organizations(&self) -> Result<Vec<Organization>> {
        let anchors = |it: &Participant| self.settings.anchors.get(&it.contact.release);
        let one = |it: &Participant| peer_organization(it, anchors(it).map(Vec::as_slice));
        self.organizations.iter().map(one).collect()
    }

    /// Replaces default policies with those of the user.
    fn set_policies(&self, channel: &mut Channel) -> Result<()> {
        for (path, text) in &self.settings.policies {
            let policy = Policy::parse(text)
                .map_err(|error| error.context(format!("cannot parse policy \"{path}\"")))?;
            let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
            let policies = policies_of(channel, group).ok_or_else(|| {
                let groups = self.groups();
                let error = Error::user(format!(
                    "policy \"{path}\" does not belong to a group of the channel"
                ))
                .why(format!("the groups are {}", groups.join(", ")));
                match nearest(group, groups.iter().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean \"{near}/{name}\"?")),
                    None => error.hint("expected a path such as Application/Endorsement"),
                }
            })?;
            policies.insert(name.to_owned(), policy);
        }
        Ok(())
    }

    fn groups(&self) -> Vec<String> {
        let of = |part: &'static str, of: &[Participant]| -> Vec<String> {
            let each = of.iter().map(|it| format!("{part}/{}", it.contact.msp_id));
            std::iter::once(part.to_owned()).chain(each).collect()
        };
        [
            of("Application", self.organizations),
            of("Orderer", self.orderers),
        ]
        .concat()
    }
}

/// The policies of a group by its path. The empty path is the channel.
fn policies_of<'c>(channel: &'c mut Channel, group: &str) -> Option<&'c mut Policies> {
    let organization = |of: &'c mut [Organization], name: &str| {
        of.iter_mut()
            .find(|it| it.name == name)
            .map(|it| &mut it.policies)
    };
    match group.split_once('/').unwrap_or((group, "")) {
        ("", "") => Some(&mut channel.policies),
        ("Application", "") => channel.application.as_mut().map(|it| &mut it.policies),
        ("Orderer", "") => channel.orderer.as_mut().map(|it| &mut it.policies),
        ("Application", name) => {
            organization(&mut channel.application.as_mut()?.organizations, name)
        }
        ("Orderer", name) => organization(&mut channel.orderer.as_mut()?.organizations, name),
        _ => None,
    }
}

/// Returns a peer organization. `anchors` are names of its peers; the default is the first peer.
fn peer_organization(it: &Participant, anchors: Option<&[String]>) -> Result<Organization> {
    let nodes = &it.contact.nodes;
    let anchors: Vec<&Node> = match anchors {
        Some(names) => names
            .iter()
            .map(|name| it.contact.node(name))
            .collect::<Result<_>>()?,
        None => nodes.first().into_iter().collect(),
    };
    Ok(Organization {
        anchor_peers: anchors.into_iter().map(anchor).collect::<Result<_>>()?,
        ..definition(&it.contact, &it.msp)
    })
}

/// Returns a peer's address for other organizations.
pub fn anchor(node: &Node) -> Result<AnchorPeer> {
    let address: Address = node.endpoint.parse()?;
    Ok(AnchorPeer {
        host: address.host,
        port: address.port.into(),
    })
}

/// Returns an installed organization for a channel's configuration: its public part, with the
/// default policies.
pub fn organization(it: &Participant) -> Result<(Organization, Part)> {
    Ok(match it.contact.role {
        NodeRole::Peer => (peer_organization(it, None)?, Part::Application),
        NodeRole::Orderer => (definition(&it.contact, &it.msp), Part::Orderer),
    })
}

/// Returns an installed orderer as a consenter.
pub fn consenter(it: &Participant, name: &str) -> Result<Consenter> {
    let node = it.contact.node(name)?;
    let nodes = it.contact.nodes.iter().zip(&it.certificates);
    let certificates = nodes.into_iter().find(|(of, _)| of.name == node.name);
    let (_, certificates) = certificates
        .ok_or_else(|| Error::internal(format!("{} has no certificates", node.host)))?;
    consenter_of(&it.contact, node, certificates)
}

/// The first certificate of a chain, which orderers compare.
fn leaf(pem: &[u8], node: &Node) -> Result<Vec<u8>> {
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let certificate = Certificate::from_pem(pem, &format!("the certificate of {}", node.host))?;
    Ok(certificate.to_pem().into_bytes())
}

fn consenter_of(contact: &Contact, node: &Node, of: &Certificates) -> Result<Consenter> {
    Ok(Consenter {
        msp_id: contact.msp_id.clone(),
        host: node.host.clone(),
        port: node.cluster_port,
        endpoint: node.endpoint.clone(),
        identity: leaf(&of.identity, node)?,
        tls: leaf(&of.tls, node)?,
    })
}
