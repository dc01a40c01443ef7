//! Writes a revision: first as pending, later with its outcome.

#[cfg(test)]
mod tests;

use super::codec::{self, CHUNK};
use super::parts::read_secrets;
use super::sign::{self, sign};
use super::summary::{describe, labels};
use super::{PURGED, RECORD_LABEL, RELEASE_LABEL, annotation, part_name, record_name};
use crate::cluster::{ApiError, ApiErrorKind, Apply, Cluster, Expects};
use crate::encoding::hex;
use crate::error::{Error, Result};
use crate::manifest::{DOMAIN, ObjectKey};
use crate::release::{Record, Signature, Status, Summary};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::try_join_all;
use serde_json::{Value, json};

/// A record that this run writes, as last sent, which is the basis of the next update.
pub struct Written {
    body: Value,
    signing_key: String,
}

impl Written {
    /// Returns the creation time by the server's clock.
    pub fn created(&self) -> &str {
        self.body["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap_or_default()
    }
}

/// A record's payload and secrets, ready to be written.
pub struct Packed {
    payload: Vec<u8>,
    secrets: Vec<u8>,
    signing_key: String,
}

/// Packs a record and masks its secrets with its key.
///
/// Takes time for a large manifest, so it is done before the lock needs renewals.
pub fn pack(record: &Record) -> Result<Packed> {
    let (payload, mut secrets) = codec::encode(record, &record.mask_key)?;
    if secrets.signing_key.is_empty() {
        secrets.signing_key = new_key()?;
    }
    Ok(Packed {
        payload,
        secrets: codec::pack(&secrets),
        signing_key: secrets.signing_key,
    })
}

/// Generates a key for the masks or signatures of a release that has none.
pub fn new_key() -> Result<String> {
    let mut bytes = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::internal("the system provides no random numbers"))?;
    Ok(hex(&bytes))
}

