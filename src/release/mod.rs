//! Releases, their revisions, statuses and status transitions, and the target of a rollback. No
//! I/O.

use crate::error::{Error, Result};
use crate::manifest::{Hook, ObjectKey, Sealed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The highest valid revision. No release reaches it, so a record with a higher number was written
/// by hand and is ignored.
pub const LAST_REVISION: u32 = 999_999_999;

/// The label with the name of the network that a release is part of, if a network file names it.
pub const NETWORK_LABEL: &str = "network";

/// Helm's nine statuses, with Helm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Unknown,
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

impl Status {
    pub const ALL: [Status; 9] = [
        Status::Unknown,
        Status::Deployed,
        Status::Uninstalled,
        Status::Superseded,
        Status::Failed,
        Status::Uninstalling,
        Status::PendingInstall,
        Status::PendingUpgrade,
        Status::PendingRollback,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Deployed => "deployed",
            Status::Uninstalled => "uninstalled",
            Status::Superseded => "superseded",
            Status::Failed => "failed",
            Status::Uninstalling => "uninstalling",
            Status::PendingInstall => "pending-install",
            Status::PendingUpgrade => "pending-upgrade",
            Status::PendingRollback => "pending-rollback",
        }
    }

    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    /// Returns true if an operation was in progress when this was written.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Status::PendingInstall
                | Status::PendingUpgrade
                | Status::PendingRollback
                | Status::Uninstalling
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a release: a DNS label of at most 53 characters. This is Helm's limit, so that
/// derived names fit in 63 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ReleaseName(String);

impl ReleaseName {
    pub fn parse(name: &str) -> Result<ReleaseName> {
        let reason = if name.len() > 53 {
            format!("it has {} characters; the limit is 53", name.len())
        } else if is_label(name) {
            return Ok(ReleaseName(name.to_owned()));
        } else {
            LABEL.to_owned()
        };
        Err(
            Error::user(format!("\"{name}\" is not a valid release name"))
                .why(reason)
                .hint("use a name such as org1, orgorderer1 or kafka"),
        )
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the name of a namespace: a DNS label of at most 63 characters, as Kubernetes requires.
pub fn check_namespace(name: &str) -> Result<()> {
    let why = if name.len() > 63 {
        format!("it has {} characters; the limit is 63", name.len())
    } else if is_label(name) {
        return Ok(());
    } else {
        LABEL.to_owned()
    };
    Err(Error::user(format!("\"{name}\" is not a valid namespace name")).why(why))
}

/// Checks the name of a network, which is the suffix of its namespaces: `dev` in `org1-dev`.
pub fn check_network(name: &str) -> Result<()> {
    if is_label(name) {
        return Ok(());
    }
    Err(
        Error::user(format!("\"{name}\" is not a valid network name"))
            .why(LABEL)
            .hint("the name of a network is a suffix of its namespaces, such as org1-dev and orgorderer1-dev"),
    )
}

const LABEL: &str =
    "a name consists of a-z, 0-9 and \"-\", and starts and ends with a letter or digit";

fn is_label(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(fits) && !name.starts_with('-') && !name.ends_with('-')
}

/// Returns a command about a release as the user would type it. Includes the namespace if it
/// differs from the release name.
pub fn command(verb: &str, release: &str, namespace: &str) -> String {
    let flag = if namespace == release {
        String::new()
    } else {
        format!(" -n {namespace}")
    };
    format!("kubectl fabric {verb} {release}{flag}")
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The facts about a revision that `list`, `history` and `status` show. All come from the record's
/// metadata; nothing is unpacked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub release: String,
    pub namespace: String,
    pub revision: u32,
    pub status: Status,
    /// Time of the release's first deployment.
    pub first_deployed: Timestamp,
    /// Time of this revision's last update.
    pub updated: Timestamp,
    pub chart: String,
    pub chart_version: String,
    /// The Fabric version that the release runs: Helm's "app version".
    pub app_version: String,
    pub description: String,
    /// The user who ran the operation, as the API server knows them.
    pub user: String,
    pub plugin_version: String,
    /// For a rollback, the revision whose manifest was restored.
    pub rollback_to: Option<u32>,
    /// The user's own labels, by key.
    pub labels: BTreeMap<String, String>,
}

/// A record in a history, which may be unreadable.
#[derive(Clone, Debug)]
pub enum Entry {
    Readable(Summary),
    Unreadable {
        release: String,
        namespace: String,
        revision: u32,
        reason: String,
    },
}

impl Entry {
    pub fn revision(&self) -> u32 {
        match self {
            Entry::Readable(summary) => summary.revision,
            Entry::Unreadable { revision, .. } => *revision,
        }
    }

    pub fn summary(&self) -> Option<&Summary> {
        match self {
            Entry::Readable(summary) => Some(summary),
            Entry::Unreadable { .. } => None,
        }
    }

    /// Whether the revision is deployed, as far as it can be read.
    pub fn is_deployed(&self) -> bool {
        self.summary()
            .is_some_and(|it| it.status == Status::Deployed)
    }
}

/// An object that an attempt wrote or was about to write. Recorded before the first write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryItem {
    #[serde(flatten)]
    pub key: ObjectKey,
    pub api_version: String,
    /// Set when the object exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The chart of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartReference {
    pub name: String,
    pub version: String,
    pub digest: String,
    /// False if the chart is stored in the cluster, once per digest.
    pub embedded: bool,
    /// The user's program that changed the rendered manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_renderer: Option<String>,
}

/// A complete revision. It has secret values and the data of Secrets only in memory; `storage`
/// stores them separately.
#[derive(Clone, Debug)]
pub struct Record {
    pub summary: Summary,
    pub chart: ChartReference,
    /// The user's merged values.
    pub user_values: Value,
    /// The values that templates used.
    pub computed_values: Value,
    /// JSON pointers, for both trees, of secret values (`x-secret` in the chart's schema).
    pub secret_paths: Vec<String>,
    /// The manifest, in the order of application.
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    pub notes: String,
    pub inventory: Vec<InventoryItem>,
    /// Numbers of created, changed and pruned objects, and the duration. `None` while pending.
    pub outcome: Option<OutcomeFacts>,
    /// Facts for the guards: `fabricVersion`, `consensus`, ... (`fabric::guard::Facts`).
    pub guard: Value,
    /// Key of the masks that replace secrets, the same for all revisions of a release. Empty until
    /// there is one.
    pub mask_key: String,
    /// Key of the records' signatures, the same for all revisions of a release. Empty until there
    /// is one.
    pub signing_key: String,
    pub signature: Signature,
}

/// Result of checking a record's signature: whether the record is as this program wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Verified,
    /// The signature does not match: someone without the key changed the record.
    Broken,
    /// The record was written before records were signed.
    Unsigned,
    /// The companion Secret, which contains the key, was not read, is missing or is damaged.
    Unchecked,
    /// The user may not read the companion Secret.
    Denied,
}

impl Record {
    /// Returns true if the masked secrets are missing: not read, or their Secret is missing or
    /// damaged.
    pub fn lacks_secrets(&self) -> bool {
        self.mask_key.is_empty()
    }

    /// Returns a warning if the record's signature does not match or could not be checked.
    pub fn signature_warning(&self) -> Option<String> {
        let Summary {
            release, revision, ..
        } = &self.summary;
        let why = match self.signature {
            Signature::Verified => return None,
            Signature::Broken => {
                return Some(format!(
                    "the record of revision {revision} of \"{release}\" was not written by \
                     kubectl-fabric: its signature does not match its content"
                ));
            }
            Signature::Denied => "no permission to read its companion Secret",
            Signature::Unsigned => "it was written before records were signed",
            Signature::Unchecked => "its companion Secret is missing or damaged",
        };
        Some(format!(
            "cannot verify the record of revision {revision} of \"{release}\": {why}"
        ))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutcomeFacts {
    pub created: usize,
    pub changed: usize,
    pub recreated: usize,
    pub unchanged: usize,
    pub pruned: usize,
    pub seconds: f64,
}

/// Returns the revision from which an upgrade starts: the deployed one, or the newest if none is
/// deployed.
pub fn baseline(history: &[Entry]) -> Option<&Summary> {
    let deployed = history
        .iter()
        .rev()
        .filter_map(Entry::summary)
        .find(|summary| summary.status == Status::Deployed);
    deployed.or_else(|| history.last()?.summary())
}

/// Returns the target of a `rollback` without a number: the newest revision before the current one
/// that was ever deployed.
///
/// After an incomplete rollback it is that rollback's target, so that running the command again has
/// the same meaning.
pub fn rollback_target(history: &[Entry]) -> Option<u32> {
    let current = history.iter().map(Entry::revision).max()?;
    let summaries = || history.iter().filter_map(Entry::summary);
    let unfinished = summaries().find(|summary| {
        summary.revision == current
            && (summary.status.is_pending() || summary.status == Status::Failed)
    });
    if let Some(target) = unfinished.and_then(|summary| summary.rollback_to)
        && summaries().any(|summary| summary.revision == target)
    {
        return Some(target);
    }
    summaries()
        .filter(|summary| {
            summary.revision < current
                && matches!(summary.status, Status::Deployed | Status::Superseded)
        })
        .map(|summary| summary.revision)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(statuses: &[Status]) -> Vec<Entry> {
        let entry = |(index, status): (usize, &Status)| {
            Entry::Readable(Summary {
                release: "org1".into(),
                namespace: "org1".into(),
                revision: index as u32 + 1,
                status: *status,
                first_deployed: Timestamp::UNIX_EPOCH,
                updated: Timestamp::UNIX_EPOCH,
                chart: "peer-org".into(),
                chart_version: "0.1.0".into(),
                app_version: "2.5.16".into(),
                description: String::new(),
                user: String::new(),
                plugin_version: String::new(),
                rollback_to: None,
                labels: BTreeMap::new(),
            })
        };
        statuses.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_rollback_goes_to_the_newest_earlier_revision_that_was_ever_deployed() {
        use Status::{Deployed, Failed, PendingInstall, Superseded, Uninstalled};
        let cases: [(&[Status], Option<u32>); 7] = [
            (&[], None),
            (&[Deployed], None),
            (&[Superseded, Deployed], Some(1)),
            (&[Superseded, Deployed, Failed], Some(2)),
            (&[Superseded, Failed, Failed, Deployed], Some(1)),
            (&[Failed, PendingInstall], None),
            (&[Superseded, Uninstalled], Some(1)),
        ];
        for (statuses, target) in cases {
            assert_eq!(rollback_target(&history(statuses)), target, "{statuses:?}");
        }
    }

    #[test]
    fn a_rollback_that_did_not_come_to_its_end_goes_on_to_where_it_was_going() {
        use Status::{Deployed, Failed, PendingRollback, Superseded};
        let after = |statuses: &[Status]| {
            let mut history = history(statuses);
            if let Some(Entry::Readable(newest)) = history.last_mut() {
                newest.rollback_to = Some(1);
            }
            rollback_target(&history)
        };
        assert_eq!(after(&[Superseded, Deployed, PendingRollback]), Some(1));
        assert_eq!(after(&[Superseded, Superseded, PendingRollback]), Some(1));
        assert_eq!(after(&[Superseded, Deployed, Failed]), Some(1));
        assert_eq!(
            after(&[Superseded, Superseded, Deployed]),
            Some(2),
            "one that did is the current state"
        );
    }

    #[test]
    fn names_are_dns_labels_of_at_most_53_characters() {
        for valid in ["org1", "a", "orgorderer1-dev", &"x".repeat(53)] {
            assert_eq!(ReleaseName::parse(valid).unwrap().as_str(), valid);
        }
        for bad in [
            "",
            "Org1",
            "org_1",
            "-org",
            "org-",
            "org.1",
            "org 1",
            &"x".repeat(54),
        ] {
            assert!(ReleaseName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn statuses_are_helms_words_and_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("pending"), None);
    }
}
