//! The transactions of the lifecycle: an organization approves a definition, a channel commits it.

use super::definition::Definition;
use super::deploy::committed;
use super::endorse::Endorsers;
use super::lifecycle::{Committed, Lifecycle};
use super::submit::{Submission, endorsable, submit};
use super::view::View;
use crate::error::{Error, Kind, Result};
use crate::fabric::contact::Contact;
use crate::ledger::message::collection::{ApplicationPolicy, ApplicationPolicyType};
use crate::ledger::proposal::Call;
use crate::member::Member;
use std::time::Duration;

/// The policy under which a definition is committed.
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";

pub(super) const AGAIN: &str = "run the same command again to complete it";

/// A definition that is being approved and committed.
pub struct Define<'a> {
    pub view: &'a View,
    pub name: &'a str,
    pub sequence: i64,
    pub definition: &'a Definition,
    /// Members whose peers must have committed each transaction before the next step, which needs
    /// their endorsement.
    pub waiting: &'a [&'a Member],
    pub timeout: Duration,
}

impl Define<'_> {
    /// Approves the definition for an organization, with a package.
    pub async fn approve(&self, member: &Member, package: &str) -> Result<()> {
        let of = (self.sequence, self.definition);
        let call = Lifecycle::approval(self.view, self.name, of, package);
        let endorsers = [Endorsers::new(member, self.view, &member.contact)?];
        let Err(error) = self.send(member, &endorsers, &call, None).await else {
            return Ok(());
        };
        // Another run was faster.
        let lifecycle = Lifecycle { member };
        let approved = lifecycle
            .approved(&self.view.name, self.name, self.sequence)
            .await;
        match approved {
            Ok(Some(it))
                if it.definition == *self.definition && it.package.as_deref() == Some(package) =>
            {
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Commits the definition, endorsed by the peers of these organizations.
    ///
    /// # Errors
    ///
    /// Lists the organizations whose approval is missing.
    pub async fn commit(&self, member: &Member, endorsing: &[&Contact]) -> Result<()> {
        let endorsers = self.endorsers(member, endorsing)?;
        let policy = lifecycle_endorsement();
        let call = Lifecycle::commit(self.view, self.name, self.sequence, self.definition);
        let sent = self.send(member, &endorsers, &call, Some(&policy)).await;
        let Err(error) = sent else {
            return Ok(());
        };
        let is_done =
            |it: Committed| it.sequence >= self.sequence && it.definition == *self.definition;
        let there = committed(member, &self.view.name, self.name).await;
        match there.ok().flatten().is_some_and(is_done) {
            true => Ok(()),
            false => Err(self.not_committed(member, error).await),
        }
    }

    /// Checks whether the peers of these organizations would endorse the commit. Sends nothing to
    /// an orderer.
    ///
    /// # Errors
    ///
    /// As [`Define::commit`].
    pub async fn check(&self, member: &Member, endorsing: &[&Contact]) -> Result<()> {
        let endorsers = self.endorsers(member, endorsing)?;
        let policy = lifecycle_endorsement();
        let call = Lifecycle::commit(self.view, self.name, self.sequence, self.definition);
        let submission = self.submission(member, &endorsers, &call, Some(&policy), &[]);
        match endorsable(&submission).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = self.not_committed(member, error).await;
                Err(error
                    .with_kind(Kind::NotReady)
                    .now("nothing was sent to an orderer"))
            }
        }
    }

    fn endorsers<'e>(
        &self,
        member: &'e Member,
        endorsing: &[&Contact],
    ) -> Result<Vec<Endorsers<'e>>> {
        let each = endorsing.iter();
        each.map(|contact| Endorsers::new(member, self.view, contact))
            .collect()
    }

    async fn not_committed(&self, member: &Member, error: Error) -> Error {
        let Define { name, sequence, .. } = self;
        let error = error.context(format!(
            "the definition of \"{name}\" with sequence {sequence} is not committed"
        ));
        let lifecycle = Lifecycle { member };
        let approvals = lifecycle
            .approvals(&self.view.name, name, *sequence, self.definition)
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
                .hint(format!(
                    "have their administrators approve the same definition: `kubectl fabric chaincode approve {name}`"
                )),
        }
    }

    /// Sends a transaction of the lifecycle, and waits until these members have committed it.
    async fn send(
        &self,
        member: &Member,
        endorsers: &[Endorsers<'_>],
        call: &Call,
        policy: Option<&ApplicationPolicy>,
    ) -> Result<()> {
        let others: Vec<&Member> = self
            .waiting
            .iter()
            .copied()
            .filter(|it| it.contact.release != member.contact.release)
            .collect();
        let submission = self.submission(member, endorsers, call, policy, &others);
        submit(&submission).await.map(|_| ())
    }

    fn submission<'s>(
        &'s self,
        member: &'s Member,
        endorsers: &'s [Endorsers<'s>],
        call: &'s Call,
        policy: Option<&'s ApplicationPolicy>,
        others: &'s [&'s Member],
    ) -> Submission<'s> {
        Submission {
            member,
            view: self.view,
            endorsers,
            call,
            policy,
            send_anyway: false,
            others,
            timeout: self.timeout,
        }
    }
}

fn lifecycle_endorsement() -> ApplicationPolicy {
    ApplicationPolicy {
        r#type: Some(ApplicationPolicyType::ChannelConfigPolicyReference(
            LIFECYCLE_ENDORSEMENT.to_owned(),
        )),
    }
}
