//! `identity export`.

use super::{installed, secrets_of};
use crate::commands::{Edge, complete, load};
use crate::error::{Error, Result};
use crate::identity::export::{self, Files, Keys};
use crate::identity::inventory::{Kind, inventory};
use crate::ledger::msp::Msp;
use crate::member::{definition, public_msp};
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Export identities as files: a crypto-config folder, one identity, or the public part as JSON
///
/// Writes files for --crypto-config and --identity. Private keys are only exported with
/// --with-keys. Files and folders are private to you (0600, 0700). Existing files with other
/// content are only replaced with --overwrite.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric identity export org1 --to crypto-config        the certificates, as files
  kubectl fabric identity export org1 admin --with-keys --to admin    for channel list --identity
  kubectl fabric identity export org1 --public --to org1.json   for the other members of a channel
  kubectl fabric identity export org1 --to - | tar t            an archive on standard output")]
pub struct Arguments {
    /// Name of the organization's release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Owner of the identities: a node, admin, ca, tlsca, or a user [default: the whole
    /// organization]
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: Option<String>,

    /// Folder to write to, or a file with --public; - writes a tar archive to standard output
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::AnyPath)]
    pub to: PathBuf,

    /// Export the public part of the organization, in the format of `configtxgen -printOrg`
    #[arg(long, conflicts_with_all = ["name", "with_keys"])]
    pub public: bool,

    /// Export private keys, too
    #[arg(long)]
    pub with_keys: bool,

    /// Replace existing files with other content
    #[arg(long)]
    pub overwrite: bool,
}

/// The input, before anything is written.
struct Exported {
    files: Files,
    /// Authorities whose private keys are among the files.
    authorities: Vec<String>,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let end = Error::interrupted("interrupted").now("nothing was written");
    let exported = edge.change(end, async |cluster| {
        let exported = read(&arguments, edge, cluster).await?;
        // A signal is handled after the files are written, so that no file is incomplete.
        if arguments.to != Path::new("-") {
            write(&arguments, &exported.files)?;
        }
        Ok(exported)
    })?;
    if arguments.to == Path::new("-") {
        match exported.files.values().next() {
            Some(json) if arguments.public => {
                edge.terminal.print_plain(&String::from_utf8_lossy(json))?;
            }
            _ => edge.terminal.print_archive(&exported.files)?,
        }
    } else {
        tell(&arguments, edge, &exported.files)?;
    }
    if !exported.authorities.is_empty() {
        edge.terminal.warn(&format!(
            "the files contain the private keys of {}: anyone who has them can issue identities of the organization",
            exported.authorities.join(" and ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(
    arguments: &Arguments,
    edge: &Edge,
    cluster: &crate::cluster::Cluster,
) -> Result<Exported> {
    let installed = installed(edge, cluster, &arguments.release).await?;
    if arguments.public {
        let contact = &installed.contact;
        let msp = public_msp(cluster, contact).await?;
        let json = definition(contact, &Msp::from_files(&contact.msp_id, &msp)?);
        json.msp.check()?;
        let name = format!("{}.json", contact.msp_id);
        return Ok(Exported {
            files: Files::from([(name, json.print()?.into_bytes())]),
            authorities: Vec::new(),
        });
    }
    let keys = match arguments.with_keys {
        true => Keys::With,
        false => Keys::Without,
    };
    let organization = &installed.organization;
    let (secrets, files) = match &arguments.name {
        None => {
            let secrets = installed.secrets(cluster).await?;
            let files = export::tree(organization, &secrets, keys);
            (secrets, files)
        }
        Some(name) => {
            let secrets = secrets_of(cluster, &installed, name).await?;
            let files = export::owner(organization, &secrets, name, keys);
            (secrets, files)
        }
    };
    let files = files.map_err(|error| error.now("nothing was written"))?;
    let is_among = |name: &str| arguments.name.as_deref().is_none_or(|only| only == name);
    let authorities = inventory(organization, &secrets).into_iter().filter(|it| {
        let has_key = it.content.as_ref().is_ok_and(|found| found.has_key);
        keys == Keys::With && it.kind == Kind::Authority && has_key && is_among(&it.name)
    });
    Ok(Exported {
        authorities: authorities
            .map(|it| format!("{}.{}", it.name, organization.domain))
            .collect(),
        files,
    })
}

fn write(arguments: &Arguments, files: &Files) -> Result<()> {
    let to = &arguments.to;
    if !arguments.public || to.is_dir() {
        return load::write_identities(files, to, arguments.overwrite);
    }
    let name = to.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        Error::user(format!("\"{}\" is not a file name", to.display())).now("nothing was written")
    })?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let renamed = files.values().map(|json| (name.to_owned(), json.clone()));
    load::write_identities(
        &renamed.collect(),
        folder.unwrap_or(Path::new(".")),
        arguments.overwrite,
    )
}

fn tell(arguments: &Arguments, edge: &Edge, files: &Files) -> Result<()> {
    let (release, to) = (&arguments.release, arguments.to.display());
    if arguments.public {
        edge.terminal
            .print(format!("exported the public part of {release} to {to}\n"))?;
        return Ok(());
    }
    let keys = match arguments.with_keys {
        true => "with private keys",
        false => "without private keys",
    };
    let many = match files.len() {
        1 => "1 file".to_owned(),
        many => format!("{many} files"),
    };
    edge.terminal
        .print(format!("exported {many} of {release} to {to}, {keys}\n"))?;
    match (&arguments.name, arguments.with_keys) {
        (_, false) => {}
        (None, true) => edge.terminal.note(&format!(
            "next: `kubectl fabric install {release} --crypto-config {to}` installs the same identities elsewhere"
        )),
        (Some(_), true) => edge.terminal.note(&format!(
            "next: sign with it, for example `kubectl fabric channel list {release} --identity {to}`"
        )),
    }
    Ok(())
}
