//! Identities of users that a Fabric CA issued: as Secrets like those of nodes, and as files.

use super::certificate::{Certificate, chain_from_pem};
use super::profile::Pair;
use super::public::{MspFiles, certificates};
use super::secrets::{Maker, all, entries_of, entry};
use super::{Organization, inventory};
use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use serde_json::Value;

/// The source of identities that a Fabric CA issued, in [`super::SOURCE`].
const SOURCE: &str = "enroll";

/// The names of the Secrets of a user: MSP and TLS.
pub fn secret_names(user: &str) -> [String; 2] {
    ["msp", "tls"].map(|kind| format!("{user}-{kind}"))
}

/// Refuses a name whose Secrets would be those of a node, of the administrator or of an authority.
pub fn check_user(organization: &Organization, user: &str) -> Result<()> {
    let own = all(organization).into_iter().map(|it| it.name);
    let names = secret_names(user);
    let is_own = own.into_iter().any(|name| names.contains(&name));
    match is_own || user == inventory::ADMIN {
        false => Ok(()),
        true => Err(Error::user(format!(
            "\"{user}\" is not a user of \"{}\"",
            organization.release
        ))
        .why("install and upgrade keep the Secrets of nodes, of the administrator and of authorities")
        .hint("enroll under another name, or write a folder: --to FOLDER")),
    }
}

/// Creates the MSP Secret of a user: the user's certificate and key, and the authorities from one
/// of the organization's nodes.
pub fn msp_secret(
    organization: &Organization,
    user: &str,
    node: &Value,
    pair: &Pair,
) -> Result<Object> {
    let mut data = vec![
        ("cert.pem".to_owned(), pair.certificate.clone()),
        ("key.pem".to_owned(), pair.key.clone()),
    ];
    let stems = [
        "cacert",
        "tlscacert",
        "intermediatecert",
        "tlsintermediatecert",
        "crl",
    ];
    let entries = stems.into_iter().flat_map(|stem| entries_of(node, stem));
    for name in entries.chain(["config.yaml".to_owned()]) {
        if let Some(text) = entry(node, &name).and_then(|bytes| String::from_utf8(bytes).ok()) {
            data.push((name, text));
        }
    }
    let [name, _] = secret_names(user);
    maker(organization).of_user(&name, "Opaque", &data, &pair.certificate)
}

/// Creates the TLS Secret of a user.
pub fn tls_secret(
    organization: &Organization,
    user: &str,
    pair: &Pair,
    authorities: &str,
) -> Result<Object> {
    let data = [
        ("tls.crt", pair.certificate.as_str()),
        ("tls.key", &pair.key),
        ("ca.crt", authorities),
    ];
    let data = data.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let [_, name] = secret_names(user);
    maker(organization).of_user(&name, "kubernetes.io/tls", &data, &pair.certificate)
}

fn maker(organization: &Organization) -> Maker<'_> {
    Maker {
        organization,
        source: SOURCE,
    }
}

/// Checks that a CA is one of the organization's authorities, before a secret is sent to it.
///
/// # Errors
///
/// Fails for a CA of another organization.
pub fn check_authority(
    organization: &Organization,
    msp: &MspFiles,
    chain: &str,
    place: &str,
) -> Result<()> {
    if is_among(msp, ["cacerts", "intermediatecerts"], chain) {
        return Ok(());
    }
    let named = chain_from_pem(chain.as_bytes(), "the CA").ok();
    let named = named.and_then(|chain| chain.into_iter().next());
    let named = named.map_or_else(String::new, |it| format!(": \"{}\"", it.subject));
    Err(Error::user(format!(
        "the CA is not an authority of {}",
        organization.msp_id
    ))
    .at(Place::new(place).note(format!("it uses another authority{named}")))
    .why("no peer or orderer would accept its certificates")
    .now("nothing was registered or enrolled")
    .hint("set --url to the CA of this organization, and --ca-name if the server has several"))
}

/// Returns true if the organization's nodes trust the TLS certificates of a CA.
pub fn issues_tls(msp: &MspFiles, chain: &str) -> bool {
    is_among(msp, ["tlscacerts", "tlsintermediatecerts"], chain)
}

fn is_among(msp: &MspFiles, folders: [&str; 2], chain: &str) -> bool {
    let read = |text: &str| chain_from_pem(text.as_bytes(), "it").unwrap_or_default();
    let known: Vec<Certificate> = folders
        .iter()
        .flat_map(|folder| read(&certificates(msp, folder)))
        .collect();
    let chain = read(chain);
    chain
        .iter()
        .any(|it| known.iter().any(|known| it.is_same_authority(known)))
}
