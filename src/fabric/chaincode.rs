//! How peers run chaincode: the modes of each line, and their requirements.

use super::Breaks;
use super::settings::Settings;
use super::versions::{CCAAS_BUILDER, EXTERNAL_BUILDERS, K8S_BUILDER};
use semver::Version;
use serde_json::{Value, json};

/// How a peer runs chaincode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaincode {
    /// As a service, with the builder in the peer's image.
    Ccaas,
    /// With hyperledger-labs/fabric-builder-k8s, as Jobs in the peer's namespace.
    K8s,
    /// On a Docker host that the peer reaches over TCP.
    DockerTcp,
    /// With the Docker daemon of the peer's machine.
    DockerSock,
    /// With a Docker daemon in the peer's pod.
    Dind,
    /// With the user's own external builders.
    External,
    /// Not at all: the peer keeps the ledger and does not endorse.
    None,
}

impl Chaincode {
    pub fn name(self) -> &'static str {
        match self {
            Chaincode::Ccaas => "ccaas",
            Chaincode::K8s => "k8s",
            Chaincode::DockerTcp => "docker-tcp",
            Chaincode::DockerSock => "docker-sock",
            Chaincode::Dind => "dind",
            Chaincode::External => "external",
            Chaincode::None => "none",
        }
    }

    pub fn is_docker(self) -> bool {
        matches!(
            self,
            Chaincode::DockerTcp | Chaincode::DockerSock | Chaincode::Dind
        )
    }

    /// Describes how a version can run chaincode, for users whose peers run none.
    pub fn ways(version: &Version) -> &'static str {
        if CCAAS_BUILDER.holds(version) {
            "as a service (chaincode.mode=ccaas), among other ways"
        } else if EXTERNAL_BUILDERS.holds(version) {
            "by a Docker host (chaincode.dockerEndpoint), a Docker daemon in each \
             pod\n(chaincode.mode=dind), or your own builder (chaincode.builders)"
        } else {
            "by a Docker host (chaincode.dockerEndpoint) or a Docker daemon in each pod\n(chaincode.mode=dind)"
        }
    }

    /// Returns the address of the Docker daemon in the peer's configuration.
    pub fn endpoint(self, settings: &Settings) -> String {
        match self {
            Chaincode::DockerTcp => settings.text("/chaincode/dockerEndpoint").to_owned(),
            Chaincode::DockerSock => "unix:///host/var/run/docker.sock".to_owned(),
            Chaincode::Dind => "tcp://127.0.0.1:2375".to_owned(),
            Chaincode::Ccaas | Chaincode::K8s | Chaincode::External | Chaincode::None => {
                String::new()
            }
        }
    }

    /// Returns the mode that the values select, after checking it against the version.
    ///
    /// Source: `chaincode.externalBuilders` and `vm.endpoint` in `sampleconfig/core.yaml` of each
    /// line. Machines with containerd have no Docker socket, so `auto` never selects one.
    pub fn choose(settings: &Settings, version: &Version, breaks: &mut Breaks) -> Chaincode {
        let endpoint = settings.text("/chaincode/dockerEndpoint");
        let builders = settings
            .get("/chaincode/builders")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
        if !endpoint.is_empty() && docker_port(endpoint).is_none() {
            breaks.add(
                "chaincode.dockerEndpoint",
                "expected a Docker host such as tcp://HOST:PORT",
            );
        }
        if builders && !EXTERNAL_BUILDERS.holds(version) {
            breaks.add(
                "chaincode.builders",
                format!("Fabric {version} has no external builders; they need 2.0 or later"),
            );
        }
        let mode = match settings.text_or("/chaincode/mode", "auto") {
            "auto" if !endpoint.is_empty() => Chaincode::DockerTcp,
            "auto" if CCAAS_BUILDER.holds(version) => Chaincode::Ccaas,
            "auto" if builders => Chaincode::External,
            named => Chaincode::named(named),
        };
        if mode == Chaincode::DockerTcp && endpoint.is_empty() {
            breaks.add(
                "chaincode.dockerEndpoint",
                "chaincode.mode docker-tcp needs the Docker host, as tcp://HOST:PORT",
            );
        }
        if mode == Chaincode::External && !builders {
            breaks.add(
                "chaincode.builders",
                "chaincode.mode external needs at least one builder, with name and path",
            );
        }
        mode.check_version(version, breaks);
        mode.warn(breaks);
        mode.check(settings, breaks);
        mode
    }

    /// Returns the mode of this name. `auto` selects none if nothing else fits.
    fn named(name: &str) -> Chaincode {
        let modes = [
            Chaincode::Ccaas,
            Chaincode::K8s,
            Chaincode::DockerTcp,
            Chaincode::DockerSock,
            Chaincode::Dind,
            Chaincode::External,
        ];
        let mode = modes.into_iter().find(|mode| mode.name() == name);
        mode.unwrap_or(Chaincode::None)
    }

    /// Refuses a mode that the version does not have.
    fn check_version(self, version: &Version, breaks: &mut Breaks) {
        let why = match self {
            Chaincode::Ccaas if !CCAAS_BUILDER.holds(version) => format!(
                "Fabric {version} has no builder for chaincode as a service; it needs 2.4.1 or later"
            ),
            Chaincode::K8s if !K8S_BUILDER.holds(version) => format!(
                "the builder's programs do not run in the peer image of Fabric {version}; they need 2.5.11 or later"
            ),
            _ => return,
        };
        breaks.add("chaincode.mode", why);
    }

    /// Warns about the permissions that a mode gives to peers.
    fn warn(self, breaks: &mut Breaks) {
        breaks.warn(match self {
            Chaincode::DockerSock => {
                "chaincode.mode docker-sock gives peers root access to their machines (Pod \
                 Security level privileged), and needs machines that run Docker: since Kubernetes \
                 1.24, most run containerd"
            }
            Chaincode::Dind => {
                "chaincode.mode dind runs a privileged container in each peer's pod (Pod Security \
                 level privileged)"
            }
            Chaincode::K8s => {
                "chaincode.mode k8s lets peers create Jobs in their namespace, and a Job can mount \
                 any Secret there: an attacker in a peer gets all keys of the organization, \
                 including its CA's. chaincode.mode ccaas does not give peers this permission"
            }
            _ => return,
        });
    }

    /// Refuses settings that this mode ignores.
    fn check(self, settings: &Settings, breaks: &mut Breaks) {
        let given = |path: &str| {
            let value = settings.get(&format!("/{}", path.replace('.', "/")));
            value.is_some_and(|value| *value != json!("") && *value != json!([]))
        };
        let mut only = |paths: &[&str], holds: bool, mode: &str| {
            for path in paths.iter().filter(|path| !holds && given(path)) {
                breaks.add(
                    path,
                    format!(
                        "it is only used with chaincode.mode {mode}, but the mode is {}",
                        self.name()
                    ),
                );
            }
        };
        only(
            &["chaincode.dockerEndpoint", "chaincode.dockerTlsSecret"],
            self == Chaincode::DockerTcp,
            "docker-tcp",
        );
        let settings = [
            "chaincode.dockerNetwork",
            "chaincode.dockerDns",
            "chaincode.dockerDnsSearch",
        ];
        only(
            &settings,
            self.is_docker(),
            "docker-tcp, docker-sock or dind",
        );
        let outside = matches!(self, Chaincode::DockerTcp | Chaincode::DockerSock);
        only(
            &["networkPolicy.dockerHosts"],
            outside,
            "docker-tcp or docker-sock",
        );
    }
}

