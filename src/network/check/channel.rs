//! Checks the channels of a network file.

use super::{Known, members, msp_ids};
use crate::fabric::BFT;
use crate::network::capability::Group;
use crate::network::document::{self, Document, Named};
use crate::network::file::{Channel, Network};
use crate::network::member::{Consensus, Member, Role};
use crate::network::policy;
use crate::network::problem::Problems;
use crate::values::path;
use serde_json::Value;

/// One channel and its members.
pub fn channel(
    channel: &Channel,
    network: &Network,
    document: &Document,
    known: &Known,
    problems: &mut Problems,
) {
    let pointer = path::key_below("/channels", &channel.name);
    let written = &document.channels[&channel.name];
    name(&channel.name, &pointer, problems);
    for (key, role, named) in [
        (
            "orderers",
            Role::Orderers,
            channel.orderers.keys().collect::<Vec<_>>(),
        ),
        (
            "organizations",
            Role::Peers,
            channel.organizations.keys().collect(),
        ),
    ] {
        let at = format!("{pointer}/{key}");
        if named.is_empty() && !problems.concerns(&at) {
            problems.add(&at, "a channel needs at least one");
        }
        for release in named {
            member(
                release,
                role,
                &path::key_below(&at, release),
                network,
                known,
                problems,
            );
        }
    }
    chosen(channel, network, &pointer, problems);
    consensus(channel, network, &pointer, problems);
    options(channel, network, written, &pointer, problems);
    blocks(channel, &pointer, problems);
    capabilities(channel, network, &pointer, problems);
    policies(channel, network, &pointer, problems);
    system(channel, network, written, &pointer, problems);
}

/// Nodes that the file chooses.
fn chosen(channel: &Channel, network: &Network, pointer: &str, problems: &mut Problems) {
    for (release, it) in &channel.orderers {
        let at = path::key_below(&format!("{pointer}/orderers"), release);
        nodes(
            &it.consenters,
            release,
            &format!("{at}/consenters"),
            network,
            problems,
        );
    }
    for (release, it) in &channel.organizations {
        let at = path::key_below(&format!("{pointer}/organizations"), release);
        nodes(
            &it.peers,
            release,
            &format!("{at}/peers"),
            network,
            problems,
        );
        nodes(
            &it.anchors,
            release,
            &format!("{at}/anchors"),
            network,
            problems,
        );
        if let Some(anchor) = it.anchors.iter().find(|anchor| !it.peers.contains(anchor)) {
            problems.add(
                &format!("{at}/anchors"),
                format!("anchor peer \"{anchor}\" is not among the peers that join the channel"),
            );
        }
    }
}

/// The system channel through which the channel is created, if its orderers have one.
fn system(
    channel: &Channel,
    network: &Network,
    written: &document::Channel,
    pointer: &str,
    problems: &mut Problems,
) {
    let at = format!("{pointer}/systemChannel");
    let Some(system) = &channel.system else {
        let mut orderers = channel.orderers.keys();
        let all_known = orderers.all(|name| network.organizations.contains_key(name));
        for (key, is_set) in [
            ("systemChannel", written.system_channel.is_some()),
            ("consortium", written.consortium.is_some()),
        ] {
            if is_set && all_known {
                problems.add(
                    &format!("{pointer}/{key}"),
                    "its orderers have no system channel",
                );
            }
        }
        return;
    };
    name(&system.name, &at, problems);
    if system.name == channel.name {
        problems.add(
            &at,
            "the system channel needs another name than this channel",
        );
    }
    for other in network.channels.values() {
        let mut orderers = other.orderers.keys();
        let shares = orderers.any(|name| channel.orderers.contains_key(name));
        if shares && other.system.as_ref().is_some_and(|other| other != system) {
            let what = format!(
                "channel \"{}\" has the same orderers, but another system channel or consortium",
                other.name
            );
            problems.add(&at, what);
        }
    }
}

