//! Runs the steps of chaincodes on the ledger.

use super::Site;
use crate::chaincode::{
    Define, Definition, Endorsers, Lifecycle, Submission, View, install_by_lscc, instantiated,
    instantiation, submit,
};
use crate::channel::{self, Pauses};
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::ledger::chaincode_package::Package;
use crate::ledger::proposal::{Call, Unendorsed};
use crate::member::{Failed, Member};
use crate::network::file::Chaincode;
use crate::network::step::Action;
use futures::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum time for a peer to fetch the blocks with the approvals.
const AGREEMENT: Duration = Duration::from_secs(30);

pub async fn carry_out(site: &Site<'_>, action: &Action) -> Result<()> {
    match action {
        Action::Package {
            chaincode,
            organization,
            node,
            ..
        } => {
            let member = site.member(organization).await?;
            let node = member.contact.node(node)?;
            if let Some(deployment) = site.composed.deployments.get(chaincode) {
                return install_by_lscc(&member, node, deployment).await;
            }
            let package = package(site, chaincode, organization);
            Lifecycle { member: &member }.install(node, package).await
        }
        Action::Approve {
            chaincode,
            channel,
            organization,
            sequence,
            ..
        } => {
            let own = site.member(organization).await?;
            let on = On::new(site, chaincode, channel, &own).await?;
            let package = package(site, chaincode, organization);
            // The others may join the channel later; `agreed` waits for their peers.
            let waiting: [&Member; 1] = [&own];
            let define = on.define(signed(*sequence)?, &waiting);
            define.approve(&own, &package.id()).await
        }
        Action::Commit {
            chaincode,
            channel,
            sequence,
            ..
        } => {
            let members = members(site, &site.network.chaincodes[chaincode], channel).await;
            let first = members.first().ok_or_else(|| absent(chaincode))?;
            let waiting: Vec<&Member> = members.iter().collect();
            let endorsing: Vec<&Contact> = members.iter().map(|it| &it.contact).collect();
            let on = On::new(site, chaincode, channel, first).await?;
            let sequence = signed(*sequence)?;
            join_all(members.iter().map(|it| on.agreed(it, &members, sequence))).await;
            on.define(sequence, &waiting)
                .commit(first, &endorsing)
                .await
        }
        Action::Instantiate {
            chaincode,
            channel,
            upgrade,
            ..
        } => instantiate(site, chaincode, channel, *upgrade).await,
        Action::Initialize { chaincode, channel } => initialize(site, chaincode, channel).await,
        other => Err(Error::internal(format!("cannot {other}"))),
    }
}

fn signed(sequence: u64) -> Result<i64> {
    i64::try_from(sequence).map_err(|_| Error::internal("a sequence beyond Fabric's"))
}

fn absent(chaincode: &str) -> Error {
    Error::cluster(format!(
        "no organization that runs \"{chaincode}\" has a usable administrator"
    ))
}

fn package<'a>(site: &Site<'a>, chaincode: &str, organization: &str) -> &'a Package {
    &site.composed.packages[&(chaincode.to_owned(), organization.to_owned())]
}

/// The organizations that run a chaincode on a channel, as far as their administrators can be used.
/// The one whose part is done is first: it sends what any of them may send.
pub async fn members(site: &Site<'_>, chaincode: &Chaincode, channel: &str) -> Vec<Member> {
    let names = chaincode.organizations.get(channel);
    let mut names: Vec<&String> = names.into_iter().flatten().collect();
    names.sort_by_key(|name| site.organization != Some(name.as_str()));
    site.members(names).await
}

/// Returns the view of a member whose peers may have just joined: until they have the blocks that
/// add its organization to the channel, they refuse it.
async fn view_as_member(member: &Member, channel: &str, timeout: Duration) -> Result<View> {
    let mut pauses = Pauses::until(Instant::now() + timeout.min(AGREEMENT));
    loop {
        let view = channel::view(member, channel).await;
        let knows = |view: &View| view.organizations.contains_key(&member.contact.msp_id);
        if view.as_ref().is_ok_and(knows) || !pauses.wait().await {
            return view;
        }
    }
}

/// A chaincode on a channel.
struct On<'a> {
    site: &'a Site<'a>,
    name: &'a str,
    view: View,
    definition: &'a Definition,
}

