//! Peers: their environment, and the facts for templates.

use super::chaincode::{Chaincode, builders, docker_port};
use super::core;
use super::expose::Exposure;
use super::organization;
use super::ports::{CA_PORT, CHAINCODE_PORT, COUCHDB_PORT, PEER_PORT};
use super::settings::{Settings, Variable, during, environment, row};
use super::versions::{CCAAS_BUILDER, EMPTY_ENV_COUNTS, LEADER_ELECTION, Span};
use super::{Breaks, Names, Setup};
use serde_json::{Map, Value, json};

/// Number of bootstrap peers: two, so that one may be down.
const BOOTSTRAP_PEERS: usize = 2;

/// A peer in the form that the rows of the table use.
struct Peer<'a> {
    setup: Setup<'a>,
    name: &'a str,
    chaincode: Chaincode,
    bootstrap: Vec<String>,
    builders: &'a [Value],
}

impl<'a> Peer<'a> {
    /// The table of a peer's environment variables.
    ///
    /// Source: the keys of `sampleconfig/core.yaml`. The variable of a key is `CORE_` with the
    /// key's path in capitals. The operations service listens on loopback by default, where probes
    /// cannot reach it. `CHAINCODEADDRESS` is the address that chaincode dials. Without it, the
    /// peer uses the pod's address, which changes with the pod.
    const VARIABLES: [Variable<Peer<'a>>; 38] = [
        row("FABRIC_LOGGING_SPEC", |p| {
            Some(
                p.setup
                    .settings
                    .text_or("/peers/logging/spec", "info")
                    .to_owned(),
            )
        }),
        during(Span::ALWAYS.before(3, 0, 0), "FABRIC_CFG_PATH", |_| {
            Some("/etc/hyperledger/config".to_owned())
        }),
        row("CORE_PEER_ID", |p| Some(p.setup.names.address(p.name))),
        row("CORE_PEER_NETWORKID", |p| {
            (!p.setup.names.network.is_empty()).then(|| p.setup.names.network.clone())
        }),
        row("CORE_PEER_ADDRESS", |p| p.endpoint(PEER_PORT)),
        row("CORE_PEER_LISTENADDRESS", |_| {
            Some(format!("0.0.0.0:{PEER_PORT}"))
        }),
        row("CORE_PEER_CHAINCODEADDRESS", |p| p.chaincode_endpoint()),
        row("CORE_PEER_CHAINCODELISTENADDRESS", |_| {
            Some(format!("0.0.0.0:{CHAINCODE_PORT}"))
        }),
        row("CORE_PEER_GOSSIP_BOOTSTRAP", |p| {
            (!p.bootstrap.is_empty()).then(|| p.bootstrap.join(" "))
        }),
        row("CORE_PEER_GOSSIP_ENDPOINT", |p| p.endpoint(PEER_PORT)),
        row("CORE_PEER_GOSSIP_EXTERNALENDPOINT", |p| {
            Some(p.external_endpoint())
        }),
        row("CORE_PEER_GOSSIP_USELEADERELECTION", |p| {
            Some(p.elects().to_string())
        }),
        row("CORE_PEER_GOSSIP_ORGLEADER", |p| {
            Some((!p.elects()).to_string())
        }),
        row("CORE_PEER_LOCALMSPID", |p| {
            Some(p.setup.names.msp_id.clone())
        }),
        row("CORE_PEER_MSPCONFIGPATH", |_| {
            Some("/etc/hyperledger/msp".to_owned())
        }),
        row("CORE_PEER_FILESYSTEMPATH", |_| {
            Some("/var/hyperledger/production".to_owned())
        }),
        during(
            Span::since(2, 3, 0),
            "CORE_LEDGER_SNAPSHOTS_ROOTDIR",
            |_| Some("/var/hyperledger/production/snapshots".to_owned()),
        ),
        row("CORE_PEER_TLS_ENABLED", |p| {
            Some(p.setup.settings.flag("/tls/enabled", true).to_string())
        }),
        row("CORE_PEER_TLS_CERT_FILE", |p| {
            p.tls("/etc/hyperledger/tls/server.crt")
        }),
        row("CORE_PEER_TLS_KEY_FILE", |p| {
            p.tls("/etc/hyperledger/tls/server.key")
        }),
        row("CORE_PEER_TLS_ROOTCERT_FILE", |p| {
            p.tls("/etc/hyperledger/tls/ca.crt")
        }),
        row("CORE_PEER_TLS_CLIENTAUTHREQUIRED", |p| {
            p.setup
                .settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "true".to_owned())
        }),
        row("CORE_PEER_TLS_CLIENTROOTCAS_FILES", |p| {
            p.setup
                .settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "/etc/hyperledger/tls/ca.crt".to_owned())
        }),
        row("CORE_LEDGER_STATE_STATEDATABASE", |p| {
            Some(if p.couchdb() { "CouchDB" } else { "goleveldb" }.to_owned())
        }),
        row("CORE_LEDGER_STATE_COUCHDBCONFIG_COUCHDBADDRESS", |p| {
            p.couchdb().then(|| format!("localhost:{COUCHDB_PORT}"))
        }),
        row("CORE_OPERATIONS_LISTENADDRESS", |p| {
            Some(format!(
                "0.0.0.0:{}",
                p.setup.settings.number("/operations/port", 9443)
            ))
        }),
        row("CORE_METRICS_PROVIDER", |p| {
            Some(p.setup.settings.metrics_provider().to_owned())
        }),
        row("CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG", |p| {
            CCAAS_BUILDER
                .holds(p.setup.images.version)
                .then(|| json!({"peername": p.name}).to_string())
        }),
        during(EMPTY_ENV_COUNTS, "CORE_VM_ENDPOINT", |p| {
            (!p.chaincode.is_docker()).then(String::new)
        }),
        during(EMPTY_ENV_COUNTS, "CORE_CHAINCODE_EXTERNALBUILDERS", |p| {
            (p.builders.len() > 1).then(|| Value::from(p.builders).to_string())
        }),
        row("CORE_VM_DOCKER_HOSTCONFIG_NETWORKMODE", |p| {
            p.docker("/chaincode/dockerNetwork")
        }),
        row("CORE_VM_DOCKER_HOSTCONFIG_DNS", |p| {
            p.docker_list("/chaincode/dockerDns")
        }),
        row("CORE_VM_DOCKER_HOSTCONFIG_DNSSEARCH", |p| {
            p.docker_list("/chaincode/dockerDnsSearch")
        }),
        row("CORE_VM_DOCKER_TLS_ENABLED", |p| p.docker_tls("true")),
        row("CORE_VM_DOCKER_TLS_CA_FILE", |p| {
            p.docker_tls("/etc/hyperledger/docker/ca.crt")
        }),
        row("CORE_VM_DOCKER_TLS_CERT_FILE", |p| {
            p.docker_tls("/etc/hyperledger/docker/tls.crt")
        }),
        row("CORE_VM_DOCKER_TLS_KEY_FILE", |p| {
            p.docker_tls("/etc/hyperledger/docker/tls.key")
        }),
        row("FABRIC_K8S_BUILDER_SERVICE_ACCOUNT", |p| {
            (p.chaincode == Chaincode::K8s).then(|| p.setup.crypto.release.to_owned())
        }),
    ];

    fn endpoint(&self, port: u64) -> Option<String> {
        Some(format!("{}:{port}", self.setup.names.address(self.name)))
    }

    fn external_endpoint(&self) -> String {
        let Setup {
            settings,
            names,
            exposure,
            ..
        } = self.setup;
        external_endpoint(settings, names, exposure, self.name)
    }

    /// Returns the address at which chaincode reaches this peer. A Docker host outside of the
    /// cluster cannot reach a Service.
    fn chaincode_endpoint(&self) -> Option<String> {
        let outside = (self.chaincode == Chaincode::DockerTcp)
            .then(|| self.setup.exposure.chaincode_endpoint(self.name));
        outside.flatten().or_else(|| self.endpoint(CHAINCODE_PORT))
    }

    fn tls(&self, value: &str) -> Option<String> {
        self.setup
            .settings
            .flag("/tls/enabled", true)
            .then(|| value.to_owned())
    }

    fn docker(&self, path: &str) -> Option<String> {
        let text = self.setup.settings.text(path);
        (self.chaincode.is_docker() && !text.is_empty()).then(|| text.to_owned())
    }

    /// Returns a list in viper's format for variables: words separated by blanks.
    fn docker_list(&self, path: &str) -> Option<String> {
        let texts = self.setup.settings.texts(path);
        (self.chaincode.is_docker() && !texts.is_empty()).then(|| texts.join(" "))
    }

    fn docker_tls(&self, value: &str) -> Option<String> {
        self.docker("/chaincode/dockerTlsSecret")
            .map(|_| value.to_owned())
    }

    /// Returns whether the peer uses leader election. Otherwise it is a static leader: the peer
    /// exits if both are on (`core.yaml`, `peer.gossip`).
    fn elects(&self) -> bool {
        match self.setup.settings.text_or("/peers/gossip/leader", "auto") {
            "election" => true,
            "static" => false,
            _ => LEADER_ELECTION.holds(self.setup.images.version),
        }
    }

    fn couchdb(&self) -> bool {
        has_couchdb(self.setup.settings)
    }

    /// Returns the facts for templates.
    fn facts(&self) -> Value {
        let Setup {
            settings,
            names,
            images,
            crypto,
            ..
        } = self.setup;
        let extra = settings.map("/peers/env");
        let mut env = environment(&Peer::VARIABLES, images.version, self, extra);
        if self.chaincode.is_docker() {
            self.use_docker(&mut env);
        }
        let mounts = crypto.node(self.name, "peers");
        json!({
            "name": self.name,
            "address": names.address(self.name),
            "endpoint": self.endpoint(PEER_PORT),
            "env": env,
            "msp": mounts.msp,
            "tls": mounts.tls,
            "couchdb_secret": match settings.text("/couchdb/existingSecret") {
                "" => format!("{}-couchdb", self.name),
                existing => existing.to_owned(),
            },
        })
    }

    fn use_docker(&self, env: &mut Map<String, Value>) {
        env.insert(
            "CORE_VM_ENDPOINT".to_owned(),
            self.chaincode.endpoint(self.setup.settings).into(),
        );
        if uses_pod_address(self.setup.settings, self.chaincode) {
            let host = format!("{}:$(POD_IP)", self.setup.names.address(self.name));
            env.insert(
                "CORE_VM_DOCKER_HOSTCONFIG_EXTRAHOSTS".to_owned(),
                host.into(),
            );
        }
        // The Docker host pulls these. Without a mirror, the peer's defaults are right.
        if !self.setup.images.mirror.is_empty() {
            env.insert(
                "CORE_CHAINCODE_BUILDER".to_owned(),
                self.setup.images.chaincode_builder().into(),
            );
            for (language, image) in self.setup.images.chaincode_runtimes() {
                env.insert(
                    format!("CORE_CHAINCODE_{}_RUNTIME", language.to_uppercase()),
                    image.into(),
                );
            }
        }
    }
}

