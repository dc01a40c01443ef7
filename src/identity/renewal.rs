//! Changes of certificates during a release's life. A source may have other certificates of the
//! same authority, or values may require names that a certificate lacks. A change of the authority
//! is refused, because to every channel it is another organization.

use super::certificate::{Certificate, chain_from_pem, key_from_pem};
use super::decide::Situation;
use super::generate::{kept_authority, sign_tls};
use super::known::{self, Pin};
use super::profile::{Authority, Pair};
use super::secrets::{Content, Maker, Member, Wanted, entries_of, entry};
use super::{Node, Organization, Plan, SOURCE, is_authority, is_own};
use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A changed certificate of an orderer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// `orderer0`
    pub node: String,
    /// True for its TLS certificate, false for its signing certificate.
    pub is_tls: bool,
    pub same_key: bool,
    /// True if its Secret no longer exists, so that a new certificate would be generated.
    pub is_missing: bool,
}

/// Returns orderers' certificates that differ from those in the channels, as far as these are
/// known.
pub fn of_orderers(before: &BTreeMap<String, Pin>, after: &BTreeMap<String, Pin>) -> Vec<Renewal> {
    let changed = after
        .iter()
        .filter_map(|(secret, pin)| Some((secret, before.get(secret)?, pin)));
    let changed = changed.filter(|(_, before, after)| before.certificate != after.certificate);
    let renewal = |(secret, before, after): (&String, &Pin, &Pin)| {
        let (node, kind) = secret.rsplit_once('-')?;
        Some(Renewal {
            node: node.to_owned(),
            is_tls: kind == "tls",
            same_key: before.key == after.key,
            is_missing: false,
        })
    };
    changed.filter_map(renewal).collect()
}

/// Returns the key in an authority's Secret, if it matches the authority's certificate. A source
/// may have a new certificate without the key.
pub fn kept_key(secret: &Value, certificate: &str) -> Option<String> {
    let pem = entry(secret, "key.pem")?;
    let certificate = Certificate::from_pem(certificate.as_bytes(), "the authority").ok()?;
    let fits = key_from_pem(&pem, "the authority's key").is_ok_and(|key| certificate.fits(&key));
    fits.then(|| String::from_utf8(pem).ok())?
}

/// Sorts the Secrets from a source: new, with other certificates of the same authority, and
/// unchanged.
///
/// # Errors
///
/// Fails for certificates of another authority, and for Secrets that belong to others.
pub fn renew(
    organization: &Organization,
    offered: Vec<Object>,
    existing: &BTreeMap<String, Value>,
    plan: &mut Plan,
) -> Result<()> {
    let (mut others, mut foreign) = (Vec::new(), Vec::new());
    for mut secret in offered {
        let name = secret.key.name.clone();
        let Some(before) = existing.get(&name) else {
            plan.create.push(secret);
            continue;
        };
        if known::digest(before) == known::digest(&secret.body) {
            continue;
        }
        let place = Place::new(format!("Secret {}/{name}", organization.namespace));
        if !is_own(organization, before) {
            foreign.push(place.note("was not created by this release, and has other certificates"));
        } else if !is_of_same_authority(before, &secret) {
            others.push(
                place.note("its certificate is from another authority than the crypto-config's"),
            );
        } else {
            if let (Some(old), Some(new)) = (leaf(before), leaf(&secret.body))
                && new.not_after < old.not_after
            {
                let place = format!("Secret {}/{name}", organization.namespace);
                plan.warnings.push(format!(
                    "the crypto-config's certificate for {place} expires on {}, before the existing one ({})",
                    new.not_after, old.not_after
                ));
            }
            bind(&mut secret, before);
            plan.renew.push(secret);
        }
    }
    let refused = Error::refused(format!(
        "the identities of {:?} differ from the crypto-config",
        organization.domain
    ))
    .now("no identities were created; existing ones are unchanged");
    if !others.is_empty() {
        return Err(refused
            .at_all(others.into_iter().chain(foreign))
            .why("channels identify an organization by its authorities: with certificates of \
                  another one, they reject its nodes")
            .hint("omit --crypto-config to keep the current identities, or pass the folder of the same authority")
            .hint("to change the authority, first add it to the organization's MSP in the \
                   configuration of every channel"));
    }
    if !foreign.is_empty() {
        return Err(refused
            .at_all(foreign)
            .why("a Secret that this release did not create is never changed")
            .hint("omit --crypto-config to use them unchanged, or renew them at their source"));
    }
    Ok(())
}

/// A TLS certificate that lacks names.
struct Lacking<'a> {
    wanted: &'a Wanted,
    member: &'a Member,
    node: &'a Node,
    secret: &'a Value,
    absent: Vec<String>,
}

impl Lacking<'_> {
    fn is_generated(&self) -> bool {
        self.secret["metadata"]["annotations"][SOURCE] == "generate"
    }
}

