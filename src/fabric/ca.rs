//! The organization's CA server and its CLI pod: their environments.

use super::crypto::{Crypto, CryptoSource};
use super::images::Images;
use super::organization::CA;
use super::ports::{CA_PORT, PEER_PORT};
use super::settings::{Settings, variable};
use super::{Breaks, Names};
use serde_json::{Map, Value, json};

/// Returns the Secret with the CA server's administrator, and whether this program creates it.
pub fn credentials<'a>(settings: &Settings<'a>) -> (&'a str, bool) {
    match settings.text("/ca/existingSecret") {
        "" => ("ca-admin", true),
        existing => (existing, false),
    }
}

/// Returns the facts for the CA server's templates.
///
/// Source: `cmd/fabric-ca-server/config.go` of hyperledger/fabric-ca. The variable of a key is
/// `FABRIC_CA_SERVER_` with the key's path in capitals. The home is a volume, because the server
/// writes its configuration and database there. The operations service listens on loopback by
/// default.
///
/// A tree on a volume contains no TLS certificate for the server, because cryptogen makes none. The
/// server's own authority then signs one with `hosts` (`lib/server.go`,
/// `autoGenerateTLSCertificateKey`). It does so only if there is none, and never renews it, so the
/// file belongs to the pod: each pod has a new certificate with the current hosts.
pub fn facts(
    settings: &Settings,
    names: &Names,
    images: Images,
    crypto: &Crypto,
    hosts: &[String],
) -> Value {
    let mut env = Map::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), Value::String(value));
    };
    set(
        "FABRIC_CA_SERVER_HOME",
        "/var/hyperledger/fabric-ca-server".to_owned(),
    );
    set("FABRIC_CA_SERVER_CA_NAME", format!("ca.{}", names.domain));
    let volume = crypto.source == CryptoSource::Nfs;
    let (certificate, key) = match volume {
        true => (
            format!("ca.{}-cert.pem", names.domain),
            settings.text_or("/crypto/nfs/caKey", "priv_sk"),
        ),
        false => ("cert.pem".to_owned(), "key.pem"),
    };
    set(
        "FABRIC_CA_SERVER_CA_CERTFILE",
        format!("/etc/hyperledger/ca/{certificate}"),
    );
    set(
        "FABRIC_CA_SERVER_CA_KEYFILE",
        format!("/etc/hyperledger/ca/{key}"),
    );
    set("FABRIC_CA_SERVER_PORT", CA_PORT.to_string());
    let tls = settings.flag("/tls/enabled", true);
    set("FABRIC_CA_SERVER_TLS_ENABLED", tls.to_string());
    if tls && volume {
        set("FABRIC_CA_SERVER_CSR_HOSTS", hosts.join(","));
        set(
            "FABRIC_CA_SERVER_TLS_CERTFILE",
            "/tmp/tls-cert.pem".to_owned(),
        );
    } else if tls {
        set(
            "FABRIC_CA_SERVER_TLS_CERTFILE",
            "/etc/hyperledger/tls/server.crt".to_owned(),
        );
        set(
            "FABRIC_CA_SERVER_TLS_KEYFILE",
            "/etc/hyperledger/tls/server.key".to_owned(),
        );
    }
    set(
        "FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS",
        format!("0.0.0.0:{}", settings.number("/operations/port", 9443)),
    );
    let metrics = if settings.flag("/metrics/enabled", true) {
        "prometheus"
    } else {
        "disabled"
    };
    set("FABRIC_CA_SERVER_METRICS_PROVIDER", metrics.to_owned());
    let database = settings.text_or("/ca/database/type", "sqlite3");
    if database != "sqlite3" {
        set("FABRIC_CA_SERVER_DB_TYPE", database.to_owned());
    }
    if !settings.text("/ca/database/tlsSecret").is_empty() {
        set("FABRIC_CA_SERVER_DB_TLS_ENABLED", "true".to_owned());
        set(
            "FABRIC_CA_SERVER_DB_TLS_CERTFILES",
            "/etc/hyperledger/database/ca.crt".to_owned(),
        );
    }
    env.extend(
        settings
            .map("/ca/env")
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), variable(value))),
    );
    let mut facts = json!({
        "name": CA,
        "address": names.address(CA),
        "endpoint": format!("{}:{CA_PORT}", names.address(CA)),
        "image": settings.text_or("/ca/image", &images.ca()),
        "env": env,
        "ca_secret": crypto.secret(&format!("{}-ca", crypto.release)),
        "tls_secret": crypto.secret(&format!("{CA}-tls")),
        "credentials_secret": credentials(settings).0,
    });
    if database != "sqlite3" {
        facts["database_secret"] = settings
            .text_or("/ca/database/existingSecret", "ca-database")
            .into();
    }
    facts
}

