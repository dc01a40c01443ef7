//! Checks a chart: Helm's rules that apply here, and mistakes that only the rendered objects show.
//!
//! Other rooms report errors that prevent reading or rendering a chart. This room turns such an
//! error into a finding and continues its checks where it can.

#[cfg(test)]
mod tests;

use super::{Chart, helm};
use crate::error::{Error, nearest};
use crate::manifest::{ANNOTATIONS, DOMAIN, Object, WORKLOADS};
use crate::render::Output;
use serde_json::Value;
use std::collections::BTreeSet;

/// Severity of a finding, in Helm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Could be improved.
    Info,
    /// Probably a mistake.
    Warning,
    /// Prevents the chart from being installed, or its objects from working.
    Error,
}

/// A problem in a chart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Path of the file in the chart: `templates/peers.yaml`.
    pub path: String,
    pub message: String,
    /// 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// Fields of Chart.yaml that Helm knows (helm/pkg/chart/v2/metadata.go).
const CHART_FIELDS: [&str; 17] = [
    "annotations",
    "apiVersion",
    "appVersion",
    "condition",
    "dependencies",
    "deprecated",
    "description",
    "home",
    "icon",
    "keywords",
    "kubeVersion",
    "maintainers",
    "name",
    "sources",
    "tags",
    "type",
    "version",
];

/// API versions that no supported Kubernetes serves, each with the Kubernetes version that removed
/// it. <https://kubernetes.io/docs/reference/using-api/deprecation-guide/>
const REMOVED: [(&str, &str); 21] = [
    ("extensions/v1beta1", "1.22"),
    ("apps/v1beta1", "1.16"),
    ("apps/v1beta2", "1.16"),
    ("admissionregistration.k8s.io/v1beta1", "1.22"),
    ("apiextensions.k8s.io/v1beta1", "1.22"),
    ("apiregistration.k8s.io/v1beta1", "1.22"),
    ("authentication.k8s.io/v1beta1", "1.22"),
    ("authorization.k8s.io/v1beta1", "1.22"),
    ("certificates.k8s.io/v1beta1", "1.22"),
    ("coordination.k8s.io/v1beta1", "1.22"),
    ("networking.k8s.io/v1beta1", "1.22"),
    ("rbac.authorization.k8s.io/v1beta1", "1.22"),
    ("scheduling.k8s.io/v1beta1", "1.22"),
    ("batch/v1beta1", "1.25"),
    ("discovery.k8s.io/v1beta1", "1.25"),
    ("events.k8s.io/v1beta1", "1.25"),
    ("policy/v1beta1", "1.25"),
    ("autoscaling/v2beta1", "1.25"),
    ("autoscaling/v2beta2", "1.26"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", "1.29"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", "1.32"),
];

/// Extensions of archives. A chart carries and stores such files, but no template can use their
/// contents.
const ARCHIVES: [&str; 8] = [
    ".tgz", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z",
];

/// Folders that only Helm uses, each with an alternative.
const FOLDERS: [(&str, &str); 2] = [
    (
        "crds/",
        "this folder is not applied: use a template for a custom resource definition, or a release of its own",
    ),
    (
        "charts/",
        "this folder is not applied: install each chart as a separate release",
    ),
];

/// The rendered chart, or the error with the file that it concerns if the error itself names no
/// file of the chart.
pub type Rendered<'a> = Result<&'a Output, (&'static str, &'a Error)>;

/// Returns all findings about a chart and its rendered objects, in the order of its files.
///
/// A finding that concerns several objects from one template line appears once. `warnings` are the
/// warnings from merging the values.
pub fn lint(chart: &Chart, warnings: &[String], rendered: Rendered) -> Vec<Finding> {
    let mut findings = chart_yaml(chart);
    findings.extend(values_yaml(chart));
    findings.extend(
        warnings
            .iter()
            .map(|warning| finding(Severity::Warning, "values.yaml", warning)),
    );
    findings.extend(files(chart));
    let of_helm = go_templates(chart);
    match rendered {
        Ok(output) => findings.extend(manifest(output)),
        // Rendering a Go template fails at an arbitrary place, which does not help.
        Err(_) if !of_helm.is_empty() => {}
        Err((path, error)) => findings.push(of_error(chart, error, path)),
    }
    findings.extend(of_helm);
    let mut seen = BTreeSet::new();
    findings.retain(|finding| {
        seen.insert((finding.path.clone(), finding.line, finding.message.clone()))
    });
    findings
}

/// Returns the only finding for a chart that cannot be read.
pub fn unreadable(error: &Error) -> Finding {
    finding(Severity::Error, "Chart.yaml", error.to_string())
}

