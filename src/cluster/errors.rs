//! What went wrong with a request: read from the server's Status, or from the reason why there was no answer.
//!
//! The words a user reads are made here too, by turning an [`ApiError`] into a [`crate::error::Error`].

use super::{ApiError, ApiErrorKind, Cause};
use crate::error::{Error, Place};
use serde_json::Value;
use std::{error::Error as StdError, io};

impl ApiError {
    /// An error that no server sent.
    pub(super) fn local(kind: ApiErrorKind, request: &str, message: impl Into<String>) -> ApiError {
        ApiError { kind, code: 0, message: message.into(), request: request.to_owned(), causes: Vec::new(), hint: None }
    }

    /// Whether a write that ended so may have happened all the same: it was sent, and no clear answer came. Who sent it reads
    /// back before sending it again.
    pub fn may_have_happened(&self) -> bool {
        match self.kind {
            // 429 is answered before the request is looked at.
            ApiErrorKind::Unavailable => self.code != 429,
            ApiErrorKind::Unreachable | ApiErrorKind::Timeout => true,
            _ => false,
        }
    }
}

/// Reads an answer whose code says failure.
pub(super) fn from_answer(request: &str, code: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body) {
        Ok(status) if status["kind"] == "Status" => from_status(request, code, &status),
        _ => ApiError {
            kind: if code == 404 { ApiErrorKind::UnknownKind } else { kind(code, "", &[]) },
            code,
            message: without_status(code, body),
            request: request.to_owned(),
            causes: Vec::new(),
            // Go's own answer to plain HTTP on a TLS port (net/http).
            hint: (code == 400 && body.starts_with(b"Client sent an HTTP request to an HTTPS server"))
                .then(|| "write the server's address with https://".to_owned()),
        },
    }
}

/// Reads a `Status` object: the body of a failed request, or the object of an `ERROR` event in a watch, whose code is its own.
pub(super) fn from_status(request: &str, code: u16, status: &Value) -> ApiError {
    let details = &status["details"];
    let mut causes: Vec<Cause> = details["causes"].as_array().into_iter().flatten().map(cause).collect();
    let reason = text(&status["reason"]);
    let mut kind = match kind(code, &reason, &causes) {
        // A missing object is named in the details; a missing kind has nothing to name.
        ApiErrorKind::NotFound if text(&details["name"]).is_empty() => ApiErrorKind::UnknownKind,
        kind => kind,
    };
    if let Some(fields) = not_of_the_schema(code, &text(&status["message"])) {
        kind = ApiErrorKind::Invalid;
        causes = fields;
    }
    let message = match text(&status["message"]) {
        message if message.is_empty() => without_status(code, b""),
        message => message,
    };
    ApiError { kind, code, message, request: request.to_owned(), causes, hint: None }
}

