//! The facts about an organization that its clients need: its name, its nodes and their addresses,
//! and the Secrets with client certificates and trusted authorities.
//!
//! Computed from the same values as the nodes' own settings, by the same rules ([`Names`],
//! [`Crypto`], [`Exposure`]), so that a client and a node never disagree about a name.

use super::ca;
use super::crypto::{Crypto, CryptoSource};
use super::expose::Exposure;
use super::orderer::{self, Bootstrap, Consensus};
use super::organization::CA;
use super::peer;
use super::ports::{CA_PORT, ORDERER_PORT, PEER_PORT};
use super::settings::Settings;
use super::{Model, Names, Subject};
use crate::error::{Error, Result};
use crate::identity::NodeRole;
use semver::Version;

/// An organization and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub release: String,
    pub namespace: String,
    /// The common suffix of the network's namespaces. Empty for a network without a name.
    pub network: String,
    pub msp_id: String,
    pub domain: String,
    /// The Fabric version of its nodes.
    pub version: Version,
    /// Peers or orderers.
    pub role: NodeRole,
    /// The consensus of its orderers, and how they join channels. `None` for peers.
    pub ordering: Option<Ordering>,
    /// Whether its nodes serve TLS.
    pub tls: bool,
    /// Whether its nodes require a client certificate on their gRPC port. Admin ports always do.
    pub client_authentication: bool,
    pub nodes: Vec<Node>,
    /// Its CA server, if it has one.
    pub ca: Option<CaServer>,
    pub identities: Identities,
}

/// The CA server of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaServer {
    /// `ca`: also the name of its Service.
    pub name: String,
    /// `ca.org1`: its address in the cluster, and a name in its TLS certificate.
    pub host: String,
    pub port: u16,
    /// Where it is exposed outside of the cluster, `HOST:PORT`.
    pub exposed: Option<String>,
    /// The name of the authority in the server.
    pub ca_name: String,
    /// The Secret with its TLS certificate and the authorities of that.
    pub tls_secret: String,
    /// The Secret with the name and password of its administrator.
    pub credentials: String,
}

/// The common properties of an organization's orderers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordering {
    pub consensus: Consensus,
    pub bootstrap: Bootstrap,
}

/// A peer or an orderer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `peer0`: also the name of its Service.
    pub name: String,
    /// `peer0.org1`: its address in the cluster, and a name in its TLS certificate.
    pub host: String,
    /// Port of its gRPC services.
    pub port: u16,
    /// Port of channel participation. `None` for a node without it.
    pub admin_port: Option<u16>,
    /// Where other orderers call an orderer: its gRPC port, unless it has one for them.
    pub cluster_port: u16,
    /// Port of health checks and metrics.
    pub operations_port: u16,
    /// Where nodes of other organizations call it, `HOST:PORT`: for a peer its external endpoint,
    /// as gossip spreads it.
    pub endpoint: String,
    /// Where it is exposed outside of the cluster, `HOST:PORT`.
    pub exposed: Option<String>,
}

/// The location of an organization's keys and certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identities {
    Secrets {
        /// Of the administrator.
        admin: Pair,
        /// Of each node, in the order of [`Contact::nodes`].
        nodes: Vec<Pair>,
    },
    /// Files on a volume, which only pods can read.
    Volume,
}

/// The names of two Secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub msp: String,
    pub tls: String,
}

