//! Lists all objects of a kind, page by page.

use super::{
    ApiError, ApiErrorKind, ApiResult, Inner, Kind,
    requests::{self, Call},
    transport::{self, Transport},
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

/// Minimum size of a response to parse on a separate thread. A smaller one is parsed faster than a
/// thread starts.
const LARGE: usize = 64 << 10;

/// How much of each object to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// PartialObjectMetadata, with the object's own apiVersion and kind.
    Metadata,
}

/// A list request.
pub(super) struct List {
    pub inner: Arc<Inner>,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub selector: String,
    /// A field selector. Empty means all.
    pub fields: String,
    /// Complete objects or only metadata.
    pub extent: Extent,
    /// Suppresses warnings, such as about deprecated kinds, because the user did not request this
    /// list.
    pub quiet: bool,
}

/// A page of a list.
pub(super) struct Page<T> {
    pub items: T,
    /// Token of the next page. Empty after the last one.
    pub next: String,
    /// The version from which a watch continues.
    pub version: String,
}

impl List {
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Returns the path to list or watch, the request in words, and the served version.
    pub async fn target(&self) -> ApiResult<(String, String, String)> {
        let resource = self
            .inner
            .discovery
            .resource(self.transport(), &self.kind)
            .await?;
        let namespace = self.namespace.as_deref().filter(|_| resource.namespaced);
        let words = match namespace {
            Some(namespace) => format!("list {} in namespace {namespace}", resource.plural),
            None => format!("list {}", resource.plural),
        };
        Ok((
            requests::path(&resource.api_version, &resource.plural, namespace, None),
            words,
            resource.api_version,
        ))
    }

    /// Reads all pages.
    pub async fn fetch(&self) -> ApiResult<Vec<Value>> {
        Ok(self.fold(Vec::push).await?.0)
    }

    /// Reads all pages, adding each item to one result. Also returns the version from which a watch
    /// continues.
    ///
    /// If the list takes longer than the server keeps its version (410), starts again once.
    pub async fn fold<T, F>(&self, add: F) -> ApiResult<(T, String)>
    where
        T: Default + Send + 'static,
        F: Fn(&mut T, Value) + Send + Sync + 'static,
    {
        let (path, words, api_version) = self.target().await?;
        let kind = Kind {
            api_version,
            ..self.kind.clone()
        };
        let add = Arc::new(move |whole: &mut T, item| add(whole, with_kind(item, &kind)));
        match self.pages(&path, &words, &add).await {
            Err(error) if error.kind == ApiErrorKind::Expired => {
                self.pages(&path, &words, &add).await
            }
            other => other,
        }
    }

    /// Reads one page of at most `limit` items, which starts where the previous page ended. For
    /// callers that do not want to hold a large list in memory.
    pub async fn page<T: Default>(
        &self,
        limit: usize,
        next: &str,
        add: impl Fn(&mut T, Value),
    ) -> ApiResult<Page<T>> {
        let (path, words, api_version) = self.target().await?;
        let kind = Kind {
            api_version,
            ..self.kind.clone()
        };
        let call = self.call(&path, &words, &limit.to_string(), next);
        let body = self.transport().send(&call).await?;
        let (mut items, (sender, mut receiver)) = (T::default(), oneshot::channel());
        let page = Pages {
            add: |item| add(&mut items, with_kind(item, &kind)),
            sender: Some(sender),
        };
        transport::read_json(&call.words, &body, page)?;
        let Metadata { next, version } = receiver.try_recv().unwrap_or_default();
        Ok(Page {
            items,
            next,
            version,
        })
    }

    fn call(&self, path: &str, words: &str, limit: &str, next: &str) -> Call {
        let parameters = [
            ("labelSelector", self.selector.as_str()),
            ("fieldSelector", self.fields.as_str()),
            ("limit", limit),
            ("continue", next),
        ];
        let call = Call::get(
            "list",
            requests::query(path.to_owned(), &parameters),
            words.to_owned(),
        );
        let call = Call {
            quiet: self.quiet,
            ..call
        };
        if self.extent == Extent::Metadata {
            call.accept(requests::METADATA_LIST)
        } else {
            call
        }
    }

    /// Requests the next page while one is parsed.
    async fn pages<T, F>(&self, path: &str, words: &str, add: &Arc<F>) -> ApiResult<(T, String)>
    where
        T: Default + Send + 'static,
        F: Fn(&mut T, Value) + Send + Sync + 'static,
    {
        let limit = requests::PAGE.to_string();
        let mut next = String::new();
        let mut reading: Option<JoinHandle<ApiResult<T>>> = None;
        let whole = async |reading: JoinHandle<ApiResult<T>>| {
            reading.await.unwrap_or_else(|error| {
                Err(ApiError::local(
                    ApiErrorKind::Other,
                    words,
                    error.to_string(),
                ))
            })
        };
        loop {
            let call = self.call(path, words, &limit, &next);
            let body = self.transport().send(&call).await?;
            let mut so_far = match reading.take() {
                Some(reading) => whole(reading).await?,
                None => T::default(),
            };
            let (sender, receiver) = oneshot::channel();
            let (add, large) = (Arc::clone(add), body.len() >= LARGE);
            let read = move || {
                let page = Pages {
                    add: |item| add(&mut so_far, item),
                    sender: Some(sender),
                };
                transport::read_json(&call.words, &body, page).map(|()| so_far)
            };
            let begun = if large {
                spawn_blocking(read)
            } else {
                tokio::spawn(async { read() })
            };
            match receiver.await {
                Ok(Metadata { next: token, .. }) if !token.is_empty() => {
                    next = token;
                    reading = Some(begun);
                }
                Ok(Metadata { version, .. }) => return Ok((whole(begun).await?, version)),
                // It ended without metadata, for example because it is not JSON.
                Err(_) => return Ok((whole(begun).await?, String::new())),
            }
        }
    }
}

/// Sets an item's kind, because items of a list have none, or that of the requested format.
fn with_kind(mut item: Value, kind: &Kind) -> Value {
    if let Value::Object(fields) = &mut item {
        fields.shift_insert(0, "apiVersion".to_owned(), kind.api_version.clone().into());
        fields.shift_insert(1, "kind".to_owned(), kind.kind.clone().into());
    }
    item
}

/// Parses one page and passes on each item as it is parsed. As values, a page takes ten times the
/// memory of its text. Its metadata comes before its items.
struct Pages<F> {
    add: F,
    sender: Option<oneshot::Sender<Metadata>>,
}

/// The metadata of a page.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "continue")]
    next: String,
    #[serde(rename = "resourceVersion")]
    version: String,
}

impl<'de, F: FnMut(Value)> DeserializeSeed<'de> for Pages<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Value)> Visitor<'de> for Pages<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "items" => map.next_value_seed(Items(&mut self.add))?,
                "metadata" => {
                    let metadata = map.next_value()?;
                    if let Some(sender) = self.sender.take() {
                        // The receiver may have stopped.
                        let _ = sender.send(metadata);
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Items<'a, F>(&'a mut F);

impl<'de, F: FnMut(Value)> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Value)> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    /// No items: some servers send null.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}
