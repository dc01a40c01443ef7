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
    /// The consortium that creates the channel, if its orderers have a system channel (Kafka, and
    /// Fabric before 2.3).
    pub consortium: Option<&'a str>,
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
    /// `host:port` of the Kafka brokers of a system channel.
    pub brokers: Vec<String>,
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
        let capabilities = self.levels("channel", &both);
        let addresses = self.addresses(&capabilities);
        let mut channel = Channel {
            capabilities,
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
                addresses,
                max_channels: 0,
            }),
            application: Some(Application {
                organizations: self.peer_organizations()?,
                policies: genesis::application_policies(&peers),
                capabilities: self.levels("application", &peers),
                acls: settings.acls.clone(),
            }),
            consortium: self.consortium.map(str::to_owned),
            ..Channel::default()
        };
        self.set_policies(&mut channel)?;
        Ok(channel)
    }

    /// The system channel of these orderers, whose consortium the organizations are. An application
    /// channel takes its organizations from there, so they have the same policies in both.
    ///
    /// # Errors
    ///
    /// Those of [`Wanted::channel`].
    pub fn system_channel(&self) -> Result<Channel> {
        let mut channel = self.channel()?;
        let application = channel.application.take();
        let organizations = application.map(|it| it.organizations).unwrap_or_default();
        let consortium = channel.consortium.take().unwrap_or_default();
        channel.consortiums.insert(consortium, organizations);
        Ok(channel)
    }

    /// Addresses of the orderers for the whole channel. Below level `V1_4_2`, their organizations
    /// have none of their own (`common/capabilities/channel.go`, `OrgSpecificOrdererEndpoints`).
    fn addresses(&self, capabilities: &BTreeSet<String>) -> Vec<String> {
        let is_old = |level: &String| matches!(level.as_str(), "V1_1" | "V1_3");
        if !capabilities.iter().all(is_old) {
            return Vec::new();
        }
        let nodes = self.orderers.iter().flat_map(|it| &it.contact.nodes);
        nodes.map(|node| node.endpoint.clone()).collect()
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
        problems.extend(self.given_twice());
        let orderers = self.orderers.iter();
        problems.extend(orderers.filter_map(|it| self.other_way(&it.contact)));
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

    /// Organizations that are given twice, or have the MSP id of another one.
    fn given_twice(&self) -> Vec<Place> {
        let mut problems = Vec::new();
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for it in self.orderers.iter().chain(self.organizations) {
            let Contact {
                release, msp_id, ..
            } = &it.contact;
            if let Some(other) = seen.insert(msp_id, release) {
                let note = match other == release {
                    true => format!("organization \"{release}\" is given twice"),
                    false => format!("\"{other}\" and \"{release}\" have the same MSP id {msp_id}"),
                };
                problems.push(Place::new(self.name).note(note));
            }
        }
        problems
    }

    /// Why orderers do not come to the channel in this way: through their admin port, or through
    /// their system channel.
    fn other_way(&self, contact: &Contact) -> Option<Place> {
        let Contact {
            release, version, ..
        } = contact;
        let note = match (contact.ordering?.bootstrap, self.consortium) {
            (Bootstrap::Genesis, None) => {
                "use a system channel, which creates channels: name its consortium"
            }
            (Bootstrap::Participation, Some(_)) => {
                "join channels through their admin port, so no consortium creates the channel"
            }
            _ => return None,
        };
        let place = Place::new(format!("organization \"{release}\""));
        Some(place.note(format!("its orderers (Fabric {version}) {note}")))
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
        let consenters = self.consenters()?;
        match self.orderers.first().and_then(of) {
            Some(Consensus::Bft) => Ok(genesis::Consensus::Bft {
                consenters: consenters
                    .iter()
                    .zip(1..)
                    .map(|(it, id)| it.bft(id))
                    .collect(),
                options: options::bft(&self.settings.options)?,
            }),
            Some(Consensus::Kafka) => Ok(genesis::Consensus::Kafka {
                brokers: self.settings.brokers.clone(),
            }),
            None => Err(self.cannot().why("its orderers have no consensus protocol")),
            Some(Consensus::Raft) => Ok(genesis::Consensus::Raft {
                consenters: consenters.iter().map(Consenter::raft).collect(),
                options: options::raft(&self.settings.options)?,
            }),
        }
    }

    fn consenters(&self) -> Result<Vec<Consenter>> {
        let each = self.orderers.iter().flat_map(|it| {
            let nodes = it.contact.nodes.iter().zip(&it.certificates);
            nodes.map(move |(node, certificates)| consenter_of(&it.contact, node, certificates))
        });
        each.collect()
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
