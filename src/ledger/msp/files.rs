//! An MSP from the files of its folder (`msp/configbuilder.go`, `getMspConfig`).

use super::Msp;
use crate::error::{Error, Place, Result};
use crate::identity::public::MspFiles;
use crate::ledger::message::msp_configuration::{NodeOus, OuIdentifier};
use crate::yaml;
use serde_json::Value;

impl Msp {
    /// Returns the MSP that Fabric's tools create from a folder with these public files.
    ///
    /// # Errors
    ///
    /// Fails for a `config.yaml` that is not YAML, or that names a missing certificate.
    pub fn from_files(id: &str, files: &MspFiles) -> Result<Msp> {
        let folder = |name: &str| -> Vec<Vec<u8>> {
            let prefix = format!("{name}/");
            let inside = files.iter().filter(|(path, _)| path.starts_with(&prefix));
            inside.map(|(_, bytes)| bytes.clone()).collect()
        };
        let mut msp = Msp {
            roots: folder("cacerts"),
            intermediates: folder("intermediatecerts"),
            tls_roots: folder("tlscacerts"),
            tls_intermediates: folder("tlsintermediatecerts"),
            admins: folder("admincerts"),
            revocations: folder("crls"),
            ..Msp::new(id)
        };
        let Some(text) = files.get("config.yaml") else {
            return Ok(msp);
        };
        let subject = format!("config.yaml of {id}");
        let config = yaml::parse(&String::from_utf8_lossy(text), &subject)?;
        let unit = |unit: &Value| -> Result<Option<OuIdentifier>> {
            let Some(name) = unit["OrganizationalUnitIdentifier"].as_str() else {
                return Ok(None);
            };
            let certificate = match unit["Certificate"].as_str() {
                None | Some("") => Vec::new(),
                Some(path) => files.get(path).cloned().ok_or_else(|| {
                    Error::user(format!("cannot read the MSP of {id}"))
                        .at(Place::new("config.yaml")
                            .note(format!("names {path}, which does not exist")))
                })?,
            };
            Ok(Some(OuIdentifier {
                certificate,
                organizational_unit_identifier: name.to_owned(),
            }))
        };
        let units = config["OrganizationalUnitIdentifiers"].as_array();
        for entry in units.into_iter().flatten() {
            msp.units.extend(unit(entry)?);
        }
        let roles = &config["NodeOUs"];
        if roles["Enable"] == true {
            msp.node_ous = Some(NodeOus {
                enable: true,
                client_ou_identifier: unit(&roles["ClientOUIdentifier"])?,
                peer_ou_identifier: unit(&roles["PeerOUIdentifier"])?,
                admin_ou_identifier: unit(&roles["AdminOUIdentifier"])?,
                orderer_ou_identifier: unit(&roles["OrdererOUIdentifier"])?,
            });
        }
        Ok(msp)
    }
}