fn has_couchdb(settings: &Settings) -> bool {
    settings.text("/peers/stateDatabase") == "CouchDB"
}

/// Returns the address at which other organizations' peers reach a peer: the one in the values, the
/// exposed one if it is advertised, or the Service.
pub fn external_endpoint(
    settings: &Settings,
    names: &Names,
    exposure: &Exposure,
    node: &str,
) -> String {
    let address = names.address(node);
    // The endpoint outside, unless it has the Service's name, which is only valid with the
    // Service's port.
    let advertised = || {
        let is_service = exposure.host(node).is_some_and(|host| host == address);
        (settings.flag("/expose/advertise", true) && !is_service)
            .then(|| exposure.endpoint(node, PEER_PORT))?
    };
    named_endpoint(settings, names, node)
        .or_else(advertised)
        .unwrap_or_else(|| format!("{address}:{PEER_PORT}"))
}

/// Returns `peers.gossip.externalEndpoint` for one node. Empty if it is not a peer.
pub fn named_endpoint(settings: &Settings, names: &Names, node: &str) -> Option<String> {
    let pattern = settings.text("/peers/gossip/externalEndpoint");
    (node.starts_with("peer") && !pattern.is_empty()).then(|| names.fill(pattern, node))
}

/// Returns whether chaincode gets the pod's address.
///
/// A daemon on the pod's machine gives containers the machine's DNS, which cannot resolve names of
/// the cluster, unless the values change this. The peer creates its containers again at each start,
/// so the address is always current.
fn uses_pod_address(settings: &Settings, chaincode: Chaincode) -> bool {
    chaincode == Chaincode::DockerSock && settings.texts("/chaincode/dockerDns").is_empty()
}

