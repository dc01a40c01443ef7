//! What is sent: method, URL, body and the words for errors. Built here, sent by `transport`.

use super::{ApiError, ApiErrorKind, ApiResult, Fence, retry::Repeat};
use crate::manifest::Sealed;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

/// The field manager of everything that is written (design: one manager for the program, whatever the release).
pub(super) const FIELD_MANAGER: &str = "kubectl-fabric";
/// Objects in one page of a list: what kubectl asks for (`--chunk-size`).
pub(super) const PAGE: u32 = 500;

pub(super) const JSON: &str = "application/json";
pub(super) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// One request, as often as it must be sent.
pub(super) struct Call {
    /// Under this name it is counted.
    pub verb: &'static str,
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Content type and bytes.
    pub body: Option<(&'static str, Bytes)>,
    pub accept: &'static str,
    /// For errors: `get Pod org1/peer0-0`.
    pub words: String,
    pub repeat: Repeat,
    pub fence: Option<Fence>,
    /// Whether it is sent however many are under way.
    pub urgent: bool,
}

impl Call {
    pub fn get(verb: &'static str, path: String, words: String) -> Call {
        Call {
            verb,
            method: Method::GET,
            path,
            body: None,
            accept: JSON,
            words,
            repeat: Repeat::Harmless,
            fence: None,
            urgent: false,
        }
    }

    pub fn write(verb: &'static str, method: Method, path: String, content: &'static str, body: &Value, words: String) -> Call {
        Call::write_text(verb, method, path, content, body.to_string().into(), words)
    }

    pub fn write_text(
        verb: &'static str,
        method: Method,
        path: String,
        content: &'static str,
        body: Bytes,
        words: String,
    ) -> Call {
        let body = Some((content, body));
        Call { verb, method, path, body, accept: JSON, words, repeat: Repeat::IfUnheard, fence: None, urgent: false }
    }

    pub fn repeat(self, repeat: Repeat) -> Call {
        Call { repeat, ..self }
    }

    pub fn accept(self, accept: &'static str) -> Call {
        Call { accept, ..self }
    }
}

/// The path of a kind or, with a name, of an object.
pub(super) fn path(api_version: &str, plural: &str, namespace: Option<&str>, name: Option<&str>) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let mut path = format!("/{root}/{api_version}");
    if let Some(namespace) = namespace {
        path = format!("{path}/namespaces/{}", encode(namespace));
    }
    path = format!("{path}/{plural}");
    if let Some(name) = name {
        path = format!("{path}/{}", encode(name));
    }
    path
}

/// Adds a query; empty values are left out.
pub(super) fn query(path: String, parameters: &[(&str, &str)]) -> String {
    let mut path = path;
    let mut separator = '?';
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        path = format!("{path}{separator}{name}={}", encode(value));
        separator = '&';
    }
    path
}

/// Percent-encodes all but RFC 3986's unreserved characters and the colon, which names of roles have (`system:node`).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// What an object's body says about where it goes.
pub(super) struct Address<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    pub name: &'a str,
}

impl<'a> Address<'a> {
    /// An object that lacks what every object has is a mistake of whoever made it, told as the server would.
    pub fn of(verb: &str, body: &'a Value) -> ApiResult<Address<'a>> {
        let text = |value: &'a Value| value.as_str().filter(|text| !text.is_empty());
        let metadata = &body["metadata"];
        match (text(&body["apiVersion"]), text(&body["kind"]), text(&metadata["name"])) {
            (Some(api_version), Some(kind), Some(name)) => {
                Ok(Address { api_version, kind, namespace: text(&metadata["namespace"]), name })
            }
            _ => Err(ApiError::local(
                ApiErrorKind::Invalid,
                &format!("{verb} an object"),
                "it lacks apiVersion, kind or metadata.name",
            )),
        }
    }

    /// `StatefulSet org1/peer0`, `Namespace org1`
    pub fn words(&self, verb: &str) -> String {
        match self.namespace {
            Some(namespace) => format!("{verb} {} {namespace}/{}", self.kind, self.name),
            None => format!("{verb} {} {}", self.kind, self.name),
        }
    }
}

/// What is applied: a tree, or an object as the text that was made of it.
#[derive(Clone, Copy)]
pub enum Applied<'a> {
    Tree(&'a Value),
    Sealed(&'a Sealed),
}

impl<'a> From<&'a Value> for Applied<'a> {
    fn from(body: &'a Value) -> Applied<'a> {
        Applied::Tree(body)
    }
}

impl<'a> From<&'a Sealed> for Applied<'a> {
    fn from(object: &'a Sealed) -> Applied<'a> {
        Applied::Sealed(object)
    }
}

impl<'a> Applied<'a> {
    pub(super) fn address(self) -> ApiResult<Address<'a>> {
        match self {
            Applied::Tree(body) => Address::of("apply", body),
            Applied::Sealed(Sealed { key, api_version, .. }) => {
                Ok(Address { api_version, kind: &key.kind, namespace: key.namespace.as_deref(), name: &key.name })
            }
        }
    }

    pub(super) fn text(self) -> Bytes {
        match self {
            Applied::Tree(body) => body.to_string().into(),
            Applied::Sealed(object) => object.json().clone(),
        }
    }

    /// Whether it names the resourceVersion that it is based on.
    pub(super) fn is_versioned(self) -> bool {
        match self {
            Applied::Tree(body) => is_versioned(body),
            Applied::Sealed(object) => object.is_versioned,
        }
    }
}

pub(super) fn is_versioned(body: &Value) -> bool {
    !body["metadata"]["resourceVersion"].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_kubernetes_api() {
        assert_eq!(path("v1", "pods", Some("org1"), Some("peer0-0")), "/api/v1/namespaces/org1/pods/peer0-0");
        assert_eq!(path("v1", "namespaces", None, Some("org1")), "/api/v1/namespaces/org1");
        assert_eq!(path("apps/v1", "statefulsets", None, None), "/apis/apps/v1/statefulsets");
        let role = path("rbac.authorization.k8s.io/v1", "clusterroles", None, Some("system:a/b c"));
        assert_eq!(role, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb%20c");
    }

    #[test]
    fn queries_are_encoded_and_leave_out_what_is_empty() {
        let selector = "app in (a,b),!c,d=e";
        assert_eq!(
            query("/p".to_owned(), &[("labelSelector", selector), ("continue", ""), ("limit", "500")]),
            "/p?labelSelector=app%20in%20%28a%2Cb%29%2C%21c%2Cd%3De&limit=500"
        );
        assert_eq!(query("/p".to_owned(), &[("continue", "")]), "/p");
    }

    #[test]
    fn an_object_without_a_name_is_not_sent() {
        let error = Address::of("apply", &serde_json::json!({"apiVersion": "v1", "kind": "Pod"})).err().unwrap();
        assert_eq!(error.kind, ApiErrorKind::Invalid);
    }
}
