//! The package of a chaincode: the address of its server for an organization's peers, and the
//! authority of its certificate.
//!
//! It depends only on the values of the server's release, not on the image. Therefore a new image
//! needs no new approval, and equal values give equal packages in all organizations.

use crate::chaincode::{self, Approver, Lifecycle};
use crate::cluster::Cluster;
use crate::error::{Error, Place, Result};
use crate::fabric::ChaincodeServer;
use crate::identity::certificate::{Certificate, chain_from_pem, key_from_pem};
use crate::identity::secrets::entry;
use crate::ledger::chaincode_package::{Code, Connection, Package};
use crate::manifest::ObjectKey;
use crate::member::Member;
use crate::release::{ReleaseName, baseline};
use crate::storage;
use crate::values::{self, Origin, Values};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeMap;

/// The input for an organization's package.
pub(super) struct Choice<'a> {
    /// Of the chaincode; the label of the package.
    pub name: &'a str,
    pub release: &'a ReleaseName,
    /// The values of the server that this run sets.
    pub given: &'a Values,
    /// CouchDB indexes by path. `None` keeps those of the release's current package.
    pub indexes: Option<&'a BTreeMap<String, Vec<u8>>>,
}

impl Choice<'_> {
    /// Returns members with their packages, and the releases of those without a server.
    pub async fn approvers(
        &self,
        cluster: &Cluster,
        members: Vec<Member>,
    ) -> Result<(Vec<Approver>, Vec<String>)> {
        let packages = try_join_all(members.iter().map(|it| self.of(cluster, it))).await?;
        let (mut approvers, mut without) = (Vec::new(), Vec::new());
        for (member, (package, has_server)) in members.into_iter().zip(packages) {
            if !has_server {
                without.push(member.contact.release.clone());
            }
            approvers.push(Approver { member, package });
        }
        Ok((approvers, without))
    }

    /// Returns the package of the organization's current or future server, and whether the server
    /// exists.
    async fn of(&self, cluster: &Cluster, member: &Member) -> Result<(Package, bool)> {
        let namespace = &member.contact.namespace;
        let stored = stored(cluster, namespace, self.release).await?;
        let has_server = stored.is_some();
        let stored = stored.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let before = stored.pointer("/packageID").and_then(Value::as_str);
        let indexes = match (self.indexes, before) {
            (Some(indexes), _) => indexes.clone(),
            (None, Some(id)) => kept_indexes(member, id).await?,
            (None, None) => BTreeMap::new(),
        };
        let origin = Origin::Program("the release".to_owned());
        let stored = values::with_origin(stored, origin);
        let values = values::without_nulls(values::merge(stored, self.given.clone()));
        let server = ChaincodeServer::of(&values.tree);
        let connection = connection(cluster, namespace, self.release.as_str(), &server).await?;
        let package = Package::new(self.name, &Code::Ccaas(connection), &indexes)?;
        Ok((package, has_server))
    }
}

/// Returns the user's values of a release so far, or `None` without the release.
async fn stored(
    cluster: &Cluster,
    namespace: &str,
    release: &ReleaseName,
) -> Result<Option<Value>> {
    let release = release.as_str();
    let history = storage::history(cluster, namespace, release).await?;
    let Some(base) = baseline(&history) else {
        return Ok(None);
    };
    let record = storage::read_with_secrets(cluster, namespace, release, base.revision).await?;
    Ok(Some(record.user_values))
}

/// Returns the indexes of a package from a peer of the organization, or none if no peer has the
/// package.
async fn kept_indexes(member: &Member, id: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    match (Lifecycle { member }).package(id).await? {
        Some(package) => package.indexes(),
        None => Ok(BTreeMap::new()),
    }
}

async fn connection(
    cluster: &Cluster,
    namespace: &str,
    host: &str,
    server: &ChaincodeServer,
) -> Result<Connection> {
    let mut connection = chaincode::connection(format!("{host}:{}", server.port));
    if let Some(name) = &server.tls {
        let secret = Secret::read(cluster, namespace, name).await?;
        connection.tls_required = true;
        connection.root_cert = secret.authority_of(host)?;
    }
    if let Some(name) = &server.clients {
        let secret = Secret::read(cluster, namespace, name).await?;
        connection.client_auth_required = true;
        (connection.client_cert, connection.client_key) = secret.client()?;
    }
    Ok(connection)
}

/// A Secret with a certificate.
struct Secret {
    /// `org1/basic-tls`
    name: String,
    body: Value,
}

