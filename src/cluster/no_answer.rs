//! Explains why a request got no response, from the innermost of the client library's errors.

use super::{ApiErrorKind, gate};
use std::{error::Error, io};

/// The reason for a missing response.
pub(super) struct NoAnswer {
    pub kind: ApiErrorKind,
    /// Whether there was no connection, so that the server cannot have received the request.
    pub unsent: bool,
    /// Whether retrying is useless, for example because of an invalid certificate.
    pub lasting: bool,
    pub message: String,
    pub hint: Option<String>,
}

/// Finds the innermost reason of a failed connection and describes it. `route` is the server's URL
/// and the proxy, if any.
pub(super) fn explain(error: &(dyn Error + 'static), route: &str) -> NoAnswer {
    let mut found = NoAnswer {
        kind: ApiErrorKind::Unreachable,
        unsent: false,
        lasting: false,
        message: format!("no response from {route}: {}", innermost(error)),
        hint: None,
    };
    let mut next = Some(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(|error| error.is_connect())
        {
            found.unsent = true;
            found.message = format!("cannot reach {route}: {}", innermost(error));
        }
        if error.is::<gate::Closed>() {
            found.kind = ApiErrorKind::FencedOff;
            found.unsent = true;
            found.message = error.to_string();
        } else if let Some(error) = error.downcast_ref::<rustls::Error>() {
            let (message, hint) = tls(error);
            found.message = format!("cannot trust {route}: {message}");
            found.hint = hint.map(str::to_owned);
            found.lasting = true;
        } else if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some((message, hint)) = socket(error)
        {
            found.message = format!("cannot reach {route}: {message}");
            found.hint = hint.map(str::to_owned);
            if error.kind() == io::ErrorKind::TimedOut {
                found.kind = ApiErrorKind::Timeout;
            }
        } else if error.to_string() == "dns error" {
            // hyper's resolver does not expose the type of this error, so only its text identifies
            // it.
            found.message = format!(
                "cannot reach {route}: cannot resolve the host name ({})",
                innermost(error)
            );
            found.hint = Some(
                "check the server's address in the kubeconfig, your network and your VPN"
                    .to_owned(),
            );
        }
        next = below(error);
    }
    found
}

/// Returns the source of an error. An `io::Error` made from another error hides it from `source`.
pub(crate) fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Returns the text of the innermost reason.
pub(crate) fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(inner) = below(error) {
        error = inner;
    }
    error.to_string()
}

fn socket(error: &io::Error) -> Option<(&'static str, Option<&'static str>)> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            "connection refused",
            Some("check the address and port, and that the API server is running"),
        ),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => ("the connection was lost", None),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => (
            "no route to this address",
            Some("check your network and your VPN"),
        ),
        io::ErrorKind::TimedOut => (
            "no response in time",
            Some("check the server's address, your network, your VPN and firewalls"),
        ),
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => {
            ("the connection was closed", None)
        }
        _ => return None,
    })
}

const TRUST: &str = "pass the certificate authority that signed it with --certificate-authority (or in the kubeconfig)";
const NAME: &str = "use one of the names in the certificate as the server's address, or pass one \
                    with --tls-server-name";

fn tls(error: &rustls::Error) -> (String, Option<&'static str>) {
    use rustls::AlertDescription;
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => (
            format!("it does not accept your client certificate ({error})"),
            Some(
                "check that the client certificate of the kubeconfig's user belongs to this \
                 cluster and has not expired",
            ),
        ),
        rustls::Error::InvalidMessage(_) => (
            "it does not speak TLS".to_owned(),
            Some(
                "check whether the server's address needs http:// instead of https://, or another port",
            ),
        ),
        other => (format!("no secure connection: {other}"), None),
    }
}

fn certificate(error: &rustls::CertificateError) -> (String, Option<&'static str>) {
    use rustls::CertificateError;
    match error {
        CertificateError::UnknownIssuer => (
            "its certificate is signed by an unknown authority".to_owned(),
            Some(TRUST),
        ),
        CertificateError::BadSignature => (
            "its certificate is not signed by the authority".to_owned(),
            Some(TRUST),
        ),
        CertificateError::NotValidForName => (
            "its certificate is not for this name".to_owned(),
            Some(NAME),
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let named = if names.is_empty() {
                "no name".to_owned()
            } else {
                names.join(", ")
            };
            (
                format!(
                    "its certificate is not for \"{}\" (it is for {named})",
                    expected.to_str()
                ),
                Some(NAME),
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "its certificate has expired".to_owned(),
            Some("renew the API server's certificate; check this computer's clock"),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "its certificate is not valid yet".to_owned(),
            Some("check this computer's clock"),
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            "its certificate is not for servers (extended key usage)".to_owned(),
            Some(
                "give the API server a certificate with the extended key usage serverAuth, or none",
            ),
        ),
        other => (
            format!("its certificate is not valid: {other}"),
            Some(TRUST),
        ),
    }
}

/// Returns the name in `DnsName("localhost")` or `IpAddress(10.0.0.1)`, the TLS library's format
/// for the names of a certificate.
pub(crate) fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    inner.trim_matches('"')
}
