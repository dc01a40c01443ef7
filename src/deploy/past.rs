//! The history of a release. Reads at most two records completely.

use super::Context;
use crate::error::{Error, Kind, Place, Result};
use crate::fabric::guard::{self, Facts};
use crate::manifest::claims::Set;
use crate::manifest::{Object, ObjectKey};
use crate::plan::mask::Masker;
use crate::release::{
    Entry, LAST_REVISION, Record, Signature, Status, Summary, baseline, rollback_target,
};
use crate::render::{self, Hashing};
use crate::storage::{self, Restated};
use crate::values::StoredSecrets;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The parts of a release's history that an operation needs.
#[derive(Default)]
pub struct Past {
    pub entries: Vec<Entry>,
    /// The start of the operation: the last deployed revision, or the newest if none is deployed.
    /// Without its objects.
    pub baseline: Option<Record>,
    /// The newest attempt after the baseline, whose inventory includes what earlier attempts left.
    /// Without its objects.
    pub attempt: Option<Record>,
    /// The newest verified record, if neither of these two is verified, because they may omit
    /// objects. Without its objects.
    pub verified: Option<Record>,
    /// The nodes in these records' manifests, by revision. The manifests themselves are dropped,
    /// because each is as large as the one that an operation renders.
    pub nodes: BTreeMap<u32, Vec<guard::Node>>,
    /// The StatefulSets of these records. One in both records appears twice.
    pub sets: Vec<Set>,
    /// The key of the release's masks: the recorded key, or a new one for the first record.
    pub key: String,
    /// Whether the key is recorded, or will be by this operation, so that rendering may use it.
    pub keeps_key: bool,
    /// The recorded hashes of the data that the workloads' pods read.
    pub config_hashes: Arc<BTreeSet<(ObjectKey, String)>>,
    pub warnings: Vec<String>,
    /// Why there is no baseline although the revision exists.
    pub unreadable: Option<Error>,
    /// Whether an uninstall has begun to delete the records. The remaining ones have no meaning
    /// then.
    pub is_purged: bool,
}

impl Past {
    /// Returns the facts that need no record.
    pub fn of(entries: Vec<Entry>) -> Past {
        Past {
            entries,
            ..Past::default()
        }
    }

