//! The client that requests go through, and its renewal when the credentials of a plugin run out.

use super::{
    Connection,
    credentials::Plugin,
    kubeconfig::{self, Environment, Target},
    proxy,
};
use crate::error::{Error, Place, Result};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client, Config,
    client::{AuthError, ClientBuilder},
};
use std::time::Duration;
use tokio::sync::RwLock;

/// A server that does not accept a connection within this time is taken for unreachable.
const CONNECT: Duration = Duration::from_secs(10);
/// A credential that ends within this time is renewed before it is used.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// How to make a client, as often as the credentials need it.
pub(super) struct Session {
    config: Config,
    plugin: Option<Plugin>,
    user_name: String,
    current: RwLock<Current>,
    /// The server's URL and the proxy, for errors. Without the proxy's password.
    pub route: String,
    pub namespace: Option<String>,
}

struct Current {
    client: Client,
    /// Counts renewals, so that of many requests that meet the same expired token only the first renews it.
    generation: u64,
    expires: Option<Timestamp>,
}

impl Session {
    pub async fn open(connection: &Connection, environment: Environment<'_>) -> Result<Session> {
        let target = kubeconfig::resolve(connection, environment)?;
        let proxy = proxy::choose(target.cluster.proxy_url.as_deref(), &target.server, environment)?;
        let Target { cluster, server, mut user, user_name, namespace } = target;
        let plugin = Plugin::of(&user, &user_name, &cluster, connection.stdin_in_use);
        user.exec = None;

        let mut config = Config::new(server);
        config.root_cert = root_certificates(cluster.certificate_authority_data.as_deref())?;
        config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.disable_compression = cluster.disable_compression.unwrap_or(false);
        config.tls_server_name = cluster.tls_server_name;
        config.auth_info = user;
        config.connect_timeout = Some(CONNECT);
        // The library would try for many minutes; `retry` decides instead.
        config.default_retry = false;
        let route = match &proxy {
            Some(proxy) => {
                let port = proxy.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{} through the proxy {}{port}", trimmed(&config.cluster_url), proxy.host().unwrap_or_default())
            }
            None => trimmed(&config.cluster_url),
        };
        config.proxy_url = proxy;

        let (client, expires) = log_in(&config, plugin.as_ref(), &user_name).await?;
        let current = RwLock::new(Current { client, generation: 0, expires });
        Ok(Session { config, plugin, user_name, current, route, namespace })
    }

    /// The client to use now, and the generation of its credentials.
    pub async fn client(&self) -> Result<(Client, u64)> {
        let current = self.current.read().await;
        match current.expires {
            Some(expires) if self.plugin.is_some() && Timestamp::now() + MARGIN >= expires => {
                let generation = current.generation;
                drop(current);
                self.renew(generation).await?;
                let current = self.current.read().await;
                Ok((current.client.clone(), current.generation))
            }
            _ => Ok((current.client.clone(), current.generation)),
        }
    }

    /// Runs the credential plugin again, unless someone has done so since `generation`. False when there is no plugin to run.
    pub async fn renew(&self, generation: u64) -> Result<bool> {
        if self.plugin.is_none() {
            return Ok(false);
        }
        let mut current = self.current.write().await;
        if current.generation == generation {
            let (client, expires) = log_in(&self.config, self.plugin.as_ref(), &self.user_name).await?;
            // A plugin that keeps giving what has already ended is not asked at every request; the server will say 401.
            let expires = expires.filter(|expires| Timestamp::now() + MARGIN < *expires);
            *current = Current { client, generation: generation + 1, expires };
        }
        Ok(true)
    }
}

fn trimmed(url: &http::Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

async fn log_in(config: &Config, plugin: Option<&Plugin>, user_name: &str) -> Result<(Client, Option<Timestamp>)> {
    let mut config = config.clone();
    let mut expires = None;
    if let Some(plugin) = plugin {
        let credential = plugin.run().await?;
        credential.put_into(&mut config.auth_info);
        expires = credential.expires;
    }
    let builder = ClientBuilder::try_from(config).map_err(|error| not_built(error, user_name))?;
    Ok((builder.build(), expires))
}

/// The certificates of a PEM, which `kubeconfig` has already found to be base64 and to look like PEM.
fn root_certificates(data: Option<&str>) -> Result<Option<Vec<Vec<u8>>>> {
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
    let Some(data) = data else { return Ok(None) };
    let wrong = |why: String| Error::user("the certificate authority is not one that can be used").why(why);
    let pem = BASE64.decode(data).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for part in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let part = part.map_err(|error| wrong(error.to_string()))?;
        if part.label == "CERTIFICATE" {
            certificates.push(part.contents);
        }
    }
    match certificates.is_empty() {
        true => {
            Err(wrong("it holds no certificate".to_owned()).hint("the file must have a \"-----BEGIN CERTIFICATE-----\" line"))
        }
        false => Ok(Some(certificates)),
    }
}

/// Words for what the client library finds wrong before any request. None of its errors quotes a secret.
fn not_built(error: kube::Error, user_name: &str) -> Error {
    let place = Place::new("kubeconfig").note(format!("user \"{user_name}\""));
    match error {
        kube::Error::RustlsTls(error) => {
            Error::user("a certificate or key is not one that can be used").at(place).why(error.to_string())
        }
        kube::Error::Auth(AuthError::ReadTokenFile(error, path)) => {
            Error::user("cannot read the token file").at(Place::new(path.display().to_string()).note(error.to_string()))
        }
        kube::Error::Auth(AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_)) => {
            Error::user("the token or password has characters that a request cannot carry")
                .at(place)
                .hint("is there a line break in it?")
        }
        kube::Error::Auth(error) => Error::user("the kubeconfig's user cannot log in").at(place).why(error.to_string()).hint(
            "the old built-in auth-provider entries are gone from kubectl too: write the entry again with your cloud's tool",
        ),
        other => Error::user("the connection to the cluster cannot be set up").at(place).why(other.to_string()),
    }
}
