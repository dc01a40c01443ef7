//! A release as text and as a document: Helm's structure, with keys in one style.

use crate::chart::{Origin, repository};
use crate::manifest::{self, Hook};
use crate::plan::{Action, Plan, Step};
use crate::release::{Record, Status, Summary};
use crate::terminal::{self, Text, time};
use crate::yaml;
use anstyle::Style;
use serde_json::{Value, json};

/// Helm's colours: green for success, yellow for pending, red for failure.
pub fn style(status: Status) -> Style {
    match status {
        Status::Deployed => terminal::GREEN,
        Status::Failed | Status::Unknown => terminal::RED,
        Status::PendingInstall
        | Status::PendingUpgrade
        | Status::PendingRollback
        | Status::Uninstalling => terminal::YELLOW,
        Status::Superseded | Status::Uninstalled => Style::new(),
    }
}

/// The header that Helm prints after an operation and for `status`.
pub fn status_block(summary: &Summary) -> Text {
    let mut text = Text::from(format!(
        "NAME: {}\nLAST DEPLOYED: {}\nNAMESPACE: {}\nSTATUS: ",
        summary.release,
        time::utc(summary.updated),
        summary.namespace,
    ));
    text.push_styled(style(summary.status), summary.status.as_str());
    text.push(format!(
        "\nREVISION: {}\nCHART: {}\n",
        summary.revision,
        chart(summary),
    ));
    // Chaincode releases have none.
    if !summary.app_version.is_empty() {
        text.push(format!("FABRIC VERSION: {}\n", summary.app_version));
    }
    text.push(format!(
        "DESCRIPTION: {}\n",
        summary.description.replace('\n', " ")
    ));
    text
}

/// Helm's CHART column: `peer-org-0.1.0`.
pub fn chart(summary: &Summary) -> String {
    format!("{}-{}", summary.chart, summary.chart_version)
}

/// The origin of the chart, as text.
pub fn chart_source(origin: &Origin) -> String {
    match origin {
        Origin::Embedded => "embedded".to_owned(),
        Origin::Path(path) if repository::is_archive(path) => format!("archive {path}"),
        Origin::Path(path) => format!("folder {path}"),
        Origin::Stored => "kept with the release".to_owned(),
    }
}

/// The origin as a document.
pub fn chart_source_document(origin: &Origin) -> Value {
    match origin {
        Origin::Embedded => json!({"type": "embedded"}),
        Origin::Path(path) if repository::is_archive(path) => {
            json!({"type": "archive", "path": path})
        }
        Origin::Path(path) => json!({"type": "folder", "path": path}),
        Origin::Stored => json!({"type": "kept"}),
    }
}

/// A release as in Helm's `-o json` of install, upgrade and status, without chart, values and
/// manifest.
pub fn release(summary: &Summary, notes: &str) -> Value {
    json!({
        "name": summary.release,
        "info": {
            "firstDeployed": time::rfc3339(summary.first_deployed),
            "lastDeployed": time::rfc3339(summary.updated),
            "deleted": "",
            "description": summary.description,
            "status": summary.status,
            "notes": notes,
        },
        "chart": chart(summary),
        "appVersion": summary.app_version,
        "version": summary.revision,
        "labels": summary.labels,
        "namespace": summary.namespace,
    })
}

/// A whole record: [`release`] with values, manifest and hooks. Secrets are masked or not, as in
/// the record.
pub fn record(record: &Record) -> Value {
    let chart = &record.summary.chart;
    let mut document = release(&record.summary, &record.notes);
    document["config"] = record.user_values.clone();
    document["manifest"] = json!(manifest::to_yaml(
        chart,
        record.objects.iter().map(|object| object.open())
    ));
    document["hooks"] = hooks(chart, &record.hooks);
    document
}

/// Hooks as a document.
pub fn hooks(chart: &str, hooks: &[Hook]) -> Value {
    let hook = |hook: &Hook| {
        json!({
            "name": hook.object.key.name,
            "kind": hook.object.key.kind,
            "path": format!("{chart}/{}", hook.object.source.template),
            "manifest": yaml::emit(&hook.object.body),
            "events": hook.events,
            "weight": hook.weight,
            "deletePolicies": hook.delete_policies,
        })
    };
    Value::Array(hooks.iter().map(hook).collect())
}

/// The changes of a plan, without unchanged objects.
pub fn changes(plan: &Plan) -> Value {
    let changed = plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Unchanged);
    Value::Array(changed.map(change).collect())
}

/// The changes that the hooks of an operation make to existing objects.
pub fn hook_changes(plan: &Plan) -> Value {
    let changes = plan.hooks.iter().map(|hook| {
        let mut change = change(&hook.step);
        change["events"] = json!(hook.events);
        change
    });
    Value::Array(changes.collect())
}

/// One object of [`changes`].
pub fn change(step: &Step) -> Value {
    json!({
        "action": step.action,
        "apiVersion": step.api_version,
        "kind": step.key.kind,
        "namespace": step.key.namespace,
        "name": step.key.name,
        "why": step.why,
    })
}
