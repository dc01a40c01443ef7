//! Peers: their environment, their core.yaml, and how they launch chaincode.

use super::images::Images;
use super::settings::{Settings, Variable, environment};
use super::versions::{CCAAS_BUILDER, EMPTY_ENV_COUNTS, EXTERNAL_BUILDERS, LEADER_ELECTION, Span};
use super::{Breaks, Names};
use semver::Version;
use serde_json::{Map, Value, json};

pub const PORT: u64 = 7051;
pub const CHAINCODE_PORT: u64 = 7052;
pub const COUCHDB_PORT: u64 = 5984;

/// How a peer comes to run chaincode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaincode {
    /// As a service, by the builder in the peer's image.
    Ccaas,
    /// By a Docker host that the peer reaches over TCP.
    DockerTcp,
    /// By external builders of the user's own.
    External,
    /// Not at all: the peer keeps the ledger and does not endorse.
    None,
}

impl Chaincode {
    fn name(self) -> &'static str {
        match self {
            Chaincode::Ccaas => "ccaas",
            Chaincode::DockerTcp => "docker-tcp",
            Chaincode::External => "external",
            Chaincode::None => "none",
        }
    }

    /// The mode that values ask for, checked against the version.
    ///
    /// Source: `chaincode.externalBuilders` and `vm.endpoint` in `sampleconfig/core.yaml` of each line. A Docker daemon's socket is not
    /// there on a Kubernetes node that runs containerd, so `auto` never means one.
    fn choose(settings: &Settings, version: &Version, breaks: &mut Breaks) -> Chaincode {
        let endpoint = settings.text("/chaincode/dockerEndpoint");
        let builders = settings.get("/chaincode/builders").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !endpoint.is_empty() && docker_port(endpoint).is_none() {
            breaks.add("chaincode.dockerEndpoint", "a Docker host is given as tcp://HOST:PORT");
        }
        if builders && !EXTERNAL_BUILDERS.holds(version) {
            breaks.add("chaincode.builders", format!("Fabric {version} has no external builders; they came with 2.0"));
        }
        match settings.text_or("/chaincode/mode", "auto") {
            "auto" if !endpoint.is_empty() => Chaincode::DockerTcp,
            "auto" if CCAAS_BUILDER.holds(version) => Chaincode::Ccaas,
            "auto" if builders => Chaincode::External,
            "auto" => Chaincode::None,
            "ccaas" => {
                if !CCAAS_BUILDER.holds(version) {
                    breaks.add(
                        "chaincode.mode",
                        format!("Fabric {version} has no builder for chaincode as a service; it came with 2.4.1"),
                    );
                }
                Chaincode::Ccaas
            }
            "docker-tcp" => {
                if endpoint.is_empty() {
                    breaks.add("chaincode.dockerEndpoint", "chaincode.mode docker-tcp needs the Docker host, as tcp://HOST:PORT");
                }
                Chaincode::DockerTcp
            }
            "external" => {
                if !builders {
                    breaks.add("chaincode.builders", "chaincode.mode external needs at least one builder, with name and path");
                }
                Chaincode::External
            }
            _ => Chaincode::None,
        }
    }
}

/// The port of `tcp://HOST:PORT`.
fn docker_port(endpoint: &str) -> Option<u16> {
    let (host, port) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
    port.parse().ok().filter(|port| *port != 0 && !host.is_empty())
}

/// What the rows of the table know of a peer.
struct Peer<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    images: Images<'a>,
    name: String,
    chaincode: Chaincode,
    bootstrap: Vec<String>,
    couchdb: bool,
    builders: Vec<Value>,
}

impl Peer<'_> {
    fn endpoint(&self, port: u64) -> Option<String> {
        Some(format!("{}:{port}", self.names.address(&self.name)))
    }

    fn tls(&self, value: &str) -> Option<String> {
        self.settings.flag("/tls/enabled", true).then(|| value.to_owned())
    }

    fn docker(&self, path: &str) -> Option<String> {
        let text = self.settings.text(path);
        (self.chaincode == Chaincode::DockerTcp && !text.is_empty()).then(|| text.to_owned())
    }

    /// Exactly one of leader election and being the leader is on: the peer ends itself when both are (`core.yaml`, `peer.gossip`).
    fn elects(&self) -> bool {
        match self.settings.text_or("/peers/gossip/leader", "auto") {
            "election" => true,
            "static" => false,
            _ => LEADER_ELECTION.holds(self.images.version),
        }
    }
}

