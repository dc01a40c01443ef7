//! Builds the error for a failed wait: each object with its reason, the last log lines of a
//! troubled container, and hints.

use super::{Awaited, Monitor, seconds};
use crate::cluster::{ApiError, Cluster};
use crate::error::{Error, Place, Result};
use crate::manifest::readiness::Readiness;
use crate::manifest::trouble::Severity;
use serde_json::Value;
use std::time::Duration;

/// Number of log lines of a troubled container in an error.
const LOG_LINES: u32 = 10;

impl Monitor<'_> {
    /// `timeout` is the time that has passed, or `None` if the wait ended because of a permanent
    /// failure.
    pub(super) async fn report(&self, awaited: &[&Awaited], timeout: Option<Duration>) -> Error {
        let what = match timeout {
            Some(timeout) => format!("did not become ready within {}", seconds(timeout)),
            None => "will not become ready".to_owned(),
        };
        let pending: Vec<&&Awaited> = awaited
            .iter()
            .filter(|one| self.state(one) != Readiness::Ready)
            .collect();
        let count = pending.len();
        let subject = if count == 1 {
            pending[0].key.to_string()
        } else {
            format!("{count} objects")
        };
        let mut error = Error::not_ready(format!("{subject} {what}"));
        let mut hints: Vec<&str> = Vec::new();
        let mut may_pass = timeout.is_some();
        for trouble in pending.iter().filter_map(|one| self.objects.deepest(one)) {
            may_pass &= trouble.severity == Severity::Passing;
            hints.extend(trouble.cause.hint().filter(|hint| !hints.contains(hint)));
        }
        for one in pending.iter().take(20) {
            let own = match self.state(one) {
                Readiness::Waiting(reason) | Readiness::Failed(reason) => reason,
                Readiness::Ready => continue,
            };
            let reason = match self.objects.deepest(one) {
                Some(trouble) => format!("{own}; {}", trouble.reason),
                None => own,
            };
            error = error.at(Place::new(one.key.to_string()).note(reason));
        }
        if let Some(place) = (count > 20).then(|| Place::new(format!("and {} more", count - 20))) {
            error = error.at(place);
        }
        for one in pending.iter().take(3) {
            if let Some(lines) = self.last_log_lines(one).await {
                error = error.why(lines);
            }
        }
        if let Some(deafness) = self.deafness() {
            error = error.why(deafness);
        }
        if may_pass {
            error = error.hint("wait longer with --timeout");
        }
        hints
            .into_iter()
            .fold(error, |error, hint| error.hint(hint))
    }

    /// Returns the last lines of a troubled container's log, if available.
    async fn last_log_lines(&self, one: &Awaited) -> Option<String> {
        let pods = self
            .objects
            .pods(one)
            .filter(|(_, pod)| pod.pod().is_some_and(|pod| !pod.is_ready));
        for (key, pod) in pods {
            let Some((container, previous)) =
                self.objects.trouble(pod).and_then(|trouble| trouble.log)
            else {
                continue;
            };
            let (namespace, name) = (key.namespace.as_deref().unwrap_or_default(), &key.name);
            // Logs are optional. An unreachable kubelet must not hide the reason.
            let log = self
                .cluster
                .logs(namespace, name, &container, LOG_LINES, previous)
                .await
                .unwrap_or_default();
            if !log.trim().is_empty() {
                let lines: Vec<String> = log
                    .trim_end()
                    .lines()
                    .map(|line| format!("     | {line}"))
                    .collect();
                return Some(format!(
                    "the last lines of {name}, container {container}:\n{}",
                    lines.join("\n")
                ));
            }
        }
        None
    }
}

/// Returns the last lines of each container of a pod.
pub async fn container_logs(
    cluster: &Cluster,
    pod: &Value,
    lines: u32,
) -> Result<Vec<(String, String)>, ApiError> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut logs = Vec::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let container = container["name"].as_str().unwrap_or_default();
        logs.push((
            container.to_owned(),
            cluster
                .logs(namespace, name, container, lines, false)
                .await?,
        ));
    }
    Ok(logs)
}
