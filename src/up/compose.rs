//! Computes the desired state of a network file: releases, packages and definitions.

use crate::chaincode::{self, Definition, read_collections, read_policy};
use crate::deploy::{ChartChoice, Intent, Reuse, Wanted as Deployed};
use crate::error::{Error, Place, Result};
use crate::identity;
use crate::ledger::chaincode_package::Package;
use crate::ledger::deployment::{Deployment, Source};
use crate::network::derive::chaincode_values;
use crate::network::file::{Chaincode, ChaincodeType};
use crate::network::state::{Pair, ReleaseKey};
use crate::network::{Network, Wanted};
use crate::release::NETWORK_LABEL;
use crate::values::Values;
use std::collections::{BTreeMap, BTreeSet};

/// The files in a network file, as read by the edge.
#[derive(Default)]
pub struct Inputs {
    /// By release: the source of its identities, if the file sets one.
    pub identities: BTreeMap<String, identity::Source>,
    /// By release: its chart, if the file sets one.
    pub charts: BTreeMap<String, ChartChoice>,
    /// By chaincode: indexes for CouchDB, by their path in the package.
    pub indexes: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// By chaincode that Docker builds: its source, by path in its folder.
    pub sources: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// The desired state.
pub struct Composed<'n> {
    pub wanted: Wanted<'n>,
    /// By chaincode and organization.
    pub packages: BTreeMap<Pair, Package>,
    /// By chaincode.
    pub definitions: BTreeMap<String, Definition>,
    /// By chaincode: source under the lifecycle of Fabric 1.4.
    pub deployments: BTreeMap<String, Deployment>,
}

/// The digest of a release that matches the file, as determined by a dry run of the upgrade.
pub const AS_WANTED: &str = "as the file asks for it";

/// Composes packages and definitions.
///
/// # Errors
///
/// Fails for policies and collections that cannot be read.
pub fn compose<'n>(network: &'n Network, inputs: &Inputs) -> Result<Composed<'n>> {
    let mut composed = Composed {
        wanted: Wanted {
            network,
            releases: BTreeMap::new(),
            packages: BTreeMap::new(),
            definitions: BTreeMap::new(),
        },
        packages: BTreeMap::new(),
        definitions: BTreeMap::new(),
        deployments: BTreeMap::new(),
    };
    let mut release = |release: &str, namespace: &str| {
        let key = ReleaseKey::new(release, namespace);
        composed.wanted.releases.insert(key, AS_WANTED.to_owned());
    };
    for installation in network.installations() {
        release(&installation.release, &installation.namespace);
    }
    let services = network.chaincodes.values();
    for chaincode in services.filter(|it| it.kind == ChaincodeType::Service) {
        for organization in chaincode.organizations.values().flatten() {
            if let Some(namespace) = network.namespace(organization) {
                release(&chaincode.release, namespace);
            }
        }
    }
    for chaincode in network.chaincodes.values() {
        let definition = definition(network, chaincode)?;
        for channel in &chaincode.channels {
            let pair = (chaincode.name.clone(), channel.clone());
            composed
                .wanted
                .definitions
                .insert(pair, definition.digest());
        }
        composed
            .definitions
            .insert(chaincode.name.clone(), definition);
        packages(&mut composed, inputs, chaincode)?;
    }
    Ok(composed)
}

/// Packages of a chaincode for its organizations, or its source for peers of Fabric 1.4.
fn packages(composed: &mut Composed<'_>, inputs: &Inputs, chaincode: &Chaincode) -> Result<()> {
    let network = composed.wanted.network;
    let name = &chaincode.name;
    let none = BTreeMap::new();
    let indexes = inputs.indexes.get(name).unwrap_or(&none);
    let source = |language| Source {
        language,
        files: inputs.sources.get(name).unwrap_or(&none),
        indexes,
    };
    for organization in chaincode.organizations.values().flatten() {
        let pair = (name.clone(), organization.clone());
        let package = match chaincode.kind {
            ChaincodeType::Docker(language) if is_legacy(network, chaincode) => {
                let deployment = Deployment::new(name, &chaincode.version, source(language))?;
                composed.wanted.packages.insert(pair, deployment.id());
                composed.deployments.insert(name.clone(), deployment);
                continue;
            }
            ChaincodeType::Docker(language) => {
                Package::of_source(&chaincode.label, name, source(language))?
            }
            ChaincodeType::Service | ChaincodeType::Kubernetes => {
                let port = port(network, chaincode, organization);
                let address = format!("{}:{port}", chaincode.release);
                chaincode::package(&chaincode.label, &address, indexes)?
            }
        };
        composed.wanted.packages.insert(pair.clone(), package.id());
        composed.packages.insert(pair, package);
    }
    Ok(())
}

/// Whether the channels of a chaincode have the lifecycle of Fabric 1.4.
fn is_legacy(network: &Network, chaincode: &Chaincode) -> bool {
    let mut channels = chaincode.channels.iter();
    channels.any(|name| network.channels.get(name).is_some_and(|it| it.is_legacy()))
}