/// Writes a new revision: parts and companion Secret first, then the record that refers to them.
///
/// # Errors
///
/// Returns `AlreadyExists` if another run took this revision's number.
pub async fn create(
    cluster: &Cluster,
    record: &Record,
    packed: &Packed,
) -> Result<Written, ApiError> {
    let summary = &record.summary;
    let name = record_name(&summary.release, summary.revision);
    let Packed {
        payload,
        secrets: companion,
        signing_key,
    } = packed;
    let state = state_of(record);
    // UIDs are added to the inventory when the objects exist: about 24 bytes each when compressed.
    // Reserve twice as much.
    let reserve = state.len() + 48 * record.inventory.len() + 1024;
    let parts = codec::chunks(payload, CHUNK.saturating_sub(reserve));
    let secret_parts = codec::chunks(companion, CHUNK);
    let part = |kind, of, count, (index, bytes): (usize, &&[u8])| {
        let name = part_name(&name, index + 1);
        holder(summary, kind, &name, of, bytes, count)
    };
    let others = parts.iter().enumerate().skip(1);
    let others = others.map(|bytes| part("ConfigMap", "part", 1, bytes));
    let secrets = secret_parts.iter().enumerate();
    let secrets = secrets.map(|bytes| part("Secret", "secrets", secret_parts.len(), bytes));
    let writes: Vec<Value> = others.chain(secrets).collect();
    try_join_all(writes.iter().map(|body| put(cluster, body, false))).await?;
    let count = parts.len();
    let mut body = holder(summary, "ConfigMap", &name, "release", parts[0], count);
    body["binaryData"]["state"] = json!(BASE64_STANDARD.encode(state));
    let annotations = &mut body["metadata"]["annotations"];
    annotations[format!("{DOMAIN}/digest")] = json!(codec::digest(payload));
    annotations[format!("{DOMAIN}/chart-digest")] = json!(record.chart.digest);
    describe(&mut body, summary);
    sign(&mut body, signing_key);
    let written = |body| Written {
        body,
        signing_key: signing_key.clone(),
    };
    match cluster.create(&body).await {
        Ok(body) => Ok(written(body)),
        // This may be our own record, if the request was retried because the first response was
        // lost. Then the content is the same.
        Err(error) if error.kind == ApiErrorKind::AlreadyExists => {
            let key = ObjectKey::core("ConfigMap", summary.namespace.as_str(), name.as_str());
            match cluster.get("v1", &key).await? {
                Some(there) if same_record(&there, &body) => Ok(written(there)),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Creates a stored object, or overwrites one of this release, such as one from an interrupted
/// attempt.
///
/// `is_there` says that one probably exists, which saves a request.
///
/// # Errors
///
/// Returns `AlreadyExists` if an object of this name is not a record of the release.
pub(super) async fn put(cluster: &Cluster, body: &Value, is_there: bool) -> Result<(), ApiError> {
    let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default();
    let key = ObjectKey::core(
        body["kind"].as_str().unwrap_or_default(),
        text("namespace"),
        text("name"),
    );
    let mut there = if is_there {
        cluster.get("v1", &key).await?
    } else {
        None
    };
    loop {
        let uid = match &there {
            Some(there) if !is_alike(there, body) => {
                return Err(ApiError {
                    kind: ApiErrorKind::AlreadyExists,
                    code: 409,
                    message: "an object of this name exists and is not a record of this release"
                        .to_owned(),
                    request: format!("create {key}"),
                    causes: Vec::new(),
                    hint: Some("move it away, or delete it".to_owned()),
                });
            }
            Some(there) if holds(there, body) => return Ok(()),
            there => there
                .as_ref()
                .and_then(|there| there["metadata"]["uid"].as_str()),
        };
        let how = Apply {
            force: true,
            expects: uid.map_or(Expects::Absent, Expects::Uid),
            ..Apply::default()
        };
        match cluster.apply(body, how).await {
            // This may be our own object, if the request was retried because the first response was
            // lost.
            Err(error) if error.kind == ApiErrorKind::Replaced => {
                let now = cluster.get("v1", &key).await?;
                if now.as_ref().map(uid_of) == there.as_ref().map(uid_of) {
                    return Err(error);
                }
                there = now;
            }
            written => return written.map(drop),
        }
    }
}

fn holds(there: &Value, body: &Value) -> bool {
    let same = |field: &str| there[field] == body[field];
    same("data") && same("binaryData") && annotation(there, "parts") == annotation(body, "parts")
}

fn uid_of(body: &Value) -> &Value {
    &body["metadata"]["uid"]
}

/// Returns true if two objects have the same role in the same release.
fn is_alike(one: &Value, other: &Value) -> bool {
    let label = |body: &Value, name: &str| body["metadata"]["labels"][name].clone();
    [RECORD_LABEL, RELEASE_LABEL]
        .iter()
        .all(|name| label(one, name) == label(other, name))
}

fn same_record(there: &Value, ours: &Value) -> bool {
    there["binaryData"] == ours["binaryData"]
        && annotation(there, "updated") == annotation(ours, "updated")
}

fn state_of(record: &Record) -> Vec<u8> {
    codec::pack(&codec::StateOf {
        inventory: &record.inventory,
        outcome: &record.outcome,
    })
}

pub(super) fn holder(
    summary: &Summary,
    of: &str,
    name: &str,
    record: &str,
    bytes: &[u8],
    parts: usize,
) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": of,
        "metadata": {
            "name": name,
            "namespace": summary.namespace,
            "labels": labels(summary, record),
            "annotations": {format!("{DOMAIN}/parts"): parts.to_string()},
        },
    });
    let data = BASE64_STANDARD.encode(bytes);
    if of == "Secret" {
        body["type"] = json!("kubectl-fabric.io/release.v1");
        body["data"] = json!({"release": data});
    } else {
        body["binaryData"] = json!({"release": data});
    }
    body
}

/// Writes a revision's outcome: its status, description and inventory.
///
/// Based on the last write of this run, so that a change by another writer is detected.
pub async fn update(
    cluster: &Cluster,
    written: &mut Written,
    record: &Record,
) -> Result<(), ApiError> {
    describe(&mut written.body, &record.summary);
    written.body["binaryData"]["state"] = json!(BASE64_STANDARD.encode(state_of(record)));
    sign(&mut written.body, &written.signing_key);
    replace(cluster, written).await
}

async fn replace(cluster: &Cluster, written: &mut Written) -> Result<(), ApiError> {
    match cluster.replace(&written.body).await {
        Ok(body) => {
            written.body = body;
            Ok(())
        }
        // This may be our own change, if the request was retried because the first response was
        // lost. Then the live object is what we sent.
        Err(error) if error.kind == ApiErrorKind::Conflict => {
            let name = written.body["metadata"]["name"]
                .as_str()
                .unwrap_or_default();
            let namespace = written.body["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default();
            let there = cluster
                .get("v1", &ObjectKey::core("ConfigMap", namespace, name))
                .await?;
            match there {
                Some(there)
                    if there["binaryData"] == written.body["binaryData"]
                        && there["metadata"]["labels"] == written.body["metadata"]["labels"] =>
                {
                    written.body = there;
                    Ok(())
                }
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// A revision whose status changes.
pub struct Restated<'a> {
    pub namespace: &'a str,
    pub release: &'a str,
    pub revision: u32,
    /// Key of the release's signatures. Empty if unknown.
    pub signing_key: &'a str,
}

/// Changes the status and description of an earlier revision.
pub async fn set_status(
    cluster: &Cluster,
    restated: Restated<'_>,
    status: Status,
    description: Option<&str>,
) -> Result<(), ApiError> {
    let change = |body: &mut Value| {
        body["metadata"]["labels"][format!("{DOMAIN}/status")] = json!(status.as_str());
        if let Some(description) = description {
            body["metadata"]["annotations"][format!("{DOMAIN}/description")] = json!(description);
        }
    };
    restate(cluster, restated, change).await
}

/// Marks the newest revision as uninstalled, before all records of the release are deleted.
pub async fn begin_purge(
    cluster: &Cluster,
    restated: Restated<'_>,
    description: &str,
) -> Result<(), ApiError> {
    let change = |body: &mut Value| {
        body["metadata"]["labels"][format!("{DOMAIN}/status")] =
            json!(Status::Uninstalled.as_str());
        body["metadata"]["annotations"][format!("{DOMAIN}/description")] = json!(description);
        body["metadata"]["annotations"][format!("{DOMAIN}/{PURGED}")] = json!("true");
    };
    restate(cluster, restated, change).await
}

/// Changes an earlier revision.
///
/// Signs it again only if its old signature matches, so as not to confirm a change by someone else.
/// The key is the release's, or another from the record's own companion Secret.
async fn restate(
    cluster: &Cluster,
    Restated {
        namespace,
        release,
        revision,
        signing_key,
    }: Restated<'_>,
    change: impl FnOnce(&mut Value),
) -> Result<(), ApiError> {
    let name = record_name(release, revision);
    let Some(mut body) = cluster
        .get(
            "v1",
            &ObjectKey::core("ConfigMap", namespace, name.as_str()),
        )
        .await?
    else {
        return Ok(());
    };
    let verifies = |key: &str| sign::verify(&body, Some(key)) == Signature::Verified;
    let own = match verifies(signing_key) {
        true => None,
        false => read_secrets(cluster, namespace, &name)
            .await
            .ok()
            .flatten()
            .map(|secrets| secrets.signing_key),
    };
    let signing_key = own.as_deref().unwrap_or(signing_key);
    let is_signed = verifies(signing_key);
    change(&mut body);
    if is_signed {
        sign(&mut body, signing_key);
    }
    replace(
        cluster,
        &mut Written {
            body,
            signing_key: signing_key.to_owned(),
        },
    )
    .await
}
