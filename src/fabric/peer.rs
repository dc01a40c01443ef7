//! Peers: their environment, and the facts for templates.

use super::chaincode::{Chaincode, builders, docker_port};
use super::core;
use super::crypto::Crypto;
use super::expose::Exposure;
use super::images::Images;
use super::organization;
use super::ports::{CA_PORT, CHAINCODE_PORT, COUCHDB_PORT, PEER_PORT};
use super::settings::{Settings, Variable, environment};
use super::versions::{CCAAS_BUILDER, EMPTY_ENV_COUNTS, LEADER_ELECTION, Span};
use super::{Breaks, Names};
use serde_json::{Map, Value, json};

/// Number of bootstrap peers: two, so that one may be down.
const BOOTSTRAP_PEERS: usize = 2;

/// A peer in the form that the rows of the table use.
struct Peer<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    images: Images<'a>,
    exposure: &'a Exposure<'a>,
    release: &'a str,
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

    fn external_endpoint(&self) -> String {
        external_endpoint(self.settings, self.names, self.exposure, &self.name)
    }

    /// Returns the address at which chaincode reaches this peer. A Docker host outside of the
    /// cluster cannot reach a Service.
    fn chaincode_endpoint(&self) -> Option<String> {
        let outside = (self.chaincode == Chaincode::DockerTcp)
            .then(|| self.exposure.chaincode_endpoint(&self.name));
        outside.flatten().or_else(|| self.endpoint(CHAINCODE_PORT))
    }

    fn tls(&self, value: &str) -> Option<String> {
        self.settings
            .flag("/tls/enabled", true)
            .then(|| value.to_owned())
    }

    fn docker(&self, path: &str) -> Option<String> {
        let text = self.settings.text(path);
        (self.chaincode.is_docker() && !text.is_empty()).then(|| text.to_owned())
    }

    /// Returns a list in viper's format for variables: words separated by blanks.
    fn docker_list(&self, path: &str) -> Option<String> {
        let texts = self.settings.texts(path);
        (self.chaincode.is_docker() && !texts.is_empty()).then(|| texts.join(" "))
    }

    fn docker_tls(&self, value: &str) -> Option<String> {
        self.docker("/chaincode/dockerTlsSecret")
            .map(|_| value.to_owned())
    }

    /// Returns whether the peer uses leader election. Otherwise it is a static leader: the peer
    /// exits if both are on (`core.yaml`, `peer.gossip`).
    fn elects(&self) -> bool {
        match self.settings.text_or("/peers/gossip/leader", "auto") {
            "election" => true,
            "static" => false,
            _ => LEADER_ELECTION.holds(self.images.version),
        }
    }
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

const fn row<'a>(name: &'static str, value: fn(&Peer<'a>) -> Option<String>) -> Variable<Peer<'a>> {
    Variable {
        name,
        span: Span::ALWAYS,
        value,
    }
}

const fn since<'a>(
    span: Span,
    name: &'static str,
    value: fn(&Peer<'a>) -> Option<String>,
) -> Variable<Peer<'a>> {
    Variable { name, span, value }
}

