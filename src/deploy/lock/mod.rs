//! Allows one operation at a time per release, with a Lease that is renewed while the operation
//! runs.
//!
//! A lock is taken over only if its holder is certainly dead ([`run_file`]), or if its Lease did
//! not change for 10 s by the observer's clock ([`observer`]). A run that lost its lock stops writing:
//! each attempt of each write passes [`Lock::fence`]. A holder that could not renew in time does
//! not know whether it still holds the lock, and writes nothing until it knows. An operation
//! reports success only after it has deleted the Lease in the version that it last wrote
//! ([`Lock::conclude`]).

mod lease;
mod run_file;
mod observer;

use super::{Context, wait};
use crate::cluster::{ApiError, ApiErrorKind, Cluster, Delete, Fence};
use crate::error::{Error, Kind, Result};
use crate::manifest::ObjectKey;
use crate::release;
use jiff::Timestamp;
use lease::{API_VERSION, Holder, Written};
use observer::{Decision, Look, Observer, Run};
use run_file::RunFile;
use serde_json::Value;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// A lock is taken over if its Lease does not change for this time.
const EXPIRY: Duration = Duration::from_secs(10);
/// How long after a renewal the holder may write. The difference to the expiry is for writes in
/// transit.
const TENURE: Duration = Duration::from_secs(8);
/// Interval of renewals. Two attempts fit into the tenure.
const RENEWAL: Duration = Duration::from_secs(3);
/// Interval of reads of a lock that another run holds.
const LOOK: Duration = Duration::from_millis(500);
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
    match take(context, &key, &holder, run_file.as_ref()).await {
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

async fn take(
    context: &Context<'_>,
    key: &ObjectKey,
    holder: &Holder,
    ours: Option<&RunFile>,
) -> Result<(Value, Tenure)> {
    let (cluster, release) = (context.cluster, context.release.as_str());
    let mut stop = context.interrupted.clone();
    let mut observer = Observer::new(EXPIRY);
    let mut has_reported = false;
    let began = Instant::now();
    for _ in 0..ATTEMPTS {
        let tenure = Tenure::begin();
        match cluster
            .create(&lease::body(key, release, holder, tenure.dated))
            .await
        {
            Ok(lease) => return Ok((lease, tenure)),
            Err(error) if error.kind == ApiErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let there = loop {
            let sent = began.elapsed();
            let there = tokio::select! {
                there = cluster.get(API_VERSION, key) => there?,
                () = wait::interrupt(&mut stop) => return Err(wait::interrupted()),
            };
            let Some(there) = there else { break None };
            let run = match lease::run(&there) {
                run if run == holder.run => Run::Ours,
                run if ours.is_some_and(|ours| ours.is_dead(run)) => Run::Dead,
                _ => Run::InDoubt,
            };
            let look = Look {
                sent,
                answered: began.elapsed(),
                version: lease::version(&there),
                run,
            };
            match observer.judge(look) {
                Decision::TakeOver => break Some(there),
                Decision::Refuse => return Err(refusal(release, &there)),
                Decision::Watch => {}
            }
            if !std::mem::replace(&mut has_reported, true) {
                context.step(&waiting(&there));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = wait::interrupt(&mut stop) => return Err(wait::interrupted()),
            }
        };
        let Some(there) = there else { continue };
        let tenure = Tenure::begin();
        let mut taken = lease::body(key, release, holder, tenure.dated);
        // Binds to this Lease. Otherwise the server would create one that was deleted in the
        // meantime.
        for field in ["uid", "resourceVersion"] {
            taken["metadata"][field] = there["metadata"][field].clone();
        }
        match cluster.replace(&taken).await {
            Ok(lease) => {
                ours.into_iter()
                    .for_each(|ours| ours.remove_dead(lease::run(&there)));
                return Ok((lease, tenure));
            }
            Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => {
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::refused(format!(
        "the lock of release \"{release}\" changes its holder too often"
    ))
    .hint("run the command again"))
}

fn waiting(lease: &Value) -> String {
    let (holder, expiry) = (lease::holder(lease), EXPIRY.as_secs());
    format!(
        "{holder} holds the lock; waiting up to {expiry} seconds for it to be renewed or to expire"
    )
}

fn refusal(release: &str, lease: &Value) -> Error {
    Error::refused(format!(
        "another {} of release \"{release}\" is running",
        lease::operation(lease)
    ))
    .why(format!(
        "{} holds the lock and has just renewed it",
        lease::holder(lease)
    ))
    .now("nothing was changed")
    .hint(format!(
        "wait for it to finish; a lock that is not renewed for {} seconds expires",
        EXPIRY.as_secs()
    ))
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
        let ends_with_namespace = self.ends_with_namespace.get();
        let lost = |loss: String| {
            if ends_with_namespace {
                End::Released
            } else {
                End::Lost(loss)
            }
        };
        let unknown = || End::Left(NOT_RENEWED.to_owned());
        if surely {
            if let Err(loss) = held(self.tenure.clone()).await {
                return lost(loss);
            }
        } else if !self.tenure.borrow().is_fresh() {
            return self.tenure.borrow().lost.clone().map_or_else(unknown, lost);
        }
        let Some(Renewal { stop, task }) = self.renewal.take() else {
            return unknown();
        };
        // A renewal in progress finishes first, so that the version to delete is known.
        let _ = stop.send(());
        let Ok(mut written) = task.await else {
            return unknown();
        };
        if let Some(loss) = self.tenure.borrow().lost.clone() {
            return lost(loss);
        }
        for _ in 0..ATTEMPTS {
            let (uid, resource_version) = lease::version(&written.lease);
            let how = Delete {
                uid: Some(uid),
                resource_version: Some(resource_version),
                ..Delete::default()
            };
            let error = match self.cluster.delete(API_VERSION, &self.key, how).await {
                Ok(true) => return End::Released,
                Ok(false) => return lost("its Lease was deleted".to_owned()),
                Err(error) => error,
            };
            // If the response to the deletion was lost, read the Lease to see whether it succeeded.
            let there = match self.cluster.get(API_VERSION, &self.key).await {
                Ok(None)
                    if !matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::Replaced) =>
                {
                    return End::Released;
                }
                Ok(there) => there,
                Err(_) => return End::Left(error.message),
            };
            if let Err(loss) = written.read_back(there) {
                return lost(loss);
            }
            if !matches!(
                error.kind,
                ApiErrorKind::Conflict
                    | ApiErrorKind::Replaced
                    | ApiErrorKind::Unavailable
                    | ApiErrorKind::Unreachable
                    | ApiErrorKind::Timeout
            ) {
                return End::Left(error.message);
            }
        }
        unknown()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::scripted::{Reply, Scripted, impatient};
    use crate::deploy::scripted;
    use jiff::SignedDuration;
    use serde_json::json;

    #[tokio::test]
    async fn a_holder_that_could_not_renew_waits_until_it_has_or_has_lost() {
        let stale = Tenure {
            dated: clock() - SignedDuration::from_secs(11),
            ..Tenure::begin()
        };
        let (sender, tenure) = watch::channel(stale);
        let waiting = tokio::spawn(held(tenure.clone()));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        sender.send_replace(Tenure::begin());
        assert_eq!(waiting.await.unwrap(), Ok(()));
        sender.send_modify(|tenure| tenure.lost = Some("taken".to_owned()));
        assert_eq!(held(tenure).await, Err("taken".to_owned()));
    }

    #[tokio::test]
    async fn a_lock_that_someone_else_wrote_is_lost_at_its_end_and_an_own_one_is_deleted() {
        let key = || lease::key("org1", "org1");
        let holder = Holder::this_process("ann", "upgrade", Some("1"));
        let ours = lease::body(
            &key(),
            "org1",
            &holder,
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
        let mut others = ours.clone();
        others["spec"]["renewTime"] = json!("2099-01-01T00:00:00.000000Z");
        let (done, gone, conflict) = (
            Reply::ok("{}"),
            Reply::status(404, "NotFound", "gone"),
            Reply::status(409, "Conflict", "changed"),
        );
        let cases = [
            (vec![done.clone()], true),
            (vec![gone.clone()], false),
            (vec![conflict.clone(), Reply::ok(&ours), done.clone()], true),
            (vec![conflict.clone(), Reply::ok(&others)], false),
            (vec![conflict, gone.clone()], false),
            // The response to the deletion was lost, after or before the server carried it out.
            (vec![Reply::Close, gone], true),
            (vec![Reply::Close, Reply::ok(&ours), done], true),
            (vec![Reply::Close, Reply::ok(&others)], false),
        ];
        for (index, (replies, released)) in cases.into_iter().enumerate() {
            let count = replies.len();
            // The first response shows that the server is reachable.
            let server = Scripted::start([vec![Reply::ok("{}")], replies].concat()).await;
            let cluster = server.cluster(impatient()).await;
            cluster.version().await.unwrap();
            let mut lock = hold(&cluster, key(), ours.clone(), Tenure::begin(), None);
            assert_eq!(
                matches!(lock.end(true).await, End::Released),
                released,
                "case {index}"
            );
            assert_eq!(
                server.lines().len(),
                1 + count,
                "case {index}: {:?}",
                server.lines()
            );
        }
    }

    #[tokio::test]
    async fn a_takeover_that_another_run_wins_is_no_lock() {
        let ours = Holder::this_process("ann", "upgrade", Some("1"));
        let other = Holder {
            user: "bob".into(),
            run: "2".into(),
            ..ours.clone()
        };
        let key = lease::key("org1", "org1");
        let lease = |holder: &Holder, version: &str| {
            let mut lease = lease::body(
                &key,
                "org1",
                holder,
                "2026-01-01T00:00:00Z".parse().unwrap(),
            );
            lease["metadata"]["uid"] = "u".into();
            lease["metadata"]["resourceVersion"] = version.into();
            Reply::ok(&lease)
        };
        let exists = || Reply::status(409, "AlreadyExists", "it exists");
        let conflict = || Reply::status(409, "Conflict", "changed");
        // The Lease names this run, whose first response was lost, so it takes it over at once.
        let begin = || vec![exists(), lease(&ours, "1")];
        let cases = [
            (vec![lease(&ours, "2")], Some("1")),
            // Another run was faster and renews.
            (
                vec![conflict(), exists(), lease(&other, "2"), lease(&other, "3")],
                None,
            ),
            // Another run was faster and is finished.
            (vec![conflict(), lease(&ours, "4")], Some("1")),
            (
                vec![
                    Reply::status(404, "NotFound", "gone"),
                    exists(),
                    lease(&other, "2"),
                    lease(&other, "3"),
                ],
                None,
            ),
        ];
        for (index, (replies, taken)) in cases.into_iter().enumerate() {
            let count = 2 + replies.len();
            let server = Scripted::start([begin(), replies].concat()).await;
            let cluster = server.cluster(impatient()).await;
            let context = scripted::context(&cluster, false);
            let found = take(&context, &key, &ours, None).await;
            match (found, taken) {
                (Ok((found, _)), Some(run)) => assert_eq!(lease::run(&found), run, "case {index}"),
                (Err(error), None) => {
                    assert!(error.to_string().contains("bob@"), "case {index}: {error}")
                }
                (found, _) => panic!(
                    "case {index}: {:?}",
                    found
                        .map(|(lease, _)| lease)
                        .map_err(|error| error.to_string())
                ),
            }
            assert_eq!(
                server.lines().len(),
                count,
                "case {index}: {:?}",
                server.lines()
            );
            let replaced = server
                .seen()
                .into_iter()
                .find(|request| request.starts_with("PUT"))
                .expect("a takeover");
            assert!(
                replaced.contains("\"uid\":\"u\"")
                    && replaced.contains("\"resourceVersion\":\"1\""),
                "{replaced}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_holder() {
        let lease = json!({"spec": {"holderIdentity": "ann@box (process 7)"}});
        let error = refusal("org1", &lease);
        assert!(error.to_string().contains("ann@box (process 7)"), "{error}");
        assert_eq!(error.kind().exit_status(), 4);
    }
}
