//! The reasons why a call to a node failed: whether the node has received the call, whether to
//! retry it, and the message for the user.
//!
//! Fabric reports most of its refusals as gRPC status `Unknown`, which other clients also use for
//! broken connections. Here the two are separate: a [`Refusal`] is always the node's own response.

use crate::cluster::{ApiError, ApiErrorKind, ForwardEnded, bare, below, innermost};
use crate::error::Error;
use std::time::Duration;
use std::{error, fmt, io};

/// A failed call.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `peer0.org1`
    pub node: String,
    /// `protos.Endorser/ProcessProposal`, `GET /participation/v1/channels`
    pub call: String,
    pub cause: Cause,
    pub heard: Heard,
}

/// Whether the node may have received the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    No,
    /// The connection broke, or the deadline passed, after the call was sent.
    Maybe,
    Yes,
}

#[derive(Clone, Debug)]
pub enum Cause {
    /// The user lacks a Kubernetes permission for the connection to the node.
    Forbidden(ApiError),
    /// The API server did not open the connection for another reason.
    Forward(ApiError),
    /// No connection, or it broke.
    Connection(Broken),
    /// The node responded with a refusal.
    Refused(Refusal),
    /// No complete response within this time.
    Deadline(Duration),
    /// The response violates the protocol, or is too large.
    Unreadable(String),
    /// The request is too large to be sent.
    TooLarge(String),
}

/// A connection that could not be established, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub why: String,
    pub hint: Option<&'static str>,
    /// Whether the next attempt will fail too. For example, an invalid certificate stays invalid.
    pub lasting: bool,
}

/// A node's own response, if it is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    pub message: String,
}

/// The code of a response, by protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// <https://grpc.io/docs/guides/status-codes/>
    Grpc(u32),
    /// `common.Status` of the answers of Broadcast and Deliver (fabric-protos
    /// `common/common.proto`).
    Fabric(i32),
    Http(u16),
}

/// Whether to retry a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The failure may be temporary, and the call was not executed: retry after a moment.
    Soon,
    /// The call may have been executed. Ask the node for the result, unless the call only reads.
    AskFirst,
    No,
}

impl Fault {
    /// Returns whether to retry the call.
    ///
    /// Two refusals depend on the caller's knowledge, and are [`Retry::No`] here: 404 of Deliver,
    /// which is temporary right after the channel was created ([`Refusal::is_not_found`]), and HTTP
    /// 409 of channel participation while an orderer is removing the channel.
    pub fn retry(&self) -> Retry {
        let may_pass = match &self.cause {
            Cause::Forbidden(_) | Cause::Unreadable(_) | Cause::TooLarge(_) => false,
            Cause::Forward(error) => matches!(
                error.kind,
                ApiErrorKind::NotFound
                    | ApiErrorKind::Unavailable
                    | ApiErrorKind::Unreachable
                    | ApiErrorKind::Timeout
            ),
            Cause::Connection(broken) => !broken.lasting,
            Cause::Deadline(_) => true,
            Cause::Refused(refusal) => {
                return match refusal.is_unavailable() {
                    true => Retry::Soon,
                    false => Retry::No,
                };
            }
        };
        match (may_pass, self.heard) {
            (false, _) => Retry::No,
            (true, Heard::No) => Retry::Soon,
            (true, Heard::Maybe | Heard::Yes) => Retry::AskFirst,
        }
    }