fn cause(cause: &Value) -> Cause {
    Cause { reason: text(&cause["reason"]), field: text(&cause["field"]), message: text(&cause["message"]) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The kind of a failure from its HTTP code and the `reason` of its Status, as k8s.io/apimachinery's `StatusReason` lists them.
fn kind(code: u16, reason: &str, causes: &[Cause]) -> ApiErrorKind {
    if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return ApiErrorKind::Terminating;
    }
    match (code, reason) {
        (409, "AlreadyExists") => ApiErrorKind::AlreadyExists,
        (409, _) => ApiErrorKind::Conflict,
        (404, _) => ApiErrorKind::NotFound,
        (410, _) => ApiErrorKind::Expired,
        // 413 is an object that the server finds too large.
        (400 | 413 | 422, _) => ApiErrorKind::Invalid,
        (401, _) => ApiErrorKind::Unauthorized,
        (403, _) => ApiErrorKind::Forbidden,
        (408, _) => ApiErrorKind::Timeout,
        (429 | 500 | 502 | 503 | 504, _) => ApiErrorKind::Unavailable,
        _ => ApiErrorKind::Other,
    }
}

/// Server-side apply of an object that does not fit its schema ends in a 500 without a reason, which the text alone tells from a
/// failure of the server (structured-merge-diff's errors, passed on by apiserver's `fieldmanager`).
fn not_of_the_schema(code: u16, message: &str) -> Option<Vec<Cause>> {
    let (_, fields) = message.strip_prefix("failed to create typed patch object (").filter(|_| code == 500)?.split_once("): ")?;
    let fields = fields.strip_prefix("errors:").unwrap_or(fields).lines().map(str::trim).filter(|line| !line.is_empty());
    Some(
        fields
            .filter_map(|line| line.split_once(": "))
            .map(|(field, message)| Cause {
                reason: "FieldValueInvalid".to_owned(),
                field: field.to_owned(),
                message: message.to_owned(),
            })
            .collect(),
    )
}

/// Words for an answer that is not a Status: a load balancer, a proxy or a login page spoke instead of the API server.
fn without_status(code: u16, body: &[u8]) -> String {
    let name = http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default();
    let answered = format!("the answer was {code} {name}");
    let answered = answered.trim_end();
    let body = String::from_utf8_lossy(body);
    match body.trim() {
        "" | "{}" => format!("{answered}, without a reason"),
        body if body.starts_with('<') => {
            format!(
                "{answered} with a web page: something other than the API server spoke (a proxy, a load balancer or a login page)"
            )
        }
        body => format!("{answered}: {}", body.lines().next().unwrap_or_default().chars().take(200).collect::<String>()),
    }
}

/// Why there was no answer.
pub(super) struct NoAnswer {
    pub kind: ApiErrorKind,
    /// Whether the connection was never made, so that the server cannot have seen the request.
    pub unsent: bool,
    /// Whether the next attempt is bound to fail too: a certificate does not become valid by asking again.
    pub lasting: bool,
    pub message: String,
    pub hint: Option<String>,
}

/// Finds the innermost reason of a failed connection and says it plainly. `route` is the server's URL and the proxy, if any.
pub(super) fn no_answer(error: &(dyn StdError + 'static), route: &str) -> NoAnswer {
    let mut found = NoAnswer {
        kind: ApiErrorKind::Unreachable,
        unsent: false,
        lasting: false,
        message: format!("no answer from {route}: {}", innermost(error)),
        hint: None,
    };
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            found.unsent = true;
            found.message = format!("cannot reach {route}: {}", innermost(error));
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
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
            // hyper's resolver keeps the type of this error to itself; its text is all that tells it from others.
            found.message = format!("cannot reach {route}: the name of the server is not known here ({})", innermost(error));
            found.hint = Some("check the server's address in the kubeconfig, your network and your VPN".to_owned());
        }
        next = below(error);
    }
    found
}

/// The next reason below. An `io::Error` made from another error hides it from `source`.
fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn innermost(mut error: &(dyn StdError + 'static)) -> String {
    while let Some(inner) = below(error) {
        error = inner;
    }
    error.to_string()
}

fn socket(error: &io::Error) -> Option<(&'static str, Option<&'static str>)> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => ("connection refused", Some("is this the right address and port, and does it run?")),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            ("the connection was cut", None)
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ("there is no way to this address", Some("check your network and your VPN"))
        }
        io::ErrorKind::TimedOut => {
            ("nobody answered in time", Some("check the server's address, your network and your VPN, and firewalls between"))
        }
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => ("the connection was closed", None),
        _ => return None,
    })
}

const TRUST: &str = "give the certificate authority that signed it with --certificate-authority (or in the kubeconfig)";
const NAME: &str = "use one of the names in the certificate as the server's address, or give one with --tls-server-name";

fn tls(error: &rustls::Error) -> (String, Option<&'static str>) {
    use rustls::{AlertDescription, CertificateError};
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => ("its certificate is signed by an unknown authority".to_owned(), Some(TRUST)),
            CertificateError::BadSignature => ("its certificate does not bear the authority's signature".to_owned(), Some(TRUST)),
            CertificateError::NotValidForName => ("its certificate is not for this name".to_owned(), Some(NAME)),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                let named = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
                (format!("its certificate is not for \"{}\" (it is for {named})", expected.to_str()), Some(NAME))
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "its certificate has expired".to_owned(),
                Some("renew the API server's certificate; check this computer's clock"),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("its certificate is not valid yet".to_owned(), Some("check this computer's clock"))
            }
            other => (format!("its certificate is not valid: {other}"), Some(TRUST)),
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => (
            format!("it does not accept your client certificate ({error})"),
            Some("check the client certificate of the kubeconfig's user: does it belong to this cluster, has it expired?"),
        ),
        rustls::Error::InvalidMessage(_) => (
            "it does not speak TLS".to_owned(),
            Some("is the server's address http:// rather than https://, or its port another?"),
        ),
        other => (format!("no secure connection: {other}"), None),
    }
}

