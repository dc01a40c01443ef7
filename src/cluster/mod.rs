//! The only room that calls the API server: connection, discovery, read, apply, delete, watch, logs.
//!
//! Objects travel as `serde_json::Value`, as the server and the manifest have them. Every request is counted by verb.

use crate::manifest::ObjectKey;
use serde_json::Value;
use std::time::Duration;

/// How to reach a cluster: kubectl's connection flags under kubectl's names. All optional.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub kubeconfig: Option<std::path::PathBuf>,
    pub context: Option<String>,
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub namespace: Option<String>,
    pub server: Option<String>,
    pub token: Option<String>,
    pub impersonate: Option<String>,
    pub impersonate_groups: Vec<String>,
    pub impersonate_uid: Option<String>,
    pub certificate_authority: Option<std::path::PathBuf>,
    pub client_certificate: Option<std::path::PathBuf>,
    pub client_key: Option<std::path::PathBuf>,
    pub insecure_skip_tls_verify: bool,
    pub tls_server_name: Option<String>,
    /// None is no limit, as kubectl's "0".
    pub request_timeout: Option<Duration>,
    pub disable_compression: bool,
    /// Whether standard input already carries something (`-f -`), so that a credential plugin must not read it.
    pub stdin_in_use: bool,
}

/// What the API server (or the way to it) answered, for callers who must tell failures apart.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// HTTP code, 0 when there was no answer.
    pub code: u16,
    /// The server's message, or the innermost cause of a failed connection.
    pub message: String,
    /// The request in words: `patch StatefulSet org1/peer0`.
    pub request: String,
    /// `details.causes` of the Status: field conflicts, invalid fields.
    pub causes: Vec<Cause>,
    /// What an operator should read beside the message (whom to ask for rights, what to check).
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldManagerConflict`, `FieldValueInvalid`, ...
    pub reason: String,
    pub field: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    NotFound,
    AlreadyExists,
    /// 409: field manager conflict (causes say which) or a resourceVersion that is not the latest.
    Conflict,
    /// 422 or 400: the server does not accept the object.
    Invalid,
    Forbidden,
    Unauthorized,
    /// The namespace is being deleted.
    Terminating,
    /// 429, 500, 503, 504, still so after retries.
    Unavailable,
    /// No answer: refused, reset, name not found, TLS.
    Unreachable,
    Timeout,
    /// The server does not know this kind.
    UnknownKind,
    /// 410: the watch or list has expired.
    Expired,
    /// Anything else.
    Other,
}

pub type ApiResult<T> = std::result::Result<T, ApiError>;

/// How an object is applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apply {
    pub dry_run: bool,
    /// Takes fields over from other managers.
    pub force: bool,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Only if the object still has this UID.
    pub uid: Option<String>,
    /// Leaves the object's dependents (a StatefulSet's pods) alive.
    pub orphan: bool,
    pub foreground: bool,
    pub dry_run: bool,
}

/// A kind to list or watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// `apps/v1`
    pub api_version: String,
    /// `StatefulSet`
    pub kind: String,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Added or modified.
    Present(Value),
    Deleted(Value),
}

/// The server's answer about the user: for `description` and for errors.
#[derive(Clone, Debug, Default)]
pub struct Whoami {
    pub username: String,
}

/// One connection to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {}

impl Cluster {
    /// Reads the kubeconfig (flag, `KUBECONFIG` list, home, in-cluster), runs a credential plugin once, builds the client. No request yet.
    pub async fn connect(_connection: &Connection) -> crate::error::Result<Cluster> {
        todo!()
    }

    /// The namespace of the flags or of the kubeconfig's context, `None` when neither says one.
    pub fn namespace(&self) -> Option<&str> {
        todo!()
    }

    /// Requests sent so far, by verb, for `--verbose` and for tests.
    pub fn requests(&self) -> std::collections::BTreeMap<&'static str, u64> {
        todo!()
    }

    /// `v1.36.3`
    pub async fn version(&self) -> ApiResult<String> {
        todo!()
    }

    /// Every `group/version` and `group/version/Kind` that is served (aggregated discovery: two requests, remembered for the run).
    pub async fn api_versions(&self) -> ApiResult<Vec<String>> {
        todo!()
    }

    /// Whether objects of this kind live in namespaces. No request for the kinds of the static table.
    pub async fn is_namespaced(&self, _kind: &Kind) -> ApiResult<bool> {
        todo!()
    }

    pub async fn whoami(&self) -> ApiResult<Whoami> {
        todo!()
    }

    /// `None` when there is no such object. `api_version` is the version to read it in.
    pub async fn get(&self, _api_version: &str, _key: &ObjectKey) -> ApiResult<Option<Value>> {
        todo!()
    }

    /// Every object of a kind, page by page (500), in one namespace or (`None`) in all, by label selector (empty is all).
    pub async fn list(&self, _kind: &Kind, _namespace: Option<&str>, _selector: &str) -> ApiResult<Vec<Value>> {
        todo!()
    }

    /// Like `list`, but metadata only (PartialObjectMetadata).
    pub async fn list_metadata(&self, _kind: &Kind, _namespace: Option<&str>, _selector: &str) -> ApiResult<Vec<Value>> {
        todo!()
    }

    /// Server-side apply as field manager `kubectl-fabric`, strict validation. Returns the object as the server has it now.
    pub async fn apply(&self, _body: &Value, _how: Apply) -> ApiResult<Value> {
        todo!()
    }

    pub async fn create(&self, _body: &Value) -> ApiResult<Value> {
        todo!()
    }

    /// Replaces an object; `body` carries the resourceVersion it was read at, so that a change in between is a Conflict.
    pub async fn replace(&self, _body: &Value) -> ApiResult<Value> {
        todo!()
    }

    /// JSON merge patch of an object's metadata or spec.
    pub async fn merge_patch(&self, _api_version: &str, _key: &ObjectKey, _patch: &Value) -> ApiResult<Value> {
        todo!()
    }

    /// False when there was nothing to delete (any more).
    pub async fn delete(&self, _api_version: &str, _key: &ObjectKey, _how: Delete) -> ApiResult<bool> {
        todo!()
    }

    /// Lists, then watches a kind for ever, over dropped connections and expired versions: first every object there is as `Present`,
    /// then each change; objects that vanished during an interruption come as `Deleted`. Ends only with an error that retrying cannot mend.
    pub fn watch(
        &self,
        _kind: Kind,
        _namespace: Option<String>,
        _selector: String,
    ) -> futures::stream::BoxStream<'static, ApiResult<WatchEvent>> {
        todo!()
    }

    /// The last lines of a container's log.
    pub async fn logs(&self, _namespace: &str, _pod: &str, _container: &str, _tail: u32, _previous: bool) -> ApiResult<String> {
        todo!()
    }
}

impl From<ApiError> for crate::error::Error {
    fn from(_error: ApiError) -> crate::error::Error {
        todo!()
    }
}
