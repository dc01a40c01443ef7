//! Parses the output of a credential plugin. Errors never quote it, because even invalid output may
//! contain a token.

use super::{Credential, VERSIONS};
use crate::cluster::headers;
use crate::yaml;
use serde_json::Value;

/// Parses an ExecCredential of this version.
///
/// # Errors
///
/// Returns the reason, without any of the output.
pub fn read_answer(output: &[u8], version: &str) -> Result<Credential, String> {
    if output.iter().all(u8::is_ascii_whitespace) {
        return Err("it printed nothing".to_owned());
    }
    let answer = document(output)?;
    match (text(&answer["kind"]), text(&answer["apiVersion"])) {
        (Some("ExecCredential"), Some(answered)) if answered == version => {}
        (Some("ExecCredential"), Some(answered)) if VERSIONS.contains(&answered) => {
            return Err(format!(
                "it returned {answered}, but the kubeconfig requires {version}"
            ));
        }
        _ => {
            return Err(
                "its output is not an ExecCredential of client.authentication.k8s.io".to_owned(),
            );
        }
    }
    let status = &answer["status"];
    if !status.is_object() {
        return Err("its output has no status".to_owned());
    }
    // A plugin that uses `echo` adds a line break to its token.
    let token = text(&status["token"])
        .map(str::trim)
        .filter(|token| !token.is_empty());
    if let Some(why) = token.and_then(headers::fault) {
        return Err(format!("its token {why}, which is not allowed in a header"));
    }
    let certificate_and_key = certificate_and_key(status)?;
    if token.is_none() && certificate_and_key.is_none() {
        return Err("its output has neither a token nor a client certificate".to_owned());
    }
    let expires = match text(&status["expirationTimestamp"]) {
        Some(time) => Some(
            time.parse()
                .map_err(|_| "its expirationTimestamp is not a time (RFC 3339)".to_owned())?,
        ),
        None => None,
    };
    Ok(Credential {
        token: token.map(str::to_owned),
        certificate_and_key,
        expires,
    })
}

fn certificate_and_key(status: &Value) -> Result<Option<(String, String)>, String> {
    let certificate = text(&status["clientCertificateData"]);
    let key = text(&status["clientKeyData"]);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.to_owned(), key.to_owned()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("it returned a client certificate without its key".to_owned()),
        (None, Some(_)) => Err("it returned a client key without its certificate".to_owned()),
    }
}

/// Returns a text that is not empty.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Parses JSON or YAML, both of which client-go accepts.
fn document(output: &[u8]) -> Result<Value, String> {
    if let Ok(answer) = serde_json::from_slice(output) {
        return Ok(answer);
    }
    let text =
        std::str::from_utf8(output).map_err(|_| "its output is not UTF-8 text".to_owned())?;
    yaml::parse(text, "the answer").map_err(|error| {
        // The parser's message may quote the text.
        let place = error
            .places()
            .first()
            .and_then(|place| Some((place.line?, place.column?)));
        let place = place
            .map(|(line, column)| format!(" (line {line}, column {column})"))
            .unwrap_or_default();
        format!("its output is neither JSON nor YAML{place}")
    })
}
