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
    assert!(
        findings.iter().any(
            |found| (found.severity, found.path.as_str()) == (Severity::Warning, "values.yaml")
        )
    );
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
