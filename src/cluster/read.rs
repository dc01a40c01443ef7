//! Reads objects, watches them, and reads from pods.

use super::list::{Extent, List};
use super::retry::Repeat;
use super::{
    ApiErrorKind, ApiResult, Call, Cluster, Everything, Kind, WatchEvent, requests, watch,
};
use crate::manifest::ObjectKey;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

impl Cluster {
    /// Returns an object, or `None` if it does not exist. Fails if the request fails or the server
    /// does not know the kind. `api_version` is the version to read.
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

    /// Lists all objects of a kind in pages of 500, in one namespace or in all (`None`), by label
    /// selector (empty means all). Each object has its apiVersion and kind.
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

    /// Lists a namespace's events by field selector.
    pub async fn list_events(&self, namespace: &str, fields: &str) -> ApiResult<Vec<Value>> {
        self.events(namespace, fields).fetch().await
    }

    /// Like `list` or `list_metadata`, but passes each object to `add` as it is read, so that not
    /// all of them are in memory. The result starts with its default.
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

    /// Like `list`, but returns only metadata (PartialObjectMetadata, with the object's own
    /// apiVersion and kind).
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

    /// Lists the metadata of all objects in a namespace, of all kinds that the server knows.
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
                // Its definition was just deleted, together with its objects.
                Err(error) if error.code == 404 => {}
                Err(error) if error.kind == ApiErrorKind::Forbidden || error.code == 405 => {
                    everything.unread.push(kind.kind.clone())
                }
                Err(error) => return Err(error),
            }
        }
        Ok(everything)
    }

    /// Lists, then watches a kind indefinitely, across dropped connections and expired versions.
    ///
    /// Reports all existing objects as `Present`, then `Listed`, then each change. Passes each
    /// object through `read` as soon as it arrives, because there may be thousands. Ends only with
    /// an error for which retrying is useless, or when the server has been unreachable for a
    /// minute.
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

    /// Like [`Cluster::watch`], for a namespace's events, by field selector.
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

    /// Returns the last lines of a container's log, of its current or `previous` run.
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

    /// Sends a request to a port of a pod through the API server, and returns the response. Network
    /// policies of the pod may block the server.
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
            format!("get {path} of Pod {namespace}/{pod}"),
        );
        // A 503 means that the pod is unreachable. The caller decides whether to retry.
        let answer = self
            .inner
            .transport
            .send(&call.accept("*/*").repeat(Repeat::IfUnheard))
            .await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
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

    pub(super) fn listing(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: &str,
        extent: Extent,
    ) -> List {
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
}

pub(super) fn watching<T: Send + 'static>(
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
