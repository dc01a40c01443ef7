//! The only room that calls the API server: connection, discovery, read, apply, delete, watch,
//! logs.
//!
//! Objects travel as `serde_json::Value`, as the server and the manifest have them. Every request
//! is counted by verb.

mod certificates;
mod client;
mod clock;
mod credentials;
mod discovery;
mod gate;
mod headers;
mod kubeconfig;
mod list;
mod no_answer;
mod overrides;
mod proxy;
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

use crate::manifest::{ObjectKey, Sealed};
use discovery::{Discovery, Resource};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::Method;
pub use list::Extent;
use list::List;
pub use report::ROLES;
use requests::{Address, Call, FIELD_MANAGER};
pub use requests::{Applied, Expects};
use retry::{Policy, Repeat};
use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use session::Session;
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};
use transport::Transport;

/// How to reach a cluster: kubectl's connection flags under kubectl's names. All optional.
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
    /// None is no limit, as kubectl's "0".
    pub request_timeout: Option<Duration>,
    pub disable_compression: bool,
    /// Whether standard input already carries something (`-f -`), so that a credential plugin must
    /// not read it.
    pub stdin_in_use: bool,
}

impl fmt::Debug for Connection {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("namespace", &self.namespace)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
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
    /// Something else is there than what [`Apply::expects`] or [`Delete::uid`] says, or nothing.
    Replaced,
    /// Not sent: the [`Fence`] was closed.
    FencedOff,
    /// Anything else.
    Other,
}

pub type ApiResult<T> = std::result::Result<T, ApiError>;

/// How an object is applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apply<'a> {
    pub dry_run: bool,
    /// Takes fields over from other managers.
    pub force: bool,
    /// Anything else that is there is left alone, with the error `Replaced`.
    pub expects: Expects<'a>,
}

/// What is in a namespace.
#[derive(Debug, Default)]
pub struct Everything {
    /// PartialObjectMetadata, under the objects' own apiVersion and kind.
    pub objects: Vec<Value>,
    /// Kinds that this user may not list, and groups whose server is away.
    pub unread: Vec<String>,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Only if the object still has this UID.
    pub uid: Option<String>,
    /// Only in this version. Such a deletion is not sent again when its answer is lost, so "not
    /// found" is never its own doing.
    pub resource_version: Option<String>,
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

/// One event of a watch, with what the watch reads of each object.
#[derive(Clone, Debug)]
pub enum WatchEvent<T> {
    /// Added or modified.
    Present(T),
    /// With its last state.
    Deleted(T),
    /// Deleted during an interruption: of its last state, only the identity is known (name,
    /// namespace, UID, resourceVersion).
    Vanished(T),
    /// A list has been read to its end: all that it had was reported before.
    Listed,
}

/// The server's answer about the user: for `description` and for errors.
#[derive(Clone, Debug, Default)]
pub struct Whoami {
    pub username: String,
}

/// Something that a user may or may not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub verb: &'static str,
    pub kind: Kind,
    /// `None`: in the whole cluster.
    pub namespace: Option<String>,
    /// `None`: whatever the object's name is.
    pub name: Option<String>,
}

/// A right in RBAC's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: &'static str,
    /// `statefulsets.apps`
    pub resource: String,
    pub namespace: Option<String>,
}

/// One connection to one cluster. Cheap to clone. At most 32 requests are under way at once,
/// however many are started.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    fence: Option<Fence>,
    urgent: bool,
}

/// Stands before every attempt of a write, so also before one that is sent again.
#[derive(Clone)]
pub struct Fence {
    /// Waits until writing is allowed, or says why it is not any more.
    pub wait: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    /// Whether writing is allowed now: asked when the connection takes the write.
    pub is_open: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Cluster {
    /// The address alone: the rest is credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.inner.transport.route())
    }
}

struct Inner {
    transport: Transport,
    discovery: Discovery,
}

impl Cluster {
    /// Reads the kubeconfig (flag, `KUBECONFIG` list, home, in-cluster), runs a credential plugin
    /// once, builds the client. No request yet.
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

