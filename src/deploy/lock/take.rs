//! Takes the lock: creates the Lease, or takes over one that is dead or not renewed.

use super::lease::{self, API_VERSION, Holder};
use super::observer::{Decision, Look, Observer, Run};
use super::run_file::RunFile;
use super::{ATTEMPTS, EXPIRY, Tenure};
use crate::cluster::ApiErrorKind;
use crate::deploy::{Context, wait};
use crate::error::{Error, Result};
use crate::manifest::ObjectKey;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Interval of reads of a lock that another run holds.
const LOOK: Duration = Duration::from_millis(500);

/// A run that wants the lock.
pub(super) struct Candidate<'a> {
    pub context: &'a Context<'a>,
    pub key: &'a ObjectKey,
    pub holder: &'a Holder,
    pub run_file: Option<&'a RunFile>,
}

/// The candidate's reads of another run's lock.
struct Seen {
    began: Instant,
    observer: Observer,
    is_reported: bool,
}

impl Candidate<'_> {
    pub async fn take(&self) -> Result<(Value, Tenure)> {
        let mut seen = Seen {
            began: Instant::now(),
            observer: Observer::new(EXPIRY),
            is_reported: false,
        };
        for _ in 0..ATTEMPTS {
            if let Some(taken) = self.create().await? {
                return Ok(taken);
            }
            if let Some(there) = self.watch(&mut seen).await?
                && let Some(taken) = self.take_over(&there).await?
            {
                return Ok(taken);
            }
        }
        Err(Error::refused(format!(
            "the lock of release \"{}\" changes its holder too often",
            self.context.release
        ))
        .hint("run the command again"))
    }

    /// Returns `None` if there is a Lease.
    async fn create(&self) -> Result<Option<(Value, Tenure)>> {
        let tenure = Tenure::begin();
        match self.context.cluster.create(&self.lease(&tenure)).await {
            Ok(lease) => Ok(Some((lease, tenure))),
            Err(error) if error.kind == ApiErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lease(&self, tenure: &Tenure) -> Value {
        let release = self.context.release.as_str();
        lease::body(self.key, release, self.holder, tenure.dated)
    }

    /// Waits until the Lease may be taken over, and returns it, or `None` if it is gone.
    ///
    /// # Errors
    ///
    /// Refuses if its holder renews it.
    async fn watch(&self, seen: &mut Seen) -> Result<Option<Value>> {
        let context = self.context;
        let mut stop = context.interrupted.clone();
        loop {
            let sent = seen.began.elapsed();
            let there = tokio::select! {
                there = context.cluster.get(API_VERSION, self.key) => there?,
                () = wait::interrupt(&mut stop) => return Err(wait::interrupted()),
            };
            let Some(there) = there else { return Ok(None) };
            let run = match lease::run(&there) {
                run if run == self.holder.run => Run::Ours,
                run if self.run_file.is_some_and(|ours| ours.is_dead(run)) => Run::Dead,
                _ => Run::InDoubt,
            };
            let look = Look {
                sent,
                answered: seen.began.elapsed(),
                version: lease::version(&there),
                run,
            };
            match seen.observer.judge(look) {
                Decision::TakeOver => return Ok(Some(there)),
                Decision::Refuse => return Err(refusal(context.release.as_str(), &there)),
                Decision::Watch => {}
            }
            if !std::mem::replace(&mut seen.is_reported, true) {
                context.step(&waiting(&there));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = wait::interrupt(&mut stop) => return Err(wait::interrupted()),
            }
        }
    }

    /// Returns `None` if another run was faster.
    async fn take_over(&self, there: &Value) -> Result<Option<(Value, Tenure)>> {
        let tenure = Tenure::begin();
        let mut taken = self.lease(&tenure);
        // Binds to this Lease. Otherwise the server would create one that was deleted in the
        // meantime.
        for field in ["uid", "resourceVersion"] {
            taken["metadata"][field] = there["metadata"][field].clone();
        }
        match self.context.cluster.replace(&taken).await {
            Ok(lease) => {
                if let Some(ours) = self.run_file {
                    ours.remove_dead(lease::run(there));
                }
                Ok(Some((lease, tenure)))
            }
            Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::scripted::{Reply, Scripted, impatient};
    use crate::deploy::scripted;
    use serde_json::json;

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
            let candidate = Candidate {
                context: &context,
                key: &key,
                holder: &ours,
                run_file: None,
            };
            let found = candidate.take().await;
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