impl Contact {
    /// The contact of a release.
    ///
    /// # Errors
    ///
    /// Fails for a release that is not an organization (Kafka, or a user's chart without a model),
    /// and for an unknown Fabric version.
    pub fn of(subject: Subject) -> Result<Contact> {
        let Subject {
            model,
            release,
            namespace,
            ..
        } = subject;
        let settings = subject.settings();
        let names = Names::of(release, namespace, &settings);
        let role = match model {
            Some(Model::PeerOrganization) => Ok(NodeRole::Peer),
            Some(Model::OrdererOrganization) => Ok(NodeRole::Orderer),
            Some(Model::Kafka) => Err("it is a Kafka cluster"),
            Some(Model::Chaincode) => Err("it is a chaincode server"),
            None => Err("its chart is not for an organization"),
        };
        let role = role.map_err(|why| no_organization(release, why))?;
        let (kind, folder, count) = match role {
            NodeRole::Peer => ("peer", "peers", "/peers/count"),
            NodeRole::Orderer => ("orderer", "orderers", "/orderers/count"),
        };
        let version = subject
            .version()?
            .ok_or_else(|| no_organization(release, "its chart has no Fabric version"))?;
        let exposure = Exposure::of(&settings, &names);
        let crypto = Crypto::of(&settings, &names, release);
        let ordering = (role == NodeRole::Orderer).then(|| Ordering::of(&settings, &version));
        let node_names: Vec<String> = (0..settings.number(count, 1))
            .map(|number| format!("{kind}{number}"))
            .collect();
        let node = |name: &String| node(&settings, &names, &exposure, ordering, name);
        let identities = match crypto.source {
            CryptoSource::Nfs => Identities::Volume,
            CryptoSource::Program | CryptoSource::Secret => {
                let pair = |name: &String| crypto.node(name, folder).into();
                Identities::Secrets {
                    admin: crypto.admin().into(),
                    nodes: node_names.iter().map(pair).collect(),
                }
            }
        };
        let has_ca = role == NodeRole::Peer && settings.flag("/ca/enabled", false);
        let ca = has_ca.then(|| CaServer::of(&settings, &names, &exposure, &crypto));
        Ok(Contact {
            release: release.to_owned(),
            namespace: namespace.to_owned(),
            nodes: node_names.iter().map(node).collect(),
            network: names.network,
            msp_id: names.msp_id,
            domain: names.domain,
            version,
            role,
            ordering,
            ca,
            tls: settings.flag("/tls/enabled", true),
            client_authentication: settings.flag("/tls/clientAuthRequired", false),
            identities,
        })
    }

    /// The node of this name.
    ///
    /// # Errors
    ///
    /// Lists the existing nodes.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .iter()
            .find(|node| node.name == name)
            .ok_or_else(|| {
                let all: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
                Error::user(format!(
                    "organization \"{}\" has no node \"{name}\"",
                    self.release
                ))
                .why(format!("it has {}", all.join(", ")))
            })
    }
}

impl CaServer {
    fn of(settings: &Settings, names: &Names, exposure: &Exposure, crypto: &Crypto) -> CaServer {
        // The user's variables override the chart's.
        let own_name = settings
            .map("/ca/env")
            .and_then(|env| env.get("FABRIC_CA_SERVER_CA_NAME"))
            .and_then(|name| name.as_str());
        CaServer {
            name: CA.to_owned(),
            host: names.address(CA),
            port: port(CA_PORT),
            exposed: exposure.endpoint(CA, CA_PORT),
            ca_name: own_name.map_or_else(|| format!("{CA}.{}", names.domain), str::to_owned),
            tls_secret: crypto.secret(&format!("{CA}-tls")),
            credentials: ca::credentials(settings).0.to_owned(),
        }
    }
}

impl Ordering {
    fn of(settings: &Settings, version: &Version) -> Ordering {
        Ordering {
            consensus: Consensus::of(settings),
            bootstrap: match orderer::participates(settings, version) {
                true => Bootstrap::Participation,
                false => Bootstrap::Genesis,
            },
        }
    }
}

impl From<super::crypto::Mounts> for Pair {
    fn from(mounts: super::crypto::Mounts) -> Pair {
        Pair {
            msp: mounts.msp,
            tls: mounts.tls,
        }
    }
}

