//! Determines the signatures that a policy has and lacks (`common/policies/implicitmeta.go`,
//! `common/cauthdsl/cauthdsl.go`).

use super::{Policy, principal_words};
use crate::error::Result;
use crate::identity::certificate::Certificate;
use crate::ledger::config_tree::Group;
use crate::ledger::message::configuration::ConfigPolicy;
use crate::ledger::message::msp_configuration::MspConfig;
use crate::ledger::message::policy::{
    ImplicitMetaRule, Principal, Rule, SignaturePolicy, SignaturePolicyEnvelope,
};
use crate::ledger::msp::{Msp, Rules};
use crate::ledger::sign::Creator;
use std::collections::BTreeMap;
use std::fmt;

/// The signatures that a policy has and lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `/Channel/Application/Admins`
    pub path: String,
    /// The policy as text.
    pub policy: String,
    pub is_satisfied: bool,
    /// How many of [`Verdict::parts`] must be satisfied.
    pub needed: usize,
    /// The policies of the groups below, of an implicit meta policy.
    pub parts: Vec<Verdict>,
    /// Subjects of the certificates that count, of a signature policy.
    pub signed_by: Vec<String>,
    /// Principals that no signature satisfies, of a signature policy that is not satisfied.
    pub missing: Vec<String>,
}

/// Evaluates the policy at an absolute path: `/Channel/Application/Admins`. A policy that does not
/// exist is never satisfied. The caller has verified the signatures.
pub fn evaluate(channel: &Group, path: &str, signers: &[Creator]) -> Result<Verdict> {
    let scope = Scope::new(channel, signers)?;
    let (prefix, name) = path.rsplit_once('/').unwrap_or_default();
    let mut names = prefix.split('/').skip(1);
    let group = match names.next() {
        Some("Channel") => channel.group(&names.collect::<Vec<_>>()),
        _ => None,
    };
    let empty = Group::default();
    let group = group.unwrap_or(&empty);
    scope.evaluate(group, prefix, name, group.policies.get(name))
}

/// Evaluates a signature policy outside the configuration, such as a chaincode's.
pub fn evaluate_signature_policy(
    channel: &Group,
    name: &str,
    policy: &SignaturePolicyEnvelope,
    signers: &[Creator],
) -> Result<Verdict> {
    Ok(Scope::new(channel, signers)?.signatures(name.to_owned(), policy))
}

/// Returns the MSP ids of a channel's organizations to which a certificate belongs.
pub fn organizations_of(channel: &Group, certificate: &Certificate) -> Result<Vec<String>> {
    let scope = Scope::new(channel, &[])?;
    let own = scope.msps.iter();
    let own = own.filter(|(_, msp)| msp.validate(certificate, scope.rules).is_ok());
    Ok(own.map(|(id, _)| id.clone()).collect())
}

/// The MSPs of a channel, and the signers that belong to them.
struct Scope<'a> {
    msps: BTreeMap<String, Msp>,
    rules: Rules,
    signers: Vec<&'a Creator>,
}

impl<'a> Scope<'a> {
    fn new(channel: &Group, signers: &'a [Creator]) -> Result<Scope<'a>> {
        let mut msps = BTreeMap::new();
        collect_msps(channel, &mut msps)?;
        let mut unique: Vec<&Creator> = Vec::new();
        for signer in signers {
            if !unique.contains(&signer) {
                unique.push(signer);
            }
        }
        Ok(Scope {
            msps,
            rules: Rules::of_channel(channel)?,
            signers: unique,
        })
    }

    fn evaluate(
        &self,
        group: &Group,
        prefix: &str,
        name: &str,
        policy: Option<&ConfigPolicy>,
    ) -> Result<Verdict> {
        let path = format!("{prefix}/{name}");
        let Some(policy) = policy.and_then(|policy| policy.policy.as_ref()) else {
            return Ok(Verdict::absent(path));
        };
        match Policy::from_message(policy)? {
            Policy::Signature(policy) => Ok(self.signatures(path, &policy)),
            Policy::ImplicitMeta(rule, sub_policy) => {
                let parts = group.groups.iter().map(|(below, group)| {
                    // A sub-policy may refer to a deeper policy: `Org1MSP/Admins`.
                    let mut names: Vec<&str> = sub_policy.split('/').collect();
                    let last = names.pop().unwrap_or_default();
                    let prefix = [&[prefix, below][..], &names].concat().join("/");
                    let empty = Group::default();
                    let group = group.group(&names).unwrap_or(&empty);
                    self.evaluate(group, &prefix, last, group.policies.get(last))
                });
                let parts = parts.collect::<Result<Vec<_>>>()?;
                let needed = match rule {
                    _ if parts.is_empty() => 0,
                    ImplicitMetaRule::Any => 1,
                    ImplicitMetaRule::All => parts.len(),
                    ImplicitMetaRule::Majority => parts.len() / 2 + 1,
                };
                let satisfied = parts.iter().filter(|part| part.is_satisfied).count();
                Ok(Verdict {
                    path,
                    policy: Policy::ImplicitMeta(rule, sub_policy).to_string(),
                    is_satisfied: satisfied >= needed,
                    needed,
                    parts,
                    signed_by: Vec::new(),
                    missing: Vec::new(),
                })
            }
        }
    }

    fn signatures(&self, path: String, policy: &SignaturePolicyEnvelope) -> Verdict {
        let mut used = vec![false; self.signers.len()];
        let rule = policy.rule.as_ref();
        let is_valid = policy.version == 0 && rule.is_some_and(|it| is_valid(it, policy));
        let is_satisfied =
            is_valid && rule.is_some_and(|rule| self.holds(rule, &policy.identities, &mut used));
        let signed = self.signers.iter().zip(&used).filter(|(_, used)| **used);
        let mut missing: Vec<String> = Vec::new();
        for principal in policy.identities.iter().filter(|_| !is_satisfied) {
            let words = principal_words(principal);
            let is_there = self
                .signers
                .iter()
                .any(|it| self.is_principal(it, principal));
            if !is_there && !missing.contains(&words) {
                missing.push(words);
            }
        }
        Verdict {
            path,
            policy: Policy::Signature(policy.clone()).to_string(),
            is_satisfied,
            needed: 0,
            parts: Vec::new(),
            signed_by: signed.map(|(it, _)| it.to_string()).collect(),
            missing,
        }
    }

    /// Each signature counts for one principal. Like in Fabric, a gate evaluates its rules in
    /// order, and signatures that a rule used stay used even if the gate fails.
    fn holds(&self, rule: &SignaturePolicy, principals: &[Principal], used: &mut [bool]) -> bool {
        match &rule.r#type {
            None => false,
            Some(Rule::SignedBy(index)) => {
                let principal = usize::try_from(*index)
                    .ok()
                    .and_then(|it| principals.get(it));
                let Some(principal) = principal else {
                    return false;
                };
                let mut signers = self.signers.iter().zip(used.iter_mut());
                let found = signers.find(|(it, used)| !**used && self.is_principal(it, principal));
                found.map(|(_, used)| *used = true).is_some()
            }
            Some(Rule::NOutOf(gate)) => {
                let mut verified = 0;
                for rule in &gate.rules {
                    let mut tried = used.to_vec();
                    if self.holds(rule, principals, &mut tried) {
                        verified += 1;
                        used.copy_from_slice(&tried);
                    }
                }
                verified >= gate.n
            }
        }
    }