impl Secret {
    async fn read(cluster: &Cluster, namespace: &str, name: &str) -> Result<Secret> {
        let key = ObjectKey::core("Secret", namespace, name);
        let found = cluster.get("v1", &key).await?;
        let name = format!("{namespace}/{name}");
        match found {
            Some(body) => Ok(Secret { name, body }),
            None => Err(Error::user(
                "cannot create the package of the chaincode without its certificates",
            )
            .at(Place::new(format!("Secret {name}")).note("it does not exist"))
            .now("nothing was changed")),
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        String::from_utf8(entry(&self.body, key)?).ok()
    }

    fn invalid(&self, key: &str, note: &str) -> Error {
        Error::user("cannot create the package of the chaincode from its certificates")
            .at(Place::new(format!("Secret {}", self.name)).note(format!("{key}: {note}")))
            .now("nothing was changed")
    }

    /// The authority of the server's certificate, PEM.
    fn authority_of(&self, host: &str) -> Result<String> {
        let own = self
            .text("tls.crt")
            .ok_or_else(|| self.invalid("tls.crt", "missing"))?;
        let chain = chain_from_pem(own.as_bytes(), &self.name)?;
        if !chain.first().is_some_and(|it| it.covers(host)) {
            return Err(self
                .invalid(
                    "tls.crt",
                    &format!("the certificate is not for the host name \"{host}\""),
                )
                .why("peers call the server by the name of its Service")
                .hint(format!("reissue it with the DNS name {host}")));
        }
        let given = self.text("ca.crt");
        let note = match given.is_some() {
            true => "it is not the authority of tls.crt",
            false => "missing",
        };
        // A self-signed certificate is its own authority.
        let root = given.unwrap_or_else(|| own.clone());
        let authorities = chain_from_pem(root.as_bytes(), &self.name)?;
        let is_signed = |it: &Certificate| authorities.iter().any(|by| it.is_signed_by(by));
        match chain.iter().any(is_signed) {
            true => Ok(root),
            false => Err(self
                .invalid("ca.crt", note)
                .why("peers need the authority of the server's certificate")),
        }
    }

    /// The client certificate and key of the peers, PEM.
    fn client(&self) -> Result<(String, String)> {
        let part = |key: &str| {
            self.text(key).ok_or_else(|| {
                self.invalid(key, "missing")
                    .why("the server requires a client certificate, which peers get from the package")
                    .hint("add tls.crt and tls.key of a client to the Secret, next to ca.crt")
            })
        };
        let (certificate, key) = (part("tls.crt")?, part("tls.key")?);
        let read = Certificate::from_pem(certificate.as_bytes(), &self.name)?;
        match read.fits(&key_from_pem(key.as_bytes(), &self.name)?) {
            true => Ok((certificate, key)),
            false => Err(self.invalid("tls.key", "it is not the key of tls.crt")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::json;

    const FOLDER: &str = "tests/fixtures/v2.5.16/crypto-config/peerOrganizations";

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let mut data = serde_json::Map::new();
        for (key, file) in entries {
            let content = std::fs::read(format!("{FOLDER}/{file}")).unwrap();
            data.insert((*key).to_owned(), json!(BASE64_STANDARD.encode(content)));
        }
        Secret {
            name: "org1/basic-tls".to_owned(),
            body: json!({"kind": "Secret", "data": data}),
        }
    }

    #[test]
    fn peers_trust_the_authority_of_the_server_s_certificate() {
        let own = ("tls.crt", "org1/peers/peer0.org1/tls/server.crt");
        let ca = ("ca.crt", "org1/peers/peer0.org1/tls/ca.crt");
        let other = ("ca.crt", "org2/peers/peer0.org2/tls/ca.crt");
        let trusted = secret(&[own, ca]).authority_of("peer0.org1").unwrap();
        let expected = std::fs::read_to_string(format!("{FOLDER}/{}", ca.1)).unwrap();
        assert_eq!(trusted, expected);
        for (entries, host, why) in [
            (&[own, ca][..], "basic", "not for the host name \"basic\""),
            (
                &[own, other],
                "peer0.org1",
                "ca.crt: it is not the authority",
            ),
            (&[own], "peer0.org1", "ca.crt: missing"),
            (&[ca], "peer0.org1", "tls.crt: missing"),
        ] {
            let error = secret(entries).authority_of(host).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn peers_show_a_certificate_with_its_key() {
        let certificate = ("tls.crt", "org1/users/Admin@org1/tls/client.crt");
        let key = ("tls.key", "org1/users/Admin@org1/tls/client.key");
        let other = ("tls.key", "org2/users/Admin@org2/tls/client.key");
        let (shown, with) = secret(&[certificate, key]).client().unwrap();
        assert!(shown.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(with.contains("PRIVATE KEY-----"));
        for (entries, why) in [
            (&[certificate, other][..], "tls.key: it is not the key"),
            (&[certificate], "tls.key: missing"),
            (&[key], "tls.crt: missing"),
        ] {
            let error = secret(entries).client().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains("PRIVATE"), "{error}");
        }
    }
}
