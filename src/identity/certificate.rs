//! Reading certificates and keys: what a check asks of them, and nothing that could show a key.

use crate::error::{Error, Result};
use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate as text, with what checks and annotations need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The first certificate of the text, as DER.
    der: Vec<u8>,
    pub not_before: jiff::Timestamp,
    pub not_after: jiff::Timestamp,
    /// DNS names and IP addresses of the subject alternative name, as text.
    pub hosts: Vec<String>,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text; `subject` names the text in errors.
    pub fn from_pem(pem: &[u8], subject: &str) -> Result<Certificate> {
        let unreadable = |why: &str| Error::user(format!("{subject} is not a certificate")).why(why.to_owned());
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| unreadable("no PEM block CERTIFICATE in it"))?;
        if pem.label != "CERTIFICATE" {
            return Err(unreadable("its PEM block is no CERTIFICATE"));
        }
        let (_, x509) = X509Certificate::from_der(&pem.contents).map_err(|_| unreadable("its content is not X.509"))?;
        let time = |time: x509_parser::time::ASN1Time| {
            jiff::Timestamp::from_second(time.timestamp()).map_err(|_| unreadable("its validity lies outside of time"))
        };
        let (not_before, not_after) = (time(x509.validity().not_before)?, time(x509.validity().not_after)?);
        let hosts = match x509.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(host).collect(),
            Ok(None) => Vec::new(),
            Err(_) => return Err(unreadable("its subject alternative name cannot be read")),
        };
        let public_key = x509.public_key().subject_public_key.data.to_vec();
        Ok(Certificate { not_before, not_after, hosts, public_key, der: pem.contents })
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER form, lower-case hex: what `openssl x509 -fingerprint -sha256` shows, without its colons.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// Whether the private key belongs to this certificate.
    pub fn fits(&self, key: &KeyPair) -> bool {
        key.der_bytes() == self.public_key
    }

    /// Whether `authority` signed this certificate and is named as its issuer.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Ok((_, own)), Ok((_, ca))) = (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        own.issuer().as_raw() == ca.subject().as_raw() && own.verify_signature(Some(ca.public_key())).is_ok()
    }

    /// Whether the host stands in the subject alternative name, letter case aside.
    pub fn bears(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Every certificate of a PEM text, at least one: a leaf and what is between it and its authority.
pub fn chain_from_pem(pem: &[u8], subject: &str) -> Result<Vec<Certificate>> {
    let text = std::str::from_utf8(pem).unwrap_or_default();
    let blocks = text.split_inclusive("-----END CERTIFICATE-----").filter(|block| block.contains("-----BEGIN"));
    let chain = blocks.map(|block| Certificate::from_pem(block.as_bytes(), subject)).collect::<Result<Vec<_>>>()?;
    if chain.is_empty() { Certificate::from_pem(pem, subject).map(|one| vec![one]) } else { Ok(chain) }
}

/// Reads a private key in PKCS#8. The error says which text, and never what stands in it.
pub fn key_from_pem(pem: &[u8], subject: &str) -> Result<KeyPair> {
    let unreadable = || {
        Error::user(format!("{subject} is not a private key"))
            .why("an unencrypted PKCS#8 key is wanted: a PEM block PRIVATE KEY (ECDSA P-256 or P-384, Ed25519 or RSA)")
    };
    let text = std::str::from_utf8(pem).map_err(|_| unreadable())?;
    KeyPair::from_pem(text).map_err(|_| unreadable())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
