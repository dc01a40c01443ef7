//! Issues certificates with the same fields as cryptogen's.
//!
//! Source of all choices: Fabric's `internal/cryptogen/ca/ca.go` and
//! `internal/cryptogen/csp/csp.go` (unchanged since 1.1). Keys are ECDSA P-256 in PKCS#8. Only the
//! order of extensions differs from cryptogen, which has no meaning in X.509.

use super::certificate::{Certificate, key_from_pem};
use super::low_s::{P256_ORDER, low_s};
use crate::error::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// cryptogen's defaults for subject fields (`cmd/cryptogen/main.go`, `CASpec`).
const PLACE: [(DnType, &str); 3] = [
    (DnType::CountryName, "US"),
    (DnType::StateOrProvinceName, "California"),
    (DnType::LocalityName, "San Francisco"),
];

/// Ten years of 365 days (`ca.go`, `x509Template`).
const VALIDITY: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// A certificate and its private key in PEM. Has no `Debug`, so that output never contains a key by
/// mistake.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A certificate authority with its key.
pub struct Authority {
    pub pair: Pair,
    issuer: Issuer<'static, LowS>,
    not_before: jiff::Timestamp,
}

impl Authority {
    /// Generates a self-signed authority: `ca.<domain>` for identities, `tlsca.<domain>` for TLS.
    pub fn generate(common_name: &str, domain: &str, now: jiff::Timestamp) -> Result<Authority> {
        let key = new_key()?;
        let mut params = template(now)?;
        params.distinguished_name = subject(&[
            (DnType::OrganizationName, domain),
            (DnType::CommonName, common_name),
        ]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.key_identifier_method = KeyIdMethod::PreSpecified(subject_key_identifier(&key));
        let key = LowS(key);
        let certificate = params.self_signed(&key).map_err(unmade)?.pem();
        Authority::from_pair(
            Pair {
                certificate,
                key: key.0.serialize_pem(),
            },
            common_name,
        )
    }

    /// Loads an authority from its Secret or from a crypto-config folder. `subject` names it in
    /// errors.
    pub fn from_pair(pair: Pair, subject: &str) -> Result<Authority> {
        let certificate = Certificate::from_pem(
            pair.certificate.as_bytes(),
            &format!("the certificate of {subject}"),
        )?;
        let key = key_from_pem(pair.key.as_bytes(), &format!("the key of {subject}"))?;
        if !certificate.fits(&key) {
            return Err(Error::user(format!(
                "the key of {subject} does not match its certificate"
            )));
        }
        let issuer =
            Issuer::from_ca_cert_der(&certificate.der().into(), LowS(key)).map_err(|_| {
                Error::user(format!(
                    "the certificate of {subject} cannot sign: it is not a CA certificate"
                ))
            })?;
        Ok(Authority {
            pair,
            issuer,
            not_before: certificate.not_before,
        })
    }

    /// Issues an identity with which a node or user signs. `unit` is its role in NodeOUs: `peer`,
    /// `orderer`, `admin` or `client`.
    pub fn sign_identity(
        &self,
        common_name: &str,
        unit: &str,
        now: jiff::Timestamp,
    ) -> Result<Pair> {
        let mut params = leaf(now)?;
        params.distinguished_name = subject(&[
            (DnType::OrganizationalUnitName, unit),
            (DnType::CommonName, common_name),
        ]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(params)
    }

    /// Issues a TLS certificate for a node (with hosts) or a user (without hosts). Generates a key
    /// unless one is given in PEM.
    pub fn sign_tls(
        &self,
        common_name: &str,
        hosts: &[String],
        key: Option<&str>,
        now: jiff::Timestamp,
    ) -> Result<Pair> {
        let mut params = leaf(now)?;
        params.distinguished_name = subject(&[(DnType::CommonName, common_name)]);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = hosts
            .iter()
            .map(|host| alternative_name(host))
            .collect::<Result<_>>()?;
        match key {
            Some(pem) => {
                let key = key_from_pem(pem.as_bytes(), &format!("the key of {common_name}"))?;
                Ok(Pair {
                    certificate: self.certify(params, &key)?,
                    key: pem.to_owned(),
                })
            }
            None => self.sign(params),
        }
    }

    fn sign(&self, params: CertificateParams) -> Result<Pair> {
        let key = new_key()?;
        Ok(Pair {
            certificate: self.certify(params, &key)?,
            key: key.serialize_pem(),
        })
    }

    fn certify(&self, mut params: CertificateParams, key: &KeyPair) -> Result<String> {
        // Fabric verifies a chain at the time at which its leaf becomes valid (msp/mspimplsetup.go,
        // getValidityOptsForCert). It rejects a leaf that begins before its authority, which can
        // happen if another machine's clock made the authority.
        if params.not_before.unix_timestamp() < self.not_before.as_second() {
            begin(&mut params, self.not_before)?;
        }
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.pem())
    }
}

/// Sets validity and serial number, the same way for all certificates. Validity begins five minutes
/// before now, in whole minutes.
fn template(now: jiff::Timestamp) -> Result<CertificateParams> {
    let minute = (now.as_second() + 30).div_euclid(60) * 60;
    let begins = jiff::Timestamp::from_second(minute - 5 * 60).unwrap_or(now);
    let mut params = CertificateParams::default();
    begin(&mut params, begins)?;
    params.not_after = params.not_before + VALIDITY;
    params.serial_number = Some(SerialNumber::from_slice(&random::<16>()?));
    Ok(params)
}

fn begin(params: &mut CertificateParams, time: jiff::Timestamp) -> Result<()> {
    let since_1970 = u64::try_from(time.as_second()).map_err(|_| {
        Error::user("the clock is set to a date before 1970")
            .hint("set the clock; certificates would not be valid")
    })?;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since_1970);
    Ok(())
}

