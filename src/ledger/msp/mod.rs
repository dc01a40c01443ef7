//! The public part of an organization: its authorities, and the units that determine roles.
//!
//! A channel contains it as an `MSPConfig`. Organizations exchange it as the JSON of `configtxgen
//! -printOrg` ([`super::organization`]). [`membership`] determines which principals a certificate
//! satisfies.

mod files;
mod membership;

pub use membership::Rules;

use super::message::decode;
use super::message::msp_configuration::{
    CryptoConfig, FabricMspConfig, MspConfig, NodeOus, OuIdentifier,
};
use crate::error::{Error, Place, Result};
use crate::identity::certificate::Certificate;
use prost::Message;

/// An organization's MSP in a channel. Certificates and revocation lists are PEM, unchanged from
/// the files, because Fabric compares the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Msp {
    pub id: String,
    pub roots: Vec<Vec<u8>>,
    pub intermediates: Vec<Vec<u8>>,
    pub tls_roots: Vec<Vec<u8>>,
    pub tls_intermediates: Vec<Vec<u8>>,
    /// Certificates of administrators. Empty if an organizational unit identifies them.
    pub admins: Vec<Vec<u8>>,
    pub revocations: Vec<Vec<u8>>,
    /// Units; each member must have one of them. Empty for any.
    pub units: Vec<OuIdentifier>,
    pub node_ous: Option<NodeOus>,
    /// Hash functions; the defaults if absent.
    pub crypto: Option<CryptoConfig>,
}

impl Msp {
    /// An MSP with the hash functions that Fabric's tools write (`msp/configbuilder.go`).
    pub fn new(id: impl Into<String>) -> Msp {
        Msp {
            id: id.into(),
            crypto: Some(CryptoConfig {
                signature_hash_family: "SHA2".to_owned(),
                identity_identifier_hash_function: "SHA256".to_owned(),
            }),
            ..Msp::default()
        }
    }

    /// Returns the same MSP with roles by organizational unit, each certified by this authority,
    /// like cryptogen and the generated identities. Since 1.4.3, this includes the units `admin`
    /// and `orderer`.
    pub fn with_node_ous(mut self, authority: &[u8]) -> Msp {
        let unit = |name: &str| {
            Some(OuIdentifier {
                certificate: authority.to_vec(),
                organizational_unit_identifier: name.to_owned(),
            })
        };
        self.node_ous = Some(NodeOus {
            enable: true,
            client_ou_identifier: unit("client"),
            peer_ou_identifier: unit("peer"),
            admin_ou_identifier: unit("admin"),
            orderer_ou_identifier: unit("orderer"),
        });
        self
    }

    pub fn from_message(message: &MspConfig) -> Result<Msp> {
        if message.r#type != 0 {
            return Err(
                Error::user("cannot read the MSP of an organization").why(format!(
                    "its type {} is not X.509; idemix is not supported",
                    message.r#type
                )),
            );
        }
        let config: FabricMspConfig = decode(&message.config, "the MSP of an organization")?;
        Ok(Msp {
            id: config.name,
            roots: config.root_certs,
            intermediates: config.intermediate_certs,
            tls_roots: config.tls_root_certs,
            tls_intermediates: config.tls_intermediate_certs,
            admins: config.admins,
            revocations: config.revocation_list,
            units: config.organizational_unit_identifiers,
            node_ous: config.fabric_node_ous,
            crypto: config.crypto_config,
        })
    }

    pub fn to_message(&self) -> MspConfig {
        let config = FabricMspConfig {
            name: self.id.clone(),
            root_certs: self.roots.clone(),
            intermediate_certs: self.intermediates.clone(),
            admins: self.admins.clone(),
            revocation_list: self.revocations.clone(),
            signing_identity: None,
            organizational_unit_identifiers: self.units.clone(),
            crypto_config: self.crypto.clone(),
            tls_root_certs: self.tls_roots.clone(),
            tls_intermediate_certs: self.tls_intermediates.clone(),
            fabric_node_ous: self.node_ous.clone(),
        };
        MspConfig {
            r#type: 0,
            config: config.encode_to_vec(),
        }
    }

    /// Returns true if there is a unit for administrators.
    pub fn knows_admins_by_unit(&self) -> bool {
        let ous = self.node_ous.as_ref().filter(|ous| ous.enable);
        ous.is_some_and(|ous| ous.admin_ou_identifier.is_some())
    }

    /// Refuses an MSP that orderers and peers would reject (`msp/mspimplsetup.go`). Reports all
    /// problems at once.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.id.is_empty() {
            problems.push("it has no MSP id".to_owned());
        }
        if self.roots.is_empty() {
            problems.push("it has no root certificate".to_owned());
        }
        if self.admins.is_empty() && !self.knows_admins_by_unit() {
            let why = "it has neither certificates of administrators nor a unit for them";
            problems.push(why.to_owned());
        }
        for (kind, certificates) in [
            ("root certificate", &self.roots),
            ("intermediate certificate", &self.intermediates),
            ("TLS root certificate", &self.tls_roots),
            ("TLS intermediate certificate", &self.tls_intermediates),
        ] {
            let problem = |pem: &Vec<u8>| authority_problem(kind, pem);
            problems.extend(certificates.iter().filter_map(problem));
        }
        let ous = self.node_ous.iter().flat_map(|ous| {
            [
                &ous.client_ou_identifier,
                &ous.peer_ou_identifier,
                &ous.admin_ou_identifier,
                &ous.orderer_ou_identifier,
            ]
        });
        let certifiers = ous.flatten().filter(|unit| !unit.certificate.is_empty());
        for unit in certifiers {
            let mut known = self.roots.iter().chain(&self.intermediates);
            if known.all(|pem| !is_same_certificate(pem, &unit.certificate)) {
                problems.push(format!(
                    "the authority of the unit {:?} is not among its certificates",
                    unit.organizational_unit_identifier
                ));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let subject = if self.id.is_empty() {
            "an organization"
        } else {
            &self.id
        };
        Err(
            Error::user(format!("the MSP of {subject} is not valid")).at_all(
                problems
                    .into_iter()
                    .map(|problem| Place::new("MSP").note(problem)),
            ),
        )
    }
}

fn authority_problem(kind: &str, pem: &[u8]) -> Option<String> {
    match Certificate::from_pem(pem, kind) {
        Err(error) => Some(format!("{}: {}", error.what(), error.reasons().join("; "))),
        Ok(certificate) if !certificate.is_authority => Some(format!(
            "the {kind} {:?} is not a CA certificate",
            certificate.subject
        )),
        Ok(certificate) if !certificate.has_identifier => {
            let subject = certificate.subject;
            Some(format!(
                "the {kind} {subject:?} has no subject key identifier"
            ))
        }
        Ok(_) => None,
    }
}

/// Returns true if two PEM texts contain the same certificate.
pub(super) fn is_same_certificate(one: &[u8], other: &[u8]) -> bool {
    let read = |pem: &[u8]| Certificate::from_pem(pem, "it").map(|it| it.der().to_vec());
    one == other || matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests;
