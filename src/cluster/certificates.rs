//! Loads and checks the certificates and keys of a connection before any request, so that errors
//! name the faulty one.

use crate::error::{Error, Place, Result};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use kube::config::{AuthInfo, Cluster};

/// Reads the files that the kubeconfig entries name. An error names the missing or invalid file,
/// before any connection.
pub(super) fn load(cluster: &mut Cluster, user: &mut AuthInfo, user_name: &str) -> Result<()> {
    let authority = Pem {
        what: "the certificate authority",
        of: "cluster",
        flag: "--certificate-authority",
    };
    if cluster.insecure_skip_tls_verify == Some(true)
        && (cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some())
    {
        return Err(Error::user("the kubeconfig's cluster has both a certificate authority and \
                                insecure-skip-tls-verify: true")
            .why("the authority verifies the server's certificate, and insecure-skip-tls-verify skips the verification")
            .hint("remove one of them; --insecure-skip-tls-verify ignores the authority for one run"));
    }
    cluster.certificate_authority_data = authority.load(
        cluster.certificate_authority_data.take().as_deref(),
        cluster.certificate_authority.take(),
    )?;

    let of = &format!("user \"{user_name}\"");
    let certificate = Pem {
        what: "the client certificate",
        of,
        flag: "--client-certificate",
    };
    user.client_certificate_data = certificate.load(
        user.client_certificate_data.take().as_deref(),
        user.client_certificate.take(),
    )?;
    // Inline key data stays unchanged. The TLS library parses it and reports errors.
    if user.client_key_data.is_none() {
        let key = Pem {
            what: "the client key",
            of,
            flag: "--client-key",
        };
        user.client_key_data = key.load(None, user.client_key.take())?.map(Into::into);
    }
    match (&user.client_certificate_data, &user.client_key_data) {
        (Some(_), None) => Err(Error::user(format!(
            "{of} has a client certificate without its key"
        ))
        .hint("pass the key with --client-key")),
        (None, Some(_)) => Err(Error::user(format!(
            "{of} has a client key without its certificate"
        ))
        .hint("pass the certificate with --client-certificate")),
        _ => Ok(()),
    }
}

struct Pem<'a> {
    what: &'a str,
    of: &'a str,
    flag: &'a str,
}

impl Pem<'_> {
    /// Returns the PEM in base64, from inline data (preferred, as in kubectl) or from a file.
    fn load(&self, data: Option<&str>, path: Option<String>) -> Result<Option<String>> {
        let Pem { what, of, flag } = self;
        let (pem, place) = match (
            data.filter(|data| !data.is_empty()),
            path.filter(|path| !path.is_empty()),
        ) {
            (Some(data), _) => {
                let place = Place::new("kubeconfig")
                    .note(format!("{of}: {}-data", flag.trim_start_matches('-')));
                let data: String = data.split_whitespace().collect();
                let pem = BASE64.decode(data).map_err(|error| {
                    Error::user(format!("{what} is not base64"))
                        .at(place.clone())
                        .why(error.to_string())
                })?;
                (pem, place)
            }
            (None, Some(path)) => {
                let place = Place::new(path.clone());
                let pem = std::fs::read(&path).map_err(|error| {
                    Error::user(format!("cannot read {what}"))
                        .at(place.clone().note(error.to_string()))
                })?;
                (pem, place)
            }
            (None, None) => return Ok(None),
        };
        match String::from_utf8_lossy(&pem).contains("-----BEGIN ") {
            true => Ok(Some(BASE64.encode(pem))),
            false => Err(Error::user(format!("{what} is not in PEM format"))
                .at(place)
                .why("a PEM file has lines \"-----BEGIN ...-----\" and \"-----END ...-----\"")),
        }
    }
}

/// Returns the certificates of a PEM. [`load`] has already checked that it is base64 and looks like
/// PEM.
pub(super) fn root_certificates(data: Option<&str>) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(data) = data else { return Ok(None) };
    let wrong = |why: String| Error::user("the certificate authority cannot be used").why(why);
    let pem = BASE64
        .decode(data)
        .map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for part in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let part = part.map_err(|error| wrong(error.to_string()))?;
        if part.label == "CERTIFICATE" {
            certificates.push(part.contents);
        }
    }
    match certificates.is_empty() {
        true => Err(wrong("it contains no certificate".to_owned())
            .hint("the file must have a \"-----BEGIN CERTIFICATE-----\" line")),
        false => Ok(Some(certificates)),
    }
}

/// Returns the expiry of the first certificate of a PEM, or `None` if it is unreadable.
pub(super) fn end(data: &str) -> Option<Timestamp> {
    let pem = BASE64.decode(data).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    Timestamp::from_second(pem.parse_x509().ok()?.validity().not_after.timestamp()).ok()
}
