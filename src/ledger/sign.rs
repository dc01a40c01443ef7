//! Signatures of Fabric's MSP (`msp/identities.go`, `bccsp/sw/ecdsa.go`): ECDSA over SHA-256 with a
//! low S, on every curve, or Ed25519 over the message (since 3.0).
//!
//! An [`Identity`] signs with a [`Signer`], which abstracts the location of the key. A [`Creator`]
//! is the signer of a received message.

use super::message::decode;
use super::message::msp::SerializedIdentity;
use crate::error::{Error, Result};
use crate::identity::certificate::{Certificate, key_from_pem};
use crate::identity::low_s::{P256_ORDER, P384_ORDER, low_s};
use prost::Message;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SigningKey};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};
use std::fmt;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Signs messages. The key may be in memory or elsewhere.
pub trait Signer: Send + Sync {
    /// Signs a message for verification by Fabric's MSP.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// A private key in memory: from a Secret, or from an MSP folder.
pub struct PrivateKey {
    pair: KeyPair,
    subject: String,
}

impl PrivateKey {
    /// Reads a key in PEM: PKCS#8 or SEC1, ECDSA P-256 or Ed25519. `subject` names it in errors:
    /// `the key of Admin@org1`.
    pub fn from_pem(pem: &[u8], subject: &str) -> Result<PrivateKey> {
        let pair = key_from_pem(pem, subject)?;
        if *pair.algorithm() != PKCS_ECDSA_P256_SHA256 && *pair.algorithm() != PKCS_ED25519 {
            // ring signs with P-384 over SHA-384 only, Fabric verifies over SHA-256.
            return Err(Error::user(format!("{subject} cannot sign"))
                .why("it is neither an ECDSA P-256 nor an Ed25519 key")
                .hint("use an identity with a P-256 key, the default of cryptogen and Fabric CA"));
        }
        Ok(PrivateKey {
            pair,
            subject: subject.to_owned(),
        })
    }
}

impl Signer for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = || Error::internal(format!("{} did not create a signature", self.subject));
        let signature = self.pair.sign(message).map_err(|_| failed())?;
        if *self.pair.algorithm() == PKCS_ED25519 {
            return Ok(signature);
        }
        low_s(&signature, &P256_ORDER).ok_or_else(failed)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.subject)
    }
}

/// A member of an organization that can sign.
#[derive(Clone)]
pub struct Identity {
    msp_id: String,
    certificate: Certificate,
    signer: Arc<dyn Signer>,
}

impl Identity {
    /// Creates an identity with any signer.
    pub fn new(msp_id: &str, certificate: Certificate, signer: Arc<dyn Signer>) -> Identity {
        Identity {
            msp_id: msp_id.to_owned(),
            certificate,
            signer,
        }
    }

    /// Reads an identity from a certificate and its key, both PEM. `subject` names it in errors:
    /// `Admin@org1`.
    pub fn from_pem(
        msp_id: &str,
        certificate: &[u8],
        key: &[u8],
        subject: &str,
    ) -> Result<Identity> {
        let certificate =
            Certificate::from_pem(certificate, &format!("the certificate of {subject}"))?;
        let key = PrivateKey::from_pem(key, &format!("the key of {subject}"))?;
        if !certificate.fits(&key.pair) {
            return Err(Error::user(format!(
                "the key of {subject} does not match its certificate"
            )));
        }
        Ok(Identity::new(msp_id, certificate, Arc::new(key)))
    }

    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The `SerializedIdentity` that names this identity in messages.
    pub fn serialized(&self) -> Vec<u8> {
        let serialized = SerializedIdentity {
            mspid: self.msp_id.clone(),
            id_bytes: self.certificate.to_pem().into_bytes(),
        };
        serialized.encode_to_vec()
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.signer.sign(message)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({:?} of {:?})",
            self.certificate.subject, self.msp_id
        )
    }
}

/// The signer of a received message. The caller must check whether an organization issued the
/// certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creator {
    pub msp_id: String,
    pub certificate: Certificate,
}

