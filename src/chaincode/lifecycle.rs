//! Reads and changes the chaincodes of peers, through their system chaincode `_lifecycle` (since
//! 2.0).

use super::definition::Definition;
use super::view::View;
use crate::channel::reach;
use crate::error::{Error, Result};
use crate::fabric::contact::Node;
use crate::ledger::chaincode_package::Package;
use crate::ledger::message::lifecycle::{
    APPROVE_CHAINCODE_DEFINITION_FOR_MY_ORG, ApprovalEntry, CHECK_COMMIT_READINESS,
    COMMIT_CHAINCODE_DEFINITION, ChaincodeSourceType, CheckCommitReadinessResult,
    GET_INSTALLED_CHAINCODE_PACKAGE, GetInstalledChaincodePackageResult, INSTALL_CHAINCODE,
    InstallChaincodeArgs, InstalledChaincode, LIFECYCLE, NoArgs,
    QUERY_APPROVED_CHAINCODE_DEFINITION, QUERY_CHAINCODE_DEFINITION, QUERY_CHAINCODE_DEFINITIONS,
    QUERY_INSTALLED_CHAINCODES, QueryApprovedChaincodeDefinitionArgs,
    QueryApprovedChaincodeDefinitionResult, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsResult, QueryInstalledChaincodeArgs,
    QueryInstalledChaincodesResult,
};
use crate::ledger::proposal::Call;
use crate::member::{Failed, Member, Peer};
use futures::future::join_all;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// An organization, as seen by its own member.
pub struct Lifecycle<'a> {
    pub member: &'a Member,
}

/// A committed definition of the channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    pub name: String,
    pub sequence: i64,
    pub definition: Definition,
}

/// A definition that an organization approved.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved {
    pub sequence: i64,
    pub definition: Definition,
    /// Its package; `None` if it runs none.
    pub package: Option<String>,
}

/// The state of a chaincode in an organization.
#[derive(Clone, Debug)]
pub struct Chaincodes {
    /// The release.
    pub organization: String,
    /// The package ids of each peer, or the error.
    pub installed: Vec<(String, Result<BTreeSet<String>>)>,
    /// For the committed sequence and the next one.
    pub approved: Vec<Approved>,
}

/// The approvals of a definition, by MSP id.
pub type Approvals = BTreeMap<String, bool>;

fn call(channel: &str, function: &str, argument: &impl Message) -> Call {
    Call::new(channel, LIFECYCLE, function, vec![argument.encode_to_vec()])
}

