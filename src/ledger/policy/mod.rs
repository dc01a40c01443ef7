//! Policies of a channel: parses, formats and evaluates them.
//!
//! A signature policy is an expression over principals: `OR('Org1MSP.admin', 'Org2MSP.admin')`. An
//! implicit meta policy counts the subgroups that satisfy their policy of a given name: `MAJORITY
//! of Admins`. [`evaluate`] determines existing and missing signatures.

mod evaluate;
mod parse;

pub use evaluate::{Verdict, evaluate, evaluate_signature_policy, organizations_of};

use super::message::decode;
use super::message::msp::SerializedIdentity;
use super::message::policy as message;
use super::message::policy::{
    Classification, ImplicitMetaPolicy, ImplicitMetaRule, NOutOf, OrganizationUnit, PolicyType,
    Principal, Role, RoleType, Rule, SignaturePolicy, SignaturePolicyEnvelope,
};
use crate::error::{Error, Result, nearest};
use crate::identity::certificate::Certificate;
use prost::Message;
use std::collections::BTreeSet;
use std::fmt;

/// A policy of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// This many subgroups must satisfy their policy of this name.
    ImplicitMeta(ImplicitMetaRule, String),
    Signature(SignaturePolicyEnvelope),
}

impl Policy {
    /// Reads `MAJORITY Admins`, `MAJORITY of Admins` or an expression such as
    /// `OR('Org1MSP.admin')` (`common/policies/implicitmetaparser.go`,
    /// `common/policydsl/policyparser.go`).
    pub fn parse(text: &str) -> Result<Policy> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let rule = match words.first() {
            Some(&"ANY") => ImplicitMetaRule::Any,
            Some(&"ALL") => ImplicitMetaRule::All,
            Some(&"MAJORITY") => ImplicitMetaRule::Majority,
            _ => return parse::expression(text).map(Policy::Signature),
        };
        match words[1..] {
            [name] | ["of", name] => Ok(Policy::ImplicitMeta(rule, name.to_owned())),
            _ => Err(Error::user(format!("cannot read the policy {text:?}"))
                .why("expected one name of a policy after ANY, ALL or MAJORITY: MAJORITY Admins")),
        }
    }

    pub fn from_message(policy: &message::Policy) -> Result<Policy> {
        match policy.r#type() {
            PolicyType::Signature => {
                decode(&policy.value, "the signature policy").map(Policy::Signature)
            }
            PolicyType::ImplicitMeta => {
                let read: ImplicitMetaPolicy = decode(&policy.value, "the implicit meta policy")?;
                Ok(Policy::ImplicitMeta(read.rule(), read.sub_policy))
            }
            _ => Err(Error::user("cannot read the policy").why(format!(
                "its type {} is not one that Fabric evaluates",
                policy.r#type
            ))),
        }
    }

    pub fn to_message(&self) -> message::Policy {
        let (r#type, value) = match self {
            Policy::ImplicitMeta(rule, sub_policy) => {
                let policy = ImplicitMetaPolicy {
                    sub_policy: sub_policy.clone(),
                    rule: (*rule).into(),
                };
                (PolicyType::ImplicitMeta, policy.encode_to_vec())
            }
            Policy::Signature(policy) => (PolicyType::Signature, policy.encode_to_vec()),
        };
        message::Policy {
            r#type: r#type.into(),
            value,
        }
    }

    /// A policy that one signature of a member with this role satisfies.
    pub fn signed_by(role: RoleType, msp_id: &str) -> Policy {
        Policy::Signature(SignaturePolicyEnvelope {
            version: 0,
            rule: Some(n_out_of(1, vec![signed_by(0)])),
            identities: vec![role_principal(role, msp_id)],
        })
    }

    /// The MSP ids that the policy names.
    pub fn organizations(&self) -> BTreeSet<String> {
        match self {
            Policy::ImplicitMeta(..) => BTreeSet::new(),
            Policy::Signature(policy) => {
                let identities = policy.identities.iter();
                identities.filter_map(|it| organization(it).ok()).collect()
            }
        }
    }

    /// Returns true if the policy is satisfied without any signature, such as `OutOf(0, ...)`.
    pub fn needs_no_signature(&self) -> bool {
        fn holds(rule: &SignaturePolicy) -> bool {
            match &rule.r#type {
                Some(Rule::NOutOf(gate)) => {
                    let satisfied = gate.rules.iter().filter(|rule| holds(rule)).count();
                    i32::try_from(satisfied).is_ok_and(|count| count >= gate.n)
                }
                Some(Rule::SignedBy(_)) | None => false,
            }
        }
        match self {
            Policy::ImplicitMeta(..) => false,
            Policy::Signature(policy) => policy.rule.as_ref().is_some_and(holds),
        }
    }

    /// Refuses a policy that names an MSP id which is not among `known`.
    pub fn check_organizations(&self, name: &str, known: &BTreeSet<String>) -> Result<()> {
        let Some(unknown) = self
            .organizations()
            .into_iter()
            .find(|id| !known.contains(id))
        else {
            return Ok(());
        };
        let list: Vec<&str> = known.iter().map(String::as_str).collect();
        let error =
            Error::user(format!("the policy {name} names an unknown organization")).why(format!(
                "{self} names {unknown:?}; the channel has {}",
                list.join(", ")
            ));
        Err(match nearest(&unknown, list) {
            Some(meant) => error.hint(format!("did you mean {meant:?}?")),
            None => error.hint("add the organization to the channel, or correct the policy"),
        })
    }
}