/// Reissues TLS certificates that lack a required name, for the same keys. The authority in its
/// Secret (or `signer`) signs them.
///
/// # Errors
///
/// Fails if a certificate lacks a name and the authority's key is not available.
pub(super) fn with_new_names(
    situation: &Situation,
    present: &[&Wanted],
    signer: Option<Pair>,
    plan: &mut Plan,
) -> Result<()> {
    let &Situation {
        organization,
        existing,
        now,
        ..
    } = situation;
    let lacking = lacking(organization, present, existing);
    if lacking.is_empty() {
        return Ok(());
    }
    let secret_name = format!("{}-tlsca", organization.release);
    let authority = match signer {
        Some(pair) => Authority::from_pair(pair, &format!("tlsca.{}", organization.domain)).ok(),
        None => existing
            .get(&secret_name)
            .and_then(|body| kept_authority(organization, &secret_name, body, now).ok()),
    };
    let signs = |secret: &Value| {
        let authority = authority.as_ref()?;
        let own =
            Certificate::from_pem(authority.pair.certificate.as_bytes(), "the authority").ok()?;
        (is_own(organization, secret) && leaf(secret)?.is_signed_by(&own)).then_some(authority)
    };
    let mut refused = Vec::new();
    for lacking in lacking {
        let Lacking {
            wanted,
            member,
            secret,
            ..
        } = lacking;
        let key = entry(secret, "tls.key").and_then(|key| String::from_utf8(key).ok());
        let (Some(authority), Some(key)) = (signs(secret), key) else {
            refused.push(lacking);
            continue;
        };
        let maker = Maker {
            organization,
            source: match lacking.is_generated() {
                true => "generate",
                false => "cryptogen",
            },
        };
        let tls = sign_tls(authority, member, &organization.domain, Some(&key), now)?;
        let mut renewed = maker.tls(&wanted.name, &tls)?;
        bind(&mut renewed, secret);
        plan.renew.push(renewed);
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(cannot_reissue(organization, &secret_name, &refused)),
    }
}

/// Returns the existing TLS certificates that lack required names.
fn lacking<'a>(
    organization: &Organization,
    present: &[&'a Wanted],
    existing: &'a BTreeMap<String, Value>,
) -> Vec<Lacking<'a>> {
    let lacking = present.iter().filter_map(|wanted| {
        let Content::Tls(member @ (Member::Node(node) | Member::CaServer(node))) = &wanted.content
        else {
            return None;
        };
        let secret = existing.get(&wanted.name)?;
        let certificate = leaf(secret)?;
        let mut lacking = Lacking {
            wanted,
            member,
            node,
            secret,
            absent: Vec::new(),
        };
        // A certificate from elsewhere may have any names. It must be valid for those that clients
        // of the node use.
        let made_here = lacking.is_generated() || matches!(member, Member::CaServer(_));
        let hosts = match made_here && is_own(organization, secret) {
            true => &node.hosts,
            false => &node.advertised,
        };
        let absent = hosts.iter().filter(|host| !certificate.covers(host));
        lacking.absent = absent.cloned().collect();
        Some(lacking)
    });
    lacking
        .filter(|lacking| !lacking.absent.is_empty())
        .collect()
}

fn cannot_reissue(
    organization: &Organization,
    secret_name: &str,
    refused: &[Lacking<'_>],
) -> Error {
    let places = refused.iter().map(|lacking| {
        let name = &lacking.wanted.name;
        Place::new(format!("Secret {}/{name}", organization.namespace))
            .note(format!("is not valid for {}", lacking.absent.join(", ")))
    });
    let each = refused.iter().map(|Lacking { node, .. }| {
        format!(
            "{} with the names {}",
            node.name,
            node.advertised.join(", ")
        )
    });
    let each = each.collect::<Vec<_>>().join("; ");
    Error::refused(format!("TLS certificates of {:?} lack names that the values require", organization.domain))
        .at_all(places)
        .why(format!(
            "only the authority that signed a certificate can reissue it, with its key in Secret {secret_name}"
        ))
        .now("nothing was changed; the nodes keep their certificates")
        .hint(format!(
            "reissue them from the same authority for the same keys, and pass the folder with \
             --crypto-config: {each}; or remove the names from tls.extraSans and expose"
        ))
}

/// Returns the certificate of a Secret with any kind of identity.
fn leaf(secret: &Value) -> Option<Certificate> {
    let pem = ["cert.pem", "tls.crt", "ca.crt"]
        .iter()
        .find_map(|key| entry(secret, key))?;
    Certificate::from_pem(&pem, "the certificate").ok()
}

/// Returns true if the offered certificate chains to an authority that the Secret already trusts.
/// An authority itself must keep its name and key.
fn is_of_same_authority(before: &Value, offered: &Object) -> bool {
    let (Some(old), Some(new)) = (leaf(before), leaf(&offered.body)) else {
        return false;
    };
    let is_admin_ca = |secret: &Value| {
        secret["data"].get("tls.crt").is_none() && secret["data"].get("ca.crt").is_some()
    };
    if is_authority(offered) || is_admin_ca(&offered.body) {
        return old.is_same_authority(&new);
    }
    let every = |secret: &Value, stems: &[&str]| -> Vec<Certificate> {
        let entries = stems
            .iter()
            .flat_map(|stem| entries_of(secret, stem))
            .chain(["ca.crt".to_owned(), "tls.crt".to_owned()]);
        entries
            .filter_map(|key| chain_from_pem(&entry(secret, &key)?, "").ok())
            .flatten()
            .collect()
    };
    let trusted = every(before, &["cacert"]);
    let trusted: Vec<_> = trusted
        .into_iter()
        .filter(|certificate| *certificate != old)
        .collect();
    let between = every(&offered.body, &["intermediatecert", "cacert"]);
    let mut reached = vec![&new];
    let mut next = 0;
    while let Some(current) = reached.get(next).copied() {
        next += 1;
        if trusted
            .iter()
            .any(|authority| current.is_signed_by(authority))
        {
            return true;
        }
        for authority in &between {
            if !reached.contains(&authority) && current.is_signed_by(authority) {
                reached.push(authority);
            }
        }
    }
    false
}

/// Binds a change to the Secret that was read.
fn bind(secret: &mut Object, seen: &Value) {
    if let Some(uid) = seen["metadata"]["uid"].as_str() {
        secret.body["metadata"]["uid"] = json!(uid);
    }
}
