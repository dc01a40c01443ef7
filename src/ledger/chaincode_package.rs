//! Chaincode packages of the lifecycle (since 2.0). Equal input gives equal bytes on every machine
//! and with every version of this program.
//!
//! A package is a `tar.gz` of `metadata.json` and `code.tar.gz`
//! (`core/chaincode/persistence/chaincode_package.go`). Its id consists of its label and its
//! SHA-256. Organizations approve this id, so if the bytes changed without a change of the input,
//! new approvals would be necessary. Therefore files are stored without times and owners, and
//! without compression, because the output of a compressor depends on its version.

use super::deployment::{self, Source};
use crate::error::{Error, Result};
use crate::identity::certificate::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;

/// Names in a package (`chaincode_package.go`, `MetadataFile`, `CodePackageFile`).
const METADATA: &str = "metadata.json";
const CODE: &str = "code.tar.gz";

/// Folder of CouchDB indexes in a package (`internal/ccmetadata/validators.go`).
const INDEXES: &str = "META-INF/statedb/couchdb/";

/// `metadata.json`, in the order of fields in which `peer` writes it
/// (`internal/peer/lifecycle/chaincode/package.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(default)]
    pub path: String,
    /// The type, which selects the peer's builder: `ccaas`, `k8s`, ...
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub label: String,
}

/// `connection.json`: the address of a chaincode server, for the types `ccaas` and `external`
/// (`ccaas_builder/cmd/build/main.go`, `core/container/externalbuilder/instance.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `host:port`. For `ccaas` it may be a template over the peer's configuration.
    pub address: String,
    /// A Go duration: `10s`.
    pub dial_timeout: String,
    pub tls_required: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_auth_required: bool,
    /// The peer's client key and certificate, and the authority of the chaincode's certificate;
    /// PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_cert: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub root_cert: String,
}

/// `image.json`: the image that the builder `k8s` runs
/// (github.com/hyperledger-labs/fabric-builder-k8s, docs/concepts/chaincode-package).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Without a tag.
    pub name: String,
    /// `sha256:...`, because a tag can later refer to another image.
    pub digest: String,
}

/// The content of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// A chaincode server, found by the peer's builder `ccaas`.
    Ccaas(Connection),
    /// An image that the peer's builder `k8s` starts.
    K8s(Image),
    /// Files for another builder, by its type.
    External {
        kind: String,
        files: BTreeMap<String, Vec<u8>>,
    },
}

/// A chaincode package.
#[derive(Clone, PartialEq, Eq)]
pub struct Package {
    pub label: String,
    pub bytes: Vec<u8>,
}

impl Package {
    /// Packs code with its CouchDB indexes, by path: `META-INF/statedb/couchdb/indexes/owner.json`.
    pub fn new(label: &str, code: &Code, indexes: &BTreeMap<String, Vec<u8>>) -> Result<Package> {
        check_label(label)?;
        let (kind, mut files) = code.files()?;
        for (path, content) in indexes {
            check_index(path, content)?;
            files.insert(path.clone(), content.clone());
        }
        let metadata = Metadata {
            path: String::new(),
            r#type: kind,
            label: label.to_owned(),
        };
        let files: Vec<(&str, &[u8])> = files.iter().map(|(k, v)| (k.as_str(), &v[..])).collect();
        Package::of(metadata, &gzip(&tar(&files)?))
    }

    /// Packs source that peers build by Docker.
    pub fn of_source(label: &str, name: &str, source: Source<'_>) -> Result<Package> {
        check_label(label)?;
        for (path, content) in source.indexes {
            check_index(path, content)?;
        }
        let (path, code) = deployment::code(name, source)?;
        let metadata = Metadata {
            path,
            r#type: source.language.to_owned(),
            label: label.to_owned(),
        };
        Package::of(metadata, &code)
    }

    fn of(metadata: Metadata, code: &[u8]) -> Result<Package> {
        let outer = [(METADATA, &json(&metadata)?[..]), (CODE, code)];
        Ok(Package {
            bytes: gzip(&tar(&outer)?),
            label: metadata.label,
        })
    }

