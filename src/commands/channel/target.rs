//! The channel of a command, the organizations that it calls, and their administrators.

use super::readers;
use crate::cluster::Cluster;
use crate::commands::arguments::{Signers, SigningArguments};
use crate::commands::{Edge, complete};
use crate::error::Result;
use crate::ledger::genesis::check_name;
use crate::member::Member;
use clap::Args;
use clap_complete::ArgValueCompleter;

#[derive(Args, Debug)]
pub struct ChannelArguments {
    /// Name of the channel
    #[arg(index = 1, value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Organization to query, by release; may be repeated [default: all that are installed]
    #[arg(long, value_name = "ORG", add = ArgValueCompleter::new(complete::releases))]
    pub org: Vec<String>,

    #[command(flatten)]
    pub signing: SigningArguments,
}

impl ChannelArguments {
    /// Checks the name, and reads the folders of identities.
    pub fn load(&self) -> Result<Signers> {
        check_name(&self.name)?;
        self.signing.load()
    }

    /// The organizations, each with its administrator.
    pub async fn members(
        &self,
        edge: &Edge,
        cluster: &Cluster,
        signers: &Signers,
    ) -> Result<Vec<Member>> {
        readers(edge, cluster, &self.org, signers).await
    }
}
