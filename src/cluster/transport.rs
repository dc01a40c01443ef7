//! Sends requests. Limits concurrency, sets timeouts, counts, retries, renews credentials, and
//! collects warnings.

use super::{
    ApiError, ApiErrorKind, ApiResult, clock,
    gate::Gate,
    no_answer,
    requests::Call,
    retry::{self, Failure, Policy, Progress},
    session::Session,
    status,
};
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, client::Body};
use serde::de::DeserializeSeed;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// Maximum number of concurrent requests. With HTTP/1.1, each has its own connection. Between 8 and
/// 32, an API server needs about the same time for a thousand applies; more requests only wait in
/// its queues.
const AT_ONCE: usize = 32;

pub(super) struct Transport {
    session: Session,
    policy: Policy,
    /// `--request-timeout`: limit for one request with all its attempts.
    request_timeout: Option<Duration>,
    slots: Semaphore,
    reached: AtomicBool,
    /// When the server was last unreachable or unable to respond.
    shaken: Mutex<Option<Instant>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Callback for retries that take longer than a moment.
    reporter: OnceLock<Reporter>,
    /// Whether the callback was called since the server's last successful response.
    has_reported: AtomicBool,
    /// In order of arrival, without duplicates.
    warnings: Mutex<Vec<Warned>>,
    /// How far the server's clock is ahead, from the first response with a date.
    clock_difference: OnceLock<SignedDuration>,
}

/// A warning of the server.
struct Warned {
    text: String,
    /// The objects that it concerns, if any.
    objects: BTreeSet<String>,
    /// Whether it was returned before.
    taken: bool,
}

impl Warned {
    /// Returns the warning with the first object that it concerns.
    fn words(&self) -> String {
        match (self.objects.first(), self.objects.len()) {
            (None, _) => self.text.clone(),
            (Some(object), 1) => format!("{object}: {}", self.text),
            (Some(object), many) => format!("{object} and {} more: {}", many - 1, self.text),
        }
    }
}

/// The body of a response as it arrives.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, kube::Error>> + Send>>;

pub(super) type Reporter = Box<dyn Fn(&str) + Send + Sync>;

/// Retries for longer than this are reported.
const MOMENT: Duration = Duration::from_secs(2);