/// Leaves have `CA:FALSE` and the authority's key identifier, but no subject key identifier.
fn leaf(now: jiff::Timestamp) -> Result<CertificateParams> {
    /// Empty SEQUENCE: BasicConstraints with the default cA FALSE (RFC 5280, 4.2.1.9).
    const NOT_A_CA: [u8; 2] = [0x30, 0x00];
    /// 2.5.29.19, id-ce-basicConstraints.
    const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

    let mut params = template(now)?;
    params.use_authority_key_identifier_extension = true;
    // rcgen's ExplicitNoCa would also add a subject key identifier.
    params.is_ca = IsCa::NoCa;
    let mut constraints = CustomExtension::from_oid_content(&BASIC_CONSTRAINTS, NOT_A_CA.to_vec());
    constraints.set_criticality(true);
    params.custom_extensions = vec![constraints];
    Ok(params)
}

fn subject(fields: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in PLACE.iter().chain(fields) {
        name.push(kind.clone(), printable(value));
    }
    name
}

/// Encodes as Go does (`encoding/asn1`): a PrintableString if the alphabet allows it, otherwise
/// UTF-8. `Admin@org1` needs UTF-8.
pub(super) fn printable(value: &str) -> DnValue {
    match value.try_into() {
        Ok(text) => DnValue::PrintableString(text),
        Err(_) => DnValue::Utf8String(value.to_owned()),
    }
}

pub(super) fn alternative_name(host: &str) -> Result<SanType> {
    if let Ok(address) = host.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let name = host.try_into().map_err(|_| {
        Error::user(format!("{host:?} cannot be used in a certificate")).why("a host must be ASCII")
    })?;
    Ok(SanType::DnsName(name))
}

/// Returns all 32 bytes of the SHA-256 digest of the uncompressed public point (`bccsp`'s SKI), by
/// which Fabric finds a private key.
fn subject_key_identifier(key: &KeyPair) -> Vec<u8> {
    Sha256::digest(key.der_bytes()).to_vec()
}

pub(super) fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unmade)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::internal("the system provides no random numbers"))?;
    Ok(bytes)
}

/// rcgen's errors describe encodings and contain no key material.
pub(super) fn unmade(error: rcgen::Error) -> Error {
    Error::internal(format!("cannot create a certificate: {error}"))
}

/// An authority's key that makes ECDSA P-256 signatures with low S, as `csp.ECDSASigner` does.
///
/// Fabric's MSP requires low S for transaction signatures. It also rewrites certificates with high S
/// (`msp/cert.go`), and Fabric 1.4 does not recognize an authority after that. cryptogen uses low S
/// for all certificates, so this does the same.
struct LowS(KeyPair);

impl PublicKeyData for LowS {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for LowS {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign(message)?;
        if *self.0.algorithm() != PKCS_ECDSA_P256_SHA256 {
            return Ok(signature);
        }
        low_s(&signature, &P256_ORDER).ok_or(rcgen::Error::RingUnspecified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_does_not_begin_before_its_authority() {
        let now: jiff::Timestamp = "2026-11-22T18:40:00Z".parse().unwrap();
        let ca = Authority::generate("ca.org1", "org1", now).unwrap();
        // The clock of another machine.
        let earlier = now - jiff::SignedDuration::from_mins(2);
        let key = ca.pair.key.as_str();
        let (new, same) = (
            ca.sign_tls("peer0.org1", &[], None, earlier),
            ca.sign_tls("peer0.org1", &[], Some(key), earlier),
        );
        for leaf in [ca.sign_identity("peer0.org1", "peer", earlier), new, same] {
            let leaf = Certificate::from_pem(leaf.unwrap().certificate.as_bytes(), "leaf").unwrap();
            assert_eq!(leaf.not_before.to_string(), "2026-11-22T18:35:00Z");
        }
    }

    #[test]
    fn every_signature_has_low_s() {
        let now: jiff::Timestamp = "2026-11-22T18:40:00Z".parse().unwrap();
        // Without a conversion, one of two signatures has high S.
        for _ in 0..24 {
            let ca = Authority::generate("ca.org1", "org1", now).unwrap();
            let leaf = ca.sign_identity("peer0.org1", "peer", now).unwrap();
            for pem in [&ca.pair.certificate, &leaf.certificate] {
                let certificate = Certificate::from_pem(pem.as_bytes(), "it").unwrap();
                let der = certificate.der();
                let is_signature = |it: &&[u8]| it[0] == 0x30 && usize::from(it[1]) == it.len() - 2;
                let mut tails = (66..=72).map(|length| &der[der.len() - length..]);
                let signature = tails.find(is_signature).unwrap();
                assert_eq!(low_s(signature, &P256_ORDER).as_deref(), Some(signature));
            }
        }
    }

    #[test]
    fn validity_starts_five_minutes_before_the_nearest_minute() {
        let now: jiff::Timestamp = "2026-11-22T18:40:31Z".parse().unwrap();
        let ca = Authority::generate("ca.org1", "org1", now).unwrap();
        let certificate = Certificate::from_pem(ca.pair.certificate.as_bytes(), "ca").unwrap();
        assert_eq!(certificate.not_before.to_string(), "2026-11-22T18:36:00Z");
        assert_eq!(certificate.not_after.to_string(), "2036-11-19T18:36:00Z");
    }
}