/// The name in `DnsName("localhost")` or `IpAddress(10.0.0.1)`, as the TLS library writes the names of a certificate.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// `User "bob" cannot get resource "pods" in API group "" in the namespace "org1"`, taken apart. RBAC puts these facts nowhere
/// else in its answer.
#[derive(Debug, PartialEq, Eq)]
struct Denied {
    user: String,
    verb: String,
    resource: String,
    namespace: Option<String>,
}

fn denied(message: &str) -> Option<Denied> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let namespace =
        rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name.to_owned());
    let resource = match group {
        "" => resource.to_owned(),
        // `statefulsets/scale` of a group is `statefulsets.apps/scale` for kubectl.
        group => match resource.split_once('/') {
            Some((resource, sub)) => format!("{resource}.{group}/{sub}"),
            None => format!("{resource}.{group}"),
        },
    };
    Some(Denied { user: user.to_owned(), verb: verb.to_owned(), resource, namespace })
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Error {
        let request = &error.request;
        let mut report = match error.kind {
            ApiErrorKind::Forbidden => match denied(&error.message) {
                Some(Denied { user, verb, resource, namespace }) => {
                    let (place, flag) = match &namespace {
                        Some(namespace) => (format!(" in namespace \"{namespace}\""), format!(" -n {namespace}")),
                        None => (" in the whole cluster".to_owned(), String::new()),
                    };
                    Error::cluster(format!("cannot {request}: not allowed"))
                        .why(format!("user \"{user}\" has no right to {verb} {resource}{place}"))
                        .hint(format!("ask for that right; check with `kubectl auth can-i {verb} {resource}{flag}`"))
                }
                None => Error::cluster(format!("cannot {request}: the server forbids it")).why(error.message),
            },
            ApiErrorKind::Unauthorized => Error::cluster(format!("cannot {request}: the server does not accept the credentials"))
                .why(match error.message.as_str() {
                    // All that the API server ever says: it does not help whoever guesses.
                    "Unauthorized" => "it does not say why".to_owned(),
                    message => message.to_owned(),
                })
                .hint("log in again, or check the kubeconfig's user (`kubectl config view --minify`)"),
            ApiErrorKind::UnknownKind => {
                Error::cluster(format!("cannot {request}: the server does not know this kind")).why(error.message)
            }
            ApiErrorKind::Terminating => {
                Error::cluster(format!("cannot {request}: its namespace is being deleted")).why(error.message)
            }
            ApiErrorKind::Invalid => {
                Error::cluster(format!("cannot {request}: the server does not accept it")).why(error.message)
            }
            ApiErrorKind::Conflict if !error.causes.is_empty() => {
                Error::cluster(format!("cannot {request}: fields are set by someone else")).why(error.message)
            }
            ApiErrorKind::Conflict => Error::cluster(format!("cannot {request}: it has changed meanwhile")).why(error.message),
            ApiErrorKind::Unavailable => {
                Error::cluster(format!("cannot {request}: the API server is not able to answer")).why(error.message)
            }
            ApiErrorKind::Unreachable => {
                Error::cluster(format!("cannot {request}: no connection to the API server")).why(error.message)
            }
            ApiErrorKind::Timeout => Error::cluster(format!("cannot {request}: no answer in time")).why(error.message),
            ApiErrorKind::NotFound | ApiErrorKind::AlreadyExists | ApiErrorKind::Expired | ApiErrorKind::Other => {
                Error::cluster(format!("cannot {request}")).why(error.message)
            }
        };
        report = report.at_all(error.causes.into_iter().filter(|cause| !cause.field.is_empty()).map(|cause| {
            let field = cause.field.trim_start_matches('.').to_owned();
            Place::new(field).note(cause.message)
        }));
        match error.hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {}: {}", self.request, self.message)
    }
}