fn finding(severity: Severity, path: &str, message: impl Into<String>) -> Finding {
    Finding {
        severity,
        path: path.to_owned(),
        message: message.into(),
        line: None,
    }
}

/// Turns an error into a finding at the first file of the chart that the error names.
fn of_error(chart: &Chart, error: &Error, path: &str) -> Finding {
    let top = format!("{}/", chart.metadata.name);
    let place = error.places().iter().find_map(|place| {
        let file = place.subject.strip_prefix(&top).unwrap_or(&place.subject);
        chart.files.contains_key(file).then_some((file, place.line))
    });
    let (path, line) = place.unwrap_or((path, None));
    Finding {
        line,
        ..finding(Severity::Error, path, error.to_string())
    }
}

fn chart_yaml(chart: &Chart) -> Vec<Finding> {
    let metadata = &chart.metadata;
    let about = |severity, message: String| finding(severity, "Chart.yaml", message);
    let mut findings = Vec::new();
    if metadata.description.trim().is_empty() {
        findings.push(about(
            Severity::Info,
            "a description is recommended".to_owned(),
        ));
    }
    // A chaincode server is of no version of Fabric.
    let has_version =
        metadata.annotations.get("kubectl-fabric.io/model") != Some(&"chaincode".to_owned());
    if has_version && metadata.app_version.is_empty() {
        findings.push(about(
            Severity::Info,
            "appVersion (the version of Fabric) is recommended".to_owned(),
        ));
    }
    if metadata.deprecated {
        findings.push(about(
            Severity::Warning,
            "the chart is deprecated".to_owned(),
        ));
    }
    let fields = metadata.raw.as_object().into_iter().flatten();
    for (field, _) in fields.filter(|(field, _)| !CHART_FIELDS.contains(&field.as_str())) {
        let hint = nearest(field, CHART_FIELDS)
            .map(|near| format!(": did you mean \"{near}\"?"))
            .unwrap_or_default();
        findings.push(about(
            Severity::Warning,
            format!("unknown field \"{field}\"{hint}"),
        ));
    }
    for maintainer in metadata.raw["maintainers"].as_array().into_iter().flatten() {
        if maintainer["name"].as_str().is_none_or(str::is_empty) {
            findings.push(about(
                Severity::Warning,
                "each maintainer needs a name".to_owned(),
            ));
        }
    }
    findings
}

fn values_yaml(chart: &Chart) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !chart.files.contains_key("values.yaml") {
        findings.push(finding(
            Severity::Info,
            "values.yaml",
            "the file does not exist",
        ));
    }
    if chart.schema.is_none() {
        findings.push(finding(
            Severity::Warning,
            "values.schema.json",
            "without a schema, misspelled values are not detected",
        ));
    }
    findings
}

fn files(chart: &Chart) -> Vec<Finding> {
    let any_below = |folder: &str| chart.files.keys().any(|file| file.starts_with(folder));
    let mut findings = Vec::new();
    if !any_below("templates/") {
        findings.push(finding(
            Severity::Warning,
            "templates/",
            "there are no templates",
        ));
    } else if !chart.files.contains_key("templates/NOTES.txt") {
        findings.push(finding(
            Severity::Info,
            "templates/NOTES.txt",
            "the file does not exist; it should tell users the next steps",
        ));
    }
    for (folder, message) in FOLDERS.iter().filter(|(folder, _)| any_below(folder)) {
        findings.push(finding(Severity::Warning, folder, *message));
    }
    let is_archive = |file: &&String| {
        ARCHIVES
            .iter()
            .any(|ending| file.to_ascii_lowercase().ends_with(ending))
    };
    for file in chart
        .files
        .keys()
        .filter(is_archive)
        .filter(|file| !file.starts_with("charts/"))
    {
        findings.push(finding(
            Severity::Warning,
            file,
            "an archive is stored with every release of the chart, but templates cannot use its content",
        ));
    }
    findings
}

/// Returns a finding for each Go template, at the first line that shows it.
fn go_templates(chart: &Chart) -> Vec<Finding> {
    let templates = chart
        .files
        .keys()
        .filter(|file| file.starts_with("templates/"));
    let found = templates.filter_map(|file| Some((file, helm::first_line(chart.text(file)?)?)));
    let message = format!("this is a Go template of a Helm chart; {}", helm::WAY_OUT);
    found
        .map(|(file, line)| Finding {
            line: Some(line),
            ..finding(Severity::Error, file, &message)
        })
        .collect()
}

