//! Definitions of chaincodes, which organizations approve and a channel commits. Pure.

use super::view::View;
use crate::error::{Error, Result};
use crate::identity::certificate::hex;
use crate::ledger::message::collection::{
    ApplicationPolicy, ApplicationPolicyType, CollectionConfigPackage,
};
use crate::ledger::message::decode;
use crate::ledger::message::lifecycle::{
    ChaincodeDefinition, ChaincodeDefinitionArgs, ChaincodeSource, ChaincodeSourceType,
    LocalPackage, QueryApprovedChaincodeDefinitionResult,
};
use crate::ledger::policy::{self, Policy, Verdict, evaluate_signature_policy};
use crate::ledger::sign::Creator;
use prost::Message;
use sha2::{Digest, Sha256};

/// The default endorsement policy of a chaincode (`core/chaincode/lifecycle/lifecycle.go`,
/// `DefaultEndorsementPolicyRef`).
pub const DEFAULT_POLICY: &str = "/Channel/Application/Endorsement";

/// The content of a definition, without its sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub version: String,
    pub policy: ApplicationPolicy,
    pub collections: CollectionConfigPackage,
    pub init_required: bool,
    pub endorsement_plugin: String,
    pub validation_plugin: String,
}

impl Default for Definition {
    /// Version 1.0 with the channel's policy and the built-in plugins of peers.
    fn default() -> Definition {
        Definition {
            version: "1.0".to_owned(),
            policy: reference(DEFAULT_POLICY),
            collections: CollectionConfigPackage::default(),
            init_required: false,
            endorsement_plugin: "escc".to_owned(),
            validation_plugin: "vscc".to_owned(),
        }
    }
}

impl Definition {
    /// Returns the SHA-256 of its content in hex, which is equal for equal definitions.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.arguments("", 0).encode_to_vec()))
    }

    /// Reads a response of `QueryChaincodeDefinitions`.
    pub fn committed(message: &ChaincodeDefinition) -> Result<Definition> {
        Ok(Definition {
            version: message.version.clone(),
            policy: read(&message.validation_parameter)?,
            collections: message.collections.clone().unwrap_or_default(),
            init_required: message.init_required,
            endorsement_plugin: message.endorsement_plugin.clone(),
            validation_plugin: message.validation_plugin.clone(),
        })
    }

    /// Reads a response of `QueryApprovedChaincodeDefinition`.
    pub fn approved(message: &QueryApprovedChaincodeDefinitionResult) -> Result<Definition> {
        Ok(Definition {
            version: message.version.clone(),
            policy: read(&message.validation_parameter)?,
            collections: message.collections.clone().unwrap_or_default(),
            init_required: message.init_required,
            endorsement_plugin: message.endorsement_plugin.clone(),
            validation_plugin: message.validation_plugin.clone(),
        })
    }

    /// The argument of the functions that approve, check and commit.
    pub fn arguments(&self, name: &str, sequence: i64) -> ChaincodeDefinitionArgs {
        ChaincodeDefinitionArgs {
            sequence,
            name: name.to_owned(),
            version: self.version.clone(),
            endorsement_plugin: self.endorsement_plugin.clone(),
            validation_plugin: self.validation_plugin.clone(),
            validation_parameter: self.policy.encode_to_vec(),
            collections: (!self.collections.config.is_empty()).then(|| self.collections.clone()),
            init_required: self.init_required,
            source: None,
        }
    }

    /// The same with the package of the approving organization.
    pub fn approval(&self, name: &str, sequence: i64, package: &str) -> ChaincodeDefinitionArgs {
        let package = LocalPackage {
            package_id: package.to_owned(),
        };
        ChaincodeDefinitionArgs {
            source: Some(ChaincodeSource {
                r#type: Some(ChaincodeSourceType::LocalPackage(package)),
            }),
            ..self.arguments(name, sequence)
        }
    }

    /// The differences of another definition, one per line.
    pub fn differences(&self, other: &Definition) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |what: &str, one: String, another: String| {
            if one != another {
                lines.push(format!("{what}: {one} → {another}"));
            }
        };
        line("version", self.version.clone(), other.version.clone());
        line(
            "policy",
            policy_words(&self.policy),
            policy_words(&other.policy),
        );
        line(
            "init required",
            self.init_required.to_string(),
            other.init_required.to_string(),
        );
        if self.collections != other.collections {
            lines.push("private data collections differ".to_owned());
        }
        if self.endorsement_plugin != other.endorsement_plugin
            || self.validation_plugin != other.validation_plugin
        {
            lines.push("plugins differ".to_owned());
        }
        lines
    }
}