/// Refuses a database that the server cannot reach.
///
/// Sources: `docs/source/users-guide.rst` of hyperledger/fabric-ca, "Configuring PostgreSQL" and
/// "Configuring MySQL" (`parseTime`). Messages never show the data source, which contains a
/// password.
pub fn check_database(settings: &Settings, breaks: &mut Breaks) {
    let (source, secret) = (
        settings.text("/ca/database/dataSource"),
        settings.text("/ca/database/existingSecret"),
    );
    let database = settings.text_or("/ca/database/type", "sqlite3");
    if database == "sqlite3" {
        for (key, value) in [
            ("dataSource", source),
            ("existingSecret", secret),
            ("tlsSecret", settings.text("/ca/database/tlsSecret")),
        ] {
            if !value.is_empty() {
                breaks.add(
                    &format!("ca.database.{key}"),
                    "sqlite3 is a file on the CA server's own volume: choose ca.database.type",
                );
            }
        }
        return;
    }
    match (source.is_empty(), secret.is_empty()) {
        (true, true) => breaks.add(
            "ca.database.dataSource",
            format!("{database} needs a data source, here or in ca.database.existingSecret"),
        ),
        (false, false) => breaks.add(
            "ca.database.existingSecret",
            "the data source is given twice: in the values and in this Secret",
        ),
        (false, true) if database == "mysql" && !source.contains("parseTime=true") => {
            breaks.add(
                "ca.database.dataSource",
                "for MySQL, the data source must contain parseTime=true",
            );
        }
        _ => {}
    }
    if settings.egress_is_closed() {
        breaks.warn("the network policies do not let the CA server connect to its database: allow it with networkPolicy.egress");
    }
}

/// Returns the facts for the pod in which an administrator runs `peer`. By default it talks to the
/// first peer.
///
/// From 3.0 on, Fabric publishes no image of its tools, so the user must set one.
pub fn cli(
    settings: &Settings,
    names: &Names,
    images: Images,
    crypto: &Crypto,
    breaks: &mut Breaks,
) -> Value {
    let own = settings.text("/cli/image");
    let image = if own.is_empty() {
        images.tools()
    } else {
        Some(own.to_owned())
    };
    if image.is_none() {
        breaks.add(
            "cli.image",
            format!("Fabric publishes no image fabric-tools for {}: set an image with the tools you need", images.version),
        );
    }
    let tls = settings.flag("/tls/enabled", true);
    let mut env = json!({
        "FABRIC_LOGGING_SPEC": "info",
        "HOME": "/tmp",
        "CORE_PEER_ID": "cli",
        "CORE_PEER_ADDRESS": format!("{}:{}", names.address("peer0"), PEER_PORT),
        "CORE_PEER_LOCALMSPID": names.msp_id,
        "CORE_PEER_MSPCONFIGPATH": "/etc/hyperledger/msp",
        "CORE_PEER_TLS_ENABLED": tls.to_string(),
    });
    if tls {
        env["CORE_PEER_TLS_ROOTCERT_FILE"] = "/etc/hyperledger/tls/ca.crt".into();
    }
    if tls && settings.flag("/tls/clientAuthRequired", false) {
        env["CORE_PEER_TLS_CLIENTAUTHREQUIRED"] = "true".into();
        env["CORE_PEER_TLS_CLIENTCERT_FILE"] = "/etc/hyperledger/tls/client.crt".into();
        env["CORE_PEER_TLS_CLIENTKEY_FILE"] = "/etc/hyperledger/tls/client.key".into();
    }
    let mounts = crypto.admin();
    json!({"image": image, "env": env, "msp": mounts.msp, "tls": mounts.tls})
}