    /// Returns the records whose objects may still exist.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.verified
            .iter()
            .chain(&self.baseline)
            .chain(&self.attempt)
    }

    /// Returns why the newest record's status cannot be trusted: it was changed, or could not be
    /// verified.
    pub fn doubt(&self, context: &Context<'_>) -> Option<Error> {
        match &self.baseline {
            None if self.unreadable.is_some() => Some(self.cannot_go_on(context)),
            Some(record) if record.lacks_secrets() => Some(storage::unverified(record)),
            _ => None,
        }
    }

    /// Returns the number of the next revision.
    ///
    /// # Errors
    ///
    /// Fails if the numbers are used up.
    pub fn next_revision(&self, context: &Context<'_>) -> Result<u32> {
        let newest = self.newest().unwrap_or(0);
        if newest < LAST_REVISION {
            return Ok(newest + 1);
        }
        let record = storage::record_name(context.release.as_str(), newest);
        Err(Error::refused(format!(
            "release \"{}\" cannot have a revision after {newest}",
            context.release
        ))
        .at(
            Place::new(format!("ConfigMap {}/{record}", context.namespace))
                .note("the newest record by its number"),
        )
        .why(format!(
            "revision numbers go up to {LAST_REVISION}, and kubectl-fabric counts one \
                          by one: the record was written by hand"
        ))
        .now("nothing was changed")
        .hint(format!(
            "see `{}`; if the record does not belong to the release, delete it: `kubectl \
                 delete configmap {record} -n {}`",
            context.command("history"),
            context.namespace
        )))
    }

    /// Returns true if a record lists this object, whether or not it was created.
    pub fn lists(&self, key: &ObjectKey) -> bool {
        self.records()
            .any(|record| record.inventory.iter().any(|item| item.key == *key))
    }

    /// Returns true if a verified record shows that the release created this object.
    pub fn made(&self, key: &ObjectKey) -> bool {
        let verified = self
            .records()
            .filter(|record| record.signature == Signature::Verified);
        verified
            .flat_map(|record| &record.inventory)
            .any(|item| item.key == *key && item.uid.is_some())
    }

    /// Returns the secrets of the records.
    pub fn secrets(&self) -> StoredSecrets {
        StoredSecrets {
            paths: self
                .records()
                .flat_map(|record| record.secret_paths.iter().cloned())
                .collect(),
            texts: self.records().flat_map(Masker::secrets_in).collect(),
        }
    }

    /// Returns the settings for hashing the data that pods read.
    pub fn hashing(&self) -> Hashing {
        Hashing::new(
            self.keeps_key.then_some(self.key.as_str()),
            self.config_hashes.clone(),
        )
    }

    pub fn newest(&self) -> Option<u32> {
        self.entries.last().map(Entry::revision)
    }

    pub fn newest_status(&self) -> Option<Status> {
        self.entries.last()?.summary().map(|summary| summary.status)
    }

    pub fn deployed(&self) -> Option<&Summary> {
        self.entries
            .iter()
            .rev()
            .filter_map(Entry::summary)
            .find(|summary| summary.status == Status::Deployed)
    }

    /// Returns the key of the release's signatures from its newest signed record, or an empty key.
    pub fn signing_key(&self) -> &str {
        self.records()
            .map(|record| record.signing_key.as_str())
            .filter(|key| !key.is_empty())
            .last()
            .unwrap_or_default()
    }

    /// Returns a revision of this release in the form for changing its status.
    pub fn restated<'a>(&'a self, context: &'a Context<'_>, revision: u32) -> Restated<'a> {
        let (namespace, release) = (context.namespace.as_str(), context.release.as_str());
        Restated {
            namespace,
            release,
            revision,
            signing_key: self.signing_key(),
        }
    }

    /// Returns a value that changes if another run writes a record.
    pub fn fingerprint(&self) -> Vec<(u32, Option<Status>)> {
        self.entries
            .iter()
            .map(|entry| {
                (
                    entry.revision(),
                    entry.summary().map(|summary| summary.status),
                )
            })
            .collect()
    }

    /// Returns the error for using an unreadable record, with the way back to a readable one.
    pub fn cannot_go_on(&self, context: &Context<'_>) -> Error {
        let error = self.unreadable.clone().unwrap_or_else(|| {
            Error::user(format!("cannot read any record of \"{}\"", context.release))
        });
        let error = error.hint(format!("see `{}`", context.command("history")));
        match rollback_target(&self.entries) {
            Some(revision) => error.hint(format!(
                "`{} {revision}` rolls back to an earlier one",
                context.command("rollback")
            )),
            None => error,
        }
    }

    /// Reads the relevant records, at most two. `records` is whether the operation will write one.
    pub async fn read(context: &Context<'_>, records: bool) -> Result<Past> {
        let (cluster, release) = (context.cluster, context.release.as_str());
        let namespace = context.namespace.as_str();
        let mut past = Past::of(storage::history(cluster, namespace, release).await?);
        past.is_purged = storage::is_purged(cluster, namespace, release, &past.entries).await?;
        let mut is_vouched = false;
        for (revision, role) in past.roles() {
            if role == Role::Witness && is_vouched {
                break;
            }
            is_vouched |= past.add(context, revision, role).await?;
        }
        let recorded = past
            .records()
            .map(|record| &record.mask_key)
            .filter(|key| !key.is_empty())
            .last()
            .cloned();
        past.keeps_key = records || recorded.is_some();
        past.key = recorded.map_or_else(storage::new_key, Ok)?;
        Ok(past)
    }

    /// Returns the revisions in the order in which their records are read.
    fn roles(&self) -> Vec<(u32, Role)> {
        let Some(newest) = self.newest().filter(|_| !self.is_purged) else {
            return Vec::new();
        };
        let baseline = baseline(&self.entries).map_or(newest, |summary| summary.revision);
        let mut roles = vec![(baseline, Role::Baseline)];
        if newest != baseline {
            roles.push((newest, Role::Attempt));
        }
        let others = self.entries.iter().rev().filter_map(Entry::summary);
        let others = others.map(|summary| summary.revision);
        roles.extend(
            others
                .filter(|revision| ![baseline, newest].contains(revision))
                .map(|revision| (revision, Role::Witness)),
        );
        roles
    }

    /// Reads a record. Returns true if it shows that no object was omitted.
    async fn add(&mut self, context: &Context<'_>, revision: u32, role: Role) -> Result<bool> {
        let (cluster, release) = (context.cluster, context.release.as_str());
        let namespace = context.namespace.as_str();
        let (mut version, mut nodes, mut sets) = (None, Vec::new(), Vec::new());
        let mut hashes = Vec::new();
        let take = |record: &Record, object: Object| {
            let version = version.get_or_insert_with(|| Facts::read(&record.guard).version());
            nodes.extend(guard::nodes([&object], version.as_ref()));
            sets.extend(Set::of(&object.key, &object.body));
            let hash = render::config_hash_of(&object);
            hashes.extend(hash.map(|hash| (object.key.clone(), hash.to_owned())));
        };
        let record = match storage::read_past(cluster, namespace, release, revision, take).await {
            Ok(record) => record,
            Err(error) if error.kind() != Kind::User => return Err(error),
            Err(_) if role == Role::Witness => return Ok(false),
            Err(error) => {
                self.warnings.push(format!(
                    "{error}; objects that only this revision wrote are not cleaned up"
                ));
                if role == Role::Baseline {
                    self.unreadable = Some(error);
                }
                return Ok(false);
            }
        };
        let signature = record.signature;
        if role == Role::Witness && signature != Signature::Verified {
            return Ok(false);
        }
        self.warnings.extend(record.signature_warning());
        self.nodes.insert(revision, nodes);
        self.sets.extend(sets);
        Arc::make_mut(&mut self.config_hashes).extend(hashes);
        let place = match role {
            Role::Baseline => &mut self.baseline,
            Role::Attempt => &mut self.attempt,
            Role::Witness => &mut self.verified,
        };
        *place = Some(record);
        // Only users with write access to Secrets can have written a record from before signatures.
        Ok(matches!(
            signature,
            Signature::Verified | Signature::Unsigned
        ))
    }
}

/// Why a record is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Baseline,
    Attempt,
    /// To find a verified record, if neither of these two is verified.
    Witness,
}
