//! Every object of a kind, page by page.

use super::{
    ApiErrorKind, ApiResult, Inner, Kind,
    requests::{self, Call},
    transport::Transport,
};
use serde_json::Value;
use std::sync::Arc;

/// What to list.
pub(super) struct List {
    pub inner: Arc<Inner>,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub selector: String,
    /// PartialObjectMetadata instead of whole objects.
    pub metadata_only: bool,
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

    /// Reads all pages. A list that takes longer than the server keeps its version (410) is begun once more.
    pub async fn fetch(&self) -> ApiResult<Page> {
        let (path, words) = self.target().await?;
        match self.pages(&path, &words).await {
            Err(error) if error.kind == ApiErrorKind::Expired => self.pages(&path, &words).await,
            other => other,
        }
    }

    async fn pages(&self, path: &str, words: &str) -> ApiResult<Page> {
        let limit = requests::PAGE.to_string();
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let parameters = [("labelSelector", self.selector.as_str()), ("limit", &limit), ("continue", &next)];
            let call = Call::get("list", requests::query(path.to_owned(), &parameters), words.to_owned());
            let call = if self.metadata_only { call.accept(requests::METADATA_LIST) } else { call };
            let mut page = self.transport().json(&call).await?;
            if let Value::Array(found) = page["items"].take() {
                items.extend(found.into_iter().map(|item| self.with_kind(item)));
            }
            let metadata = &page["metadata"];
            next = metadata["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                let version = metadata["resourceVersion"].as_str().unwrap_or_default().to_owned();
                return Ok(Page { items, version });
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
