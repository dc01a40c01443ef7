//! Finds secrets among values that the chart's schema does not mark: secrets of earlier revisions,
//! and texts that look like credentials.

use super::path;
use crate::error::without_passwords;
use serde_json::Value;
use std::collections::BTreeSet;

/// Minimum length of secrets that are searched for elsewhere. Shorter texts, such as "no", occur in
/// too many words, and are secret only at their own path.
pub const SHORTEST_SOUGHT: usize = 4;

/// The secrets of a release's earlier revisions. They stay secret even if a later chart or schema
/// does not mark them.
#[derive(Clone, Debug, Default)]
pub struct StoredSecrets {
    /// JSON pointers of the secret values.
    pub paths: BTreeSet<String>,
    /// The secrets as text, because a value may have moved to another key.
    pub texts: BTreeSet<String>,
}

impl StoredSecrets {
    /// Returns the JSON pointers of all secrets in `trees`: nodes at a stored path, and texts that
    /// contain a stored secret.
    pub fn paths_in(&self, trees: &[&Value]) -> BTreeSet<String> {
        let is_there = |path: &&String| {
            trees
                .iter()
                .filter_map(|tree| tree.pointer(path))
                .any(|value| !is_reference(value))
        };
        let mut found: BTreeSet<String> = self.paths.iter().filter(is_there).cloned().collect();
        if self.texts.iter().any(|text| text.len() >= SHORTEST_SOUGHT) {
            trees.iter().for_each(|tree| {
                each_leaf(tree, "", &mut |pointer, leaf| {
                    if self.is_in(leaf) {
                        found.insert(pointer.to_owned());
                    }
                });
            });
        }
        found
    }

    fn is_in(&self, leaf: &Value) -> bool {
        let holds = |text: &str| {
            self.texts
                .iter()
                .any(|secret| secret.len() >= SHORTEST_SOUGHT && text.contains(secret.as_str()))
        };
        match leaf {
            Value::String(text) => holds(text),
            Value::Number(number) => holds(&number.to_string()),
            _ => false,
        }
    }
}

/// Returns the JSON pointers of texts that look like credentials: environment variables with such a
/// name, URLs with a password, and private keys.
pub fn credentials(tree: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_leaf(tree, "", &mut |pointer, leaf| {
        let Value::String(text) = leaf else { return };
        let parent = &pointer[..pointer.rfind('/').unwrap_or(0)];
        // A variable is a key of a map, or a `value` next to a `name`, as in a container.
        let name = match pointer.rsplit('/').next() {
            Some("value") => tree
                .pointer(&format!("{parent}/name"))
                .and_then(Value::as_str),
            name => name,
        };
        if without_passwords(text) != text.as_str()
            || is_private_key(text)
            || (name.is_some_and(names_a_credential) && is_opaque(text))
        {
            found.insert(pointer.to_owned());
        }
    });
    found
}

/// Returns true if an environment variable of this name contains a credential.
///
/// One word of the name must say so, and the name must not indicate a path or the name of a
/// credential.
fn names_a_credential(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "PASS",
        "PWD",
        "TOKEN",
        "SECRET",
        "KEY",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "USERPASS",
    ];
    const ABOUT: [&str; 16] = [
        "FILE", "FILES", "FILENAME", "PATH", "DIR", "NAME", "ID", "TYPE", "SIZE", "LENGTH",
        "LABEL", "ENABLED", "TTL", "TIMEOUT", "EXPIRY", "STORE",
    ];
    let is_variable = name
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let mut words = name.split('_');
    is_variable
        && words.clone().any(|word| WORDS.contains(&word))
        && !words.next_back().is_some_and(|last| ABOUT.contains(&last))
}

/// Returns true if a text may be a secret: not empty, a boolean, a number or a path.
fn is_opaque(text: &str) -> bool {
    !text.is_empty()
        && !matches!(text, "true" | "false")
        && text.parse::<f64>().is_err()
        && !text.starts_with('/')
}

fn is_private_key(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(at, begin)| {
        let rest = &text[at + begin.len()..];
        rest.find("-----")
            .is_some_and(|end| rest[..end].ends_with("PRIVATE KEY"))
    })
}

/// Matches `valueFrom`, which refers to a secret and does not contain it.
fn is_reference(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|fields| fields.len() == 1 && fields.contains_key("valueFrom"))
}

fn each_leaf(node: &Value, pointer: &str, visit: &mut dyn FnMut(&str, &Value)) {
    match node {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, child)| each_leaf(child, &path::key_below(pointer, key), visit)),
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, child)| each_leaf(child, &format!("{pointer}/{index}"), visit));
        }
        leaf => visit(pointer, leaf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored(paths: &[&str], texts: &[&str]) -> StoredSecrets {
        let set = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        StoredSecrets {
            paths: set(paths),
            texts: set(texts),
        }
    }

    #[test]
    fn what_was_secret_is_found_at_its_path_and_wherever_it_went() {
        let tree = json!({"password": "other", "list": [{"a": "hunter2"}, "x"], "url": "db://u:hunter2@h", "pin": 8642, "free": "hunter"});
        let found = stored(&["/password", "/gone"], &["hunter2", "8642", "x"]).paths_in(&[&tree]);
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            ["/list/0/a", "/password", "/pin", "/url"]
        );
        let moved = json!({"password": {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}});
        assert!(
            stored(&["/password"], &["hunter2"])
                .paths_in(&[&moved])
                .is_empty(),
            "a reference is no secret"
        );
    }

    #[test]
    fn credentials_are_reported_by_name_or_form() {
        let secret = json!({"env": {
            "ORDERER_PASSWORD": "a", "CORE_LEDGER_STATE_COUCHDBCONFIG_PASSWORD": "b", "AWS_SECRET_ACCESS_KEY": "c", "GITHUB_TOKEN": "d",
            "PROXY": "http://me:pw@proxy:3128", "PEM": "-----BEGIN EC PRIVATE KEY-----\nMHc",
        }, "containers": [{"env": [{"name": "API_KEY", "value": "e"}]}]});
        let found = credentials(&secret);
        assert_eq!(found.len(), 7, "{found:?}");
        assert!(found.contains("/containers/0/env/0/value"));
        let plain = json!({"env": {
            "CORE_PEER_TLS_KEY_FILE": "tls/key.pem", "TOKEN_TTL": "1h", "KEYCLOAK_URL": "http://k", "ENFORCE_PASSWORD": "true",
            "PEER_KEY": "/etc/key", "PROXY": "http://me@proxy:3128", "PEM": "-----BEGIN CERTIFICATE-----\n", "TIME": "12:00 a@b",
            "DB_PASSWORD": "", "MAX_KEY": "12",
        }, "secretName": "tls", "password": "lower-case keys are the schema's matter",
            "from": {"A_PASSWORD": {"valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}}});
        assert_eq!(credentials(&plain), BTreeSet::new());
    }
}