fn node(
    settings: &Settings,
    names: &Names,
    exposure: &Exposure,
    ordering: Option<Ordering>,
    name: &str,
) -> Node {
    let host = names.address(name);
    let number = |path: &str, default: u64| port(settings.number(path, default));
    match ordering {
        Some(ordering) => Node {
            endpoint: format!("{host}:{ORDERER_PORT}"),
            host,
            port: port(ORDERER_PORT),
            admin_port: (ordering.bootstrap == Bootstrap::Participation)
                .then(|| number("/orderers/admin/port", 9443)),
            cluster_port: match number("/orderers/cluster/port", 0) {
                0 => port(ORDERER_PORT),
                own => own,
            },
            operations_port: number("/operations/port", 8443),
            exposed: exposure.endpoint(name, ORDERER_PORT),
            name: name.to_owned(),
        },
        None => Node {
            endpoint: peer::external_endpoint(settings, names, exposure, name),
            host,
            port: port(PEER_PORT),
            admin_port: None,
            cluster_port: port(PEER_PORT),
            operations_port: number("/operations/port", 9443),
            exposed: exposure.endpoint(name, PEER_PORT),
            name: name.to_owned(),
        },
    }
}

/// The schema keeps ports within their range; a chart of the user's may not.
fn port(number: u64) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

