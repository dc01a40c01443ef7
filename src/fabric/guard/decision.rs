//! Turns findings into a decision: an error with all refusals, or permission with warnings.

use super::{Finding, Judgement, Verdict, by_rule};
use crate::error::{Error, Place, Result};
use std::collections::BTreeMap;

/// Maximum number of places of one rule in a warning. Further ones are only counted.
const LISTED: usize = 3;

/// Permission to proceed.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    pub warnings: Vec<String>,
    /// Rules that refused and were overridden, without duplicates.
    pub forced: Vec<&'static str>,
}

impl Judgement {
    /// Passes if no rule refuses, or if every refusing rule is forced. `operation` is the verb,
    /// such as `upgrade`.
    ///
    /// # Errors
    ///
    /// Lists all refusing rules that are not forced, in one error.
    pub fn decide(
        self,
        operation: &str,
        release: &str,
        forced: &[&'static str],
    ) -> Result<Decision> {
        let refusing = |finding: &&Finding| {
            finding.rule.verdict.refuses() && !forced.contains(&finding.rule.id)
        };
        let refused: Vec<&Finding> = self.findings.iter().filter(refusing).collect();
        if !refused.is_empty() {
            let error = refusal(operation, release, &refused);
            return Err(match &self.offer {
                Some(values) => error.hint(format!(
                    "the existing volumes were written with other values: `--set {values}`"
                )),
                None => error,
            });
        }
        Ok(self.into_warnings(forced))
    }

    /// Returns all findings as warnings, for a preview that should not be refused.
    pub fn into_warnings(self, forced: &[&'static str]) -> Decision {
        let mut decision = Decision {
            warnings: self.notes,
            forced: Vec::new(),
        };
        for ((id, verdict), findings) in by_rule(
            self.findings
                .iter()
                .filter(|it| it.rule.verdict > Verdict::Allow),
        ) {
            let is_forced = verdict.refuses() && forced.contains(&id);
            let begin = match verdict {
                _ if is_forced => format!("{id} is overridden by --force"),
                Verdict::Allow | Verdict::Warn => id.to_owned(),
                Verdict::NeedsAction => format!("{id} refuses this until you act"),
                Verdict::Block => format!("{id} refuses this"),
            };
            if is_forced && !decision.forced.contains(&id) {
                decision.forced.push(id);
            }
            let rule = findings[0].rule;
            let way_out = if rule.way_out.is_empty() {
                String::new()
            } else {
                format!("; {}", rule.way_out)
            };
            decision.warnings.push(format!(
                "{begin}: {}: {}{way_out}",
                places(&findings),
                rule.reason
            ));
        }
        for id in forced.iter().filter(|id| !decision.forced.contains(id)) {
            decision.warnings.push(format!(
                "--force {id} has no effect: the guard does not refuse this"
            ));
        }
        decision
    }
}

/// Formats places as in `peer 2.5.16 → 2.5.15 (StatefulSet org1/peer0, StatefulSet org1/peer1)`.
fn places(findings: &[&Finding]) -> String {
    let mut by_case: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings {
        match by_case.iter_mut().find(|(what, _)| *what == finding.what) {
            Some((_, places)) => places.push(&finding.place),
            None => by_case.push((&finding.what, vec![&finding.place])),
        }
    }
    let words = by_case
        .into_iter()
        .map(|(what, places)| match places.len() {
            0..=LISTED => format!("{what} ({})", places.join(", ")),
            many => format!(
                "{what} ({} and {} more)",
                places[..LISTED].join(", "),
                many - LISTED
            ),
        });
    words.collect::<Vec<_>>().join(", ")
}

fn refusal(operation: &str, release: &str, refused: &[&Finding]) -> Error {
    let mut by_place: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for finding in refused {
        by_place
            .entry(&finding.place)
            .or_default()
            .push(format!("{}, {}", finding.what, finding.rule.id));
    }
    let rules = by_rule(refused.iter().copied());
    let mut ids: Vec<&str> = rules.keys().map(|(id, _)| *id).collect();
    ids.dedup();
    let subject = match ids[..] {
        [id] => format!("guard {id} refuses it"),
        _ => format!("guards {} refuse it", ids.join(", ")),
    };
    let mut error = Error::refused(format!(
        "cannot {} release \"{release}\": {subject}",
        spoken(operation)
    ))
    .at_all(
        by_place
            .into_iter()
            .map(|(place, whats)| Place::new(place).note(whats.join("; "))),
    )
    .now("nothing was changed");
    for ((id, _), findings) in &rules {
        error = error.why(format!("{id}: {}", findings[0].rule.reason));
    }
    for ((id, _), findings) in rules
        .iter()
        .filter(|(_, findings)| !findings[0].rule.way_out.is_empty())
    {
        error = error.hint(format!("{id}: {}", findings[0].rule.way_out));
    }
    let flags: Vec<String> = ids.iter().map(|id| format!("--force {id}")).collect();
    error.hint(format!(
        "if the guard does not apply, override it with {}; the record lists it",
        flags.join(" ")
    ))
}

fn spoken(operation: &str) -> &str {
    match operation {
        "rollback" => "roll back",
        other => other,
    }
}