impl Lifecycle<'_> {
    /// Queries the first peer that responds.
    async fn ask<A: Message + Default>(&self, call: &Call) -> Result<A, Failed> {
        let mut last = Failed::Message(Error::cluster(format!(
            "organization \"{}\" has no peers",
            self.member.contact.release
        )));
        for node in &self.member.contact.nodes {
            match self.member.peer(node)?.ask(call).await {
                Err(failed @ Failed::Fault(_)) => last = failed,
                answer => return answer,
            }
        }
        Err(last)
    }

    /// The definitions of a channel.
    pub async fn committed(&self, channel: &str) -> Result<Vec<Committed>> {
        let call = call(channel, QUERY_CHAINCODE_DEFINITIONS, &NoArgs {});
        let answer: QueryChaincodeDefinitionsResult = self.ask(&call).await?;
        let each = answer.chaincode_definitions.iter();
        each.map(|it| {
            Ok(Committed {
                name: it.name.clone(),
                sequence: it.sequence,
                definition: Definition::committed(it)?,
            })
        })
        .collect()
    }

    /// Returns the definition that the organization approved at a sequence.
    pub async fn approved(
        &self,
        channel: &str,
        name: &str,
        sequence: i64,
    ) -> Result<Option<Approved>> {
        let arguments = QueryApprovedChaincodeDefinitionArgs {
            name: name.to_owned(),
            sequence,
        };
        let call = call(channel, QUERY_APPROVED_CHAINCODE_DEFINITION, &arguments);
        let answer: QueryApprovedChaincodeDefinitionResult = match self.ask(&call).await {
            Ok(answer) => answer,
            // This is the peer's only response for a missing definition.
            Err(Failed::Refused(_)) => return Ok(None),
            Err(failed) => return Err(failed.into()),
        };
        let package = match answer.source.clone().and_then(|source| source.r#type) {
            Some(ChaincodeSourceType::LocalPackage(package)) => Some(package.package_id),
            _ => None,
        };
        Ok(Some(Approved {
            sequence: answer.sequence,
            definition: Definition::approved(&answer)?,
            package: package.filter(|id| !id.is_empty()),
        }))
    }

    /// Which organizations of the channel approved a definition.
    pub async fn approvals(
        &self,
        channel: &str,
        name: &str,
        sequence: i64,
        definition: &Definition,
    ) -> Result<Approvals> {
        let arguments = definition.arguments(name, sequence);
        let call = call(channel, CHECK_COMMIT_READINESS, &arguments);
        let answer: CheckCommitReadinessResult = self.ask(&call).await?;
        Ok(by_organization(answer.approvals))
    }

    /// The organizations that approved the committed definition.
    pub async fn approvals_of(&self, channel: &str, name: &str) -> Result<Approvals> {
        let arguments = QueryChaincodeDefinitionArgs {
            name: name.to_owned(),
        };
        let call = call(channel, QUERY_CHAINCODE_DEFINITION, &arguments);
        let answer: QueryChaincodeDefinitionResult = self.ask(&call).await?;
        Ok(by_organization(answer.approvals))
    }

    /// The state of a chaincode with the committed sequence `current`.
    pub async fn chaincodes(&self, view: &View, name: &str, current: i64) -> Result<Chaincodes> {
        let nodes = &self.member.contact.nodes;
        let installed = join_all(nodes.iter().map(async |node| {
            let packages = async {
                let all = installed(&self.member.peer(node)?).await?;
                Ok(all.into_iter().map(|it| it.package_id).collect())
            };
            (node.host.clone(), packages.await)
        }));
        let at = [current, current + 1];
        let approved = at
            .iter()
            .filter(|it| **it > 0)
            .map(|sequence| self.approved(&view.name, name, *sequence));
        let (installed, approved) = futures::join!(installed, join_all(approved));
        let approved: Vec<Option<Approved>> = approved.into_iter().collect::<Result<_>>()?;
        Ok(Chaincodes {
            organization: self.member.contact.release.clone(),
            installed,
            approved: approved.into_iter().flatten().collect(),
        })
    }

    /// Installs a package on a peer. Succeeds if another run has installed it in the meantime.
    pub async fn install(&self, node: &Node, package: &Package) -> Result<()> {
        let peer = self.member.peer(node)?;
        let arguments = InstallChaincodeArgs {
            chaincode_install_package: package.bytes.clone(),
        };
        let call = call("", INSTALL_CHAINCODE, &arguments);
        // A peer refuses a package that it has.
        let failed = match reach(async || peer.query(&call).await).await {
            Ok(_) => return Ok(()),
            Err(failed) => failed,
        };
        match installed(&peer).await {
            Ok(all) if all.iter().any(|it| it.package_id == package.id()) => Ok(()),
            _ => Err(failed),
        }
    }

    /// Returns a package from the organization's peers, or `None` if no responding peer has it.
    pub async fn package(&self, id: &str) -> Result<Option<Package>> {
        let arguments = QueryInstalledChaincodeArgs {
            package_id: id.to_owned(),
        };
        let call = call("", GET_INSTALLED_CHAINCODE_PACKAGE, &arguments);
        let answer: GetInstalledChaincodePackageResult = match self.ask(&call).await {
            Ok(answer) => answer,
            // This is the peer's only response for a missing package.
            Err(Failed::Refused(_)) => return Ok(None),
            Err(failed) => return Err(failed.into()),
        };
        let bytes = answer.chaincode_install_package;
        Package::from_bytes(bytes, &format!("package {id}")).map(Some)
    }

    /// Returns the call that approves a definition with the organization's package.
    pub fn approval(view: &View, name: &str, of: (i64, &Definition), package: &str) -> Call {
        let arguments = of.1.approval(name, of.0, package);
        call(
            &view.name,
            APPROVE_CHAINCODE_DEFINITION_FOR_MY_ORG,
            &arguments,
        )
    }

    /// Returns the call that commits a definition.
    pub fn commit(view: &View, name: &str, sequence: i64, definition: &Definition) -> Call {
        let arguments = definition.arguments(name, sequence);
        call(&view.name, COMMIT_CHAINCODE_DEFINITION, &arguments)
    }
}

fn by_organization(approvals: Vec<ApprovalEntry>) -> Approvals {
    let each = approvals.into_iter();
    each.map(|it| (it.key.unwrap_or_default(), it.value.unwrap_or_default()))
        .collect()
}

/// The packages of a peer.
pub async fn installed(peer: &Peer<'_>) -> Result<Vec<InstalledChaincode>> {
    let call = call("", QUERY_INSTALLED_CHAINCODES, &NoArgs {});
    let answer: QueryInstalledChaincodesResult = peer.ask(&call).await?;
    Ok(answer.installed_chaincodes)
}
