//! Which members of a group were down at the same moment, from a watch of their pods: looking now
//! and then would miss moments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::StreamExt;
use kube::core::WatchEvent;
use serde_json::Value;

use super::{Cluster, until};

/// A watch that runs until it is asked for what it saw.
pub struct Members {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<BTreeSet<String>>>,
}

/// A pod as it was last seen.
struct Pod {
    version: String,
    member: String,
    serves: bool,
}

#[derive(Default)]
struct Seen {
    pods: BTreeMap<String, Pod>,
    /// Members that were there when the watch began, or have served since: a new one has nothing to
    /// lose.
    once: BTreeSet<String>,
    moments: Vec<BTreeSet<String>>,
}

impl Members {
    /// Watches the pods of a namespace that have this label; its value is the member that they
    /// belong to.
    pub fn watch(cluster: &Cluster, namespace: &str, label: &str) -> Members {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let (stopped, kubeconfig) = (Arc::clone(&stop), cluster.kubeconfig());
        let (path, label) = (
            format!("/api/v1/namespaces/{namespace}/pods"),
            label.to_owned(),
        );
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let kubeconfig =
                    kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
                let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
                    .await
                    .expect("a context");
                let client = kube::Client::try_from(config).expect("a client");
                watch(&client, &path, &label, &stopped, &tell).await
            })
        });
        told.recv().expect("the first list");
        Members { stop, thread }
    }

    /// Each moment at which other members were down than before, up to now: which they were.
    pub fn finish(self) -> Vec<BTreeSet<String>> {
        self.stop.store(true, Ordering::SeqCst);
        until("the watch to have seen everything", || {
            self.thread.is_finished().then_some(())
        });
        self.thread.join().expect("a watch that does not fail")
    }
}

/// The largest number of members that were down at once, of those that `counts`.
pub fn worst(moments: &[BTreeSet<String>], counts: impl Fn(&str) -> bool) -> usize {
    moments
        .iter()
        .map(|down| down.iter().filter(|member| counts(member)).count())
        .max()
        .unwrap_or(0)
}

async fn watch(
    client: &kube::Client,
    path: &str,
    label: &str,
    stop: &AtomicBool,
    tell: &mpsc::Sender<()>,
) -> Vec<BTreeSet<String>> {
    let get = |path: String| http::Request::get(path).body(Vec::new()).expect("a path");
    let mut seen = Seen::default();
    let mut version = String::new();
    loop {
        if version.is_empty() {
            let Ok(mut list) = client.request::<Value>(get(path.to_owned())).await else {
                continue;
            };
            seen.pods.clear();
            for pod in list["items"].as_array().into_iter().flatten() {
                seen.present(pod, label);
            }
            if seen.moments.is_empty() {
                seen.once = seen.pods.values().map(|pod| pod.member.clone()).collect();
            }
            seen.moment();
            version = list["metadata"]["resourceVersion"]
                .take()
                .as_str()
                .expect("a version")
                .to_owned();
            let _ = tell.send(());
        }
        let from = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}");
        let Ok(events) = client.request_events::<Value>(get(from)).await else {
            continue;
        };
        let mut events = std::pin::pin!(events);
        loop {
            match tokio::time::timeout(Duration::from_millis(50), events.next()).await {
                Ok(Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)))) => {
                    version = text(&pod["metadata"]["resourceVersion"]);
                    seen.present(&pod, label);
                    seen.moment();
                }
                Ok(Some(Ok(WatchEvent::Deleted(pod)))) => {
                    version = text(&pod["metadata"]["resourceVersion"]);
                    seen.pods.remove(&text(&pod["metadata"]["name"]));
                    seen.moment();
                }
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                    version = bookmark.metadata.resource_version
                }
                Ok(Some(Ok(WatchEvent::Error(_)))) => version.clear(),
                Ok(Some(Err(_)) | None) => {}
                Err(_) if !stop.load(Ordering::SeqCst) => continue,
                // Quiet, and asked to end: done, if nothing is on its way any more.
                Err(_) => match client.request::<Value>(get(path.to_owned())).await {
                    Ok(list) if seen.is_all_of(&list, label) => return seen.moments,
                    _ => continue,
                },
            }
            if version.is_empty() {
                break;
            }
        }
    }
}

impl Seen {
    fn present(&mut self, pod: &Value, label: &str) {
        let Some(member) = pod["metadata"]["labels"][label].as_str() else {
            return;
        };
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions
            .into_iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True");
        let serves = ready && pod["metadata"]["deletionTimestamp"].is_null();
        let version = text(&pod["metadata"]["resourceVersion"]);
        self.pods.insert(
            text(&pod["metadata"]["name"]),
            Pod {
                version,
                member: member.to_owned(),
                serves,
            },
        );
    }

    fn moment(&mut self) {
        let serving: BTreeSet<String> = self
            .pods
            .values()
            .filter(|pod| pod.serves)
            .map(|pod| pod.member.clone())
            .collect();
        let down: BTreeSet<String> = self.once.difference(&serving).cloned().collect();
        self.once.extend(serving);
        if self.moments.last() != Some(&down) {
            self.moments.push(down);
        }
    }

    fn is_all_of(&self, list: &Value, label: &str) -> bool {
        let pods = list["items"].as_array().into_iter().flatten();
        let mut named = pods
            .filter(|pod| pod["metadata"]["labels"][label].is_string())
            .peekable();
        let mut count = 0;
        let known = named.all(|pod| {
            count += 1;
            let known = self.pods.get(&text(&pod["metadata"]["name"]));
            known.is_some_and(|known| pod["metadata"]["resourceVersion"] == known.version.as_str())
        });
        known && count == self.pods.len()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
