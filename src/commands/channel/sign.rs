//! `channel sign`.

use super::confirm::confirm;
use super::report::Report;
use super::{contacts, members, proposal};
use crate::channel::{self, ProposalFile, Source};
use crate::commands::arguments::{OutputArguments, SigningArguments};
use crate::commands::{Edge, complete};
use crate::error::{Error, Place, Result};
use crate::ledger::config_tree::Configuration;
use crate::ledger::envelope::Stamp;
use crate::ledger::policy::organizations_of;
use crate::ledger::sign::Identity;
use crate::member::Folder;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Explain a proposal file, and sign it
///
/// Shows what the update changes, who has signed, and which signatures each policy still needs. All
/// of this is computed from the signed bytes. For an installed organization, the command also
/// checks on its nodes that the proposal is for this channel. With only an identity folder, no
/// cluster is needed.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel sign change.json --dry-run                     what it changes
  kubectl fabric channel sign change.json org2                          by org2's administrator
  kubectl fabric channel sign change.json --identity users/Admin@org2   without a cluster")]
pub struct Arguments {
    /// Proposal file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// Organizations that sign, by release
    #[arg(value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// MSP id of the identity in the folder [default: the organization whose authority signed its
    /// certificate]
    #[arg(
        long,
        value_name = "MSPID",
        conflicts_with = "organizations",
        requires = "identity"
    )]
    pub msp_id: Option<String>,

    /// Do not call any node; compare the update with the configuration in the file
    #[arg(long)]
    pub offline: bool,

    /// Explain the proposal without signing it
    #[arg(long)]
    pub dry_run: bool,

    /// Sign without confirmation
    #[arg(short, long)]
    pub yes: bool,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// The signers, and the configuration that the update is compared with.
struct Signing {
    identities: Vec<Identity>,
    configuration: Configuration,
    /// Whether the configuration is the channel's own.
    is_compared: bool,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let mut file = proposal::read(&arguments.file)?;
    let signing = signing(&arguments, edge, &file)?;
    let report = explain(&file, &signing)?;
    let is_table = arguments.output.output.is_table();
    if is_table {
        let block = file.base.number();
        let head = format!(
            "Update of channel \"{}\", based on configuration {} (block {block}).\n",
            file.channel, file.configuration.sequence
        );
        edge.terminal.print(head)?;
        edge.terminal.print(report.text())?;
    }
    if !signing.is_compared {
        edge.terminal.warn(
            "the explanation is based on the configuration in the file, which its author could \
             have forged: no node was called",
        );
    }
    if arguments.dry_run {
        return print(&arguments, edge, &file, &report, &[]);
    }
    if signing.identities.is_empty() {
        return Err(Error::user("no identity to sign with is given")
            .hint("pass an installed organization, or --identity FOLDER; --dry-run only explains the proposal"));
    }
    let signed = sign(&arguments, edge, &mut file, &signing)?;
    if !signed.is_empty() {
        proposal::write(&arguments.file, &file)?;
    }
    let report = explain(&file, &signing)?;
    print(&arguments, edge, &file, &report, &signed)
}

fn explain(file: &ProposalFile, signing: &Signing) -> Result<Report> {
    let mut report = Report::from(file.explain(&signing.configuration)?);
    if signing.is_compared {
        report.contents.clear();
    }
    Ok(report)
}

/// Finds the signers. Reads the channel from the nodes of installed organizations.
fn signing(arguments: &Arguments, edge: &Edge, file: &ProposalFile) -> Result<Signing> {
    let signers = arguments.signing.load()?;
    let own = || file.configuration.clone();
    if arguments.organizations.is_empty() {
        let folder = signers.folder()?;
        let identities = folder.map(|folder| of_folder(arguments, edge, file, &folder));
        return Ok(Signing {
            identities: identities.transpose()?.into_iter().collect(),
            configuration: own(),
            is_compared: false,
        });
    }
    edge.read(false, async |cluster| {
        let contacts = contacts(edge, cluster, &arguments.organizations).await?;
        let members = members(edge, cluster, contacts, &signers).await?;
        let configuration = match arguments.offline {
            true => own(),
            false => {
                channel::compare(file, &Source::all(&members))
                    .await?
                    .configuration
            }
        };
        Ok(Signing {
            identities: members.iter().map(|it| it.identity.clone()).collect(),
            configuration,
            is_compared: !arguments.offline,
        })
    })
}