    /// Reads a package, also from another program. `subject` names it in errors.
    pub fn from_bytes(bytes: Vec<u8>, subject: &str) -> Result<Package> {
        let metadata = read_metadata(&bytes, subject)?;
        Ok(Package {
            label: metadata.label,
            bytes,
        })
    }

    /// Returns its CouchDB indexes by path, in the form for [`Package::new`].
    pub fn indexes(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let subject = format!("package {}", self.label);
        let outer = read_files(&self.bytes, &subject, |path| path == CODE)?;
        let Some(code) = outer.get(CODE) else {
            return Ok(BTreeMap::new());
        };
        read_files(code, &subject, |path| path.starts_with(INDEXES))
    }

    /// The id: label and SHA-256 of the package (`persistence.PackageID`).
    pub fn id(&self) -> String {
        format!("{}:{}", self.label, hex(&Sha256::digest(&self.bytes)))
    }
}

impl Code {
    /// The type, and the files by path.
    fn files(&self) -> Result<(String, BTreeMap<String, Vec<u8>>)> {
        let one = |name: &str, content| BTreeMap::from([(name.to_owned(), content)]);
        Ok(match self {
            Code::Ccaas(connection) => (
                "ccaas".to_owned(),
                one("connection.json", json(connection)?),
            ),
            Code::K8s(image) => {
                check_digest(&image.digest)?;
                ("k8s".to_owned(), one("image.json", json(image)?))
            }
            Code::External { kind, files } => {
                if kind.is_empty() {
                    return Err(Error::user("a chaincode package needs a type"));
                }
                for path in files.keys() {
                    check_path(path)?;
                }
                (kind.clone(), files.clone())
            }
        })
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::internal(format!("cannot create a file of the package: {error}")))
}

/// Checks a label: letters, digits and `_.+-`, the first a letter or digit
/// (`chaincode_package.go`, `LabelRegexp`), and short enough for the name of the peer's file,
/// `LABEL.HASH.tar.gz` (`persistence.go`, `CCFileName`).
pub fn check_label(label: &str) -> Result<()> {
    /// 255 bytes of a file name, less `.`, 64 digits and `.tar.gz`.
    const LONGEST: usize = 183;
    let first = label.starts_with(|c: char| c.is_ascii_alphanumeric());
    let others = label
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    let why = match (first && others, label.len() <= LONGEST) {
        (true, true) => return Ok(()),
        (true, false) => "a label has at most 183 characters",
        _ => {
            "a label consists of letters, digits and the characters _ . + - and begins with a \
             letter or digit"
        }
    };
    Err(Error::user(format!("{label:?} is not a valid package label")).why(why))
}

fn check_digest(digest: &str) -> Result<()> {
    let hash = digest.strip_prefix("sha256:").unwrap_or_default();
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match hash.len() == 64 && hash.chars().all(is_hex) {
        true => Ok(()),
        false => Err(
            Error::user(format!("{digest:?} is not the digest of an image")).why(
                "the builder k8s needs a digest of the form sha256: and 64 hexadecimal digits",
            ),
        ),
    }
}

/// Checks the path of a file in a package: relative, and below the package.
pub(super) fn check_path(path: &str) -> Result<()> {
    let good = |part: &str| !part.is_empty() && part != "." && part != "..";
    match path.split('/').all(good) && !path.contains(['\\', '\0']) {
        true => Ok(()),
        false => Err(
            Error::user(format!("{path:?} is not a valid path in a package"))
                .why("a path is relative and has neither empty parts nor . or .."),
        ),
    }
}

