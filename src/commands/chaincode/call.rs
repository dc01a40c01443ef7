//! `chaincode invoke` and `chaincode query`.

use super::{caller, channel_of, first_member, peers};
use crate::chaincode::{self, Definition, Done, Endorsers, Lifecycle, Submission};
use crate::channel;
use crate::cluster::Cluster;
use crate::commands::arguments::{Format, OutputArguments, Signers, SigningArguments, duration};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result, nearest};
use crate::fabric::contact::Contact;
use crate::identity::NodeRole;
use crate::ledger::proposal::Call;
use crate::member::Member;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The call and its caller.
#[derive(Args, Debug)]
pub struct CallArguments {
    /// Name of the chaincode
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::chaincodes))]
    pub name: String,

    /// Function and arguments: '["ReadAsset","a1"]'
    ///
    /// The format of Fabric's `peer` command works too: '{"Args":["ReadAsset","a1"]}' or
    /// '{"function":"ReadAsset","Args":["a1"]}'.
    #[arg(short = 'c', long = "ctor", value_name = "JSON")]
    pub ctor: String,

    /// Channel of the chaincode [default: the only one that the organization's peers have joined]
    #[arg(short = 'C', long, value_name = "CHANNEL", add = ArgValueCompleter::new(complete::nothing))]
    pub channel: Option<String>,

    /// Calling organization: its administrator signs, and its peers answer [default: the first one
    /// found]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Option<String>,

    /// Transient data for the endorsing peers, as KEY=VALUE; never written to a block; may be
    /// repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub transient: Vec<String>,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

impl CallArguments {
    /// The call, with the channel still open.
    fn call(&self) -> Result<Call> {
        Ok(Call {
            channel: self.channel.clone().unwrap_or_default(),
            chaincode: self.name.clone(),
            arguments: chaincode::arguments(&self.ctor)?,
            transient: chaincode::transient(&self.transient)?,
            init: false,
        })
    }
}

/// Call a read-only function of a chaincode and print its result
///
/// One peer of the organization answers. Nothing is sent to an orderer.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode query basic -c '[\"GetAllAssets\"]'
  kubectl fabric chaincode query basic -c '[\"ReadAsset\",\"a1\"]' --org org2 --channel mychannel")]
pub struct QueryArguments {
    #[command(flatten)]
    pub call: CallArguments,
}

/// Send a transaction to a chaincode, and wait until it is committed
///
/// One peer of each organization endorses the transaction, and the orderers put it into a block. A
/// peer of the calling organization reports whether it is valid. Each run is a new transaction.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode invoke basic -c '[\"CreateAsset\",\"a1\",\"blue\",\"5\",\"Tom\",\"100\"]'
  kubectl fabric chaincode invoke basic -c '[\"DeleteAsset\",\"a1\"]' --org org2 -o json
  kubectl fabric chaincode invoke private -c '[\"Create\"]' --transient asset='{\"id\":\"a1\"}' --organizations org1")]
pub struct InvokeArguments {
    #[command(flatten)]
    pub call: CallArguments,

    /// Organizations whose peers endorse, by release [default: all installed ones of the channel]
    ///
    /// With this flag, the transaction is sent even if it does not satisfy the chaincode's
    /// endorsement policy. Without it, such a transaction is not sent, and transient data goes only
    /// to peers of the calling organization.
    #[arg(long, value_name = "ORG,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// Call the chaincode's Init instead of Invoke
    #[arg(long)]
    pub init: bool,

    /// Maximum time to wait for the commit
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Duration,
}

