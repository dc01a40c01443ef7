//! Hyperledger Fabric's rules: versions and images, names and addresses, settings per line, rules
//! for Kafka and quorums.
//!
//! Templates only place values. Everything that needs knowledge of Fabric is computed here and
//! passed to templates as `fabric`. Each rule names its source. Files without a repository are
//! hyperledger/fabric's, at the tag of the version.

use crate::chart::Chart;
use crate::error::{Error, Place, Result, nearest};
use crate::identity::{Node, NodeRole, Organization};
use crypto::Crypto;
use expose::Exposure;
use images::Images;
use semver::Version;
use serde_json::{Map, Value, json};
use settings::Settings;
use std::collections::BTreeSet;

mod ca;
mod chaincode;
pub mod contact;
mod core;
mod crypto;
mod expose;
pub mod guard;
mod images;
mod kafka;
mod orderer;
mod organization;
mod peer;
mod ports;
pub mod quorum;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod versions;

pub use contact::Contact;
pub use orderer::{Bootstrap, Consensus};
pub use organization::{Names, network_of};
pub use ports::KAFKA_PORT;
pub use service::ChaincodeServer;
pub use versions::{
    BFT, CCAAS_BUILDER, CHANNEL_PARTICIPATION, EXTERNAL_BUILDERS, K8S_BUILDER, LINES, Line,
    SYSTEM_CHANNEL, Span,
};

/// What a chart models, from its annotation `kubectl-fabric.io/model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    PeerOrganization,
    OrdererOrganization,
    Kafka,
    /// The server of one chaincode.
    Chaincode,
}

/// Annotation of Chart.yaml with the [`Model`].
pub const MODEL: &str = "kubectl-fabric.io/model";

impl Model {
    const ALL: [(&'static str, Model); 4] = [
        ("peer-org", Model::PeerOrganization),
        ("orderer-org", Model::OrdererOrganization),
        ("kafka", Model::Kafka),
        ("chaincode", Model::Chaincode),
    ];

    /// Returns the model of this name, or `None` if there is no such model.
    pub fn named(word: &str) -> Option<Model> {
        Model::ALL
            .into_iter()
            .find_map(|(name, model)| (name == word).then_some(model))
    }

    /// Returns `None` for a chart without the annotation. Its `fabric` facts contain only versions
    /// and images.
    pub fn of(chart: &Chart) -> Result<Option<Model>> {
        let Some(word) = chart.metadata.annotations.get(MODEL) else {
            return Ok(None);
        };
        if let Some(model) = Model::named(word) {
            return Ok(Some(model));
        }
        let names = Model::ALL.map(|(name, _)| name);
        let error = Error::user(format!(
            "chart {} has the unknown model {word:?}",
            chart.name_version()
        ))
        .at(Place::new("Chart.yaml").note(format!("annotations[{MODEL:?}]")))
        .why(format!(
            "the annotation must be {}, or absent",
            names.join(", ")
        ));
        Err(match nearest(word, names) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error,
        })
    }

    /// Returns the default Fabric version of a model: the long-term line, or for Kafka the last
    /// line in which Fabric developed it. A chaincode server has no Fabric version.
    fn default_version(self) -> &'static str {
        match self {
            Model::PeerOrganization | Model::OrdererOrganization => "2.5.16",
            Model::Kafka => "1.4.12",
            Model::Chaincode => "",
        }
    }
}

/// Inputs for rendering a release and its identities.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub model: Option<Model>,
    pub release: &'a str,
    pub namespace: &'a str,
    /// The merged values, including defaults.
    pub values: &'a Value,
}

impl<'a> Subject<'a> {
    fn settings(&self) -> Settings<'a> {
        Settings::new(self.values)
    }

    fn version(&self) -> Result<Option<Version>> {
        let default = self.model.map_or("", Model::default_version);
        match self.settings().text_or("/fabricVersion", default) {
            "" => Ok(None),
            version => checked_version(version).map(Some),
        }
    }
}

/// The values of an organization's release that apply to all of its nodes.
#[derive(Clone, Copy)]
struct Setup<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    images: Images<'a>,
    exposure: &'a Exposure<'a>,
    crypto: &'a Crypto<'a>,
}

/// Violations of Fabric's rules in the values, which are reported together.
#[derive(Default)]
struct Breaks {
    places: Vec<Place>,
    /// Warnings about permitted settings.
    warnings: Vec<String>,
}

impl Breaks {
    /// `key` is the value to change, such as `orderers.count`.
    fn add(&mut self, key: &str, why: impl std::fmt::Display) {
        self.places.push(Place::new(key).note(why.to_string()));
    }

    fn warn(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    fn into_result(self, release: &str) -> Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        Err(
            Error::user(format!("values for {release:?} break Fabric's rules"))
                .at_all(self.places)
                .now("nothing was sent to the cluster"),
        )
    }
}