fn reference(path: &str) -> ApplicationPolicy {
    ApplicationPolicy {
        r#type: Some(ApplicationPolicyType::ChannelConfigPolicyReference(
            path.to_owned(),
        )),
    }
}

fn read(parameter: &[u8]) -> Result<ApplicationPolicy> {
    match parameter {
        [] => Ok(reference(DEFAULT_POLICY)),
        bytes => decode(bytes, "the endorsement policy"),
    }
}

/// Reads an endorsement policy: an expression such as `OR('Org1MSP.peer', 'Org2MSP.peer')`, or the
/// path of a policy of the channel, `/Channel/Application/Endorsement`.
pub fn endorsement_policy(text: &str, view: &View) -> Result<ApplicationPolicy> {
    let policy = read_policy(text)?;
    match &policy.r#type {
        Some(ApplicationPolicyType::SignaturePolicy(envelope)) => {
            Policy::Signature(envelope.clone())
                .check_organizations("of the chaincode", &view.msp_ids())?;
        }
        _ => check_path(text, view)?,
    }
    Ok(policy)
}

/// Reads an endorsement policy without comparing it with the channel.
pub fn read_policy(text: &str) -> Result<ApplicationPolicy> {
    if text.starts_with('/') {
        return Ok(reference(text));
    }
    match Policy::parse(text)? {
        Policy::ImplicitMeta(..) => Err(Error::user(format!(
            "{text:?} cannot be the policy of a chaincode"
        ))
        .why(
            "ANY, ALL and MAJORITY count the organizations of a group, and can only be used in a \
              channel's configuration",
        )
        .hint("use the path of a channel policy, such as /Channel/Application/Endorsement")),
        Policy::Signature(envelope) => Ok(ApplicationPolicy {
            r#type: Some(ApplicationPolicyType::SignaturePolicy(envelope)),
        }),
    }
}

fn check_path(text: &str, view: &View) -> Result<()> {
    let names: Vec<&str> = text.split('/').skip(1).collect();
    let is_there = match &names[..] {
        ["Channel", groups @ .., name] => view
            .channel
            .group(groups)
            .is_some_and(|group| group.policies.contains_key(*name)),
        _ => false,
    };
    match is_there {
        true => Ok(()),
        false => Err(
            Error::user(format!("channel \"{}\" has no policy {text}", view.name)).hint(format!(
                "`kubectl fabric channel show {}` lists its policies",
                view.name
            )),
        ),
    }
}

/// The policy in the syntax of users.
pub fn policy_words(policy: &ApplicationPolicy) -> String {
    match &policy.r#type {
        Some(ApplicationPolicyType::SignaturePolicy(envelope)) => {
            Policy::Signature(envelope.clone()).to_string()
        }
        Some(ApplicationPolicyType::ChannelConfigPolicyReference(path)) => path.clone(),
        None => DEFAULT_POLICY.to_owned(),
    }
}

