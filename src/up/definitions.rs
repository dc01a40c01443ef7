//! What channels have of the file's chaincodes.

use super::Site;
use super::chaincode::{is_initialized, members as those_that_run};
use super::observe::known;
use super::run::words;
use crate::chaincode::{Approvals, Committed, Definition, Lifecycle, instantiated};
use crate::error::{Error, Result};
use crate::member::Member;
use crate::network::file::Chaincode;
use crate::network::state::{self, Approval, Definitions, Known};
use futures::future::join_all;
use std::collections::BTreeMap;

/// Returns the state of a chaincode on a channel.
pub async fn definitions(
    site: &Site<'_>,
    chaincode: &Chaincode,
    channel: &str,
) -> Result<Definitions> {
    let name = &chaincode.name;
    let members = those_that_run(site, chaincode, channel).await;
    let Some(member) = members.first() else {
        return Err(Error::cluster(
            "no organization that runs it is seen from here",
        ));
    };
    if site.network.channels[channel].is_legacy() {
        return Ok(Definitions {
            committed: by_lscc(&members, channel, name).await?,
            ..Definitions::default()
        });
    }
    let committed = committed(&members, channel, name).await?;
    let definition = &site.composed.definitions[name];
    let sequence = next_sequence(committed.as_ref(), definition);
    let organizations = chaincode.organizations.get(channel).into_iter().flatten();
    let (away, here): (Vec<&String>, Vec<&String>) =
        organizations.partition(|name| site.is_elsewhere(name));
    let approvals = join_all(here.into_iter().map(async |organization| {
        let approval = approval(site, organization, channel, name, sequence).await;
        (organization.clone(), known(approval))
    }));
    let of_partners = async {
        let approved = partner_approvals(member, channel, name, definition, &committed);
        match away.is_empty() {
            true => Ok(BTreeMap::new()),
            false => approved.await,
        }
    };
    let initialized = async {
        match &committed {
            Some(_) if chaincode.init_required => {
                is_initialized(member, channel, name).await.unwrap_or(false)
            }
            _ => false,
        }
    };
    let (approvals, of_partners, initialized) = futures::join!(approvals, of_partners, initialized);
    let mut approvals: BTreeMap<_, _> = approvals.into_iter().collect();
    for organization in away {
        let approval = match &of_partners {
            Ok(all) => Known::Known(partner_approval(
                site,
                chaincode,
                organization,
                all,
                sequence,
            )),
            Err(error) => Known::Unknown(words(error)),
        };
        approvals.insert(organization.clone(), approval);
    }
    Ok(Definitions {
        committed: committed.map(|it| state::Committed {
            sequence: u64::try_from(it.sequence).unwrap_or_default(),
            digest: it.definition.digest(),
        }),
        approvals,
        initialized,
    })
}

/// Returns what the first organization that responds has.
async fn first<T>(
    members: &[Member],
    ask: impl AsyncFn(&Member) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut last = Ok(None);
    for member in members {
        match ask(member).await {
            Ok(found) => return Ok(found),
            Err(error) => last = Err(error),
        }
    }
    last
}

/// The instantiated chaincode under the lifecycle of 1.4.
async fn by_lscc(
    members: &[Member],
    channel: &str,
    name: &str,
) -> Result<Option<state::Committed>> {
    let found = first(members, async |member| {
        instantiated(member, channel, name).await
    })
    .await?;
    Ok(found.map(|it| state::Committed {
        sequence: 0,
        digest: it.digest(),
    }))
}

/// The sequence that the chaincode has with this definition, or gets.
fn next_sequence(committed: Option<&Committed>, definition: &Definition) -> i64 {
    match committed {
        None => 1,
        Some(it) if it.definition.digest() == definition.digest() => it.sequence,
        Some(it) => it.sequence + 1,
    }
}

/// Which organizations of the channel approved the definition, as a member's peers know it.
async fn partner_approvals(
    member: &Member,
    channel: &str,
    name: &str,
    definition: &Definition,
    committed: &Option<Committed>,
) -> Result<Approvals> {
    let lifecycle = Lifecycle { member };
    let sequence = next_sequence(committed.as_ref(), definition);
    // A peer answers about the readiness of the next sequence only.
    match committed.as_ref().is_some_and(|it| it.sequence == sequence) {
        true => lifecycle.approvals_of(channel, name).await,
        false => {
            let ready = lifecycle.approvals(channel, name, sequence, definition);
            ready.await
        }
    }
}

/// The approval of an organization that is not seen from here. The channel says that it approved the
/// definition; which package it runs is its own matter.
fn partner_approval(
    site: &Site<'_>,
    chaincode: &Chaincode,
    organization: &String,
    approvals: &Approvals,
    sequence: i64,
) -> Option<Approval> {
    let msp_id = &site.network.organizations[organization].member.msp_id;
    let pair = (chaincode.name.clone(), organization.clone());
    let approved = approvals.get(msp_id) == Some(&true);
    approved.then(|| Approval {
        sequence: u64::try_from(sequence).unwrap_or_default(),
        digest: site.composed.definitions[&chaincode.name].digest(),
        package: site.composed.wanted.packages[&pair].clone(),
    })
}

async fn committed(members: &[Member], channel: &str, name: &str) -> Result<Option<Committed>> {
    let ask = async |member: &Member| {
        let all = Lifecycle { member }.committed(channel).await?;
        Ok(all.into_iter().find(|it| it.name == name))
    };
    first(members, ask).await
}

async fn approval(
    site: &Site<'_>,
    organization: &str,
    channel: &str,
    name: &str,
    sequence: i64,
) -> Result<Option<Approval>> {
    let member = site.member(organization).await?;
    let lifecycle = Lifecycle { member: &member };
    let found = lifecycle.approved(channel, name, sequence).await?;
    Ok(found.map(|it| Approval {
        sequence: u64::try_from(it.sequence).unwrap_or_default(),
        digest: it.definition.digest(),
        package: it.package.unwrap_or_default(),
    }))
}
