//! `channel create`.

use super::{contacts, document, interrupted, members, steps};
use crate::channel::{self, Consortium, Create, Settings};
use crate::commands::arguments::{OutputArguments, SigningArguments, duration};
use crate::commands::{Edge, complete};
use crate::error::{Error, Result};
use crate::fabric::Bootstrap;
use crate::fabric::contact::Contact;
use crate::ledger::genesis::check_name;
use crate::member::Participant;
use clap::Args;
use clap_complete::ArgValueCompleter;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// The heading of the flags for the channel's configuration.
const CONFIGURATION: &str = "Configuration";

/// Create a channel and join its orderers and peers
///
/// Builds the genesis block from the installed organizations, joins every orderer through its admin
/// port, waits for a leader, and joins every peer. Orderers with a system channel (Kafka, and Fabric
/// before 2.3) make the block: the organizations send them the transaction that creates the channel.
/// The command is idempotent: run it again to complete a channel.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric channel create mychannel --orderers orgorderer1 --organizations org1,org2
  kubectl fabric channel create private --orderers orgorderer1 --organizations org1 --join=false")]
pub struct Arguments {
    /// Name of the channel
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// Organizations whose orderers serve the channel, by release
    #[arg(long, value_name = "ORG,...", required = true, value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub orderers: Vec<String>,

    /// Organizations whose peers join the channel, by release
    #[arg(long, value_name = "ORG,...", required = true, value_delimiter = ',', add = ArgValueCompleter::new(complete::releases))]
    pub organizations: Vec<String>,

    /// Join the peers of the organizations; with --join=false, only the orderers join
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub join: bool,

    /// Consortium of the orderers' system channel that creates the channel (Kafka, and Fabric
    /// before 2.3) [default: SampleConsortium]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::nothing), help_heading = CONFIGURATION)]
    pub consortium: Option<String>,

    /// Anchor peer, as org1/peer0; may be repeated [default: the first peer of each organization]
    #[arg(long, value_name = "ORG/PEER", help_heading = CONFIGURATION, value_parser = pair('/'))]
    pub anchor: Vec<(String, String)>,

    /// Batch timeout: maximum time until a block is cut [default: 2s]
    #[arg(long, value_name = "DURATION", help_heading = CONFIGURATION, value_parser = duration::parse)]
    pub batch_timeout: Option<Duration>,

    /// Maximum number of transactions in a block [default: 500]
    #[arg(long, value_name = "N", help_heading = CONFIGURATION)]
    pub max_message_count: Option<u32>,

    /// Maximum size of a block, such as 10Mi [default: 10Mi]
    #[arg(long, value_name = "SIZE", help_heading = CONFIGURATION, value_parser = size)]
    pub absolute_max_bytes: Option<u32>,

    /// Preferred size of a block, such as 2Mi [default: 2Mi]
    #[arg(long, value_name = "SIZE", help_heading = CONFIGURATION, value_parser = size)]
    pub preferred_max_bytes: Option<u32>,

    /// Capability level of a group (channel, orderer or application), as application=V2_0 [default:
    /// the highest that all nodes support]
    #[arg(long, value_name = "GROUP=LEVEL", help_heading = CONFIGURATION, value_parser = pair('='))]
    pub capability: Vec<(String, String)>,

    /// Policy by its path, as "Application/Endorsement=ALL Endorsement" [default: Fabric's]
    ///
    /// The rule is ANY, ALL or MAJORITY of a policy of the groups below, or a signature policy such
    /// as "OR('Org1MSP.admin')".
    #[arg(long, value_name = "PATH=RULE", help_heading = CONFIGURATION, value_parser = pair('='))]
    pub policy: Vec<(String, String)>,

    /// Maximum time to wait until the orderers have a leader
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub timeout: Duration,

    #[command(flatten)]
    pub signing: SigningArguments,

    #[command(flatten)]
    pub output: OutputArguments,
}

/// Parses two parts with a separator.
pub fn pair(
    separator: char,
) -> impl Fn(&str) -> Result<(String, String), String> + Clone + Send + Sync {
    move |text| match text.split_once(separator) {
        Some((one, other)) if !one.is_empty() && !other.is_empty() => {
            Ok((one.to_owned(), other.to_owned()))
        }
        _ => Err(format!("expected two parts separated by \"{separator}\"")),
    }
}

