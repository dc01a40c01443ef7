//! Every object of a kind, page by page.

use super::{
    ApiErrorKind, ApiResult, Inner, Kind,
    requests::{self, Call},
    transport::Transport,
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// How much of each object a list brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// PartialObjectMetadata, under the object's own apiVersion and kind.
    Metadata,
}

/// What to list.
pub(super) struct List {
    pub inner: Arc<Inner>,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub selector: String,
    /// PartialObjectMetadata instead of whole objects.
    pub extent: Extent,
}

/// All pages together.
pub(super) struct Page {
    pub items: Vec<Value>,
    /// Where a watch goes on.
    pub version: String,
}

impl List {
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// The path to list or watch, and the words for it.
    pub async fn target(&self) -> ApiResult<(String, String)> {
        let resource = self.inner.discovery.resource(self.transport(), &self.kind).await?;
        let namespace = self.namespace.as_deref().filter(|_| resource.namespaced);
        let words = match namespace {
            Some(namespace) => format!("list {} in namespace {namespace}", resource.plural),
            None => format!("list {}", resource.plural),
        };
        Ok((requests::path(&self.kind.api_version, &resource.plural, namespace, None), words))
    }

    /// Reads all pages.
    pub async fn fetch(&self) -> ApiResult<Page> {
        let (items, version) = self.fold(Vec::push).await?;
        Ok(Page { items, version })
    }

    /// Reads all pages, item by item into one whole, and where a watch goes on. A list that takes longer than the server keeps its
    /// version (410) is begun once more.
    pub async fn fold<T: Default>(&self, mut add: impl FnMut(&mut T, Value)) -> ApiResult<(T, String)> {
        let (path, words) = self.target().await?;
        match self.pages(&path, &words, &mut add).await {
            Err(error) if error.kind == ApiErrorKind::Expired => self.pages(&path, &words, &mut add).await,
            other => other,
        }
    }

    async fn pages<T: Default>(&self, path: &str, words: &str, add: &mut impl FnMut(&mut T, Value)) -> ApiResult<(T, String)> {
        let limit = requests::PAGE.to_string();
        let mut whole = T::default();
        let mut next = String::new();
        loop {
            let parameters = [("labelSelector", self.selector.as_str()), ("limit", &limit), ("continue", &next)];
            let call = Call::get("list", requests::query(path.to_owned(), &parameters), words.to_owned());
            let call = if self.extent == Extent::Metadata { call.accept(requests::METADATA_LIST) } else { call };
            let page = self.transport().decode(&call, Pages(|item| add(&mut whole, self.with_kind(item)))).await?;
            next = page.next;
            if next.is_empty() {
                return Ok((whole, page.version));
            }
        }
    }

    /// Items of a list come without their kind, or with that of the form they were asked in.
    fn with_kind(&self, mut item: Value) -> Value {
        if let Value::Object(fields) = &mut item {
            fields.shift_insert(0, "apiVersion".to_owned(), self.kind.api_version.clone().into());
            fields.shift_insert(1, "kind".to_owned(), self.kind.kind.clone().into());
        }
        item
    }
}

/// Reads one page, handing over each item as it comes: as values, a page takes ten times the memory of its text.
struct Pages<F>(F);

/// What a page says beside its items.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "continue")]
    next: String,
    #[serde(rename = "resourceVersion")]
    version: String,
}

impl<'de, F: FnMut(Value)> DeserializeSeed<'de> for Pages<F> {
    type Value = Metadata;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Metadata, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Value)> Visitor<'de> for Pages<F> {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Metadata, A::Error> {
        let mut metadata = Metadata::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "items" => map.next_value_seed(Items(&mut self.0))?,
                "metadata" => metadata = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(metadata)
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

    /// No items at all: some servers say null.
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
