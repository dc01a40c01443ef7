//! Builds requests: method, URL, body and a description for errors. `transport` sends them.

use super::{ApiError, ApiErrorKind, ApiResult, Fence, retry::Repeat};
use crate::manifest::Sealed;
use crate::yaml;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use std::borrow::Cow;

/// The field manager of all writes. The same for all releases.
pub(super) const FIELD_MANAGER: &str = "kubectl-fabric";
/// Number of objects in a page of a list, as in kubectl (`--chunk-size`).
pub(super) const PAGE: u32 = 500;

pub(super) const JSON: &str = "application/json";
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// A request that can be sent several times.
pub(super) struct Call {
    /// The name under which it is counted.
    pub verb: &'static str,
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Content type and bytes.
    pub body: Option<(&'static str, Bytes)>,
    pub accept: &'static str,
    /// Description for errors: `get Pod org1/peer0-0`.
    pub words: String,
    /// The object that it writes: `Pod org1/peer0-0`.
    pub object: Option<String>,
    pub repeat: Repeat,
    pub fence: Option<Fence>,
    /// Whether it is sent even if the limit of concurrent requests is reached.
    pub urgent: bool,
    /// Whether to ignore warnings in the response.
    pub quiet: bool,
    /// Headers beyond those of every request.
    pub headers: HeaderMap,
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
            object: None,
            repeat: Repeat::Harmless,
            fence: None,
            urgent: false,
            quiet: false,
            headers: HeaderMap::new(),
        }
    }

    pub fn write(
        verb: &'static str,
        method: Method,
        path: String,
        content: &'static str,
        body: &Value,
        words: String,
    ) -> Call {
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
        Call {
            verb,
            method,
            path,
            body,
            accept: JSON,
            words,
            object: None,
            repeat: Repeat::IfUnheard,
            fence: None,
            urgent: false,
            quiet: false,
            headers: HeaderMap::new(),
        }
    }

    pub fn about(self, address: &Address<'_>) -> Call {
        Call {
            object: Some(address.name_in_words()),
            ..self
        }
    }

    pub fn repeat(self, repeat: Repeat) -> Call {
        Call { repeat, ..self }
    }

    pub fn accept(self, accept: &'static str) -> Call {
        Call { accept, ..self }
    }
}

/// Returns JSON that is safe for a YAML parser.
pub(super) fn for_yaml(json: Bytes) -> Bytes {
    let escaped = match std::str::from_utf8(&json).map(yaml::json_for_yaml) {
        Ok(Cow::Owned(escaped)) => escaped,
        _ => return json,
    };
    escaped.into()
}

/// Returns the path of a kind or, with a name, of an object.
pub(super) fn path(
    api_version: &str,
    plural: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) -> String {
    let root = if api_version.contains('/') {
        "apis"
    } else {
        "api"
    };
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

/// Adds a query, without empty parameters.
pub(super) fn query(path: String, parameters: &[(&str, &str)]) -> String {
    let mut path = path;
    let mut separator = '?';
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        path = format!("{path}{separator}{name}={}", encode(value));
        separator = '&';
    }
    path
}

/// Percent-encodes all characters but RFC 3986's unreserved ones and the colon, which occurs in
/// names of roles (`system:node`).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The fields of an object's body that determine its path.
pub(super) struct Address<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    pub name: &'a str,
}

impl<'a> Address<'a> {
    /// Reads the fields. An incomplete object is a bug in its creator, reported in the form of a
    /// server's error.
    pub fn of(verb: &str, body: &'a Value) -> ApiResult<Address<'a>> {
        let text = |value: &'a Value| value.as_str().filter(|text| !text.is_empty());
        let metadata = &body["metadata"];
        match (
            text(&body["apiVersion"]),
            text(&body["kind"]),
            text(&metadata["name"]),
        ) {
            (Some(api_version), Some(kind), Some(name)) => Ok(Address {
                api_version,
                kind,
                namespace: text(&metadata["namespace"]),
                name,
            }),
            _ => Err(ApiError::local(
                ApiErrorKind::Invalid,
                &format!("{verb} an object"),
                "it lacks apiVersion, kind or metadata.name",
            )),
        }
    }

    /// Returns `StatefulSet org1/peer0` or `Namespace org1`.
    fn name_in_words(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Returns a description such as `apply StatefulSet org1/peer0`.
    pub fn words(&self, verb: &str) -> String {
        format!("{verb} {}", self.name_in_words())
    }
}

/// An object to apply, as a tree or as text.
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
            Applied::Sealed(Sealed {
                key, api_version, ..
            }) => Ok(Address {
                api_version,
                kind: &key.kind,
                namespace: key.namespace.as_deref(),
                name: &key.name,
            }),
        }
    }

    pub(super) fn text(self) -> Bytes {
        match self {
            Applied::Tree(body) => body.to_string().into(),
            Applied::Sealed(object) => object.json().clone(),
        }
    }

    /// Returns true if the object has a resourceVersion.
    pub(super) fn is_versioned(self) -> bool {
        match self {
            Applied::Tree(body) => is_versioned(body),
            Applied::Sealed(object) => object.is_versioned,
        }
    }
}

