//! The floor: every object of a file applied by server-side apply from 32 workers, and nothing
//! else.

use futures::{StreamExt, stream};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::client::{Body, ConfigExt};
use kube::core::{GroupVersionKind, Request};
use kube::{Client, Config, Resource};
use serde_json::Value;
use tower::{BoxError, ServiceBuilder};

/// Requests under way at once: the plugin's own number. From 8 to 32 an API server answers a
/// thousand applies about equally fast.
const WORKERS: usize = 32;

/// The word that has every object tried by a dry-run, all of them before the first is applied.
pub const TRIED: &str = "tried";

/// `compare floor OBJECTS.json [tried]`, with the cluster that `KUBECONFIG` names.
pub fn run(words: Vec<String>) {
    let text = std::fs::read(&words[0]).expect("the objects' file");
    let objects: Vec<Value> = serde_json::from_slice(&text).expect("a list of objects");
    drop(text);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = client().await;
        let apply = PatchParams::apply("floor").force();
        if words.get(1).is_some_and(|word| word == TRIED) {
            send_all(&client, &objects, &apply.clone().dry_run()).await;
        }
        send_all(&client, &objects, &apply).await;
    });
}

/// A client without Nagle's algorithm, which would hold each new connection up for 40 ms.
async fn client() -> Client {
    let config = Config::infer().await.expect("a kubeconfig");
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = config
        .rustls_https_connector_with_connector(tcp)
        .expect("certificates");
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().expect("credentials"))
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector));
    Client::new(service, config.default_namespace)
}

async fn send_all(client: &Client, objects: &[Value], how: &PatchParams) {
    let sent = objects.iter().map(|object| async {
        client
            .request_text(request(object, how))
            .await
            .expect("the API server takes the object");
    });
    stream::iter(sent)
        .buffer_unordered(WORKERS)
        .for_each(|()| async {})
        .await;
}

fn request(object: &Value, how: &PatchParams) -> http::Request<Vec<u8>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) = match object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
    {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text(&object["apiVersion"])),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind {
        group,
        version,
        kind: text(&object["kind"]),
    });
    let url = DynamicObject::url_path(&resource, object["metadata"]["namespace"].as_str());
    let name = text(&object["metadata"]["name"]);
    Request::new(url)
        .patch(&name, how, &Patch::Apply(object))
        .expect("a request")
}