pub fn query(arguments: QueryArguments, edge: &Edge) -> Result<ExitCode> {
    let QueryArguments { call: arguments } = arguments;
    let mut call = arguments.call()?;
    let signers = arguments.signing.load()?;
    let payload = edge.read(false, async |cluster| {
        let member = caller(edge, cluster, arguments.org.as_deref(), &signers).await?;
        call.channel = channel_of(&member, arguments.channel.as_deref()).await?;
        match chaincode::query(&member, &call).await {
            Ok(payload) => Ok(payload),
            Err(error) => Err(absence(&member, &call, None, error).await),
        }
    })?;
    match arguments.output.output {
        format if format.is_table() => print_payload(edge, &payload)?,
        format => edge.terminal.print_document(format, &result(&payload))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn invoke(arguments: InvokeArguments, edge: &Edge) -> Result<ExitCode> {
    let mut call = Call {
        init: arguments.init,
        ..arguments.call.call()?
    };
    let signers = arguments.call.signing.load()?;
    let now = "the transaction may have been sent, and may still be committed";
    let done = edge.change(
        Error::interrupted("interrupted").now(now),
        async |cluster| {
            let named = &arguments.organizations;
            let (member, found) = parties(&arguments, edge, cluster, &signers).await?;
            call.channel = channel_of(&member, arguments.call.channel.as_deref()).await?;
            let (view, definitions) = futures::join!(
                channel::view(&member, &call.channel),
                definitions(&member, &call.channel)
            );
            let view = view?;
            // Transient data is sent only to the organizations that the user selects.
            let is_private = !call.transient.is_empty();
            let asked = |it: &&Contact| match (named.is_empty(), is_private) {
                (false, _) => true,
                (true, true) => it.msp_id == member.contact.msp_id,
                (true, false) => view.organizations.contains_key(&it.msp_id),
            };
            let endorsers = found.iter().filter(asked);
            let endorsers: Vec<Endorsers<'_>> = endorsers
                .map(|contact| Endorsers::new(&member, &view, contact))
                .collect::<Result<_>>()?;
            let definition = definitions
                .iter()
                .flatten()
                .find(|(name, _)| *name == call.chaincode);
            let submission = Submission {
                member: &member,
                view: &view,
                endorsers: &endorsers,
                call: &call,
                policy: definition.map(|(_, definition)| &definition.policy),
                send_anyway: !named.is_empty(),
                others: &[],
                timeout: arguments.timeout,
            };
            match chaincode::submit(&submission).await {
                Ok(done) => Ok(done),
                Err(error) => Err(absence(&member, &call, definitions, error).await),
            }
        },
    )?;
    print(edge, &call, &done, arguments.call.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The caller, and the organizations whose peers can be asked to endorse.
async fn parties(
    arguments: &InvokeArguments,
    edge: &Edge,
    cluster: &Cluster,
    signers: &Signers,
) -> Result<(Member, Vec<Contact>)> {
    let named = &arguments.organizations;
    let found = peers(edge, cluster, named).await;
    let Some(org) = &arguments.call.org else {
        let found = found?;
        return Ok((first_member(edge, cluster, &found, signers).await?, found));
    };
    let member = caller(edge, cluster, Some(org), signers).await?;
    // Without the right to look for others, an own peer reaches them.
    let may_ask = named.is_empty() && member.contact.role == NodeRole::Peer;
    let found = match found {
        Err(_) if may_ask => vec![member.contact.clone()],
        found => found?,
    };
    Ok((member, found))
}

/// Prints the result of a transaction and its block.
fn print(edge: &Edge, call: &Call, done: &Done, format: Format) -> Result<()> {
    for peer in &done.passed_over {
        edge.terminal.warn(&format!("not endorsed by {peer}"));
    }
    if !format.is_table() {
        return edge.terminal.print_document(format, &document(call, done));
    }
    print_payload(edge, &done.result)?;
    edge.terminal.note(&format!(
        "transaction {} is valid, in block {} of channel \"{}\"",
        done.tx_id, done.block, call.channel
    ));
    Ok(())
}

/// Returns the committed definitions of the channel by name, or `None` if the peers use the old
/// lifecycle or do not respond.
async fn definitions(member: &Member, channel: &str) -> Option<Vec<(String, Definition)>> {
    if member.contact.version.major < 2 {
        return None;
    }
    let all = Lifecycle { member }.committed(channel).await.ok()?;
    Some(all.into_iter().map(|it| (it.name, it.definition)).collect())
}

/// Adds a reason to the error of a failed call if the channel does not have the chaincode.
async fn absence(
    member: &Member,
    call: &Call,
    known: Option<Vec<(String, Definition)>>,
    error: Error,
) -> Error {
    let known = match known {
        Some(known) => Some(known),
        None => definitions(member, &call.channel).await,
    };
    let Some(known) = known else {
        return error;
    };
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let (name, channel) = (&call.chaincode, &call.channel);
    let is_system = ["qscc", "cscc", "lscc", "_lifecycle"].contains(&name.as_str());
    if is_system || names.contains(&name.as_str()) {
        return error;
    }
    let has = match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    let error = error.why(format!(
        "channel \"{channel}\" has no committed chaincode \"{name}\"; it has {has}"
    ));
    match nearest(name, names) {
        Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
        None => error.hint(format!(
            "deploy it: `kubectl fabric chaincode deploy {name} --image IMAGE --channel {channel}`"
        )),
    }
}

fn print_payload(edge: &Edge, payload: &[u8]) -> Result<()> {
    match std::str::from_utf8(payload) {
        Ok("") => Ok(()),
        Ok(text) => edge
            .terminal
            .print_plain(&format!("{}\n", text.trim_end_matches('\n'))),
        Err(_) => {
            edge.terminal
                .note("the result is not text, so it is printed in base64");
            edge.terminal
                .print_plain(&format!("{}\n", STANDARD.encode(payload)))
        }
    }
}

fn result(payload: &[u8]) -> Value {
    match std::str::from_utf8(payload) {
        Ok(text) => json!({ "result": text }),
        Err(_) => json!({ "resultBase64": STANDARD.encode(payload) }),
    }
}

fn document(call: &Call, done: &Done) -> Value {
    let mut document = result(&done.result);
    let more = json!({
        "transaction": done.tx_id.as_str(),
        "channel": call.channel,
        "chaincode": call.chaincode,
        "block": done.block,
        "validationCode": "VALID",
        "endorsedBy": done.endorsed_by,
        "event": done.event,
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}
