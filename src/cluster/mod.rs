//! The only room that calls the API server: connection, discovery, read, apply, delete, watch,
//! logs.
//!
//! Objects are `serde_json::Value`, as in the server and the manifest. All requests are counted by
//! verb.

mod certificates;
mod client;
mod clock;
mod credentials;
mod discovery;
mod forward;
mod gate;
mod headers;
mod kubeconfig;
mod list;
mod logs;
mod no_answer;
mod overrides;
mod proxy;
mod read;
mod report;
mod requests;
mod retry;
mod reviews;
#[cfg(test)]
pub(crate) mod scripted;
mod session;
mod status;
mod transport;
mod trust;
mod watch;
mod write;

use crate::manifest::ObjectKey;
use discovery::{Discovery, Resource};
#[cfg(test)]
pub(crate) use forward::kubelet;
pub use forward::{Forward, ForwardEnded, Target};
use futures::future::BoxFuture;
use http::Method;
pub use list::Extent;
pub use logs::LogLines;
pub(crate) use no_answer::{bare, below, innermost};
pub use report::{ROLES, can_i};
use requests::{Address, Call};
pub use requests::{Applied, Expects};
use retry::Policy;
use serde_json::Value;
use session::Session;
use std::{fmt, sync::Arc, time::Duration};
use transport::Transport;

/// How to connect to a cluster: kubectl's connection flags with kubectl's names. All are optional.
#[derive(Clone, Default)]
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
    /// `None` means no limit, like kubectl's "0".
    pub request_timeout: Option<Duration>,
    pub disable_compression: bool,
    /// Whether standard input is already in use (`-f -`), so that a credential plugin must not read
    /// it.
    pub stdin_in_use: bool,
}

impl fmt::Debug for Connection {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// A failed request, with the details that callers need to distinguish errors.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// HTTP status code. 0 if there was no response.
    pub code: u16,
    /// The server's message, or the innermost cause of a failed connection.
    pub message: String,
    /// The request in words, such as `patch StatefulSet org1/peer0`.
    pub request: String,
    /// `details.causes` of the Status: field conflicts, invalid fields.
    pub causes: Vec<Cause>,
    /// Advice for the user: whom to ask for permissions, what to check.
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Such as `FieldManagerConflict` or `FieldValueInvalid`.
    pub reason: String,
    pub field: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    NotFound,
    AlreadyExists,
    /// 409: a field manager conflict (see the causes), or an outdated resourceVersion.
    Conflict,
    /// 422 or 400: the server rejects the object.
    Invalid,
    Forbidden,
    Unauthorized,
    /// The namespace is being deleted.
    Terminating,
    /// 429, 500, 503 or 504, even after retries.
    Unavailable,
    /// No response: connection refused or reset, host name not found, TLS error.
    Unreachable,
    Timeout,
    /// The server does not know this kind.
    UnknownKind,
    /// 410: the watch or list has expired.
    Expired,
    /// The live object is not what [`Apply::expects`] or [`Delete::uid`] requires, or is missing.
    Replaced,
    /// Not sent, because the [`Fence`] was closed.
    FencedOff,
    /// Any other error.
    Other,
}

pub type ApiResult<T> = std::result::Result<T, ApiError>;

/// Options for applying an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apply<'a> {
    pub dry_run: bool,
    /// Takes over fields from other managers.
    pub force: bool,
    /// The required live object. Any other state is left alone, and the error is `Replaced`.
    pub expects: Expects<'a>,
}

/// The contents of a namespace.
#[derive(Debug, Default)]
pub struct Everything {
    /// PartialObjectMetadata, with the objects' own apiVersion and kind.
    pub objects: Vec<Value>,
    /// Kinds that this user may not list, and groups whose server is unavailable.
    pub unread: Vec<String>,
}

/// Options for deleting an object.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Deletes only the object with this UID.
    pub uid: Option<String>,
    /// Deletes only this version. Such a request is not retried if its response is lost, so that
    /// "not found" never results from its own first attempt.
    pub resource_version: Option<String>,
    /// Keeps the object's dependents, such as a StatefulSet's pods.
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