impl Creator {
    /// Reads a `SerializedIdentity`. `subject` names it in errors: `the endorser`.
    pub fn from_bytes(serialized: &[u8], subject: &str) -> Result<Creator> {
        let identity: SerializedIdentity = decode(serialized, subject)?;
        let certificate = Certificate::from_pem(
            &identity.id_bytes,
            &format!("the identity of {subject} ({})", identity.mspid),
        )?;
        Ok(Creator {
            msp_id: identity.mspid,
            certificate,
        })
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    ///
    /// Returns the end of a sentence about the signature: `is wrong`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
        verify(&self.certificate, message, signature)
    }
}

impl fmt::Display for Creator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.certificate.subject, self.msp_id)
    }
}

/// Checks a signature over `message` against the key of a certificate, as Fabric's MSP does.
///
/// # Errors
///
/// Returns the end of a sentence about the signature: `is wrong`.
pub fn verify(
    certificate: &Certificate,
    message: &[u8],
    signature: &[u8],
) -> Result<(), &'static str> {
    /// `id-Ed25519` (RFC 8410, 3).
    const ID_ED25519: &str = "1.3.101.112";
    /// `id-ecPublicKey` (RFC 5480, 2.1.1).
    const ID_EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

    let (_, x509) = X509Certificate::from_der(certificate.der())
        .map_err(|_| "has an unreadable certificate")?;
    let key = x509.public_key();
    let point = &*key.subject_public_key.data;
    let kind = key.algorithm.algorithm.to_id_string();
    // The length of an uncompressed point determines the curve. ring refuses points of other
    // curves.
    let (algorithm, low): (&dyn VerificationAlgorithm, _) = match (kind.as_str(), point.len()) {
        (ID_EC_PUBLIC_KEY, 65) => (&ECDSA_P256_SHA256_ASN1, low_s(signature, &P256_ORDER)),
        (ID_EC_PUBLIC_KEY, 97) => (&ECDSA_P384_SHA256_ASN1, low_s(signature, &P384_ORDER)),
        (ID_ED25519, _) => (&ED25519, Some(signature.to_vec())),
        _ => return Err("is from a key that is neither ECDSA P-256 or P-384 nor Ed25519"),
    };
    UnparsedPublicKey::new(algorithm, point)
        .verify(message, signature)
        .map_err(|_| "is wrong")?;
    match low {
        Some(low) if low == signature => Ok(()),
        _ => Err("has a high S, which Fabric does not accept"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    macro_rules! fixture {
        ($path:literal) => {
            include_bytes!(concat!(
                "../../tests/fixtures/v2.5.16/crypto-config/",
                $path
            ))
        };
    }

    const CERTIFICATE: &[u8] =
        fixture!("peerOrganizations/org1/users/Admin@org1/msp/signcerts/Admin@org1-cert.pem");
    const KEY: &[u8] = fixture!("peerOrganizations/org1/users/Admin@org1/msp/keystore/priv_sk");
    const PEER_CERTIFICATE: &[u8] =
        fixture!("peerOrganizations/org1/peers/peer0.org1/msp/signcerts/peer0.org1-cert.pem");
    const PEER_KEY: &[u8] =
        fixture!("peerOrganizations/org1/peers/peer0.org1/msp/keystore/priv_sk");

    /// The administrator of org1.
    pub fn admin() -> Identity {
        Identity::from_pem("Org1MSP", CERTIFICATE, KEY, "Admin@org1").unwrap()
    }

    /// The peer `peer0.org1`.
    pub fn peer() -> Identity {
        Identity::from_pem("Org1MSP", PEER_CERTIFICATE, PEER_KEY, "peer0.org1").unwrap()
    }

    /// An identity with a key of the given algorithm, and the same key as PEM.
    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> (Certificate, KeyPair) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::default();
        let pem = params.self_signed(&key).unwrap().pem();
        (Certificate::from_pem(pem.as_bytes(), "it").unwrap(), key)
    }

    #[test]
    fn signatures_are_of_low_s_and_verify() {
        let admin = admin();
        let creator = Creator::from_bytes(&admin.serialized(), "the creator").unwrap();
        assert_eq!(creator.to_string(), "Admin@org1 of Org1MSP");
        // Half of all signatures would be of high S.
        for n in 0..32_u8 {
            let signature = admin.sign(&[n]).unwrap();
            assert_eq!(low_s(&signature, &P256_ORDER).as_ref(), Some(&signature));
            assert_eq!(creator.verify(&[n], &signature), Ok(()));
            assert_eq!(creator.verify(&[n, 1], &signature), Err("is wrong"));
        }
    }

    #[test]
    fn a_high_s_is_refused_on_both_curves() {
        let (certificate, key) = made(&PKCS_ECDSA_P256_SHA256);
        let signatures = (0..64_u8).map(|n| (n, key.sign(&[n]).unwrap()));
        let (n, high) = signatures
            .into_iter()
            .find(|(_, signature)| low_s(signature, &P256_ORDER).as_ref() != Some(signature))
            .unwrap();
        let why = "has a high S, which Fabric does not accept";
        assert_eq!(verify(&certificate, &[n], &high), Err(why));
        let low = low_s(&high, &P256_ORDER).unwrap();
        assert_eq!(verify(&certificate, &[n], &low), Ok(()));
    }

    #[test]
    fn an_ed25519_identity_signs() {
        let (certificate, key) = made(&PKCS_ED25519);
        let (cert, key) = (certificate.to_pem(), key.serialize_pem());
        let id = Identity::from_pem("Org1MSP", cert.as_bytes(), key.as_bytes(), "x").unwrap();
        let signature = id.sign(b"message").unwrap();
        assert_eq!(verify(&certificate, b"message", &signature), Ok(()));
        assert_eq!(
            verify(&certificate, b"massage", &signature),
            Err("is wrong")
        );
    }

    #[test]
    fn a_key_that_cannot_sign_for_fabric_is_refused_without_showing_it() {
        let (certificate, key) = made(&rcgen::PKCS_ECDSA_P384_SHA384);
        let (cert, key) = (certificate.to_pem(), key.serialize_pem());
        let error = Identity::from_pem("A", cert.as_bytes(), key.as_bytes(), "x").unwrap_err();
        assert!(
            error.to_string().contains("the key of x cannot sign"),
            "{error}"
        );
        let error = Identity::from_pem("A", CERTIFICATE, PEER_KEY, "x").unwrap_err();
        assert!(error.to_string().contains("does not match"), "{error}");
    }

    #[test]
    fn a_key_in_sec1_signs() {
        let block = crate::identity::certificate::blocks(KEY);
        // The ECPrivateKey is the last element of PKCS#8: version, algorithm, OCTET STRING.
        let pkcs8 = &block[0].1;
        let at = pkcs8
            .windows(5)
            .position(|it| it == [0x30, 0x6b, 2, 1, 1])
            .unwrap();
        let sec1 = crate::identity::certificate::to_pem("EC PRIVATE KEY", &pkcs8[at..]);
        let id = Identity::from_pem("A", CERTIFICATE, sec1.as_bytes(), "x").unwrap();
        let signature = id.sign(b"message").unwrap();
        assert_eq!(verify(id.certificate(), b"message", &signature), Ok(()));
    }

    #[test]
    fn no_debug_output_has_a_key() {
        let key = PrivateKey::from_pem(KEY, "the key of Admin@org1").unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(\"the key of Admin@org1\")");
        assert_eq!(
            format!("{:?}", admin()),
            "Identity(\"Admin@org1\" of \"Org1MSP\")"
        );
    }

    /// The certificate in an identity is the block of the file alone, as Fabric writes it.
    #[test]
    fn an_identity_is_serialized_as_fabric_does() {
        let serialized: SerializedIdentity = decode(&admin().serialized(), "it").unwrap();
        assert_eq!(serialized.mspid, "Org1MSP");
        assert_eq!(serialized.id_bytes, CERTIFICATE);
    }
}