/// Fabric's rule for channel names, the same from 1.4 to 3.1: names that both Kafka and CouchDB
/// accept (`common/configtx/validator.go`, `ValidateChannelID`).
fn name(name: &str, pointer: &str, problems: &mut Problems) {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
    };
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !begins || !name.bytes().all(fits) || name.len() > 249 {
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let hint = (lower != name).then(|| format!("did you mean \"{lower}\"?"));
        problems.wrong(
            pointer,
            "a channel name consists of a-z, 0-9, \".\" and \"-\", begins with a letter, and has \
             at most 249 characters",
            hint,
        );
    }
}

fn member(
    release: &str,
    role: Role,
    pointer: &str,
    network: &Network,
    known: &Known,
    problems: &mut Problems,
) {
    let kind = match role {
        Role::Orderers => "an orderer organization",
        _ => "a peer organization",
    };
    match network.organizations.get(release) {
        Some(organization) if organization.member.role == role => {}
        Some(_) => problems.add(pointer, format!("\"{release}\" is not {kind}")),
        // Its own problem is already reported.
        None if known.organizations.contains(release) => {}
        None if known.kafka.contains(release) => {
            problems.add(
                pointer,
                format!("\"{release}\" is a Kafka cluster, not {kind}"),
            );
        }
        None => problems.unknown(
            pointer,
            format!("the file has no organization \"{release}\""),
            release,
            known.organizations.iter().copied(),
        ),
    }
}

/// Names of an organization's nodes, each once.
fn nodes(named: &[String], release: &str, at: &str, network: &Network, problems: &mut Problems) {
    let Some(organization) = network.organizations.get(release) else {
        return;
    };
    let have = &organization.member.nodes;
    for (index, node) in named.iter().enumerate() {
        let pointer = format!("{at}/{index}");
        if named[..index].contains(node) {
            problems.add(&pointer, format!("\"{node}\" is listed twice"));
        } else if !have.contains(node) {
            let what = match (have.first(), have.last()) {
                (Some(first), Some(last)) if first != last => {
                    format!("\"{release}\" has no \"{node}\", only {first} to {last}")
                }
                _ => format!("\"{release}\" has no \"{node}\", only {}", have.join(", ")),
            };
            problems.unknown(&pointer, what, node, have.iter().map(String::as_str));
        }
    }
}

/// The known orderers of a channel, with their properties.
fn orderers<'n>(channel: &'n Channel, network: &'n Network) -> Vec<(&'n String, &'n Member)> {
    let named = channel.orderers.keys();
    named
        .filter_map(|release| Some((release, &network.organizations.get(release)?.member)))
        .filter(|(_, member)| member.role == Role::Orderers)
        .collect()
}

/// Checks the consensus: all orderers must use the same one, and there must be enough of them.
fn consensus(channel: &Channel, network: &Network, pointer: &str, problems: &mut Problems) {
    let orderers = orderers(channel, network);
    let at = format!("{pointer}/orderers");
    let Some((first, of_first)) = orderers.first().copied() else {
        return;
    };
    for (release, member) in &orderers[1..] {
        let names = [of_first, member].map(|it| it.consensus.map_or("", Consensus::name));
        if names[0] != names[1] {
            problems.add(
                &path::key_below(&at, release),
                format!(
                    "\"{release}\" uses {}, but \"{first}\" uses {}",
                    names[1], names[0]
                ),
            );
        }
    }
    let consenters: usize = channel
        .orderers
        .values()
        .map(|it| it.consenters.len())
        .sum();
    if consenters == 0 {
        problems.add(&at, "a channel needs at least one consenter");
    }
    if of_first.consensus != Some(Consensus::Bft) {
        return;
    }
    if consenters < 4 {
        problems.add(
            &at,
            format!("BFT needs 3f+1 consenters to tolerate f faults: at least 4, not {consenters}"),
        );
    }
    for (release, member) in members(channel, network) {
        if !BFT.holds(&member.version) {
            problems.add(
                &path::key_below(&format!("{pointer}/organizations"), release),
                format!(
                    "a channel on BFT requires peers of Fabric {BFT}; \"{release}\" has \
                     {}",
                    member.version
                ),
            );
        }
    }
}

