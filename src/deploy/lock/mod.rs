//! Allows one operation at a time per release, with a Lease that is renewed while the operation
//! runs.
//!
//! A lock is taken over only if its holder is certainly dead ([`run_file`]), or if its Lease did
//! not change for 10 s by the observer's clock ([`observer`]). A run that lost its lock stops
//! writing: each attempt of each write passes [`Lock::fence`]. A holder that could not renew in
//! time does not know whether it still holds the lock, and writes nothing until it knows. An
//! operation reports success only after it has deleted the Lease in the version that it last wrote
//! ([`Lock::conclude`]).

mod lease;
mod observer;
mod run_file;
mod take;
#[cfg(test)]
mod tests;

use super::Context;
use crate::cluster::{ApiError, ApiErrorKind, Cluster, Delete, Fence};
use crate::error::{Error, Kind, Result};
use crate::manifest::ObjectKey;
use crate::release;
use jiff::Timestamp;
use lease::{API_VERSION, Holder, Written};
use run_file::RunFile;
use serde_json::Value;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use take::Candidate;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// A lock is taken over if its Lease does not change for this time.
const EXPIRY: Duration = Duration::from_secs(10);
/// How long after a renewal the holder may write. The difference to the expiry is for writes in
/// transit.
const TENURE: Duration = Duration::from_secs(8);
/// Interval of renewals. Two attempts fit into the tenure.
const RENEWAL: Duration = Duration::from_secs(3);
/// Timeout of a renewal. A shorter one would prevent every renewal on a slow server.
const STALL: Duration = EXPIRY;
/// How long to wait for a server that is unreachable.
const ABSENCE: Duration = Duration::from_secs(120);
/// Number of attempts to write a Lease that others write at the same time.
const ATTEMPTS: usize = 5;

/// A held lock. [`Lock::conclude`] releases it. A dropped lock expires.
pub struct Lock {
    cluster: Cluster,
    key: ObjectKey,
    tenure: watch::Receiver<Tenure>,
    renewal: Option<Renewal>,
    run_file: Option<RunFile>,
    /// The Lease is deleted with its namespace at the end of this run.
    ends_with_namespace: Cell<bool>,
}

struct Renewal {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Written>,
}

/// The time for which this run certainly holds the lock.
#[derive(Clone)]
struct Tenure {
    /// Start of the last successful renewal by both clocks. The monotonic clock stops while a
    /// machine sleeps, and the wall clock may be set.
    renewed: Instant,
    dated: Timestamp,
    /// How the lock was lost.
    lost: Option<String>,
}

impl Tenure {
    fn begin() -> Tenure {
        Tenure {
            renewed: Instant::now(),
            dated: clock(),
            lost: None,
        }
    }

    fn is_fresh(&self) -> bool {
        let dated = clock().duration_since(self.dated).unsigned_abs();
        self.lost.is_none() && self.renewed.elapsed() <= TENURE && dated <= TENURE
    }
}

/// Reads the wall clock, to date a Lease for people and to detect that the machine slept. No clock
/// extends the tenure.
#[allow(
    clippy::disallowed_methods,
    reason = "a renewal carries the time at which it is sent"
)]
fn clock() -> Timestamp {
    Timestamp::now()
}

/// Acquires the lock of the context's release for an operation of `user`.
///
/// # Errors
///
/// Refuses if another run holds the lock. Fails if it is interrupted while it waits for the lock to
/// expire, and for other errors of the API server.
pub async fn acquire(context: &Context<'_>, user: &str, operation: &str) -> Result<Lock> {
    let run_file = RunFile::create();
    let holder = Holder::this_process(user, operation, run_file.as_ref().map(RunFile::run));
    let key = lease::key(&context.namespace, context.release.as_str());
    let candidate = Candidate {
        context,
        key: &key,
        holder: &holder,
        run_file: run_file.as_ref(),
    };
    match candidate.take().await {
        Ok((lease, tenure)) => Ok(hold(context.cluster, key, lease, tenure, run_file)),
        Err(error) => {
            // After any other error, a write whose response was lost may have created a Lease of
            // this run.
            if matches!(error.kind(), Kind::Refused | Kind::Interrupted) {
                run_file.into_iter().for_each(RunFile::remove);
            }
            Err(error)
        }
    }
}

/// Returns the name of a release's Lease.
pub fn lease_name(release: &str) -> String {
    lease::key("", release).name
}

