//! `template`: a chart rendered, without a cluster.

use super::arguments::{Format, OPERATION, OUTPUT, OutputArguments};
use super::install::WantedArguments;
use super::load;
use super::rendering::{ASSUMED_KUBERNETES, HIDDEN};
use super::{Edge, leave};
use crate::chart::{Files, parse_kube_version};
use crate::compose::{self, Given};
use crate::error::{Error, Place, Result, nearest};
use crate::identity::{self, Source};
use crate::manifest::{self, HookEvent, Object};
use crate::plan::mask::{self, Masker};
use crate::release::ReleaseName;
use crate::render::Capabilities;
use clap::{ArgAction, Args, ValueHint};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Render a chart and print its manifest, without a cluster
///
/// Prints what an install would apply, with every lookup empty. Secrets are hidden unless --show-secrets is given. Identities are not
/// part of a manifest: install makes them.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric template org1                                   the whole manifest
  kubectl fabric template org1 -s 'templates/peer*'            some templates only
  kubectl fabric template org1 ./my-chart --output-dir out       one file per template
  kubectl fabric template org1 -o json | jq -r .items[].kind     for programs")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", value_hint = ValueHint::Other)]
    pub release: String,

    #[command(flatten)]
    pub wanted: WantedArguments,

    /// Templates to show: their path in the chart, `*` and `?` being wildcards; may be repeated
    #[arg(short, long, value_name = "GLOB", value_delimiter = ',', action = ArgAction::Append, help_heading = OUTPUT)]
    pub show_only: Vec<String>,

    /// Write one file per template below this folder instead of printing
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub output_dir: Option<PathBuf>,

    /// With --output-dir: a folder named after the release in between
    #[arg(long, help_heading = OUTPUT)]
    pub release_name: bool,

    /// Kubernetes version that templates see
    #[arg(long, value_name = "VERSION", default_value = ASSUMED_KUBERNETES, help_heading = OPERATION)]
    pub kube_version: String,

    /// API that templates see as served, such as networking.k8s.io/v1; may be repeated
    #[arg(short, long, value_name = "API", value_delimiter = ',', action = ArgAction::Append, help_heading = OPERATION)]
    pub api_versions: Vec<String>,

    /// Render as for an upgrade instead of an install
    #[arg(long, help_heading = OPERATION)]
    pub is_upgrade: bool,

    /// Leave tests out
    #[arg(long, help_heading = OPERATION)]
    pub skip_tests: bool,

    /// Leave hooks out
    #[arg(long, help_heading = OPERATION)]
    pub no_hooks: bool,

    /// Show the data of Secrets
    #[arg(long, help_heading = OUTPUT)]
    pub show_secrets: bool,

    /// Address and port of the API server: `-s` is --show-only here
    #[arg(long, id = "server", hide = true)]
    pub server: Option<String>,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let kube_version = kubernetes_version(&arguments.kube_version)?;
    let wanted = &arguments.wanted;
    let chart = wanted.chart.resolve(release.as_str())?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let composition = compose::compose(Given {
        chart: &chart,
        release: release.as_str(),
        namespace: &namespace,
        user_values: wanted.values.load()?,
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
    })?;
    // Identities are no part of the manifest, but a folder that lacks some is told here too.
    if let (source @ Source::CryptoConfig { .. }, Some(organization)) = (wanted.identities()?, &composition.organization) {
        identity::plan(organization, &BTreeMap::new(), &source, edge.now)?;
    }
    let capabilities = Capabilities { kube_version, api_versions: arguments.api_versions.clone() };
    let output = composition.render(1, arguments.is_upgrade, capabilities, None)?;
    for warning in &composition.values.warnings {
        edge.terminal.warn(warning);
    }
    let secrets = Masker::secrets_of(&composition.values.all.tree, &composition.values.secret_paths);
    let mut objects = output.objects;
    let is_test = |events: &[HookEvent]| events.iter().all(|event| *event == HookEvent::Test);
    let left_out = |events: &[HookEvent]| arguments.no_hooks || (arguments.skip_tests && is_test(events));
    let hooks = output.hooks.into_iter().filter(|hook| !left_out(&hook.events));
    objects.extend(hooks.map(|hook| hook.object));
    let mut objects = shown_only(objects, &arguments.show_only, &chart.metadata.name)?;
    note_hidden(&arguments, &objects, edge);
    if !arguments.show_secrets {
        hide(&mut objects, secrets, edge);
    }
    let printed = print(&arguments, &chart.metadata.name, &objects, edge);
    leave(objects);
    printed.map(|()| ExitCode::SUCCESS)
}

/// Objects whose text is made in one go.
const PRINTED_AT_ONCE: usize = 50;

/// `1.33`, `v1.33.0` and `1.33.0` mean the same.
fn kubernetes_version(text: &str) -> Result<String> {
    let full = if text.split('.').count() == 2 { format!("{text}.0") } else { text.to_owned() };
    match parse_kube_version(&full) {
        Some(version) => Ok(format!("v{version}")),
        None => Err(Error::user(format!("\"{text}\" is no version of Kubernetes")).hint("such as 1.33 or v1.33.0")),
    }
}