    /// The same connection, with a fence before its writes.
    pub fn fenced(&self, fence: Fence) -> Cluster {
        Cluster {
            fence: Some(fence),
            ..self.clone()
        }
    }

    /// The same connection, for requests that do not queue up behind the others.
    pub fn urgent(&self) -> Cluster {
        Cluster {
            urgent: true,
            ..self.clone()
        }
    }

    /// A request in the manner of this handle.
    fn own(&self, call: Call) -> Call {
        let fence = self.fence.clone().filter(|_| call.method != Method::GET);
        Call {
            fence,
            urgent: self.urgent,
            ..call
        }
    }

    /// The namespace of the flags or of the kubeconfig's context, `None` when neither says one.
    pub fn namespace(&self) -> Option<&str> {
        self.inner.transport.namespace()
    }

    /// Requests sent so far, retries included, by verb (get, list, watch, apply, dry-run, create,
    /// replace, patch, delete, review, discover), for `--verbose` and for tests.
    pub fn requests(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.inner.transport.requests()
    }

    /// From now on, tells when requests have to be sent again and again: once for each time that
    /// the server is away or busy.
    pub fn tell(&self, teller: impl Fn(&str) + Send + Sync + 'static) {
        self.inner.transport.tell(Box::new(teller));
    }

    /// How far the server's clock is ahead of ours (negative: behind), by its answers so far;
    /// `None` when none has said.
    pub fn clock_difference(&self) -> Option<jiff::SignedDuration> {
        self.inner.transport.clock_difference()
    }

    /// What the server has warned of since the last call (deprecated versions, unknown fields),
    /// each text once, with the first object that it is about.
    pub fn take_warnings(&self) -> Vec<String> {
        self.inner.transport.take_warnings()
    }

