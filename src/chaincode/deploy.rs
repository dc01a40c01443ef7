//! The ledger's part of a deployment: packages on peers, approvals, the committed definition.

use super::definition::Definition;
use super::endorse::{Endorsers, place};
use super::lifecycle::{Chaincodes, Committed, Lifecycle};
use super::missing::{Missing, Wanted};
use super::submit::{Submission, submit};
use super::view::View;
use crate::error::{Error, Kind, Place, Result};
use crate::ledger::chaincode_package::Package;
use crate::ledger::message::collection::{ApplicationPolicy, ApplicationPolicyType};
use crate::ledger::proposal::Call;
use crate::member::Member;
use futures::future::{join_all, try_join_all};
use std::time::Duration;

/// A chaincode to deploy, and the organizations that take part, each with its administrator.
pub struct Deploy<'a> {
    pub view: &'a View,
    pub members: &'a [Member],
    pub wanted: &'a Wanted,
    pub package: &'a Package,
    pub timeout: Duration,
}

/// The previous state and the missing steps.
pub struct Done {
    pub missing: Missing,
    /// The changes of the committed definition, one per line. Empty for the first one.
    pub changes: Vec<String>,
}

/// The policy under which a definition is committed.
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";

impl Deploy<'_> {
    /// Reads the state of the peers.
    ///
    /// # Errors
    ///
    /// Fails if no peer of an organization responds.
    pub async fn look(&self) -> Result<(Missing, Vec<Chaincodes>, Option<Committed>)> {
        let committed = self.committed().await?;
        let current = committed.as_ref().map_or(0, |it| it.sequence);
        let each = self.members.iter().map(async |member| {
            let lifecycle = Lifecycle { member };
            lifecycle
                .chaincodes(self.view, &self.wanted.name, current)
                .await
        });
        let there = try_join_all(each).await?;
        let missing = Missing::of(self.wanted, committed.as_ref(), &there);
        Ok((missing, there, committed))
    }

    async fn committed(&self) -> Result<Option<Committed>> {
        committed(self.members, &self.view.name, &self.wanted.name).await
    }

    /// Installs the package on the peers that lack it, then approves the definition for each
    /// organization.
    ///
    /// # Errors
    ///
    /// Lists each peer and organization that failed. The others are complete.
    pub async fn prepare(&self, missing: &Missing, there: &[Chaincodes]) -> Result<()> {
        let mut failed: Vec<Place> = there
            .iter()
            .flat_map(|it| &it.installed)
            .filter_map(|(peer, packages)| Some(place(peer, packages.as_ref().err()?)))
            .collect();
        let peers = self.members.iter().flat_map(|member| {
            let nodes = member.contact.nodes.iter();
            nodes.map(move |node| (member, node))
        });
        let installs = peers
            .filter(|(_, node)| missing.install.contains(&node.host))
            .map(async |(member, node)| {
                let done = Lifecycle { member }.install(node, self.package).await;
                done.err().map(|error| place(&node.host, &error))
            });
        failed.extend(join_all(installs).await.into_iter().flatten());
        let approvals = self
            .members
            .iter()
            .filter(|it| missing.approve.contains(&it.contact.release))
            .map(async |member| {
                let done = self.approve(member, missing.sequence).await;
                done.err()
                    .map(|error| place(&member.contact.release, &error))
            });
        failed.extend(join_all(approvals).await.into_iter().flatten());
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Error::new(
                Kind::NotReady,
                format!(
                    "chaincode \"{}\" is not installed and approved everywhere",
                    self.wanted.name
                ),
            )
            .at_all(failed)
            .now("the definition is not committed; what was installed and approved stays so")
            .hint(AGAIN)),
        }
    }

    /// Approves the definition with its package for an organization.
    pub async fn approve(&self, member: &Member, sequence: i64) -> Result<()> {
        let Wanted {
            name,
            definition,
            package,
        } = self.wanted;
        let call = Lifecycle::approval(self.view, name, (sequence, definition), package);
        let endorsers = [Endorsers::new(member, self.view, &member.contact)?];
        let Err(error) = self.send(member, &endorsers, &call, None).await else {
            return Ok(());
        };
        // Another run was faster.
        let lifecycle = Lifecycle { member };
        let approved = lifecycle.approved(&self.view.name, name, sequence).await;
        match approved {
            Ok(Some(it))
                if it.definition == *definition && it.package.as_ref() == Some(package) =>
            {
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Commits the definition.
    ///
    /// # Errors
    ///
    /// Lists the organizations whose approval is missing.
    pub async fn commit(&self, sequence: i64) -> Result<()> {
        let Wanted {
            name, definition, ..
        } = self.wanted;
        let Some(member) = self.members.first() else {
            return Ok(());
        };
        let contacts = self.members.iter().map(|it| &it.contact);
        let endorsers: Vec<Endorsers<'_>> = contacts
            .map(|contact| Endorsers::new(member, self.view, contact))
            .collect::<Result<_>>()?;
        let policy = ApplicationPolicy {
            r#type: Some(ApplicationPolicyType::ChannelConfigPolicyReference(
                LIFECYCLE_ENDORSEMENT.to_owned(),
            )),
        };
        let call = Lifecycle::commit(self.view, name, sequence, definition);
        let Err(error) = self.send(member, &endorsers, &call, Some(&policy)).await else {
            return Ok(());
        };
        let is_done = |it: Committed| it.sequence >= sequence && it.definition == *definition;
        if self.committed().await.ok().flatten().is_some_and(is_done) {
            return Ok(());
        }
        Err(self.not_committed(member, sequence, error).await)
    }

    async fn not_committed(&self, member: &Member, sequence: i64, error: Error) -> Error {
        let Wanted {
            name, definition, ..
        } = self.wanted;
        let error = error.context(format!(
            "the definition of \"{name}\" with sequence {sequence} is not committed"
        ));
        let lifecycle = Lifecycle { member };
        let approvals = lifecycle
            .approvals(&self.view.name, name, sequence, definition)
            .await;
        let lacking: Vec<String> = approvals
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(msp_id, approved)| (!approved).then_some(msp_id))
            .collect();
        match lacking.is_empty() {
            true => error.hint(AGAIN),
            false => error
                .why(format!("not approved by {}", lacking.join(", ")))
                .hint("their administrators run the same command for their organizations"),
        }
    }

    /// Sends a transaction of the lifecycle, and waits until all participating organizations have
    /// it, because their peers endorse the next step.
    async fn send(
        &self,
        member: &Member,
        endorsers: &[Endorsers<'_>],
        call: &Call,
        policy: Option<&ApplicationPolicy>,
    ) -> Result<()> {
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|it| it.contact.release != member.contact.release)
            .collect();
        submit(&Submission {
            member,
            view: self.view,
            endorsers,
            call,
            policy,
            send_anyway: false,
            others: &others,
            timeout: self.timeout,
        })
        .await
        .map(|_| ())
    }
}

