//! The floor: every object of a file applied by server-side apply from 32 workers, and nothing else.

use futures::{StreamExt, stream};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, Request};
use kube::{Client, Resource};
use serde_json::Value;

/// Requests under way at once: the plugin's own number. From 8 to 32 an API server answers a thousand applies about equally fast.
const WORKERS: usize = 32;

/// `compare floor OBJECTS.json`, with the cluster that `KUBECONFIG` names.
pub fn run(words: Vec<String>) {
    let text = std::fs::read(&words[0]).expect("the objects' file");
    let objects: Vec<Value> = serde_json::from_slice(&text).expect("a list of objects");
    drop(text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::try_default().await.expect("a kubeconfig");
        let applies = objects.into_iter().map(|object| {
            let client = client.clone();
            async move { client.request_text(request(&object)).await.expect("the API server takes the object") }
        });
        stream::iter(applies).buffer_unordered(WORKERS).for_each(|_| async {}).await;
    });
}

fn request(object: &Value) -> http::Request<Vec<u8>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) = match object["apiVersion"].as_str().and_then(|version| version.split_once('/')) {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text(&object["apiVersion"])),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind { group, version, kind: text(&object["kind"]) });
    let url = DynamicObject::url_path(&resource, object["metadata"]["namespace"].as_str());
    let name = text(&object["metadata"]["name"]);
    Request::new(url).patch(&name, &PatchParams::apply("floor").force(), &Patch::Apply(object)).expect("a request")
}
