//! `drift`: what others changed since the last operation.

use super::arguments::Format;
use super::diff::{Shown, colored, differing};
use super::release_document::change;
use super::{DIFFERENT, Edge, complete};
use crate::deploy;
use crate::error::Result;
use crate::plan::diff::unified_drift;
use crate::plan::foreign::{Foreign, Standing};
use crate::plan::mask::Masker;
use crate::plan::{Action, Plan, Step};
use crate::release::{self, ReleaseName};
use crate::terminal::{BOLD, Text};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Show what others changed in the cluster since the last operation; exit with status 2 if there is
/// drift
///
/// Compares the live objects with those that the deployed revision applied, and shows what others
/// changed, added (containers, ports, variables, keys, labels) or deleted, with the field manager.
/// Lines with - were applied; lines with + are in the cluster. Fields that others may own, such as
/// the replicas of an autoscaler, are listed separately and are not drift. An upgrade with
/// --force-conflicts and the same values removes the drift.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric drift org1
  kubectl fabric drift org1 || kubectl fabric upgrade org1 --force-conflicts   remove it")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    #[command(flatten)]
    pub shown: Shown,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let upgrade = release::command("upgrade", release.as_str(), &namespace);
    let planned = edge.plan(release, false, async |context| deploy::drift(context).await);
    let (plan, masker) = planned?;
    let context = arguments.shown.context_lines;
    match arguments.shown.output.output {
        Format::Table | Format::Wide => edge
            .terminal
            .print(text(&plan, &masker, context, &upgrade))?,
        format => edge
            .terminal
            .print_document(format, &document(&plan, &masker, context))?,
    }
    Ok(if plan.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    })
}

fn text(plan: &Plan, masker: &Masker, context: usize, upgrade: &str) -> Text {
    let mut text = Text::default();
    for step in differing(plan) {
        let managers: Vec<String> = managers(step)
            .iter()
            .map(|manager| format!("\"{manager}\""))
            .collect();
        let by = if managers.is_empty() {
            String::new()
        } else {
            format!(" by {}", managers.join(", "))
        };
        let why = if step.why.is_empty() {
            String::new()
        } else {
            format!(": {}", step.why)
        };
        text.push_styled(
            BOLD,
            format!("{} ({}{by}{why})", step.key, done(step.action)),
        );
        text.push("\n");
        text.append(&colored(&unified_drift(step, context, masker)));
        text.push("\n");
    }
    let left: Vec<(&Step, &Foreign)> = left_to_others(plan).collect();
    if !left.is_empty() {
        text.push_styled(BOLD, "left to others");
        text.push("\n");
        for (step, Foreign { field, manager, .. }) in left {
            text.push(format!("  {}: {field}, set by \"{manager}\"\n", step.key));
        }
        text.push("\n");
    }
    if plan.is_empty() {
        text.push("no differences\n");
        return text;
    }
    let counted = [
        (Action::Change, "changed"),
        (Action::Create, "deleted"),
        (Action::Unchanged, "unchanged"),
    ];
    let counted = counted
        .into_iter()
        .map(|(action, what)| (plan.count(action), what))
        .filter(|(count, _)| *count > 0);
    text.push(format!(
        "{}\n",
        counted
            .map(|(count, what)| format!("{count} {what}"))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    text.push(format!("`{upgrade} --force-conflicts` removes the drift\n"));
    text
}

/// The word for a change by others. The plan would undo it.
fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "deleted",
        _ => "changed",
    }
}

/// The field managers that changed an object, as far as the server knows.
fn managers(step: &Step) -> BTreeSet<&str> {
    let differing = step
        .theirs
        .iter()
        .filter(|foreign| foreign.standing != Standing::Allowed);
    differing.map(|foreign| foreign.manager.as_str()).collect()
}

fn left_to_others(plan: &Plan) -> impl Iterator<Item = (&Step, &Foreign)> {
    let all = plan
        .steps
        .iter()
        .flat_map(|step| step.theirs.iter().map(move |foreign| (step, foreign)));
    all.filter(|(_, foreign)| foreign.standing == Standing::Allowed)
}

fn document(plan: &Plan, masker: &Masker, context: usize) -> Value {
    let changes = differing(plan).map(|step| {
        let mut change = change(step);
        change["action"] = json!(done(step.action));
        change["diff"] = json!(unified_drift(step, context, masker));
        let fields = step.theirs.iter().filter(|foreign| foreign.standing != Standing::Allowed).map(|foreign| {
            let how = if foreign.standing == Standing::Added { "added" } else { "changed" };
            json!({"field": foreign.field.to_string(), "action": how, "manager": foreign.manager})
        });
        change["fields"] = fields.collect();
        change
    });
    let changes: Value = changes.collect();
    let left = left_to_others(plan).map(|(step, foreign)| {
        let key = &step.key;
        json!({"apiVersion": step.api_version, "kind": key.kind, "namespace": key.namespace, "name": key.name,
            "field": foreign.field.to_string(), "manager": foreign.manager})
    });
    json!({ "schemaVersion": 1, "different": !plan.is_empty(), "changes": changes, "leftToOthers": left.collect::<Value>() })
}
