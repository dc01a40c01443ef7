//! Sends requests: bounds how many are under way, times and counts them, retries, renews credentials, keeps warnings.

use super::{
    ApiError, ApiErrorKind, ApiResult, errors,
    requests::Call,
    retry::{self, Failure, Policy, Progress},
    session::Session,
};
use futures::{Stream, StreamExt};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// Requests under way at once. Over HTTP/1.1 each has a connection of its own; from 8 to 32 an API server answers a thousand
/// applies about equally fast, and more only wait in its queues.
const AT_ONCE: usize = 32;

pub(super) struct Transport {
    session: Session,
    policy: Policy,
    /// `--request-timeout`: for one request with all its attempts.
    request_timeout: Option<Duration>,
    slots: Semaphore,
    reached: AtomicBool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// In the order of arrival, each once.
    warnings: Mutex<Vec<String>>,
}

pub(super) type Bytes = Pin<Box<dyn Stream<Item = Result<Vec<u8>, kube::Error>> + Send>>;

/// How one attempt ended, short of success.
struct Miss {
    failure: Failure,
    error: ApiError,
    generation: u64,
}

impl Transport {
    pub fn new(session: Session, policy: Policy, request_timeout: Option<Duration>) -> Transport {
        Transport {
            session,
            policy,
            request_timeout,
            slots: Semaphore::new(AT_ONCE),
            reached: AtomicBool::new(false),
            counts: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    pub fn namespace(&self) -> Option<&str> {
        self.session.namespace.as_deref()
    }

    /// Whether the server has ever answered.
    pub fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.warnings))
    }

    /// Sends a request until it is answered for good, and reads the answer as JSON.
    pub async fn json(&self, call: &Call) -> ApiResult<Value> {
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError {
            code: 200,
            hint: Some("is there a proxy or a login page before the API server?".to_owned()),
            ..ApiError::local(
                ApiErrorKind::Other,
                &call.words,
                format!("the answer is not JSON (line {}, column {})", error.line(), error.column()),
            )
        })
    }

    /// Sends a request until it is answered for good.
    pub async fn send(&self, call: &Call) -> ApiResult<Vec<u8>> {
        let _slot = self.slots.acquire().await;
        match self.request_timeout {
            None => self.send_again_and_again(call).await,
            Some(limit) => timeout(limit, self.send_again_and_again(call)).await.unwrap_or_else(|_| {
                Err(ApiError {
                    hint: Some("give it more time with --request-timeout".to_owned()),
                    ..ApiError::local(ApiErrorKind::Timeout, &call.words, format!("no answer within {}", seconds(limit)))
                })
            }),
        }
    }

    async fn send_again_and_again(&self, call: &Call) -> ApiResult<Vec<u8>> {
        let started = Instant::now();
        let mut renewed = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let miss = match timeout(self.policy.attempt, self.attempt(call)).await {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(miss)) => miss,
                Err(_) => Miss {
                    failure: Failure::Stalled,
                    error: ApiError::local(
                        ApiErrorKind::Timeout,
                        &call.words,
                        format!("no answer from {} within {}", self.session.route, seconds(self.policy.attempt)),
                    ),
                    generation: 0,
                },
            };
            if miss.error.kind == ApiErrorKind::Unauthorized && !renewed && self.renew(&miss, call).await? {
                renewed = true;
                continue;
            }
            let progress = Progress { attempts, elapsed: started.elapsed(), reached: self.reached() };
            match retry::pause(&self.policy, call.repeat, miss.failure, progress, retry::chance()) {
                Some(pause) => {
                    tracing::debug!(request = call.words, reason = miss.error.message, pause = ?pause, "will be sent again");
                    tokio::time::sleep(pause).await;
                }
                None => return Err(miss.error),
            }
        }
    }

    /// Opens a stream (a watch) with one attempt; who reads it knows how to go on. It takes no slot: it may last for ever.
    pub async fn open(&self, call: &Call) -> ApiResult<Bytes> {
        let mut renewed = false;
        loop {
            let opened = timeout(self.policy.attempt, self.open_once(call)).await;
            match opened {
                Ok(Ok(response)) => {
                    let chunks = response.into_body().into_data_stream();
                    return Ok(Box::pin(chunks.map(|chunk| chunk.map(|bytes| bytes.to_vec()))));
                }
                Ok(Err(miss)) if miss.error.kind == ApiErrorKind::Unauthorized && !renewed && self.renew(&miss, call).await? => {
                    renewed = true;
                }
                Ok(Err(miss)) => return Err(miss.error),
                Err(_) => {
                    return Err(ApiError::local(
                        ApiErrorKind::Timeout,
                        &call.words,
                        format!("no answer from {} within {}", self.session.route, seconds(self.policy.attempt)),
                    ));
                }
            }
        }
    }

    async fn renew(&self, miss: &Miss, call: &Call) -> ApiResult<bool> {
        self.session.renew(miss.generation).await.map_err(|error| not_logged_in(call, &error))
    }

    /// One request and its whole answer.
    async fn attempt(&self, call: &Call) -> Result<Vec<u8>, Miss> {
        let response = self.open_once(call).await?;
        // The answer has begun, so whatever breaks now, the server has heard the request.
        let body = response.into_body().collect().await.map_err(|error| self.lost(call, &error, true))?;
        Ok(body.to_bytes().to_vec())
    }

    /// One request, up to the head of a successful answer.
    async fn open_once(&self, call: &Call) -> Result<Response<Body>, Miss> {
        let (client, generation) = self.session.client().await.map_err(|error| Miss {
            failure: Failure::Lasting,
            error: not_logged_in(call, &error),
            generation: 0,
        })?;
        let request = build(call).map_err(|error| Miss {
            failure: Failure::Lasting,
            error: ApiError::local(ApiErrorKind::Invalid, &call.words, error.to_string()),
            generation,
        })?;
        *lock(&self.counts).entry(call.verb).or_default() += 1;
        let started = Instant::now();
        let sent = client.send(request).await;
        let milliseconds = started.elapsed().as_millis() as u64;
        let response = sent.map_err(|error| {
            tracing::debug!(method = %call.method, path = call.path, milliseconds, "no answer");
            self.lost(call, &error, false)
        })?;
        let code = response.status().as_u16();
        tracing::debug!(method = %call.method, path = call.path, code, milliseconds, "answered");
        self.reached.store(true, Ordering::Relaxed);
        self.keep_warnings(&response);
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = retry::retry_after(response.headers().get(header::RETRY_AFTER));
        // What cannot be read of a failure's body leaves its code to speak.
        let body = response.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        let error = errors::from_answer(&call.words, code, &body);
        let etcd = code == 500 && retry::etcd_hiccup(&error.message);
        Err(Miss { failure: Failure::Answer { code, retry_after, etcd }, error, generation })
    }

    fn lost(&self, call: &Call, error: &kube::Error, answering: bool) -> Miss {
        let found = errors::no_answer(error, &self.session.route);
        let failure = match (found.lasting, found.unsent && !answering) {
            (true, _) => Failure::Lasting,
            (false, true) => Failure::Unsent,
            (false, false) => Failure::Lost,
        };
        let message = match answering {
            true => format!("the answer from {} was cut off", self.session.route),
            false => found.message,
        };
        let error = ApiError { hint: found.hint, ..ApiError::local(found.kind, &call.words, message) };
        Miss { failure, error, generation: 0 }
    }

    fn keep_warnings<T>(&self, response: &Response<T>) {
        for header in response.headers().get_all(header::WARNING) {
            if let Some(text) = header.to_str().ok().and_then(warning_text) {
                let mut warnings = lock(&self.warnings);
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            }
        }
    }
}

/// A thread that panicked while it counted has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build(call: &Call) -> http::Result<Request<Body>> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(header::ACCEPT, call.accept)
        .header(header::USER_AGENT, concat!("kubectl-fabric/", env!("CARGO_PKG_VERSION")));
    let body = match &call.body {
        Some((content, bytes)) => {
            request = request.header(header::CONTENT_TYPE, *content);
            Body::from(bytes.clone())
        }
        None => Body::empty(),
    };
    request.body(body)
}

/// The plugin's own report as the reason of a request that could not be sent for it.
fn not_logged_in(call: &Call, error: &crate::error::Error) -> ApiError {
    ApiError::local(ApiErrorKind::Unauthorized, &call.words, error.to_string())
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// The text of a header like `299 - "policy/v1beta1 PodDisruptionBudget is deprecated"` (RFC 7234, 5.5), the form the API server
/// sends.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_header_is_read_without_its_quotes() {
        assert_eq!(warning_text(r#"299 - "unknown field \"spec.foo\"""#).as_deref(), Some("unknown field \"spec.foo\""));
        assert_eq!(warning_text(r#"299 - "cut"#), None);
        assert_eq!(warning_text("199 - \"other\""), None);
    }
}