const fn row<'a>(name: &'static str, value: fn(&Peer<'a>) -> Option<String>) -> Variable<Peer<'a>> {
    Variable { name, span: Span::ALWAYS, value }
}

const fn since<'a>(span: Span, name: &'static str, value: fn(&Peer<'a>) -> Option<String>) -> Variable<Peer<'a>> {
    Variable { name, span, value }
}

/// Source: the keys of `sampleconfig/core.yaml`, which a variable overrides by `CORE_` and its path in capitals. Listen addresses of the
/// operations service default to loopback, where a probe does not reach them. `CHAINCODEADDRESS` is what chaincode dials: left out, the
/// peer takes the pod's address, which does not outlive the pod.
fn variables<'a>() -> Vec<Variable<Peer<'a>>> {
    vec![
        row("FABRIC_LOGGING_SPEC", |p| Some(p.settings.text_or("/peers/logging/spec", "info").to_owned())),
        since(Span::ALWAYS.before(3, 0, 0), "FABRIC_CFG_PATH", |_| Some("/etc/hyperledger/config".to_owned())),
        row("CORE_PEER_ID", |p| Some(p.names.address(&p.name))),
        row("CORE_PEER_NETWORKID", |p| (!p.names.network.is_empty()).then(|| p.names.network.clone())),
        row("CORE_PEER_ADDRESS", |p| p.endpoint(PORT)),
        row("CORE_PEER_LISTENADDRESS", |_| Some(format!("0.0.0.0:{PORT}"))),
        row("CORE_PEER_CHAINCODEADDRESS", |p| p.endpoint(CHAINCODE_PORT)),
        row("CORE_PEER_CHAINCODELISTENADDRESS", |_| Some(format!("0.0.0.0:{CHAINCODE_PORT}"))),
        row("CORE_PEER_GOSSIP_BOOTSTRAP", |p| (!p.bootstrap.is_empty()).then(|| p.bootstrap.join(" "))),
        row("CORE_PEER_GOSSIP_ENDPOINT", |p| p.endpoint(PORT)),
        row("CORE_PEER_GOSSIP_EXTERNALENDPOINT", |p| p.endpoint(PORT)),
        row("CORE_PEER_GOSSIP_USELEADERELECTION", |p| Some(p.elects().to_string())),
        row("CORE_PEER_GOSSIP_ORGLEADER", |p| Some((!p.elects()).to_string())),
        row("CORE_PEER_LOCALMSPID", |p| Some(p.names.msp_id.clone())),
        row("CORE_PEER_MSPCONFIGPATH", |_| Some("/etc/hyperledger/msp".to_owned())),
        row("CORE_PEER_FILESYSTEMPATH", |_| Some("/var/hyperledger/production".to_owned())),
        since(Span::since(2, 3, 0), "CORE_LEDGER_SNAPSHOTS_ROOTDIR", |_| {
            Some("/var/hyperledger/production/snapshots".to_owned())
        }),
        row("CORE_PEER_TLS_ENABLED", |p| Some(p.settings.flag("/tls/enabled", true).to_string())),
        row("CORE_PEER_TLS_CERT_FILE", |p| p.tls("/etc/hyperledger/tls/server.crt")),
        row("CORE_PEER_TLS_KEY_FILE", |p| p.tls("/etc/hyperledger/tls/server.key")),
        row("CORE_PEER_TLS_ROOTCERT_FILE", |p| p.tls("/etc/hyperledger/tls/ca.crt")),
        row("CORE_PEER_TLS_CLIENTAUTHREQUIRED", |p| p.settings.flag("/tls/clientAuthRequired", false).then(|| "true".to_owned())),
        row("CORE_PEER_TLS_CLIENTROOTCAS_FILES", |p| {
            p.settings.flag("/tls/clientAuthRequired", false).then(|| "/etc/hyperledger/tls/ca.crt".to_owned())
        }),
        row("CORE_LEDGER_STATE_STATEDATABASE", |p| Some(if p.couchdb { "CouchDB" } else { "goleveldb" }.to_owned())),
        row("CORE_LEDGER_STATE_COUCHDBCONFIG_COUCHDBADDRESS", |p| p.couchdb.then(|| format!("localhost:{COUCHDB_PORT}"))),
        row("CORE_OPERATIONS_LISTENADDRESS", |p| Some(format!("0.0.0.0:{}", p.settings.number("/operations/port", 9443)))),
        row("CORE_METRICS_PROVIDER", |p| {
            Some(if p.settings.flag("/metrics/enabled", true) { "prometheus" } else { "disabled" }.to_owned())
        }),
        row("CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG", |p| {
            CCAAS_BUILDER.holds(p.images.version).then(|| json!({"peername": p.name}).to_string())
        }),
        since(EMPTY_ENV_COUNTS, "CORE_VM_ENDPOINT", |p| (p.chaincode != Chaincode::DockerTcp).then(String::new)),
        since(EMPTY_ENV_COUNTS, "CORE_CHAINCODE_EXTERNALBUILDERS", |p| {
            (p.builders.len() > 1).then(|| Value::Array(p.builders.clone()).to_string())
        }),
        row("CORE_VM_DOCKER_HOSTCONFIG_NETWORKMODE", |p| p.docker("/chaincode/dockerNetwork")),
        row("CORE_VM_DOCKER_HOSTCONFIG_DNS", |p| {
            let servers = p.settings.texts("/chaincode/dockerDns");
            (p.chaincode == Chaincode::DockerTcp && !servers.is_empty()).then(|| servers.join(" "))
        }),
    ]
}

/// What templates know of the release's peers: `peers`, `chaincode`, `peer_healthz`.
pub fn facts(settings: &Settings, names: &Names, images: Images, breaks: &mut Breaks) -> Map<String, Value> {
    let version = images.version;
    let count = settings.number("/peers/count", 1);
    let chaincode = Chaincode::choose(settings, version, breaks);
    let couchdb = settings.text("/peers/stateDatabase") == "CouchDB";
    let all: Vec<String> = (0..count).map(|i| format!("peer{i}")).collect();
    let named: Vec<String> = settings.texts("/peers/gossip/bootstrap").into_iter().map(str::to_owned).collect();
    if settings.flag("/tls/clientAuthRequired", false) && !settings.flag("/tls/enabled", true) {
        breaks.add("tls.clientAuthRequired", "clients show certificates in TLS: it needs tls.enabled");
    }
    let operations = settings.number("/operations/port", 9443);
    if [PORT, CHAINCODE_PORT, COUCHDB_PORT, super::ca::PORT].contains(&operations) {
        breaks.add("operations.port", format!("port {operations} is taken in these pods by what they serve"));
    }
    let builders = builders(settings, version, chaincode);
    let peers: Vec<Value> = all
        .iter()
        .map(|name| {
            let others = all.iter().filter(|other| *other != name).map(|other| format!("{}:{PORT}", names.address(other)));
            let bootstrap = if named.is_empty() { others.collect() } else { named.clone() };
            let peer =
                Peer { settings, names, images, name: name.clone(), chaincode, bootstrap, couchdb, builders: builders.clone() };
            let mut env = environment(&variables(), version, &peer, settings.map("/peers/env"));
            if chaincode == Chaincode::DockerTcp {
                docker(&peer, &mut env);
            }
            json!({
                "name": name,
                "address": names.address(name),
                "endpoint": peer.endpoint(PORT),
                "env": env,
                "msp_secret": format!("{name}-msp"),
                "tls_secret": format!("{name}-tls"),
                "couchdb_secret": match settings.text("/couchdb/existingSecret") {
                    "" => format!("{name}-couchdb"),
                    existing => existing.to_owned(),
                },
            })
        })
        .collect();
    let mut facts = Map::new();
    facts.insert("peers".to_owned(), peers.into());
    facts.insert("chaincode".to_owned(), chaincode.name().into());
    if let Some(port) = docker_port(settings.text("/chaincode/dockerEndpoint")) {
        facts.insert("docker_port".to_owned(), port.into());
    }
    // From 1.4 to the end of the line a peer asks its Docker daemon whenever it is asked for its health; without one it never is well
    // (`peer/node/start.go` of 1.4 registers the checker unconditionally, later lines only when `vm.endpoint` is set).
    facts.insert("peer_healthz".to_owned(), (version.major > 1 || chaincode == Chaincode::DockerTcp).into());
    if !EMPTY_ENV_COUNTS.holds(version) {
        facts.insert("core".to_owned(), core(version, chaincode, builders));
    }
    if couchdb {
        facts.insert(
            "couchdb".to_owned(),
            json!({
                "image": settings.text_or("/couchdb/image", &images.couchdb()),
                // The entry point of fabric-couchdb gives its files to `couchdb` and becomes that user: it must begin as root.
                "root": version.major == 1,
            }),
        );
    }
    facts
}

fn docker(peer: &Peer, env: &mut Map<String, Value>) {
    env.insert("CORE_VM_ENDPOINT".to_owned(), peer.settings.text("/chaincode/dockerEndpoint").into());
    // The Docker host pulls these; without a mirror the program's own defaults are right.
    if !peer.images.mirror.is_empty() {
        env.insert("CORE_CHAINCODE_BUILDER".to_owned(), peer.images.chaincode_builder().into());
        for (language, image) in peer.images.chaincode_runtimes() {
            env.insert(format!("CORE_CHAINCODE_{}_RUNTIME", language.to_uppercase()), image.into());
        }
    }
}

/// The peer's external builders. One that does nothing stands in where there is neither a builder nor a Docker host, because a peer
/// of 2.0 to 2.4.0 ends itself when it has none of both (`internal/peer/node/start.go`).
fn builders(settings: &Settings, version: &Version, chaincode: Chaincode) -> Vec<Value> {
    let mut builders = Vec::new();
    if CCAAS_BUILDER.holds(version) {
        builders.push(json!({
            "name": "ccaas_builder",
            "path": "/opt/hyperledger/ccaas_builder",
            "propagateEnvironment": ["CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG"],
        }));
    }
    builders.extend(settings.get("/chaincode/builders").and_then(Value::as_array).into_iter().flatten().cloned());
    if builders.is_empty() && chaincode == Chaincode::None && EXTERNAL_BUILDERS.holds(version) {
        builders.push(json!({"name": "none", "path": "/opt/hyperledger/none"}));
    }
    builders
}

/// core.yaml for the lines that cannot do without: viper of before 3.0 takes an empty variable for an unset one, so only a file without
/// `vm.endpoint` keeps a peer from asking for a Docker daemon.
///
/// It holds the keys of `sampleconfig/core.yaml` for which the program has no default of its own, with that file's values, and leaves to
/// the environment what differs from node to node.
fn core(version: &Version, chaincode: Chaincode, builders: Vec<Value>) -> Value {
    let two = version.major >= 2;
    let since = |minor: u64| (version.major, version.minor) >= (2, minor);
    let mut peer = json!({
        "networkId": "dev",
        "keepalive": {
            "minInterval": "60s",
            "client": {"interval": "60s", "timeout": "20s"},
            "deliveryClient": {"interval": "60s", "timeout": "20s"},
        },
        "gossip": {
            "membershipTrackerInterval": "5s",
            "maxBlockCountToStore": if two { 10 } else { 100 },
            "maxPropagationBurstLatency": "10ms",
            "maxPropagationBurstSize": 10,
            "propagateIterations": 1,
            "propagatePeerNum": 3,
            "pullInterval": "4s",
            "pullPeerNum": 3,
            "requestStateInfoInterval": "4s",
            "publishStateInfoInterval": "4s",
            "publishCertPeriod": "10s",
            "skipBlockVerification": false,
            "dialTimeout": "3s",
            "connTimeout": "2s",
            "recvBuffSize": 20,
            "sendBuffSize": 200,
            "digestWaitTime": "1s",
            "requestWaitTime": "1500ms",
            "responseWaitTime": "2s",
            "aliveTimeInterval": "5s",
            "aliveExpirationTimeout": "25s",
            "reconnectInterval": "25s",
            "maxConnectionAttempts": 120,
            "msgExpirationFactor": 20,
            "election": {
                "startupGracePeriod": "15s",
                "membershipSampleInterval": "1s",
                "leaderAliveThreshold": "10s",
                "leaderElectionDuration": "5s",
            },
            "pvtData": {
                "pullRetryThreshold": "60s",
                "transientstoreMaxBlockRetention": 1000,
                "pushAckTimeout": "3s",
                "btlPullMargin": 10,
                "reconcileBatchSize": 10,
                "reconcileSleepInterval": "1m",
                "reconciliationEnabled": true,
                "skipPullingInvalidTransactionsDuringCommit": false,
                "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
            },
            "state": {
                "enabled": !two,
                "checkInterval": "10s",
                "responseTimeout": "3s",
                "batchSize": 10,
                "blockBufferSize": if two { 20 } else { 100 },
                "maxRetries": 3,
            },
        },
        "authentication": {"timewindow": "15m"},
        "BCCSP": {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}}},
        "localMspType": "bccsp",
        "client": {"connTimeout": "3s"},
        "deliveryclient": {
            "reconnectTotalTimeThreshold": "3600s",
            "connTimeout": "3s",
            "reConnectBackoffThreshold": "3600s",
        },
        "profile": {"enabled": false, "listenAddress": "127.0.0.1:6060"},
        "handlers": {
            "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}],
            "decorators": [{"name": "DefaultDecorator"}],
            "endorsers": {"escc": {"name": "DefaultEndorsement", "library": ""}},
            "validators": {"vscc": {"name": "DefaultValidation", "library": ""}},
        },
        "discovery": {
            "enabled": true,
            "authCacheEnabled": true,
            "authCacheMaxSize": 1000,
            "authCachePurgeRetentionRatio": 0.75,
            "orgMembersAllowedAccess": false,
        },
    });
    if two {
        peer["keepalive"]["interval"] = "7200s".into();
        peer["keepalive"]["timeout"] = "20s".into();
        peer["deliveryclient"]["blockGossipEnabled"] = true.into();
        peer["maxRecvMsgSize"] = 104_857_600.into();
        peer["maxSendMsgSize"] = 104_857_600.into();
        peer["limits"] = json!({"concurrency": {"endorserService": 2500, "deliverService": 2500}});
    }
    if since(4) {
        peer["gateway"] = json!({"enabled": true, "endorsementTimeout": "30s", "broadcastTimeout": "30s", "dialTimeout": "2m"});
        peer["limits"]["concurrency"]["gatewayService"] = 500.into();
    }
    let system = if two { &["_lifecycle", "cscc", "lscc", "qscc"][..] } else { &["cscc", "lscc", "qscc"] };
    let mut code = json!({
        "pull": false,
        "builder": "$(DOCKER_NS)/fabric-ccenv:$(TWO_DIGIT_VERSION)",
        "golang": {"dynamicLink": false, "runtime": "$(DOCKER_NS)/fabric-baseos:$(TWO_DIGIT_VERSION)"},
        "java": {"runtime": "$(DOCKER_NS)/fabric-javaenv:$(TWO_DIGIT_VERSION)"},
        "node": {"runtime": "$(DOCKER_NS)/fabric-nodeenv:$(TWO_DIGIT_VERSION)"},
        "startuptimeout": "300s",
        "executetimeout": "30s",
        "mode": "net",
        "keepalive": 0,
        "system": system.iter().map(|name| ((*name).to_owned(), Value::from("enable"))).collect::<Map<_, _>>(),
        "logging": {
            "level": "info",
            "shim": "warning",
            "format": "%{time:2006-01-02 15:04:05.000 MST} [%{module}] %{shortfunc} -> %{level:.4s} %{id:03x} %{message}",
        },
    });
    if two {
        code["installTimeout"] = "300s".into();
        code["externalBuilders"] = builders.into();
    } else {
        let base = |image: &str| format!("$(BASE_DOCKER_NS)/{image}:$(ARCH)-$(BASE_VERSION)");
        code["golang"]["runtime"] = base("fabric-baseos").into();
        code["node"]["runtime"] = base("fabric-baseimage").into();
    }
    let mut couchdb = json!({
        "maxRetries": 3,
        "maxRetriesOnStartup": if two { 10 } else { 12 },
        "requestTimeout": "35s",
        "internalQueryLimit": 1000,
        "maxBatchUpdateSize": 1000,
        "createGlobalChangesDB": false,
    });
    if !since(3) {
        couchdb["warmIndexesAfterNBlocks"] = 1.into();
    }
    if two {
        couchdb["cacheSize"] = 64.into();
    }
    let mut ledger = json!({
        "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100_000, "couchDBConfig": couchdb},
        "history": {"enableHistoryDatabase": true},
    });
    if two {
        ledger["pvtdataStore"] = json!({
            "collElgProcMaxDbBatchSize": 5000,
            "collElgProcDbBatchesInterval": 1000,
            "deprioritizedDataReconcilerInterval": "60m",
        });
    }
    if since(3) {
        ledger["snapshots"] = json!({"rootDir": "/var/hyperledger/production/snapshots"});
    }
    if since(5) {
        ledger["pvtdataStore"]["purgeInterval"] = 100.into();
        ledger["pvtdataStore"]["purgedKeyAuditLogging"] = true.into();
    }
    let mut core = json!({
        "peer": peer,
        "chaincode": code,
        "ledger": ledger,
        "operations": {"tls": {"enabled": false, "clientAuthRequired": false, "clientRootCAs": {"files": []}}},
        "metrics": {"provider": "disabled", "statsd": {"network": "udp", "address": "127.0.0.1:8125", "writeInterval": "10s"}},
    });
    if chaincode == Chaincode::DockerTcp {
        core["vm"] = json!({
            "docker": {
                "tls": {"enabled": false},
                "attachStdout": false,
                "hostConfig": {
                    "NetworkMode": "host",
                    "LogConfig": {"Type": "json-file", "Config": {"max-size": "50m", "max-file": "5"}},
                    "Memory": 2_147_483_648_u64,
                },
            },
        });
    }
    core
}
