//! Exposes nodes outside of the cluster: with NodePorts, load balancers, or TLS passthrough by
//! server name.
//!
//! Fabric's clients and nodes use gRPC over TLS that ends at the node, because Fabric's rules use
//! the certificates of both sides. No proxy in between may terminate TLS or route by URL path.
//! Routing is possible only by port or server name.

use super::Breaks;
use super::organization::Names;
use super::ports::{CA_PORT, CHAINCODE_PORT, ORDERER_PORT, PEER_PORT};
use super::settings::Settings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    Ingress,
    Gateway,
}

/// An exposed port of a node.
struct Port {
    name: &'static str,
    port: u64,
    /// The NodePort, if the type is NodePort.
    node_port: u64,
}

/// The values under `expose`, interpreted for this release.
pub struct Exposure<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    pub kind: Kind,
}

/// Number of NodePorts reserved for each organization.
const BLOCK: u64 = 100;
/// Offset, in the organization's block, of orderers' separate ports for other orderers.
const CLUSTER_OFFSET: u64 = 50;
/// First NodePorts of peer and orderer organizations, as in the article.
const PEER_BASE: u64 = 30_000;
const ORDERER_BASE: u64 = 32_000;
/// Last port of Kubernetes' default `--service-node-port-range`.
const LAST_NODE_PORT: u64 = 32_767;

/// Annotations with which an ingress controller passes TLS through, by a word in the class's name.
///
/// Sources: kubernetes/ingress-nginx `docs/user-guide/nginx-configuration/annotations.md`;
/// haproxytech/kubernetes-ingress `documentation/annotations.md`; jcmoraisjr/haproxy-ingress
/// `docs/content/en/docs/configuration/keys.md`.
const PASSTHROUGH: [(&str, &[&str]); 2] = [
    ("nginx", &["nginx.ingress.kubernetes.io/ssl-passthrough"]),
    (
        "haproxy",
        &[
            "haproxy.org/ssl-passthrough",
            "haproxy-ingress.github.io/ssl-passthrough",
        ],
    ),
];