/// Reads a size: `10Mi`, `512Ki`, `1000000`.
pub fn size(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "expected a size below 4Gi, such as 10Mi, 512Ki or 1000000";
    let bytes = crate::manifest::quantity::bytes(text).ok_or(EXPECTED)?;
    match bytes >= 1.0 && bytes.fract() == 0.0 && bytes <= f64::from(u32::MAX) {
        true => Ok(bytes as u32),
        false => Err(EXPECTED.to_owned()),
    }
}

impl Arguments {
    fn settings(&self) -> Result<Settings> {
        let mut anchors: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (release, peer) in &self.anchor {
            anchors
                .entry(release.clone())
                .or_default()
                .push(peer.clone());
        }
        for (group, _) in &self.capability {
            if !["channel", "orderer", "application"].contains(&group.as_str()) {
                return Err(
                    Error::user(format!("--capability: unknown group \"{group}\""))
                        .why("the groups are channel, orderer and application"),
                );
            }
        }
        Ok(Settings {
            batch_timeout: self.batch_timeout,
            max_message_count: self.max_message_count,
            absolute_max_bytes: self.absolute_max_bytes,
            preferred_max_bytes: self.preferred_max_bytes,
            anchors,
            capabilities: self.capability.iter().cloned().collect(),
            policies: self.policy.iter().cloned().collect(),
            ..Settings::default()
        })
    }
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let name = &arguments.name;
    check_name(name)?;
    let settings = arguments.settings()?;
    let signers = arguments.signing.load()?;
    // Sorted, so that the order of the organizations does not matter.
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let (orderers, organizations) = (
        sorted(&arguments.orderers),
        sorted(&arguments.organizations),
    );
    let outcome = edge.change(interrupted(), async |cluster| {
        let (orderers, organizations) = futures::try_join!(
            contacts(edge, cluster, &orderers),
            contacts(edge, cluster, &organizations)
        )?;
        let public = async |of: &[Contact]| {
            try_join_all(of.iter().map(|it| Participant::load(cluster, it.clone()))).await
        };
        let genesis = |it: &Contact| {
            it.ordering
                .is_some_and(|it| it.bootstrap == Bootstrap::Genesis)
        };
        let has_system = arguments.consortium.is_some() || orderers.iter().any(genesis);
        let joining = match arguments.join || has_system {
            true => organizations.clone(),
            false => Vec::new(),
        };
        let (orderers, organizations, ordering, joining) = futures::try_join!(
            public(&orderers),
            public(&organizations),
            members(edge, cluster, orderers.clone(), &signers),
            members(edge, cluster, joining, &signers)
        )?;
        let consortium = arguments.consortium.as_deref();
        let consortium = has_system.then(|| Consortium {
            name: consortium.unwrap_or("SampleConsortium"),
            members: &joining,
        });
        channel::create(&Create {
            name,
            orderers: &orderers,
            ordering: &ordering,
            organizations: &organizations,
            joining: if arguments.join { &joining } else { &[] },
            settings: &settings,
            consortium,
            timeout: arguments.timeout,
        })
        .await
    })?;
    let failed = outcome.error(&format!("channel \"{name}\" is not complete"));
    match arguments.output.output {
        format if format.is_table() => {
            let head = match (&failed, outcome.changed()) {
                (Some(_), _) => String::new(),
                (None, true) => format!("Channel \"{name}\" has been created.\n"),
                (None, false) => format!("Channel \"{name}\" is unchanged.\n"),
            };
            edge.terminal.print(head)?;
            edge.terminal.print(steps(&outcome))?;
        }
        format => edge
            .terminal
            .print_named(format, &document(name, &outcome))?,
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_bytes_that_fabric_can_hold() {
        assert_eq!((size("10Mi"), size("1000")), (Ok(10 << 20), Ok(1000)));
        for wrong in ["", "0", "-1", "1.5", "4Gi", "10 MB", "x"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_have_two_words() {
        let org = pair('/');
        assert_eq!(
            org("org1/peer0"),
            Ok(("org1".to_owned(), "peer0".to_owned()))
        );
        for wrong in ["org1", "/peer0", "org1/"] {
            assert!(org(wrong).is_err(), "{wrong}");
        }
    }
}