/// Parses the response to a request as JSON with `seed`.
pub(super) fn read_json<T>(
    words: &str,
    body: &[u8],
    seed: impl for<'de> DeserializeSeed<'de, Value = T>,
) -> ApiResult<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = seed
        .deserialize(&mut json)
        .and_then(|read| json.end().map(|()| read));
    read.map_err(|error| ApiError {
        code: 200,
        hint: Some("check for a proxy or a login page in front of the API server".to_owned()),
        ..ApiError::local(
            ApiErrorKind::Other,
            words,
            format!(
                "the response is not JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        )
    })
}

/// A failed attempt.
struct Miss {
    failure: Failure,
    error: ApiError,
}

impl Transport {
    pub fn new(session: Session, policy: Policy, request_timeout: Option<Duration>) -> Transport {
        Transport {
            session,
            policy,
            request_timeout,
            slots: Semaphore::new(AT_ONCE),
            reached: AtomicBool::new(false),
            shaken: Mutex::default(),
            counts: Mutex::default(),
            reporter: OnceLock::new(),
            has_reported: AtomicBool::new(false),
            warnings: Mutex::default(),
            clock_difference: OnceLock::new(),
        }
    }

    pub fn on_retry(&self, reporter: Reporter) {
        // The first callback stays.
        let _ = self.reporter.set(reporter);
    }

    pub fn namespace(&self) -> Option<&str> {
        self.session.namespace.as_deref()
    }

    /// Returns the server's URL, and the proxy if there is one.
    pub fn route(&self) -> &str {
        &self.session.route
    }

    /// Returns true if the server has ever answered.
    pub fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = lock(&self.warnings);
        let new = warnings.iter_mut().filter(|warned| !warned.taken);
        new.map(|warned| {
            warned.taken = true;
            warned.words()
        })
        .collect()
    }

    pub fn clock_difference(&self) -> Option<SignedDuration> {
        self.clock_difference.get().copied()
    }

    /// Sends a request with retries, and parses the response as JSON.
    pub async fn json(&self, call: &Call) -> ApiResult<Value> {
        read_json(&call.words, &self.send(call).await?, PhantomData)
    }

    /// Sends a request with retries.
    pub async fn send(&self, call: &Call) -> ApiResult<Bytes> {
        let _slot = if call.urgent {
            None
        } else {
            Some(self.slots.acquire().await)
        };
        match self.request_timeout {
            None => self.send_again_and_again(call).await,
            Some(limit) => timeout(limit, self.send_again_and_again(call))
                .await
                .unwrap_or_else(|_| {
                    Err(ApiError {
                        hint: Some("increase --request-timeout".to_owned()),
                        ..ApiError::local(
                            ApiErrorKind::Timeout,
                            &call.words,
                            format!("no response within {}", seconds(limit)),
                        )
                    })
                }),
        }
    }

    async fn send_again_and_again(&self, call: &Call) -> ApiResult<Bytes> {
        let started = Instant::now();
        let mut renewed = false;
        let (mut attempts, mut stalls) = (0, 0);
        loop {
            attempts += 1;
            if let Some(fence) = &call.fence {
                (fence.wait)()
                    .await
                    .map_err(|why| ApiError::local(ApiErrorKind::FencedOff, &call.words, why))?;
            }
            let (client, generation) = self.client(call).await?;
            let limit = self.patience();
            let miss = match timeout(limit, self.attempt(&client, call)).await {
                Ok(Ok(body)) => {
                    self.has_reported.store(false, Ordering::Relaxed);
                    return Ok(body);
                }
                Ok(Err(miss)) => miss,
                Err(_) => Miss {
                    failure: Failure::Stalled,
                    error: self.stalled(call, limit),
                },
            };
            // The request was not sent. The fence is awaited again, or returns the reason.
            if miss.error.kind == ApiErrorKind::FencedOff {
                continue;
            }
            if miss.error.kind == ApiErrorKind::Unauthorized
                && !renewed
                && self.renew(generation, call).await?
            {
                renewed = true;
                continue;
            }
            stalls += u32::from(miss.failure == Failure::Stalled);
            let failure = self.judge(miss.failure, miss.error.kind);
            let progress = Progress {
                attempts,
                stalls,
                elapsed: started.elapsed(),
                reached: self.reached(),
            };
            match retry::pause(
                &self.policy,
                call.repeat,
                failure,
                progress,
                retry::chance(),
            ) {
                Some(pause) => {
                    tracing::debug!(request = call.words, reason = miss.error.message, pause = ?pause, "will be sent again");
                    if started.elapsed() + pause >= MOMENT {
                        self.tell_of(&miss.error);
                    }
                    tokio::time::sleep(pause).await;
                }
                None => return Err(miss.error),
            }
        }
    }

    /// Returns the timeout of an attempt. It is shorter for a server that has never answered,
    /// unless the user sets one.
    fn patience(&self) -> Duration {
        match self.reached() || self.request_timeout.is_some() {
            true => self.policy.attempt,
            false => self.policy.first_attempt,
        }
    }

    fn tell_of(&self, error: &ApiError) {
        if let Some(reporter) = self.reporter.get()
            && !self.has_reported.swap(true, Ordering::Relaxed)
        {
            reporter(&format!(
                "still trying to {}: {}",
                error.request, error.message
            ));
        }
    }

    /// Reclassifies a refusal by a server that has just become reachable. It may refuse all
    /// requests until it has loaded its roles and tokens.
    fn judge(&self, failure: Failure, kind: ApiErrorKind) -> Failure {
        let mut shaken = lock(&self.shaken);
        match kind {
            ApiErrorKind::Unavailable | ApiErrorKind::Unreachable | ApiErrorKind::Timeout => {
                *shaken = Some(Instant::now())
            }
            ApiErrorKind::Forbidden | ApiErrorKind::Unauthorized
                if shaken.is_some_and(|at| at.elapsed() < self.policy.recovery) =>
            {
                return Failure::Recovering;
            }
            _ => {}
        }
        failure
    }

    /// Opens a stream (a watch) with a single attempt, because its reader can continue by itself.
    /// Does not count in the limit of concurrent requests, because it may stay open forever.
    pub async fn open(&self, call: &Call) -> ApiResult<Chunks> {
        let response = self.begin(call).await?;
        Ok(Box::pin(response.into_body().into_data_stream()))
    }

    /// Asks the server with one attempt to speak another protocol on the connection, and returns
    /// its answer and the connection. Takes no slot, as [`Transport::open`].
    pub async fn upgrade(&self, call: &Call) -> ApiResult<(HeaderMap, Upgraded)> {
        let mut response = self.begin(call).await?;
        let upgrade = hyper::upgrade::on(&mut response);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let message = format!("{} does not switch the protocol", self.session.route);
            return Err(ApiError {
                code: response.status().as_u16(),
                hint: Some(
                    "check for a proxy without WebSocket support in front of the API server"
                        .to_owned(),
                ),
                ..ApiError::local(ApiErrorKind::Other, &call.words, message)
            });
        }
        let upgraded = upgrade.await.map_err(|error| {
            let message = format!("the connection to {} was lost", self.session.route);
            tracing::debug!(request = call.words, %error, "not upgraded");
            ApiError::local(ApiErrorKind::Unreachable, &call.words, message)
        })?;
        Ok((std::mem::take(response.headers_mut()), upgraded))
    }

    /// The head of a successful answer, with one attempt and another one for new credentials.
    async fn begin(&self, call: &Call) -> ApiResult<Response<Body>> {
        let mut renewed = false;
        loop {
            let (client, generation) = self.client(call).await?;
            let limit = self.patience();
            let error = match timeout(limit, self.open_once(&client, call)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(miss)) => miss.error,
                Err(_) => self.stalled(call, limit),
            };
            if error.kind != ApiErrorKind::Unauthorized
                || renewed
                || !self.renew(generation, call).await?
            {
                return Err(error);
            }
            renewed = true;
        }
    }

    /// Returns the client for a request. Not subject to an attempt's timeout, because a plugin may
    /// be waiting for the user.
    async fn client(&self, call: &Call) -> ApiResult<(Client, u64)> {
        self.session
            .client()
            .await
            .map_err(|error| not_logged_in(call, &error))
    }

    async fn renew(&self, generation: u64, call: &Call) -> ApiResult<bool> {
        self.session
            .renew(generation)
            .await
            .map_err(|error| not_logged_in(call, &error))
    }

    fn stalled(&self, call: &Call, limit: Duration) -> ApiError {
        let message = format!(
            "no response from {} within {}",
            self.session.route,
            seconds(limit)
        );
        let hint = (!self.reached()).then(|| {
            "check the address; if the server is only slow, increase the limit, such as --request-timeout=2m".to_owned()
        });
        ApiError {
            hint,
            ..ApiError::local(ApiErrorKind::Timeout, &call.words, message)
        }
    }

    /// Sends a request once and returns the complete response.
    async fn attempt(&self, client: &Client, call: &Call) -> Result<Bytes, Miss> {
        let response = self.open_once(client, call).await?;
        // The response has begun, so the server has received the request even if the connection
        // breaks now.
        whole(response.into_body())
            .await
            .map_err(|error| self.lost(call, &error, true))
    }

    /// Sends a request once and returns when the head of a successful response arrives.
    async fn open_once(&self, client: &Client, call: &Call) -> Result<Response<Body>, Miss> {
        let request = build(call).map_err(|error| Miss {
            failure: Failure::Lasting,
            error: ApiError::local(ApiErrorKind::Invalid, &call.words, error.to_string()),
        })?;
        *lock(&self.counts).entry(call.verb).or_default() += 1;
        let (started, dated) = (Instant::now(), Timestamp::now());
        let sent = client.send(request).await;
        let milliseconds = started.elapsed().as_millis() as u64;
        let response = sent.map_err(|error| {
            tracing::debug!(method = %call.method, path = call.path, milliseconds, "no answer");
            self.lost(call, &error, false)
        })?;
        let code = response.status().as_u16();
        tracing::debug!(method = %call.method, path = call.path, code, milliseconds, "answered");
        self.reached.store(true, Ordering::Relaxed);
        if !call.quiet {
            self.keep_warnings(call, &response);
        }
        self.keep_clock(&response, dated);
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let retry_after = retry::retry_after(response.headers().get(header::RETRY_AFTER));
        // If the body of a failure is unreadable, the status code alone counts.
        let body = whole(response.into_body()).await.unwrap_or_default();
        let mut error = status::from_answer(&call.words, code, &body);
        if error.kind == ApiErrorKind::Unauthorized {
            error.hint = self.session.doubt();
        }
        let etcd = code == 500 && retry::etcd_hiccup(&error.message);
        Err(Miss {
            failure: Failure::Answer {
                code,
                retry_after,
                etcd,
            },
            error,
        })
    }

    fn lost(&self, call: &Call, error: &kube::Error, answering: bool) -> Miss {
        let found = no_answer::explain(error, &self.session.route);
        let failure = match (found.lasting, found.unsent && !answering) {
            (true, _) => Failure::Lasting,
            (false, true) => Failure::Unsent,
            (false, false) => Failure::Lost,
        };
        let message = match answering {
            true => format!("the response from {} was cut off", self.session.route),
            false => found.message,
        };
        let error = ApiError {
            hint: found.hint,
            ..ApiError::local(found.kind, &call.words, message)
        };
        Miss { failure, error }
    }

    fn keep_clock<T>(&self, response: &Response<T>, sent: Timestamp) {
        if self.clock_difference.get().is_none()
            && let Some(difference) = clock::difference(response.headers(), sent, Timestamp::now())
        {
            let _ = self.clock_difference.set(difference);
        }
    }

    fn keep_warnings<T>(&self, call: &Call, response: &Response<T>) {
        for header in response.headers().get_all(header::WARNING) {
            let Some(text) = header.to_str().ok().and_then(warning_text) else {
                continue;
            };
            let mut warnings = lock(&self.warnings);
            let known = match warnings.iter().position(|warned| warned.text == text) {
                Some(known) => known,
                None => {
                    warnings.push(Warned {
                        text,
                        objects: BTreeSet::new(),
                        taken: false,
                    });
                    warnings.len() - 1
                }
            };
            warnings[known].objects.extend(call.object.clone());
        }
    }
}