fn no_organization(release: &str, why: &str) -> Error {
    Error::user(format!("release \"{release}\" is not an organization"))
        .why(why)
        .hint("`kubectl fabric list` shows all releases")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn contact(model: Model, release: &str, namespace: &str, values: Value) -> Contact {
        Contact::of(Subject {
            model: Some(model),
            release,
            namespace,
            values: &values,
        })
        .unwrap()
    }

    #[test]
    fn a_peer_organization_has_its_names_and_ports_by_default() {
        let org1 = contact(
            Model::PeerOrganization,
            "org1",
            "org1-dev",
            json!({"peers": {"count": 2}}),
        );
        assert_eq!(
            (&*org1.msp_id, &*org1.domain, &*org1.network, org1.ordering),
            ("Org1MSP", "org1-dev", "dev", None)
        );
        assert!(org1.tls && !org1.client_authentication);
        let peer1 = &org1.nodes[1];
        assert_eq!(
            (
                &*peer1.host,
                peer1.port,
                peer1.operations_port,
                &*peer1.endpoint
            ),
            ("peer1.org1-dev", 7051, 9443, "peer1.org1-dev:7051")
        );
        assert_eq!((peer1.admin_port, &peer1.exposed), (None, &None));
        let Identities::Secrets { admin, nodes } = &org1.identities else {
            panic!("Secrets");
        };
        assert_eq!(
            (&*admin.msp, &*admin.tls),
            ("org1-admin-msp", "org1-admin-tls")
        );
        assert_eq!((&*nodes[1].msp, &*nodes[1].tls), ("peer1-msp", "peer1-tls"));
    }

    #[test]
    fn values_change_a_contact_as_they_change_the_nodes() {
        let values = json!({
            "fabricVersion": "3.1.5",
            "org": {"mspID": "AcmeMSP"},
            "orderers": {"count": 4, "consensus": "BFT", "admin": {"port": 9555}, "cluster": {"port": 7055}},
            "crypto": {"source": "secret", "secrets": {"orderer0-tls": "own-tls", "orgorderer1-admin-tls": "admin"}},
            "expose": {"type": "LoadBalancer", "host": "{node}.example.com"},
            "tls": {"clientAuthRequired": true},
        });
        let acme = contact(
            Model::OrdererOrganization,
            "orgorderer1",
            "orgorderer1",
            values,
        );
        let ordering = acme.ordering.unwrap();
        assert_eq!(
            (ordering.consensus, ordering.bootstrap),
            (Consensus::Bft, Bootstrap::Participation)
        );
        assert!(acme.client_authentication);
        let node = acme.node("orderer0").unwrap();
        assert_eq!((node.admin_port, node.cluster_port), (Some(9555), 7055));
        assert_eq!(node.exposed.as_deref(), Some("orderer0.example.com:7050"));
        let Identities::Secrets { admin, nodes } = &acme.identities else {
            panic!("Secrets");
        };
        assert_eq!(
            (&*admin.msp, &*admin.tls),
            ("orgorderer1-admin-msp", "admin")
        );
        assert_eq!(
            (&*nodes[0].msp, &*nodes[0].tls),
            ("orderer0-msp", "own-tls")
        );
        let error = acme.node("orderer9").unwrap_err().to_string();
        assert!(
            error.contains("orderer0, orderer1, orderer2, orderer3"),
            "{error}"
        );
    }

    #[test]
    fn a_peer_is_called_by_others_where_gossip_says() {
        let exposed = json!({"expose": {"type": "LoadBalancer", "host": "{node}.example.com"}});
        let org1 = contact(Model::PeerOrganization, "org1", "org1", exposed.clone());
        assert_eq!(org1.nodes[0].endpoint, "peer0.example.com:7051");
        let mut inside = exposed;
        inside["expose"]["advertise"] = json!(false);
        let org1 = contact(Model::PeerOrganization, "org1", "org1", inside);
        assert_eq!(org1.nodes[0].endpoint, "peer0.org1:7051");
        assert_eq!(
            org1.nodes[0].exposed.as_deref(),
            Some("peer0.example.com:7051")
        );
    }

    #[test]
    fn a_ca_server_is_found_as_the_chart_configures_it() {
        let values = json!({
            "ca": {
                "enabled": true,
                "existingSecret": "mine",
                "env": {"FABRIC_CA_SERVER_CA_NAME": "acme-ca"},
            },
            "crypto": {"source": "secret", "secrets": {"ca-tls": "own-tls"}},
            "expose": {"type": "NodePort", "host": "10.0.0.1"},
        });
        let org1 = contact(Model::PeerOrganization, "org1", "org1", values);
        assert_eq!(
            org1.ca.unwrap(),
            CaServer {
                name: "ca".to_owned(),
                host: "ca.org1".to_owned(),
                port: 7054,
                exposed: Some("10.0.0.1:30000".to_owned()),
                ca_name: "acme-ca".to_owned(),
                tls_secret: "own-tls".to_owned(),
                credentials: "mine".to_owned(),
            }
        );
        let org1 = contact(
            Model::PeerOrganization,
            "org1",
            "org1",
            json!({"ca": {"enabled": true}, "org": {"domain": "org1.example.com"}}),
        );
        let ca = org1.ca.unwrap();
        assert_eq!(
            (&*ca.ca_name, &*ca.tls_secret, &*ca.credentials),
            ("ca.org1.example.com", "ca-tls", "ca-admin")
        );
        let without = contact(Model::PeerOrganization, "org1", "org1", json!({}));
        assert_eq!(without.ca, None);
    }

    #[test]
    fn orderers_with_a_genesis_block_have_no_admin_port_and_a_volume_has_no_secrets() {
        let values = json!({
            "fabricVersion": "1.4.12",
            "orderers": {"consensus": "kafka", "genesis": {"path": "genesis.block"}},
            "crypto": {"source": "nfs"},
        });
        let old = contact(
            Model::OrdererOrganization,
            "orgorderer1",
            "orgorderer1",
            values,
        );
        assert_eq!(old.ordering.unwrap().bootstrap, Bootstrap::Genesis);
        assert_eq!(
            (old.nodes[0].admin_port, old.identities),
            (None, Identities::Volume)
        );
    }

    #[test]
    fn what_is_no_organization_is_refused() {
        for (model, why) in [
            (Some(Model::Kafka), "a Kafka cluster"),
            (Some(Model::Chaincode), "a chaincode server"),
            (None, "not for an organization"),
        ] {
            let values = json!({});
            let subject = Subject {
                model,
                release: "kafka",
                namespace: "kafka",
                values: &values,
            };
            let error = Contact::of(subject).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
