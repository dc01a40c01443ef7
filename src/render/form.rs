//! Whether a document has the form of a Kubernetes object.

use serde_json::Value;

/// Returns the errors in a document that prevent it from being a Kubernetes object.
///
/// The API server checks more. This checks the object's identity, and the most frequent mistake in
/// templates: a label with a number as its value.
pub(super) fn problems(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !body.is_object() {
        return vec!["it is not a map".to_owned()];
    }
    let string = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .map(str::to_owned)
            .filter(|text| !text.is_empty())
    };
    let group = match string(body.get("apiVersion")) {
        Some(api_version) if is_api_version(&api_version) => api_version
            .rsplit_once('/')
            .map(|(group, _)| group.to_owned()),
        Some(_) => {
            problems.push("apiVersion must be like \"v1\" or \"apps/v1\"".to_owned());
            None
        }
        None => {
            problems.push("apiVersion is missing".to_owned());
            None
        }
    };
    match string(body.get("kind")) {
        Some(kind)
            if kind.starts_with(|c: char| c.is_ascii_uppercase())
                && kind.bytes().all(|c| c.is_ascii_alphanumeric()) => {}
        Some(_) => problems.push("kind must be a name like \"StatefulSet\"".to_owned()),
        None => problems.push("kind is missing".to_owned()),
    }
    let is_rbac = group.as_deref() == Some("rbac.authorization.k8s.io");
    check_metadata(body.get("metadata"), is_rbac, &mut problems);
    problems
}

fn check_metadata(metadata: Option<&Value>, is_rbac: bool, problems: &mut Vec<String>) {
    let field = |field: &str| metadata.and_then(|metadata| metadata.get(field));
    match field("name") {
        Some(Value::String(name)) if is_object_name(name, is_rbac) => {}
        Some(Value::String(name)) => problems.push(format!(
            "metadata.name \"{name}\" must consist of lower-case letters, digits, \"-\" and \".\", \
             start and end with a letter or digit, and have at most 253 characters"
        )),
        Some(Value::Null) | None => problems.push("metadata.name is missing".to_owned()),
        Some(_) => problems.push("metadata.name must be a string".to_owned()),
    }
    match field("namespace") {
        None => {}
        Some(Value::String(namespace))
            if is_object_name(namespace, false)
                && !namespace.contains('.')
                && namespace.len() < 64 => {}
        Some(_) => problems.push(
            "metadata.namespace must consist of lower-case letters, digits and \"-\"".to_owned(),
        ),
    }
    for name in ["labels", "annotations"] {
        match field(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => {
                let wrong = map.iter().filter(|(_, value)| !value.is_string());
                problems.extend(wrong.map(|(key, _)| {
                    format!("metadata.{name}: \"{key}\" must be a string: use `| string`")
                }));
            }
            Some(_) => problems.push(format!("metadata.{name} must be a map")),
        }
    }
}

fn is_api_version(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-".contains(&c))
    };
    match text.split_once('/') {
        Some((group, version)) => plain(group) && plain(version) && !version.contains('/'),
        None => plain(text),
    }
}

/// Returns true if an object may have this name.
///
/// RBAC objects may have any name that is valid in a path (`system:node`). All others have names of
/// DNS subdomains. <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
fn is_object_name(name: &str, is_rbac: bool) -> bool {
    if is_rbac {
        return !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']);
    }
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if plain(*first) && plain(*last))
                && bytes.iter().all(|c| plain(*c) || *c == b'-')
        })
}
