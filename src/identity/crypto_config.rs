//! Finds an organization's files in a crypto-config folder, in the layout of cryptogen
//! (`internal/cryptogen/msp/msp.go`) or of `fabric-ca-client` (`tls/signcerts`,
//! `cacerts/localhost-7054-ca-org1.pem`). [`check`](super::check) checks them.
//!
//! Keys are found because they match their certificate, so that `priv_sk` (2.x), `<ski>_sk` (1.x)
//! and any other name work. All problems in the organization's part are reported at once. No
//! message shows a file's content.

use super::certificate::{Certificate, chain_from_pem, read_key};
use super::check::{Checker, Item, MspParts, TlsParts};
use super::generate::common_name;
use super::profile::Pair;
use super::secrets::{Member, Msp, Tls};
use super::{NodeRole, Organization};
use crate::error::{Error, Place, Result, nearest};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The part of a crypto-config folder for one organization.
pub struct Folder<'a> {
    organization: &'a Organization,
    name: &'a str,
    files: BTreeMap<&'a str, &'a Vec<u8>>,
    /// `peerOrganizations/org1/`, with any folders above it.
    base: String,
    check: Checker<'a>,
    /// Whether a node was not found, so that the error explains the origin of its name.
    lacks_member: Cell<bool>,
}

impl<'a> Folder<'a> {
    pub fn open(
        organization: &'a Organization,
        name: &'a str,
        files: &'a BTreeMap<String, Vec<u8>>,
        now: jiff::Timestamp,
    ) -> Result<Folder<'a>> {
        let files: BTreeMap<&str, &Vec<u8>> = files
            .iter()
            .filter(|(path, _)| !is_of_macos(path))
            .map(|(path, bytes)| (path.as_str(), bytes))
            .collect();
        let mut found = BTreeSet::new();
        let mut domains = BTreeSet::new();
        for (path, kind) in files
            .keys()
            .flat_map(|path| kinds(organization.role).map(|kind| (*path, kind)))
        {
            if let Some((above, rest)) = split_at_folder(path, kind)
                && let Some((domain, _)) = rest.split_once('/')
            {
                domains.insert(domain);
                if domain == organization.domain {
                    found.insert(format!("{above}{kind}/{domain}/"));
                }
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(base), None) => {
                let check = Checker::new(&organization.domain, now);
                Ok(Folder {
                    organization,
                    name,
                    files,
                    base,
                    check,
                    lacks_member: Cell::new(false),
                })
            }
            (Some(one), Some(other)) => Err(Error::user(format!(
                "{name} contains {:?} twice",
                organization.domain
            ))
            .at(Place::new(format!("{name}/{one}")))
            .at(Place::new(format!("{name}/{other}")))
            .hint("choose one crypto-config folder")),
            (None, _) => Err(unknown_domain(organization, name, &domains)),
        }
    }

    /// Returns the certificate of the authority that signs identities.
    pub fn ca(&self) -> Option<String> {
        self.authority("ca", "cacerts", "intermediatecerts")
    }

    pub fn tls_ca(&self) -> Option<String> {
        self.authority("tlsca", "tlscacerts", "tlsintermediatecerts")
    }

    /// Returns the key of `ca` or `tlsca`, if the folder has it. An organization may keep it
    /// elsewhere.
    pub fn authority_key(&self, which: &str, certificate: &str) -> Option<String> {
        let certificate = Certificate::from_pem(certificate.as_bytes(), which).ok()?;
        self.keys(which)
            .find_map(|key| certificate.fits(&key.pair).then_some(key.pem))
    }

    /// Returns the TLS authority's certificate and key, if the folder has both.
    pub fn tls_pair(&self) -> Option<Pair> {
        let certificate = self.tls_ca()?;
        let key = self.authority_key("tlsca", &certificate)?;
        Some(Pair { certificate, key })
    }

    pub fn msp(&self, member: &Member) -> Option<Msp> {
        let folder = format!("{}msp/", self.member(member)?);
        let organization = format!("{}msp/", self.base);
        let files = |kind: &str| self.items(&folder, kind);
        let files_or_organization_s = |kind: &str| match files(kind) {
            none if none.is_empty() => self.items(&organization, kind),
            found => found,
        };
        let mut tls_roots = files_or_organization_s("tlscacerts");
        if tls_roots.is_empty() {
            tls_roots = self.tls_parts(member)?.roots;
        }
        let parts = MspParts {
            certificate: self.certificate(&folder, "signcerts"),
            keys: files("keystore"),
            roots: files_or_organization_s("cacerts"),
            intermediates: files_or_organization_s("intermediatecerts"),
            tls_roots,
            tls_intermediates: files_or_organization_s("tlsintermediatecerts"),
            revocations: files_or_organization_s("crls"),
            admins: files("admincerts"),
            config: self.item(&folder, "config.yaml"),
        };
        for (kind, found) in [("cacerts", &parts.roots), ("tlscacerts", &parts.tls_roots)] {
            if found.is_empty() {
                self.problem(&format!("{folder}{kind}/"), "no certificate found");
            }
        }
        self.check.msp(&parts)
    }

    pub fn tls(&self, member: &Member) -> Option<Tls> {
        let parts = self.tls_parts(member)?;
        let (name, hosts) = match member {
            Member::Node(node) | Member::CaServer(node) => {
                (node.name.as_str(), node.advertised.as_slice())
            }
            Member::Admin => ("Admin", &[][..]),
        };
        self.check.tls(&parts, name, hosts)
    }

    fn tls_parts(&self, member: &Member) -> Option<TlsParts> {
        let folder = format!("{}tls/", self.member(member)?);
        let role = if matches!(member, Member::Admin) {
            "client"
        } else {
            "server"
        };
        let (certificate, key) = (
            self.item(&folder, &format!("{role}.crt")),
            self.item(&folder, &format!("{role}.key")),
        );
        // fabric-ca-client writes TLS identities in the layout of an MSP, and uses a node's file
        // names for an administrator's certificate.
        let certificate = match certificate {
            Some(certificate) => Some(certificate),
            None if self.below(&format!("{folder}signcerts/")).next().is_some() => {
                self.certificate(&folder, "signcerts")
            }
            None => {
                self.problem(&format!("{folder}{role}.crt"), "file not found");
                None
            }
        };
        let organization = format!("{}msp/", self.base);
        let mut roots: Vec<Item> = self.item(&folder, "ca.crt").into_iter().collect();
        roots.extend(self.items(&folder, "tlscacerts"));
        if roots.is_empty() {
            roots = self.items(&organization, "tlscacerts");
        }
        if roots.is_empty() {
            self.problem(&format!("{folder}ca.crt"), "file not found");
        }
        let mut intermediates = self.items(&folder, "tlsintermediatecerts");
        intermediates.extend(self.items(&organization, "tlsintermediatecerts"));
        let keys = key
            .into_iter()
            .chain(self.items(&folder, "keystore"))
            .collect();
        Some(TlsParts {
            certificate,
            keys,
            roots,
            intermediates,
        })
    }

    /// Returns all problems found so far as one error, or otherwise the warnings for the user.
    pub fn finish(&self) -> Result<Vec<String>> {
        let problems = self.check.problems();
        if problems.is_empty() {
            return Ok(self.check.warnings());
        }
        let mut error = Error::user(format!(
            "{} cannot be used for {:?}",
            self.name, self.organization.domain
        ))
        .at_all(problems)
        .now("no identities were created, and nothing was sent to the cluster");
        if let Some(hint) = self.check.reissue_hint() {
            error = error.hint(hint);
        }
        if self.lacks_member.get() {
            error = error.hint(format!(
                "add missing nodes with `cryptogen extend`, or reduce their number; a node's \
                 folder is named by hostname and domain, such as peer0.{0} for peer0 of {0}: \
                 rename the folders of nodes with other names",
                self.organization.domain
            ));
        }
        Err(error)
    }

    /// Returns the certificate in `ca/` that has its key next to it, or otherwise the first one
    /// there or in the organization's MSP.
    fn authority(&self, which: &str, roots: &str, intermediates: &str) -> Option<String> {
        let msp = format!("{}msp/", self.base);
        let mut items: Vec<Item> = self.items(&self.base, which);
        // The folder contains keys too.
        items.retain(|item| chain_from_pem(&item.bytes, "").is_ok());
        items.extend(self.items(&msp, roots));
        items.extend(self.items(&msp, intermediates));
        if items.is_empty() {
            self.problem(&format!("{msp}{roots}/"), "no certificate found");
            return None;
        }
        let keys: Vec<_> = self.keys(which).collect();
        let read: Vec<(&Item, Certificate)> = items
            .iter()
            .filter_map(|item| Some((item, self.check.certificates(item)?.swap_remove(0))))
            .collect();
        let fits = |certificate: &Certificate| keys.iter().any(|key| certificate.fits(&key.pair));
        let (item, certificate) = read
            .iter()
            .find(|(_, certificate)| fits(certificate))
            .or(read.first())?;
        self.check.check_validity(item, certificate);
        match String::from_utf8(item.bytes.clone()) {
            Ok(text) => Some(text),
            Err(_) => Some(certificate.to_pem()),
        }
    }

    fn keys(&self, which: &str) -> impl Iterator<Item = super::certificate::Key> {
        self.items(&self.base, which)
            .into_iter()
            .filter_map(|item| read_key(&item.bytes).ok())
    }

    /// Returns `peerOrganizations/org1/peers/peer0.org1/`, or `.../peers/peer0/` in a tree without
    /// domains, such as the article's.
    fn member(&self, member: &Member) -> Option<String> {
        let name = common_name(member, &self.organization.domain);
        let short = match member {
            Member::Node(node) | Member::CaServer(node) => node.name.as_str(),
            Member::Admin => "Admin",
        };
        let folder = match (member, self.organization.role) {
            (Member::Admin, _) => "users",
            (_, NodeRole::Peer) => "peers",
            (_, NodeRole::Orderer) => "orderers",
        };
        let found = [&name, short].map(|name| format!("{}{folder}/{name}/", self.base));
        if let Some(found) = found
            .iter()
            .find(|folder| self.below(folder).next().is_some())
        {
            return Some(found.clone());
        }
        let above = format!("{}{folder}/", self.base);
        let others: BTreeSet<&str> = self
            .below(&above)
            .filter_map(|(path, _)| path[above.len()..].split_once('/'))
            .map(|(name, _)| name)
            .collect();
        let others = others.into_iter().collect::<Vec<_>>().join(", ");
        let others = if others.is_empty() {
            "nothing".to_owned()
        } else {
            others
        };
        self.problem(
            &found[0],
            &format!("folder not found; {folder}/ has {others}"),
        );
        self.lacks_member.set(true);
        None
    }

    /// Returns the certificate in `signcerts/`: the first one, which Fabric uses.
    fn certificate(&self, folder: &str, kind: &str) -> Option<Item> {
        let found = self.items(folder, kind).into_iter().next();
        if found.is_none() {
            self.problem(&format!("{folder}{kind}/"), "no certificate found");
        }
        found
    }

    /// Returns the files of a subfolder, ordered by name.
    fn items(&self, folder: &str, kind: &str) -> Vec<Item> {
        let folder = format!("{folder}{kind}/");
        let found = self
            .below(&folder)
            .filter(|(path, _)| !path[folder.len()..].contains('/'));
        found
            .map(|(path, bytes)| {
                self.as_item(path, &format!("{kind}/{}", &path[folder.len()..]), bytes)
            })
            .collect()
    }

    fn item(&self, folder: &str, file: &str) -> Option<Item> {
        let path = format!("{folder}{file}");
        self.files
            .get(path.as_str())
            .map(|bytes| self.as_item(&path, file, bytes))
    }

    fn as_item(&self, path: &str, below: &str, bytes: &[u8]) -> Item {
        let subject = format!("{}/{path}", self.name);
        Item {
            subject,
            prefix: String::new(),
            path: below.to_owned(),
            bytes: bytes.to_vec(),
        }
    }

    fn below<'b>(&'b self, folder: &'b str) -> impl Iterator<Item = (&'a str, &'a Vec<u8>)> + 'b {
        let from = self
            .files
            .range::<str, _>((Bound::Included(folder), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(folder))
            .map(|(path, bytes)| (*path, *bytes))
    }

    pub fn problem(&self, path: &str, note: &str) {
        self.check.problem(format!("{}/{path}", self.name), note);
    }

    /// Records that the organization's `ca/` or `tlsca/` folder lacks a key.
    pub fn lacks_authority_key(&self, which: &str) {
        self.problem(
            &format!("{}{which}/", self.base),
            &format!(
                "the key of {which}.{}, which the CA server needs, is missing: put it next to its \
                 certificate, or set ca.enabled=false",
                self.organization.domain
            ),
        );
    }
}

