//! Checks the chaincodes of a network file.

use super::msp_ids;
use crate::fabric::{CCAAS_BUILDER, EXTERNAL_BUILDERS, K8S_BUILDER};
use crate::network::document::{self, Document};
use crate::network::file::{Chaincode, ChaincodeType, Network, Organization};
use crate::network::policy;
use crate::network::problem::Problems;
use crate::release::{ReleaseName, check_namespace};
use crate::values::path;
use std::collections::BTreeSet;

pub fn chaincode(
    chaincode: &Chaincode,
    network: &Network,
    document: &Document,
    problems: &mut Problems,
) {
    let pointer = path::key_below("/chaincodes", &chaincode.name);
    names(chaincode, &pointer, problems);
    let written = &document.chaincodes[&chaincode.name];
    channels(chaincode, written, network, document, &pointer, problems);
    source(chaincode, &pointer, problems);
    versions(chaincode, network, &pointer, problems);
    policies(chaincode, network, &pointer, problems);
    release(chaincode, network, &pointer, problems);
}

/// `core/chaincode/lifecycle/scc.go` (names and versions), `core/chaincode/persistence`
/// (labels).
fn names(chaincode: &Chaincode, pointer: &str, problems: &mut Problems) {
    let word = |text: &str, more: &str| {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
        !text.is_empty() && text.chars().all(fits)
    };
    let begins = |text: &str| text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let parts = |text: &str| text.split(['-', '_']).all(|part| word(part, ""));
    if !parts(&chaincode.name) {
        problems.add(
            pointer,
            "a chaincode name consists of letters and digits, with single \"-\" and \"_\" between \
             them",
        );
    }
    if !word(&chaincode.version, "_.+-") {
        problems.add(
            &format!("{pointer}/version"),
            "a version consists of letters, digits, \"_\", \".\", \"+\" and \"-\"",
        );
    }
    let label = &chaincode.label;
    if !(word(label, "_.+-") && begins(label)) {
        problems.add(
            &format!("{pointer}/label"),
            "a label consists of letters, digits, \"_\", \".\", \"+\" and \"-\", and begins with a \
             letter or digit",
        );
    }
    if chaincode.kind == ChaincodeType::Kubernetes && check_namespace(label).is_err() {
        problems.wrong(
            &format!("{pointer}/label"),
            format!(
                "the label of a k8s chaincode must be a valid Kubernetes name, not \"{label}\""
            ),
            Some(format!(
                "set `label: {}`",
                label.to_ascii_lowercase().replace(['_', '.', '+'], "-")
            )),
        );
    }
}

fn channels(
    chaincode: &Chaincode,
    written: &document::Chaincode,
    network: &Network,
    document: &Document,
    pointer: &str,
    problems: &mut Problems,
) {
    let at = format!("{pointer}/channel");
    for (index, name) in chaincode.channels.iter().enumerate() {
        let place = format!("{at}/{index}");
        if chaincode.channels[..index].contains(name) {
            problems.add(&place, format!("\"{name}\" is listed twice"));
            continue;
        }
        let Some(channel) = network.channels.get(name) else {
            let known = document.channels.keys().map(String::as_str);
            problems.unknown(
                &place,
                format!("the file has no channel \"{name}\""),
                name,
                known,
            );
            continue;
        };
        let at = format!("{pointer}/organizations");
        let chosen = written.organizations.iter().flatten().enumerate();
        for (index, release) in chosen {
            let members = channel.organizations.keys().map(String::as_str);
            let place = format!("{at}/{index}");
            if !channel.organizations.contains_key(release) {
                let what = format!("\"{release}\" is not a member of channel \"{name}\"");
                problems.unknown(&place, what, release, members);
            }
        }
        let count = chaincode.organizations[name].len();
        let own = channel
            .policies
            .application
            .contains_key("LifecycleEndorsement");
        let members = channel.organizations.len();
        if written.organizations.is_some() && !own && count <= members / 2 {
            problems.add(
                &at,
                format!(
                    "{count} of {members} organizations of channel \"{name}\" approve it, but its \
                     policy LifecycleEndorsement requires a majority"
                ),
            );
        }
    }
    let chosen = written.organizations.iter().flatten().collect::<Vec<_>>();
    for (index, release) in chosen.iter().enumerate() {
        if chosen[..index].contains(release) {
            let place = format!("{pointer}/organizations/{index}");
            problems.add(&place, format!("\"{release}\" is listed twice"));
        }
    }
}