fn manifest(output: &Output) -> Vec<Finding> {
    let all: Vec<&Object> = output
        .objects
        .iter()
        .chain(output.hooks.iter().map(|hook| &hook.object))
        .collect();
    if all.is_empty() {
        return vec![finding(
            Severity::Warning,
            "templates/",
            "the chart renders no objects",
        )];
    }
    let services: BTreeSet<(Option<&str>, &str)> = all
        .iter()
        .filter(|object| object.key.group.is_empty() && object.key.kind == "Service")
        .map(|object| (object.key.namespace.as_deref(), object.key.name.as_str()))
        .collect();
    let mut findings = Vec::new();
    for object in all {
        let mut about = |severity, message: String| {
            let (path, line) = (&object.source.template, Some(object.source.line));
            findings.push(Finding {
                line,
                ..finding(severity, path, format!("{}: {message}", object.key))
            });
        };
        selector(object, &mut about);
        service_name(object, &services, &mut about);
        images(object, &mut about);
        annotations(object, &mut about);
        if let Some((version, removed)) = REMOVED
            .iter()
            .find(|(version, _)| *version == object.api_version())
        {
            about(
                Severity::Error,
                format!("Kubernetes {removed} and later do not have {version}"),
            );
        }
        if object
            .body
            .get("status")
            .is_some_and(|status| !status.is_null())
        {
            about(
                Severity::Warning,
                "only the server writes status".to_owned(),
            );
        }
    }
    findings
}

type About<'a> = dyn FnMut(Severity, String) + 'a;

fn is_workload(object: &Object) -> bool {
    object.key.group == "apps" && WORKLOADS.contains(&object.key.kind.as_str())
}

fn selector(object: &Object, about: &mut About) {
    if !is_workload(object) {
        return;
    }
    let selector = &object.body["spec"]["selector"];
    let labels = &object.body["spec"]["template"]["metadata"]["labels"];
    match selector["matchLabels"].as_object() {
        None if selector["matchExpressions"].is_array() => {}
        None => about(
            Severity::Error,
            "spec.selector.matchLabels is required".to_owned(),
        ),
        Some(wanted) => {
            for (label, value) in wanted
                .iter()
                .filter(|(label, value)| labels.get(label.as_str()) != Some(value))
            {
                let value = value.as_str().unwrap_or_default();
                about(
                    Severity::Error,
                    format!(
                        "the selector requires label {label}={value}, but the pod template does not have it"
                    ),
                );
            }
        }
    }
}

fn service_name(object: &Object, services: &BTreeSet<(Option<&str>, &str)>, about: &mut About) {
    if object.key.kind == "StatefulSet"
        && let Some(name) = object.body["spec"]["serviceName"].as_str()
        && !name.is_empty()
        && !services.contains(&(object.key.namespace.as_deref(), name))
    {
        about(
            Severity::Warning,
            format!(
                "serviceName is \"{name}\", but the chart has no such Service: pods get no address"
            ),
        );
    }
}

fn images(object: &Object, about: &mut About) {
    let pod = [
        "/spec/jobTemplate/spec/template/spec",
        "/spec/template/spec",
        "/spec",
    ];
    let Some(pod) = pod.iter().find_map(|path| {
        object
            .body
            .pointer(path)
            .filter(|pod| pod["containers"].is_array())
    }) else {
        return;
    };
    for container in ["initContainers", "containers"]
        .iter()
        .filter_map(|field| pod[*field].as_array())
        .flatten()
    {
        let Some(image) = container["image"].as_str() else {
            continue;
        };
        // A colon before the last slash belongs to the registry's port.
        let name = image.rsplit('/').next().unwrap_or(image);
        let is_moving =
            !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
        if is_moving {
            about(
                Severity::Warning,
                format!("image \"{image}\" is not pinned: use a version instead of \"latest\""),
            );
        }
    }
}

fn annotations(object: &Object, about: &mut About) {
    let of_object = object
        .body
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    for (name, _) in of_object.into_iter().flatten() {
        let Some(ours) = name
            .strip_prefix(DOMAIN)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        if !ANNOTATIONS.contains(&ours) {
            let hint = nearest(ours, ANNOTATIONS)
                .map(|near| format!(": did you mean \"{DOMAIN}/{near}\"?"))
                .unwrap_or_default();
            about(
                Severity::Warning,
                format!("unknown annotation \"{name}\"{hint}"),
            );
        } else if ours.starts_with("hook-")
            && object.annotation(&format!("{DOMAIN}/hook")).is_none()
        {
            about(
                Severity::Warning,
                format!("\"{name}\" has no effect without \"{DOMAIN}/hook\""),
            );
        }
    }
}
