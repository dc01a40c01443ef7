//! The organization's CA server and its CLI pod: their environments.

use super::crypto::CryptoSource;
use super::organization::CA;
use super::ports::{CA_PORT, PEER_PORT};
use super::settings::{Settings, Variable, environment, row};
use super::{Breaks, Setup, certified};
use serde_json::{Value, json};

/// Returns the Secret with the CA server's administrator, and whether this program creates it.
pub fn credentials<'a>(settings: &Settings<'a>) -> (&'a str, bool) {
    match settings.text("/ca/existingSecret") {
        "" => ("ca-admin", true),
        existing => (existing, false),
    }
}

/// A CA server in the form that the rows of the table use.
struct Server<'a> {
    setup: Setup<'a>,
    /// The hosts of its certificate.
    hosts: Vec<String>,
}

impl<'a> Server<'a> {
    /// The table of the server's environment variables.
    ///
    /// Source: `cmd/fabric-ca-server/config.go` of hyperledger/fabric-ca. The variable of a key is
    /// `FABRIC_CA_SERVER_` with the key's path in capitals. The home is a volume, because the
    /// server writes its configuration and database there. The operations service listens on
    /// loopback by default.
    ///
    /// A tree on a volume contains no TLS certificate for the server, because cryptogen makes none.
    /// The server's own authority then signs one for its hosts (`lib/server.go`,
    /// `autoGenerateTLSCertificateKey`). It does so only if there is none, and never renews it, so
    /// the file belongs to the pod: each pod has a new certificate with the current hosts.
    const VARIABLES: [Variable<Server<'a>>; 14] = [
        row("FABRIC_CA_SERVER_HOME", |_| {
            Some("/var/hyperledger/fabric-ca-server".to_owned())
        }),
        row("FABRIC_CA_SERVER_CA_NAME", |s| {
            Some(format!("ca.{}", s.setup.names.domain))
        }),
        row("FABRIC_CA_SERVER_CA_CERTFILE", |s| {
            Some(match s.is_on_volume() {
                true => format!("/etc/hyperledger/ca/ca.{}-cert.pem", s.setup.names.domain),
                false => "/etc/hyperledger/ca/cert.pem".to_owned(),
            })
        }),
        row("FABRIC_CA_SERVER_CA_KEYFILE", |s| {
            let key = match s.is_on_volume() {
                true => s.setup.settings.text_or("/crypto/nfs/caKey", "priv_sk"),
                false => "key.pem",
            };
            Some(format!("/etc/hyperledger/ca/{key}"))
        }),
        row("FABRIC_CA_SERVER_PORT", |_| Some(CA_PORT.to_string())),
        row("FABRIC_CA_SERVER_TLS_ENABLED", |s| {
            Some(s.has_tls().to_string())
        }),
        row("FABRIC_CA_SERVER_CSR_HOSTS", |s| {
            (s.has_tls() && s.is_on_volume()).then(|| s.hosts.join(","))
        }),
        row("FABRIC_CA_SERVER_TLS_CERTFILE", |s| {
            let file = match s.is_on_volume() {
                true => "/tmp/tls-cert.pem",
                false => "/etc/hyperledger/tls/server.crt",
            };
            s.has_tls().then(|| file.to_owned())
        }),
        row("FABRIC_CA_SERVER_TLS_KEYFILE", |s| {
            (s.has_tls() && !s.is_on_volume()).then(|| "/etc/hyperledger/tls/server.key".to_owned())
        }),
        row("FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS", |s| {
            let port = s.setup.settings.number("/operations/port", 9443);
            Some(format!("0.0.0.0:{port}"))
        }),
        row("FABRIC_CA_SERVER_METRICS_PROVIDER", |s| {
            Some(s.setup.settings.metrics_provider().to_owned())
        }),
        row("FABRIC_CA_SERVER_DB_TYPE", |s| {
            s.database().map(str::to_owned)
        }),
        row("FABRIC_CA_SERVER_DB_TLS_ENABLED", |s| {
            s.has_database_tls().then(|| "true".to_owned())
        }),
        row("FABRIC_CA_SERVER_DB_TLS_CERTFILES", |s| {
            s.has_database_tls()
                .then(|| "/etc/hyperledger/database/ca.crt".to_owned())
        }),
    ];

    fn is_on_volume(&self) -> bool {
        self.setup.crypto.source == CryptoSource::Nfs
    }

    fn has_tls(&self) -> bool {
        self.setup.settings.flag("/tls/enabled", true)
    }

    /// Returns the type of its database, or `None` if it is a file on its own volume.
    fn database(&self) -> Option<&'a str> {
        let settings = self.setup.settings;
        let database = settings.text_or("/ca/database/type", SQLITE);
        (database != SQLITE).then_some(database)
    }

    fn has_database_tls(&self) -> bool {
        let settings = self.setup.settings;
        !settings.text("/ca/database/tlsSecret").is_empty()
    }
}

const SQLITE: &str = "sqlite3";

/// Returns the facts for the CA server's templates.
pub fn facts(setup: Setup, breaks: &mut Breaks) -> Value {
    let Setup {
        settings,
        names,
        images,
        exposure,
        crypto,
    } = setup;
    check_database(settings, breaks);
    let server = Server {
        setup,
        hosts: certified(settings, names, exposure, CA).hosts,
    };
    let extra = settings.map("/ca/env");
    let env = environment(&Server::VARIABLES, images.version, &server, extra);
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
    if server.database().is_some() {
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
fn check_database(settings: &Settings, breaks: &mut Breaks) {
    let (source, secret) = (
        settings.text("/ca/database/dataSource"),
        settings.text("/ca/database/existingSecret"),
    );
    let database = settings.text_or("/ca/database/type", SQLITE);
    if database == SQLITE {
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
        breaks.warn(
            "the network policies do not let the CA server connect to its database: allow \
                     it with networkPolicy.egress",
        );
    }
}

/// Returns the facts for the pod in which an administrator runs `peer`. By default it talks to the
/// first peer.
///
/// From 3.0 on, Fabric publishes no image of its tools, so the user must set one.
pub fn cli(setup: Setup, breaks: &mut Breaks) -> Value {
    let Setup {
        settings,
        names,
        images,
        crypto,
        ..
    } = setup;
    let own = settings.text("/cli/image");
    let image = if own.is_empty() {
        images.tools()
    } else {
        Some(own.to_owned())
    };
    if image.is_none() {
        breaks.add(
            "cli.image",
            format!(
                "Fabric publishes no image fabric-tools for {}: set an image with the tools \
                     you need",
                images.version
            ),
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
