//! Certificates and keys: one file of a crypto-config folder, or one entry of the user's Secrets,
//! is what the input says.
//!
//! The first byte chooses the file or the entry; the second what is done with it, and whether the
//! rest is its content as it stands, or DER that becomes PEM here.

use base64::{Engine, prelude::BASE64_STANDARD};
use kubectl_fabric::identity::{self, Custody, Node, NodeRole, Organization, Plan, Source};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

type Files = BTreeMap<String, Vec<u8>>;
type Secrets = BTreeMap<String, Value>;

pub fn check(data: &[u8]) {
    let [which, form, rest @ ..] = data else {
        return;
    };
    let content = match form % 3 {
        0 => rest.to_vec(),
        1 => pem("CERTIFICATE", rest),
        _ => pem("PRIVATE KEY", rest),
    };
    let which = usize::from(*which);
    match form / 3 % 4 {
        0 => in_a_folder(which, &content, Custody::Program),
        1 => in_a_folder(which, &content, Custody::Volume { mounted: mounted() }),
        2 => in_a_secret_of_the_user(which, &content),
        _ => in_a_secret_of_ours(which, &content),
    }
}

/// A folder is refused, or its Secrets are made and the same folder fits them from then on.
fn in_a_folder(which: usize, content: &[u8], custody: Custody) {
    let mut files = crypto_config().clone();
    let path = files
        .keys()
        .nth(which % files.len())
        .cloned()
        .expect("the folder holds files");
    files.insert(path.clone(), content.to_vec());
    let source = Source::CryptoConfig {
        folder: "crypto-config".into(),
        files,
    };
    let organization = organization(custody, 1);
    match identity::plan(&organization, &BTreeMap::new(), &source, now()) {
        Ok(plan) => {
            let again = identity::plan(&organization, &by_name(&plan), &source, now());
            let again = again.unwrap_or_else(|error| {
                panic!("{path}: the Secrets made of a folder do not fit it: {error}")
            });
            assert!(
                again.create.is_empty(),
                "{path}: made once more: {:?}",
                again.create.len()
            );
        }
        // The name of the authority's file in config.yaml is shown.
        Err(error) if !path.ends_with("config.yaml") => hides(&error.to_string(), content),
        Err(_) => {}
    }
}

/// The user's Secrets are refused or taken; nothing is made in their place.
fn in_a_secret_of_the_user(which: usize, content: &[u8]) {
    let secrets = made_but_for(which, content);
    let custody = Custody::User {
        names: BTreeMap::new(),
        mounted: mounted(),
    };
    match identity::plan(
        &organization(custody, 1),
        &secrets,
        &Source::Generate,
        now(),
    ) {
        Ok(plan) => assert!(plan.create.is_empty(), "entry {which}: something is made"),
        Err(error) => hides(&error.to_string(), content),
    }
}

/// Ours are extended for a new node, or it is refused; none is made anew.
fn in_a_secret_of_ours(which: usize, content: &[u8]) {
    let secrets = made_but_for(which, content);
    match identity::plan(
        &organization(Custody::Program, 2),
        &secrets,
        &Source::Generate,
        now(),
    ) {
        Ok(plan) => assert!(
            plan.create
                .iter()
                .all(|object| !secrets.contains_key(&object.key.name)),
            "entry {which}: re-made"
        ),
        Err(error) => hides(&error.to_string(), content),
    }
}

/// The Secrets of an organization with another content in one entry.
fn made_but_for(which: usize, content: &[u8]) -> Secrets {
    let mut secrets = made().clone();
    let entries: Vec<(String, String)> = secrets
        .iter()
        .flat_map(|(name, body)| keys(name, body))
        .collect();
    let (name, key) = &entries[which % entries.len()];
    secrets.get_mut(name).expect("one of them")["data"][key] =
        BASE64_STANDARD.encode(content).into();
    secrets
}

/// No line of a file stands in an error: it may be a key's.
fn hides(shown: &str, content: &[u8]) {
    let text = String::from_utf8_lossy(content);
    for line in text.lines().filter(|line| line.len() >= 24) {
        assert!(!shown.contains(line), "{line:?} is shown:\n{shown}");
    }
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text.into_bytes()
}

fn organization(custody: Custody, peers: usize) -> Organization {
    let node = |name: String| Node {
        advertised: vec![format!("{name}.org1")],
        hosts: vec![format!("{name}.org1"), name.clone()],
        name,
    };
    Organization {
        release: "org1".into(),
        namespace: "org1".into(),
        domain: "org1".into(),
        msp_id: "Org1MSP".into(),
        role: NodeRole::Peer,
        nodes: (0..peers).map(|peer| node(format!("peer{peer}"))).collect(),
        credentials: Vec::new(),
        ca_server: Some(node("ca".into())),
        custody,
    }
}

fn mounted() -> std::collections::BTreeSet<String> {
    identity::secret_names(&organization(Custody::Program, 1))
        .into_iter()
        .collect()
}

fn keys(name: &str, secret: &Value) -> Vec<(String, String)> {
    let data = secret["data"]
        .as_object()
        .into_iter()
        .flat_map(|data| data.keys());
    data.map(|key| (name.to_owned(), key.clone())).collect()
}

fn by_name(plan: &Plan) -> Secrets {
    plan.create
        .iter()
        .map(|object| (object.key.name.clone(), object.body.clone()))
        .collect()
}

/// Within the validity of the fixtures' certificates, and of those made here.
fn now() -> jiff::Timestamp {
    "2026-11-25T12:00:00Z".parse().expect("a time")
}

fn made() -> &'static Secrets {
    static MADE: OnceLock<Secrets> = OnceLock::new();
    MADE.get_or_init(|| {
        let plan = identity::plan(
            &organization(Custody::Program, 1),
            &BTreeMap::new(),
            &Source::Generate,
            now(),
        );
        by_name(&plan.expect("identities are made"))
    })
}

/// The files of org1 that cryptogen 2.5.16 made, those that are asked for: no second peer and no
/// User1.
fn crypto_config() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Files::new();
        let top = fixtures().join("v2.5.16/crypto-config");
        read(&top, &top.join("peerOrganizations/org1"), &mut files);
        files.retain(|path, _| !path.contains("/peer1.org1/") && !path.contains("/User1@org1/"));
        files
    })
}

/// Beside this package or above it: the targets and the test are of two packages.
fn fixtures() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .map(|folder| folder.join("tests/fixtures"))
        .find(|folder| folder.is_dir())
        .expect("tests/fixtures")
}

fn read(top: &Path, folder: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(folder).expect("a folder of fixtures") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(top, &path, files);
        } else {
            let name = path
                .strip_prefix(top)
                .expect("below the top")
                .to_str()
                .expect("UTF-8");
            files.insert(name.to_owned(), std::fs::read(&path).expect("a file"));
        }
    }
}
