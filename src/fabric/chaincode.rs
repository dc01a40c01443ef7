//! How peers launch chaincode: which ways a line has, and what each needs.

use super::Breaks;
use super::settings::Settings;
use super::versions::{CCAAS_BUILDER, EXTERNAL_BUILDERS};
use semver::Version;
use serde_json::{Value, json};

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
    pub fn name(self) -> &'static str {
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
    pub fn choose(settings: &Settings, version: &Version, breaks: &mut Breaks) -> Chaincode {
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
pub fn docker_port(endpoint: &str) -> Option<u16> {
    let (host, port) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
    port.parse().ok().filter(|port| *port != 0 && !host.is_empty())
}

/// The peer's external builders. One that does nothing stands in where there is neither a builder nor a Docker host, because a peer
/// of 2.0 to 2.4.0 ends itself when it has none of both (`internal/peer/node/start.go`).
pub fn builders(settings: &Settings, version: &Version, chaincode: Chaincode) -> Vec<Value> {
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
