//! Sends requests. Limits concurrency, sets timeouts, counts, retries, renews credentials, and
//! collects warnings.

#[cfg(test)]
mod tests;
mod warnings;

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
    collections::BTreeMap,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};
use warnings::Warnings;

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
    warnings: Mutex<Warnings>,
    /// How far the server's clock is ahead, from the first response with a date.
    clock_difference: OnceLock<SignedDuration>,
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
        lock(&self.warnings).take()
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
        let fenced_off = |why| ApiError::local(ApiErrorKind::FencedOff, &call.words, why);
        let started = Instant::now();
        let mut renewed = false;
        let (mut attempts, mut stalls) = (0, 0);
        loop {
            attempts += 1;
            if let Some(fence) = &call.fence {
                (fence.wait)().await.map_err(fenced_off)?;
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
            let chance = retry::chance();
            let pause = retry::pause(&self.policy, call.repeat, failure, progress, chance);
            let Some(pause) = pause else {
                return Err(miss.error);
            };
            tracing::debug!(request = call.words, reason = miss.error.message, pause = ?pause, "will be sent again");
            if started.elapsed() + pause >= MOMENT {
                self.tell_of(&miss.error);
            }
            tokio::time::sleep(pause).await;
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

    /// Requests, with a single attempt, to upgrade the connection to another protocol. Returns the
    /// response and the connection. Does not count in the limit of concurrent requests, like
    /// [`Transport::open`].
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

    /// Returns the head of a successful response. Makes one attempt, and another one after new
    /// credentials.
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
            lock(&self.warnings).keep(response.headers(), call.object.as_ref());
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