/// The definition of a chaincode that a channel has.
pub async fn committed(members: &[Member], channel: &str, name: &str) -> Result<Option<Committed>> {
    let Some(member) = members.first() else {
        return Err(Error::user("no organization takes part"));
    };
    let all = Lifecycle { member }.committed(channel).await?;
    Ok(all.into_iter().find(|it| it.name == name))
}

/// Performs the missing steps on the ledger, while `server` starts the chaincode's servers.
///
/// # Errors
///
/// Commits nothing unless every organization has approved and every server is ready.
pub async fn deploy(deploy: &Deploy<'_>, server: impl Future<Output = Result<()>>) -> Result<Done> {
    let (missing, there, committed) = deploy.look().await?;
    let changes = match &committed {
        Some(Committed { definition, .. }) => {
            Definition::differences(definition, &deploy.wanted.definition)
        }
        None => Vec::new(),
    };
    let (prepared, server) = futures::join!(deploy.prepare(&missing, &there), server);
    match (prepared, server) {
        (Ok(()), Ok(())) => {}
        (Err(one), Err(other)) => {
            return Err(one
                .at_all(other.places().to_vec())
                .why(other.what().to_owned()));
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    }
    if missing.commit {
        deploy.commit(missing.sequence).await?;
    }
    Ok(Done { missing, changes })
}

const AGAIN: &str = "run the same command again: it does what is missing";
