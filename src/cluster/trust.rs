//! Decides whether to trust a server's certificate, by kubectl's rules.

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use kube::{
    Config, Error,
    client::{ConfigExt, RustlsTlsError},
};
use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Wraps a connector in TLS, with the server name and certificates of a configuration.
///
/// # Errors
///
/// Fails if a certificate, a key or the server's name is invalid.
pub(super) fn connector<C>(config: &Config, connector: C) -> Result<HttpsConnector<C>, Error> {
    let mut tls = config.rustls_client_config()?;
    if let Some(certificates) = config
        .root_cert
        .as_ref()
        .filter(|_| !config.accept_invalid_certs)
    {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(CertificateDer::from(certificate.clone()))
                .map_err(|error| unusable(Box::new(error)))?;
        }
        let provider = Arc::clone(tls.crypto_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = Verifier {
            chains: chains.map_err(|error| unusable(Box::new(error)))?,
            given: certificates.clone(),
        };
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone());
        let name =
            name.map_err(|error| Error::RustlsTls(RustlsTlsError::InvalidServerName(error)))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(connector))
}

fn unusable(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::RustlsTls(RustlsTlsError::AddRootCertificate(error))
}

/// Trusts certificates signed by a given authority, and certificates that are themselves among the
/// given ones.
///
/// The TLS library accepts given certificates only as authorities. It accepts a server's own
/// certificate neither as an authority nor, if it claims to be one, as the server's. Go, and so
/// kubectl, trusts a given certificate itself (`crypto/x509`, `Verify`: "if
/// opts.Roots.contains(c)"), after the usual checks of a server's certificate.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    /// In DER.
    given: Vec<Vec<u8>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.given.iter().any(|given| given[..] == certificate[..]) {
            true => verify_given(certificate, name, now).map(|()| ServerCertVerified::assertion()),
            false => self
                .chains
                .verify_server_cert(certificate, intermediates, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Checks a certificate that is its own authority as Go does: validity, name, and use for servers.
/// Parsing rejects unknown critical extensions.
fn verify_given(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let (_, read) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let at = |time: i64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(time.max(0).unsigned_abs()))
    };
    let (begins, ends) = (
        read.validity().not_before.timestamp(),
        read.validity().not_after.timestamp(),
    );
    if now < at(begins) {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before: at(begins),
        }
        .into());
    }
    if now > at(ends) {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after: at(ends),
        }
        .into());
    }
    let usage = read
        .extended_key_usage()
        .map_err(|_| CertificateError::BadEncoding)?;
    if usage.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    verify_server_name(&parsed, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
        KeyPair, date_time_ymd,
    };

    /// Returns the parameters of certificates for a server named `cluster.example`.
    fn params() -> CertificateParams {
        CertificateParams::new(vec!["cluster.example".to_owned()]).unwrap()
    }

    fn signed_by_itself(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = params();
        change(&mut params);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .clone()
    }

    /// Returns the result of verifying a server that presents `shown` under this name, if the
    /// client trusts `given`.
    fn verify(
        given: &CertificateDer<'_>,
        shown: &CertificateDer<'_>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(given.clone().into_owned()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let verifier = Verifier {
            chains,
            given: vec![given.to_vec()],
        };
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify_server_cert(shown, &[], &name, &[], UnixTime::now())
            .map(|_| ())
    }

    #[test]
    fn a_server_whose_own_certificate_is_given_is_trusted() {
        let issuer = CertifiedIssuer::self_signed(
            {
                let mut params = CertificateParams::default();
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params
            },
            KeyPair::generate().unwrap(),
        );
        let issuer = issuer.unwrap();
        let issued = params()
            .signed_by(&KeyPair::generate().unwrap(), &issuer)
            .unwrap()
            .der()
            .clone();
        let certificates = [
            (
                "no authority",
                signed_by_itself(|params| params.is_ca = IsCa::ExplicitNoCa),
            ),
            ("says nothing of it", signed_by_itself(|_| ())),
            (
                "an authority",
                signed_by_itself(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            ),
            ("issued by another", issued),
        ];
        for (what, certificate) in &certificates {
            assert_eq!(
                verify(certificate, certificate, "cluster.example"),
                Ok(()),
                "{what}"
            );
            let other = verify(certificate, certificate, "other.example").unwrap_err();
            assert!(
                matches!(
                    other,
                    rustls::Error::InvalidCertificate(
                        CertificateError::NotValidForNameContext { .. }
                    )
                ),
                "{what}"
            );
            let stranger = signed_by_itself(|_| ());
            assert!(
                verify(certificate, &stranger, "cluster.example").is_err(),
                "{what}"
            );
        }
    }

    #[test]
    fn a_given_certificate_is_still_checked_for_its_time_and_purpose() {
        let expired = signed_by_itself(|params| params.not_after = date_time_ymd(2020, 1, 1));
        let early = signed_by_itself(|params| params.not_before = date_time_ymd(4000, 1, 1));
        let of_a_client = signed_by_itself(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
        });
        let refusal =
            |certificate| match verify(certificate, certificate, "cluster.example").unwrap_err() {
                rustls::Error::InvalidCertificate(why) => why,
                other => panic!("{other}"),
            };
        assert!(matches!(
            refusal(&expired),
            CertificateError::ExpiredContext { .. }
        ));
        assert!(matches!(
            refusal(&early),
            CertificateError::NotValidYetContext { .. }
        ));
        assert_eq!(refusal(&of_a_client), CertificateError::InvalidPurpose);
    }
}
