//! Checks a chart: Helm's rules that apply here, and mistakes that only the rendered objects show.
//!
//! Other rooms report errors that prevent reading or rendering a chart. This room turns such an
//! error into a finding and continues its checks where it can.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Files, Origin};
    use crate::manifest::TemplateLine;
    use serde_json::json;

    fn chart(files: &[(&str, &str)]) -> Chart {
        let files: Files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        Chart::from_files(files, Origin::Path("demo".to_owned()), "demo").unwrap()
    }

    fn of_objects(bodies: Vec<Value>) -> Vec<String> {
        let source = TemplateLine {
            template: "templates/a.yaml".to_owned(),
            line: 3,
        };
        let objects = bodies
            .into_iter()
            .map(|body| Object::from_body(body, source.clone()).unwrap())
            .collect();
        manifest(&Output {
            objects,
            ..Output::default()
        })
        .into_iter()
        .map(|found| found.message)
        .collect()
    }

    fn stateful_set(spec: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "peer0"}, "spec": spec})
    }

    #[test]
    fn a_bare_chart_is_reported_what_it_lacks() {
        let chart = chart(&[(
            "Chart.yaml",
            "apiVersion: v2\nname: demo\nversion: 0.1.0\ndepreciated: true\nmaintainers: [{email: a}]\n",
        )]);
        let findings = lint(&chart, &[], Ok(&Output::default()));
        let messages: Vec<&str> = findings
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "a description is recommended",
                "appVersion (the version of Fabric) is recommended",
                "unknown field \"depreciated\": did you mean \"deprecated\"?",
                "each maintainer needs a name",
                "the file does not exist",
                "without a schema, misspelled values are not detected",
                "there are no templates",
                "the chart renders no objects",
            ]
        );
    }

    #[test]
    fn an_error_of_rendering_is_a_finding_at_its_template() {
        let chart = chart(&[
            ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 0.1.0\n"),
            ("templates/a.yaml", ""),
        ]);
        let error =
            Error::user("broken").at(crate::error::Place::new("demo/templates/a.yaml").at(7, 1));
        let findings = lint(
            &chart,
            &["\"a\" is a map in the chart".to_owned()],
            Err(("templates/", &error)),
        );
        let found = findings.last().unwrap();
        assert_eq!(
            (found.severity, found.path.as_str(), found.line),
            (Severity::Error, "templates/a.yaml", Some(7))
        );
        assert!(findings.iter().any(
            |found| (found.severity, found.path.as_str()) == (Severity::Warning, "values.yaml")
        ));
        let elsewhere = Error::user("broken").at(crate::error::Place::new("org1.yaml").at(7, 1));
        let found = lint(&chart, &[], Err(("values.yaml", &elsewhere)))
            .pop()
            .unwrap();
        assert_eq!((found.path.as_str(), found.line), ("values.yaml", None));
    }

    #[test]
    fn what_only_a_chart_of_helm_has_is_reported() {
        let chart = chart(&[
            ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 0.1.0\n"),
            ("charts/sub-0.1.0.tgz", ""),
            ("crds/a.yaml", ""),
            ("demo-0.1.0.TGZ", ""),
            ("files/words.gz", ""),
            (
                "templates/_helpers.tpl",
                "{{/* names */}}\n{{- define \"demo.name\" -}}\n{{- end }}\n",
            ),
            (
                "templates/a.yaml",
                "kind: A\nmetadata:\n  name: {{ .Values.name }}\n",
            ),
            ("templates/b.yaml", "kind: {{ values.kind }}\n"),
        ]);
        let error = Error::user("syntax error in a template");
        let findings = lint(&chart, &[], Err(("templates/", &error)));
        let of = |severity| -> Vec<(&str, Option<usize>)> {
            findings
                .iter()
                .filter(|found| found.severity == severity)
                .map(|found| (found.path.as_str(), found.line))
                .collect()
        };
        assert_eq!(
            of(Severity::Error),
            [
                ("templates/_helpers.tpl", Some(1)),
                ("templates/a.yaml", Some(3))
            ]
        );
        let warned =
            ["values.schema.json", "crds/", "charts/", "demo-0.1.0.TGZ"].map(|path| (path, None));
        assert_eq!(of(Severity::Warning), warned);
    }

    #[test]
    fn workloads_are_checked_with_what_is_around_them() {
        let labels = json!({"app": "peer0"});
        let whole = json!({
            "serviceName": "peer0", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": "registry:5000/fabric-peer:2.5.9"}]}},
        });
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "peer0"}});
        assert_eq!(
            of_objects(vec![stateful_set(whole.clone()), service]),
            Vec::<String>::new()
        );
        assert_eq!(
            of_objects(vec![stateful_set(whole)]),
            [
                "StatefulSet peer0: serviceName is \"peer0\", but the chart has no such Service: pods get no address"
            ]
        );
        let broken = json!({
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": {"app": "peer"}}, "spec": {
                "initContainers": [{"image": "registry:5000/busybox"}], "containers": [{"image": "peer:latest"}]}},
        });
        assert_eq!(
            of_objects(vec![stateful_set(broken), stateful_set(json!({}))]),
            [
                "StatefulSet peer0: the selector requires label app=peer0, but the pod template does not have it",
                "StatefulSet peer0: image \"registry:5000/busybox\" is not pinned: use a version instead of \"latest\"",
                "StatefulSet peer0: image \"peer:latest\" is not pinned: use a version instead of \"latest\"",
                "StatefulSet peer0: spec.selector.matchLabels is required",
            ]
        );
    }

    #[test]
    fn annotations_and_api_versions_that_do_not_exist_are_reported() {
        let messages = of_objects(vec![json!({
            "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "status": {},
            "metadata": {"name": "a", "annotations": {"kubectl-fabric.io/stge": "1", "kubectl-fabric.io/hook-weight": "1"}},
        })]);
        assert_eq!(
            messages,
            [
                "PodDisruptionBudget a: unknown annotation \"kubectl-fabric.io/stge\": did you mean \"kubectl-fabric.io/stage\"?",
                "PodDisruptionBudget a: \"kubectl-fabric.io/hook-weight\" has no effect without \"kubectl-fabric.io/hook\"",
                "PodDisruptionBudget a: Kubernetes 1.25 and later do not have policy/v1beta1",
                "PodDisruptionBudget a: only the server writes status",
            ]
        );
    }
}