    /// The node's own response, if any.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.cause {
            Cause::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Refusal {
    /// A response of Broadcast or Deliver other than `SUCCESS`.
    pub fn fabric(status: i32, message: impl Into<String>) -> Refusal {
        Refusal {
            status: Status::Fabric(status),
            message: message.into(),
        }
    }

    /// Returns true if the node cannot serve the call yet: an orderer without a leader, a server
    /// that is starting or stopping. This excludes HTTP 503 of channel participation, which means
    /// that the service is disabled (`channelparticipation/restapi.go`).
    pub fn is_unavailable(&self) -> bool {
        matches!(self.status, Status::Fabric(503) | Status::Grpc(14))
    }

    /// Returns true if the node does not have the channel or the block (yet).
    pub fn is_not_found(&self) -> bool {
        matches!(self.status, Status::Fabric(404) | Status::Http(404))
    }

    /// Returns true if the node does not allow this identity to make the call.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self.status,
            Status::Fabric(403) | Status::Http(401 | 403) | Status::Grpc(7 | 16)
        )
    }
}

impl fmt::Display for Status {
    /// `503 SERVICE_UNAVAILABLE`, `Unimplemented`, `HTTP 404`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Status::Fabric(code) => match fabric_name(code) {
                Some(name) => write!(f, "{code} {name}"),
                None => write!(f, "{code}"),
            },
            Status::Grpc(code) => match usize::try_from(code).ok().and_then(|at| GRPC.get(at)) {
                Some(name) => f.write_str(name),
                None => write!(f, "gRPC status {code}"),
            },
            Status::Http(code) => write!(f, "HTTP {code}"),
        }
    }
}

/// `common.Status` (fabric-protos `common/common.proto`).
fn fabric_name(code: i32) -> Option<&'static str> {
    Some(match code {
        200 => "SUCCESS",
        400 => "BAD_REQUEST",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        413 => "REQUEST_ENTITY_TOO_LARGE",
        500 => "INTERNAL_SERVER_ERROR",
        501 => "NOT_IMPLEMENTED",
        503 => "SERVICE_UNAVAILABLE",
        _ => return None,
    })
}

/// The codes of gRPC, from 0.
const GRPC: [&str; 17] = [
    "OK",
    "Cancelled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.as_str() {
            "" => write!(f, "{}", self.status),
            message => write!(f, "{message} ({})", self.status),
        }
    }
}

impl From<ApiError> for Cause {
    fn from(error: ApiError) -> Cause {
        match error.kind {
            ApiErrorKind::Forbidden => Cause::Forbidden(error),
            _ => Cause::Forward(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot call {} of {}: ", self.call, self.node)?;
        match &self.cause {
            Cause::Forbidden(error) | Cause::Forward(error) => write!(f, "{error}"),
            Cause::Connection(broken) => f.write_str(&broken.why),
            Cause::Refused(refusal) => write!(f, "{refusal}"),
            Cause::Deadline(after) => write!(f, "no response within {} s", after.as_secs_f64()),
            Cause::Unreadable(why) | Cause::TooLarge(why) => f.write_str(why),
        }
    }
}

impl error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let what = format!("cannot call {} of {}", fault.call, fault.node);
        let heard = fault.heard;
        let report = match fault.cause {
            Cause::Forbidden(error) | Cause::Forward(error) => Error::from(error).context(what),
            Cause::Connection(broken) => {
                let report = Error::cluster(format!("{what}: no connection")).why(broken.why);
                broken.hint.into_iter().fold(report, Error::hint)
            }
            Cause::Refused(refusal) => {
                Error::cluster(format!("{what}: the node rejects it")).why(refusal.to_string())
            }
            Cause::Deadline(after) => Error::cluster(format!("{what}: no response in time")).why(
                format!("the node did not respond within {} s", after.as_secs_f64()),
            ),
            Cause::Unreadable(why) => {
                Error::cluster(format!("{what}: cannot read the response")).why(why)
            }
            Cause::TooLarge(why) => Error::user(what).why(why),
        };
        match heard {
            Heard::Maybe => report.now("the node may have executed the call"),
            Heard::No | Heard::Yes => report,
        }
    }
}

/// Returns true if the node refused the client's certificate, which it reports after the handshake
/// in TLS 1.3. It has not read anything from the connection.
pub(super) fn refuses_the_client(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(tls, Some(rustls::Error::AlertReceived(alert)) if is_about_the_client(*alert))
}