/// An event of a watch, with the result of reading the object.
#[derive(Clone, Debug)]
pub enum WatchEvent<T> {
    /// Added or modified.
    Present(T),
    /// Deleted, with its last state.
    Deleted(T),
    /// Deleted during an interruption. Has only the identity (name, namespace, UID,
    /// resourceVersion) of its last state.
    Vanished(T),
    /// A list is complete, and all its objects have been reported.
    Listed,
}

/// The server's response about the user, for `description` and for errors.
#[derive(Clone, Debug, Default)]
pub struct Whoami {
    pub username: String,
}

/// A permission that an operation needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub verb: &'static str,
    pub kind: Kind,
    /// `None` means the whole cluster.
    pub namespace: Option<String>,
    /// `None` means all names.
    pub name: Option<String>,
}

/// A permission in the words of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: &'static str,
    /// Such as `statefulsets.apps`.
    pub resource: String,
    pub namespace: Option<String>,
}

/// A connection to a cluster. Cheap to clone. Sends at most 32 requests at once, regardless of how
/// many are started.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    fence: Option<Fence>,
    urgent: bool,
}

/// Checked before each attempt of a write, including retries.
#[derive(Clone)]
pub struct Fence {
    /// Waits until writing is allowed, or returns why it is no longer allowed.
    pub wait: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// Returns whether writing is allowed now. Called when the connection takes the write.
    pub is_open: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Cluster {
    /// Shows only the address, because all other fields are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.inner.transport.route())
    }
}

struct Inner {
    transport: Transport,
    discovery: Discovery,
}

impl Cluster {
    /// Reads the kubeconfig (flag, `KUBECONFIG`, home, in-cluster), runs a credential plugin once,
    /// and builds the client. Sends no request.
    pub async fn connect(connection: &Connection) -> crate::error::Result<Cluster> {
        let session = Session::open(connection, &|name| std::env::var_os(name)).await?;
        Ok(Cluster::over(Transport::new(
            session,
            Policy::default(),
            connection.request_timeout,
        )))
    }

    fn over(transport: Transport) -> Cluster {
        Cluster {
            inner: Arc::new(Inner {
                transport,
                discovery: Discovery::default(),
            }),
            fence: None,
            urgent: false,
        }
    }

    /// Returns the same connection with a fence before its writes.
    pub fn fenced(&self, fence: Fence) -> Cluster {
        Cluster {
            fence: Some(fence),
            ..self.clone()
        }
    }

    /// Returns the same connection for requests that do not queue behind others.
    pub fn urgent(&self) -> Cluster {
        Cluster {
            urgent: true,
            ..self.clone()
        }
    }

    /// Applies the settings of this handle to a request.
    fn own(&self, call: Call) -> Call {
        let fence = self.fence.clone().filter(|_| call.method != Method::GET);
        Call {
            fence,
            urgent: self.urgent,
            ..call
        }
    }

    /// Returns the namespace of the flags or of the kubeconfig's context, or `None` if neither sets
    /// one.
    pub fn namespace(&self) -> Option<&str> {
        self.inner.transport.namespace()
    }

    /// Returns the number of requests so far, including retries, by verb (get, list, watch, apply,
    /// dry-run, create, replace, patch, delete, review, discover). For `--verbose` and tests.
    pub fn requests(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.inner.transport.requests()
    }

    /// Sets a callback for repeated retries. It is called once each time the server becomes
    /// unreachable or overloaded.
    pub fn on_retry(&self, reporter: impl Fn(&str) + Send + Sync + 'static) {
        self.inner.transport.on_retry(Box::new(reporter));
    }

    /// Returns how far the server's clock is ahead of the local clock (negative: behind), or `None`
    /// if no response had a date.
    pub fn clock_difference(&self) -> Option<jiff::SignedDuration> {
        self.inner.transport.clock_difference()
    }

    /// Returns the server's warnings since the last call (deprecated versions, unknown fields),
    /// without duplicates, each with the first object that it concerns.
    pub fn take_warnings(&self) -> Vec<String> {
        self.inner.transport.take_warnings()
    }