/// Replaces every secret by one word: the same for every run, as the rest of the output is.
fn hide(objects: &mut [Object], secrets: Vec<String>, edge: &Edge) {
    fn plain(value: &mut Value, mask: &regex::Regex) {
        match value {
            Value::String(text) => *text = mask.replace_all(text, HIDDEN).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(|item| plain(item, mask)),
            Value::Object(fields) => fields.values_mut().for_each(|field| plain(field, mask)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mask = regex::Regex::new(r"\(secret [0-9a-f]{16}\)").expect("the pattern is fixed");
    // The key is never the same: no mask that might remain can be compared with another's.
    let masker = Masker::new(&edge.now.as_nanosecond().to_be_bytes(), secrets);
    for object in objects {
        let mut taken = BTreeMap::new();
        let secret = mask::object_pointers(&object.body);
        masker.take(&mut object.body, "", &secret, &mut taken);
        if !taken.is_empty() {
            plain(&mut object.body, &mask);
        }
    }
}

/// The objects of the templates that the patterns name; a pattern that names none is an error, as in Helm.
fn shown_only(objects: Vec<Object>, patterns: &[String], chart: &str) -> Result<Vec<Object>> {
    if patterns.is_empty() {
        return Ok(objects);
    }
    let mut shown = vec![false; objects.len()];
    for pattern in patterns {
        let below = pattern.strip_prefix(&format!("{chart}/")).unwrap_or(pattern);
        let expression = glob(below)?;
        let mut found = false;
        for (object, shown) in objects.iter().zip(&mut shown) {
            if expression.is_match(&object.source.template) {
                (found, *shown) = (true, true);
            }
        }
        if !found {
            let error = Error::user(format!("could not find template {pattern} in chart"));
            let near = nearest(below, objects.iter().map(|object| object.source.template.as_str()));
            return Err(match near {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("templates are named by their path in the chart, such as templates/peers.yaml"),
            });
        }
    }
    let kept = objects.into_iter().zip(shown).filter(|(_, shown)| *shown);
    Ok(kept.map(|(object, _)| object).collect())
}

/// `*` and `?` stay within one folder, as in a shell.
fn glob(pattern: &str) -> Result<regex::Regex> {
    let expression: String = pattern
        .chars()
        .map(|character| match character {
            '*' => "[^/]*".to_owned(),
            '?' => "[^/]".to_owned(),
            other => regex::escape(&other.to_string()),
        })
        .collect();
    regex::Regex::new(&format!("^{expression}$"))
        .map_err(|error| Error::user("--show-only is no pattern").at(Place::new("--show-only").note(error.to_string())))
}

fn note_hidden(arguments: &Arguments, objects: &[Object], edge: &Edge) {
    let secrets = objects.iter().filter(|object| object.key.kind == "Secret" && object.key.group.is_empty()).count();
    if secrets > 0 && !arguments.show_secrets {
        let of = if secrets == 1 { "1 Secret".to_owned() } else { format!("{secrets} Secrets") };
        edge.terminal.note(&format!("the data of {of} is hidden: --show-secrets shows it"));
    }
}

fn print(arguments: &Arguments, chart: &str, objects: &[Object], edge: &Edge) -> Result<()> {
    if let Some(folder) = &arguments.output_dir {
        return write(arguments, folder, chart, objects, edge);
    }
    if arguments.output.output != Format::Table {
        let items: Vec<&Value> = objects.iter().map(|object| &object.body).collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        return edge.terminal.print_document(arguments.output.output, &list);
    }
    // Another thread makes the texts from the last one on, until both meet.
    let parts: Vec<_> = objects.chunks(PRINTED_AT_ONCE).map(|objects| (objects, OnceLock::new())).collect();
    std::thread::scope(|scope| {
        if parts.len() > 1 {
            scope.spawn(|| parts.iter().rev().for_each(|part| _ = text_of(chart, part)));
        }
        parts.iter().try_for_each(|part| edge.terminal.print_verbatim(text_of(chart, part)))
    })
}

/// The text of some objects, made by whoever asks first.
fn text_of<'p>(chart: &str, (objects, text): &'p (&[Object], OnceLock<String>)) -> &'p str {
    text.get_or_init(|| manifest::to_yaml(chart, *objects))
}

fn write(arguments: &Arguments, folder: &Path, chart: &str, objects: &[Object], edge: &Edge) -> Result<()> {
    let mut files = Files::new();
    for object in objects {
        let file = files.entry(format!("{chart}/{}", object.source.template)).or_default();
        file.extend(manifest::to_yaml(chart, [object]).into_bytes());
    }
    let folder = if arguments.release_name { folder.join(&arguments.release) } else { folder.to_owned() };
    load::write_files(&files, &folder)?;
    let wrote: String = files.keys().map(|file| format!("wrote {}\n", folder.join(file).display())).collect();
    edge.terminal.print(&wrote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_stays_within_its_folder() {
        let matches = |pattern: &str, path: &str| glob(pattern).unwrap().is_match(path);
        assert!(matches("templates/*.yaml", "templates/peers.yaml"));
        assert!(!matches("templates/*.yaml", "templates/ca/server.yaml"));
        assert!(matches("templates/peer?.yaml", "templates/peers.yaml"));
        assert!(!matches("templates/peers.yaml", "templates/peersXyaml"));
    }

    #[test]
    fn kubernetes_versions_may_be_short() {
        for text in ["1.33", "v1.33", "1.33.0", "v1.33.0"] {
            assert_eq!(kubernetes_version(text).unwrap(), "v1.33.0");
        }
        assert!(kubernetes_version("latest").is_err());
    }
}
