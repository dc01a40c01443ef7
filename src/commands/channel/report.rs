//! Describes the changes and signatures of an update, as text and as a document.

use crate::channel::{Current, Did, Explanation, Step};
use crate::ledger::policy::Verdict;
use crate::ledger::sign::Creator;
use crate::terminal::{Text, one_line};
use serde_json::{Value, json};

/// An update, as shown to the user.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub changes: Vec<String>,
    /// Requested changes that are already in place.
    pub unchanged: Vec<String>,
    /// The new content of changed groups. Shown if no node was called.
    pub contents: Vec<String>,
    pub signers: Vec<Creator>,
    pub policies: Vec<Verdict>,
}

impl From<Explanation> for Report {
    fn from(explained: Explanation) -> Report {
        Report {
            changes: explained.changes,
            unchanged: Vec::new(),
            contents: explained.contents,
            signers: explained.signers,
            policies: explained.policies,
        }
    }
}

impl Report {
    /// Formats sections with headings. Omits empty sections.
    pub fn text(&self) -> Text {
        let signers: Vec<String> = self.signers.iter().map(Creator::to_string).collect();
        let policies: Vec<String> = self.policies.iter().map(Verdict::to_string).collect();
        let mut text = Text::default();
        for (heading, lines) in [
            ("CHANGES", &self.changes),
            ("UNCHANGED", &self.unchanged),
            ("AFTERWARDS", &self.contents),
            ("SIGNED BY", &signers),
            ("POLICIES", &policies),
        ] {
            if lines.is_empty() {
                continue;
            }
            text.push(format!("{heading}:\n"));
            for line in lines {
                // A name from outside must not look like another line.
                text.push(format!("  {}\n", one_line(line)));
            }
        }
        text
    }

    /// Returns the fields of the document, merged over `more`.
    pub fn document(&self, channel: &str, more: Value) -> Value {
        let mut document = json!({
            "name": channel,
            "changes": self.changes,
            "signedBy": self.signers.iter().map(Creator::to_string).collect::<Vec<_>>(),
            "policies": self.policies.iter().map(policy).collect::<Vec<_>>(),
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        document
    }
}

/// Returns the result of a committed update: a sentence, and fields of the document.
pub fn updated(name: &str, current: &Current, steps: &[Step]) -> (String, Value) {
    let (block, sequence) = (current.block.number(), current.configuration.sequence);
    let joined = steps.iter().filter(|it| matches!(it.did, Did::Joined));
    let joined: Vec<&str> = joined.map(|it| it.node.as_str()).collect();
    let mut head =
        format!("Channel \"{name}\" has been updated: block {block}, configuration {sequence}.\n");
    if !joined.is_empty() {
        head += &format!("{} joined the channel first.\n", joined.join(", "));
    }
    let fields = json!({
        "changed": true,
        "block": block,
        "configuration": sequence,
        "joined": joined,
    });
    (head, fields)
}

fn policy(verdict: &Verdict) -> Value {
    json!({
        "path": verdict.path,
        "policy": verdict.policy,
        "satisfied": verdict.is_satisfied,
        "text": verdict.to_string(),
    })
}