    /// `v1.36.3`
    pub async fn version(&self) -> ApiResult<String> {
        let call = Call::get(
            "get",
            "/version".to_owned(),
            "ask the server for its version".to_owned(),
        );
        let version = self.inner.transport.json(&call).await?;
        Ok(version["gitVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Every `group/version` and `group/version/Kind` that is served (aggregated discovery: two
    /// requests, remembered for the run).
    pub async fn api_versions(&self) -> ApiResult<Vec<String>> {
        self.inner
            .discovery
            .api_versions(&self.inner.transport)
            .await
    }

    /// Whether objects of this kind live in namespaces. No request for the kinds of the static
    /// table.
    pub async fn is_namespaced(&self, kind: &Kind) -> ApiResult<bool> {
        Ok(self
            .resource(&kind.api_version, &kind.kind)
            .await?
            .namespaced)
    }

    /// The version in which the server serves a kind: the one named if it does, else another of its
    /// group.
    pub async fn served_version(&self, kind: &Kind) -> ApiResult<String> {
        Ok(self
            .resource(&kind.api_version, &kind.kind)
            .await?
            .api_version)
    }

    /// Who the server takes us for; an empty name when it does not tell (before Kubernetes 1.28, or
    /// forbidden).
    pub async fn whoami(&self) -> ApiResult<Whoami> {
        reviews::whoami(&self.inner.transport).await
    }

    /// Whether this user may do something:
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

    /// Those of `needs` that this user may not do: one request while nothing is missing in
    /// `namespace`, and one more for each that the user's rules there do not show. Kinds that are
    /// not served are left aside, and so is what the server will not say.
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

    /// `None` when there is no such object; an error when that could not be found out, or when the
    /// server does not know the kind. `api_version` is the version to read it in.
    pub async fn get(&self, api_version: &str, key: &ObjectKey) -> ApiResult<Option<Value>> {
        let words = format!("get {key}");
        let path = self.path(api_version, key, &words).await?;
        match self
            .inner
            .transport
            .json(&self.own(Call::get("get", path, words)))
            .await
        {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every object of a kind, page by page (500), in one namespace or (`None`) in all, by label
    /// selector (empty is all). Each has its apiVersion and kind.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> ApiResult<Vec<Value>> {
        self.listing(kind.clone(), namespace, selector, Extent::Whole)
            .fetch()
            .await
    }

    /// A namespace's events, by field selector.
    pub async fn list_events(&self, namespace: &str, fields: &str) -> ApiResult<Vec<Value>> {
        self.events(namespace, fields).fetch().await
    }

    /// Like `list` or `list_metadata`, but each object is taken in as it is read, so that they need
    /// not all be held: by `add`, which starts from nothing.
    pub async fn list_into<T: Default + Send + 'static>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
        extent: Extent,
        add: impl Fn(&mut T, Value) + Send + Sync + 'static,
    ) -> ApiResult<T> {
        Ok(self
            .listing(kind.clone(), namespace, selector, extent)
            .fold(add)
            .await?
            .0)
    }

    /// Like `list`, but metadata only (PartialObjectMetadata, under the object's own apiVersion and
    /// kind).
    pub async fn list_metadata(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> ApiResult<Vec<Value>> {
        self.listing(kind.clone(), namespace, selector, Extent::Metadata)
            .fetch()
            .await
    }

    /// Metadata of everything in a namespace, of every kind that the server knows.
    pub async fn list_everything(&self, namespace: &str) -> ApiResult<Everything> {
        let (kinds, unread) = self.inner.discovery.listable(&self.inner.transport).await?;
        let mut everything = Everything {
            objects: Vec::new(),
            unread,
        };
        let reads = kinds.iter().map(|kind| {
            let list = List {
                quiet: true,
                ..self.listing(kind.clone(), Some(namespace), "", Extent::Metadata)
            };
            async move { list.fetch().await }
        });
        for (kind, read) in kinds.iter().zip(futures::future::join_all(reads).await) {
            match read {
                Ok(objects) => everything.objects.extend(objects),
                // Its definition is gone by now, and its objects with it.
                Err(error) if error.code == 404 => {}
                Err(error) if error.kind == ApiErrorKind::Forbidden || error.code == 405 => {
                    everything.unread.push(kind.kind.clone())
                }
                Err(error) => return Err(error),
            }
        }
        Ok(everything)
    }

    /// Server-side apply as field manager `kubectl-fabric`, strict validation. Returns the object
    /// as the server has it now.
    pub async fn apply(&self, object: impl Into<Applied<'_>>, how: Apply<'_>) -> ApiResult<Value> {
        self.apply_into(object, how, PhantomData).await
    }

    /// Like `apply`, but of the object as the server has it now only what `seed` reads is made.
    pub async fn apply_into<T>(
        &self,
        object: impl Into<Applied<'_>>,
        how: Apply<'_>,
        seed: impl for<'de> DeserializeSeed<'de, Value = T>,
    ) -> ApiResult<T> {
        let object = object.into();
        let address = object.address()?;
        let words = address.words(if how.dry_run {
            "check (by a dry run)"
        } else {
            "apply"
        });
        let path = self.address_path(&address, &words, true).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
                ("force", if how.force { "true" } else { "" }),
                ("dryRun", if how.dry_run { "All" } else { "" }),
            ],
        );
        let verb = if how.dry_run { "dry-run" } else { "apply" };
        let expects = match how.expects {
            // It names a version itself.
            Expects::Absent if object.is_versioned() => Expects::Anything,
            Expects::Version { uid, .. } if object.is_versioned() => Expects::Uid(uid),
            expects => expects,
        };
        let Some(text) = expects.state_in(object.text()) else {
            return Err(ApiError::local(
                ApiErrorKind::Invalid,
                &words,
                "it lacks metadata",
            ));
        };
        // The server takes JSON under this name too, and reads it faster than YAML. It has a YAML
        // reader's eyes for it all the same.
        let text = requests::for_yaml(text);
        let call = Call::write_text(
            verb,
            Method::PATCH,
            path,
            "application/apply-patch+yaml",
            text,
            words,
        );
        let call = self.own(
            call.about(&address)
                .repeat(repeat(object.is_versioned() && !how.dry_run)),
        );
        let answer = self
            .inner
            .transport
            .send(&call)
            .await
            .map_err(|error| expects.judge(error))?;
        transport::read_json(&call.words, &answer, seed)
    }

    /// Creates an object. It is sent again when its answer is lost, so what exists already may be
    /// one's own: read back to know.
    pub async fn create(&self, body: &Value) -> ApiResult<Value> {
        let address = Address::of("create", body)?;
        let words = address.words("create");
        let path = self.address_path(&address, &words, false).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
            ],
        );
        let call = Call::write("create", Method::POST, path, requests::JSON, body, words);
        self.inner
            .transport
            .json(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
    }

    /// Asks by a dry run whether an object could be created if nothing had its name: admission and
    /// validation come before that check.
    pub async fn try_create(&self, object: &Sealed) -> ApiResult<()> {
        let applied = Applied::from(object);
        let address = applied.address()?;
        let words = address.words("check (by a dry run)");
        let path = self.address_path(&address, &words, false).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
                ("dryRun", "All"),
            ],
        );
        let call = Call::write_text(
            "dry-run",
            Method::POST,
            path,
            requests::JSON,
            applied.text(),
            words,
        );
        match self
            .inner
            .transport
            .send(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
        {
            Err(error) if error.kind != ApiErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces an object; `body` carries the resourceVersion it was read at, so that a change in
    /// between is a Conflict. It is sent again when its answer is lost, so the change may be one's
    /// own: read back to know.
    pub async fn replace(&self, body: &Value) -> ApiResult<Value> {
        let address = Address::of("replace", body)?;
        let words = address.words("replace");
        let path = self.address_path(&address, &words, true).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
            ],
        );
        let call = Call::write("replace", Method::PUT, path, requests::JSON, body, words);
        self.inner
            .transport
            .json(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
    }

    /// JSON merge patch of an object's metadata or spec.
    pub async fn merge_patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
    ) -> ApiResult<Value> {
        self.patch(api_version, key, patch, false).await
    }

