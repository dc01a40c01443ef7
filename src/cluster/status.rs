//! Parses the server's response to a failed request: its Status, or anything else.

use super::{ApiError, ApiErrorKind, Cause};
use serde_json::Value;

/// Parses a response with the status code of a failure.
pub(super) fn from_answer(request: &str, code: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body) {
        Ok(status) if status["kind"] == "Status" => from_status(request, code, &status),
        _ => ApiError {
            kind: if code == 404 {
                ApiErrorKind::UnknownKind
            } else {
                kind(code, "", &[])
            },
            code,
            message: without_status(code, body),
            request: request.to_owned(),
            causes: Vec::new(),
            // Go's own response to plain HTTP on a TLS port (net/http).
            hint: (code == 400
                && body.starts_with(b"Client sent an HTTP request to an HTTPS server"))
            .then(|| "use https:// in the server's address".to_owned()),
        },
    }
}

/// Parses a `Status` object: the body of a failed request, or the object of an `ERROR` event in a
/// watch, which has its own code.
pub(super) fn from_status(request: &str, code: u16, status: &Value) -> ApiError {
    let details = &status["details"];
    let mut causes: Vec<Cause> = details["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(cause)
        .collect();
    let reason = text(&status["reason"]);
    let mut kind = match kind(code, &reason, &causes) {
        // The details name a missing object. For a missing kind they have no name.
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
    ApiError {
        kind,
        code,
        message,
        request: request.to_owned(),
        causes,
        hint: None,
    }
}

fn cause(cause: &Value) -> Cause {
    Cause {
        reason: text(&cause["reason"]),
        field: text(&cause["field"]),
        message: text(&cause["message"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the kind of a failure from its HTTP code and the `reason` of its Status
/// (k8s.io/apimachinery's `StatusReason`).
fn kind(code: u16, reason: &str, causes: &[Cause]) -> ApiErrorKind {
    if causes
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
    {
        return ApiErrorKind::Terminating;
    }
    match (code, reason) {
        (409, "AlreadyExists") => ApiErrorKind::AlreadyExists,
        (409, _) => ApiErrorKind::Conflict,
        (404, _) => ApiErrorKind::NotFound,
        (410, _) => ApiErrorKind::Expired,
        // 413 means that the object is too large for the server.
        (400 | 413 | 422, _) => ApiErrorKind::Invalid,
        (401, _) => ApiErrorKind::Unauthorized,
        (403, _) => ApiErrorKind::Forbidden,
        (408, _) => ApiErrorKind::Timeout,
        (429 | 500 | 502 | 503 | 504, _) => ApiErrorKind::Unavailable,
        _ => ApiErrorKind::Other,
    }
}

/// Recognizes objects that do not match their schema.
///
/// Server-side apply returns a 500 without a reason code for them. Only the message, an error of
/// structured-merge-diff that apiserver's `fieldmanager` passes on, distinguishes it from a failure
/// of the server.
fn not_of_the_schema(code: u16, message: &str) -> Option<Vec<Cause>> {
    let (_, fields) = message
        .strip_prefix("failed to create typed patch object (")
        .filter(|_| code == 500)?
        .split_once("): ")?;
    let fields = fields
        .strip_prefix("errors:")
        .unwrap_or(fields)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
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

/// Describes a response that is not a Status: it came from a load balancer, a proxy or a login page
/// instead of the API server.
fn without_status(code: u16, body: &[u8]) -> String {
    let name = http::StatusCode::from_u16(code)
        .ok()
        .and_then(|code| code.canonical_reason())
        .unwrap_or_default();
    let answered = format!("the response was {code} {name}");
    let answered = answered.trim_end();
    let body = String::from_utf8_lossy(body);
    match body.trim() {
        "" | "{}" => format!("{answered}, without a reason"),
        body if body.starts_with('<') => {
            format!(
                "{answered} with a web page, which did not come from the API server but from a \
                 proxy, a load balancer or a login page"
            )
        }
        body => format!(
            "{answered}: {}",
            body.lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect::<String>()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(code: u16, reason: &str, message: &str, details: Value) -> ApiError {
        let body = json!({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details});
        from_answer("apply Pod org1/a", code, body.to_string().as_bytes())
    }

    #[test]
    fn a_status_is_reported_by_its_code_and_reason() {
        let cases = [
            (
                status(
                    404,
                    "NotFound",
                    "pods \"a\" not found",
                    json!({"name": "a", "kind": "pods"}),
                ),
                ApiErrorKind::NotFound,
            ),
            (
                status(
                    404,
                    "NotFound",
                    "the server could not find the requested resource",
                    json!({}),
                ),
                ApiErrorKind::UnknownKind,
            ),
            (
                status(409, "AlreadyExists", "", json!({})),
                ApiErrorKind::AlreadyExists,
            ),
            (
                status(409, "Conflict", "", json!({})),
                ApiErrorKind::Conflict,
            ),
            (status(422, "Invalid", "", json!({})), ApiErrorKind::Invalid),
            (
                status(400, "BadRequest", "", json!({})),
                ApiErrorKind::Invalid,
            ),
            (
                status(401, "Unauthorized", "", json!({})),
                ApiErrorKind::Unauthorized,
            ),
            (
                status(403, "Forbidden", "", json!({})),
                ApiErrorKind::Forbidden,
            ),
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
            (
                status(429, "TooManyRequests", "", json!({})),
                ApiErrorKind::Unavailable,
            ),
            (
                status(500, "InternalError", "", json!({})),
                ApiErrorKind::Unavailable,
            ),
            (
                status(504, "Timeout", "", json!({})),
                ApiErrorKind::Unavailable,
            ),
            (
                status(405, "MethodNotAllowed", "", json!({})),
                ApiErrorKind::Other,
            ),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind, kind, "{error:?}");
            assert!(!error.message.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_status_is_put_into_words() {
        let words = |code, body: &str| from_answer("get Pod a", code, body.as_bytes()).message;
        assert_eq!(
            words(503, "{}"),
            "the response was 503 Service Unavailable, without a reason"
        );
        assert_eq!(
            words(502, ""),
            "the response was 502 Bad Gateway, without a reason"
        );
        assert_eq!(
            words(404, "404 page not found\n"),
            "the response was 404 Not Found: 404 page not found"
        );
        assert!(words(200, "<html>").contains("web page"));
        assert_eq!(
            from_answer("get Pod a", 404, b"404 page not found").kind,
            ApiErrorKind::UnknownKind
        );
    }

    #[test]
    fn a_500_about_the_schema_is_the_objects_fault_and_names_its_fields() {
        let one = "failed to create typed patch object (ns/a; /v1, Kind=ConfigMap): .foo: field not declared in schema";
        let error = status(500, "", one, Value::Null);
        assert_eq!(error.kind, ApiErrorKind::Invalid);
        assert_eq!(
            (
                error.causes[0].field.as_str(),
                error.causes[0].message.as_str()
            ),
            (".foo", "field not declared in schema")
        );
        let two = "failed to create typed patch object (ns/a; apps/v1, Kind=Deployment): \
                   errors:\n  .spec.replicas: expected numeric (int or float), got string\n  \
                   .spec.imag: field not declared in schema";
        let fields: Vec<String> = status(500, "", two, Value::Null)
            .causes
            .into_iter()
            .map(|cause| cause.field)
            .collect();
        assert_eq!(fields, [".spec.replicas", ".spec.imag"]);
        assert_eq!(
            status(500, "", "etcdserver: no leader", Value::Null).kind,
            ApiErrorKind::Unavailable
        );
    }
}
