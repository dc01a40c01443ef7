//! Orderers: their environment, the consensus types of each line, and how they join their first
//! channel.

use super::crypto::CryptoSource;
use super::ports::ORDERER_PORT;
use super::settings::{Settings, Variable, during, environment, row};
use super::versions::{BFT, CHANNEL_PARTICIPATION, RAFT, SYSTEM_CHANNEL, Span};
use super::{Breaks, Setup};
use semver::Version;
use serde_json::{Map, Value, json};

/// In this version's image, a folder for mounting the MSP is missing (`release_notes/v3.1.3.md`).
const BROKEN_IMAGE: (u64, u64, u64) = (3, 1, 2);

/// How orderers agree on the order of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consensus {
    Raft,
    Kafka,
    Bft,
}

impl Consensus {
    pub(super) fn of(settings: &Settings) -> Consensus {
        Consensus::named(settings.text("/orderers/consensus"))
    }

    /// Returns the consensus type in the values. Raft is the default.
    pub fn named(name: &str) -> Consensus {
        match name {
            "kafka" => Consensus::Kafka,
            "BFT" => Consensus::Bft,
            _ => Consensus::Raft,
        }
    }

    /// Returns the name in values and channel configurations.
    pub fn name(self) -> &'static str {
        match self {
            Consensus::Raft => "etcdraft",
            Consensus::Kafka => "kafka",
            Consensus::Bft => "BFT",
        }
    }

    /// Returns the versions that have it.
    fn span(self) -> Span {
        match self {
            Consensus::Raft => RAFT,
            Consensus::Kafka => SYSTEM_CHANNEL,
            Consensus::Bft => BFT,
        }
    }

    /// Returns how many of `count` nodes must run so that the network can order: a majority for
    /// Raft (`raft_configuration.md`), all but f of 3f+1 for BFT (`bft_configuration.md`), one for
    /// Kafka.
    fn quorum(self, count: u64) -> u64 {
        match self {
            Consensus::Raft => count / 2 + 1,
            Consensus::Bft => count - count.saturating_sub(1) / 3,
            Consensus::Kafka => 1,
        }
    }
}

/// Returns how many of `count` orderers must run with this consensus type.
pub fn quorum(consensus: &str, count: u64) -> u64 {
    Consensus::named(consensus).quorum(count)
}

/// How an orderer joins its first channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// It starts without channels and joins them through its admin port.
    Participation,
    /// With a genesis block of the system channel, from a Secret.
    Genesis,
}

struct Orderer<'a> {
    setup: Setup<'a>,
    bootstrap: Bootstrap,
}

const CERTIFICATE: &str = "/etc/hyperledger/tls/server.crt";
const KEY: &str = "/etc/hyperledger/tls/server.key";
const GENESIS: &str = "/etc/hyperledger/genesis/genesis.block";
const LINES_OF_1: Span = Span::ALWAYS.before(2, 0, 0);
const LINES_OF_2: Span = Span::since(2, 0, 0).before(3, 0, 0);

