//! A configuration update, from its signatures to its block.

use super::broadcast::broadcast;
use super::change::msp_ids;
use super::live::{Current, carries, config_blocks, current};
use super::read::Source;
use super::view::View;
use crate::error::{Error, Kind, Place, Result};
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::envelope::{self, config_signature};
use crate::ledger::message::common::ConfigSignature;
use crate::ledger::message::configuration::ConfigUpdate;
use crate::ledger::message::decode;
use crate::ledger::policy::Verdict;
use crate::ledger::sign::Creator;
use crate::ledger::update;
use crate::member::Member;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The signatures of an update, evaluated by its policies.
pub struct Signed {
    pub signatures: Vec<ConfigSignature>,
    pub signers: Vec<Creator>,
    /// The policies that the update must satisfy.
    pub policies: Vec<Verdict>,
}

impl Signed {
    pub fn is_satisfied(&self) -> bool {
        self.policies.iter().all(|it| it.is_satisfied)
    }
}

/// Signs an encoded update with the members until its policies are satisfied. Skips members whose
/// signature would not count.
pub fn sign(encoded: &[u8], channel: &Group, members: &[Member]) -> Result<Signed> {
    let message: ConfigUpdate = decode(encoded, "the update of the channel")?;
    let mut signed = Signed {
        signatures: Vec::new(),
        signers: Vec::new(),
        policies: update::needed(channel, &message, &[])?,
    };
    for member in members {
        if signed.is_satisfied() {
            break;
        }
        let signer = Creator {
            msp_id: member.identity.msp_id().to_owned(),
            certificate: member.identity.certificate().clone(),
        };
        let more = [&signed.signers[..], std::slice::from_ref(&signer)].concat();
        let policies = update::needed(channel, &message, &more)?;
        if policies == signed.policies {
            continue;
        }
        let signature = config_signature(encoded, &member.identity, &member.stamp()?)?;
        signed.signatures.push(signature);
        signed.signers = more;
        signed.policies = policies;
    }
    Ok(signed)
}

/// Returns the error for an update whose policies are not satisfied.
pub fn missing(channel: &str, policies: &[Verdict]) -> Error {
    let open = policies.iter().filter(|it| !it.is_satisfied);
    let places = open.map(|it| Place::new(it.to_string()));
    Error::user(format!(
        "the update of channel \"{channel}\" lacks signatures"
    ))
    .at_all(places)
    .now("nothing was sent to the orderers")
}

/// An update to submit, and its sender.
pub struct Submission<'a> {
    pub name: &'a str,
    /// The encoded `ConfigUpdate`.
    pub update: &'a [u8],
    pub signatures: Vec<ConfigSignature>,
    /// The configuration that the update matches.
    pub current: &'a Current,
    pub sources: &'a [Source<'a>],
    /// A member of the channel among these organizations sends it.
    pub members: &'a [Member],
    pub timeout: Duration,
}

/// Only a member of the channel may write to it.
fn sender<'m>(name: &str, members: &'m [Member], channel: &Group) -> Result<&'m Member> {
    let ids = msp_ids(channel)?;
    let mut own = members.iter().filter(|it| ids.contains(&it.contact.msp_id));
    own.next().ok_or_else(|| {
        let ids: Vec<String> = ids.iter().cloned().collect();
        Error::user(format!("channel \"{name}\" cannot be updated"))
            .why(format!(
                "none of its organizations ({}) is installed in this cluster",
                ids.join(", ")
            ))
            .now("nothing was changed")
    })
}

const PAUSE: Duration = Duration::from_millis(200);

/// Sends an update to the orderers, and waits for its block.
///
/// # Errors
///
/// Fails for an update that the orderers do not accept, or that is outdated because of another one.
/// If the block does not appear in time, the update may still take effect later.
pub async fn submit(submission: Submission<'_>) -> Result<Current> {
    let Submission {
        name,
        current: before,
        ..
    } = submission;
    let member = sender(name, submission.members, &before.configuration.channel)?;
    let deadline = Instant::now() + submission.timeout;
    let view = View::of(name, &before.block.clone().into_block())?;
    let envelope = envelope::config_update(
        name,
        submission.update.to_vec(),
        submission.signatures.clone(),
        &member.identity,
        &member.stamp()?,
    )?;
    let refused = broadcast(member, &view, &envelope, deadline).await.err();
    let last = before.block.number();
    loop {
        match after(&submission, last).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            // Another update is a reason to fail; an unreadable node is not.
            Err(error) if refused.is_some() || error.kind() == Kind::Refused => {
                return Err(error);
            }
            Err(_) => {}
        }
        if let Some(refused) = refused {
            return Err(refused
                .context(format!("channel \"{name}\" was not updated"))
                .now("the channel was not changed"));
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(Error::not_ready(format!(
                "no block of channel \"{name}\" contains the update after {} s",
                submission.timeout.as_secs()
            ))
            .why("an orderer accepted the update")
            .now("it may still take effect; run the same command again to check, or to send it again")
            .hint(format!(
                "`kubectl fabric channel history {name}` shows the updates of the channel"
            )));
        }
        sleep(PAUSE).await;
    }
}

/// Returns the configuration after the update, if a block after `last` contains the update.
///
/// # Errors
///
/// Refused if another update came first and this one no longer matches.
async fn after(submission: &Submission<'_>, last: u64) -> Result<Option<Current>> {
    let Submission { name, sources, .. } = *submission;
    let now = current(sources, name).await?;
    if now.block.number() <= last {
        return Ok(None);
    }
    for block in config_blocks(sources, name, Some(last)).await? {
        if carries(&block, submission.update)? {
            let (_, configuration) = Configuration::from_block(&block.clone().into_block())?;
            return Ok(Some(Current {
                block,
                configuration,
            }));
        }
    }
    let message: ConfigUpdate = decode(submission.update, "the update of the channel")?;
    match update::apply(&now.configuration, &message) {
        Ok(_) => Ok(None),
        Err(error) => Err(Error::refused(format!(
            "another update of channel \"{name}\" was submitted first"
        ))
        .at_all(error.places().iter().cloned())
        .why(format!(
            "block {} changed the configuration that this update is based on",
            now.block.number()
        ))
        .now("this update had no effect")
        .hint("run the same command again to compute a new update; a proposal must be created and signed again")),
    }
}