/// Returns true if there is a lock, regardless of its holder.
pub async fn is_left(cluster: &Cluster, namespace: &str, release: &str) -> Result<bool, ApiError> {
    Ok(cluster
        .get(API_VERSION, &lease::key(namespace, release))
        .await?
        .is_some())
}

fn hold(
    cluster: &Cluster,
    key: ObjectKey,
    lease: Value,
    tenure: Tenure,
    run_file: Option<RunFile>,
) -> Lock {
    let (sender, tenure) = watch::channel(tenure);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(renew(
        cluster.urgent(),
        key.clone(),
        Written::new(lease),
        sender,
        stopped,
    ));
    Lock {
        cluster: cluster.clone(),
        key,
        tenure,
        renewal: Some(Renewal { stop, task }),
        run_file,
        ends_with_namespace: Cell::new(false),
    }
}

/// Renews the lock until it is lost or `stop` is signalled.
///
/// A renewal is bound to the version of the previous one. If it succeeds, no other run held the
/// lock in between, regardless of the time.
async fn renew(
    cluster: Cluster,
    key: ObjectKey,
    mut written: Written,
    tenure: watch::Sender<Tenure>,
    mut stop: oneshot::Receiver<()>,
) -> Written {
    let mut pause = RENEWAL;
    let loss = loop {
        if tenure.borrow().renewed.elapsed() > ABSENCE {
            break NOT_RENEWED.to_owned();
        }
        tokio::select! {
            biased;
            _ = &mut stop => return written,
            () = tokio::time::sleep(pause) => {}
        }
        pause = RENEWAL;
        let next = Tenure::begin();
        written.date(lease::micro_time(next.dated));
        match timeout(STALL, cluster.replace(&written.lease)).await {
            Ok(Ok(renewed)) => {
                written = Written::new(renewed);
                tenure.send_replace(next);
            }
            Ok(Err(error))
                if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) =>
            {
                if let Ok(Ok(there)) = timeout(STALL, cluster.get(API_VERSION, &key)).await {
                    match written.read_back(there) {
                        // This is our own renewal, whose response was lost.
                        Ok(()) => pause = Duration::ZERO,
                        Err(loss) => break loss,
                    }
                }
            }
            // The API server is unreachable.
            _ => {}
        }
    };
    tenure.send_modify(|tenure| tenure.lost = Some(loss));
    written
}

/// Waits until it is certain that this run holds the lock.
async fn held(mut tenure: watch::Receiver<Tenure>) -> Result<(), String> {
    loop {
        let now = tenure.borrow_and_update().clone();
        if now.is_fresh() {
            return Ok(());
        }
        if let Some(loss) = now.lost {
            return Err(loss);
        }
        if tenure.changed().await.is_err() {
            return Err(NOT_RENEWED.to_owned());
        }
    }
}

const NOT_RENEWED: &str = "it was not renewed in time, so another run may have taken it over";

/// The end of a lock.
enum End {
    Released,
    Lost(String),
    /// It is unknown whether the lock is still held, for this reason. It expires.
    Left(String),
}

impl End {
    fn unknown() -> End {
        End::Left(NOT_RENEWED.to_owned())
    }
}

impl Lock {
    /// Fails if the lock is lost.
    pub fn check(&self) -> Result<()> {
        match &self.tenure.borrow().lost {
            Some(loss) => Err(self.loss(loss)),
            None => Ok(()),
        }
    }