impl<'a> Orderer<'a> {
    /// The table of an orderer's environment variables.
    ///
    /// Source: the keys of `sampleconfig/orderer.yaml`, and
    /// `orderer/common/localconfig/config.go`. The variable of a key is `ORDERER_` with the key's
    /// path in capitals. All listen addresses default to loopback. 2.0 renamed GENESISMETHOD and
    /// GENESISFILE. 1.4's default method, `provisional`, creates its own network and is never
    /// useful here.
    const VARIABLES: [Variable<Orderer<'a>>; 31] = [
        row("FABRIC_LOGGING_SPEC", |o| {
            Some(
                o.setup
                    .settings
                    .text_or("/orderers/logging/spec", "info")
                    .to_owned(),
            )
        }),
        row("ORDERER_GENERAL_LISTENADDRESS", |_| {
            Some("0.0.0.0".to_owned())
        }),
        row("ORDERER_GENERAL_LISTENPORT", |_| {
            Some(ORDERER_PORT.to_string())
        }),
        row("ORDERER_GENERAL_LOCALMSPID", |o| {
            Some(o.setup.names.msp_id.clone())
        }),
        row("ORDERER_GENERAL_LOCALMSPDIR", |_| {
            Some("/etc/hyperledger/msp".to_owned())
        }),
        row("ORDERER_GENERAL_TLS_ENABLED", |o| {
            Some(o.setup.settings.flag("/tls/enabled", true).to_string())
        }),
        row("ORDERER_GENERAL_TLS_CERTIFICATE", |o| o.tls(CERTIFICATE)),
        row("ORDERER_GENERAL_TLS_PRIVATEKEY", |o| o.tls(KEY)),
        row("ORDERER_GENERAL_TLS_ROOTCAS", |o| {
            o.tls("[/etc/hyperledger/tls/ca.crt]")
        }),
        row("ORDERER_GENERAL_TLS_CLIENTAUTHREQUIRED", |o| {
            o.setup
                .settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "true".to_owned())
        }),
        row("ORDERER_GENERAL_TLS_CLIENTROOTCAS", |o| {
            o.setup
                .settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "[/etc/hyperledger/tls/ca.crt]".to_owned())
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_CLIENTCERTIFICATE", |o| {
            o.tls(CERTIFICATE)
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_CLIENTPRIVATEKEY", |o| {
            o.tls(KEY)
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_LISTENADDRESS", |o| {
            o.cluster(|_| "0.0.0.0".to_owned())
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_LISTENPORT", |o| {
            o.cluster(|port| port.to_string())
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_SERVERCERTIFICATE", |o| {
            o.cluster(|_| CERTIFICATE.to_owned())
        }),
        during(RAFT, "ORDERER_GENERAL_CLUSTER_SERVERPRIVATEKEY", |o| {
            o.cluster(|_| KEY.to_owned())
        }),
        during(LINES_OF_1, "ORDERER_GENERAL_GENESISMETHOD", |o| {
            o.genesis("file")
        }),
        during(LINES_OF_1, "ORDERER_GENERAL_GENESISFILE", |o| {
            o.genesis(GENESIS)
        }),
        during(LINES_OF_2, "ORDERER_GENERAL_BOOTSTRAPMETHOD", |o| {
            o.genesis("file").or_else(|| o.participation("none"))
        }),
        during(LINES_OF_2, "ORDERER_GENERAL_BOOTSTRAPFILE", |o| {
            o.genesis(GENESIS)
        }),
        during(
            CHANNEL_PARTICIPATION,
            "ORDERER_CHANNELPARTICIPATION_ENABLED",
            |o| o.participation("true"),
        ),
        during(CHANNEL_PARTICIPATION, "ORDERER_ADMIN_LISTENADDRESS", |o| {
            o.participation(&format!(
                "0.0.0.0:{}",
                o.setup.settings.number("/orderers/admin/port", 9443)
            ))
        }),
        during(CHANNEL_PARTICIPATION, "ORDERER_ADMIN_TLS_ENABLED", |o| {
            o.participation("true")
        }),
        during(
            CHANNEL_PARTICIPATION,
            "ORDERER_ADMIN_TLS_CERTIFICATE",
            |o| o.participation(CERTIFICATE),
        ),
        during(CHANNEL_PARTICIPATION, "ORDERER_ADMIN_TLS_PRIVATEKEY", |o| {
            o.participation(KEY)
        }),
        during(
            CHANNEL_PARTICIPATION,
            "ORDERER_ADMIN_TLS_CLIENTAUTHREQUIRED",
            |o| o.participation("true"),
        ),
        during(
            CHANNEL_PARTICIPATION,
            "ORDERER_ADMIN_TLS_CLIENTROOTCAS",
            |o| {
                // On a volume, the same authority's certificate is next to the node's own
                // certificate.
                o.participation(match o.setup.crypto.source {
                    CryptoSource::Nfs => "[/etc/hyperledger/tls/ca.crt]",
                    CryptoSource::Program | CryptoSource::Secret => {
                        "[/etc/hyperledger/admin-clientca/ca.crt]"
                    }
                })
            },
        ),
        row("ORDERER_FILELEDGER_LOCATION", |_| {
            Some("/var/hyperledger/production/orderer".to_owned())
        }),
        row("ORDERER_OPERATIONS_LISTENADDRESS", |o| {
            Some(format!(
                "0.0.0.0:{}",
                o.setup.settings.number("/operations/port", 8443)
            ))
        }),
        row("ORDERER_METRICS_PROVIDER", |o| {
            Some(o.setup.settings.metrics_provider().to_owned())
        }),
    ];

    fn tls(&self, value: &str) -> Option<String> {
        self.setup
            .settings
            .flag("/tls/enabled", true)
            .then(|| value.to_owned())
    }

    fn genesis(&self, value: &str) -> Option<String> {
        (self.bootstrap == Bootstrap::Genesis).then(|| value.to_owned())
    }

    fn participation(&self, value: &str) -> Option<String> {
        (self.bootstrap == Bootstrap::Participation).then(|| value.to_owned())
    }

    /// Returns a setting of the separate listener for other orderers, if there is one. All four
    /// settings are needed then, otherwise none (`main.go`, `reuseListener`).
    fn cluster(&self, value: impl FnOnce(u64) -> String) -> Option<String> {
        match self.setup.settings.number("/orderers/cluster/port", 0) {
            0 => None,
            port => Some(value(port)),
        }
    }

    /// Returns the facts for templates.
    fn facts(&self, name: &str) -> Value {
        let Setup {
            settings,
            names,
            images,
            crypto,
            ..
        } = self.setup;
        let extra = settings.map("/orderers/env");
        let address = names.address(name);
        let mounts = crypto.node(name, "orderers");
        json!({
            "name": name,
            "address": address,
            "endpoint": format!("{address}:{ORDERER_PORT}"),
            "env": environment(&Orderer::VARIABLES, images.version, self, extra),
            "msp": mounts.msp,
            "tls": mounts.tls,
        })
    }
}