/// The live object that an apply requires.
///
/// The server compares it as part of the write, so nothing can change in between, and no additional
/// request is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expects<'a> {
    /// Creates or changes the object.
    #[default]
    Anything,
    /// Creates the object, which must not exist.
    Absent,
    /// Changes the object, which must have this UID.
    Uid(&'a str),
    /// Changes the object, which must have this UID and this resourceVersion.
    Version { uid: &'a str, version: &'a str },
}

impl Expects<'_> {
    /// Adds the requirement to the metadata of an object's JSON, which this program wrote in
    /// compact form.
    pub(super) fn state_in(self, text: Bytes) -> Option<Bytes> {
        let field = match self {
            Expects::Anything => return Some(text),
            // Revision 1 of etcd is the empty store, so no object has it. The server creates the
            // object, and returns 409 if it exists. The value is not stored.
            Expects::Absent => "\"resourceVersion\":\"1\",".to_owned(),
            // An object's UID never changes. The server returns 422 for another UID, and 409 if
            // there is no object. Apply records no manager for the UID.
            Expects::Uid(uid) => format!("\"uid\":{},", Value::from(uid)),
            Expects::Version { uid, version } => {
                format!(
                    "\"uid\":{},\"resourceVersion\":{},",
                    Value::from(uid),
                    Value::from(version)
                )
            }
        };
        let at = inside_metadata(&text)?;
        let mut stated = Vec::with_capacity(text.len() + field.len());
        stated.extend_from_slice(&text[..at]);
        stated.extend_from_slice(field.as_bytes());
        stated.extend_from_slice(&text[at..]);
        Some(stated.into())
    }

    /// Distinguishes errors about another live object from other errors.
    pub(super) fn judge(self, error: ApiError) -> ApiError {
        let unexpected = match (self, error.kind) {
            (Expects::Anything, _) => false,
            // Any conflict, of versions or fields, means that the object exists.
            (Expects::Absent, kind) => kind == ApiErrorKind::Conflict,
            (Expects::Uid(_) | Expects::Version { .. }, ApiErrorKind::Invalid) => error
                .causes
                .iter()
                .any(|cause| cause.field == "metadata.uid"),
            // This is a message of apiserver's `applyPatch`. The response has no reason code.
            (Expects::Uid(_) | Expects::Version { .. }, kind) => {
                kind == ApiErrorKind::Conflict && error.message.contains("uid mismatch")
            }
        };
        ApiError {
            kind: if unexpected {
                ApiErrorKind::Replaced
            } else {
                error.kind
            },
            ..error
        }
    }
}

/// Returns the start of the fields in an object's own metadata.
fn inside_metadata(json: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\"metadata\":{";
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' if depth == 1 && json[at..].starts_with(NAME) => return Some(at + NAME.len()),
            b'"' => {
                at += 1;
                while *json.get(at)? != b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

pub(super) fn is_versioned(body: &Value) -> bool {
    !body["metadata"]["resourceVersion"].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_kubernetes_api() {
        assert_eq!(
            path("v1", "pods", Some("org1"), Some("peer0-0")),
            "/api/v1/namespaces/org1/pods/peer0-0"
        );
        assert_eq!(
            path("v1", "namespaces", None, Some("org1")),
            "/api/v1/namespaces/org1"
        );
        assert_eq!(
            path("apps/v1", "statefulsets", None, None),
            "/apis/apps/v1/statefulsets"
        );
        let role = path(
            "rbac.authorization.k8s.io/v1",
            "clusterroles",
            None,
            Some("system:a/b c"),
        );
        assert_eq!(
            role,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb%20c"
        );
    }

    #[test]
    fn queries_are_encoded_and_leave_out_what_is_empty() {
        let selector = "app in (a,b),!c,d=e";
        assert_eq!(
            query(
                "/p".to_owned(),
                &[
                    ("labelSelector", selector),
                    ("continue", ""),
                    ("limit", "500")
                ]
            ),
            "/p?labelSelector=app%20in%20%28a%2Cb%29%2C%21c%2Cd%3De&limit=500"
        );
        assert_eq!(query("/p".to_owned(), &[("continue", "")]), "/p");
    }

    #[test]
    fn an_expectation_is_stated_in_the_objects_own_metadata() {
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "metadata", "spec": {"metadata": {"a": "\\\"}"}}, "list": ["metadata", {"metadata": {}}],
            "metadata": {"name": "a"},
        });
        let state = |expects: Expects| -> Value {
            serde_json::from_slice(&expects.state_in(body.to_string().into()).unwrap()).unwrap()
        };
        let mut wanted = body.clone();
        wanted["metadata"]["resourceVersion"] = "1".into();
        assert_eq!(state(Expects::Absent), wanted);
        let mut wanted = body.clone();
        wanted["metadata"]["uid"] = "\"".into();
        assert_eq!(state(Expects::Uid("\"")), wanted);
        wanted["metadata"]["resourceVersion"] = "7".into();
        assert_eq!(
            state(Expects::Version {
                uid: "\"",
                version: "7"
            }),
            wanted
        );
        assert_eq!(state(Expects::Anything), body);
        assert_eq!(
            Expects::Absent.state_in(Bytes::from_static(b"{\"kind\":\"metadata")),
            None
        );
    }

    #[test]
    fn an_object_without_a_name_is_not_sent() {
        let error = Address::of(
            "apply",
            &serde_json::json!({"apiVersion": "v1", "kind": "Pod"}),
        )
        .err()
        .unwrap();
        assert_eq!(error.kind, ApiErrorKind::Invalid);
    }
}
