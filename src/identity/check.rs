//! Checks that an identity's files satisfy Fabric. The same rules apply to a crypto-config folder,
//! Secrets that the user keeps, and files on a volume. Each source provides its files as
//! [`MspParts`] and [`TlsParts`].
//!
//! Sources: `msp/configbuilder.go` and `msp/mspimplsetup.go`. Collects all problems. No message
//! shows a key's content.

use super::certificate::{self, Certificate, Key, REVOCATIONS, blocks, chain_from_pem, read_key};
use super::profile::Pair;
use super::secrets::{Msp, Tls, ca_file};
use crate::error::Place;
use crate::yaml;
use jiff::Timestamp;
use serde_json::Value;
use std::cell::RefCell;

/// A file, or an entry of a Secret.
#[derive(Clone)]
pub struct Item {
    /// Such as `crypto-config/peerOrganizations/...` or `Secret org1/peer0-tls`.
    pub subject: String,
    /// Prefix of notes about it: the entry of a Secret.
    pub prefix: String,
    /// Path below the MSP folder, as in `config.yaml`: `cacerts/ca.org1-cert.pem`.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// The files of an MSP, as found.
#[derive(Default)]
pub struct MspParts {
    pub certificate: Option<Item>,
    pub keys: Vec<Item>,
    pub roots: Vec<Item>,
    pub intermediates: Vec<Item>,
    pub tls_roots: Vec<Item>,
    pub tls_intermediates: Vec<Item>,
    pub revocations: Vec<Item>,
    pub admins: Vec<Item>,
    pub config: Option<Item>,
}

/// The files of a TLS identity, as found.
#[derive(Default)]
pub struct TlsParts {
    /// The certificate, and any intermediates.
    pub certificate: Option<Item>,
    pub keys: Vec<Item>,
    pub roots: Vec<Item>,
    pub intermediates: Vec<Item>,
}

/// Checks the identities of one organization.
pub struct Checker<'a> {
    pub domain: &'a str,
    pub now: Timestamp,
    problems: RefCell<Vec<Place>>,
    warnings: RefCell<Vec<String>>,
    /// Names that certificates lack, for each node that needs them.
    absent: RefCell<Vec<(String, Vec<String>)>>,
}

/// How long before its expiry a certificate causes a warning.
pub const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

