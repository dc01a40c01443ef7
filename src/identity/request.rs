//! Certificate signing requests (PKCS#10) for a Fabric CA.

use super::certificate::{Certificate, key_from_pem};
use super::profile::{Pair, alternative_name, new_key, printable, unmade};
use crate::error::{Error, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType};
use std::fmt;

/// A request with its key.
pub struct SigningRequest {
    common_name: String,
    /// The request as PEM.
    pub pem: String,
    key: String,
}

impl fmt::Debug for SigningRequest {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningRequest({:?})", self.common_name)
    }
}

impl SigningRequest {
    /// Creates a request for a new P-256 key, or for a key in PEM.
    ///
    /// A Fabric CA only uses the common name of the subject, which is the name of the identity. It
    /// adds the units itself (`lib/serverenroll.go`, `setRequestOUs`).
    pub fn new(common_name: &str, hosts: &[String], key: Option<&str>) -> Result<SigningRequest> {
        let (pair, key) = match key {
            Some(pem) => {
                let subject = format!("the key of {common_name}");
                (key_from_pem(pem.as_bytes(), &subject)?, pem.to_owned())
            }
            None => {
                let pair = new_key()?;
                let pem = pair.serialize_pem();
                (pair, pem)
            }
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, printable(common_name));
        params.subject_alt_names = hosts
            .iter()
            .map(|host| alternative_name(host))
            .collect::<Result<_>>()?;
        let request = params.serialize_request(&pair).map_err(unmade)?;
        Ok(SigningRequest {
            common_name: common_name.to_owned(),
            pem: request.pem().map_err(unmade)?,
            key,
        })
    }

    /// Combines the key with the certificate that was issued for it.
    ///
    /// # Errors
    ///
    /// Fails for a certificate of another key or name.
    pub fn issued(self, certificate: &str) -> Result<Pair> {
        let name = &self.common_name;
        let wrong = |why: &str| {
            Error::cluster(format!("the certificate for \"{name}\" cannot be used")).why(why)
        };
        let read = Certificate::from_pem(certificate.as_bytes(), "the certificate")
            .map_err(|error| wrong(error.what()))?;
        let key = key_from_pem(self.key.as_bytes(), "the key")?;
        if !read.fits(&key) {
            return Err(wrong("the CA issued it for another key"));
        }
        if read.subject != *name {
            return Err(wrong(&format!("the CA issued it for \"{}\"", read.subject)));
        }
        Ok(Pair {
            certificate: certificate.to_owned(),
            key: self.key,
        })
    }
}
