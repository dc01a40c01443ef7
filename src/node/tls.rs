//! TLS to a node: the trusted authorities, the expected name, and the client certificate.

use crate::error::{Error, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, crypto::ring};
use std::fmt;
use std::sync::Arc;

/// The protection of a connection to a node.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each connection"
)]
pub enum Security {
    /// Not protected: TLS is disabled on the node.
    Plain,
    Tls(Tls),
}

/// The settings of TLS connections to one node.
#[derive(Clone)]
pub struct Tls {
    pub(super) name: ServerName<'static>,
    config: ClientConfig,
}

/// A client certificate: the chain, leaf first, and its private key, both PEM.
#[derive(Clone, Copy)]
pub struct ClientCertificate<'a> {
    pub chain: &'a str,
    pub key: &'a str,
}

impl fmt::Debug for Tls {
    /// Only the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.name.to_str())
    }
}

impl fmt::Debug for ClientCertificate<'_> {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

impl Tls {
    /// Trusts only the authorities in `roots` (PEM), whether root or intermediate. The node's
    /// certificate must have `name` as a subject alternative name.
    ///
    /// # Errors
    ///
    /// Fails if a certificate or key is unreadable, or if they do not match. Errors never show a
    /// key.
    pub fn new(roots: &str, name: &str, client: Option<ClientCertificate<'_>>) -> Result<Tls> {
        let unnamed = |_| Error::user(format!("\"{name}\" is not a valid name in a certificate"));
        let server = ServerName::try_from(name.to_owned()).map_err(unnamed)?;
        let context = |error: Error| error.context(format!("cannot use TLS to {name}"));
        let mut authorities = RootCertStore::empty();
        for root in certificates(roots, "TLS authority").map_err(context)? {
            authorities.add(root).map_err(|error| {
                context(Error::user("a TLS authority's certificate cannot be used"))
                    .why(error.to_string())
            })?;
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(error.to_string()))?
            .with_root_certificates(authorities);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { chain, key }) => {
                let chain = certificates(chain, "client certificate").map_err(context)?;
                // The parser's error is not shown: it may quote the text.
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
                    context(Error::user("the client's key is not a PEM private key"))
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| context(unusable(&error)))?
            }
        };
        Ok(Tls {
            name: server,
            config,
        })
    }

    /// Returns the settings for connections with one of these protocols.
    pub(super) fn speaking(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::user(format!("the PEM text has no {what}"))),
        Err(_) => Err(Error::user(format!("a {what} is not valid PEM"))),
    }
}

fn unusable(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::user("the client's key does not belong to its certificate")
        }
        error => Error::user("the client's certificate cannot be used").why(error.to_string()),
    }
}
