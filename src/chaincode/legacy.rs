//! Chaincodes under the lifecycle of Fabric 1.4, by the system chaincode `lscc`: peers of one
//! organization or all install source, and one transaction instantiates or upgrades it on a channel.

use super::definition::Definition;
use crate::error::{Error, Result};
use crate::fabric::contact::Node;
use crate::ledger::deployment::Deployment;
use crate::ledger::message::collection::{
    ApplicationPolicy, ApplicationPolicyType, CollectionConfigPackage,
};
use crate::ledger::message::lscc::{
    ChaincodeData, ChaincodeQueryResponse, DEPLOY, GET_CHAINCODE_DATA, GET_CHAINCODES,
    GET_COLLECTIONS, GET_INSTALLED_CHAINCODES, INSTALL, LSCC, UPGRADE,
};
use crate::ledger::proposal::Call;
use crate::member::{Failed, Member, Peer};
use prost::Message;

/// What a peer has installed, as `mycc:1.0`.
pub async fn installed_by_lscc(peer: &Peer<'_>) -> Result<Vec<String>> {
    let call = Call::new("", LSCC, GET_INSTALLED_CHAINCODES, Vec::new());
    let answer: ChaincodeQueryResponse = peer.ask(&call).await?;
    let all = answer.chaincodes.into_iter();
    Ok(all
        .map(|it| format!("{}:{}", it.name, it.version))
        .collect())
}

/// Installs a chaincode on a peer. Succeeds if it is there.
///
/// # Errors
///
/// Another chaincode of the same name and version.
pub async fn install_by_lscc(member: &Member, node: &Node, deployment: &Deployment) -> Result<()> {
    let peer = member.peer(node)?;
    let call = Call::new("", LSCC, INSTALL, vec![deployment.bytes.clone()]);
    let failed = match peer.query(&call).await {
        Ok(_) => return Ok(()),
        Err(failed) => failed,
    };
    match installed_by_lscc(&peer).await {
        Ok(all) if all.contains(&deployment.id()) => Ok(()),
        _ => Err(failed.into()),
    }
}

/// The instantiated chaincode of this name; `None` if the channel has none. Asks the first peer
/// that responds.
pub async fn instantiated(
    member: &Member,
    channel: &str,
    name: &str,
) -> Result<Option<Definition>> {
    let mut last = Error::cluster(format!(
        "organization \"{}\" has no peers",
        member.contact.release
    ));
    for node in &member.contact.nodes {
        match of_peer(&member.peer(node)?, channel, name).await {
            Err(failed @ Failed::Fault(_)) => last = failed.into(),
            answer => return Ok(answer?),
        }
    }
    Err(last)
}

async fn of_peer(peer: &Peer<'_>, channel: &str, name: &str) -> Result<Option<Definition>, Failed> {
    let call = Call::new(channel, LSCC, GET_CHAINCODES, Vec::new());
    let all: ChaincodeQueryResponse = peer.ask(&call).await?;
    if !all.chaincodes.iter().any(|it| it.name == name) {
        return Ok(None);
    }
    let arguments = vec![channel.as_bytes().to_vec(), name.as_bytes().to_vec()];
    let call = Call::new(channel, LSCC, GET_CHAINCODE_DATA, arguments);
    let data: ChaincodeData = peer.ask(&call).await?;
    let arguments = vec![name.as_bytes().to_vec()];
    let call = Call::new(channel, LSCC, GET_COLLECTIONS, arguments);
    let collections: CollectionConfigPackage = match peer.ask(&call).await {
        Ok(collections) => collections,
        // The peer has no other response for a chaincode without collections.
        Err(Failed::Refused(_)) => CollectionConfigPackage::default(),
        Err(failed) => return Err(failed),
    };
    Ok(Some(Definition {
        version: data.version,
        policy: ApplicationPolicy {
            r#type: data.policy.map(ApplicationPolicyType::SignaturePolicy),
        },
        collections,
        init_required: false,
        endorsement_plugin: data.escc,
        validation_plugin: data.vscc,
    }))
}

/// The call that instantiates a chaincode, or upgrades the instantiated one.
///
/// # Errors
///
/// A policy that is not of signatures: lscc knows no policies of the channel.
pub fn instantiation(
    channel: &str,
    deployment: &Deployment,
    definition: &Definition,
    init: &[String],
    upgrade: bool,
) -> Result<Call> {
    let Some(ApplicationPolicyType::SignaturePolicy(policy)) = &definition.policy.r#type else {
        return Err(Error::user(format!(
            "chaincode \"{}\" cannot be instantiated",
            deployment.name
        ))
        .why(
            "the lifecycle of Fabric 1.4 needs a signature policy, such as \"OR('Org1MSP.peer')\"",
        ));
    };
    let mut arguments = vec![
        channel.as_bytes().to_vec(),
        deployment.instantiation(init),
        policy.encode_to_vec(),
        definition.endorsement_plugin.clone().into_bytes(),
        definition.validation_plugin.clone().into_bytes(),
    ];
    if !definition.collections.config.is_empty() {
        arguments.push(definition.collections.encode_to_vec());
    }
    let function = match upgrade {
        true => UPGRADE,
        false => DEPLOY,
    };
    Ok(Call::new(channel, LSCC, function, arguments))
}