/// Returns the variable `fabric` of templates. Reports all violations of Fabric's rules in one
/// error with the reasons (Kafka's rules, unknown versions, consensus types that a line does not
/// have).
///
/// | key | model | content |
/// |---|---|---|
/// | `version`, `line`, `images` | all | `2.5.16`, `2.5`, image references by program |
/// | `domain`, `msp_id`, `network` | all | see [`Names`] |
/// | `peers[]`, `chaincode`, `core`, `couchdb`, `ca`, `cli` | peer-org | nodes with `name`, `address`, `endpoint`, `env` and names of Secrets |
/// | `orderers[]`, `consensus`, `bootstrap`, `min_available` | orderer-org | the same |
/// | `zookeepers[]`, `brokers[]` | kafka | nodes with `name`, `address` and `config` |
/// | `image`, `env`, `endpoint` | chaincode | these alone |
/// | `exposed[]`, `expose_annotations` | peer-org, orderer-org | nodes that are exposed outside of the cluster |
/// | `warnings` | all | warnings for the user: see [`warnings`] |
/// | `allowed` | all | namespaces that network policies allow, by kind |
pub fn facts(subject: Subject) -> Result<Value> {
    let settings = subject.settings();
    if subject.model == Some(Model::Chaincode) {
        return chaincode_service(&subject, &settings);
    }
    let Some(version) = subject.version()? else {
        return Ok(json!({}));
    };
    let names = Names::of(subject.release, subject.namespace, &settings);
    let images = Images {
        version: &version,
        mirror: settings.text("/image/registry"),
    };
    let mut breaks = Breaks::default();
    let mut facts = Map::new();
    let mut set = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    set("version", version.to_string().into());
    set("line", versions::line(&version).into());
    set("images", programs(&settings, images));
    set("domain", names.domain.clone().into());
    set("msp_id", names.msp_id.clone().into());
    set("network", names.network.clone().into());
    set("allowed", allowed(&settings, &names));
    let exposure = Exposure::of(&settings, &names);
    let crypto = Crypto::of(&settings, &names, subject.release);
    let setup = Setup {
        settings: &settings,
        names: &names,
        images,
        exposure: &exposure,
        crypto: &crypto,
    };
    let mounted = mounted(&subject, &crypto);
    match subject.model {
        Some(Model::PeerOrganization) => {
            facts.extend(peer::facts(setup, &mut breaks));
            let crypto = crypto.facts("peerOrganizations", &mounted, &mut breaks);
            facts.insert("crypto".to_owned(), crypto);
            if settings.flag("/ca/enabled", false) {
                facts.insert("ca".to_owned(), ca::facts(setup, &mut breaks));
            }
            if settings.flag("/cli/enabled", false) {
                facts.insert("cli".to_owned(), ca::cli(setup, &mut breaks));
            }
        }
        Some(Model::OrdererOrganization) => {
            facts.extend(orderer::facts(setup, &mut breaks));
            let crypto = crypto.facts("ordererOrganizations", &mounted, &mut breaks);
            facts.insert("crypto".to_owned(), crypto);
        }
        Some(Model::Kafka) => facts.extend(kafka::facts(&settings, &names, images, &mut breaks)),
        Some(Model::Chaincode) | None => {}
    }
    check(subject.namespace, &settings, &mut breaks);
    let warnings = std::mem::take(&mut breaks.warnings);
    facts.insert("warnings".to_owned(), warnings.into());
    breaks.into_result(subject.release)?;
    Ok(Value::Object(facts))
}

/// Refuses settings of any chart that contradict each other.
fn check(namespace: &str, settings: &Settings, breaks: &mut Breaks) {
    if settings.flag("/networkPolicy/enabled", false) && is_shared(namespace) {
        breaks.add(
            "networkPolicy.enabled",
            format!(
                "its policies restrict all pods of namespace \"{namespace}\", but other pods run there: \
                 choose another namespace (-n), or set it to false"
            ),
        );
    }
    if settings.flag("/metrics/serviceMonitor/enabled", false)
        && !settings.flag("/metrics/enabled", true)
    {
        breaks.add("metrics.serviceMonitor.enabled", "it needs metrics.enabled");
    }
}

/// Returns the facts of a chaincode server, which has no Fabric version.
fn chaincode_service(subject: &Subject, settings: &Settings) -> Result<Value> {
    let mut breaks = Breaks::default();
    let facts = service::facts(settings, subject.release, subject.namespace, &mut breaks);
    breaks.into_result(subject.release)?;
    Ok(Value::Object(facts))
}

/// Returns true if a namespace belongs to the cluster or is shared. Kubernetes reserves the prefix
/// `kube-`; distributions and add-ons use `openshift` and names that end in `-system`.
fn is_shared(namespace: &str) -> bool {
    let is_openshift = namespace
        .strip_prefix("openshift")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    namespace == "default"
        || namespace.starts_with("kube-")
        || namespace.ends_with("-system")
        || is_openshift
}