/// The endorsements that satisfy a policy, and those that it lacks.
pub fn judge(
    view: &View,
    chaincode: &str,
    policy: &ApplicationPolicy,
    endorsers: &[Creator],
) -> Result<Verdict> {
    match &policy.r#type {
        Some(ApplicationPolicyType::SignaturePolicy(envelope)) => {
            let name = format!("the policy of \"{chaincode}\"");
            evaluate_signature_policy(&view.channel, &name, envelope, endorsers)
        }
        Some(ApplicationPolicyType::ChannelConfigPolicyReference(path)) => {
            policy::evaluate(&view.channel, path, endorsers)
        }
        None => policy::evaluate(&view.channel, DEFAULT_POLICY, endorsers),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::identity::certificate::Certificate;
    use crate::ledger::message::common::Block;

    pub fn view() -> View {
        let block = include_bytes!("../../tests/fixtures/v2.5.16/mychannel.block");
        View::of("mychannel", &Block::decode(&block[..]).unwrap()).unwrap()
    }

    #[test]
    fn a_policy_is_an_expression_or_a_path_of_the_channel() {
        let view = view();
        for text in ["OR('Org1MSP.peer', 'Org2MSP.peer')", DEFAULT_POLICY] {
            let policy = endorsement_policy(text, &view).unwrap();
            assert_eq!(policy_words(&policy), text);
            assert_eq!(read(&policy.encode_to_vec()).unwrap(), policy);
        }
        for (text, why) in [
            ("/Channel/Application/Endorsment", "has no policy"),
            ("/Application/Endorsement", "has no policy"),
            ("/", "has no policy"),
            (
                "MAJORITY Endorsement",
                "cannot be the policy of a chaincode",
            ),
            ("OR('Org3MSP.peer')", "names an unknown organization"),
            ("OR(", "cannot read the policy"),
        ] {
            let error = endorsement_policy(text, &view).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_policy_tells_whose_endorsement_is_missing() {
        let pem = include_bytes!(
            "../../tests/fixtures/v2.5.16/crypto-config/peerOrganizations/org1/peers/peer0.org1/msp/signcerts/peer0.org1-cert.pem"
        );
        let peer = Creator {
            msp_id: "Org1MSP".to_owned(),
            certificate: Certificate::from_pem(pem, "the peer").unwrap(),
        };
        let view = view();
        for (text, is_satisfied, words) in [
            ("OR('Org1MSP.peer', 'Org2MSP.peer')", true, "signed by"),
            (
                "AND('Org1MSP.peer', 'Org2MSP.peer')",
                false,
                "the policy of \"basic\" (AND('Org1MSP.peer', 'Org2MSP.peer')): needs a signature of 'Org2MSP.peer'",
            ),
            (
                DEFAULT_POLICY,
                false,
                "Org1MSP has signed; needs 1 more of Org2MSP",
            ),
        ] {
            let policy = endorsement_policy(text, &view).unwrap();
            let verdict = judge(&view, "basic", &policy, std::slice::from_ref(&peer)).unwrap();
            assert_eq!(verdict.is_satisfied, is_satisfied, "{text}");
            assert!(verdict.to_string().contains(words), "{verdict}");
        }
    }

    #[test]
    fn a_definition_comes_back_from_what_peers_answer() {
        let definition = Definition {
            version: "2".to_owned(),
            policy: endorsement_policy("OR('Org1MSP.peer')", &view()).unwrap(),
            init_required: true,
            ..Definition::default()
        };
        let sent = definition.approval("basic", 3, "basic:1234");
        assert_eq!((sent.sequence, sent.collections.clone()), (3, None));
        let answer = ChaincodeDefinition {
            name: sent.name,
            sequence: sent.sequence,
            version: sent.version,
            endorsement_plugin: sent.endorsement_plugin,
            validation_plugin: sent.validation_plugin,
            validation_parameter: sent.validation_parameter,
            collections: Some(CollectionConfigPackage::default()),
            init_required: sent.init_required,
        };
        let read = Definition::committed(&answer).unwrap();
        assert_eq!(read, definition);
        assert_eq!(
            Definition::default().differences(&read),
            [
                "version: 1.0 → 2",
                "policy: /Channel/Application/Endorsement → OR('Org1MSP.peer')",
                "init required: false → true"
            ]
        );
    }
}