/// Warns about permitted settings that do not work by themselves.
fn warn(settings: &Settings, chaincode: Chaincode, exposure: &Exposure, breaks: &mut Breaks) {
    if chaincode == Chaincode::DockerTcp
        && settings.texts("/chaincode/dockerDns").is_empty()
        && exposure.chaincode_endpoint("peer0").is_none()
    {
        breaks.warn(
            "chaincode on the Docker host cannot resolve its peer's name, which exists only in the \
             cluster: expose peers with expose.type NodePort or LoadBalancer and expose.host, or \
             set the cluster's DNS with chaincode.dockerDns and chaincode.dockerDnsSearch",
        );
    }
    let others = !settings.texts("/networkPolicy/peerOrgs").is_empty();
    let own = settings.text("/peers/gossip/externalEndpoint");
    if settings.egress_is_closed()
        && others
        && own.is_empty()
        && settings.flag("/expose/advertise", true)
        && exposure.endpoint("peer0", PEER_PORT).is_some()
    {
        breaks.warn(
            "peers of other organizations use the external address (expose.advertise), but network \
             policies in this cluster do not allow it: set expose.advertise=false if all \
             organizations are in this cluster, or allow it with networkPolicy.egress in their \
             releases",
        );
    }
    if chaincode == Chaincode::DockerSock
        && settings.number("/chaincode/dockerSocket/group", 0) == 0
    {
        breaks.warn(
            "chaincode.dockerSocket.group is 0 (root), but packages of Docker use another group \
             for the socket, without which peers never become ready: `stat -c %g \
             /var/run/docker.sock` on a machine prints it",
        );
    }
}

