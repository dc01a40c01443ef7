//! Arguments that the chaincode verbs share: a chaincode with the release of its server, and the
//! definition from flags.

use crate::chaincode::{self, Definition, View, collections, endorsement_policy};
use crate::commands::{complete, load};
use crate::error::Result;
use crate::member::Member;
use crate::release::ReleaseName;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;

/// The heading of the flags for the definition.
const DEFINITION: &str = "Definition";

/// A chaincode, and the release of its server.
#[derive(Args, Clone, Debug)]
pub struct ServerArguments {
    /// Name of the chaincode
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::chaincodes))]
    pub name: String,

    /// Release of the server [default: the name of the chaincode, in lower case]
    #[arg(long, value_name = "RELEASE", add = ArgValueCompleter::new(complete::chaincodes))]
    pub release: Option<String>,
}

impl ServerArguments {
    /// The release of the server in each organization's namespace.
    pub fn release(&self) -> Result<ReleaseName> {
        match &self.release {
            Some(name) => ReleaseName::parse(name),
            None => ReleaseName::parse(&self.name.to_lowercase().replace('_', "-"))
                .map_err(|error| error.hint("set the release of the server with --release NAME")),
        }
    }
}

/// The definition to approve and commit.
#[derive(Args, Clone, Debug)]
pub struct DefinitionArguments {
    /// Version of the definition [default: 1.0]
    #[arg(long = "version", value_name = "VERSION", help_heading = DEFINITION)]
    pub version: Option<String>,

    /// Endorsement policy: an expression such as "OR('Org1MSP.peer','Org2MSP.peer')", or the path
    /// of a channel policy [default: /Channel/Application/Endorsement]
    #[arg(long, value_name = "POLICY", help_heading = DEFINITION)]
    pub policy: Option<String>,

    /// File with the private data collections, in the JSON format of Fabric's samples
    #[arg(long, value_name = "FILE", help_heading = DEFINITION, value_hint = ValueHint::FilePath)]
    pub collections: Option<PathBuf>,

    /// Require that Init is called first
    #[arg(long, value_name = "BOOL", help_heading = DEFINITION, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub init_required: Option<bool>,
}

/// The flags, with the content of the collections file.
pub struct Described<'a> {
    arguments: &'a DefinitionArguments,
    collections: Option<String>,
}

impl DefinitionArguments {
    /// Reads the file of collections.
    pub fn load(&self) -> Result<Described<'_>> {
        let collections = match &self.collections {
            Some(path) => Some(load::text(path, "file of collections")?),
            None => None,
        };
        Ok(Described {
            arguments: self,
            collections,
        })
    }
}

impl Described<'_> {
    /// Returns the settings of the flags, merged over the committed definition.
    pub async fn definition(&self, member: &Member, view: &View, name: &str) -> Result<Definition> {
        let committed = chaincode::committed(member, &view.name, name).await?;
        self.over(committed.map(|it| it.definition), view)
    }

    fn over(&self, committed: Option<Definition>, view: &View) -> Result<Definition> {
        let arguments = self.arguments;
        let mut definition = committed.unwrap_or_default();
        if let Some(version) = &arguments.version {
            definition.version.clone_from(version);
        }
        if let Some(policy) = &arguments.policy {
            definition.policy = endorsement_policy(policy, view)?;
        }
        if let (Some(text), Some(path)) = (&self.collections, &arguments.collections) {
            definition.collections = collections(text, &path.display().to_string(), view)?;
        }
        if let Some(init_required) = arguments.init_required {
            definition.init_required = init_required;
        }
        Ok(definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_the_name_of_the_chaincode_as_kubernetes_takes_it() {
        for (name, release, expected) in [
            ("basic", None, Ok("basic")),
            ("My_Basic", None, Ok("my-basic")),
            ("My_Basic", Some("mine"), Ok("mine")),
            ("basic", Some("My_Basic"), Err(())),
        ] {
            let arguments = ServerArguments {
                name: name.to_owned(),
                release: release.map(str::to_owned),
            };
            let made = arguments.release();
            let made = made.as_ref().map(ReleaseName::as_str).map_err(|_| ());
            assert_eq!(made, expected, "{name} {release:?}");
        }
    }
}