/// Returns the table of a peer's environment variables.
///
/// Source: the keys of `sampleconfig/core.yaml`. The variable of a key is `CORE_` with the key's
/// path in capitals. The operations service listens on loopback by default, where probes cannot
/// reach it. `CHAINCODEADDRESS` is the address that chaincode dials. Without it, the peer uses the
/// pod's address, which changes with the pod.
fn variables<'a>() -> Vec<Variable<Peer<'a>>> {
    vec![
        row("FABRIC_LOGGING_SPEC", |p| {
            Some(p.settings.text_or("/peers/logging/spec", "info").to_owned())
        }),
        since(Span::ALWAYS.before(3, 0, 0), "FABRIC_CFG_PATH", |_| {
            Some("/etc/hyperledger/config".to_owned())
        }),
        row("CORE_PEER_ID", |p| Some(p.names.address(&p.name))),
        row("CORE_PEER_NETWORKID", |p| {
            (!p.names.network.is_empty()).then(|| p.names.network.clone())
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
        row("CORE_PEER_LOCALMSPID", |p| Some(p.names.msp_id.clone())),
        row("CORE_PEER_MSPCONFIGPATH", |_| {
            Some("/etc/hyperledger/msp".to_owned())
        }),
        row("CORE_PEER_FILESYSTEMPATH", |_| {
            Some("/var/hyperledger/production".to_owned())
        }),
        since(
            Span::since(2, 3, 0),
            "CORE_LEDGER_SNAPSHOTS_ROOTDIR",
            |_| Some("/var/hyperledger/production/snapshots".to_owned()),
        ),
        row("CORE_PEER_TLS_ENABLED", |p| {
            Some(p.settings.flag("/tls/enabled", true).to_string())
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
            p.settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "true".to_owned())
        }),
        row("CORE_PEER_TLS_CLIENTROOTCAS_FILES", |p| {
            p.settings
                .flag("/tls/clientAuthRequired", false)
                .then(|| "/etc/hyperledger/tls/ca.crt".to_owned())
        }),
        row("CORE_LEDGER_STATE_STATEDATABASE", |p| {
            Some(if p.couchdb { "CouchDB" } else { "goleveldb" }.to_owned())
        }),
        row("CORE_LEDGER_STATE_COUCHDBCONFIG_COUCHDBADDRESS", |p| {
            p.couchdb.then(|| format!("localhost:{COUCHDB_PORT}"))
        }),
        row("CORE_OPERATIONS_LISTENADDRESS", |p| {
            Some(format!(
                "0.0.0.0:{}",
                p.settings.number("/operations/port", 9443)
            ))
        }),
        row("CORE_METRICS_PROVIDER", |p| {
            Some(
                if p.settings.flag("/metrics/enabled", true) {
                    "prometheus"
                } else {
                    "disabled"
                }
                .to_owned(),
            )
        }),
        row("CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG", |p| {
            CCAAS_BUILDER
                .holds(p.images.version)
                .then(|| json!({"peername": p.name}).to_string())
        }),
        since(EMPTY_ENV_COUNTS, "CORE_VM_ENDPOINT", |p| {
            (!p.chaincode.is_docker()).then(String::new)
        }),
        since(EMPTY_ENV_COUNTS, "CORE_CHAINCODE_EXTERNALBUILDERS", |p| {
            (p.builders.len() > 1).then(|| Value::Array(p.builders.clone()).to_string())
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
            (p.chaincode == Chaincode::K8s).then(|| p.release.to_owned())
        }),
    ]
}

/// Returns the facts about peers for templates: `peers`, `chaincode`, `peer_healthz`, and those of
/// [`Exposure::facts`].
pub fn facts(
    settings: &Settings,
    names: &Names,
    images: Images,
    exposure: &Exposure,
    crypto: &Crypto,
    breaks: &mut Breaks,
) -> Map<String, Value> {
    let version = images.version;
    let count = settings.number("/peers/count", 1);
    let chaincode = Chaincode::choose(settings, version, breaks);
    let couchdb = settings.text("/peers/stateDatabase") == "CouchDB";
    let all: Vec<String> = (0..count).map(|i| format!("peer{i}")).collect();
    let named: Vec<String> = settings
        .texts("/peers/gossip/bootstrap")
        .into_iter()
        .map(str::to_owned)
        .collect();
    if settings.flag("/tls/clientAuthRequired", false) && !settings.flag("/tls/enabled", true) {
        breaks.add("tls.clientAuthRequired", "it needs tls.enabled");
    }
    if let Some(pattern) =
        Some(settings.text("/peers/gossip/externalEndpoint")).filter(|pattern| !pattern.is_empty())
        && pattern
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
    {
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
    let builders = builders(settings, version, chaincode);
    let peers: Vec<Value> = all
        .iter()
        .map(|name| {
            let bootstrap = if named.is_empty() {
                bootstrap(&all, name, names)
            } else {
                named.clone()
            };
            let (name, builders) = (name.clone(), builders.clone());
            let peer = Peer {
                settings,
                names,
                images,
                exposure,
                release: crypto.release,
                name,
                chaincode,
                bootstrap,
                couchdb,
                builders,
            };
            let name = &peer.name;
            let mut env = environment(&variables(), version, &peer, settings.map("/peers/env"));
            if chaincode.is_docker() {
                docker(&peer, &mut env);
            }
            let mounts = crypto.node(name, "peers");
            json!({
                "name": name,
                "address": names.address(name),
                "endpoint": peer.endpoint(PEER_PORT),
                "env": env,
                "msp": mounts.msp,
                "tls": mounts.tls,
                "couchdb_secret": match settings.text("/couchdb/existingSecret") {
                    "" => format!("{name}-couchdb"),
                    existing => existing.to_owned(),
                },
            })
        })
        .collect();
    let mut nodes: Vec<(String, &str)> = all.iter().map(|name| (name.clone(), "peer")).collect();
    if settings.flag("/ca/enabled", false) {
        nodes.push((organization::CA.to_owned(), "ca"));
    }
    warn(settings, chaincode, exposure, breaks);
    let mut facts = exposure.facts(&nodes, chaincode == Chaincode::DockerTcp, breaks);
    facts.insert(
        "chaincode_uses_pod_address".to_owned(),
        uses_pod_address(settings, chaincode).into(),
    );
    facts.insert("chaincode_ways".to_owned(), Chaincode::ways(version).into());
    facts.insert("peers".to_owned(), peers.into());
    facts.insert("chaincode".to_owned(), chaincode.name().into());
    match chaincode {
        Chaincode::Dind => {
            facts.insert(
                "dind_image".to_owned(),
                settings
                    .text_or("/chaincode/dind/image", &images.docker())
                    .into(),
            );
        }
        Chaincode::K8s => {
            facts.insert(
                "builder_image".to_owned(),
                settings
                    .text_or("/chaincode/k8sBuilder/image", &images.k8s_builder())
                    .into(),
            );
        }
        _ => {}
    }
    if let Some(port) = docker_port(settings.text("/chaincode/dockerEndpoint")) {
        facts.insert("docker_port".to_owned(), port.into());
    }
    // A peer of 1.4 contacts its Docker daemon at each health check, and without one it is never
    // healthy. `peer/node/start.go` of 1.4 registers the checker unconditionally, later lines only
    // if `vm.endpoint` is set.
    facts.insert(
        "peer_healthz".to_owned(),
        (version.major > 1 || chaincode.is_docker()).into(),
    );
    if !EMPTY_ENV_COUNTS.holds(version) {
        facts.insert("core".to_owned(), core::yaml(version, chaincode, builders));
    }
    if couchdb {
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

fn docker(peer: &Peer, env: &mut Map<String, Value>) {
    env.insert(
        "CORE_VM_ENDPOINT".to_owned(),
        peer.chaincode.endpoint(peer.settings).into(),
    );
    if uses_pod_address(peer.settings, peer.chaincode) {
        let host = format!("{}:$(POD_IP)", peer.names.address(&peer.name));
        env.insert(
            "CORE_VM_DOCKER_HOSTCONFIG_EXTRAHOSTS".to_owned(),
            host.into(),
        );
    }
    // The Docker host pulls these. Without a mirror, the peer's defaults are right.
    if !peer.images.mirror.is_empty() {
        env.insert(
            "CORE_CHAINCODE_BUILDER".to_owned(),
            peer.images.chaincode_builder().into(),
        );
        for (language, image) in peer.images.chaincode_runtimes() {
            env.insert(
                format!("CORE_CHAINCODE_{}_RUNTIME", language.to_uppercase()),
                image.into(),
            );
        }
    }
}