/// Returns the facts about orderers for templates: `orderers`, `consensus`, `bootstrap`,
/// `min_available`, and those of [`Exposure::facts`].
///
/// [`Exposure::facts`]: super::expose::Exposure::facts
pub fn facts(setup: Setup, breaks: &mut Breaks) -> Map<String, Value> {
    let Setup {
        settings,
        exposure,
        crypto,
        ..
    } = setup;
    let count = settings.number("/orderers/count", 1);
    let consensus = Consensus::of(settings);
    check(setup, consensus, count, breaks);
    let bootstrap = match participates(settings, setup.images.version) {
        true => Bootstrap::Participation,
        false => Bootstrap::Genesis,
    };
    let nodes: Vec<(String, &str)> = (0..count)
        .map(|i| (format!("orderer{i}"), "orderer"))
        .collect();
    let orderer = Orderer { setup, bootstrap };
    let orderers = nodes.iter().map(|(name, _)| orderer.facts(name));
    let mut facts = exposure.facts(&nodes, false, breaks);
    facts.insert("orderers".to_owned(), orderers.collect());
    facts.insert("consensus".to_owned(), consensus.name().into());
    let bootstrap = match bootstrap {
        Bootstrap::Participation => "participation",
        Bootstrap::Genesis => "genesis",
    };
    facts.insert("bootstrap".to_owned(), bootstrap.into());
    if crypto.source != CryptoSource::Nfs {
        facts.insert("admin_clientca".to_owned(), crypto.admin_client_ca().into());
    }
    // A budget without any allowed eviction would prevent draining a machine.
    facts.insert(
        "min_available".to_owned(),
        consensus.quorum(count).min(count.saturating_sub(1)).into(),
    );
    facts
}

/// Where the values say that the genesis block is.
struct Genesis<'a> {
    secret: &'a str,
    path: &'a str,
}

impl<'a> Genesis<'a> {
    fn of(settings: &Settings<'a>) -> Genesis<'a> {
        Genesis {
            secret: settings.text("/orderers/genesis/secret"),
            path: settings.text("/orderers/genesis/path"),
        }
    }

    fn is_given(&self) -> bool {
        !self.secret.is_empty() || !self.path.is_empty()
    }

    fn check(&self, source: CryptoSource, breaks: &mut Breaks) {
        let path = self.path;
        if !self.secret.is_empty() && !path.is_empty() {
            breaks.add(
                "orderers.genesis.path",
                "the genesis block is given twice: use either the Secret or the path",
            );
        }
        if !path.is_empty() && source != CryptoSource::Nfs {
            breaks.add(
                "orderers.genesis.path",
                "this path is on the volume of the identities, which exists only with crypto.source nfs",
            );
        }
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            breaks.add(
                "orderers.genesis.path",
                "expected a path below the organization's folder, such as genesis.block",
            );
        }
    }
}