    /// Returns the server's version, such as `v1.36.3`.
    pub async fn version(&self) -> ApiResult<String> {
        let call = Call::get(
            "get",
            "/version".to_owned(),
            "get the server's version".to_owned(),
        );
        let version = self.inner.transport.json(&call).await?;
        Ok(version["gitVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Returns all served `group/version` and `group/version/Kind`. Aggregated discovery needs two
    /// requests; the result is cached for the run.
    pub async fn api_versions(&self) -> ApiResult<Vec<String>> {
        self.inner
            .discovery
            .api_versions(&self.inner.transport)
            .await
    }

    /// Returns true if a kind is namespaced. Needs no request for kinds in the static table.
    pub async fn is_namespaced(&self, kind: &Kind) -> ApiResult<bool> {
        Ok(self
            .resource(&kind.api_version, &kind.kind)
            .await?
            .namespaced)
    }

    /// Returns the version in which the server serves a kind: the named one if possible, otherwise
    /// another of its group.
    pub async fn served_version(&self, kind: &Kind) -> ApiResult<String> {
        Ok(self
            .resource(&kind.api_version, &kind.kind)
            .await?
            .api_version)
    }

    /// Returns the user as the server knows them. The name is empty if the server does not report
    /// it (before Kubernetes 1.28, or forbidden).
    pub async fn whoami(&self) -> ApiResult<Whoami> {
        reviews::whoami(&self.inner.transport).await
    }

    /// Returns true if this user has a permission:
    /// `can_i("create", "apps", "statefulsets", Some("org1"), None)`.
    pub async fn can_i(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> ApiResult<bool> {
        reviews::can_i(
            &self.inner.transport,
            verb,
            group,
            resource,
            namespace,
            name,
        )
        .await
    }

    /// Returns those of `needs` for which this user lacks the permission.
    ///
    /// Sends one request if the user's rules in `namespace` show all permissions, and one more for
    /// each permission that they do not show. Ignores kinds that are not served, and permissions
    /// about which the server gives no answer.
    pub async fn missing(
        &self,
        namespace: &str,
        needs: impl IntoIterator<Item = Need>,
    ) -> ApiResult<Vec<Right>> {
        let mut asked = Vec::new();
        for need in needs {
            match self
                .inner
                .discovery
                .resource(&self.inner.transport, &need.kind)
                .await
            {
                Ok(resource) => asked.push(reviews::Question::new(need, resource)),
                Err(error) if error.kind == ApiErrorKind::UnknownKind => {}
                Err(error) => return Err(error),
            }
        }
        reviews::missing(&self.inner.transport, namespace, asked).await
    }

    async fn resource(&self, api_version: &str, kind: &str) -> ApiResult<Resource> {
        let kind = Kind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        self.inner
            .discovery
            .resource(&self.inner.transport, &kind)
            .await
    }

    /// Returns the path of an object in any served version, all of which name the same object.
    async fn path(&self, api_version: &str, key: &ObjectKey, words: &str) -> ApiResult<String> {
        let address = Address {
            api_version,
            kind: &key.kind,
            namespace: key.namespace.as_deref(),
            name: &key.name,
        };
        let resource = self.resource(api_version, &key.kind).await?;
        path_of(&address, &resource, words, true)
    }

    /// Returns the path of an object to send or, for create, of its kind, in the object's version.
    async fn address_path(
        &self,
        address: &Address<'_>,
        words: &str,
        named: bool,
    ) -> ApiResult<String> {
        let resource = self.resource(address.api_version, address.kind).await?;
        if resource.api_version != address.api_version {
            let kind = Kind {
                api_version: address.api_version.to_owned(),
                kind: address.kind.to_owned(),
            };
            return Err(discovery::unknown(
                &kind,
                format!("; it serves it in {}", resource.api_version),
            ));
        }
        path_of(address, &resource, words, named)
    }
}

fn path_of(
    address: &Address<'_>,
    resource: &Resource,
    words: &str,
    named: bool,
) -> ApiResult<String> {
    let namespace = match (resource.namespaced, address.namespace) {
        (false, _) => None,
        (true, Some(namespace)) => Some(namespace),
        (true, None) => {
            let message = format!("kind {} needs a namespace, but none is given", address.kind);
            return Err(ApiError::local(ApiErrorKind::Invalid, words, message));
        }
    };
    Ok(requests::path(
        &resource.api_version,
        &resource.plural,
        namespace,
        named.then_some(address.name),
    ))
}
