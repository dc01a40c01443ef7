//! The part of a deployment on the ledger: packages on peers, approvals, the committed definition.

use super::define::{AGAIN, Define};
use super::definition::Definition;
use super::endorse::place;
use super::lifecycle::{Chaincodes, Committed, Lifecycle};
use super::missing::{Missing, Wanted};
use super::view::View;
use crate::error::{Error, Kind, Place, Result};
use crate::fabric::contact::Contact;
use crate::ledger::chaincode_package::Package;
use crate::member::Member;
use futures::future::{join_all, try_join_all};
use std::time::Duration;

/// A chaincode to deploy, and the organizations that take part.
pub struct Deploy<'a> {
    pub view: &'a View,
    pub name: &'a str,
    pub definition: &'a Definition,
    pub approvers: &'a [Approver],
    pub timeout: Duration,
}

/// An organization that approves, with its administrator.
pub struct Approver {
    pub member: Member,
    /// The package of its peers. Other organizations may approve another one.
    pub package: Package,
}

/// The previous state and the missing steps.
pub struct Done {
    pub missing: Missing,
    /// The changes of the committed definition, one per line. Empty for the first one.
    pub changes: Vec<String>,
}

impl Deploy<'_> {
    /// Reads the state of the peers.
    ///
    /// # Errors
    ///
    /// Fails if no peer of an organization responds.
    pub async fn look(&self) -> Result<(Missing, Vec<Chaincodes>, Option<Committed>)> {
        let committed = self.committed().await?;
        let current = committed.as_ref().map_or(0, |it| it.sequence);
        let each = self.approvers.iter().map(async |approver| {
            let lifecycle = Lifecycle {
                member: &approver.member,
            };
            lifecycle.chaincodes(self.view, self.name, current).await
        });
        let there = try_join_all(each).await?;
        let missing = Missing::of(&self.wanted(), committed.as_ref(), &there);
        Ok((missing, there, committed))
    }

    fn wanted(&self) -> Wanted {
        let packages = self.approvers.iter().map(|it| {
            let release = it.member.contact.release.clone();
            (release, it.package.id())
        });
        Wanted {
            definition: self.definition.clone(),
            packages: packages.collect(),
        }
    }

    async fn committed(&self) -> Result<Option<Committed>> {
        let Some(approver) = self.approvers.first() else {
            return Err(Error::user("no organizations are selected"));
        };
        committed(&approver.member, &self.view.name, self.name).await
    }

    /// The definition to approve and commit.
    fn define<'d>(&'d self, sequence: i64, waiting: &'d [&'d Member]) -> Define<'d> {
        Define {
            view: self.view,
            name: self.name,
            sequence,
            definition: self.definition,
            waiting,
            timeout: self.timeout,
        }
    }

    /// Installs the package on the peers that lack it, then approves the definition for each
    /// organization.
    ///
    /// # Errors
    ///
    /// Lists each peer and organization that failed. All others are complete.
    pub async fn prepare(&self, missing: &Missing, there: &[Chaincodes]) -> Result<()> {
        let mut failed: Vec<Place> = there
            .iter()
            .flat_map(|it| &it.installed)
            .filter_map(|(peer, packages)| Some(place(peer, packages.as_ref().err()?)))
            .collect();
        let peers = self.approvers.iter().flat_map(|approver| {
            let nodes = approver.member.contact.nodes.iter();
            nodes.map(move |node| (approver, node))
        });
        let installs = peers
            .filter(|(_, node)| missing.install.contains(&node.host))
            .map(async |(Approver { member, package }, node)| {
                let done = Lifecycle { member }.install(node, package).await;
                done.err().map(|error| place(&node.host, &error))
            });
        failed.extend(join_all(installs).await.into_iter().flatten());
        let waiting: Vec<&Member> = self.approvers.iter().map(|it| &it.member).collect();
        let define = self.define(missing.sequence, &waiting);
        let approvals = self
            .approvers
            .iter()
            .filter(|it| missing.approve.contains(&it.member.contact.release))
            .map(async |Approver { member, package }| {
                let done = define.approve(member, &package.id()).await;
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
                    self.name
                ),
            )
            .at_all(failed)
            .now("the definition is not committed; installed packages and approvals stay")
            .hint(AGAIN)),
        }
    }

    /// Commits the definition.
    ///
    /// # Errors
    ///
    /// Lists the organizations whose approval is missing.
    async fn commit(&self, sequence: i64) -> Result<()> {
        let Some(approver) = self.approvers.first() else {
            return Ok(());
        };
        let waiting: Vec<&Member> = self.approvers.iter().map(|it| &it.member).collect();
        let endorsing: Vec<&Contact> = waiting.iter().map(|it| &it.contact).collect();
        let define = self.define(sequence, &waiting);
        define.commit(&approver.member, &endorsing).await
    }

    /// The missing steps, and the changes of the committed definition.
    async fn begin(&self) -> Result<(Done, Vec<Chaincodes>)> {
        let (missing, there, committed) = self.look().await?;
        let changes = match &committed {
            Some(Committed { definition, .. }) => definition.differences(self.definition),
            None => Vec::new(),
        };
        Ok((Done { missing, changes }, there))
    }
}

/// The definition of a chaincode that a channel has.
pub async fn committed(member: &Member, channel: &str, name: &str) -> Result<Option<Committed>> {
    let all = Lifecycle { member }.committed(channel).await?;
    Ok(all.into_iter().find(|it| it.name == name))
}

/// Installs the packages and approves the definition for the organizations. Commits nothing.
pub async fn approve(deploy: &Deploy<'_>) -> Result<Done> {
    let (done, there) = deploy.begin().await?;
    deploy.prepare(&done.missing, &there).await?;
    Ok(done)
}

/// Performs the missing steps on the ledger, while `server` starts the chaincode's servers.
///
/// # Errors
///
/// Commits nothing unless every organization has approved and every server is ready.
pub async fn deploy(deploy: &Deploy<'_>, server: impl Future<Output = Result<()>>) -> Result<Done> {
    let (done, there) = deploy.begin().await?;
    let (prepared, server) = futures::join!(deploy.prepare(&done.missing, &there), server);
    match (prepared, server) {
        (Ok(()), Ok(())) => {}
        (Err(one), Err(other)) => {
            return Err(one
                .at_all(other.places().to_vec())
                .why(other.what().to_owned()));
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    }
    if done.missing.commit {
        deploy.commit(done.missing.sequence).await?;
    }
    Ok(done)
}
