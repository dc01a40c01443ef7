//! Chaincode of fabric-samples' asset transfer, from its package to its answers.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::network::{Network, orderer};
use crate::support::until;

/// A chaincode package: what says of which kind it is, and what a builder of that kind wants.
pub struct Package(Vec<u8>);

impl Package {
    pub fn new(kind: &str, label: &str, code: &[(&str, &str)]) -> Package {
        let metadata = json!({"type": kind, "label": label}).to_string();
        let code: Vec<(&str, &[u8])> = code
            .iter()
            .map(|(name, text)| (*name, text.as_bytes()))
            .collect();
        Package(archive(&[
            ("metadata.json", metadata.as_bytes()),
            ("code.tar.gz", &archive(&code)),
        ]))
    }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, *content)
            .expect("an archive in memory");
    }
    let mut packed = archive.into_inner().expect("an archive in memory");
    packed.flush().expect("an archive in memory");
    packed.finish().expect("an archive in memory")
}

impl Network<'_> {
    /// Installs a package on both peers and returns its identifier.
    pub fn install_chaincode(&self, package: &Package) -> String {
        let write = format!(
            "cd /tmp && echo {} | base64 -d >chaincode.tar.gz",
            STANDARD.encode(&package.0)
        );
        self.node.cli("org1", &write);
        for peer in 0..2 {
            let install = "peer lifecycle chaincode install /tmp/chaincode.tar.gz";
            self.node.cli(
                "org1",
                &format!("CORE_PEER_ADDRESS=peer{peer}.org1:7051 {install}"),
            );
        }
        let installed = self.node.cli(
            "org1",
            "peer lifecycle chaincode queryinstalled --output json",
        );
        let installed: Value = serde_json::from_str(&installed).expect("JSON");
        installed["installed_chaincodes"][0]["package_id"]
            .as_str()
            .expect("a package")
            .to_owned()
    }

    /// Defines the chaincode `basic`, has it make assets by a transaction, and asks both peers for
    /// one of them.
    pub fn use_chaincode(&self, package: &str) {
        let definition = "-C mychannel -n basic -v 1 --sequence 1";
        self.node.cli(
            "org1",
            &format!(
                "peer lifecycle chaincode approveformyorg {definition} --package-id {package} {}",
                orderer(0)
            ),
        );
        let peer = "--peerAddresses peer0.org1:7051 --tlsRootCertFiles /etc/hyperledger/tls/ca.crt";
        self.node.cli(
            "org1",
            &format!(
                "peer lifecycle chaincode commit {definition} {peer} {}",
                orderer(0)
            ),
        );
        let invoke = r#"peer chaincode invoke -C mychannel -n basic --waitForEvent -c '{"Args":["InitLedger"]}'"#;
        // The peer looks for it when it is asked, and it may still be on its way.
        until("a transaction of the chaincode", || {
            self.node
                .try_cli("org1", &format!("{invoke} {peer} {}", orderer(0)))
        });
        for peer in 0..2 {
            let query = r#"peer chaincode query -C mychannel -n basic -c '{"Args":["ReadAsset","asset1"]}'"#;
            let ask = format!("CORE_PEER_ADDRESS=peer{peer}.org1:7051 {query}");
            let asset = until("both peers to have the asset", || {
                self.node.try_cli("org1", &ask)
            });
            let asset: Value = serde_json::from_str(&asset).expect("JSON");
            assert_eq!(asset["ID"], "asset1", "{asset}");
        }
    }
}