impl StdError for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(code: u16, reason: &str, message: &str, details: Value) -> ApiError {
        let body = json!({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details});
        from_answer("apply Pod org1/a", code, body.to_string().as_bytes())
    }

    #[test]
    fn a_status_is_told_by_its_code_and_reason() {
        let cases = [
            (status(404, "NotFound", "pods \"a\" not found", json!({"name": "a", "kind": "pods"})), ApiErrorKind::NotFound),
            (status(404, "NotFound", "the server could not find the requested resource", json!({})), ApiErrorKind::UnknownKind),
            (status(409, "AlreadyExists", "", json!({})), ApiErrorKind::AlreadyExists),
            (status(409, "Conflict", "", json!({})), ApiErrorKind::Conflict),
            (status(422, "Invalid", "", json!({})), ApiErrorKind::Invalid),
            (status(400, "BadRequest", "", json!({})), ApiErrorKind::Invalid),
            (status(401, "Unauthorized", "", json!({})), ApiErrorKind::Unauthorized),
            (status(403, "Forbidden", "", json!({})), ApiErrorKind::Forbidden),
            (
                status(
                    403,
                    "Forbidden",
                    "",
                    json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}),
                ),
                ApiErrorKind::Terminating,
            ),
            (status(410, "Expired", "", json!({})), ApiErrorKind::Expired),
            (status(429, "TooManyRequests", "", json!({})), ApiErrorKind::Unavailable),
            (status(500, "InternalError", "", json!({})), ApiErrorKind::Unavailable),
            (status(504, "Timeout", "", json!({})), ApiErrorKind::Unavailable),
            (status(405, "MethodNotAllowed", "", json!({})), ApiErrorKind::Other),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind, kind, "{error:?}");
            assert!(!error.message.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_status_is_put_into_words() {
        let words = |code, body: &str| from_answer("get Pod a", code, body.as_bytes()).message;
        assert_eq!(words(503, "{}"), "the answer was 503 Service Unavailable, without a reason");
        assert_eq!(words(502, ""), "the answer was 502 Bad Gateway, without a reason");
        assert_eq!(words(404, "404 page not found\n"), "the answer was 404 Not Found: 404 page not found");
        assert!(words(200, "<html>").contains("web page"));
        assert_eq!(from_answer("get Pod a", 404, b"404 page not found").kind, ApiErrorKind::UnknownKind);
    }

    #[test]
    fn a_500_about_the_schema_is_the_objects_fault_and_names_its_fields() {
        let one = "failed to create typed patch object (ns/a; /v1, Kind=ConfigMap): .foo: field not declared in schema";
        let error = status(500, "", one, Value::Null);
        assert_eq!(error.kind, ApiErrorKind::Invalid);
        assert_eq!((error.causes[0].field.as_str(), error.causes[0].message.as_str()), (".foo", "field not declared in schema"));
        let two = "failed to create typed patch object (ns/a; apps/v1, Kind=Deployment): errors:\n  .spec.replicas: expected numeric \
                   (int or float), got string\n  .spec.imag: field not declared in schema";
        let fields: Vec<String> = status(500, "", two, Value::Null).causes.into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, [".spec.replicas", ".spec.imag"]);
        assert_eq!(status(500, "", "etcdserver: no leader", Value::Null).kind, ApiErrorKind::Unavailable);
    }

    #[test]
    fn who_is_denied_what_is_read_from_rbacs_sentence() {
        let message = "statefulsets.apps \"peer0\" is forbidden: User \"bob\" cannot patch resource \"statefulsets\" in API group \
                       \"apps\" in the namespace \"org1\"";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(error.contains("user \"bob\" has no right to patch statefulsets.apps in namespace \"org1\""), "{error}");
        assert!(error.contains("`kubectl auth can-i patch statefulsets.apps -n org1`"), "{error}");
        let message = "nodes is forbidden: User \"bob\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(error.contains("in the whole cluster") && error.contains("`kubectl auth can-i list nodes`"), "{error}");
        let error = Error::from(status(403, "Forbidden", "pods \"a\" is forbidden: exceeded quota: q", Value::Null)).to_string();
        assert!(error.contains("exceeded quota") && !error.contains("can-i"), "{error}");
    }

    #[test]
    fn a_conflict_shows_each_field_and_its_manager() {
        let causes = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\"", "field": ".spec.replicas"}]});
        let error = Error::from(status(409, "Conflict", "Apply failed with 1 conflict", causes)).to_string();
        assert!(error.contains("--> spec.replicas   conflict with \"kubectl-edit\""), "{error}");
    }

    #[test]
    fn a_write_without_a_clear_answer_may_have_happened() {
        let of = |code| from_answer("create Lease a", code, b"").may_have_happened();
        assert_eq!([429, 409, 422, 404].map(of), [false; 4]);
        assert_eq!([500, 502, 503, 504].map(of), [true; 4]);
        assert!(ApiError::local(ApiErrorKind::Unreachable, "", "").may_have_happened());
    }
}