fn is_about_the_client(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription::*;
    matches!(
        alert,
        CertificateRequired
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
            | DecryptError
    )
}

/// Returns why a connection to a node broke, from the innermost error.
pub(super) fn explain(error: &(dyn error::Error + 'static)) -> Broken {
    let mut next = Some(error);
    let mut found = Broken {
        why: format!("the connection broke: {}", innermost(error)),
        hint: None,
        lasting: false,
    };
    while let Some(error) = next {
        if let Some(ForwardEnded(words)) = error.downcast_ref() {
            return forward_ended(words);
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return tls(error);
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some((why, hint)) = socket(error)
        {
            found.why = why.to_owned();
            found.hint = hint;
        }
        next = below(error);
    }
    found
}

/// The kubelet's message ends with the error of the dial in the pod's network namespace.
fn forward_ended(words: &str) -> Broken {
    Broken {
        why: format!("the forwarded connection ended: {words}"),
        hint: words
            .contains("connection refused")
            .then_some("check that the node is running and listens on this port"),
        lasting: false,
    }
}

fn socket(error: &io::Error) -> Option<(&'static str, Option<&'static str>)> {
    use io::ErrorKind::*;
    Some(match error.kind() {
        ConnectionRefused => (
            "connection refused",
            Some("check that the node is running, and its address and port"),
        ),
        ConnectionReset | ConnectionAborted | BrokenPipe => ("the connection was lost", None),
        HostUnreachable | NetworkUnreachable => (
            "there is no route to this address",
            Some("check the address, your network and your VPN"),
        ),
        TimedOut => (
            "no response from the address",
            Some("check the address, network policies and firewalls"),
        ),
        UnexpectedEof
            if error
                .get_ref()
                .is_none_or(|inner| !inner.is::<rustls::Error>()) =>
        {
            ("the node closed the connection", None)
        }
        _ => return None,
    })
}

const CERTIFICATE: &str = "check the client certificate: a node accepts only certificates from the \
                           TLS authorities in its configuration";
const AUTHORITY: &str = "trust the TLS authority of the node's own organization";

fn tls(error: &rustls::Error) -> Broken {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    let (why, hint) = match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => (
                "the node's certificate is signed by an unknown authority".to_owned(),
                Some(AUTHORITY),
            ),
            CertificateError::BadSignature => (
                "the node's certificate is not signed by its stated issuer".to_owned(),
                Some(AUTHORITY),
            ),
            CertificateError::NotValidForName => (
                "the node's certificate is not for this name".to_owned(),
                None,
            ),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                let (expected, names) = (expected.to_str(), names.join(", "));
                (
                    format!("the node's certificate is not for \"{expected}\" (it is for {names})"),
                    None,
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the node's certificate has expired".to_owned(),
                Some("renew the node's TLS certificate; check this computer's clock"),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "the node's certificate is not valid yet".to_owned(),
                Some("check this computer's clock"),
            ),
            other => (
                format!("the node's certificate is not valid: {other}"),
                None,
            ),
        },
        Error::AlertReceived(Alert::CertificateRequired) => (
            "the node requires a client certificate".to_owned(),
            Some(CERTIFICATE),
        ),
        // Before TLS 1.3, Go's servers also report "bad certificate" for a missing one.
        Error::AlertReceived(alert) if is_about_the_client(*alert) => (
            format!("the node does not accept the client certificate ({error})"),
            Some(CERTIFICATE),
        ),
        Error::AlertReceived(Alert::NoApplicationProtocol) => (
            "the port does not speak gRPC".to_owned(),
            Some("check that it is not the operations or the admin port"),
        ),
        Error::InvalidMessage(_) => (
            "the port does not speak TLS".to_owned(),
            Some("check the port, and that TLS is enabled on the node"),
        ),
        other => (format!("no secure connection: {other}"), None),
    };
    Broken {
        why,
        hint,
        lasting: true,
    }
}
