//! Masks secrets: the data of Secrets, copies of it in annotations, and all strings that contain a
//! value that the chart's schema marks secret, in any of its [`forms`].
//!
//! A mask shows that a value exists, and equal masks of one masker show equal values. It never
//! reveals the value. Everything that `storage` writes and `terminal` prints passes through this
//! module.

use super::forms::{Form, forms, inside_json};
use crate::encoding::{hex, pointer_step};
use crate::manifest::ObjectKey;
use crate::release::Record;
use crate::values::SHORTEST_SOUGHT;
use ring::hmac;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Replaces secrets by keyed digests (shortened HMAC-SHA256), which show changes but not values.
#[derive(Clone)]
pub struct Masker {
    key: hmac::Key,
    /// Secret values to mask inside all strings.
    sought: Vec<String>,
    /// All their encodings, longest first.
    forms: Vec<Form>,
    /// The encodings as they appear inside a JSON string.
    escaped: Vec<String>,
}

impl Masker {
    /// Creates a masker. The same `key` gives the same masks.
    pub fn new(key: &[u8], secrets: impl IntoIterator<Item = String>) -> Masker {
        let mut sought: Vec<String> = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST_SOUGHT)
            .collect();
        // Longest first, so that a secret that contains another is masked as a whole.
        sought.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        sought.dedup();
        let forms = forms(&sought);
        let escaped = forms.iter().map(|form| inside_json(&form.text)).collect();
        Masker {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            sought,
            forms,
            escaped,
        }
    }

    /// Returns the secret strings at `pointers` of a values tree, for [`Masker::new`].
    pub fn secrets_of(tree: &Value, pointers: &[String]) -> Vec<String> {
        fn strings(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::String(text) => into.push(text.clone()),
                Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
                Value::Object(fields) => fields.values().for_each(|field| strings(field, into)),
                Value::Number(number) => into.push(number.to_string()),
                Value::Null | Value::Bool(_) => {}
            }
        }
        let mut found = Vec::new();
        pointers
            .iter()
            .filter_map(|pointer| tree.pointer(pointer))
            .for_each(|value| strings(value, &mut found));
        found
    }

    /// Returns the secret strings of a record's values. Returns none if the record has only masks
    /// because its Secret is missing.
    pub fn secrets_in(record: &Record) -> Vec<String> {
        if record.lacks_secrets() {
            return Vec::new();
        }
        let trees = [&record.computed_values, &record.user_values];
        trees
            .into_iter()
            .flat_map(|tree| Masker::secrets_of(tree, &record.secret_paths))
            .collect()
    }

    /// Returns the replacement of a secret.
    pub fn mask(&self, secret: &Value) -> Value {
        let text = match secret {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let tag = hmac::sign(&self.key, text.as_bytes());
        let digest = hex(&tag.as_ref()[..8]);
        Value::String(format!("(secret {digest})"))
    }

    /// Returns a text with its secrets masked, or `None` if it contains none.
    pub fn text(&self, text: &str) -> Option<String> {
        let mut masked = None;
        for form in &self.forms {
            if masked
                .as_deref()
                .unwrap_or(text)
                .contains(form.text.as_str())
            {
                let mask = self.mask(&Value::String(self.sought[form.of].clone()));
                masked = Some(replace(
                    masked.as_deref().unwrap_or(text),
                    form,
                    mask.as_str().unwrap_or_default(),
                ));
            }
        }
        masked
    }

    /// Returns true if JSON text that this program wrote contains none of the secrets.
    pub fn is_free(&self, json: &str) -> bool {
        !self.escaped.iter().any(|form| json.contains(form.as_str()))
    }

    /// Returns an object for display, with a Secret's data and all secret values masked.
    pub fn object(&self, body: &Value) -> Value {
        let mut masked = body.clone();
        self.take(
            &mut masked,
            "",
            &object_pointers(body),
            &mut BTreeMap::new(),
        );
        masked
    }

    /// Masks the values at `pointers` and all strings that contain a secret, and moves the
    /// originals to `taken`, by pointer.
    ///
    /// The tree may be a part of a larger tree. `at` is then its pointer there, and a prefix of the
    /// pointers in `taken`.
    pub fn take(
        &self,
        tree: &mut Value,
        at: &str,
        pointers: &[String],
        taken: &mut BTreeMap<String, Value>,
    ) {
        for pointer in pointers {
            // If a pointer occurs twice, the second finds only the mask.
            if let Entry::Vacant(place) = taken.entry(format!("{at}{pointer}"))
                && let Some(value) = tree.pointer_mut(pointer)
            {
                let mask = self.mask(value);
                place.insert(std::mem::replace(value, mask));
            }
        }
        if !self.sought.is_empty() {
            self.take_sought(tree, &mut at.to_owned(), taken);
        }
    }

    fn take_sought(
        &self,
        value: &mut Value,
        pointer: &mut String,
        taken: &mut BTreeMap<String, Value>,
    ) {
        match value {
            Value::String(text) => {
                // A string that was masked by its pointer contains nothing to search for.
                if let Some(masked) = self.text(text) {
                    taken
                        .entry(pointer.clone())
                        .or_insert_with(|| Value::String(std::mem::take(text)));
                    *text = masked;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let length = pointer.len();
                    pointer.push_str(&format!("/{index}"));
                    self.take_sought(item, pointer, taken);
                    pointer.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    let length = pointer.len();
                    pointer.push('/');
                    pointer.push_str(&pointer_step(name));
                    self.take_sought(field, pointer, taken);
                    pointer.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Replaces an encoding by `mask`. Also removes adjacent base64 characters, which contain bits of
/// the secret.
fn replace(text: &str, form: &Form, mask: &str) -> String {
    let is_base64 =
        |character: char| character.is_ascii_alphanumeric() || "+/-_=".contains(character);
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(&form.text) {
        let (mut before, mut after) = (&rest[..at], &rest[at + form.text.len()..]);
        if form.is_base64 {
            (before, after) = (
                before.trim_end_matches(is_base64),
                after.trim_start_matches(is_base64),
            );
        }
        masked.push_str(before);
        masked.push_str(mask);
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Restores what [`Masker::take`] removed.
pub fn restore(tree: &mut Value, taken: &BTreeMap<String, Value>) {
    for (pointer, value) in taken {
        if let Some(place) = tree.pointer_mut(pointer) {
            *place = value.clone();
        }
    }
}

/// Returns true if all data of an object is secret because of its kind.
pub fn is_secret(key: &ObjectKey) -> bool {
    key.kind == "Secret" && key.group.is_empty()
}

/// Annotations in which other tools keep a copy of the object that they applied, including its
/// data.
const COPIES: [&str; 4] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kapp.k14s.io/original",
    "objectset.rio.cattle.io/applied",
    "banzaicloud.com/last-applied",
];

/// Returns pointers to the parts of an object that are secret because of its kind: all entries of a
/// Secret's data, and annotations with a copy of them.
pub fn object_pointers(body: &Value) -> Vec<String> {
    if body["kind"] != "Secret" || body["apiVersion"] != "v1" {
        return Vec::new();
    }
    let entries = |field: &str| -> Vec<String> {
        let names = body
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys);
        names
            .map(|name| format!("/{field}/{}", pointer_step(name)))
            .collect()
    };
    let annotations = body["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten();
    // A copy by an unknown tool is JSON as well.
    let copies = annotations.filter(|(name, value)| {
        COPIES.contains(&name.as_str())
            || value
                .as_str()
                .is_some_and(|text| text.trim_start().starts_with(['{', '[']))
    });
    let copies = copies
        .map(|(name, _)| format!("/metadata/annotations/{}", pointer_step(name)))
        .collect();
    [entries("data"), entries("stringData"), copies].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_taken_is_gone_from_the_tree_and_comes_back_exactly() {
        let masker = Masker::new(b"key", ["hunter2-hunter2".to_owned()]);
        let tree = json!({
            "values": {"db": {"password": "hunter2-hunter2", "pin": 42}, "a/b": "x"},
            "objects": [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"url": "postgres://u:hunter2-hunter2@db/x"}}],
        });
        let mut masked = tree.clone();
        let mut taken = BTreeMap::new();
        masker.take(
            &mut masked,
            "",
            &["/values/db/password".into(), "/values/db/pin".into()],
            &mut taken,
        );
        assert!(!masked.to_string().contains("hunter2"), "{masked}");
        assert!(!masked.to_string().contains("42"), "{masked}");
        restore(&mut masked, &taken);
        assert_eq!(masked, tree);
    }

    #[test]
    fn a_mask_shows_a_change_and_not_the_value() {
        let masker = Masker::new(b"key", []);
        let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": value}});
        assert_eq!(
            masker.object(&secret("YQ==")),
            masker.object(&secret("YQ=="))
        );
        assert_ne!(
            masker.object(&secret("YQ==")),
            masker.object(&secret("Yg=="))
        );
        assert!(!masker.object(&secret("YQ==")).to_string().contains("YQ=="));
        assert_ne!(
            Masker::new(b"other", []).object(&secret("YQ==")),
            masker.object(&secret("YQ==")),
            "the key decides"
        );
    }

    #[test]
    fn the_copy_of_a_secret_in_its_annotations_is_masked() {
        let masker = Masker::new(b"key", []);
        let applied = r#"{"data":{"pw":"TEFTVEFQUExJRUQ="}}"#;
        let others = json!({"example.com/copy": format!(" {applied}"), "objectset.rio.cattle.io/applied": "H4sI", "team": "a"});
        let mut secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"annotations": others}});
        secret["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
            applied.into();
        let shown = masker.object(&secret);
        assert!(
            !shown.to_string().contains("TEFTVEFQUExJRUQ") && !shown.to_string().contains("H4sI"),
            "{shown}"
        );
        assert_eq!(shown["metadata"]["annotations"]["team"], "a");
        let mut taken = BTreeMap::new();
        let mut stored = secret.clone();
        masker.take(&mut stored, "", &object_pointers(&secret), &mut taken);
        restore(&mut stored, &taken);
        assert_eq!(stored, secret);
    }

    #[test]
    fn a_secret_is_masked_in_whatever_form_it_stands() {
        let masker = Masker::new(b"key", ["s3cr3t/p\"w".to_owned()]);
        let cases = [
            ("dXNlcjpzM2NyM3QvcCJ3 is basic auth", " is basic auth"),
            ("auth: dXNlcnM6czNjcjN0L3Aidw==", "auth: "),
            ("postgres://u:s3cr3t%2Fp%22w@db", "postgres://u:"),
            (
                r#"{"env":[{"name":"A","value":"s3cr3t/p\"w"}]}"#,
                r#"{"env":[{"name":"A","value":""#,
            ),
        ];
        for (text, kept) in cases {
            let masked = masker.text(text).unwrap_or_else(|| panic!("{text}"));
            assert!(
                masked.contains("(secret ") && masked.contains(kept),
                "{masked}"
            );
            for part in ["s3cr3t", "zM2Ny", "czNjcj", "dXNl"] {
                assert!(!masked.contains(part), "{masked}");
            }
            assert!(!masker.is_free(&json!([text]).to_string()), "{text}");
        }
    }

    #[test]
    fn a_text_of_json_is_free_of_secrets_only_if_its_strings_are() {
        let masker = Masker::new(b"key", ["say \"ü\"\n".to_owned()]);
        assert!(!masker.is_free(&json!({"a": ["we say \"ü\"\n often"]}).to_string()));
        assert!(masker.is_free(&json!({"a": ["we say ü often"]}).to_string()));
    }

    #[test]
    fn a_secret_within_a_secret_is_masked_whole() {
        let masker = Masker::new(b"key", ["pass".to_owned(), "password1".to_owned()]);
        let masked = masker.text("x=password1").unwrap();
        assert!(!masked.contains("word1"), "{masked}");
    }
}