/// Checks what the peers run.
fn source(chaincode: &Chaincode, pointer: &str, problems: &mut Problems) {
    let (wanted, other) = match chaincode.kind {
        ChaincodeType::Service | ChaincodeType::Kubernetes => {
            (("image", &chaincode.image), ("path", &chaincode.path))
        }
        ChaincodeType::Docker(_) => (("path", &chaincode.path), ("image", &chaincode.image)),
    };
    let kind = match chaincode.kind {
        ChaincodeType::Service => "ccaas",
        ChaincodeType::Kubernetes => "k8s",
        ChaincodeType::Docker(language) => language,
    };
    if wanted.1.as_ref().is_none_or(String::is_empty) {
        problems.add(
            pointer,
            format!("a chaincode of type {kind} needs the key \"{}\"", wanted.0),
        );
    }
    if other.1.is_some() {
        problems.add(
            &format!("{pointer}/{}", other.0),
            format!("a chaincode of type {kind} cannot have {}", other.0),
        );
    }
    let by_digest = |image: &String| image.contains("@sha256:");
    if chaincode.kind == ChaincodeType::Kubernetes && !chaincode.image.iter().all(by_digest) {
        problems.wrong(
            &format!("{pointer}/image"),
            "the k8s builder requires the digest of the image",
            Some("write it as repository@sha256:...".to_owned()),
        );
    }
    let has_values = chaincode
        .values
        .tree
        .as_object()
        .is_some_and(|map| !map.is_empty());
    if has_values && chaincode.kind != ChaincodeType::Service {
        problems.add(
            &format!("{pointer}/values"),
            format!("only a chaincode of type ccaas has a release; this one has type {kind}"),
        );
    }
}

/// Checks that the peers of every organization can run it and support its lifecycle.
fn versions(chaincode: &Chaincode, network: &Network, pointer: &str, problems: &mut Problems) {
    let since = match chaincode.kind {
        ChaincodeType::Service => Some((CCAAS_BUILDER, "ccaas")),
        ChaincodeType::Kubernetes => Some((K8S_BUILDER, "k8s")),
        ChaincodeType::Docker(_) => None,
    };
    let organizations: BTreeSet<&String> = chaincode.organizations.values().flatten().collect();
    for release in organizations {
        let Some(organization) = network.organizations.get(release) else {
            continue;
        };
        let version = &organization.member.version;
        if chaincode.kind == ChaincodeType::Service && has_builders(organization) {
            continue;
        }
        if let Some((since, kind)) = since.filter(|(since, _)| !since.holds(version)) {
            problems.wrong(
                &format!("{pointer}/type"),
                format!(
                    "chaincode of type {kind} requires Fabric {since}, but \"{release}\" \
                     has {version}"
                ),
                Some("use `golang`, `node` or `java` with `path`".to_owned()),
            );
            return;
        }
    }
    let legacy = |name: &&String| network.channels.get(*name).is_some_and(|it| it.is_legacy());
    if let Some(name) = chaincode.channels.iter().find(legacy) {
        for (key, is_set) in [
            ("initRequired", chaincode.init_required),
            (
                "label",
                chaincode.label != format!("{}_{}", chaincode.name, chaincode.version),
            ),
        ] {
            if is_set {
                problems.add(
                    &format!("{pointer}/{key}"),
                    format!("channel \"{name}\" has the lifecycle of Fabric 1.4, which does not support it"),
                );
            }
        }
    } else if !chaincode.init.is_empty() && !chaincode.init_required {
        problems.add(
            &format!("{pointer}/init"),
            "the initialization requires `initRequired: true`",
        );
    }
}

/// Whether an organization's peers have builders of the user, which may run services before Fabric
/// has its own builder for them.
fn has_builders(organization: &Organization) -> bool {
    let builders = organization
        .installation
        .values
        .tree
        .pointer("/chaincode/builders");
    let is_set = builders
        .and_then(|it| it.as_array())
        .is_some_and(|it| !it.is_empty());
    is_set && EXTERNAL_BUILDERS.holds(&organization.member.version)
}