/// Checks an index of CouchDB as the peer does when it installs the package
/// (`internal/ccmetadata/validators.go`).
fn check_index(path: &str, content: &[u8]) -> Result<()> {
    let invalid =
        |why: &str| Error::user(format!("{path} is not a CouchDB index")).why(why.to_owned());
    check_path(path)?;
    let parts: Vec<&str> = path.split('/').collect();
    let in_place = match &parts[..] {
        ["META-INF", "statedb", "couchdb", "indexes", ..] => parts.len() > 4,
        [
            "META-INF",
            "statedb",
            "couchdb",
            "collections",
            collection,
            "indexes",
            ..,
        ] => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            parts.len() > 6 && collection.chars().all(allowed)
        }
        _ => false,
    };
    if !in_place || !path.ends_with(".json") {
        return Err(invalid(
            "peers read indexes from META-INF/statedb/couchdb/indexes/*.json and \
             META-INF/statedb/couchdb/collections/COLLECTION/indexes/*.json",
        ));
    }
    let index: serde_json::Value = serde_json::from_slice(content)
        .map_err(|error| invalid(&format!("it is not JSON: {error}")))?;
    let index = index
        .as_object()
        .ok_or_else(|| invalid("it is not a JSON object"))?;
    for (key, value) in index {
        let allowed = match key.as_str() {
            "ddoc" | "name" => value.is_string(),
            "type" => value == "json",
            "index" => value.get("fields").is_some_and(serde_json::Value::is_array),
            _ => false,
        };
        if !allowed {
            return Err(invalid(&format!("peers do not accept its entry {key:?}")));
        }
    }
    match index.contains_key("index") {
        true => Ok(()),
        false => Err(invalid("it has no entry \"index\"")),
    }
}

/// A tar of regular files without times and owners, as `peer` writes it (mode 0100644).
pub(super) fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let failed = |error| Error::user(format!("cannot pack the files: {error}"));
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o100_644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, *content)
            .map_err(failed)?;
    }
    tar.into_inner().map_err(failed)
}

/// A gzip file (RFC 1952) of stored blocks (RFC 1951, 3.2.4).
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    // No flags, no time, no hint of the compression, unknown system.
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = content.len().div_ceil(0xffff).max(1);
    for n in 1..=blocks {
        let block = &content[(n - 1) * 0xffff..content.len().min(n * 0xffff)];
        let length = block.len() as u16;
        bytes.push(u8::from(n == blocks));
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
    }
    let mut check = flate2::Crc::new();
    check.update(content);
    bytes.extend(check.sum().to_le_bytes());
    bytes.extend(check.amount().to_le_bytes());
    bytes
}

/// Reads `metadata.json` as a peer does (`ParseChaincodePackage`): requires both files, and only
/// regular files.
fn read_metadata(bytes: &[u8], subject: &str) -> Result<Metadata> {
    /// More than any `metadata.json` has; a peer has no limit.
    const LONGEST: u64 = 1 << 20;
    let invalid = |why: String| not_a_package(subject, why);
    let unreadable = |error: std::io::Error| invalid(format!("it is not a tar.gz: {error}"));
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes));
    let (mut metadata, mut code) = (None, false);
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.display().to_string();
        if !entry.header().entry_type().is_file() {
            return Err(invalid(format!("{name} in it is not a regular file")));
        }
        code |= name == CODE;
        if name == METADATA {
            let mut text = Vec::new();
            let mut limited = entry.take(LONGEST);
            limited.read_to_end(&mut text).map_err(unreadable)?;
            let read: Metadata = serde_json::from_slice(&text)
                .map_err(|error| invalid(format!("{METADATA} in it is not valid: {error}")))?;
            metadata = Some(read);
        }
    }
    let metadata = metadata.ok_or_else(|| invalid(format!("it has no {METADATA}")))?;
    if !code {
        return Err(invalid(format!("it has no {CODE}")));
    }
    check_label(&metadata.label)?;
    Ok(metadata)
}

fn not_a_package(subject: &str, why: String) -> Error {
    Error::user(format!("{subject} is not a chaincode package")).why(why)
}

/// Reads files of a `tar.gz` by path, without the `./` that tar writes before a path.
fn read_files(
    bytes: &[u8],
    subject: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>> {
    /// A peer accepts no larger package (`peer.limits`, `MaxRecvMsgSize`).
    const LARGEST: u64 = 100 << 20;
    let unreadable = |error: std::io::Error| {
        not_a_package(subject, format!("a part of it is not a tar.gz: {error}"))
    };
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes).take(LARGEST));
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.display().to_string();
        let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if entry.header().entry_type().is_file() && is_wanted(&path) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unreadable)?;
            files.insert(path, content);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