    /// Runs this work while the lock is held. If another run works on the release, events that the
    /// work waits for may never occur.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            lost = self.lost() => Err(lost),
        }
    }

    async fn lost(&self) -> Error {
        // If the renewal task is gone, nothing can renew the lock, so it is lost as well.
        let loss = match self
            .tenure
            .clone()
            .wait_for(|tenure| tenure.lost.is_some())
            .await
        {
            Ok(tenure) => tenure.lost.clone(),
            Err(_) => None,
        };
        if self.ends_with_namespace.get() {
            std::future::pending::<()>().await;
        }
        self.loss(loss.as_deref().unwrap_or(NOT_RENEWED))
    }

    fn loss(&self, why: &str) -> Error {
        let release = self.key.name.trim_start_matches("kubectl-fabric.");
        let namespace = self.key.namespace.as_deref().unwrap_or_default();
        Error::refused(format!("the lock of release \"{release}\" was lost"))
            .why(why)
            .now("this run has stopped; its last writes may have happened after another run took over")
            .hint(format!("compare the cluster with the release's record with `{}`", release::command("drift", release, namespace)))
            .hint("then run the command again; it continues from the current state")
    }

    /// Returns the fence for writes under this lock.
    pub fn fence(&self) -> Fence {
        let (tenure, now) = (self.tenure.clone(), self.tenure.clone());
        Fence {
            wait: Arc::new(move || Box::pin(held(tenure.clone()))),
            is_open: Arc::new(move || now.borrow().is_fresh()),
        }
    }

    /// Declares that the namespace is now deleted with the Lease, so that the Lease's deletion is
    /// not a loss.
    pub fn ends_with_namespace(&self) {
        self.ends_with_namespace.set(true);
    }

    /// Releases the lock at the end of an operation.
    ///
    /// Work is not successful if the lock was lost: another run may have worked on the same objects
    /// at the same time.
    pub async fn conclude<T>(mut self, outcome: Result<T>, context: &Context<'_>) -> Result<T> {
        let is_done = outcome.is_ok();
        let end = self.end(is_done).await;
        if matches!(end, End::Released) {
            self.run_file.take().into_iter().for_each(RunFile::remove);
        }
        match (outcome, end) {
            (outcome, End::Released) => outcome,
            (outcome, End::Left(why)) => {
                context.warn(&format!("cannot release the lock; it will expire: {why}"));
                outcome
            }
            (Ok(_), End::Lost(loss)) => Err(self.loss(&loss).replace_now(
                "this run completed and recorded everything; another run may have changed it since",
            )),
            (Err(error), End::Lost(_)) if error.kind() == Kind::Refused => Err(error),
            (Err(error), End::Lost(loss)) => {
                Err(error.why(format!("the lock was also lost: {loss}")))
            }
        }
    }

    /// Stops the renewals and deletes the Lease, but only in the version that this run last wrote.
    /// With `surely`, waits until it is known whether the lock is still held.
    async fn end(&mut self, surely: bool) -> End {
        if surely {
            if let Err(loss) = held(self.tenure.clone()).await {
                return self.end_by(loss);
            }
        } else if !self.tenure.borrow().is_fresh() {
            let lost = self.tenure.borrow().lost.clone();
            return lost.map_or_else(End::unknown, |loss| self.end_by(loss));
        }
        let Some(Renewal { stop, task }) = self.renewal.take() else {
            return End::unknown();
        };
        // A renewal in progress finishes first, so that the version to delete is known.
        let _ = stop.send(());
        let Ok(written) = task.await else {
            return End::unknown();
        };
        let lost = self.tenure.borrow().lost.clone();
        match lost {
            Some(loss) => self.end_by(loss),
            None => self.delete(written).await,
        }
    }

    /// Returns the end of a lock that was lost like this.
    fn end_by(&self, loss: String) -> End {
        match self.ends_with_namespace.get() {
            true => End::Released,
            false => End::Lost(loss),
        }
    }

    async fn delete(&self, mut written: Written) -> End {
        for _ in 0..ATTEMPTS {
            let (uid, resource_version) = lease::version(&written.lease);
            let how = Delete {
                uid: Some(uid),
                resource_version: Some(resource_version),
                ..Delete::default()
            };
            let error = match self.cluster.delete(API_VERSION, &self.key, how).await {
                Ok(true) => return End::Released,
                Ok(false) => return self.end_by("its Lease was deleted".to_owned()),
                Err(error) => error,
            };
            let is_other = matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::Replaced);
            // If the response to the deletion was lost, read the Lease to see whether it succeeded.
            let there = match self.cluster.get(API_VERSION, &self.key).await {
                Ok(None) if !is_other => return End::Released,
                Ok(there) => there,
                Err(_) => return End::Left(error.message),
            };
            if let Err(loss) = written.read_back(there) {
                return self.end_by(loss);
            }
            let may_pass = matches!(
                error.kind,
                ApiErrorKind::Unavailable | ApiErrorKind::Unreachable | ApiErrorKind::Timeout
            );
            if !is_other && !may_pass {
                return End::Left(error.message);
            }
        }
        End::unknown()
    }
}

#[cfg(test)]
impl Lock {
    /// Returns a lock without renewals, held or lost with this reason.
    pub(super) fn scripted(cluster: &Cluster, loss: Option<&str>) -> Lock {
        let tenure = Tenure {
            lost: loss.map(str::to_owned),
            ..Tenure::begin()
        };
        Lock {
            cluster: cluster.clone(),
            key: lease::key("org1", "org1"),
            tenure: watch::channel(tenure).1,
            renewal: None,
            run_file: None,
            ends_with_namespace: Cell::new(false),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.task.abort();
        }
    }
}