/// The options of a consensus.
fn options(
    channel: &Channel,
    network: &Network,
    written: &document::Channel,
    pointer: &str,
    problems: &mut Problems,
) {
    let consensus = orderers(channel, network)
        .first()
        .and_then(|(_, it)| it.consensus);
    for (key, options, wanted) in [
        ("etcdraft", &written.etcdraft, Consensus::Raft),
        ("smartBFT", &written.smart_bft, Consensus::Bft),
    ] {
        let other = consensus.filter(|consensus| *consensus != wanted && !options.is_empty());
        if let Some(other) = other {
            let (other, wanted) = (other.name(), wanted.name());
            problems.add(
                &format!("{pointer}/{key}"),
                format!("the channel uses {other}, but these are options of {wanted}"),
            );
        }
    }
    let tick = |key: &str, default: u64| {
        let value = written.etcdraft.get(key);
        value.and_then(Value::as_u64).unwrap_or(default)
    };
    if tick("electionTick", 10) <= tick("heartbeatTick", 1) {
        let at = format!("{pointer}/etcdraft/electionTick");
        problems.add(&at, "it must be greater than heartbeatTick");
    }
}

fn blocks(channel: &Channel, pointer: &str, problems: &mut Problems) {
    let size = channel.batch_size;
    if size.preferred_max_bytes > size.absolute_max_bytes {
        problems.add(
            &format!("{pointer}/batchSize"),
            format!(
                "preferredMaxBytes ({} bytes) is more than absoluteMaxBytes ({} bytes)",
                size.preferred_max_bytes, size.absolute_max_bytes
            ),
        );
    }
}

/// No level may be higher than a node of the channel supports: the node would stop permanently.
fn capabilities(channel: &Channel, network: &Network, pointer: &str, problems: &mut Problems) {
    let orderers = channel.orderers.keys();
    let orderers: Vec<(&String, &Member)> = orderers
        .filter_map(|release| Some((release, &network.organizations.get(release)?.member)))
        .collect();
    let peers: Vec<(&String, &Member)> = members(channel, network).collect();
    for group in Group::ALL {
        let Some(level) = group.of(&channel.capabilities) else {
            continue;
        };
        let concerned: Vec<_> = match group {
            Group::Channel => orderers.iter().chain(&peers).collect(),
            Group::Orderer => orderers.iter().collect(),
            Group::Application => peers.iter().collect(),
        };
        let below = concerned
            .iter()
            .find(|(_, member)| !group.knows(&member.version, level));
        if let Some((release, member)) = below {
            problems.wrong(
                &format!("{pointer}/capabilities/{}", group.key()),
                format!(
                    "Fabric {} of \"{release}\" does not support level {level}",
                    member.version
                ),
                Some(format!("the highest is {}", group.highest(&member.version))),
            );
        }
        let bft = orderers
            .first()
            .is_some_and(|(_, it)| it.consensus == Some(Consensus::Bft));
        if group == Group::Channel && bft && level != "V3_0" {
            problems.add(
                &format!("{pointer}/capabilities/channel"),
                "BFT needs level V3_0",
            );
        }
    }
}

fn policies(channel: &Channel, network: &Network, pointer: &str, problems: &mut Problems) {
    let msp_ids = msp_ids(channel, network);
    let groups = [
        ("policies/channel", &channel.policies.channel),
        ("policies/orderer", &channel.policies.orderer),
        ("policies/application", &channel.policies.application),
    ];
    let mut all: Vec<(String, &Named<String>)> = groups
        .into_iter()
        .map(|(key, rules)| (format!("{pointer}/{key}"), rules))
        .collect();
    for (release, it) in &channel.orderers {
        let at = path::key_below(&format!("{pointer}/orderers"), release);
        all.push((format!("{at}/policies"), &it.policies));
    }
    for (release, it) in &channel.organizations {
        let at = path::key_below(&format!("{pointer}/organizations"), release);
        all.push((format!("{at}/policies"), &it.policies));
    }
    for (at, rules) in all {
        for (name, rule) in rules {
            policy::check(rule, &path::key_below(&at, name), &msp_ids, problems);
        }
    }
}
