//! Keeps a list up to date: LIST, then WATCH from there, across dropped connections, expired
//! versions and server restarts.
//!
//! The caller sees objects appear and disappear, and no interruptions, except that it may miss
//! intermediate states. Ends if retrying is useless, or if the server has been unreachable for too
//! long.

#[cfg(test)]
mod tests;

use super::{
    ApiError, ApiErrorKind, ApiResult, Kind, WatchEvent,
    list::{self, List},
    requests::{self, Call},
    retry,
    status::from_status,
    transport::Chunks,
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long the server keeps a watch open. kube-rs and client-go request similar times (5 to 10
/// minutes).
const SERVER_TIMEOUT: &str = "290";

/// Number of items in a page. Each page is read when the previous one is processed, because
/// thousands of complete objects take much more memory than the parts that are kept.
const PAGE: usize = 100;

/// Timeouts of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// A watch that is silent for this time counts as dead and is opened again at its last version.
    /// The server sends a bookmark about once a minute (apiserver's `cacher`,
    /// `defaultBookmarkFrequency`), so a live one is never silent for longer.
    pub silence: Duration,
    /// A server that is unreachable for this time ends the watch.
    pub away: Duration,
    /// First and longest pause between attempts. It doubles each time.
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            silence: Duration::from_secs(100),
            away: Duration::from_secs(60),
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

pub(super) struct Watcher<T> {
    list: List,
    /// Extracts what the caller keeps of an object.
    keep: Arc<dyn Fn(Value) -> T + Send + Sync>,
    times: Times,
    /// Events that the caller has not taken yet.
    ready: VecDeque<WatchEvent<T>>,
    /// All objects as the caller knows them, to find those that disappeared.
    known: HashMap<Name, Version>,
    /// While listing: known objects that no page has contained yet.
    unseen: HashMap<Name, Version>,
    state: State,
    failures: u32,
    /// Time since which the server has been unreachable.
    away_since: Option<Instant>,
}

/// Namespace (empty for cluster-scoped objects) and name.
type Name = (Box<str>, Box<str>);

/// UID and version of an object.
#[derive(Clone, PartialEq)]
struct Version {
    uid: Box<str>,
    version: Box<str>,
}

enum State {
    /// Nothing is known, or the known version has expired.
    Unlisted,
    /// Listing. The next page begins here.
    Listing(String),
    /// Known up to this version, at which to open a watch.
    At(String),
    /// A watch is open, with the bytes of an incomplete line.
    Open {
        version: String,
        chunks: Chunks,
        line: Vec<u8>,
        opened: Instant,
    },
    Ended,
}

/// The effect of a line on the watch itself.
enum Step {
    Go,
    Relist,
    Fail(ApiError),
}

impl<T: Send + 'static> Watcher<T> {
    pub fn new(
        list: List,
        keep: impl Fn(Value) -> T + Send + Sync + 'static,
        times: Times,
    ) -> Watcher<T> {
        Watcher {
            list,
            keep: Arc::new(keep),
            times,
            ready: VecDeque::new(),
            known: HashMap::new(),
            unseen: HashMap::new(),
            state: State::Unlisted,
            failures: 0,
            away_since: None,
        }
    }

    /// Returns the next event, or `None` after an error.
    pub async fn next(&mut self) -> Option<ApiResult<WatchEvent<T>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let stepped = match std::mem::replace(&mut self.state, State::Ended) {
                State::Unlisted => {
                    self.unseen.extend(self.known.drain());
                    self.list(String::new()).await
                }
                State::Listing(next) => self.list(next).await,
                State::At(version) => self.open(version).await,
                State::Open {
                    version,
                    chunks,
                    line,
                    opened,
                } => self.read(version, chunks, line, opened).await,
                State::Ended => return None,
            };
            if let Err(error) = stepped {
                return Some(Err(error));
            }
        }
    }

    /// Lists one page, and reports the differences from the objects that the caller knows.
    async fn list(&mut self, next: String) -> ApiResult<()> {
        let keep = Arc::clone(&self.keep);
        let add = move |items: &mut Vec<_>, item: Value| {
            items.push((name(&item), Version::of(&item), keep(item)))
        };
        match self.list.page(PAGE, &next, add).await {
            Ok(list::Page {
                items,
                next,
                version,
            }) => {
                self.heard();
                self.take_over(items);
                self.state = match next.is_empty() {
                    true => {
                        self.end_list();
                        State::At(version)
                    }
                    false => State::Listing(next),
                };
                Ok(())
            }
            // Listing took longer than the server keeps the version of a list.
            Err(error) if error.kind == ApiErrorKind::Expired && !next.is_empty() => {
                self.sleep().await;
                self.state = State::Unlisted;
                Ok(())
            }
            Err(error) => self.rest(State::Listing(next), error).await,
        }
    }

    fn take_over(&mut self, items: Vec<(Name, Version, T)>) {
        for (name, version, item) in items {
            if self
                .unseen
                .remove(&name)
                .is_none_or(|before| before != version)
            {
                self.ready.push_back(WatchEvent::Present(item));
            }
            self.known.insert(name, version);
        }
    }

    /// Objects that were on no page have disappeared.
    fn end_list(&mut self) {
        let (keep, kind) = (&self.keep, &self.list.kind);
        let vanished = self.unseen.drain();
        self.ready
            .extend(vanished.map(|(name, version)| {
                WatchEvent::Vanished(keep(identity(kind, &name, &version)))
            }));
        self.ready.push_back(WatchEvent::Listed);
    }

    async fn open(&mut self, version: String) -> ApiResult<()> {
        let (path, words, _) = self.list.target().await?;
        let parameters = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version.as_str()),
            ("timeoutSeconds", SERVER_TIMEOUT),
            ("labelSelector", self.list.selector.as_str()),
            ("fieldSelector", self.list.fields.as_str()),
        ];
        let call = Call::get(
            "watch",
            requests::query(path, &parameters),
            words.replacen("list", "watch", 1),
        );
        match self.list.transport().open(&call).await {
            Ok(chunks) => {
                self.away_since = None;
                self.state = State::Open {
                    version,
                    chunks,
                    line: Vec::new(),
                    opened: Instant::now(),
                };
                Ok(())
            }
            Err(error) if error.kind == ApiErrorKind::Expired => {
                self.state = State::Unlisted;
                Ok(())
            }
            Err(error) => self.rest(State::At(version), error).await,
        }
    }

    /// Reads until there is an event to report, or the watch ends.
    async fn read(
        &mut self,
        mut version: String,
        mut chunks: Chunks,
        mut line: Vec<u8>,
        opened: Instant,
    ) -> ApiResult<()> {
        let chunk = match timeout(self.times.silence, chunks.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            // The server's timeout passed, the connection broke, or the server is gone: continue
            // from the last version. An incomplete line will be sent again.
            Ok(None | Some(Err(_))) | Err(_) => {
                self.state = State::At(version);
                // Avoid a busy loop if the server closes at once.
                if opened.elapsed() < Duration::from_secs(1) {
                    self.sleep().await;
                }
                return Ok(());
            }
        };
        let mut rest = &chunk[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let event = [std::mem::take(&mut line).as_slice(), &rest[..end]].concat();
            rest = &rest[end + 1..];
            if event.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.take_in(&event, &mut version) {
                Step::Go => {}
                Step::Relist => {
                    self.state = State::Unlisted;
                    return Ok(());
                }
                Step::Fail(error) => return self.rest(State::At(version), error).await,
            }
        }
        line.extend_from_slice(rest);
        self.state = State::Open {
            version,
            chunks,
            line,
            opened,
        };
        Ok(())
    }

    fn take_in(&mut self, line: &[u8], seen: &mut String) -> Step {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            // Not a line of a watch, for example from a proxy. Starting again loses nothing.
            return Step::Relist;
        };
        let object = event["object"].take();
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ERROR" {
            let code = object["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(500);
            let words = format!("watch {}", self.list.kind.kind);
            let error = from_status(&words, code, &object);
            return match error.kind {
                ApiErrorKind::Expired => Step::Relist,
                _ => Step::Fail(error),
            };
        }
        self.heard();
        let version = Version::of(&object);
        if !version.version.is_empty() {
            *seen = version.version.to_string();
        }
        match kind {
            "ADDED" | "MODIFIED" => {
                self.known.insert(name(&object), version);
                self.ready
                    .push_back(WatchEvent::Present((self.keep)(object)));
            }
            "DELETED" => {
                self.known.remove(&name(&object));
                self.ready
                    .push_back(WatchEvent::Deleted((self.keep)(object)));
            }
            // BOOKMARK: only the version changes.
            _ => {}
        }
        Step::Go
    }

    fn heard(&mut self) {
        self.failures = 0;
        self.away_since = None;
    }

    /// Handles a failure: pauses so that `state` can be tried again, or ends if that is useless.
    async fn rest(&mut self, state: State, error: ApiError) -> ApiResult<()> {
        let passing = matches!(
            error.kind,
            ApiErrorKind::Unavailable | ApiErrorKind::Unreachable | ApiErrorKind::Timeout
        );
        let away = self.away_since.get_or_insert_with(Instant::now).elapsed();
        if !passing || !self.list.transport().reached() || away > self.times.away {
            return Err(error);
        }
        tracing::debug!(
            request = error.request,
            reason = error.message,
            "the watch will be opened again"
        );
        self.sleep().await;
        self.state = state;
        Ok(())
    }

    async fn sleep(&mut self) {
        self.failures += 1;
        let doubled = self
            .times
            .first
            .saturating_mul(1 << (self.failures - 1).min(16))
            .min(self.times.longest);
        tokio::time::sleep(doubled.mul_f64(0.5 + retry::chance() / 2.0)).await;
    }
}

fn metadata(object: &Value, field: &str) -> Box<str> {
    object["metadata"][field]
        .as_str()
        .unwrap_or_default()
        .into()
}

fn name(object: &Value) -> Name {
    (metadata(object, "namespace"), metadata(object, "name"))
}

impl Version {
    fn of(object: &Value) -> Version {
        Version {
            uid: metadata(object, "uid"),
            version: metadata(object, "resourceVersion"),
        }
    }
}

/// Returns an object with only its identity.
fn identity(kind: &Kind, (namespace, name): &Name, version: &Version) -> Value {
    let mut metadata =
        json!({"name": name, "uid": version.uid, "resourceVersion": version.version});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})
}