    fn is_principal(&self, signer: &Creator, principal: &Principal) -> bool {
        let msp = self.msps.get(&signer.msp_id);
        msp.is_some_and(|msp| {
            msp.satisfies(&signer.certificate, principal, self.rules)
                .is_ok()
        })
    }
}

/// Returns true if all principals of a rule exist. Otherwise Fabric does not load the policy.
fn is_valid(rule: &SignaturePolicy, policy: &SignaturePolicyEnvelope) -> bool {
    match &rule.r#type {
        None => false,
        Some(Rule::SignedBy(index)) => {
            usize::try_from(*index).is_ok_and(|index| index < policy.identities.len())
        }
        Some(Rule::NOutOf(gate)) => gate.rules.iter().all(|rule| is_valid(rule, policy)),
    }
}

fn collect_msps(group: &Group, msps: &mut BTreeMap<String, Msp>) -> Result<()> {
    // An idemix MSP has no certificates that could sign here.
    let message = group.value::<MspConfig>("MSP")?;
    if let Some(message) = message.filter(|it| it.r#type == 0) {
        let msp = Msp::from_message(&message)?;
        msps.insert(msp.id.clone(), msp);
    }
    group
        .groups
        .values()
        .try_for_each(|group| collect_msps(group, msps))
}

impl Verdict {
    fn absent(path: String) -> Verdict {
        Verdict {
            path,
            policy: "no such policy".to_owned(),
            is_satisfied: false,
            needed: 0,
            parts: Vec::new(),
            signed_by: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Returns the number of parts that must still be satisfied.
    pub fn lacking(&self) -> usize {
        let satisfied = self.parts.iter().filter(|part| part.is_satisfied).count();
        self.needed.saturating_sub(satisfied)
    }

    /// The name of the group that the policy belongs to: `Org1MSP`.
    pub fn group(&self) -> &str {
        self.path.rsplit('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for Verdict {
    /// One sentence: `/Channel/Application/Admins (MAJORITY of Admins): Org1MSP has signed; needs
    /// 1 more of Org2MSP, Org3MSP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.path, self.policy)?;
        if self.parts.is_empty() {
            return match (self.is_satisfied, &self.missing[..]) {
                (true, _) if self.signed_by.is_empty() => f.write_str("satisfied"),
                (true, _) => write!(f, "signed by {}", self.signed_by.join(", ")),
                (false, []) => f.write_str("cannot be satisfied"),
                (false, missing) => write!(f, "needs a signature of {}", missing.join(", ")),
            };
        }
        let (done, open): (Vec<_>, Vec<_>) = self.parts.iter().partition(|it| it.is_satisfied);
        let names = |of: Vec<&Verdict>| {
            of.iter()
                .map(|it| it.group())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !done.is_empty() {
            let verb = if done.len() == 1 { "has" } else { "have" };
            write!(f, "{} {verb} signed", names(done))?;
        }
        match (self.lacking(), self.is_satisfied) {
            (_, true) => Ok(()),
            (lacking, _) => {
                let separator = if open.len() == self.parts.len() {
                    ""
                } else {
                    "; "
                };
                let more = if open.len() == self.parts.len() {
                    ""
                } else {
                    " more"
                };
                write!(f, "{separator}needs {lacking}{more} of {}", names(open))
            }
        }
    }
}
