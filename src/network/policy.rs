//! Checks policies in a network file. `ledger` parses the language of signature policies.

use super::problem::Problems;
use crate::error::nearest;
use std::collections::BTreeSet;

/// The words with which an implicit meta policy begins (`common/policies/implicitmetaparser.go`).
const IMPLICIT: [&str; 3] = ["ANY", "ALL", "MAJORITY"];
/// The operators of signature policies (`common/policydsl/policyparser.go`).
const OPERATORS: [&str; 3] = ["AND", "OR", "OutOf"];
/// The roles of a principal.
const ROLES: [&str; 5] = ["member", "admin", "client", "peer", "orderer"];

/// Checks a policy of a channel: `MAJORITY Admins`, or a signature policy.
pub fn check(rule: &str, pointer: &str, msp_ids: &Option<BTreeSet<&str>>, problems: &mut Problems) {
    if !rule.contains('(') {
        let mut words = rule.split_whitespace();
        let first = words.next().unwrap_or_default();
        let ends = words.next().is_some() && words.next().is_none();
        if !IMPLICIT.contains(&first) || !ends {
            let hint = nearest(first, IMPLICIT).map(|near| format!("did you mean \"{near}\"?"));
            problems.wrong(
                pointer,
                "expected `ANY`, `ALL` or `MAJORITY` and the name of a policy, or a signature \
                 policy such as OR('Org1MSP.admin')",
                hint,
            );
        }
        return;
    }
    signature(rule, pointer, msp_ids, problems);
}

/// Checks a signature policy: its brackets, quotes and operators, and that each principal is a role
/// of a known MSP.
pub fn signature(
    rule: &str,
    pointer: &str,
    msp_ids: &Option<BTreeSet<&str>>,
    problems: &mut Problems,
) {
    let (principals, rest) = split(rule);
    let Some(principals) = principals else {
        problems.add(pointer, "the policy has an unclosed quote");
        return;
    };
    let opened = rest.matches('(').count();
    if opened != rest.matches(')').count() {
        problems.add(pointer, "the brackets of the policy do not match");
    }
    let words = rest.split(|letter: char| !letter.is_ascii_alphabetic());
    for word in words.filter(|word| !word.is_empty()) {
        if !OPERATORS
            .iter()
            .any(|operator| operator.eq_ignore_ascii_case(word))
        {
            problems.wrong(
                pointer,
                format!("unknown operator \"{word}\"; expected AND, OR or OutOf"),
                Some("put principals in quotes: 'Org1MSP.peer'".to_owned()),
            );
        }
    }
    if principals.is_empty() {
        problems.add(pointer, "the policy names no organization");
    }
    for principal in principals {
        let Some((msp_id, role)) = principal.rsplit_once('.') else {
            problems.add(
                pointer,
                format!("\"{principal}\" is not a principal such as 'Org1MSP.peer'"),
            );
            continue;
        };
        if !ROLES.contains(&role) {
            let what = format!("unknown role \"{role}\"; expected {}", ROLES.join(", "));
            problems.unknown(pointer, what, role, ROLES);
        }
        if let Some(known) = msp_ids
            && !known.contains(msp_id)
        {
            let what = format!("no organization of the channel has MSP id \"{msp_id}\"");
            problems.unknown(pointer, what, msp_id, known.iter().copied());
        }
    }
}

/// Returns the quoted parts of a rule and the text around them, or `None` if a quote is not closed.
fn split(rule: &str) -> (Option<Vec<&str>>, String) {
    let (mut quoted, mut around) = (Vec::new(), String::new());
    let mut rest = rule;
    while let Some(start) = rest.find(['\'', '"']) {
        around.push_str(&rest[..start]);
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else {
            return (None, around);
        };
        quoted.push(&rest[start + 1..start + 1 + length]);
        rest = &rest[start + length + 2..];
    }
    around.push_str(rest);
    (Some(quoted), around)
}
