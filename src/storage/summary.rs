//! Converts between a record's metadata and the facts that `list`, `history` and `status` show.

use super::{DOMAIN_PREFIX, RECORD_LABEL, RELEASE_LABEL, annotation};
use crate::manifest::DOMAIN;
use crate::release::{Entry, LAST_REVISION, Status, Summary};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Annotation with the user's labels. Only the annotation is signed, because other users may label
/// a record too.
const LABELS: &str = "labels";

/// Reads a record's metadata into an entry of a history.
pub fn read_entry(body: &Value) -> Entry {
    let metadata = &body["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let (release, revision) = named(name).unwrap_or_else(|| (name.to_owned(), 0));
    let namespace = metadata["namespace"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let time = |name: &str| annotation(body, name)?.parse::<Timestamp>().ok();
    let text = |name: &str| annotation(body, name).map(str::to_owned);
    let read = || {
        Some(Summary {
            release: release.clone(),
            namespace: namespace.clone(),
            revision,
            status: Status::parse(metadata["labels"][format!("{DOMAIN}/status")].as_str()?)?,
            first_deployed: time("first-deployed")?,
            updated: time("updated")?,
            chart: text("chart")?,
            chart_version: text("chart-version")?,
            app_version: text("app-version").unwrap_or_default(),
            description: text("description").unwrap_or_default(),
            user: text("user").unwrap_or_default(),
            plugin_version: text("plugin-version").unwrap_or_default(),
            rollback_to: text("rollback-to").and_then(|revision| revision.parse().ok()),
            labels: text(LABELS)
                .and_then(|labels| serde_json::from_str(&labels).ok())
                .unwrap_or_default(),
        })
    };
    let labelled = metadata["labels"][format!("{DOMAIN}/revision")].as_str();
    let is_in_place = labelled.is_some_and(|labelled| labelled == revision.to_string());
    let reason = match metadata["labels"][RELEASE_LABEL].as_str() {
        Some(labelled) if labelled != release => "its name is that of another release's record",
        _ if !is_in_place => "its name is that of another revision's record",
        _ => "its labels and annotations are not those of a record",
    };
    match read() {
        Some(summary)
            if revision > 0
                && is_in_place
                && metadata["labels"][RELEASE_LABEL] == release.as_str() =>
        {
            Entry::Readable(summary)
        }
        _ => Entry::Unreadable {
            release,
            namespace,
            revision,
            reason: reason.into(),
        },
    }
}

/// Returns the release and revision that the name of a record names.
fn named(name: &str) -> Option<(String, u32)> {
    let rest = name.strip_prefix(DOMAIN_PREFIX)?.strip_prefix('.')?;
    let (release, revision) = rest.rsplit_once(".v")?;
    let number: u32 = revision.parse().ok()?;
    // Only the canonical spelling of the number names a record.
    let is_canonical = number <= LAST_REVISION && number.to_string() == revision;
    is_canonical.then(|| (release.to_owned(), number))
}

/// Shortens text to a valid label value.
fn label_value(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(63)
        .collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

pub(super) fn labels(summary: &Summary, record: &str) -> Value {
    let mut labels = json!(summary.labels);
    labels["app.kubernetes.io/managed-by"] = json!("kubectl-fabric");
    labels[RECORD_LABEL] = json!(record);
    labels[RELEASE_LABEL] = json!(summary.release);
    labels[format!("{DOMAIN}/revision")] = json!(summary.revision.to_string());
    labels
}

pub(super) fn describe(body: &mut Value, summary: &Summary) {
    let labels = &mut body["metadata"]["labels"];
    labels[format!("{DOMAIN}/status")] = json!(summary.status.as_str());
    labels[format!("{DOMAIN}/chart")] = json!(label_value(&summary.chart));
    labels[format!("{DOMAIN}/chart-version")] = json!(label_value(&summary.chart_version));
    labels[format!("{DOMAIN}/fabric-version")] = json!(label_value(&summary.app_version));
    let annotations = &mut body["metadata"]["annotations"];
    for (name, text) in [
        ("first-deployed", summary.first_deployed.to_string()),
        ("updated", summary.updated.to_string()),
        ("chart", summary.chart.clone()),
        ("chart-version", summary.chart_version.clone()),
        ("app-version", summary.app_version.clone()),
        ("description", summary.description.clone()),
        ("user", summary.user.clone()),
        ("plugin-version", summary.plugin_version.clone()),
    ] {
        annotations[format!("{DOMAIN}/{name}")] = json!(text);
    }
    if !summary.labels.is_empty() {
        annotations[format!("{DOMAIN}/{LABELS}")] = json!(json!(summary.labels).to_string());
    }
    if let Some(revision) = summary.rollback_to {
        annotations[format!("{DOMAIN}/rollback-to")] = json!(revision.to_string());
    }
}