/// The policy of a chaincode under the lifecycle of Fabric 1.4 whose file sets none: any member of
/// an organization of its channels (`core/scc/lscc/lscc.go`, `executeDeployOrUpgrade`).
fn any_member(network: &Network, chaincode: &Chaincode) -> String {
    let channels = chaincode.channels.iter();
    let channels = channels.filter_map(|name| network.channels.get(name));
    let members = channels.flat_map(|channel| channel.organizations.keys());
    let ids: BTreeSet<String> = members
        .map(|name| {
            let id = &network.organizations[name].member.msp_id;
            format!("'{id}.member'")
        })
        .collect();
    let ids: Vec<String> = ids.into_iter().collect();
    format!("OR({})", ids.join(", "))
}

/// Returns the port of a chaincode's server from its values.
fn port(network: &Network, chaincode: &Chaincode, organization: &str) -> u64 {
    let values = chaincode_values(network, chaincode, organization, "");
    let port = values.tree.pointer("/port").and_then(|it| it.as_u64());
    port.unwrap_or(9999)
}

fn definition(network: &Network, chaincode: &Chaincode) -> Result<Definition> {
    let mut definition = Definition {
        version: chaincode.version.clone(),
        init_required: chaincode.init_required,
        ..Definition::default()
    };
    let default = is_legacy(network, chaincode).then(|| any_member(network, chaincode));
    if let Some(policy) = chaincode.policy.as_ref().or(default.as_ref()) {
        definition.policy = read_policy(policy)?;
    }
    if !chaincode.collections.is_empty() {
        let text = serde_json::to_string(&chaincode.collections)
            .map_err(|error| Error::internal(error.to_string()))?;
        let of = format!("chaincodes.{}.collections", chaincode.name);
        definition.collections = read_collections(&text, &of)?;
    }
    if let Some(plugin) = &chaincode.endorsement_plugin {
        definition.endorsement_plugin.clone_from(plugin);
    }
    if let Some(plugin) = &chaincode.validation_plugin {
        definition.validation_plugin.clone_from(plugin);
    }
    Ok(definition)
}

/// Refuses unsupported settings, all of them at once, before anything is changed.
pub fn check(network: &Network) -> Result<()> {
    let mut places = Vec::new();
    for chaincode in network.chaincodes.values() {
        if chaincode.kind == ChaincodeType::Kubernetes {
            places.push(
                Place::new(format!("chaincodes.{}.type", chaincode.name))
                    .note("in a network file, chaincode of the k8s builder is not supported"),
            );
        }
    }
    match places.is_empty() {
        true => Ok(()),
        false => Err(
            Error::user("the file contains settings that are not supported yet")
                .at_all(places)
                .now("nothing was changed"),
        ),
    }
}

/// Returns the intent to bring a release to the state in the file.
///
/// The file defines all values of a release, so values that were set by other means are discarded.
pub fn intent(composed: &Composed<'_>, inputs: &Inputs, key: &ReleaseKey) -> Result<Intent> {
    let network = composed.wanted.network;
    let chosen = inputs.charts.get(&key.release).cloned();
    let (chart, values, identities) = match network.installation(key) {
        Some(installation) => {
            let identities = inputs.identities.get(&installation.release).cloned();
            let values = installation.values.clone();
            (chosen.unwrap_or_default(), values, identities)
        }
        None => chaincode_release(composed, key)?,
    };
    Ok(Intent::Upgrade {
        wanted: Deployed {
            chart,
            values,
            reuse: Reuse::Reset,
            fabric_version: None,
            identities: identities.unwrap_or(identity::Source::Generate),
            skip_schema_validation: false,
            post_renderer: None,
            labels: vec![(NETWORK_LABEL.to_owned(), Some(label(network)))],
        },
        install: true,
    })
}

/// The value of [`NETWORK_LABEL`]: the name of the network, and the suffix of a copy.
pub fn label(network: &Network) -> String {
    match &network.suffix {
        Some(suffix) => format!("{}-{suffix}", network.name),
        None => network.name.clone(),
    }
}

fn chaincode_release(
    composed: &Composed<'_>,
    key: &ReleaseKey,
) -> Result<(ChartChoice, Values, Option<identity::Source>)> {
    let network = composed.wanted.network;
    let of_namespace = |name: &&String| network.namespace(name) == Some(&key.namespace);
    let found = network.chaincodes.values().find_map(|chaincode| {
        let mut organizations = chaincode.organizations.values().flatten();
        let organization = organizations.find(of_namespace)?;
        (chaincode.release == key.release).then_some((chaincode, organization))
    });
    let Some((chaincode, organization)) = found else {
        let release = &key.release;
        return Err(Error::internal(format!(
            "release {release} does not belong to any part of the file"
        )));
    };
    let package = &composed.wanted.packages[&(chaincode.name.clone(), organization.clone())];
    let chart = ChartChoice::Named {
        name: "chaincode".to_owned(),
        version: chaincode.chart_version.clone(),
    };
    let values = chaincode_values(network, chaincode, organization, package);
    Ok((chart, values, None))
}