/// Matches files that macOS adds to folders and archives.
fn is_of_macos(path: &str) -> bool {
    path.split('/')
        .any(|part| part.starts_with("._") || part == ".DS_Store" || part == "__MACOSX")
}

/// Returns the possible parent folders of an organization with this role: cryptogen's, and the
/// article's.
pub(super) fn kinds(role: NodeRole) -> [&'static str; 2] {
    match role {
        NodeRole::Peer => ["peerOrganizations", "PeerOrganization"],
        NodeRole::Orderer => ["ordererOrganizations", "OrdererOrganization"],
    }
}

/// Splits a path at a folder: `a/peerOrganizations/org1/x` → (`a/`, `org1/x`).
fn split_at_folder<'a>(path: &'a str, folder: &str) -> Option<(&'a str, &'a str)> {
    let at = path.match_indices(folder).map(|(at, _)| at).find(|at| {
        (*at == 0 || path.as_bytes()[at - 1] == b'/')
            && path.as_bytes().get(at + folder.len()) == Some(&b'/')
    })?;
    Some((&path[..at], &path[at + folder.len() + 1..]))
}

fn unknown_domain(organization: &Organization, name: &str, domains: &BTreeSet<&str>) -> Error {
    let [kind, _] = kinds(organization.role);
    let error = Error::user(format!(
        "{name:?} has no organization {:?}",
        organization.domain
    ))
    .at(Place::new(format!("{name}/{kind}/{}", organization.domain)).note("folder not found"));
    if domains.is_empty() {
        return error
            .why(format!("it has no folder {kind}"))
            .hint("choose the folder crypto-config that cryptogen wrote");
    }
    let listed = domains.iter().copied().collect::<Vec<_>>().join(", ");
    let error = error.why(format!("{kind} has {listed}"));
    match nearest(&organization.domain, domains.iter().copied()) {
        Some(near) => error.hint(format!(
            "did you mean {near:?}? if so, set org.domain to it"
        )),
        None => error.hint("if the domain is not the namespace, set org.domain"),
    }
}
