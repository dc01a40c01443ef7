//! Chaincode as a service: the settings of its server, and the checks before it can run.
//!
//! The names of the variables are those of the servers in fabric-samples
//! (`asset-transfer-basic/chaincode-external`, and `docker-entrypoint.sh` of `chaincode-typescript`
//! and `chaincode-java`); the shims for Java and Node.js read `CORE_CHAINCODE_ID_NAME`.

use super::Breaks;
use super::settings::{Settings, variable};
use serde_json::{Map, Value, json};

const DEFAULT_PORT: u64 = 9999;

/// The folder of the server's certificate and key, as the chart mounts them.
const TLS_FOLDER: &str = "/etc/hyperledger/tls";

/// How peers reach a chaincode server, from the values of its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaincodeServer {
    pub port: u64,
    /// The Secret with its certificate, if it serves TLS.
    pub tls: Option<String>,
    /// The Secret with the authority of its clients' certificates, if it requires them.
    pub clients: Option<String>,
}

impl ChaincodeServer {
    /// Reads the user's values. Missing ones have the chart's defaults.
    pub fn of(values: &Value) -> ChaincodeServer {
        let settings = Settings::new(values);
        let secret = |path: &str| match settings.text(path) {
            "" => None,
            name => Some(name.to_owned()),
        };
        let tls = secret("/tls/secret");
        ChaincodeServer {
            port: settings.number("/port", DEFAULT_PORT),
            clients: secret("/tls/clientCASecret").filter(|_| tls.is_some()),
            tls,
        }
    }
}

/// Returns the facts for templates: `image`, `env`, and the `endpoint` in the package.
pub fn facts(
    settings: &Settings,
    release: &str,
    namespace: &str,
    breaks: &mut Breaks,
) -> Map<String, Value> {
    check(settings, release, namespace, breaks);
    let port = settings.number("/port", DEFAULT_PORT);
    let facts = json!({
        "image": image(settings),
        "env": environment(settings, port),
        "endpoint": format!("{release}.{namespace}:{port}"),
    });
    match facts {
        Value::Object(facts) => facts,
        _ => unreachable!("it is written as a map"),
    }
}

fn check(settings: &Settings, release: &str, namespace: &str, breaks: &mut Breaks) {
    if settings.text("/image/repository").is_empty() {
        breaks.add(
            "image.repository",
            "set the image of the server, such as registry.example.com/asset-transfer-basic",
        );
    }
    if settings.text("/image/tag").is_empty() && settings.text("/image/digest").is_empty() {
        breaks.add("image.tag", "the image needs a tag, or image.digest");
    }
    if settings.text("/packageID").is_empty() {
        breaks.add(
            "packageID",
            "set the id of the chaincode package, LABEL:HASH, as `peer lifecycle chaincode \
             install` and `queryinstalled` print it",
        );
    }
    if settings.text("/tls/secret").is_empty() && !settings.text("/tls/clientCASecret").is_empty() {
        breaks.add(
            "tls.clientCASecret",
            "client certificates need TLS: set tls.secret as well",
        );
    }
    if settings.flag("/networkPolicy/enabled", false) && release == namespace {
        breaks.add(
            "networkPolicy.enabled",
            format!(
                "its policy allows peers of the release's own namespace \"{namespace}\": install \
                 into the namespace of the peers' organization (-n org1), or set it to false"
            ),
        );
    }
}

/// The image with its tag, its digest, or both.
fn image(settings: &Settings) -> String {
    let part = |mark: &str, path: &str| match settings.text(path) {
        "" => String::new(),
        text => format!("{mark}{text}"),
    };
    format!(
        "{}{}{}",
        settings.text("/image/repository"),
        part(":", "/image/tag"),
        part("@", "/image/digest")
    )
}

/// The chart's variables, overridden by the user's.
fn environment(settings: &Settings, port: u64) -> Map<String, Value> {
    let package = settings.text("/packageID");
    let has_tls = !settings.text("/tls/secret").is_empty();
    let mut rows = vec![
        ("CHAINCODE_SERVER_ADDRESS", format!("0.0.0.0:{port}")),
        ("CHAINCODE_ID", package.to_owned()),
        ("CORE_CHAINCODE_ID_NAME", package.to_owned()),
        ("CHAINCODE_TLS_DISABLED", (!has_tls).to_string()),
    ];
    if has_tls {
        rows.push(("CHAINCODE_TLS_CERT", format!("{TLS_FOLDER}/tls.crt")));
        rows.push(("CHAINCODE_TLS_KEY", format!("{TLS_FOLDER}/tls.key")));
    }
    // If this variable is set, the server requires a client certificate.
    if has_tls && !settings.text("/tls/clientCASecret").is_empty() {
        let file = format!("{TLS_FOLDER}/client-ca.crt");
        rows.push(("CHAINCODE_CLIENT_CA_CERT", file));
    }
    let mut variables: Map<String, Value> = rows
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    for (name, value) in settings.map("/env").into_iter().flatten() {
        variables.insert(name.clone(), variable(value));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(values: &Value, namespace: &str) -> (Map<String, Value>, Vec<String>) {
        let mut breaks = Breaks::default();
        let facts = facts(&Settings::new(values), "basic", namespace, &mut breaks);
        let keys = breaks
            .places
            .into_iter()
            .map(|place| place.subject)
            .collect();
        (facts, keys)
    }

    #[test]
    fn an_image_has_a_tag_a_digest_or_both() {
        for (tag, digest, wanted) in [
            ("1.0", "", "r.example.com/a:1.0"),
            ("", "sha256:00", "r.example.com/a@sha256:00"),
            ("1.0", "sha256:00", "r.example.com/a:1.0@sha256:00"),
        ] {
            let image = json!({"repository": "r.example.com/a", "tag": tag, "digest": digest});
            let values = json!({"packageID": "a:00", "image": image});
            let (facts, breaks) = outcome(&values, "org1");
            assert_eq!(facts["image"], wanted);
            assert!(breaks.is_empty(), "{breaks:?}");
        }
    }

    #[test]
    fn what_is_missing_is_reported_at_once() {
        let values = json!({
            "tls": {"clientCASecret": "clients"},
            "networkPolicy": {"enabled": true},
        });
        let (_, breaks) = outcome(&values, "basic");
        let wanted = [
            "image.repository",
            "image.tag",
            "packageID",
            "tls.clientCASecret",
            "networkPolicy.enabled",
        ];
        assert_eq!(breaks, wanted);
    }

    #[test]
    fn the_users_variables_come_last() {
        let values = json!({
            "packageID": "a:00",
            "port": 7070,
            "tls": {"secret": "server", "clientCASecret": "clients"},
            "env": {"CHAINCODE_ID": "b:11", "WORKERS": 2},
        });
        let (facts, _) = outcome(&values, "org1");
        let env = &facts["env"];
        assert_eq!(env["CHAINCODE_ID"], "b:11");
        assert_eq!(env["CORE_CHAINCODE_ID_NAME"], "a:00");
        assert_eq!(env["CHAINCODE_SERVER_ADDRESS"], "0.0.0.0:7070");
        assert_eq!(env["CHAINCODE_TLS_DISABLED"], "false");
        assert_eq!(
            env["CHAINCODE_CLIENT_CA_CERT"],
            "/etc/hyperledger/tls/client-ca.crt"
        );
        assert_eq!(env["WORKERS"], "2");
        assert_eq!(facts["endpoint"], "basic.org1:7070");
    }
}