impl<'a> Checker<'a> {
    pub fn new(domain: &'a str, now: Timestamp) -> Checker<'a> {
        Checker {
            domain,
            now,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            absent: RefCell::default(),
        }
    }

    /// Returns the problems found so far, without duplicates.
    pub fn problems(&self) -> Vec<Place> {
        let mut problems: Vec<Place> = Vec::new();
        for place in self.problems.take() {
            if !problems
                .iter()
                .any(|known| (&known.subject, &known.note) == (&place.subject, &place.note))
            {
                problems.push(place);
            }
        }
        problems
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.take();
        warnings.sort();
        warnings.dedup();
        warnings
    }

    /// Returns advice about names that certificates lack: which certificates to reissue, with which
    /// names.
    pub fn reissue_hint(&self) -> Option<String> {
        let absent = self.absent.take();
        let each = absent
            .iter()
            .map(|(node, hosts)| format!("{node} with the names {}", hosts.join(", ")));
        let each = each.collect::<Vec<_>>().join("; ");
        (!absent.is_empty()).then(|| {
            format!(
                "reissue these TLS certificates from the same authority: {each} (cryptogen: SANS; fabric-ca-client: --csr.hosts; \
                 cert-manager: dnsNames)"
            )
        })
    }

    pub fn problem(&self, subject: impl Into<String>, note: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(Place::new(subject.into()).note(note.into()));
    }

    pub fn blame(&self, item: &Item, note: impl std::fmt::Display) {
        self.problem(item.subject.clone(), format!("{}{note}", item.prefix));
    }

    fn warn(&self, item: &Item, note: impl std::fmt::Display) {
        let entry = if item.prefix.is_empty() { "" } else { " " };
        self.warnings.borrow_mut().push(format!(
            "{}{entry}{} {note}",
            item.subject,
            item.prefix.trim_end_matches(": ")
        ));
    }

    /// Checks an MSP. Returns `None`, and records problems, if a part is missing or unreadable.
    pub fn msp(&self, parts: &MspParts) -> Option<Msp> {
        let item = parts.certificate.as_ref();
        // Fabric reads only the first certificate of a file.
        let leaf = item
            .and_then(|item| self.certificates(item))
            .map(|mut chain| chain.swap_remove(0));
        let key = match (item, &leaf) {
            (Some(item), Some(leaf)) => self.key(item, leaf, &parts.keys),
            _ => None,
        };
        let roots = self.authorities(&parts.roots, true);
        let between = self.authorities(&parts.intermediates, true);
        let tls_roots = self.authorities(&parts.tls_roots, true);
        let tls_between = self.authorities(&parts.tls_intermediates, true);
        let admins: Vec<_> = self.all(&parts.admins);
        let revocations: Vec<_> = parts
            .revocations
            .iter()
            .filter_map(|item| self.revocations(item))
            .flatten()
            .collect();
        let config = self.config(parts, &roots, &between, admins.is_empty());
        let (item, leaf, key) = (item?, leaf?, key?);
        self.check_validity(item, &leaf);
        if leaf.is_authority {
            self.blame(
                item,
                "is a certificate of an authority, which Fabric does not accept as an identity",
            );
        }
        if revocations.iter().any(|list| leaf.is_revoked_by(list)) {
            self.blame(item, "is revoked by a revocation list in crls");
        }
        let signer = self.check_chain(item, &leaf, &between, &roots);
        if roots.is_empty() || tls_roots.is_empty() {
            return None;
        }
        let pems = |found: &[(&Item, Certificate)]| {
            found
                .iter()
                .map(|(_, certificate)| certificate.to_pem())
                .collect()
        };
        Some(Msp {
            pair: Pair {
                certificate: whole(item, &leaf),
                key: key.pem,
            },
            roots: pems(&roots),
            signer: signer.unwrap_or(0),
            intermediates: pems(&between),
            tls_roots: pems(&tls_roots),
            tls_intermediates: pems(&tls_between),
            revocations: revocations
                .iter()
                .map(|list| certificate::to_pem(REVOCATIONS, list))
                .collect(),
            config,
            admins: pems(&admins),
        })
    }

    /// Checks a TLS identity of `node`. It must be valid for `hosts`, which are names and
    /// addresses.
    pub fn tls(&self, parts: &TlsParts, node: &str, hosts: &[String]) -> Option<Tls> {
        let item = parts.certificate.as_ref();
        let chain = item.and_then(|item| self.certificates(item));
        let key = match (item, &chain) {
            (Some(item), Some(chain)) => self.key(item, &chain[0], &parts.keys),
            _ => None,
        };
        // Go reads all certificates in a file of authorities.
        let mut roots: Vec<(&Item, Certificate)> = Vec::new();
        for item in &parts.roots {
            roots.extend(
                self.certificates(item)
                    .into_iter()
                    .flatten()
                    .map(|certificate| (item, certificate)),
            );
        }
        let mut between = self.authorities(&parts.intermediates, false);
        let (item, chain, key) = (item?, chain?, key?);
        let leaf = &chain[0];
        self.check_validity(item, leaf);
        let own = chain.len() - 1;
        between.retain(|(_, certificate)| !chain.contains(certificate));
        drop(
            between.splice(
                0..0,
                chain[1..]
                    .iter()
                    .map(|certificate| (item, certificate.clone())),
            ),
        );
        let signer = self.check_chain(item, leaf, &between, &roots);
        let absent: Vec<String> = hosts
            .iter()
            .filter(|host| !leaf.covers(host))
            .cloned()
            .collect();
        if !absent.is_empty() {
            let names = if leaf.hosts.is_empty() {
                "none".to_owned()
            } else {
                leaf.hosts.join(", ")
            };
            self.blame(
                item,
                format!(
                    "is not valid for {} (its names: {names})",
                    absent.join(", ")
                ),
            );
            self.absent
                .borrow_mut()
                .push((node.to_owned(), hosts.to_vec()));
        }
        if roots.is_empty() {
            return None;
        }
        let signed_by = signer.unwrap_or(0);
        let mut certificate = whole(item, leaf);
        // A client that trusts only the root needs the intermediates. Go sends them if they follow
        // the certificate.
        for (_, more) in between.iter().skip(own) {
            certificate.push_str(&more.to_pem());
        }
        let others = roots
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != signed_by)
            .map(|(_, root)| root);
        let ca = std::iter::once(&roots[signed_by]).chain(others).fold(
            Vec::new(),
            |mut pems: Vec<String>, (_, root)| {
                let pem = root.to_pem();
                if !pems.contains(&pem) {
                    pems.push(pem);
                }
                pems
            },
        );
        Some(Tls {
            pair: Pair {
                certificate,
                key: key.pem,
            },
            ca: ca.concat(),
        })
    }

