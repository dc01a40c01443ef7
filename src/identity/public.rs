//! The public part of an MSP: what a channel's configuration contains of an organization, as the
//! files of an MSP folder. No file contains a key.

use super::secrets::{FOLDERS, entries_of, entry, mounted_path};
use serde_json::Value;
use std::collections::BTreeMap;

/// Public files by their path below an MSP folder: `cacerts/ca.org1-cert.pem`, `config.yaml`.
pub type MspFiles = BTreeMap<String, Vec<u8>>;

/// Returns the public files in an MSP's Secret.
pub fn of_secret(secret: &Value, domain: &str) -> MspFiles {
    let mut files = MspFiles::new();
    for (stem, folder, _) in FOLDERS {
        for name in entries_of(secret, stem) {
            let path = match name.as_str() {
                // The names that cryptogen uses.
                "tlscacert.pem" => format!("{folder}/tlsca.{domain}-cert.pem"),
                "admincert.pem" => format!("{folder}/Admin@{domain}-cert.pem"),
                // `config.yaml` names authorities by the paths at which nodes mount them.
                name => mounted_path(name, domain),
            };
            files.extend(entry(secret, &name).map(|bytes| (path, bytes)));
        }
    }
    files.extend(entry(secret, CONFIG).map(|bytes| (CONFIG.to_owned(), bytes)));
    files
}

/// Returns the public files in an MSP folder.
pub fn of_folder(files: &BTreeMap<String, Vec<u8>>) -> MspFiles {
    let is_public = |path: &str| match path.split_once('/') {
        Some((folder, name)) => {
            FOLDERS.iter().any(|(_, public, _)| *public == folder) && !name.contains('/')
        }
        None => path == CONFIG,
    };
    let public = files.iter().filter(|(path, _)| is_public(path));
    public
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect()
}

/// The certificates of one of its folders, as one text: `tlscacerts`.
pub fn certificates(files: &MspFiles, folder: &str) -> String {
    let inside = files
        .iter()
        .filter(|(path, _)| path.split_once('/').is_some_and(|(of, _)| of == folder));
    inside
        .map(|(_, bytes)| String::from_utf8_lossy(bytes).trim_end().to_owned() + "\n")
        .collect()
}

/// The name of the file that maps units of a subject to roles.
const CONFIG: &str = "config.yaml";

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    #[test]
    fn a_secret_and_a_folder_give_their_public_files_and_no_key() {
        let entries = [
            "cert.pem",
            "key.pem",
            "cacert.pem",
            "cacert2.pem",
            "tlscacert.pem",
            "crl.pem",
            "config.yaml",
        ];
        let data: serde_json::Map<String, Value> = entries
            .iter()
            .map(|name| ((*name).to_owned(), STANDARD.encode(name).into()))
            .collect();
        let files = of_secret(&json!({"data": data}), "org1");
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "cacerts/ca.org1-cert.pem",
                "cacerts/cacert2.pem",
                "config.yaml",
                "crls/crl.pem",
                "tlscacerts/tlsca.org1-cert.pem"
            ]
        );
        assert_eq!(certificates(&files, "cacerts"), "cacert.pem\ncacert2.pem\n");
        let mut folder: BTreeMap<String, Vec<u8>> = files.clone();
        folder.insert("keystore/priv_sk".to_owned(), b"key".to_vec());
        folder.insert("signcerts/cert.pem".to_owned(), b"certificate".to_vec());
        assert_eq!(of_folder(&folder), files);
    }
}
