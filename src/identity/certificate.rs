//! Reads certificates and keys. Returns the facts that checks need, and nothing that could reveal a
//! key.
//!
//! Reads keys in all formats that Fabric reads: PKCS#8, and those of `openssl ecparam`,
//! `fabric-ca-client` and cert-manager (`EC PRIVATE KEY`, SEC1; `RSA PRIVATE KEY`, PKCS#1).

pub use crate::encoding::hex;
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER;
use x509_parser::pem::Pem;
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, GeneralName, X509Certificate, X509Name,
};

/// Labels of PEM blocks without secrets.
pub const CERTIFICATE: &str = "CERTIFICATE";
pub const REVOCATIONS: &str = "X509 CRL";

/// A certificate with the facts that checks and annotations need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The first certificate of the text in DER.
    der: Vec<u8>,
    pub not_before: jiff::Timestamp,
    pub not_after: jiff::Timestamp,
    /// DNS names and IP addresses of the subject alternative name, as text.
    pub hosts: Vec<String>,
    public_key: Vec<u8>,
    /// Common names of subject and issuer, for errors.
    pub subject: String,
    pub issuer: String,
    serial: Vec<u8>,
    pub is_authority: bool,
    /// Whether it has a subject key identifier, by which Fabric's MSP distinguishes authorities.
    pub has_identifier: bool,
}

impl Certificate {
    /// Reads the first certificate of a PEM text. `subject` names the text in errors.
    pub fn from_pem(pem: &[u8], subject: &str) -> Result<Certificate> {
        let unreadable =
            |why: &str| Error::user(format!("{subject} is not a certificate")).why(why.to_owned());
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem)
            .map_err(|_| unreadable("it has no PEM block CERTIFICATE"))?;
        if pem.label != "CERTIFICATE" {
            return Err(unreadable("its PEM block is not a CERTIFICATE"));
        }
        Certificate::from_der(pem.contents, subject)
    }

    /// Reads a certificate from DER.
    pub fn from_der(der: Vec<u8>, subject: &str) -> Result<Certificate> {
        let unreadable =
            |why: &str| Error::user(format!("{subject} is not a certificate")).why(why.to_owned());
        let (_, x509) =
            X509Certificate::from_der(&der).map_err(|_| unreadable("its content is not X.509"))?;
        let time = |time: x509_parser::time::ASN1Time| {
            jiff::Timestamp::from_second(time.timestamp())
                .map_err(|_| unreadable("its validity dates are out of range"))
        };
        let (not_before, not_after) = (
            time(x509.validity().not_before)?,
            time(x509.validity().not_after)?,
        );
        let hosts = match x509.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(host).collect(),
            Ok(None) => Vec::new(),
            Err(_) => return Err(unreadable("its subject alternative name cannot be parsed")),
        };
        let is_identifier = |it: &x509_parser::prelude::X509Extension<'_>| {
            it.oid == OID_X509_EXT_SUBJECT_KEY_IDENTIFIER
        };
        Ok(Certificate {
            not_before,
            not_after,
            hosts,
            public_key: x509.public_key().subject_public_key.data.to_vec(),
            subject: common_name(x509.subject()),
            issuer: common_name(x509.issuer()),
            serial: x509.raw_serial().to_vec(),
            is_authority: x509.is_ca(),
            has_identifier: x509.extensions().iter().any(is_identifier),
            der,
        })
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 digest of the DER form in lower-case hex, like
    /// `openssl x509 -fingerprint -sha256` without colons.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// Returns the SHA-256 digest of the public key in lower-case hex. Equal for all certificates
    /// of one key.
    pub fn key_fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.public_key))
    }

    /// Returns true if both are certificates of the same authority: same name and same key. One may
    /// be a renewal of the other.
    pub fn is_same_authority(&self, other: &Certificate) -> bool {
        let subject = |of: &Certificate| {
            X509Certificate::from_der(&of.der)
                .ok()
                .map(|(_, x509)| x509.subject().as_raw().to_vec())
        };
        self.public_key == other.public_key && subject(self) == subject(other)
    }

    /// Returns true if this revocation list of its issuer contains the certificate.
    pub fn is_revoked_by(&self, list: &[u8]) -> bool {
        let (Ok((_, own)), Ok((_, list))) = (
            X509Certificate::from_der(&self.der),
            CertificateRevocationList::from_der(list),
        ) else {
            return false;
        };
        own.issuer().as_raw() == list.issuer().as_raw()
            && list
                .iter_revoked_certificates()
                .any(|revoked| revoked.raw_serial() == self.serial)
    }

    /// Returns the certificate as a PEM block.
    pub fn to_pem(&self) -> String {
        to_pem(CERTIFICATE, &self.der)
    }

    /// Returns the organizational units of the subject, by which an MSP recognizes roles.
    pub fn organizational_units(&self) -> Vec<String> {
        let Ok((_, own)) = X509Certificate::from_der(&self.der) else {
            return Vec::new();
        };
        let units = own.subject().iter_organizational_unit();
        units
            .filter_map(|unit| unit.as_str().ok())
            .map(str::to_owned)
            .collect()
    }

    /// Returns true if the private key belongs to this certificate.
    pub fn fits(&self, key: &KeyPair) -> bool {
        key.der_bytes() == self.public_key
    }

    /// Returns true if `authority` is the issuer and signed this certificate.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Ok((_, own)), Ok((_, ca))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&authority.der),
        ) else {
            return false;
        };
        own.issuer().as_raw() == ca.subject().as_raw()
            && own.verify_signature(Some(ca.public_key())).is_ok()
    }

    /// Returns true if the subject alternative name covers the host, ignoring case. A wildcard
    /// stands for one label, as in Go's TLS.
    pub fn covers(&self, host: &str) -> bool {
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        self.hosts.iter().any(|own| {
            let covers = |pattern: &str| {
                let rest = host.split_once('.').map(|(_, rest)| rest);
                !is_address && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(pattern))
            };
            own.eq_ignore_ascii_case(host) || own.strip_prefix("*.").is_some_and(covers)
        })
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Returns label and content of each PEM block of a text, in order. Ignores text outside of blocks.
pub fn blocks(pem: &[u8]) -> Vec<(String, Vec<u8>)> {
    Pem::iter_from_buffer(pem)
        .map_while(Result::ok)
        .map(|block| (block.label, block.contents))
        .collect()
}