/// Returns the port of `tcp://HOST:PORT`.
pub fn docker_port(endpoint: &str) -> Option<u16> {
    let (host, port) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
    port.parse()
        .ok()
        .filter(|port| *port != 0 && !host.is_empty())
}

/// Returns the peer's external builders.
///
/// Adds a builder without function if there is neither a builder nor a Docker host: without both, a
/// peer of 2.0 to 2.4.0 exits (`internal/peer/node/start.go`).
pub fn builders(settings: &Settings, version: &Version, chaincode: Chaincode) -> Vec<Value> {
    let mut builders = Vec::new();
    if CCAAS_BUILDER.holds(version) {
        builders.push(json!({
            "name": "ccaas_builder",
            "path": "/opt/hyperledger/ccaas_builder",
            "propagateEnvironment": ["CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG"],
        }));
    }
    if chaincode == Chaincode::K8s {
        builders.push(json!({
            "name": "k8s_builder",
            "path": "/opt/hyperledger/k8s_builder",
            "propagateEnvironment": [
                "CORE_PEER_ID",
                "FABRIC_K8S_BUILDER_DEBUG",
                "FABRIC_K8S_BUILDER_NAMESPACE",
                "FABRIC_K8S_BUILDER_NODE_ROLE",
                "FABRIC_K8S_BUILDER_OBJECT_NAME_PREFIX",
                "FABRIC_K8S_BUILDER_SERVICE_ACCOUNT",
                "FABRIC_K8S_BUILDER_START_TIMEOUT",
                "KUBERNETES_SERVICE_HOST",
                "KUBERNETES_SERVICE_PORT",
            ],
        }));
    }
    builders.extend(
        settings
            .get("/chaincode/builders")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .cloned(),
    );
    if builders.is_empty() && chaincode == Chaincode::None && EXTERNAL_BUILDERS.holds(version) {
        builders.push(json!({"name": "none", "path": "/opt/hyperledger/none"}));
    }
    builders
}
