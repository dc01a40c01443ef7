//! `chaincode commit`.

use super::{caller, channel_of, first_member, peers};
use crate::chaincode::{Approvals, Define, Definition, Lifecycle, View, committed, policy_words};
use crate::channel;
use crate::commands::arguments::{OutputArguments, SigningArguments, duration};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use crate::fabric::contact::Contact;
use crate::member::Member;
use crate::terminal::{GREEN, RED, Table, table::Cell};
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Commit an approved chaincode definition
///
/// The definition is the one that the calling organization has approved. The peers of an
/// organization endorse the commit if their organization has approved the same definition. The
/// channel's policy LifecycleEndorsement defines how many are needed, by default a majority.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode commit basic
  kubectl fabric chaincode commit basic --check       which organizations have approved it
  kubectl fabric chaincode commit basic --org org2 --channel mychannel")]
pub struct Arguments {
    /// Name of the chaincode
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::chaincodes))]
    pub name: String,

    /// Only show who has approved the definition
    ///
    /// The exit status is 3 if the definition cannot be committed yet.
    #[arg(long)]
    pub check: bool,

    /// Channel of the chaincode [default: the only one that the organization's peers have joined]
    #[arg(short = 'C', long, value_name = "CHANNEL", add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Option<String>,

    /// Organization that commits: its administrator signs [default: the first one found]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Option<String>,

    /// Organizations whose peers endorse, by release [default: all installed ones of the channel]
    #[arg(long, value_name = "ORG,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// Maximum time to wait until the transaction is committed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The definition to commit, and its approvals.
struct Found {
    channel: String,
    sequence: i64,
    definition: Definition,
    approvals: Approvals,
    /// The changes of the committed definition, one line each.
    changes: Vec<String>,
    /// Whether it was committed before.
    is_committed: bool,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = arguments.name.as_str();
    let signers = arguments.signing.load()?;
    let end = Error::interrupted("interrupted")
        .now("the commit may have been sent, and may still take effect")
        .hint("`kubectl fabric chaincode list` shows what is committed");
    let (found, ready) = edge.change(end, async |cluster| {
        let named = &arguments.organizations;
        let contacts = peers(edge, cluster, named).await?;
        let member = match &arguments.org {
            None => first_member(edge, cluster, &contacts, &signers).await?,
            org => caller(edge, cluster, org.as_deref(), &signers).await?,
        };
        let channel = channel_of(&member, arguments.channel.as_deref()).await?;
        let view = channel::view(&member, &channel).await?;
        let found = find(&member, &view, name).await?;
        if found.is_committed {
            return Ok((found, Ok(())));
        }
        let define = Define {
            view: &view,
            name,
            sequence: found.sequence,
            definition: &found.definition,
            waiting: &[],
            timeout: arguments.timeout,
        };
        let endorsing = endorsing(&contacts, &view, &found.approvals, !named.is_empty());
        let ready = match arguments.check {
            true => define.check(&member, &endorsing).await,
            false => define.commit(&member, &endorsing).await,
        };
        Ok((found, ready))
    })?;
    match (ready, arguments.check) {
        (Ok(()), _) => print(edge, &arguments, &found, true)?,
        (Err(error), true) => {
            print(edge, &arguments, &found, false)?;
            return Err(error);
        }
        (Err(error), false) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the definition that the organization approved last.
async fn find(member: &Member, view: &View, name: &str) -> Result<Found> {
    let lifecycle = Lifecycle { member };
    let channel = view.name.clone();
    let before = committed(member, &channel, name).await?;
    let current = before.as_ref().map_or(0, |it| it.sequence);
    if let Some(approved) = lifecycle.approved(&channel, name, current + 1).await? {
        let changes = match &before {
            Some(before) => before.definition.differences(&approved.definition),
            None => Vec::new(),
        };
        let approvals = lifecycle
            .approvals(&channel, name, approved.sequence, &approved.definition)
            .await?;
        return Ok(Found {
            channel,
            sequence: approved.sequence,
            definition: approved.definition,
            approvals,
            changes,
            is_committed: false,
        });
    }
    let organization = &member.contact.release;
    let Some(before) = before else {
        return Err(Error::user(format!(
            "organization \"{organization}\" has not approved a definition of chaincode \"{name}\""
        ))
        .why(format!("in channel \"{channel}\", at sequence 1"))
        .now("nothing was sent to the orderers")
        .hint(format!(
            "approve one: `kubectl fabric chaincode approve {name} --organizations {organization}`"
        )));
    };
    let approvals = lifecycle.approvals_of(&channel, name).await?;
    Ok(Found {
        channel,
        sequence: before.sequence,
        definition: before.definition,
        approvals,
        changes: Vec::new(),
        is_committed: true,
    })
}

/// Returns the organizations whose peers are called: the given ones, or those that have approved
/// the definition. Peers of others would refuse.
fn endorsing<'c>(
    contacts: &'c [Contact],
    view: &View,
    approvals: &Approvals,
    are_named: bool,
) -> Vec<&'c Contact> {
    let agrees = |it: &&Contact| {
        view.organizations.contains_key(&it.msp_id)
            && approvals.get(&it.msp_id).copied().unwrap_or_default()
    };
    let each = contacts.iter();
    match are_named {
        true => each.collect(),
        false => each.filter(agrees).collect(),
    }
}

fn print(edge: &Edge, arguments: &Arguments, found: &Found, is_ready: bool) -> Result<()> {
    let Found {
        channel,
        sequence,
        definition,
        approvals,
        changes,
        is_committed,
    } = found;
    let name = &arguments.name;
    let format = arguments.output.output;
    let whose = |wanted: bool| -> Vec<&String> {
        let all = approvals.iter().filter(|(_, is)| **is == wanted);
        all.map(|(msp_id, _)| msp_id).collect()
    };
    if !format.is_table() {
        let document = json!({
            "name": name,
            "channel": channel,
            "sequence": sequence,
            "version": definition.version,
            "policy": policy_words(&definition.policy),
            "changes": changes,
            "changed": !is_committed && !arguments.check,
            "ready": is_ready,
            "approvedBy": whose(true),
            "notApprovedBy": whose(false),
        });
        return edge.terminal.print_named(format, &document);
    }
    let words = match (is_committed, arguments.check, is_ready) {
        (true, ..) => "is unchanged, committed",
        (false, false, _) => "has been committed",
        (false, true, true) => "is ready to be committed",
        (false, true, false) => "is not ready to be committed",
    };
    edge.terminal.print(format!(
        "Chaincode \"{name}\" {words}, at sequence {sequence} of channel \"{channel}\".\n"
    ))?;
    for change in changes {
        edge.terminal.print(format!("  {change}\n"))?;
    }
    let mut table = Table::new(["ORGANIZATION", "APPROVED"]);
    for (msp_id, is_approved) in approvals {
        let cell = match is_approved {
            true => Cell::styled("yes", GREEN),
            false => Cell::styled("no", RED),
        };
        table.row([msp_id.into(), cell]);
    }
    edge.terminal.print(table.text())
}