pub fn to_pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Reads all certificates of a PEM text, at least one: a leaf and its intermediates, or several
/// authorities.
pub fn chain_from_pem(pem: &[u8], subject: &str) -> Result<Vec<Certificate>> {
    let text = std::str::from_utf8(pem).unwrap_or_default();
    let blocks = text
        .split_inclusive("-----END CERTIFICATE-----")
        .filter(|block| block.contains("-----BEGIN"));
    let chain = blocks
        .map(|block| Certificate::from_pem(block.as_bytes(), subject))
        .collect::<Result<Vec<_>>>()?;
    if chain.is_empty() {
        Certificate::from_pem(pem, subject).map(|one| vec![one])
    } else {
        Ok(chain)
    }
}

/// A private key with its PEM block, without the `EC PARAMETERS` block that `openssl ecparam`
/// writes first. Fabric's MSP fails on that block.
pub struct Key {
    pub pair: KeyPair,
    pub pem: String,
}

/// Reads a private key.
///
/// # Errors
///
/// Returns the reason why the key is unreadable, without any of its content.
pub fn read_key(pem: &[u8]) -> Result<Key, &'static str> {
    let text = std::str::from_utf8(pem).map_err(|_| "is not text")?;
    if text.contains("ENCRYPTED") {
        return Err("is encrypted, but Fabric cannot read keys with a password");
    }
    let found = blocks(pem);
    let Some((label, der)) = found
        .iter()
        .find(|(label, _)| label.ends_with("PRIVATE KEY"))
    else {
        return Err("is not a private key in PEM");
    };
    let forms = match label.as_str() {
        "PRIVATE KEY" => vec![der.clone()],
        "EC PRIVATE KEY" => [P256, P384].map(|curve| pkcs8(curve, der)).to_vec(),
        "RSA PRIVATE KEY" => vec![pkcs8(RSA, der)],
        _ => {
            return Err(
                "is an unsupported kind of private key; Fabric supports ECDSA, Ed25519 and RSA",
            );
        }
    };
    let pair = forms
        .into_iter()
        .find_map(|der| KeyPair::try_from(der).ok());
    let pair = pair.ok_or(
        "is a private key that cannot be parsed; expected ECDSA P-256 or P-384, Ed25519 or RSA",
    )?;
    Ok(Key {
        pair,
        pem: to_pem(label, der),
    })
}

/// Reads a private key. The error names the text and shows none of its content.
pub fn key_from_pem(pem: &[u8], subject: &str) -> Result<KeyPair> {
    read_key(pem)
        .map(|key| key.pair)
        .map_err(|why| Error::user(format!("{subject} cannot be used")).why(format!("it {why}")))
}

/// AlgorithmIdentifiers of keys (RFC 5480, 2.1.1; RFC 8017, A.1).
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    3, 1, 7,
];
const P384: &[u8] = &[
    0x30, 0x10, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 0x04, 0, 0x22,
];
const RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0,
];

/// Wraps a SEC1 or PKCS#1 key in PKCS#8 (RFC 5208, 5).
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let framed = |tag: u8, content: &[u8]| {
        let length = content.len().to_be_bytes();
        let length = &length[length
            .iter()
            .position(|byte| *byte != 0)
            .unwrap_or(length.len() - 1)..];
        match content.len() {
            0..128 => [&[tag][..], length, content].concat(),
            _ => [&[tag, 0x80 | length.len() as u8][..], length, content].concat(),
        }
    };
    framed(
        0x30,
        &[&[2, 1, 0][..], algorithm, &framed(0x04, key)].concat(),
    )
}