impl<'a> On<'a> {
    async fn new(
        site: &'a Site<'a>,
        name: &'a str,
        channel: &str,
        member: &Member,
    ) -> Result<On<'a>> {
        Ok(On {
            site,
            name,
            view: view_as_member(member, channel, site.options.timeout).await?,
            definition: &site.composed.definitions[name],
        })
    }

    /// Waits until a member's peers have the approvals of all members, because they do not endorse
    /// the commit before. On timeout, the commit reports what is missing.
    async fn agreed(&self, member: &Member, all: &[Member], sequence: i64) {
        let patience = self.site.options.timeout.min(AGREEMENT);
        let mut pauses = Pauses::until(Instant::now() + patience);
        let lifecycle = Lifecycle { member };
        loop {
            let approvals =
                lifecycle.approvals(&self.view.name, self.name, sequence, self.definition);
            let approvals = approvals.await.unwrap_or_default();
            let has = |it: &Member| approvals.get(&it.contact.msp_id) == Some(&true);
            if all.iter().all(has) || !pauses.wait().await {
                return;
            }
        }
    }

    fn define<'b>(&'b self, sequence: i64, waiting: &'b [&'b Member]) -> Define<'b> {
        Define {
            view: &self.view,
            name: self.name,
            sequence,
            definition: self.definition,
            waiting,
            timeout: self.site.options.timeout,
        }
    }
}

/// Instantiates or upgrades a chaincode under the lifecycle of Fabric 1.4. The peer that endorses
/// it builds and starts the chaincode, so it needs its Docker host.
async fn instantiate(site: &Site<'_>, name: &str, channel: &str, upgrade: bool) -> Result<()> {
    let chaincode = &site.network.chaincodes[name];
    let (deployment, definition) = (
        &site.composed.deployments[name],
        &site.composed.definitions[name],
    );
    let members = members(site, chaincode, channel).await;
    let member = members.first().ok_or_else(|| absent(name))?;
    let view = view_as_member(member, channel, site.options.timeout).await?;
    let call = instantiation(channel, deployment, definition, &chaincode.init, upgrade)?;
    let endorser = Endorsers::new(member, &view, &member.contact)?;
    let others: Vec<&Member> = members.iter().skip(1).collect();
    let submission = Submission {
        member,
        view: &view,
        endorsers: std::slice::from_ref(&endorser),
        call: &call,
        policy: None,
        send_anyway: false,
        others: &others,
        timeout: site.options.timeout,
    };
    match submit(&submission).await {
        Ok(_) => Ok(()),
        // Another run was faster.
        Err(error) => match instantiated(member, channel, name).await {
            Ok(Some(there)) if there.digest() == definition.digest() => Ok(()),
            _ => Err(error.context(format!("chaincode \"{name}\" was not instantiated"))),
        },
    }
}

/// Returns the call that initializes a chaincode: the one in the file, or `Init` without arguments.
async fn initialize(site: &Site<'_>, name: &str, channel: &str) -> Result<()> {
    let chaincode = &site.network.chaincodes[name];
    let members = members(site, chaincode, channel).await;
    let member = members.first().ok_or_else(|| absent(name))?;
    let view = channel::view(member, channel).await?;
    let mut words = chaincode.init.iter();
    let function = words.next().map_or("Init", String::as_str);
    let arguments = words.map(|word| word.clone().into_bytes()).collect();
    let call = Call {
        init: true,
        ..Call::new(channel, name, function, arguments)
    };
    let endorsers: Vec<Endorsers<'_>> = members
        .iter()
        .map(|it| Endorsers::new(member, &view, &it.contact))
        .collect::<Result<_>>()?;
    let submission = Submission {
        member,
        view: &view,
        endorsers: &endorsers,
        call: &call,
        policy: Some(&site.composed.definitions[name].policy),
        send_anyway: false,
        others: &[],
        timeout: site.options.timeout,
    };
    match submit(&submission).await {
        Ok(_) => Ok(()),
        // Another run was faster.
        Err(_) if is_initialized(member, channel, name).await == Some(true) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns whether a chaincode has been initialized, or `None` if no peer responds.
///
/// Before the initialization, a peer refuses every other call
/// (`core/chaincode/chaincode_support.go`, `CheckInvocation`). After it, the peer passes the call
/// to the chaincode. Errors before that begin with `error in simulation`
/// (`core/endorser/endorser.go`).
pub async fn is_initialized(member: &Member, channel: &str, name: &str) -> Option<bool> {
    let call = Call::new(channel, name, "", Vec::new());
    for node in &member.contact.nodes {
        match member.peer(node).ok()?.query(&call).await {
            Ok(_) => return Some(true),
            Err(Failed::Refused(Unendorsed::Refused { message, .. })) => {
                if message.contains("has not been initialized for this version") {
                    return Some(false);
                }
                if !message.starts_with("error in simulation") {
                    return Some(true);
                }
            }
            Err(_) => {}
        }
    }
    None
}
