//! A proposal file: an update of a channel's configuration that organizations exchange and sign one
//! after another. Pure.
//!
//! Any of them can write the file, so no text in it is shown: the explanation is computed from the
//! signed bytes, and each signature is verified when the file is read. The file also contains the
//! configuration that the update is based on, for explanations such as `2s → 5s` and for the
//! policies. The signatures do not cover it. Therefore [`ProposalFile::explain`] refuses an update
//! that a forged configuration could hide, and lists the new content of changed groups.
//! [`super::live`] compares the file with the channel if a node can be called.

use crate::error::{Error, Place, Result};
use crate::ledger::block::Checked;
use crate::ledger::config_tree::Configuration;
use crate::ledger::describe::describe;
use crate::ledger::envelope::{Stamp, config_signature, config_signer};
use crate::ledger::message::common::ConfigSignature;
use crate::ledger::message::configuration::ConfigUpdate;
use crate::ledger::message::decode;
use crate::ledger::policy::Verdict;
use crate::ledger::sign::{Creator, Identity};
use crate::ledger::update;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::{Deserialize, Serialize};

const API_VERSION: &str = "kubectl-fabric.io/v1";
const KIND: &str = "ChannelUpdate";

/// The format of the file, described in docs/concepts/proposal-files.md.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    channel: String,
    /// `common.ConfigUpdate`
    update: String,
    signatures: Vec<Signature>,
    /// `common.Block`
    base: String,
}

/// `common.ConfigSignature`
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Signature {
    header: String,
    signature: String,
}

/// The fields of a document that are read first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heading {
    api_version: Option<String>,
    kind: Option<String>,
}

/// An update with the signatures so far, all verified.
#[derive(Clone, Debug)]
pub struct ProposalFile {
    pub channel: String,
    /// The configuration block that the update is based on.
    pub base: Checked,
    /// The content of that block.
    pub configuration: Configuration,
    /// The encoded `ConfigUpdate`: the signed bytes.
    pub encoded: Vec<u8>,
    pub update: ConfigUpdate,
    pub signatures: Vec<ConfigSignature>,
}

/// The effect of an update, and the signatures that it needs.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// One line each.
    pub changes: Vec<String>,
    /// The new content of changed groups, one line each.
    pub contents: Vec<String>,
    pub signers: Vec<Creator>,
    /// The policies that the update must satisfy.
    pub policies: Vec<Verdict>,
}

impl Explanation {
    pub fn is_satisfied(&self) -> bool {
        self.policies.iter().all(|it| it.is_satisfied)
    }
}

impl ProposalFile {
    /// Creates a proposal without signatures.
    pub fn new(channel: &str, base: Checked, update: ConfigUpdate) -> Result<ProposalFile> {
        let (_, configuration) = Configuration::from_block(&base.clone().into_block())?;
        Ok(ProposalFile {
            channel: channel.to_owned(),
            base,
            configuration,
            encoded: update.encode_to_vec(),
            update,
            signatures: Vec::new(),
        })
    }

