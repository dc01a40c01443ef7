//! The administrator of an organization: the identity for signing, and the client certificate for
//! TLS.

use super::connect::ClientPair;
use super::organization::{entry_of, on_volume, secret};
use crate::cluster::Cluster;
use crate::error::{Error, Place, Result};
use crate::fabric::contact::{Contact, Identities};
use crate::identity::certificate::{Certificate, chain_from_pem};
use crate::identity::public::{self, MspFiles, certificates};
use crate::identity::secrets::entry;
use crate::ledger::sign::Identity;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The source of the signing identity.
#[derive(Clone, Debug)]
pub enum Signing {
    /// The administrator in the organization's Secrets.
    Secret,
    /// An identity in a folder of this machine.
    Folder(Folder),
}

/// The files of a user's folder, already read.
#[derive(Clone)]
pub struct Folder {
    /// The folder as the user named it.
    pub name: String,
    /// The files of the MSP folder, by relative path.
    pub msp: BTreeMap<String, Vec<u8>>,
    /// The files of the folder `tls` next to it, if it exists.
    pub tls: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Folder {
    /// Only the name, because the files contain keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({:?})", self.name)
    }
}

impl Folder {
    /// Reads the identity, as a member of this organization. `subject` names it in errors.
    pub fn identity(&self, msp_id: &str, subject: &str) -> Result<Identity> {
        let (certificate, key) = self.signing_files()?;
        Identity::from_pem(msp_id, &certificate, &key, subject)
    }

    /// Reads the certificate of the identity.
    pub fn certificate(&self) -> Result<Certificate> {
        let what = format!("the certificate in \"{}\"", self.name);
        Certificate::from_pem(&self.signing_files()?.0, &what)
    }

    /// Returns the certificate and its key.
    ///
    /// # Errors
    ///
    /// Fails for a folder that does not contain exactly one of each.
    pub fn signing_files(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let one = |path: &str| {
            let prefix = format!("{path}/");
            let mut files = self
                .msp
                .iter()
                .filter(|(file, _)| file.starts_with(&prefix));
            match (files.next(), files.next()) {
                (Some((_, bytes)), None) => Ok(bytes.clone()),
                (None, _) => Err("it has no file"),
                (Some(_), Some(_)) => Err("it has more than one file"),
            }
            .map_err(|why| {
                Error::user(format!(
                    "\"{}\" is not an identity that can sign",
                    self.name
                ))
                .at(Place::new(format!("{}/{path}", self.name)).note(why))
                .hint(
                    "an identity folder has one certificate in signcerts, and its key in keystore",
                )
            })
        };
        Ok((one("signcerts")?, one("keystore")?))
    }
}

/// Returns the identity of a [`Signing`].
pub struct Administrator {
    pub identity: Identity,
    pub msp: MspFiles,
    pub tls: Option<ClientPair>,
}

impl Administrator {
    /// Loads the administrator and checks that Fabric can accept it.
    pub async fn load(
        cluster: &Cluster,
        contact: &Contact,
        signing: &Signing,
        now: Timestamp,
    ) -> Result<Administrator> {
        let (administrator, place) = match signing {
            Signing::Folder(folder) => (
                of_folder(cluster, contact, folder).await?,
                folder.name.clone(),
            ),
            Signing::Secret => {
                let Identities::Secrets { admin, .. } = &contact.identities else {
                    return Err(on_volume(contact, "cannot read its administrator").hint(OWN));
                };
                let (msp, tls) = futures::join!(
                    secret(cluster, contact, admin.msp.clone()),
                    secret(cluster, contact, admin.tls.clone())
                );
                let msp = msp.map_err(|error| error.hint(OWN))?;
                let tls = match (contact.tls, tls) {
                    (true, Ok(tls)) => Some(tls),
                    // Some nodes require no client certificate.
                    _ => None,
                };
                let place = format!("Secret {}/{}", contact.namespace, admin.msp);
                (of_secrets(contact, &admin.msp, &msp, tls.as_ref())?, place)
            }
        };
        check(contact, &administrator, &place, now)?;
        Ok(administrator)
    }
}

const OWN: &str =
    "pass an administrator's folder from cryptogen or fabric-ca-client: --identity FOLDER";

fn of_secrets(
    contact: &Contact,
    name: &str,
    msp: &Value,
    tls: Option<&Value>,
) -> Result<Administrator> {
    let certificate = entry_of(contact, name, msp, "cert.pem")?;
    let key = entry_of(contact, name, msp, "key.pem")?;
    Ok(Administrator {
        identity: identity(contact, &certificate, &key)?,
        msp: public::of_secret(msp, &contact.domain),
        tls: tls.and_then(|tls| ClientPair::new(entry(tls, "tls.crt")?, entry(tls, "tls.key")?)),
    })
}

/// The organization's MSP defines the trusted authorities if it can be read, otherwise the folder
/// does.
async fn of_folder(cluster: &Cluster, contact: &Contact, folder: &Folder) -> Result<Administrator> {
    let identity = folder.identity(&contact.msp_id, &subject(contact))?;
    let own = match &contact.identities {
        Identities::Secrets { nodes, .. } => match nodes.first() {
            Some(pair) => secret(cluster, contact, pair.msp.clone()).await.ok(),
            None => None,
        },
        Identities::Volume => None,
    };
    let tls = |names: [&str; 2]| names.iter().find_map(|name| folder.tls.get(*name).cloned());
    let pair = tls(["client.crt", "server.crt"]).zip(tls(["client.key", "server.key"]));
    Ok(Administrator {
        identity,
        msp: match own {
            Some(own) => public::of_secret(&own, &contact.domain),
            None => public::of_folder(&folder.msp),
        },
        tls: pair.and_then(|(certificate, key)| ClientPair::new(certificate, key)),
    })
}

fn identity(contact: &Contact, certificate: &[u8], key: &[u8]) -> Result<Identity> {
    Identity::from_pem(&contact.msp_id, certificate, key, &subject(contact))
}

fn subject(contact: &Contact) -> String {
    format!("the administrator of \"{}\"", contact.release)
}

/// Checks for which a Fabric node would only respond "access denied", without a reason.
fn check(
    contact: &Contact,
    administrator: &Administrator,
    place: &str,
    now: Timestamp,
) -> Result<()> {
    let certificate = administrator.identity.certificate();
    let refuse = |note: String| {
        Error::user(format!(
            "the administrator of \"{}\" cannot be used",
            contact.release
        ))
        .at(Place::new(place).note(note))
        .now("nothing was sent to any node")
    };
    if certificate.not_after < now {
        return Err(refuse(format!(
            "its certificate expired on {}",
            certificate.not_after
        ))
        .hint(
            "renew it with the same authority, or use another administrator: --identity FOLDER",
        ));
    }
    if certificate.not_before > now {
        return Err(refuse(format!(
            "its certificate is not valid before {}",
            certificate.not_before
        ))
        .hint("check this computer's clock, and the API server's"));
    }
    let is_signed = |folder: &str| {
        let text = certificates(&administrator.msp, folder);
        let authorities = chain_from_pem(text.as_bytes(), folder).unwrap_or_default();
        authorities
            .iter()
            .any(|authority: &Certificate| certificate.is_signed_by(authority))
    };
    match is_signed("cacerts") || is_signed("intermediatecerts") {
        true => Ok(()),
        false => Err(refuse(format!(
            "its certificate is from \"{}\", which is not an authority of {}",
            certificate.issuer, contact.msp_id
        ))
        .hint(OWN)),
    }
}
