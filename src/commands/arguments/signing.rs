//! `--identity`: the identity that signs for an organization.

use crate::commands::load;
use crate::error::{Error, Result};
use crate::member::{Folder, Signing};
use clap::{Args, ValueHint};
use std::collections::BTreeMap;
use std::path::Path;

/// The heading of the flags for signing.
const IDENTITY: &str = "Identity";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = IDENTITY)]
pub struct SigningArguments {
    /// Folder with the identity that signs for an organization [default: the administrator from its
    /// Secrets]
    ///
    /// A user folder of cryptogen (users/Admin@org1, with msp and tls in it), or an MSP folder. For
    /// several organizations, repeat the flag as org1=FOLDER. Keys stay on this machine.
    #[arg(long, value_name = "[ORG=]FOLDER", value_hint = ValueHint::DirPath)]
    pub identity: Vec<String>,
}

/// The identities from the command line.
pub struct Signers {
    all: Option<Folder>,
    named: BTreeMap<String, Folder>,
}

impl SigningArguments {
    /// Reads the folders.
    pub fn load(&self) -> Result<Signers> {
        let mut signers = Signers {
            all: None,
            named: BTreeMap::new(),
        };
        for argument in &self.identity {
            // A path may have "=" in it, too; an organization has no "/".
            let named = argument
                .split_once('=')
                .filter(|(name, _)| !name.contains('/'));
            let (name, path) =
                named.map_or((None, argument.as_str()), |(name, path)| (Some(name), path));
            let folder = load::identity(Path::new(path))?;
            let before = match name {
                Some(name) => signers.named.insert(name.to_owned(), folder),
                None => signers.all.replace(folder),
            };
            if before.is_some() {
                let whom = name.map_or_else(String::new, |name| format!(" for \"{name}\""));
                return Err(Error::user(format!("--identity is given twice{whom}"))
                    .hint("name the organization of each folder: --identity org1=FOLDER"));
            }
        }
        Ok(signers)
    }
}

impl Signers {
    /// Returns the identity folder for signing without an installed organization.
    ///
    /// # Errors
    ///
    /// Fails for a folder that was given for a release.
    pub fn folder(&self) -> Result<Option<Folder>> {
        match self.named.keys().next() {
            None => Ok(self.all.clone()),
            Some(release) => Err(Error::user(format!(
                "--identity is given for release \"{release}\", which is not part of the command"
            ))
            .hint("add the release as an argument, or write --identity FOLDER")),
        }
    }

    /// The identity that signs for this release.
    pub fn of(&self, release: &str) -> Signing {
        match self.named.get(release).or(self.all.as_ref()) {
            Some(folder) => Signing::Folder(folder.clone()),
            None => Signing::Secret,
        }
    }
}
