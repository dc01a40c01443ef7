//! A crypto-config folder as cryptogen writes it (`internal/cryptogen/msp/msp.go`), read and checked.
//!
//! Keys are found by fitting their certificate, so that `priv_sk` (2.x) and `<ski>_sk` (1.x) are the same. Every problem of the
//! organization's part is reported at once; no message shows what a file holds.

use super::certificate::{Certificate, key_from_pem};
use super::generate::common_name;
use super::profile::Pair;
use super::secrets::{Member, Msp, Tls, ca_file};
use super::{NodeRole, Organization};
use crate::error::{Error, Place, Result, nearest};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The part of a crypto-config folder that belongs to one organization.
pub struct Folder<'a> {
    organization: &'a Organization,
    name: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
    /// `peerOrganizations/org1/`, with whatever folders lie above it.
    base: String,
    now: jiff::Timestamp,
    problems: RefCell<Vec<Place>>,
}

impl<'a> Folder<'a> {
    pub fn open(
        organization: &'a Organization,
        name: &'a str,
        files: &'a BTreeMap<String, Vec<u8>>,
        now: jiff::Timestamp,
    ) -> Result<Folder<'a>> {
        let mut found = BTreeSet::new();
        let mut domains = BTreeSet::new();
        for (path, kind) in files.keys().flat_map(|path| kinds(organization.role).map(|kind| (path, kind))) {
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
            (Some(base), None) => Ok(Folder { organization, name, files, base, now, problems: RefCell::default() }),
            (Some(one), Some(other)) => Err(Error::user(format!("{name} holds {:?} twice", organization.domain))
                .at(Place::new(format!("{name}/{one}")))
                .at(Place::new(format!("{name}/{other}")))
                .hint("name the one crypto-config folder")),
            (None, _) => Err(unknown_domain(organization, name, &domains)),
        }
    }

    pub fn ca(&self) -> Option<String> {
        self.authority("cacerts")
    }

    pub fn tls_ca(&self) -> Option<String> {
        self.authority("tlscacerts")
    }

    /// The key of `ca` or `tlsca`, if the folder has it: an organization may keep it elsewhere.
    pub fn authority_key(&self, which: &str, certificate: &str) -> Option<String> {
        let certificate = Certificate::from_pem(certificate.as_bytes(), which).ok()?;
        let path = format!("{}{which}/", self.base);
        self.below(&path).find_map(|(path, bytes)| {
            let fits = path.ends_with("_sk") && certificate.fits(&key_from_pem(bytes, path).ok()?);
            fits.then(|| String::from_utf8(bytes.clone()).ok())?
        })
    }

    pub fn msp(&self, member: &Member) -> Option<Msp> {
        let folder = format!("{}msp/", self.member(member));
        let ca = self.ca()?;
        let tls_ca = self.tls_ca()?;
        let (path, certificate) = self.first_certificate(&format!("{folder}signcerts/"))?;
        let pair = self.pair(&path, certificate, &format!("{folder}keystore/"), "")?;
        self.check(&path, &pair.certificate, &ca, "ca");
        let config = self.config(&format!("{folder}config.yaml"));
        let admin = self.below(&format!("{folder}admincerts/")).find_map(|(_, bytes)| String::from_utf8(bytes.clone()).ok());
        Some(Msp { pair, ca, tls_ca, config, admin })
    }

    pub fn tls(&self, member: &Member) -> Option<Tls> {
        let folder = format!("{}tls/", self.member(member));
        let role = if matches!(member, Member::Admin) { "client" } else { "server" };
        let ca = self.tls_ca()?;
        let path = format!("{folder}{role}.crt");
        let certificate = self.text(&path)?;
        let pair = self.pair(&path, certificate, &folder, &format!("{role}.key"))?;
        if let Some(certificate) = self.check(&path, &pair.certificate, &ca, "tlsca")
            && let Member::Node(node) = member
        {
            for address in node.advertised.iter().filter(|address| !certificate.bears(address)) {
                let hosts = if certificate.hosts.is_empty() { "none".to_owned() } else { certificate.hosts.join(", ") };
                self.problem(&path, format!("does not bear the node's address {address} (its names: {hosts})"));
            }
        }
        Some(Tls { pair, ca })
    }

    /// Every problem met so far, as one error.
    pub fn finish(&self) -> Result<()> {
        let mut problems = self.problems.take();
        if problems.is_empty() {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        problems.retain(|place| seen.insert((place.subject.clone(), place.note.clone())));
        Err(Error::user(format!("{} cannot be used for {:?}", self.name, self.organization.domain))
            .at_all(problems)
            .now("nothing was made, and nothing was sent to the cluster")
            .hint(format!(
                "add missing nodes by `cryptogen extend`, or want fewer of them; names and addresses come from hostname and \
                 domain: peer0 of {0} is peer0.{0}",
                self.organization.domain
            )))
    }

    fn authority(&self, folder: &str) -> Option<String> {
        let (path, certificate) = self.first_certificate(&format!("{}msp/{folder}/", self.base))?;
        let read = self.read(&path, &certificate)?;
        self.check_validity(&path, &read);
        Some(certificate)
    }

    /// `peerOrganizations/org1/peers/peer0.org1/`, or `.../peers/peer0/` where a tree leaves the domain out, as the article's does.
    fn member(&self, member: &Member) -> String {
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
        let [long, short] = [&name, short].map(|name| format!("{}{folder}/{name}/", self.base));
        if self.below(&long).next().is_none() && self.below(&short).next().is_some() { short } else { long }
    }

    fn pair(&self, path: &str, certificate: String, key_folder: &str, key_name: &str) -> Option<Pair> {
        let read = self.read(path, &certificate)?;
        let mut tried = 0;
        for (path, bytes) in self.below(key_folder).filter(|(path, _)| path.ends_with(key_name)) {
            tried += 1;
            if key_from_pem(bytes, path).is_ok_and(|key| read.fits(&key))
                && let Ok(key) = String::from_utf8(bytes.clone())
            {
                return Some(Pair { certificate, key });
            }
        }
        let why = if tried == 0 { "there is no private key" } else { "no readable private key fits the certificate" };
        self.problem(&format!("{key_folder}{key_name}"), why.to_owned());
        None
    }

    /// Validity and signature of a leaf.
    fn check(&self, path: &str, certificate: &str, authority: &str, authority_name: &str) -> Option<Certificate> {
        let read = self.read(path, certificate)?;
        self.check_validity(path, &read);
        let authority = Certificate::from_pem(authority.as_bytes(), authority_name).ok()?;
        if !read.is_signed_by(&authority) {
            self.problem(path, format!("is not signed by {authority_name}.{}", self.organization.domain));
        }
        Some(read)
    }

    fn check_validity(&self, path: &str, certificate: &Certificate) {
        if certificate.not_after < self.now {
            self.problem(path, format!("expired on {}", certificate.not_after));
        } else if certificate.not_before > self.now {
            self.problem(path, format!("is not valid before {}", certificate.not_before));
        }
    }

    /// An MSP's config.yaml, whose authority must be the file that nodes will have.
    fn config(&self, path: &str) -> Option<String> {
        let text = String::from_utf8(self.files.get(path)?.clone()).ok()?;
        let ours = ca_file(&self.organization.domain);
        for line in text.lines() {
            if let Some(file) = line.trim().strip_prefix("Certificate:")
                && file.trim().trim_matches(['"', '\'']) != ours
            {
                self.problem(path, format!("names the certificate {}, and nodes have {ours}", file.trim()));
            }
        }
        Some(text)
    }

    fn read(&self, path: &str, text: &str) -> Option<Certificate> {
        Certificate::from_pem(text.as_bytes(), path)
            .map_err(|_| self.problem(path, "is not a certificate in PEM".to_owned()))
            .ok()
    }

    fn first_certificate(&self, folder: &str) -> Option<(String, String)> {
        let found = self.below(folder).find(|(path, _)| path.ends_with(".pem")).map(|(path, _)| path.to_owned());
        match found {
            Some(path) => self.text(&path).map(|text| (path, text)),
            None => {
                self.problem(folder, "no certificate lies there".to_owned());
                None
            }
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = self.files.get(path).map(|bytes| String::from_utf8(bytes.clone()));
        match text {
            Some(Ok(text)) => Some(text),
            Some(Err(_)) => {
                self.problem(path, "is not text".to_owned());
                None
            }
            None => {
                self.problem(path, "there is no such file".to_owned());
                None
            }
        }
    }

    fn below<'b>(&'b self, folder: &'b str) -> impl Iterator<Item = (&'b str, &'b Vec<u8>)> {
        let from = self.files.range(folder.to_owned()..);
        from.take_while(move |(path, _)| path.starts_with(folder)).map(|(path, bytes)| (path.as_str(), bytes))
    }

    fn problem(&self, path: &str, note: String) {
        self.problems.borrow_mut().push(Place::new(format!("{}/{path}", self.name)).note(note));
    }
}

