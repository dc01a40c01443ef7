//! `--labels`: the user's own labels of a release.

use crate::commands::selector::KEYS;
use crate::manifest::DOMAIN;

/// A label and its value, or none where an upgrade removes it.
pub type Label = (String, Option<String>);

/// Reads `key=value`, or `key=null`, which removes a label.
///
/// # Errors
///
/// Text that is not a valid label
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>),
/// and reserved keys.
pub fn parse(text: &str) -> Result<Label, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as team=payments")?;
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let plain = |text: &str, also: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    let edges = |text: &str| {
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        is_edge(text.chars().next()) && is_edge(text.chars().last())
    };
    let fits = |text: &str| text.len() <= 63 && plain(text, "-_.") && edges(text);
    if !fits(name)
        || prefix.is_some_and(|prefix| prefix.len() > 253 || !plain(prefix, "-.") || !edges(prefix))
    {
        return Err(format!("\"{key}\" is not a valid label key"));
    }
    if prefix == Some(DOMAIN)
        || key == "app.kubernetes.io/managed-by"
        || (prefix.is_none() && KEYS.contains(&key))
        || key == "name"
    {
        return Err(format!(
            "the label \"{key}\" is reserved for kubectl-fabric"
        ));
    }
    match value {
        "null" => Ok((key.to_owned(), None)),
        value if value.is_empty() || fits(value) => Ok((key.to_owned(), Some(value.to_owned()))),
        _ => Err(format!(
            "the value of \"{key}\" is not a valid label value; expected at most 63 letters, \
             digits, \"-\", \"_\" and \".\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_kubernetes_and_not_ours() {
        assert_eq!(
            parse("team=payments"),
            Ok(("team".into(), Some("payments".into())))
        );
        assert_eq!(
            parse("example.com/team="),
            Ok(("example.com/team".into(), Some(String::new())))
        );
        assert_eq!(parse("team=null"), Ok(("team".into(), None)));
        let long = format!("a={}", "x".repeat(64));
        for wrong in [
            "team", "=a", "-a=b", "a b=c", "a=b c", "a=b/c", "a=ü", "a/b/c=d", "/a=b", &long,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for ours in [
            "status=x",
            "name=x",
            "chart=x",
            "kubectl-fabric.io/status=deployed",
            "app.kubernetes.io/managed-by=me",
        ] {
            assert!(parse(ours).unwrap_err().contains("reserved"), "{ours}");
        }
    }
}
