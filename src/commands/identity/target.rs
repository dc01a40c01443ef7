//! The destination of an enrolled identity: a folder, or Secrets.

use crate::cluster::{Apply, Cluster, Expects};
use crate::commands::arguments::OPERATION;
use crate::commands::load;
use crate::error::{Error, Result};
use crate::identity::inventory::Kind;
use crate::identity::{LABEL, enrolled, export};
use crate::manifest::Object;
use crate::member::Installed;
use clap::{Args, ValueHint};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct TargetArguments {
    /// Folder to write to
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, required_unless_present = "to_secret")]
    pub to: Option<PathBuf>,

    /// Write to Secrets NAME-msp and NAME-tls in the organization's namespace
    #[arg(long, conflicts_with = "to")]
    pub to_secret: bool,

    /// Replace an existing identity
    #[arg(long, help_heading = OPERATION)]
    pub overwrite: bool,
}

/// The Secrets of the organization that were read.
pub type Secrets = BTreeMap<String, Value>;

impl TargetArguments {
    /// Refuses a name that cannot be part of a path, or of the name of a Secret.
    pub fn check_name(&self, name: &str) -> Result<()> {
        let is_label =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let of_secret = !name.starts_with('-') && name.bytes().all(is_label) && name.len() <= 58;
        let of_file = !name.starts_with('.') && !name.contains(['/', '\\', ':']);
        let is_text = !name.is_empty() && !name.contains(char::is_control);
        let why = match self.to_secret {
            true if !of_secret || !is_text => {
                "the name of a Secret consists of lower-case letters, digits and dashes"
            }
            false if !of_file || !is_text => "it cannot be part of a file name",
            _ => return Ok(()),
        };
        Err(Error::user(format!("\"{name}\" is not a valid user name")).why(why))
    }

    /// The folder of the identity below `--to`.
    fn folder(&self, kind: Kind) -> Option<PathBuf> {
        let below = match kind {
            Kind::Tls => "tls",
            Kind::Msp | Kind::Authority => "msp",
        };
        Some(self.to.as_ref()?.join(below))
    }

    /// Refuses a destination that is not writable. Called before anything is sent to a CA.
    pub fn check(
        &self,
        name: &str,
        kind: Kind,
        renew: bool,
        installed: &Installed,
        secrets: &Secrets,
    ) -> Result<()> {
        let organization = &installed.organization;
        if let Some(folder) = self.folder(kind) {
            let shown = folder.display();
            let signs = format!("{name}-cert.pem");
            if load::others_in(&folder.join("signcerts"), &signs)
                || load::others_in(&folder.join("keystore"), export::KEY)
            {
                let what = format!("\"{shown}\" contains the files of another identity");
                return Err(Error::refused(what).hint("use another folder"));
            }
            let own = ["client.key", "client.crt", "keystore", "signcerts"];
            let is_there = own.iter().any(|file| folder.join(file).exists());
            return match is_there && !self.overwrite {
                false => Ok(()),
                true => Err(
                    Error::refused(format!("\"{shown}\" already contains an identity"))
                        .hint("use another folder, or replace the identity with --overwrite"),
                ),
            };
        }
        enrolled::check_user(organization, name)?;
        let [msp, tls] = enrolled::secret_names(name);
        let own = if kind == Kind::Tls { tls } else { msp };
        let Some(there) = secrets.get(&own) else {
            return Ok(());
        };
        let place = format!("Secret {}/{own}", organization.namespace);
        if there["metadata"]["labels"][LABEL].as_str() != Some(&organization.release) {
            let what = format!("{place} is not an identity of \"{}\"", organization.release);
            return Err(Error::refused(what)
                .hint("enroll under another name, or write a folder: --to FOLDER"));
        }
        match self.overwrite || renew {
            true => Ok(()),
            false => Err(Error::refused(format!("{place} exists"))
                .hint("renew the identity with --renew, or replace it with --overwrite")),
        }
    }

    /// Writes the identity to a user's Secret, and returns its place.
    pub async fn write(
        &self,
        name: &str,
        kind: Kind,
        cluster: &Cluster,
        installed: &Installed,
        mut made: Object,
        secrets: &Secrets,
    ) -> Result<String> {
        if let Some(folder) = self.folder(kind) {
            let files = export::of_user(&installed.organization, name, &made.body, kind);
            load::write_identities(&files, &folder, self.overwrite)?;
            return Ok(format!("{}, with the private key", folder.display()));
        }
        let key = made.key.to_string();
        let there = secrets.get(&made.key.name);
        // The Secret that was read, or none.
        if let Some(uid) = there.and_then(|secret| secret["metadata"]["uid"].as_str()) {
            made.body["metadata"]["uid"] = uid.into();
        }
        let how = Apply {
            expects: match there {
                None => Expects::Absent,
                Some(_) => Expects::Anything,
            },
            ..Apply::default()
        };
        let applied = cluster.apply(&made.body, how).await;
        applied.map_err(|error| Error::from(error).context(format!("{key} cannot be written")))?;
        Ok(key)
    }
}