/// The folders that organizations of a role may lie in: cryptogen's, and the article's.
fn kinds(role: NodeRole) -> [&'static str; 2] {
    match role {
        NodeRole::Peer => ["peerOrganizations", "PeerOrganization"],
        NodeRole::Orderer => ["ordererOrganizations", "OrdererOrganization"],
    }
}

/// What lies above a folder of this name, and below it: `a/peerOrganizations/org1/x` → (`a/`, `org1/x`).
fn split_at_folder<'a>(path: &'a str, folder: &str) -> Option<(&'a str, &'a str)> {
    let at = path
        .match_indices(folder)
        .map(|(at, _)| at)
        .find(|at| (*at == 0 || path.as_bytes()[at - 1] == b'/') && path.as_bytes().get(at + folder.len()) == Some(&b'/'))?;
    Some((&path[..at], &path[at + folder.len() + 1..]))
}

fn unknown_domain(organization: &Organization, name: &str, domains: &BTreeSet<&str>) -> Error {
    let [kind, _] = kinds(organization.role);
    let error = Error::user(format!("{name:?} holds no organization {:?}", organization.domain)).at(Place::new(format!(
        "{name}/{kind}/{}",
        organization.domain
    ))
    .note("there is no such folder"));
    if domains.is_empty() {
        return error.why(format!("there is no folder {kind} in it")).hint("name the folder that cryptogen wrote, crypto-config");
    }
    let listed = domains.iter().copied().collect::<Vec<_>>().join(", ");
    let error = error.why(format!("{kind} has {listed}"));
    match nearest(&organization.domain, domains.iter().copied()) {
        Some(near) => error.hint(format!("is {near:?} the one? then set org.domain to it")),
        None => error.hint("a domain other than the namespace is set by org.domain"),
    }
}