    /// Reads and verifies a file. `file` names it in errors.
    ///
    /// # Errors
    ///
    /// Fails for a file of another kind, a damaged file, parts of different channels, and a file
    /// that was changed after it was signed.
    pub fn read(text: &str, file: &str) -> Result<ProposalFile> {
        let document = document(text, file)?;
        let bytes = |field: &str, text: &str| {
            STANDARD.decode(text).map_err(|error| {
                damaged(file).at(Place::new(file).note(format!("{field}: not base64: {error}")))
            })
        };
        let read = |error: Error| error.context(format!("\"{file}\" cannot be used"));
        let base = bytes("base", &document.base)?;
        let base = Checked::from_bytes(&base, "the configuration block in it").map_err(read)?;
        let (of_base, configuration) =
            Configuration::from_block(&base.clone().into_block()).map_err(read)?;
        let encoded = bytes("update", &document.update)?;
        let update: ConfigUpdate = decode(&encoded, "the update in it").map_err(read)?;
        for (part, of) in [("update", &update.channel_id), ("base", &of_base)] {
            if *of != document.channel {
                return Err(damaged(file)
                    .at(Place::new(file).note(format!("{part}: it is for channel {of:?}")))
                    .why(format!("the file is for channel {:?}", document.channel)));
            }
        }
        let mut signatures = Vec::new();
        for Signature { header, signature } in &document.signatures {
            signatures.push(ConfigSignature {
                signature_header: bytes("signatures", header)?,
                signature: bytes("signatures", signature)?,
            });
        }
        let file_read = ProposalFile {
            channel: document.channel,
            base,
            configuration,
            encoded,
            update,
            signatures,
        };
        file_read.signers().map_err(|error| {
            error
                .context(format!("\"{file}\" was changed after it was signed"))
                .now("nothing was signed or sent")
                .hint("get the file again from the organization that sent it")
        })?;
        update::apply(&file_read.configuration, &file_read.update)
            .map_err(|error| error.context(format!("\"{file}\" is damaged")))?;
        Ok(file_read)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let signature = |it: &ConfigSignature| Signature {
            header: STANDARD.encode(&it.signature_header),
            signature: STANDARD.encode(&it.signature),
        };
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            channel: self.channel.clone(),
            update: STANDARD.encode(&self.encoded),
            signatures: self.signatures.iter().map(signature).collect(),
            base: STANDARD.encode(self.base.clone().into_block().encode_to_vec()),
        };
        let text = serde_json::to_string_pretty(&document).expect("texts and lists become JSON");
        format!("{text}\n")
    }

    /// Returns the signers.
    ///
    /// # Errors
    ///
    /// Fails for a signature of another update.
    pub fn signers(&self) -> Result<Vec<Creator>> {
        let all = self.signatures.iter();
        all.map(|it| config_signer(&self.encoded, it)).collect()
    }

    /// Adds a signature. Returns false if this identity has already signed.
    pub fn sign(&mut self, identity: &Identity, stamp: &Stamp) -> Result<bool> {
        let certificate = identity.certificate();
        let has_signed = |it: &Creator| {
            it.msp_id == identity.msp_id() && it.certificate.der() == certificate.der()
        };
        if self.signers()?.iter().any(has_signed) {
            return Ok(false);
        }
        let signature = config_signature(&self.encoded, identity, stamp)?;
        self.signatures.push(signature);
        Ok(true)
    }

    /// Adds the signatures of another copy of the same proposal, one per signer.
    ///
    /// # Errors
    ///
    /// Fails for a file with another update.
    pub fn unite(&mut self, other: &ProposalFile, file: &str) -> Result<()> {
        if self.encoded != other.encoded {
            return Err(Error::user(format!(
                "\"{file}\" does not contain the same proposal as the first file"
            ))
            .why("a signature is only valid for one update")
            .now("nothing was sent"));
        }
        let mut signers = self.signers()?;
        for (signature, signer) in other.signatures.iter().zip(other.signers()?) {
            if !signers.contains(&signer) {
                self.signatures.push(signature.clone());
                signers.push(signer);
            }
        }
        Ok(())
    }

    /// Explains the update for a channel with this configuration.
    ///
    /// # Errors
    ///
    /// Fails for an update that does not match the configuration, or that repeats parts of it.
    pub fn explain(&self, current: &Configuration) -> Result<Explanation> {
        let next = update::apply(current, &self.update)?;
        let repeats = update::repeats(&current.channel, &self.update);
        if !repeats.is_empty() {
            let places = repeats.into_iter().map(|path| {
                Place::new(path).note("the update writes something that already exists")
            });
            return Err(Error::refused(format!(
                "the update was not computed from this configuration of channel \"{}\"",
                self.channel
            ))
            .at_all(places)
            .why("a file whose configuration already contains a change would hide the change")
            .now("nothing was signed or sent")
            .hint("ask for a new proposal: `kubectl fabric channel update ... --propose FILE`"));
        }
        let mut changes = describe(&current.channel, &next.channel)?;
        let isolated = self.update.isolated_data.len();
        if isolated > 0 {
            changes.push(format!(
                "{isolated} entries of data outside the configuration"
            ));
        }
        let signers = self.signers()?;
        Ok(Explanation {
            policies: update::needed(&current.channel, &self.update, &signers)?,
            contents: update::contents(&self.update),
            changes,
            signers,
        })
    }
}

fn damaged(file: &str) -> Error {
    Error::user(format!("\"{file}\" is damaged or was changed"))
        .now("nothing was signed or sent")
        .hint("get the file again from the organization that sent it")
}

fn document(text: &str, file: &str) -> Result<Document> {
    let other = |why: String| {
        Error::user(format!("\"{file}\" is not a proposal file"))
            .why(why)
            .now("nothing was signed or sent")
            .hint("create one with `kubectl fabric channel update NAME ... --propose FILE`")
    };
    let at = |error: &serde_json::Error| Place::new(file).at(error.line(), error.column());
    let heading: Heading = serde_json::from_str(text)
        .map_err(|error| other(format!("it is not JSON: {error}")).at(at(&error)))?;
    match (heading.api_version.as_deref(), heading.kind.as_deref()) {
        (Some(API_VERSION), Some(KIND)) => {}
        (Some(version), Some(KIND)) => {
            return Err(other(format!(
                "its apiVersion is {version:?}, but this program supports {API_VERSION:?}"
            ))
            .hint("use a newer version of the plugin"));
        }
        (_, kind) => {
            let kind = kind.map_or("missing".to_owned(), |kind| format!("{kind:?}"));
            return Err(other(format!("its kind is {kind}; expected {KIND:?}")));
        }
    }
    serde_json::from_str(text).map_err(|error| damaged(file).why(error.to_string()).at(at(&error)))
}

#[cfg(test)]
mod tests;