/// Returns the identity in a folder. The channel determines its organization, because a folder does
/// not contain it.
fn of_folder(
    arguments: &Arguments,
    edge: &Edge,
    file: &ProposalFile,
    folder: &Folder,
) -> Result<Identity> {
    let certificate = folder.certificate()?;
    let cannot = |note: String| {
        Error::user(format!("\"{}\" cannot sign this proposal", folder.name))
            .at(Place::new(&folder.name).note(note))
            .now("nothing was signed")
    };
    let msp_id = match &arguments.msp_id {
        Some(msp_id) => msp_id.clone(),
        None => {
            let of = organizations_of(&file.configuration.channel, &certificate)?;
            match &of[..] {
                [one] => one.clone(),
                [] => {
                    return Err(cannot(format!(
                        "its certificate was issued by \"{}\", which is not an authority of an \
                         organization in channel \"{}\"",
                        certificate.issuer, file.channel
                    )));
                }
                several => {
                    return Err(cannot(format!(
                        "its certificate matches {}",
                        several.join(" or ")
                    ))
                    .hint("select one with --msp-id MSPID"));
                }
            }
        }
    };
    if certificate.not_after < edge.now {
        return Err(cannot(format!(
            "its certificate expired on {}",
            certificate.not_after
        )));
    }
    folder.identity(&msp_id, &certificate.subject)
}

/// Signs with the identities, after the user confirmed. Returns the new signers.
fn sign(
    arguments: &Arguments,
    edge: &Edge,
    file: &mut ProposalFile,
    signing: &Signing,
) -> Result<Vec<String>> {
    let mut signed = Vec::new();
    let mut next = file.clone();
    for identity in &signing.identities {
        let before = next.explain(&signing.configuration)?;
        let stamp = Stamp::new(edge.now)?;
        if before.is_satisfied() || !next.sign(identity, &stamp)? {
            continue;
        }
        let after = next.explain(&signing.configuration)?;
        let subject = &identity.certificate().subject;
        let name = format!("{subject} of {}", identity.msp_id());
        if after.policies == before.policies {
            let places = before.policies.iter();
            let places = places.filter(|it| !it.is_satisfied);
            return Err(
                Error::user(format!("the signature of {name} would not count"))
                    .at_all(places.map(|it| Place::new(it.to_string())))
                    .why("no policy of this update accepts it")
                    .now("nothing was signed")
                    .hint("an administrator of one of these organizations must sign"),
            );
        }
        signed.push(name);
    }
    if signed.is_empty() {
        return Ok(signed);
    }
    if !arguments.yes {
        let what = format!(
            "the update of channel \"{}\" will be signed by {}",
            file.channel,
            signed.join(", ")
        );
        confirm(edge, &what, "to only see what it changes, use --dry-run")?;
    }
    *file = next;
    Ok(signed)
}

fn print(
    arguments: &Arguments,
    edge: &Edge,
    file: &ProposalFile,
    report: &Report,
    signed: &[String],
) -> Result<ExitCode> {
    let shown = arguments.file.display().to_string();
    let is_satisfied = report.policies.iter().all(|it| it.is_satisfied);
    match arguments.output.output {
        format if format.is_table() => {
            match (arguments.dry_run, signed) {
                (true, _) => {}
                (false, []) => edge.terminal.print(
                    "No signature was added: the identity has \
                                                    already signed, or no signature is missing.\n",
                )?,
                (false, signed) => {
                    edge.terminal
                        .print(format!("Signed by {}.\n", signed.join(", ")))?;
                    let now = Report {
                        changes: Vec::new(),
                        contents: Vec::new(),
                        ..report.clone()
                    };
                    edge.terminal.print(now.text())?;
                }
            }
            let next = proposal::next_step(&shown, is_satisfied);
            edge.terminal.print(format!("{next}\n"))?;
        }
        format => {
            let more = json!({
                "file": shown,
                "signed": signed,
                "satisfied": is_satisfied,
                "afterwards": report.contents,
            });
            let document = report.document(&file.channel, more);
            edge.terminal.print_named(format, &document)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