pub(super) fn signed_by(index: usize) -> SignaturePolicy {
    SignaturePolicy {
        r#type: Some(Rule::SignedBy(index as i32)),
    }
}

pub(super) fn n_out_of(n: i32, rules: Vec<SignaturePolicy>) -> SignaturePolicy {
    SignaturePolicy {
        r#type: Some(Rule::NOutOf(NOutOf { n, rules })),
    }
}

fn role_principal(role: RoleType, msp_id: &str) -> Principal {
    let principal = Role {
        msp_identifier: msp_id.to_owned(),
        role: role.into(),
    };
    Principal {
        principal_classification: Classification::Role.into(),
        principal: principal.encode_to_vec(),
    }
}

/// The word of a role in an expression.
pub fn role_word(role: RoleType) -> &'static str {
    match role {
        RoleType::Member => "member",
        RoleType::Admin => "admin",
        RoleType::Client => "client",
        RoleType::Peer => "peer",
        RoleType::Orderer => "orderer",
    }
}

/// The MSP id of a principal.
fn organization(principal: &Principal) -> Result<String> {
    let bytes = &principal.principal[..];
    match principal.principal_classification() {
        Classification::Role => decode(bytes, "the role").map(|it: Role| it.msp_identifier),
        Classification::OrganizationUnit => {
            decode(bytes, "the unit").map(|it: OrganizationUnit| it.msp_identifier)
        }
        Classification::Identity => {
            decode(bytes, "the identity").map(|it: SerializedIdentity| it.mspid)
        }
        _ => Err(Error::user("the principal belongs to no organization")),
    }
}

/// `'Org1MSP.admin'`, or a description if no expression exists.
fn principal_words(principal: &Principal) -> String {
    let bytes = &principal.principal[..];
    let known = match principal.principal_classification() {
        Classification::Role => Role::decode(bytes)
            .map(|it| format!("'{}.{}'", it.msp_identifier, role_word(it.role()))),
        Classification::OrganizationUnit => OrganizationUnit::decode(bytes).map(|it| {
            let unit = it.organizational_unit_identifier;
            format!("unit {unit:?} of {}", it.msp_identifier)
        }),
        Classification::Identity => SerializedIdentity::decode(bytes).map(|it| {
            let certificate = Certificate::from_pem(&it.id_bytes, "the identity");
            let subject = certificate.map_or("unreadable".to_owned(), |it| it.subject);
            format!("certificate {subject:?} of {}", it.mspid)
        }),
        _ => return "an unknown principal".to_owned(),
    };
    known.unwrap_or_else(|_| "an unreadable principal".to_owned())
}

impl fmt::Display for Policy {
    /// As text: `MAJORITY of Admins`, `OR('Org1MSP.admin', 'Org2MSP.admin')`, `OutOf(2, ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::ImplicitMeta(rule, name) => {
                let rule = match rule {
                    ImplicitMetaRule::Any => "ANY",
                    ImplicitMetaRule::All => "ALL",
                    ImplicitMetaRule::Majority => "MAJORITY",
                };
                write!(f, "{rule} of {name}")
            }
            Policy::Signature(policy) => match &policy.rule {
                Some(rule) => rule_words(f, rule, &policy.identities),
                None => f.write_str("nothing"),
            },
        }
    }
}

fn rule_words(
    f: &mut fmt::Formatter<'_>,
    rule: &SignaturePolicy,
    identities: &[Principal],
) -> fmt::Result {
    let gate = match &rule.r#type {
        None => return f.write_str("nothing"),
        Some(Rule::SignedBy(index)) => {
            let principal = usize::try_from(*index)
                .ok()
                .and_then(|it| identities.get(it));
            let words = principal.map_or_else(|| "an unknown principal".into(), principal_words);
            return f.write_str(&words);
        }
        Some(Rule::NOutOf(gate)) => gate,
    };
    match (gate.n, gate.rules.len()) {
        (0, 0) => return f.write_str("anyone"),
        (_, 0) => return f.write_str("no one"),
        (1, _) => f.write_str("OR(")?,
        (n, count) if usize::try_from(n) == Ok(count) => f.write_str("AND(")?,
        (n, _) => write!(f, "OutOf({n}, ")?,
    }
    for (index, rule) in gate.rules.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        rule_words(f, rule, identities)?;
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests;