impl<'a> Exposure<'a> {
    pub fn of(settings: &'a Settings<'a>, names: &'a Names) -> Exposure<'a> {
        let kind = match settings.text("/expose/type") {
            "NodePort" => Kind::NodePort,
            "LoadBalancer" => Kind::LoadBalancer,
            "Ingress" => Kind::Ingress,
            "Gateway" => Kind::Gateway,
            _ => Kind::ClusterIp,
        };
        Exposure {
            settings,
            names,
            kind,
        }
    }

    /// Returns a node's name or address outside of the cluster, if the values set one.
    pub fn host(&self, node: &str) -> Option<String> {
        if self.kind == Kind::ClusterIp {
            return None;
        }
        let own = self
            .settings
            .map("/expose/hosts")
            .and_then(|hosts| hosts.get(node))
            .and_then(Value::as_str);
        let pattern = own.unwrap_or_else(|| self.settings.text("/expose/host"));
        (!pattern.is_empty()).then(|| self.names.fill(pattern, node))
    }

    /// Returns a node's endpoint outside of the cluster, or `None` without a host.
    pub fn endpoint(&self, node: &str, port: u64) -> Option<String> {
        let outside = match self.kind {
            Kind::ClusterIp => return None,
            Kind::NodePort => {
                self.ports(node)
                    .into_iter()
                    .find(|own| own.port == port)?
                    .node_port
            }
            Kind::LoadBalancer => port,
            Kind::Ingress | Kind::Gateway => self.settings.number("/expose/port", 443),
        };
        Some(format!("{}:{outside}", self.host(node)?))
    }

    /// Returns the endpoint at which chaincode outside of the cluster reaches a peer. Only a port
    /// can be used, because the server name is already the peer's.
    pub fn chaincode_endpoint(&self, peer: &str) -> Option<String> {
        matches!(self.kind, Kind::NodePort | Kind::LoadBalancer)
            .then(|| self.endpoint(peer, CHAINCODE_PORT))?
    }

    /// Returns the organization's number: `1` for `org1` and `orgorderer1`, unless values set it.
    /// `None` if the release's name does not end in a number.
    fn organization(&self) -> Option<u64> {
        match self.settings.number("/expose/organization", 0) {
            0 => self.names.number,
            number => Some(number),
        }
    }

    /// Returns a node's ports in the article's numbering, in which each organization has a block of
    /// a hundred.
    ///
    /// A peer organization's CA server has the first port. Peer i has the two ports after 2i, for
    /// itself and for chaincode. Orderer i has the i-th port of its block.
    fn ports(&self, node: &str) -> Vec<Port> {
        let ordinal = |role: &str| {
            node.strip_prefix(role)
                .and_then(|number| number.parse::<u64>().ok())
        };
        let block = |base: u64| {
            self.settings.number("/expose/nodePortBase", base)
                + BLOCK * self.organization().unwrap_or(1).saturating_sub(1)
        };
        if let Some(i) = ordinal("peer") {
            let first = block(PEER_BASE) + 2 * i;
            return vec![
                Port {
                    name: "grpc",
                    port: PEER_PORT,
                    node_port: first + 1,
                },
                Port {
                    name: "chaincode",
                    port: CHAINCODE_PORT,
                    node_port: first + 2,
                },
            ];
        }
        if let Some(i) = ordinal("orderer") {
            let first = block(ORDERER_BASE);
            let mut ports = vec![Port {
                name: "grpc",
                port: ORDERER_PORT,
                node_port: first + i,
            }];
            match self.settings.number("/orderers/cluster/port", 0) {
                0 => {}
                port => ports.push(Port {
                    name: "cluster",
                    port,
                    node_port: first + CLUSTER_OFFSET + i,
                }),
            }
            return ports;
        }
        vec![Port {
            name: "ca",
            port: CA_PORT,
            node_port: block(PEER_BASE),
        }]
    }

    /// Returns the facts for templates: `exposed`, a list of nodes with `name`, `component`,
    /// `ports` and optionally `host` and `endpoint`; and `expose_annotations`.
    ///
    /// `nodes` are pairs (name, component). Peers' chaincode ports are exposed if chaincode runs
    /// outside.
    pub fn facts(
        &self,
        nodes: &[(String, &str)],
        chaincode_outside: bool,
        breaks: &mut Breaks,
    ) -> Map<String, Value> {
        let annotations = self.check(nodes, breaks);
        let exposed = nodes.iter().filter(|_| self.kind != Kind::ClusterIp).map(|(name, component)| {
            let routed = matches!(self.kind, Kind::Ingress | Kind::Gateway);
            let ports = self
                .ports(name)
                .into_iter()
                .enumerate()
                .filter(|(i, port)| *i == 0 || !routed && (port.name != "chaincode" || chaincode_outside));
            let ports = ports.map(|(_, port)| match self.kind {
                Kind::NodePort => json!({"name": port.name, "port": port.port, "node_port": port.node_port}),
                _ => json!({"name": port.name, "port": port.port}),
            });
            let mut node = json!({"name": name, "component": component, "ports": ports.collect::<Vec<_>>()});
            if let Some(host) = self.host(name) {
                node["endpoint"] = self.endpoint(name, self.ports(name)[0].port).into();
                node["host"] = host.into();
            }
            node
        });
        let mut facts = Map::new();
        facts.insert("exposed".to_owned(), exposed.collect());
        facts.insert("expose_annotations".to_owned(), annotations.into());
        facts
    }

    /// Refuses settings that cannot work, and returns the annotations.
    fn check(&self, nodes: &[(String, &str)], breaks: &mut Breaks) -> Map<String, Value> {
        let mut annotations = self
            .settings
            .map("/expose/annotations")
            .cloned()
            .unwrap_or_default();
        let hosts = self.settings.map("/expose/hosts");
        for name in hosts.into_iter().flatten().map(|(name, _)| name) {
            if !nodes.iter().any(|(node, _)| node == name) {
                breaks.add("expose.hosts", format!("node {name:?} does not exist"));
            }
        }
        match self.kind {
            Kind::ClusterIp => {
                for key in ["host", "hosts"] {
                    let value = self.settings.get(&format!("/expose/{key}"));
                    if value.is_some_and(|value| *value != json!("") && *value != json!({})) {
                        breaks.add(
                            &format!("expose.{key}"),
                            "nothing is exposed: set expose.type, or add the name to tls.extraSans",
                        );
                    }
                }
                return annotations;
            }
            Kind::NodePort => self.check_numbers(nodes, breaks),
            Kind::LoadBalancer => {}
            Kind::Ingress => {
                self.check_server_names(nodes, breaks);
                self.pass_tls_through(&mut annotations, breaks);
            }
            Kind::Gateway => {
                self.check_server_names(nodes, breaks);
                if self.settings.text("/expose/gateway/name").is_empty() {
                    breaks.add(
                        "expose.gateway.name",
                        "a TLSRoute needs a Gateway: set the one with a listener for TLS passthrough",
                    );
                }
            }
        }
        let clients = self.settings.get("/networkPolicy/clients");
        let has_clients = clients
            .and_then(Value::as_array)
            .is_some_and(|clients| !clients.is_empty());
        if self.settings.flag("/networkPolicy/enabled", false) && !has_clients {
            breaks.warn(
                "nodes are exposed, but the network policies allow no connections from outside: \
                 allow clients with networkPolicy.clients, such as {ipBlock: {cidr: 192.0.2.0/24}} \
                 or the namespace of the ingress controller",
            );
        }
        annotations
    }

    /// Adds the annotations that an ingress controller needs for TLS passthrough.
    fn pass_tls_through(&self, annotations: &mut Map<String, Value>, breaks: &mut Breaks) {
        let class = self.settings.text("/expose/className");
        match PASSTHROUGH.iter().find(|(word, _)| class.contains(word)) {
            Some((_, keys)) => {
                for key in *keys {
                    annotations
                        .entry((*key).to_owned())
                        .or_insert_with(|| "true".into());
                }
            }
            None if annotations.is_empty() => breaks.add(
                "expose.annotations",
                format!(
                    "an ingress controller needs its own annotations for TLS passthrough, \
                     which are known for nginx and haproxy but not for class {class:?}; \
                     for a controller without it (traefik), use expose.type Gateway"
                ),
            ),
            None => {}
        }
    }

    fn check_numbers(&self, nodes: &[(String, &str)], breaks: &mut Breaks) {
        if self.organization().is_none() {
            let why = "the default NodePorts depend on the organization's number, but the \
                       release's name does not end in a number";
            return breaks.add("expose.organization", why);
        }
        let peers = nodes
            .iter()
            .filter(|(_, component)| *component == "peer")
            .count() as u64;
        let orderers = nodes
            .iter()
            .filter(|(_, component)| *component == "orderer")
            .count() as u64;
        if 2 * peers >= BLOCK {
            breaks.add(
                "peers.count",
                format!("{peers} peers need more than the {BLOCK} NodePorts of an organization; the limit is 49 peers"),
            );
        }
        if orderers > CLUSTER_OFFSET {
            breaks.add(
                "orderers.count",
                format!(
                    "an organization has NodePorts for {CLUSTER_OFFSET} orderers, not {orderers}"
                ),
            );
        }
        let ports = || {
            nodes
                .iter()
                .flat_map(|(name, _)| self.ports(name))
                .map(|port| port.node_port)
        };
        let (Some(first), Some(last)) = (ports().min(), ports().max()) else {
            return;
        };
        let base = self.settings.number(
            "/expose/nodePortBase",
            if orderers == 0 {
                PEER_BASE
            } else {
                ORDERER_BASE
            },
        );
        if orderers == 0 && base < ORDERER_BASE && last >= ORDERER_BASE {
            let why = format!(
                "NodePorts {first} to {last} overlap those of orderers, which start at \
                 {ORDERER_BASE}: choose another nodePortBase"
            );
            breaks.add("expose.organization", why);
        } else if base <= LAST_NODE_PORT && last > LAST_NODE_PORT {
            let why = format!(
                "NodePorts {first} to {last} exceed {LAST_NODE_PORT}, the default maximum of Kubernetes"
            );
            breaks.add("expose.organization", why);
        }
    }

    /// Checks that each node has its own server name in DNS form: one port serves all nodes and
    /// distinguishes them by the server name in TLS.
    fn check_server_names(&self, nodes: &[(String, &str)], breaks: &mut Breaks) {
        if !self.settings.flag("/tls/enabled", true) {
            breaks.add(
                "tls.enabled",
                "the server name in TLS distinguishes nodes behind one port: TLS must be enabled",
            );
        }
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, _) in nodes {
            match self.host(name) {
                None => {
                    let why = format!(
                        "{name} needs its own host name, such as {{node}}.{}.example.com",
                        self.names.namespace
                    );
                    breaks.add("expose.host", why);
                }
                Some(host) if !is_host_name(&host) => {
                    breaks.add(
                        "expose.host",
                        format!("{name} needs a host name in lower case, not {host:?}"),
                    );
                }
                Some(host) => {
                    if let Some(other) = seen.insert(host.clone(), name) {
                        breaks.add(
                            "expose.host",
                            format!("{other} and {name} share {host:?}: use {{node}} in it"),
                        );
                    }
                }
            }
        }
    }
}

/// Returns true for a DNS name that is not an IP address, which TLS accepts as a server name.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253
        && host.split('.').all(label)
        && !host
            .split('.')
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}
