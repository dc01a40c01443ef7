//! Connection profiles, with which an application finds an organization's peers and verifies their
//! certificates, in the format of Fabric's SDKs (common connection profile 1.0). Pure. Contains no
//! keys.
//!
//! SDKs that use the gateway service or discovery (2.4, 1.4 with discovery) need only the peers.
//! Others read the orderers and peers of each channel from the profile.

use crate::error::{Error, Place, Result};
use crate::fabric::contact::{CaServer, Contact};
use crate::identity::NodeRole;
use crate::node::Address;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The input for a profile.
pub struct Profile<'a> {
    pub contact: &'a Contact,
    /// The TLS authorities of the organization's nodes, PEM.
    pub authorities: &'a str,
    /// The TLS authorities of its CA server, PEM.
    pub ca_authorities: &'a str,
    pub addresses: &'a Addresses,
    pub channels: &'a [Channel],
}

/// The addresses for the application.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Whether to use external addresses instead of addresses in the cluster.
    pub exposed: bool,
    /// Addresses of nodes by name: `peer0`, `ca`, `orderer0.orgorderer1`.
    pub named: BTreeMap<String, Address>,
}

/// A channel, with the orderers in its configuration.
#[derive(Clone, Debug)]
pub struct Channel {
    pub name: String,
    pub orderers: Vec<Orderer>,
}

/// An orderer, as a channel's configuration has it.
#[derive(Clone, Debug)]
pub struct Orderer {
    /// `orderer0.orgorderer1:7050`
    pub address: String,
    /// Its TLS authorities, PEM; empty without TLS.
    pub authorities: String,
}

/// A node's address for applications, and the name in its certificate.
struct Target {
    address: Address,
    host: String,
}

impl Profile<'_> {
    /// The profile.
    ///
    /// # Errors
    ///
    /// Fails for an organization without peers, for nodes that are not exposed, and for addresses
    /// of unknown nodes.
    pub fn document(&self) -> Result<Value> {
        let Contact {
            release,
            msp_id,
            nodes,
            ..
        } = self.contact;
        self.check()?;
        let mut peers = Map::new();
        for node in nodes {
            let address = format!("{}:{}", node.host, node.port);
            let target = self.target(&node.name, &address, node.exposed.as_deref())?;
            let authorities = self.contact.tls.then_some(self.authorities);
            peers.insert(node.host.clone(), grpc(&target, authorities));
        }
        let hosts: Vec<&String> = peers.keys().collect();
        let mut organization = json!({"mspid": msp_id, "peers": hosts});
        if let Some(ca) = &self.contact.ca {
            organization["certificateAuthorities"] = json!([ca.host]);
        }
        let mut document = json!({
            "name": release,
            "version": "1.0.0",
            "client": {
                "organization": release,
                "connection": {"timeout": {"peer": {"endorser": "300"}, "orderer": "300"}},
            },
            "organizations": {release: organization},
        });
        self.add_channels(&mut document, &hosts)?;
        document["peers"] = Value::Object(peers);
        if let Some(ca) = &self.contact.ca {
            let authority = self.ca(ca)?;
            document["certificateAuthorities"] = json!({&ca.host: authority});
        }
        Ok(document)
    }

    fn check(&self) -> Result<()> {
        let release = &self.contact.release;
        if self.contact.role != NodeRole::Peer {
            return Err(Error::user(format!(
                "organization \"{release}\" has only orderers, and no peers for applications"
            )));
        }
        let own = self.contact.nodes.iter().map(|node| node.name.as_str());
        let ca = self.contact.ca.iter().map(|ca| ca.name.as_str());
        let orderers = self.channels.iter().flat_map(|channel| &channel.orderers);
        let mut known: Vec<&str> = own.chain(ca).collect();
        for orderer in orderers {
            let host = orderer
                .address
                .rsplit_once(':')
                .map_or("", |(host, _)| host);
            if !known.contains(&host) {
                known.push(host);
            }
        }
        let unknown = self.addresses.named.keys();
        match unknown
            .into_iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) => Err(Error::user(format!(
                "--address names \"{name}\", which is not in the profile"
            ))
            .why(format!("it has {}", known.join(", ")))),
        }
    }

    fn add_channels(&self, document: &mut Value, peers: &[&String]) -> Result<()> {
        let mut channels = Map::new();
        let mut orderers: Map<String, Value> = Map::new();
        for channel in self.channels {
            let roles = json!({
                "endorsingPeer": true,
                "chaincodeQuery": true,
                "ledgerQuery": true,
                "eventSource": true,
            });
            let mut names = Vec::new();
            for Orderer {
                address,
                authorities,
            } in &channel.orderers
            {
                let name = address
                    .rsplit_once(':')
                    .map_or(address.as_str(), |(it, _)| it);
                let target = self.target(name, address, Some(address))?;
                let authorities = (!authorities.is_empty()).then_some(authorities.as_str());
                orderers.insert(name.to_owned(), grpc(&target, authorities));
                names.push(name);
            }
            let peers: Map<String, Value> = peers
                .iter()
                .map(|peer| ((*peer).clone(), roles.clone()))
                .collect();
            channels.insert(
                channel.name.clone(),
                json!({"orderers": names, "peers": peers}),
            );
        }
        if !channels.is_empty() {
            document["channels"] = Value::Object(channels);
            document["orderers"] = Value::Object(orderers);
        }
        Ok(())
    }

    fn ca(&self, ca: &CaServer) -> Result<Value> {
        let address = format!("{}:{}", ca.host, ca.port);
        let target = self.target(&ca.name, &address, ca.exposed.as_deref())?;
        Ok(match self.contact.tls {
            false => json!({
                "url": format!("http://{}", target.address),
                "caName": ca.ca_name,
            }),
            true => json!({
                "url": format!("https://{}", target.address),
                "caName": ca.ca_name,
                "tlsCACerts": {"pem": [self.ca_authorities]},
                "httpOptions": {"verify": true},
            }),
        })
    }

    /// Returns a node's address: the user's, or one of its own.
    fn target(&self, name: &str, own: &str, exposed: Option<&str>) -> Result<Target> {
        let own: Address = own.parse()?;
        if let Some(address) = self.addresses.named.get(name) {
            return Ok(Target {
                address: address.clone(),
                host: own.host,
            });
        }
        let address = match (self.addresses.exposed, exposed) {
            (false, _) => own,
            (true, Some(exposed)) => exposed.parse()?,
            (true, None) => {
                return Err(Error::user(format!(
                    "{name} of \"{}\" is not exposed outside the cluster",
                    self.contact.release
                ))
                .at(Place::new("expose.host").note("it has no external name or address"))
                .hint(format!(
                    "set expose.type and expose.host, or pass its address with --address {name}=HOST:PORT"
                )));
            }
        };
        let host = address.host.clone();
        Ok(Target { address, host })
    }
}