/// Refuses settings that no peer can have.
fn check(settings: &Settings, breaks: &mut Breaks) {
    if settings.flag("/tls/clientAuthRequired", false) && !settings.flag("/tls/enabled", true) {
        breaks.add("tls.clientAuthRequired", "it needs tls.enabled");
    }
    let pattern = settings.text("/peers/gossip/externalEndpoint");
    let is_endpoint = || {
        let parts = pattern.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !pattern.is_empty() && !is_endpoint() {
        breaks.add(
            "peers.gossip.externalEndpoint",
            "expected a host and port, such as {node}.org1.example.com:7051",
        );
    }
    let operations = settings.number("/operations/port", 9443);
    if [PEER_PORT, CHAINCODE_PORT, COUCHDB_PORT, CA_PORT].contains(&operations) {
        breaks.add(
            "operations.port",
            format!("port {operations} is already used in these pods"),
        );
    }
}

/// Returns the facts about peers for templates: `peers`, `chaincode`, `peer_healthz`, and those of
/// [`Exposure::facts`].
pub fn facts(setup: Setup, breaks: &mut Breaks) -> Map<String, Value> {
    let Setup {
        settings,
        names,
        images,
        exposure,
        ..
    } = setup;
    let version = images.version;
    let chaincode = Chaincode::choose(settings, version, breaks);
    check(settings, breaks);
    let builders = builders(settings, version, chaincode);
    let all: Vec<String> = (0..settings.number("/peers/count", 1))
        .map(|i| format!("peer{i}"))
        .collect();
    let named = settings.texts("/peers/gossip/bootstrap");
    let peers = all.iter().map(|name| {
        let peer = Peer {
            setup,
            name,
            chaincode,
            bootstrap: match named[..] {
                [] => bootstrap(&all, name, names),
                _ => named.iter().copied().map(str::to_owned).collect(),
            },
            builders: &builders,
        };
        peer.facts()
    });
    let mut nodes: Vec<(String, &str)> = all.iter().map(|name| (name.clone(), "peer")).collect();
    if settings.flag("/ca/enabled", false) {
        nodes.push((organization::CA.to_owned(), "ca"));
    }
    warn(settings, chaincode, exposure, breaks);
    let mut facts = exposure.facts(&nodes, chaincode == Chaincode::DockerTcp, breaks);
    facts.insert("peers".to_owned(), peers.collect());
    facts.extend(chaincode_facts(setup, chaincode));
    if !EMPTY_ENV_COUNTS.holds(version) {
        facts.insert("core".to_owned(), core::yaml(version, chaincode, builders));
    }
    if has_couchdb(settings) {
        facts.insert(
            "couchdb".to_owned(),
            json!({
                "image": settings.text_or("/couchdb/image", &images.couchdb()),
                // The entry point of fabric-couchdb changes the owner of its files to `couchdb` and
                // switches to that user, so it must start as root.
                "root": version.major == 1,
            }),
        );
    }
    facts
}

/// Returns the facts about how peers run chaincode.
fn chaincode_facts(setup: Setup, chaincode: Chaincode) -> Map<String, Value> {
    let Setup {
        settings, images, ..
    } = setup;
    let version = images.version;
    let mut facts = Map::new();
    let mut set = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let uses_pod_address = uses_pod_address(settings, chaincode);
    set("chaincode_uses_pod_address", uses_pod_address.into());
    set("chaincode_ways", Chaincode::ways(version).into());
    set("chaincode", chaincode.name().into());
    if chaincode == Chaincode::Dind {
        let image = images.docker();
        let image = settings.text_or("/chaincode/dind/image", &image);
        set("dind_image", image.into());
    }
    if chaincode == Chaincode::K8s {
        let image = images.k8s_builder();
        let image = settings.text_or("/chaincode/k8sBuilder/image", &image);
        set("builder_image", image.into());
    }
    if let Some(port) = docker_port(settings.text("/chaincode/dockerEndpoint")) {
        set("docker_port", port.into());
    }
    // A peer of 1.4 contacts its Docker daemon at each health check, and without one it is never
    // healthy. `peer/node/start.go` of 1.4 registers the checker unconditionally, later lines only
    // if `vm.endpoint` is set.
    let has_healthz = version.major > 1 || chaincode.is_docker();
    set("peer_healthz", has_healthz.into());
    facts
}

/// Returns the bootstrap peers of a peer: the first two of the peers before it.
///
/// Adding or removing later peers therefore never changes its environment, and it is not restarted.
/// The first peer has none and waits for others, as it would if it named itself.
///
/// One reachable bootstrap peer is enough. A peer learns about all others from it, and keeps
/// calling its bootstrap peers while it runs (`gossip/discovery/discovery_impl.go`).
fn bootstrap(all: &[String], name: &str, names: &Names) -> Vec<String> {
    let before = all
        .iter()
        .take_while(|other| *other != name)
        .take(BOOTSTRAP_PEERS);
    before
        .map(|other| format!("{}:{PEER_PORT}", names.address(other)))
        .collect()
}