    /// Returns all certificates of a file. Returns `None`, and records a problem, if there is none
    /// or one is unreadable.
    pub fn certificates(&self, item: &Item) -> Option<Vec<Certificate>> {
        let chain = chain_from_pem(&item.bytes, &item.subject).ok();
        if chain.is_none() {
            self.blame(item, "is not a PEM certificate");
        }
        chain
    }

    /// Returns the first certificate of each file.
    fn all<'i>(&self, items: &'i [Item]) -> Vec<(&'i Item, Certificate)> {
        items
            .iter()
            .filter_map(|item| Some((item, self.certificates(item)?.swap_remove(0))))
            .collect()
    }

    /// Returns the certificates of authorities. An MSP uses only the first of each file.
    fn authorities<'i>(&self, items: &'i [Item], of_msp: bool) -> Vec<(&'i Item, Certificate)> {
        let mut found: Vec<(&Item, Certificate)> = Vec::new();
        for item in items {
            let Some(mut chain) = self.certificates(item) else {
                continue;
            };
            if of_msp && chain.len() > 1 {
                self.warn(
                    item,
                    format!(
                        "contains {} certificates, but Fabric's MSP reads only the first one",
                        chain.len()
                    ),
                );
                chain.truncate(1);
            }
            for certificate in chain {
                if of_msp && !certificate.is_authority {
                    self.blame(
                        item,
                        "is not the certificate of an authority (basicConstraints, CA:TRUE)",
                    );
                } else if of_msp && !certificate.has_identifier {
                    self.blame(item, "has no subject key identifier, which Fabric's MSP requires of an authority");
                }
                if !found.iter().any(|(_, known)| known == &certificate) {
                    found.push((item, certificate));
                }
            }
        }
        found
    }

    /// Returns the key of a certificate, or records why there is none.
    pub fn key(&self, item: &Item, certificate: &Certificate, keys: &[Item]) -> Option<Key> {
        let mut others = Vec::new();
        for key in keys {
            match read_key(&key.bytes) {
                Ok(read) if certificate.fits(&read.pair) => return Some(read),
                Ok(_) => others.push((key, "does not match the certificate".to_owned())),
                Err(why) => others.push((key, why.to_owned())),
            }
        }
        match keys {
            [] => self.blame(item, "has no private key"),
            _ => others.iter().for_each(|(key, why)| self.blame(key, why)),
        }
        None
    }

    pub fn check_validity(&self, item: &Item, certificate: &Certificate) {
        let (now, ends) = (self.now, certificate.not_after);
        if ends < now {
            self.blame(item, format!("expired on {ends}"));
        } else if certificate.not_before > now {
            self.blame(
                item,
                format!("is not valid before {}", certificate.not_before),
            );
        } else if ends.duration_since(now) < SOON {
            self.warn(item, format!("expires on {ends}"));
        }
    }

    /// Verifies the chain of signatures from a leaf through intermediates to an authority. Returns
    /// the authority's index.
    fn check_chain(
        &self,
        item: &Item,
        leaf: &Certificate,
        between: &[(&Item, Certificate)],
        roots: &[(&Item, Certificate)],
    ) -> Option<usize> {
        let (mut current, mut passed) = (leaf, Vec::new());
        loop {
            if let Some(index) = roots
                .iter()
                .position(|(_, root)| current.is_signed_by(root))
            {
                self.check_validity(roots[index].0, &roots[index].1);
                return Some(index);
            }
            let next = between.iter().find(|(_, next)| {
                !passed.contains(&next) && next != current && current.is_signed_by(next)
            });
            let Some((at, next)) = next else { break };
            self.check_validity(at, next);
            passed.push(next);
            current = next;
        }
        if !roots.is_empty() {
            let known = roots
                .iter()
                .map(|(_, root)| root.subject.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let of_that_name = roots.iter().any(|(_, root)| root.subject == current.issuer);
            let issuer = match (of_that_name, passed.is_empty()) {
                (true, _) => format!("an authority {} with another key signed it", current.issuer),
                (false, true) => format!("its issuer is {}", current.issuer),
                (false, false) => format!(
                    "the issuer of {} above it is {}",
                    current.subject, current.issuer
                ),
            };
            self.blame(item, format!("is not signed by {known} ({issuer})"));
        }
        None
    }

    fn revocations(&self, item: &Item) -> Option<Vec<Vec<u8>>> {
        let lists: Vec<_> = blocks(&item.bytes)
            .into_iter()
            .filter(|(label, _)| label == REVOCATIONS)
            .map(|(_, der)| der)
            .collect();
        if lists.is_empty() {
            self.blame(item, "is not a PEM certificate revocation list (X509 CRL)");
            return None;
        }
        Some(lists)
    }

    /// Returns an MSP's `config.yaml` with the paths of authorities on the nodes.
    ///
    /// Fabric must be able to recognize administrators, either by the unit in a certificate
    /// (NodeOUs) or by certificates in `admincerts` (`msp/mspimplsetup.go`, `setupAdminsV142`).
    fn config(
        &self,
        parts: &MspParts,
        roots: &[(&Item, Certificate)],
        between: &[(&Item, Certificate)],
        no_admins: bool,
    ) -> Option<MspConfig> {
        const WHO: &str = "config.yaml with NodeOUs and an AdminOUIdentifier, or an administrator's certificate in admincerts";
        let Some(item) = &parts.config else {
            if let (true, Some(certificate)) = (no_admins, &parts.certificate) {
                self.blame(
                    certificate,
                    format!("its MSP defines no administrator: it needs {WHO}"),
                );
            }
            return None;
        };
        let parsed = std::str::from_utf8(&item.bytes)
            .ok()
            .and_then(|text| Some((text, yaml::parse(text, &item.subject).ok()?)));
        let Some((text, config)) = parsed else {
            self.blame(item, "is not YAML");
            return None;
        };
        let units = &config["NodeOUs"];
        let enabled = units["Enable"] == true;
        if no_admins
            && !(enabled && units["AdminOUIdentifier"]["OrganizationalUnitIdentifier"].is_string())
        {
            self.blame(
                item,
                format!("defines no administrator: an MSP needs {WHO}"),
            );
        }
        let mut names = Vec::new();
        let found: Vec<(&str, usize, bool)> = (roots
            .iter()
            .enumerate()
            .map(|(index, (item, _))| (item.path.as_str(), index, true)))
        .chain(
            between
                .iter()
                .enumerate()
                .map(|(index, (item, _))| (item.path.as_str(), index, false)),
        )
        .collect();
        for unit in units
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, unit)| unit)
        {
            let Some(named) = unit
                .get("Certificate")
                .and_then(Value::as_str)
                .filter(|named| !named.is_empty())
            else {
                continue;
            };
            match found.iter().find(|(path, ..)| *path == named) {
                Some((_, index, is_root)) => names.push((named.to_owned(), *index, *is_root)),
                None => {
                    let have = found
                        .iter()
                        .map(|(path, ..)| *path)
                        .collect::<Vec<_>>()
                        .join(", ");
                    let have = if have.is_empty() {
                        ca_file(self.domain)
                    } else {
                        have
                    };
                    self.blame(
                        item,
                        format!("names the certificate {named}, but the MSP has {have}"),
                    );
                }
            }
        }
        Some(MspConfig {
            text: text.to_owned(),
            names,
        })
    }
}

/// An MSP's `config.yaml` and the authorities that it names: the path, the index among roots or
/// intermediates, and whether it is a root.
pub struct MspConfig {
    pub text: String,
    pub names: Vec<(String, usize, bool)>,
}

/// Returns a certificate's text as found, so that an unchanged certificate keeps its bytes.
fn whole(item: &Item, leaf: &Certificate) -> String {
    String::from_utf8(item.bytes.clone()).unwrap_or_else(|_| leaf.to_pem())
}