/// Returns the entry of a node with a gRPC port. Always includes the name in its certificate,
/// because SDKs do not derive it from a URL with an IP address.
fn grpc(target: &Target, authorities: Option<&str>) -> Value {
    let Target { address, host } = target;
    match authorities {
        None => json!({"url": format!("grpc://{address}")}),
        Some(authorities) => json!({
            "url": format!("grpcs://{address}"),
            "tlsCACerts": {"pem": authorities},
            "grpcOptions": {"ssl-target-name-override": host, "hostnameOverride": host},
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::{Model, Subject};

    fn contact(values: Value) -> Contact {
        Contact::of(Subject {
            model: Some(Model::PeerOrganization),
            release: "org1",
            namespace: "org1",
            values: &values,
        })
        .unwrap()
    }

    fn document(contact: &Contact, addresses: &Addresses, channels: &[Channel]) -> Result<Value> {
        Profile {
            contact,
            authorities: "ROOT\n",
            ca_authorities: "CA ROOT\n",
            addresses,
            channels,
        }
        .document()
    }

    #[test]
    fn a_profile_has_the_peers_and_the_ca_server() {
        let org1 = contact(json!({"ca": {"enabled": true}}));
        let profile = document(&org1, &Addresses::default(), &[]).unwrap();
        assert_eq!(
            profile,
            json!({
                "name": "org1",
                "version": "1.0.0",
                "client": {
                    "organization": "org1",
                    "connection": {"timeout": {"peer": {"endorser": "300"}, "orderer": "300"}},
                },
                "organizations": {
                    "org1": {
                        "mspid": "Org1MSP",
                        "peers": ["peer0.org1"],
                        "certificateAuthorities": ["ca.org1"],
                    },
                },
                "peers": {
                    "peer0.org1": {
                        "url": "grpcs://peer0.org1:7051",
                        "tlsCACerts": {"pem": "ROOT\n"},
                        "grpcOptions": {
                            "ssl-target-name-override": "peer0.org1",
                            "hostnameOverride": "peer0.org1",
                        },
                    },
                },
                "certificateAuthorities": {
                    "ca.org1": {
                        "url": "https://ca.org1:7054",
                        "caName": "ca.org1",
                        "tlsCACerts": {"pem": ["CA ROOT\n"]},
                        "httpOptions": {"verify": true},
                    },
                },
            })
        );
    }

    #[test]
    fn without_tls_no_certificate_is_trusted() {
        let org1 = contact(json!({"ca": {"enabled": true}, "tls": {"enabled": false}}));
        let profile = document(&org1, &Addresses::default(), &[]).unwrap();
        let peer = &profile["peers"]["peer0.org1"];
        assert_eq!(*peer, json!({"url": "grpc://peer0.org1:7051"}));
        let ca = &profile["certificateAuthorities"]["ca.org1"];
        assert_eq!(ca["url"], "http://ca.org1:7054");
    }

    #[test]
    fn channels_have_the_orderers_of_their_configuration() {
        let org1 = contact(json!({}));
        let channel = |name: &str, orderers: &[u8]| Channel {
            name: name.to_owned(),
            orderers: orderers
                .iter()
                .map(|i| Orderer {
                    address: format!("orderer{i}.orgorderer1:7050"),
                    authorities: "ORDERERS\n".to_owned(),
                })
                .collect(),
        };
        let channels = [channel("a", &[0, 1]), channel("b", &[1])];
        let profile = document(&org1, &Addresses::default(), &channels).unwrap();
        assert_eq!(
            profile["channels"]["a"]["orderers"],
            json!(["orderer0.orgorderer1", "orderer1.orgorderer1"])
        );
        assert_eq!(
            profile["channels"]["b"]["peers"]["peer0.org1"]["eventSource"],
            true
        );
        let orderers = profile["orderers"].as_object().unwrap();
        assert_eq!(orderers.len(), 2);
        assert_eq!(
            orderers["orderer1.orgorderer1"]["url"],
            "grpcs://orderer1.orgorderer1:7050"
        );
        assert_eq!(
            orderers["orderer1.orgorderer1"]["tlsCACerts"]["pem"],
            "ORDERERS\n"
        );
    }

    #[test]
    fn addresses_are_in_the_cluster_exposed_or_the_user_s() {
        let values = json!({"expose": {"type": "Ingress", "host": "{node}.example.com"}});
        let org1 = contact(values);
        let exposed = Addresses {
            exposed: true,
            named: BTreeMap::new(),
        };
        let peer = |addresses: &Addresses| {
            let profile = document(&org1, addresses, &[]).unwrap();
            profile["peers"]["peer0.org1"].clone()
        };
        let outside = peer(&exposed);
        assert_eq!(outside["url"], "grpcs://peer0.example.com:443");
        // Routing by server name requires the external name.
        assert_eq!(
            outside["grpcOptions"]["hostnameOverride"],
            "peer0.example.com"
        );
        let named = Addresses {
            exposed: true,
            named: [("peer0".to_owned(), "127.0.0.1:17051".parse().unwrap())].into(),
        };
        let local = peer(&named);
        assert_eq!(local["url"], "grpcs://127.0.0.1:17051");
        assert_eq!(local["grpcOptions"]["hostnameOverride"], "peer0.org1");

        let inside = contact(json!({}));
        let error = document(&inside, &exposed, &[]).unwrap_err().to_string();
        assert!(error.contains("--address peer0=HOST:PORT"), "{error}");
        let wrong = Addresses {
            exposed: false,
            named: [("peer7".to_owned(), "127.0.0.1:17051".parse().unwrap())].into(),
        };
        let error = document(&inside, &wrong, &[]).unwrap_err().to_string();
        assert!(error.contains("it has peer0"), "{error}");
    }

    #[test]
    fn orderers_have_no_profile() {
        let values = json!({});
        let orderers = Contact::of(Subject {
            model: Some(Model::OrdererOrganization),
            release: "orgorderer1",
            namespace: "orgorderer1",
            values: &values,
        });
        let error = document(&orderers.unwrap(), &Addresses::default(), &[]).unwrap_err();
        assert!(error.to_string().contains("no peers for applications"));
    }
}