fn policies(chaincode: &Chaincode, network: &Network, pointer: &str, problems: &mut Problems) {
    let mut channels = chaincode
        .channels
        .iter()
        .filter_map(|name| network.channels.get(name));
    let Some(msp_ids) = channels.next().map(|channel| msp_ids(channel, network)) else {
        return;
    };
    let mut rules = Vec::new();
    if let Some(rule) = &chaincode.policy {
        rules.push((format!("{pointer}/policy"), rule));
    }
    let mut names = BTreeSet::new();
    for (index, collection) in chaincode.collections.iter().enumerate() {
        let at = format!("{pointer}/collections/{index}");
        if !names.insert(&collection.name) && !collection.name.is_empty() {
            problems.add(
                &at,
                format!("collection \"{}\" is listed twice", collection.name),
            );
        }
        let required = collection.required_peer_count.unwrap_or(0);
        let most = collection.max_peer_count.unwrap_or(1);
        if required > most {
            problems.add(
                &at,
                format!("requiredPeerCount ({required}) is more than maxPeerCount ({most})"),
            );
        }
        if !collection.policy.is_empty() {
            policy::signature(
                &collection.policy,
                &format!("{at}/policy"),
                &msp_ids,
                problems,
            );
        }
        if let Some(endorsement) = &collection.endorsement_policy {
            let both = endorsement.signature_policy.is_some();
            if both == endorsement.channel_config_policy.is_some() {
                problems.add(
                    &format!("{at}/endorsementPolicy"),
                    "expected either signaturePolicy or channelConfigPolicy",
                );
            }
            if let Some(rule) = &endorsement.signature_policy {
                rules.push((format!("{at}/endorsementPolicy/signaturePolicy"), rule));
            }
        }
    }
    for (at, rule) in rules {
        // The path of a channel policy, as `peer lifecycle chaincode --channel-config-policy`.
        if !rule.starts_with('/') {
            policy::signature(rule, &at, &msp_ids, problems);
        }
    }
}

/// The release of a service must not be another one in the same namespace.
fn release(chaincode: &Chaincode, network: &Network, pointer: &str, problems: &mut Problems) {
    if chaincode.kind != ChaincodeType::Service {
        return;
    }
    let release = &chaincode.release;
    if ReleaseName::parse(release).is_err() {
        problems.wrong(
            pointer,
            format!("\"{release}\" is not a valid name for the chaincode's release"),
            Some(format!(
                "set `release: {}`",
                release.to_ascii_lowercase().replace('_', "-")
            )),
        );
    }
    if let Some(organization) = network.organizations.get(release) {
        problems.wrong(
            pointer,
            format!(
                "organization \"{}\" already uses release \"{release}\"",
                organization.installation.release
            ),
            Some("set `release`".to_owned()),
        );
    }
    let other = network.chaincodes.values().find(|other| {
        other.kind == ChaincodeType::Service && other.release == *release && other.shares(chaincode)
    });
    if let Some(other) = other {
        problems.add(
            pointer,
            format!(
                "chaincode \"{}\" already uses release \"{release}\"",
                other.name
            ),
        );
    }
}

/// Checks the dependencies of chaincodes: each must exist, and there must be no cycle.
pub fn dependencies(network: &Network, problems: &mut Problems) {
    for chaincode in network.chaincodes.values() {
        let at = format!(
            "{}/dependsOn",
            path::key_below("/chaincodes", &chaincode.name)
        );
        for (index, name) in chaincode.depends_on.iter().enumerate() {
            if !network.chaincodes.contains_key(name) {
                let known = network.chaincodes.keys().map(String::as_str);
                let what = format!("the file has no chaincode \"{name}\"");
                problems.unknown(&format!("{at}/{index}"), what, name, known);
            }
        }
        if let Some(cycle) = cycle(network, &chaincode.name)
            && cycle.iter().min() == Some(&chaincode.name.as_str())
        {
            problems.add(
                &at,
                format!("the chaincodes depend on each other: {}", cycle.join(" → ")),
            );
        }
    }
}

/// Returns the cycle from a chaincode back to itself.
fn cycle<'n>(network: &'n Network, start: &'n str) -> Option<Vec<&'n str>> {
    let (mut ways, mut seen) = (vec![vec![start]], BTreeSet::new());
    while let Some(way) = ways.pop() {
        let last = network.chaincodes.get(*way.last()?)?;
        for next in last
            .depends_on
            .iter()
            .filter(|next| network.chaincodes.contains_key(*next))
        {
            let mut longer = way.clone();
            longer.push(next);
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push(longer);
            }
        }
    }
    None
}

impl Chaincode {
    /// Returns true if an organization runs both.
    fn shares(&self, other: &Chaincode) -> bool {
        let mut own = self.organizations.values().flatten();
        own.any(|release| {
            other
                .organizations
                .values()
                .flatten()
                .any(|it| it == release)
        })
    }
}
