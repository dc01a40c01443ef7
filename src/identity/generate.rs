//! Generates identities: an organization's two authorities and the certificates that they sign.

use super::certificate::Certificate;
use super::check::MspConfig;
use super::profile::{Authority, Pair};
use super::secrets::{Content, Member, Msp, Tls, Wanted, ca_file, entry, node_ous};
use super::{NodeRole, Organization};
use crate::error::{Error, Place, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// The authorities of an organization: from their Secrets, or new ones if no certificate exists
/// that they could have signed.
pub struct Generator<'a> {
    organization: &'a Organization,
    pub ca: Authority,
    pub tls_ca: Authority,
    now: jiff::Timestamp,
}

impl<'a> Generator<'a> {
    pub fn open(
        organization: &'a Organization,
        wanted: &[Wanted],
        existing: &BTreeMap<String, Value>,
        now: jiff::Timestamp,
    ) -> Result<Generator<'a>> {
        let signed = |by_tls_ca: bool| {
            wanted.iter().find(|wanted| {
                existing.contains_key(&wanted.name)
                    && match wanted.content {
                        Content::Msp(_) => !by_tls_ca,
                        Content::Tls(_) | Content::AdminClientCa => by_tls_ca,
                        Content::Ca | Content::TlsCa | Content::Credentials { .. } => false,
                    }
            })
        };
        let open = |kind: &str, signed: Option<&Wanted>| {
            let secret = format!("{}-{kind}", organization.release);
            match (existing.get(&secret), signed) {
                (Some(body), _) => kept_authority(organization, &secret, body, now),
                (None, Some(signed)) => Err(cannot_extend(organization, &secret).why(format!(
                    "Secret {} exists, but its authority's Secret {secret} does not",
                    signed.name
                ))),
                (None, None) => Authority::generate(
                    &format!("{kind}.{}", organization.domain),
                    &organization.domain,
                    now,
                ),
            }
        };
        Ok(Generator {
            organization,
            ca: open("ca", signed(false))?,
            tls_ca: open("tlsca", signed(true))?,
            now,
        })
    }

    pub fn msp(&self, member: &Member) -> Result<Msp> {
        let unit = match (member, self.organization.role) {
            (Member::Node(_), NodeRole::Peer) => "peer",
            (Member::Node(_), NodeRole::Orderer) => "orderer",
            (Member::Admin, _) => "admin",
            (Member::CaServer(_), _) => "client",
        };
        Ok(Msp {
            pair: self.ca.sign_identity(
                &common_name(member, &self.organization.domain),
                unit,
                self.now,
            )?,
            roots: vec![self.ca.pair.certificate.clone()],
            signer: 0,
            intermediates: Vec::new(),
            tls_roots: vec![self.tls_ca.pair.certificate.clone()],
            tls_intermediates: Vec::new(),
            revocations: Vec::new(),
            config: Some(MspConfig {
                text: node_ous(&self.organization.domain),
                names: vec![(ca_file(&self.organization.domain), 0, true)],
            }),
            admins: Vec::new(),
        })
    }

    pub fn tls(&self, member: &Member) -> Result<Tls> {
        sign_tls(
            &self.tls_ca,
            member,
            &self.organization.domain,
            None,
            self.now,
        )
    }
}

/// Signs a TLS certificate.
///
/// Also used for the TLS certificate of the CA server, which a crypto-config does not contain. With
/// `key`, the certificate is for that existing key, because ordering services identify their
/// members by it.
pub fn sign_tls(
    authority: &Authority,
    member: &Member,
    domain: &str,
    key: Option<&str>,
    now: jiff::Timestamp,
) -> Result<Tls> {
    let hosts = match member {
        Member::Node(node) | Member::CaServer(node) => node.hosts.as_slice(),
        Member::Admin => &[],
    };
    let pair = authority.sign_tls(&common_name(member, domain), hosts, key, now)?;
    Ok(Tls {
        pair,
        ca: authority.pair.certificate.clone(),
    })
}

/// Returns the name that cryptogen uses: `peer0.org1`, `Admin@org1`.
pub fn common_name(member: &Member, domain: &str) -> String {
    match member {
        Member::Node(node) | Member::CaServer(node) => format!("{}.{domain}", node.name),
        Member::Admin => format!("Admin@{domain}"),
    }
}

pub fn kept_authority(
    organization: &Organization,
    secret: &str,
    body: &Value,
    now: jiff::Timestamp,
) -> Result<Authority> {
    let text = |key: &str| entry(body, key).and_then(|bytes| String::from_utf8(bytes).ok());
    let place = Place::new(format!("Secret {}/{secret}", organization.namespace));
    let (Some(certificate), Some(key)) = (text("cert.pem"), text("key.pem")) else {
        return Err(cannot_extend(organization, secret)
            .at(place.note("data: cert.pem and key.pem are required, but one is missing")));
    };
    let subject = format!("Secret {secret}");
    let Certificate {
        not_before,
        not_after,
        ..
    } = Certificate::from_pem(certificate.as_bytes(), &format!("cert.pem of {subject}"))?;
    if not_after < now {
        return Err(cannot_extend(organization, secret)
            .at(place.note(format!("data.cert.pem: expired on {not_after}"))));
    }
    if not_before > now {
        return Err(cannot_extend(organization, secret)
            .at(place.note(format!("data.cert.pem: is not valid before {not_before}")))
            .why("it was created by a machine whose clock was ahead"));
    }
    Authority::from_pair(Pair { certificate, key }, &subject)
}

fn cannot_extend(organization: &Organization, secret: &str) -> Error {
    Error::user(format!(
        "cannot create new identities of {:?}: the authority in Secret {secret} cannot sign",
        organization.domain
    ))
    .now("no identities were created; existing ones are unchanged")
    .hint("pass identities of the new nodes with --crypto-config, from the same authority as the others")
}