/// Returns the warnings in the result of [`facts`].
pub fn warnings(facts: &Value) -> Vec<String> {
    Settings::new(facts)
        .texts("/warnings")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn programs(settings: &Settings, images: Images) -> Value {
    json!({
        "peer": settings.text_or("/peers/image", &images.peer()),
        "orderer": settings.text_or("/orderers/image", &images.orderer()),
        "ca": images.ca(),
        "couchdb": images.couchdb(),
        "kafka": settings.text_or("/kafka/image", &images.kafka()),
        "zookeeper": settings.text_or("/kafka/zookeeperImage", &images.zookeeper()),
    })
}

/// Returns the namespaces of the releases in the values, within this release's network.
fn allowed(settings: &Settings, names: &Names) -> Value {
    let namespaces = |path: &str| {
        settings
            .texts(path)
            .into_iter()
            .map(|release| names.sibling(release))
            .collect::<Vec<_>>()
    };
    json!({
        "peer_orgs": namespaces("/networkPolicy/peerOrgs"),
        "orderer_orgs": namespaces("/networkPolicy/ordererOrgs"),
        "kafka": names.sibling(settings.text_or("/networkPolicy/kafka", "kafka")),
    })
}

/// Returns the organization whose nodes need identities, or `None` if the chart has none (kafka).
pub fn organization(subject: Subject) -> Result<Option<Organization>> {
    let settings = subject.settings();
    let names = Names::of(subject.release, subject.namespace, &settings);
    let (role, count, node) = match subject.model {
        Some(Model::PeerOrganization) => {
            (NodeRole::Peer, settings.number("/peers/count", 1), "peer")
        }
        Some(Model::OrdererOrganization) => (
            NodeRole::Orderer,
            settings.number("/orderers/count", 1),
            "orderer",
        ),
        Some(Model::Kafka | Model::Chaincode) | None => return Ok(None),
    };
    let exposure = Exposure::of(&settings, &names);
    let crypto = Crypto::of(&settings, &names, subject.release);
    let certified = |node: &str| certified(&settings, &names, &exposure, node);
    let mut credentials = Vec::new();
    let ca_server = (role == NodeRole::Peer && settings.flag("/ca/enabled", false))
        .then(|| certified(organization::CA));
    if ca_server.is_some()
        && let (secret, true) = ca::credentials(&settings)
    {
        credentials.push((secret.to_owned(), "admin".to_owned()));
    }
    let couchdb = role == NodeRole::Peer && settings.text("/peers/stateDatabase") == "CouchDB";
    if couchdb && settings.text("/couchdb/existingSecret").is_empty() {
        credentials.extend((0..count).map(|i| (format!("peer{i}-couchdb"), "admin".to_owned())));
    }
    Ok(Some(Organization {
        release: subject.release.to_owned(),
        namespace: subject.namespace.to_owned(),
        domain: names.domain.clone(),
        msp_id: names.msp_id.clone(),
        role,
        nodes: (0..count)
            .map(|i| certified(&format!("{node}{i}")))
            .collect(),
        credentials,
        ca_server,
        custody: crypto.custody(mounted(&subject, &crypto)),
    }))
}

/// Returns a node with the hosts of its certificate.
fn certified(settings: &Settings, names: &Names, exposure: &Exposure, node: &str) -> Node {
    let mut outside: Vec<String> = exposure.host(node).into_iter().collect();
    outside.extend(
        peer::named_endpoint(settings, names, node)
            .and_then(|named| Some(named.rsplit_once(':')?.0.to_owned())),
    );
    names.node(node, &outside, &settings.texts("/tls/extraSans"))
}

/// Returns the default names of the Secrets that this release's pods mount.
fn mounted(subject: &Subject, crypto: &Crypto) -> BTreeSet<String> {
    let settings = subject.settings();
    let nodes = |kind: &str, path: &str| {
        (0..settings.number(path, 1))
            .map(|i| format!("{kind}{i}"))
            .collect::<Vec<_>>()
    };
    match subject.model {
        Some(Model::PeerOrganization) => {
            let (ca, cli) = (
                settings.flag("/ca/enabled", false),
                settings.flag("/cli/enabled", false),
            );
            crypto.mounted(&nodes("peer", "/peers/count"), ca, cli, false)
        }
        Some(Model::OrdererOrganization) => {
            let participation = subject
                .version()
                .ok()
                .flatten()
                .is_some_and(|version| orderer::participates(&settings, &version));
            crypto.mounted(
                &nodes("orderer", "/orderers/count"),
                false,
                false,
                participation,
            )
        }
        Some(Model::Kafka | Model::Chaincode) | None => BTreeSet::new(),
    }
}

/// Parses a Fabric version and checks that it was released. The error lists existing versions, and
/// the nearest.
pub fn checked_version(version: &str) -> Result<Version> {
    versions::checked(version)
}