    /// [`Cluster::merge_patch`] as a server-side dry run.
    pub async fn try_merge_patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
    ) -> ApiResult<Value> {
        self.patch(api_version, key, patch, true).await
    }

    async fn patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
        dry_run: bool,
    ) -> ApiResult<Value> {
        let words = format!("patch {key}");
        let path = self.path(api_version, key, &words).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("dryRun", if dry_run { "All" } else { "" }),
            ],
        );
        let verb = if dry_run { "dry-run" } else { "patch" };
        let call = Call::write(
            verb,
            Method::PATCH,
            path,
            "application/merge-patch+json",
            patch,
            words,
        );
        self.inner
            .transport
            .json(&self.own(call.repeat(repeat(requests::is_versioned(patch)))))
            .await
    }

    /// False when there was nothing to delete (any more); an object with another UID than the
    /// wanted one is `Replaced`.
    pub async fn delete(&self, api_version: &str, key: &ObjectKey, how: Delete) -> ApiResult<bool> {
        let words = format!("delete {key}");
        let path = self.path(api_version, key, &words).await?;
        let policy = match (how.orphan, how.foreground) {
            (true, _) => "Orphan",
            (false, true) => "Foreground",
            (false, false) => "Background",
        };
        let mut options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        if let Some(uid) = &how.uid {
            options["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &how.resource_version {
            options["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        if how.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let verb = if how.dry_run { "dry-run" } else { "delete" };
        let call = Call::write(verb, Method::DELETE, path, requests::JSON, &options, words);
        // By name alone, a second request could meet an object that someone made after the first.
        let harmless = (how.uid.is_some() && how.resource_version.is_none()) || how.dry_run;
        let repeat = if harmless {
            Repeat::Harmless
        } else {
            Repeat::IfUnheard
        };
        match self
            .inner
            .transport
            .send(&self.own(call.repeat(repeat)))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(false),
            Err(error)
                if error.kind == ApiErrorKind::Conflict && is_about_the_uid(&error.message) =>
            {
                Err(ApiError {
                    kind: ApiErrorKind::Replaced,
                    ..error
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Lists, then watches a kind for ever, over dropped connections and expired versions: first
    /// every object there is as `Present`, then `Listed`, then each change. Each object is told as
    /// what `read` makes of it, as soon as it has come: thousands are listed at once. Ends only
    /// with an error that retrying cannot mend, or when the server has been away for a minute.
    pub fn watch<T: Send + 'static>(
        &self,
        kind: Kind,
        namespace: Option<String>,
        selector: String,
        read: impl Fn(Value) -> T + Send + Sync + 'static,
    ) -> BoxStream<'static, ApiResult<WatchEvent<T>>> {
        let list = self.listing(kind, namespace.as_deref(), &selector, Extent::Whole);
        watching(list, read, watch::Times::default())
    }

    /// [`Cluster::watch`] of a namespace's events, by field selector.
    pub fn watch_events<T: Send + 'static>(
        &self,
        namespace: &str,
        fields: &str,
        read: impl Fn(Value) -> T + Send + Sync + 'static,
    ) -> BoxStream<'static, ApiResult<WatchEvent<T>>> {
        watching(
            self.events(namespace, fields),
            read,
            watch::Times::default(),
        )
    }

    /// The last lines of a container's log, of its run before (`previous`) or of this one.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        tail: u32,
        previous: bool,
    ) -> ApiResult<String> {
        let path = format!(
            "{}/log",
            requests::path("v1", "pods", Some(namespace), Some(pod))
        );
        let (tail, previous) = (tail.to_string(), if previous { "true" } else { "" });
        let path = requests::query(
            path,
            &[
                ("container", container),
                ("tailLines", &tail),
                ("previous", previous),
            ],
        );
        let call = Call::get(
            "get",
            path,
            format!("read the log of Pod {namespace}/{pod}"),
        )
        .accept("*/*");
        let log = self.inner.transport.send(&call).await?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// What a pod answers on a port of its own, asked through the API server. The network policies
    /// that protect the pod may keep the server out.
    pub async fn ask_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u64,
        path: &str,
    ) -> ApiResult<String> {
        let target = requests::path(
            "v1",
            "pods",
            Some(namespace),
            Some(&format!("{pod}:{port}")),
        );
        let call = Call::get(
            "get",
            format!("{target}/proxy/{path}"),
            format!("ask Pod {namespace}/{pod} for its {path}"),
        );
        // A 503 says that the pod cannot be reached: who asks decides whether to ask again.
        let answer = self
            .inner
            .transport
            .send(&call.accept("*/*").repeat(Repeat::IfUnheard))
            .await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
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

    fn events(&self, namespace: &str, fields: &str) -> List {
        let kind = Kind {
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
        };
        List {
            fields: fields.to_owned(),
            ..self.listing(kind, Some(namespace), "", Extent::Whole)
        }
    }

    fn listing(&self, kind: Kind, namespace: Option<&str>, selector: &str, extent: Extent) -> List {
        List {
            inner: self.inner.clone(),
            kind,
            namespace: namespace.map(str::to_owned),
            selector: selector.to_owned(),
            fields: String::new(),
            extent,
            quiet: false,
        }
    }

    /// The path of an object, in a version that is served: one is as good as another to name it.
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

    /// The path of an object that is sent, or (for create) of its kind: in the version that the
    /// object has.
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
                format!("; it has it in {}", resource.api_version),
            ));
        }
        path_of(address, &resource, words, named)
    }
}

fn watching<T: Send + 'static>(
    list: List,
    read: impl Fn(Value) -> T + Send + Sync + 'static,
    times: watch::Times,
) -> BoxStream<'static, ApiResult<WatchEvent<T>>> {
    let watcher = watch::Watcher::new(list, read, times);
    futures::stream::unfold(watcher, |mut watcher| async {
        watcher.next().await.map(|event| (event, watcher))
    })
    .boxed()
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
            let message = format!("a {} lives in a namespace, and none is given", address.kind);
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

/// Words of apiserver's `BeforeDelete` and of its storage's `Preconditions.Check`: the answer has
/// no reason of its own.
fn is_about_the_uid(message: &str) -> bool {
    ["UID in the precondition", "UID in precondition"]
        .iter()
        .any(|words| message.contains(words))
}

/// With a resourceVersion a second attempt would meet the version that the first one made.
fn repeat(is_versioned: bool) -> Repeat {
    if is_versioned {
        Repeat::IfUnheard
    } else {
        Repeat::Harmless
    }
}