/// Locks a mutex, even if a thread panicked while holding it. Its updates are single steps, so the
/// data is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build(call: &Call) -> http::Result<Request<Body>> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(header::ACCEPT, call.accept)
        .header(
            header::USER_AGENT,
            concat!("kubectl-fabric/", env!("CARGO_PKG_VERSION")),
        );
    let body = match &call.body {
        Some((content, bytes)) => {
            request = request.header(header::CONTENT_TYPE, *content);
            Body::from(bytes.clone())
        }
        None => Body::empty(),
    };
    let mut request = request.body(body)?;
    request.headers_mut().extend(call.headers.clone());
    if let Some(fence) = &call.fence {
        request.extensions_mut().insert(Gate(fence.is_open.clone()));
    }
    Ok(request)
}

/// Returns the error of a credential plugin as the reason why a request could not be sent.
fn not_logged_in(call: &Call, error: &crate::error::Error) -> ApiError {
    let report = error.to_string();
    let (hints, reasons): (Vec<&str>, Vec<&str>) =
        report.lines().partition(|line| line.starts_with("hint: "));
    let reasons: Vec<&str> = reasons
        .iter()
        .map(|line| line.trim_start_matches("why: ").trim())
        .collect();
    let hint = hints
        .first()
        .map(|hint| hint.trim_start_matches("hint: ").to_owned());
    ApiError {
        hint,
        ..ApiError::local(ApiErrorKind::Unauthorized, &call.words, reasons.join("; "))
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// Returns the text of a header such as `299 - "policy/v1beta1 PodDisruptionBudget is deprecated"`
/// (RFC 7234, 5.5), which is the API server's format.
fn warning_text(header: &str) -> Option<String> {
    let rest = header.strip_prefix("299 ")?;
    let (_, quoted) = rest.split_once(" \"")?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(text),
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    None
}

/// Reads a complete body. Copies each chunk as it arrives, because collecting the chunks first
/// would take twice the memory.
async fn whole(mut body: Body) -> Result<Bytes, kube::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(chunk) = frame?.into_data() {
            bytes.extend_from_slice(&chunk);
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{
            Apply, Connection, Delete, Fence, Kind,
            scripted::{Reply, Scripted, impatient},
        },
        manifest::ObjectKey,
    };
    use futures::future::BoxFuture;
    use serde_json::json;
    use std::sync::{Arc, atomic::AtomicUsize};

    #[test]
    fn a_warning_header_is_read_without_its_quotes() {
        assert_eq!(
            warning_text(r#"299 - "unknown field \"spec.foo\"""#).as_deref(),
            Some("unknown field \"spec.foo\"")
        );
        assert_eq!(warning_text(r#"299 - "cut"#), None);
        assert_eq!(warning_text("199 - \"other\""), None);
    }

    fn namespace(name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    fn lease() -> Value {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock", "namespace": "org1"}})
    }

    #[tokio::test]
    async fn a_read_outlives_hiccups_of_the_server_and_the_network() {
        let busy = Reply::code(429).header("retry-after", 0);
        let etcd = Reply::status(500, "", "etcdserver: leader changed");
        let server = Scripted::start([
            busy,
            Reply::code(503),
            Reply::code(503),
            Reply::Close,
            Reply::Cut,
            etcd,
            Reply::ok("{}"),
        ])
        .await;
        let cluster = server.cluster(impatient()).await;
        assert!(
            cluster
                .get("v1", &namespace("org1"))
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(server.lines().len(), 7);
        assert_eq!(cluster.requests()["get"], 7);
    }

    #[tokio::test]
    async fn a_write_is_sent_again_after_a_reset_but_for_a_deletion_by_name_alone() {
        let server = Scripted::start([
            Reply::Close,
            Reply::ok("{}"),
            Reply::Cut,
            Reply::ok("{}"),
            Reply::Close,
            Reply::Cut,
            Reply::code(504),
        ])
        .await;
        let cluster = server.cluster(impatient()).await;
        cluster.apply(&lease(), Apply::default()).await.unwrap();
        cluster.create(&lease()).await.unwrap();
        for expected in [
            ApiErrorKind::Unreachable,
            ApiErrorKind::Unreachable,
            ApiErrorKind::Unavailable,
        ] {
            let error = cluster
                .delete("v1", &namespace("org1"), Delete::default())
                .await
                .unwrap_err();
            assert_eq!(error.kind, expected);
        }
        assert_eq!(server.lines().len(), 7);
    }

    #[tokio::test]
    async fn a_fence_stands_before_every_attempt_of_a_write_and_before_no_read() {
        let server = Scripted::start([Reply::Close, Reply::ok("{}"), Reply::ok("{}")]).await;
        let passed = Arc::new(AtomicUsize::new(0));
        let count = passed.clone();
        let wait = Arc::new(move || -> BoxFuture<'static, Result<(), String>> {
            let open = count.fetch_add(1, Ordering::SeqCst) < 2;
            Box::pin(async move {
                if open {
                    Ok(())
                } else {
                    Err("no more".to_owned())
                }
            })
        });
        let fence = Fence {
            wait,
            is_open: Arc::new(|| true),
        };
        let cluster = server.cluster(impatient()).await.fenced(fence);
        cluster.apply(&lease(), Apply::default()).await.unwrap();
        assert_eq!(passed.load(Ordering::SeqCst), 2);
        let error = cluster.apply(&lease(), Apply::default()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ApiErrorKind::FencedOff, "no more")
        );
        cluster.version().await.unwrap();
        assert_eq!(server.lines().len(), 3, "what was refused was not sent");
    }

    /// As if the process was suspended after it passed the fence.
    #[tokio::test]
    async fn a_fence_that_has_closed_when_the_connection_takes_a_write_keeps_it_back() {
        // The first write finds the gate closed once, and waits again. The same for a deletion that
        // may not be repeated.
        let server = Scripted::start([Reply::ok("{}"), Reply::ok("{}"), Reply::ok("{}")]).await;
        let (waits, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, looked) = (waits.clone(), looks.clone());
        let wait = Arc::new(move || -> BoxFuture<'static, Result<(), String>> {
            let lost = counted.fetch_add(1, Ordering::SeqCst) == 5;
            Box::pin(async move {
                if lost {
                    Err("taken over".to_owned())
                } else {
                    Ok(())
                }
            })
        });
        let is_open = Arc::new(move || looked.fetch_add(1, Ordering::SeqCst) % 2 == 1);
        let cluster = server
            .cluster(impatient())
            .await
            .fenced(Fence { wait, is_open });
        cluster.apply(&lease(), Apply::default()).await.unwrap();
        cluster
            .delete("v1", &namespace("org1"), Delete::default())
            .await
            .unwrap();
        let lines = server.lines();
        assert!(
            lines.len() == 2 && lines[0].starts_with("PATCH ") && lines[1].starts_with("DELETE "),
            "{lines:?}"
        );
        assert_eq!(
            (waits.load(Ordering::SeqCst), looks.load(Ordering::SeqCst)),
            (4, 4),
            "one look per attempt"
        );

        let error = cluster.apply(&lease(), Apply::default()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ApiErrorKind::FencedOff, "taken over")
        );
        cluster.version().await.unwrap();
        assert_eq!(
            server.lines().len(),
            3,
            "a read has no gate, and nothing else was heard"
        );
    }

    #[tokio::test]
    async fn a_deletion_that_was_surely_not_heard_is_sent_again() {
        let later = Reply::code(503).header("retry-after", 0);
        let server = Scripted::start([Reply::code(429), later, Reply::ok("{}")]).await;
        server
            .cluster(impatient())
            .await
            .delete("v1", &namespace("org1"), Delete::default())
            .await
            .unwrap();
        assert_eq!(server.lines().len(), 3);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_reported_soon_and_plainly() {
        let mut gone = Scripted::start([]).await;
        gone.url = "http://127.0.0.1:1".to_owned();
        let error = gone.cluster(impatient()).await.version().await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unreachable);
        assert_eq!(
            error.message,
            "cannot reach http://127.0.0.1:1: connection refused"
        );
    }

    #[tokio::test]
    async fn an_unknown_host_name_is_reported() {
        let mut nowhere = Scripted::start([]).await;
        nowhere.url = "http://api.invalid:1".to_owned();
        let error = nowhere
            .cluster(impatient())
            .await
            .version()
            .await
            .unwrap_err();
        assert!(
            error.message.contains("cannot resolve the host name"),
            "{}",
            error.message
        );
    }

    #[tokio::test]
    async fn a_stalled_request_ends_and_only_a_harmless_one_is_sent_again() {
        let policy = Policy {
            attempt: Duration::from_millis(100),
            ..impatient()
        };
        let server =
            Scripted::start([Reply::ok("{}"), Reply::Stall, Reply::ok("{}"), Reply::Stall]).await;
        let cluster = server.cluster(policy).await;
        cluster.version().await.unwrap();
        cluster.version().await.unwrap();
        let error = cluster
            .delete("v1", &namespace("org1"), Delete::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Timeout);
        assert_eq!(server.lines().len(), 4);
    }

    #[tokio::test]
    async fn a_server_that_has_never_answered_is_asked_once_unless_the_user_has_more_patience() {
        let policy = Policy {
            first_attempt: Duration::from_millis(50),
            attempt: Duration::from_millis(100),
            ..impatient()
        };
        let silent = || Scripted::start([Reply::Stall, Reply::Stall]);
        let server = silent().await;
        let error = server.cluster(policy).await.version().await.unwrap_err();
        assert_eq!(
            (error.kind, server.lines().len()),
            (ApiErrorKind::Timeout, 1)
        );
        assert!(
            error.message.ends_with("within 0.05 s"),
            "{}",
            error.message
        );
        assert!(error.hint.unwrap().contains("--request-timeout"));
        let patient = Connection {
            request_timeout: Some(Duration::from_secs(60)),
            ..Connection::default()
        };
        let error = silent()
            .await
            .cluster_of(patient, policy)
            .await
            .version()
            .await
            .unwrap_err();
        assert!(error.message.ends_with("within 0.1 s"), "{}", error.message);
    }

    #[tokio::test]
    async fn request_timeout_bounds_all_attempts_together() {
        let server = Scripted::start(std::iter::repeat_n(Reply::Stall, 9)).await;
        let connection = Connection {
            request_timeout: Some(Duration::from_millis(50)),
            ..Connection::default()
        };
        let error = server
            .cluster_of(connection, impatient())
            .await
            .version()
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Timeout);
        assert_eq!(error.message, "no response within 0.05 s");
    }

    #[tokio::test]
    async fn a_server_that_has_just_come_back_may_refuse_for_a_moment() {
        let refused = || {
            Reply::status(
                403,
                "Forbidden",
                "RBAC: clusterrole.rbac.authorization.k8s.io \"edit\" not found",
            )
        };
        let server =
            Scripted::start([refused(), Reply::code(503), refused(), Reply::ok("{}")]).await;
        let cluster = server.cluster(impatient()).await;
        assert_eq!(
            cluster.version().await.unwrap_err().kind,
            ApiErrorKind::Forbidden
        );
        cluster.version().await.unwrap();
        assert_eq!(server.lines().len(), 4);
    }

    #[tokio::test]
    async fn a_conflict_comes_back_at_once_with_its_causes() {
        let causes = json!([{"reason": "FieldManagerConflict", "message": "conflict with \"other\"", "field": ".data.a"}]);
        let status = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "m", "details": {"causes": causes}});
        let server = Scripted::start([Reply::Answer(409, Vec::new(), status.to_string())]).await;
        let error = server
            .cluster(impatient())
            .await
            .apply(&lease(), Apply::default())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.code, error.causes.len()),
            (ApiErrorKind::Conflict, 409, 1)
        );
        assert_eq!(error.request, "apply Lease org1/lock");
    }

    #[tokio::test]
    async fn an_apply_says_who_writes_and_asks_for_strictness() {
        let server = Scripted::start([Reply::ok("{}"), Reply::ok("{}")]).await;
        let cluster = server.cluster(impatient()).await;
        cluster
            .apply(
                &lease(),
                Apply {
                    dry_run: true,
                    force: true,
                    ..Apply::default()
                },
            )
            .await
            .unwrap();
        cluster.apply(&lease(), Apply::default()).await.unwrap();
        let path = "PATCH /apis/coordination.k8s.io/v1/namespaces/org1/leases/lock?fieldManager=kubectl-fabric&fieldValidation=Strict";
        assert_eq!(
            server.lines(),
            [format!("{path}&force=true&dryRun=All"), path.to_owned()]
        );
        assert!(server.seen()[0].contains("content-type: application/apply-patch+yaml"));
        assert_eq!(
            cluster.requests(),
            BTreeMap::from([("apply", 1), ("dry-run", 1)])
        );
    }

    #[tokio::test]
    async fn an_expired_list_is_begun_once_more() {
        let page = |next: &str| {
            Reply::ok(
                json!({"metadata": {"continue": next, "resourceVersion": "1"}, "items": [{"metadata": {"name": next}}]}),
            )
        };
        let expired = Reply::status(410, "Expired", "the continue token is too old");
        let server = Scripted::start([page("t/1"), expired, page("t2"), page("")]).await;
        let kind = Kind {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
        };
        let items = server
            .cluster(impatient())
            .await
            .list(&kind, Some("org1"), "")
            .await
            .unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0]["kind"], "ConfigMap");
        assert!(
            server.lines()[1].ends_with("?limit=500&continue=t%2F1"),
            "{:?}",
            server.lines()
        );
        assert!(
            server.lines()[2].ends_with("?limit=500"),
            "{:?}",
            server.lines()
        );
    }

    #[tokio::test]
    async fn a_kind_is_looked_up_once_and_once_more_when_it_was_not_there() {
        let widgets =
            json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false}]});
        let gone = [Reply::code(404), Reply::code(404)];
        let server = Scripted::start(gone.into_iter().chain([
            Reply::ok(&widgets),
            Reply::ok("{}"),
            Reply::ok("{}"),
        ]))
        .await;
        let cluster = server.cluster(impatient()).await;
        let body =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        assert_eq!(
            cluster
                .apply(&body, Apply::default())
                .await
                .unwrap_err()
                .kind,
            ApiErrorKind::UnknownKind
        );
        cluster.apply(&body, Apply::default()).await.unwrap();
        cluster.apply(&body, Apply::default()).await.unwrap();
        assert_eq!(
            cluster.requests(),
            BTreeMap::from([("apply", 2), ("discover", 3)])
        );
    }

    #[tokio::test]
    async fn a_kind_of_a_version_from_before_is_read_in_the_one_that_is_served_and_not_sent() {
        let widgets =
            json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false}]});
        let group = json!({"versions": [{"groupVersion": "example.com/v2", "version": "v2"}]});
        let replies = [
            Reply::code(404),
            Reply::ok(&group),
            Reply::ok(&widgets),
            Reply::ok(json!({"items": [{}]})),
        ];
        let server = Scripted::start(replies).await;
        let cluster = server.cluster(impatient()).await;
        let kind = Kind {
            api_version: "example.com/v1".to_owned(),
            kind: "Widget".to_owned(),
        };
        assert_eq!(
            cluster.list(&kind, None, "").await.unwrap()[0]["apiVersion"],
            "example.com/v2"
        );
        let body =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        let error = cluster.apply(&body, Apply::default()).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::UnknownKind);
        assert!(
            error.message.ends_with("it serves it in example.com/v2"),
            "{}",
            error.message
        );
        assert!(
            server.lines()[3].starts_with("GET /apis/example.com/v2/widgets"),
            "{:?}",
            server.lines()
        );
    }

    #[tokio::test]
    async fn warnings_are_kept_once_and_taken_once() {
        let warned = || {
            Reply::ok("{}")
                .header("warning", "299 - \"old\"")
                .header("warning", "299 - \"odd\"")
        };
        let server = Scripted::start([warned(), warned()]).await;
        let cluster = server.cluster(impatient()).await;
        cluster.version().await.unwrap();
        cluster.version().await.unwrap();
        assert_eq!(cluster.take_warnings(), ["old", "odd"]);
        assert!(cluster.take_warnings().is_empty());
    }

    #[tokio::test]
    async fn a_warning_names_the_objects_that_it_is_about() {
        let warned = || Reply::ok("{}").header("warning", "299 - \"would violate PodSecurity\"");
        let server = Scripted::start([warned(), warned(), warned()]).await;
        let cluster = server.cluster(impatient()).await;
        for name in ["peer1", "peer0", "peer1"] {
            let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "org1"}});
            cluster.apply(&body, Apply::default()).await.unwrap();
        }
        assert_eq!(
            cluster.take_warnings(),
            ["Pod org1/peer0 and 1 more: would violate PodSecurity"]
        );
    }

    #[tokio::test]
    async fn at_most_so_many_requests_are_under_way() {
        let server = Scripted::start(std::iter::repeat_n(Reply::Stall, 100)).await;
        let cluster = server.cluster(impatient()).await;
        let all = futures::future::join_all((0..100).map(|_| cluster.version()));
        assert!(timeout(Duration::from_millis(300), all).await.is_err());
        assert_eq!(cluster.requests()["get"], AT_ONCE as u64);
    }
}