/// Returns true if orderers join channels through their admin port.
pub fn participates(settings: &Settings, version: &Version) -> bool {
    !Genesis::of(settings).is_given()
        && Consensus::of(settings) != Consensus::Kafka
        && CHANNEL_PARTICIPATION.holds(version)
}

/// Refuses settings that no orderer of this version can have.
fn check(setup: Setup, consensus: Consensus, count: u64, breaks: &mut Breaks) {
    let Setup {
        settings,
        images,
        crypto,
        ..
    } = setup;
    let version = images.version;
    let genesis = Genesis::of(settings);
    genesis.check(crypto.source, breaks);
    check_consensus(settings, version, consensus, count, breaks);
    if (version.major, version.minor, version.patch) == BROKEN_IMAGE {
        breaks.add(
            "fabricVersion",
            "the orderer image of 3.1.2 cannot mount its MSP: use 3.1.3 or later",
        );
    }
    if genesis.is_given() && !SYSTEM_CHANNEL.holds(version) {
        breaks.add(
            match genesis.secret {
                "" => "orderers.genesis.path",
                _ => "orderers.genesis.secret",
            },
            format!("an orderer of Fabric {version} exits if it has a genesis block"),
        );
    }
    check_ports(settings, breaks);
    let participates = participates(settings, version);
    if !participates && !genesis.is_given() && SYSTEM_CHANNEL.holds(version) {
        breaks.add(
            "orderers.genesis.secret",
            format!(
                "{} on Fabric {version} needs the genesis block of a system channel: set the \
                 Secret that contains it as genesis.block (from `configtxgen -outputBlock` and \
                 `kubectl create secret generic`), or with crypto.source nfs its path \
                 (orderers.genesis.path)",
                consensus.name()
            ),
        );
    }
}

/// Refuses a consensus type that the version does not have, and what the type does not allow.
fn check_consensus(
    settings: &Settings,
    version: &Version,
    consensus: Consensus,
    count: u64,
    breaks: &mut Breaks,
) {
    let tls = settings.flag("/tls/enabled", true);
    if !consensus.span().holds(version) {
        let types = [Consensus::Raft, Consensus::Kafka, Consensus::Bft];
        let offered = types
            .into_iter()
            .filter(|consensus| consensus.span().holds(version))
            .map(Consensus::name);
        breaks.add(
            "orderers.consensus",
            format!(
                "Fabric {version} does not support {}; it supports {}",
                consensus.name(),
                offered.collect::<Vec<_>>().join(" and ")
            ),
        );
    }
    if consensus == Consensus::Bft && count < 4 {
        breaks.add(
            "orderers.count",
            format!("BFT needs 3f+1 nodes to tolerate f faults: at least 4, not {count}"),
        );
    }
    if consensus != Consensus::Kafka && !tls {
        breaks.add(
            "tls.enabled",
            format!(
                "{} identifies its nodes by their TLS certificates: TLS must be enabled",
                consensus.name()
            ),
        );
    }
    if settings.flag("/tls/clientAuthRequired", false) && !tls {
        breaks.add("tls.clientAuthRequired", "it needs tls.enabled");
    }
}

/// Refuses two listeners on one port.
fn check_ports(settings: &Settings, breaks: &mut Breaks) {
    let port = |path, default| settings.number(path, default);
    let ports = [
        ("the orderer itself", ORDERER_PORT),
        ("orderers.admin.port", port("/orderers/admin/port", 9443)),
        ("orderers.cluster.port", port("/orderers/cluster/port", 0)),
        ("operations.port", port("/operations/port", 8443)),
    ];
    for (i, (key, port)) in ports.iter().enumerate().filter(|(_, (_, port))| *port != 0) {
        if let Some((other, _)) = ports[..i].iter().find(|(_, other)| other == port) {
            breaks.add(key, format!("port {port} is used by {other}"));
        }
    }
}
