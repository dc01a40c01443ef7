//! The client for requests, and its renewal when the credentials of a plugin expire.

use super::{
    Connection, certificates, client,
    credentials::CredentialSource,
    headers,
    kubeconfig::{self, Environment, Target},
    proxy,
};
use crate::error::{Error, Place, Result, public_url};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client, Config,
    client::{AuthError, RustlsTlsError},
};
use tokio::sync::RwLock;

/// Credentials that expire within this time are renewed before use.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// How to build a client, again whenever credentials change.
pub(super) struct Session {
    config: Config,
    source: CredentialSource,
    user_name: String,
    current: RwLock<Current>,
    /// The server's URL and the proxy, for errors. Without users and passwords.
    pub route: String,
    pub namespace: Option<String>,
}

struct Current {
    client: Client,
    /// Number of renewals, so that only the first of several requests with the same expired token
    /// renews it.
    generation: u64,
    expires: Option<Timestamp>,
}

impl Session {
    pub async fn open(connection: &Connection, environment: Environment<'_>) -> Result<Session> {
        let target = kubeconfig::resolve(connection, environment)?;
        let proxy = proxy::choose(
            target.cluster.proxy_url.as_deref(),
            &target.server,
            environment,
        )?;
        let Target {
            cluster,
            server,
            mut user,
            user_name,
            namespace,
        } = target;
        headers::check_user(&user, &user_name, connection)?;
        let source = CredentialSource::of(&mut user, &user_name, &cluster, connection.stdin_in_use);

        let mut config = Config::new(server);
        config.root_cert =
            certificates::root_certificates(cluster.certificate_authority_data.as_deref())?;
        config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.disable_compression = cluster.disable_compression.unwrap_or(false);
        config.tls_server_name = cluster.tls_server_name;
        config.auth_info = user;
        let route = match &proxy {
            Some(proxy) => {
                let port = proxy
                    .port_u16()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                format!(
                    "{} through the proxy {}{port}",
                    trimmed(&config.cluster_url),
                    proxy.host().unwrap_or_default()
                )
            }
            None => trimmed(&config.cluster_url),
        };
        config.proxy_url = proxy;

        let (client, expires) = log_in(&config, &source, &user_name).await?;
        let current = RwLock::new(Current {
            client,
            generation: 0,
            expires,
        });
        Ok(Session {
            config,
            source,
            user_name,
            current,
            route,
            namespace,
        })
    }

    /// Returns the current client and the generation of its credentials.
    pub async fn client(&self) -> Result<(Client, u64)> {
        let current = self.current.read().await;
        match current.expires {
            Some(expires) if Timestamp::now() + MARGIN >= expires => {
                let generation = current.generation;
                drop(current);
                self.renew(generation).await?;
                let current = self.current.read().await;
                Ok((current.client.clone(), current.generation))
            }
            _ => Ok((current.client.clone(), current.generation)),
        }
    }

    /// Returns what is known to be wrong with credentials that the server rejected.
    pub fn doubt(&self) -> Option<String> {
        let ends = certificates::end(self.config.auth_info.client_certificate_data.as_deref()?)?;
        (ends < Timestamp::now()).then(|| {
            format!(
                "the client certificate of user \"{}\" expired at {ends}",
                self.user_name
            )
        })
    }

    /// Renews the credentials, unless another task has done so since `generation`. Returns false if
    /// they have no source.
    pub async fn renew(&self, generation: u64) -> Result<bool> {
        if matches!(self.source, CredentialSource::Kubeconfig) {
            return Ok(false);
        }
        let mut current = self.current.write().await;
        if current.generation == generation {
            let (client, expires) = log_in(&self.config, &self.source, &self.user_name).await?;
            // If a plugin returns expired credentials, it is not run for each request; the server
            // will return 401.
            let expires = expires.filter(|expires| Timestamp::now() + MARGIN < *expires);
            *current = Current {
                client,
                generation: generation + 1,
                expires,
            };
        }
        Ok(true)
    }
}

fn trimmed(url: &http::Uri) -> String {
    public_url(&url.to_string())
        .trim_end_matches('/')
        .to_owned()
}

async fn log_in(
    config: &Config,
    source: &CredentialSource,
    user_name: &str,
) -> Result<(Client, Option<Timestamp>)> {
    let mut config = config.clone();
    let credential = source.ask().await?;
    if let Some(credential) = &credential {
        credential.put_into(&mut config.auth_info);
    }
    let expires = credential.and_then(|credential| credential.expires);
    let client = client::build(config).map_err(|error| not_built(error, user_name))?;
    Ok((client, expires))
}

/// Describes errors that the client library finds before any request. None of them quotes a secret.
fn not_built(error: kube::Error, user_name: &str) -> Error {
    let place = Place::new("kubeconfig").note(format!("user \"{user_name}\""));
    match error {
        kube::Error::RustlsTls(RustlsTlsError::InvalidServerName(_)) => {
            Error::user("the name to verify in the server's certificate is not a host name")
                .at(Place::new("--tls-server-name, or tls-server-name in the kubeconfig's cluster"))
        }
        kube::Error::RustlsTls(error) => {
            Error::user("a certificate or key cannot be used").at(place).why(error.to_string())
        }
        kube::Error::Auth(AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_)) => {
            Error::user("the token or password has characters that are not allowed in a header")
                .at(place)
                .hint("check it for line breaks")
        }
        kube::Error::Auth(error) => Error::user("the kubeconfig's user cannot log in").at(place).why(error.to_string()).hint(
            "kubectl has removed the old auth-provider entries too: create the entry again with your cloud's tool",
        ),
        other => Error::user("the connection to the cluster cannot be set up").at(place).why(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        ApiErrorKind,
        scripted::{Reply, Scripted, impatient},
    };
    use serde_json::json;
    use std::{fs, path::PathBuf};

    struct Plugged {
        folder: tempfile::TempDir,
        connection: Connection,
    }

    /// Returns a kubeconfig whose user has a plugin that logs its runs and returns `token-1`,
    /// `token-2`, ...
    fn plugged(status: &str) -> Plugged {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let script = format!(
            "cd '{}'; echo run >> runs; n=$(grep -c run runs); echo '{}' | sed \"s/TOKEN/token-$n/\"",
            folder.path().display(),
            json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"})
                .to_string()
                .replacen('}', &format!(", \"status\": {status}}}"), 1)
        );
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", script],
            "interactiveMode": "Never",
        });
        let config = json!({
            "users": [{"name": "eks", "user": {"exec": exec}}],
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
            "clusters": [{"name": "eks", "cluster": {"server": "http://replaced"}}],
            "current-context": "eks",
        });
        fs::write(path("config"), config.to_string()).unwrap();
        Plugged {
            connection: Connection {
                kubeconfig: Some(path("config")),
                ..Connection::default()
            },
            folder,
        }
    }

    impl Plugged {
        fn runs(&self) -> usize {
            fs::read_to_string(self.folder.path().join("runs"))
                .unwrap()
                .lines()
                .count()
        }
    }

    fn tokens(server: &Scripted) -> Vec<String> {
        let token = |request: &String| {
            request
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "))
                .unwrap_or_default()
                .to_owned()
        };
        server.seen().iter().map(token).collect()
    }

    #[tokio::test]
    async fn a_plugin_runs_once_and_once_more_when_its_token_is_refused() {
        let plugged = plugged(r#"{"token": "TOKEN"}"#);
        let refused = || Reply::status(401, "Unauthorized", "Unauthorized");
        let server = Scripted::start([
            Reply::ok("{}"),
            refused(),
            Reply::ok("{}"),
            refused(),
            refused(),
        ])
        .await;
        let cluster = server
            .cluster_of(plugged.connection.clone(), impatient())
            .await;
        cluster.version().await.unwrap();
        assert_eq!(plugged.runs(), 1);
        cluster.version().await.unwrap();
        assert_eq!(plugged.runs(), 2);
        assert_eq!(
            cluster.version().await.unwrap_err().kind,
            ApiErrorKind::Unauthorized
        );
        assert_eq!(
            tokens(&server),
            ["token-1", "token-1", "token-2", "token-2", "token-3"]
        );
    }

    #[tokio::test]
    async fn a_token_that_has_ended_is_renewed_before_it_is_used() {
        let plugged =
            plugged(r#"{"token": "TOKEN", "expirationTimestamp": "2020-01-01T00:00:00Z"}"#);
        let server = Scripted::start([Reply::ok("{}"), Reply::ok("{}")]).await;
        let cluster = server
            .cluster_of(plugged.connection.clone(), impatient())
            .await;
        cluster.version().await.unwrap();
        cluster.version().await.unwrap();
        assert_eq!(tokens(&server), ["token-2", "token-2"]);
    }

    #[tokio::test]
    async fn a_credential_that_a_request_cannot_carry_is_reported_with_its_place_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let open = async |user: serde_json::Value, flags: Connection| {
            let config = json!({
                "users": [{"name": "ann", "user": user}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "ann"}}],
                "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
                "current-context": "a",
            });
            fs::write(path("config"), config.to_string()).unwrap();
            let connection = Connection {
                kubeconfig: Some(path("config")),
                ..flags
            };
            Session::open(&connection, &|_| None)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let none = Connection::default;
        let file = |name: &str, text: &str| {
            fs::write(path(name), text).unwrap();
            json!({"tokenFile": path(name)})
        };
        let (broken, empty) = (file("broken", "s3cr3t\nabc\n"), file("empty", " \n"));
        let cases = [
            (
                json!({"token": "s3cr3t\n"}),
                none(),
                "user \"ann\": token",
                "line break",
            ),
            (
                json!({"token": "s3cr3t\u{7}"}),
                none(),
                "user \"ann\": token",
                "control character",
            ),
            (
                json!({}),
                Connection {
                    token: Some("s3cr3t\nabc".into()),
                    ..none()
                },
                "--token",
                "line break",
            ),
            (broken, none(), "broken", "line break"),
            (empty, none(), "empty", "the token file is empty"),
            (
                json!({}),
                Connection {
                    impersonate: Some("s3cr3t\r".into()),
                    ..none()
                },
                "--as",
                "line break",
            ),
            (
                json!({"as": "bob"}),
                Connection {
                    impersonate_groups: vec!["s3cr3t\u{0}".into()],
                    ..none()
                },
                "--as-group",
                "control character",
            ),
            (
                json!({"as": "bob", "as-uid": "s3cr3t\n"}),
                none(),
                "user \"ann\": as-uid",
                "line break",
            ),
            (
                json!({"as": "bob", "as-user-extra": {"a": ["s3cr3t\n"]}}),
                none(),
                "as-user-extra",
                "line break",
            ),
            (
                json!({}),
                Connection {
                    tls_server_name: Some("s3cr3t\nabc".into()),
                    ..none()
                },
                "tls-server-name",
                "not a host name",
            ),
            (
                json!({"client-certificate-data": "s3cr3t\n", "client-key-data": "s3cr3t"}),
                none(),
                "user \"ann\"",
                "not base64",
            ),
            (
                json!({"username": "bob", "password": "s3cr3t\n"}),
                none(),
                "",
                "",
            ),
        ];
        for (user, flags, place, why) in cases {
            match open(user.clone(), flags).await {
                Ok(()) => assert!(
                    why.is_empty(),
                    "{user}: basic auth is sent in base64, all else not"
                ),
                Err(error) => {
                    assert!(
                        error.contains(place) && error.contains(why) && !why.is_empty(),
                        "{user}: {error}"
                    );
                    assert!(!error.contains("s3cr3t"), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_token_file_is_read_again_when_its_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let token: PathBuf = folder.path().join("token");
        fs::write(&token, "first\n").unwrap();
        let config = json!({
            "users": [{"name": "a", "user": {"tokenFile": token}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": "http://replaced"}}],
            "current-context": "a",
        });
        fs::write(folder.path().join("config"), config.to_string()).unwrap();
        let server = Scripted::start([
            Reply::ok("{}"),
            Reply::status(401, "Unauthorized", "no"),
            Reply::ok("{}"),
        ])
        .await;
        let connection = Connection {
            kubeconfig: Some(folder.path().join("config")),
            ..Connection::default()
        };
        let cluster = server.cluster_of(connection, impatient()).await;
        cluster.version().await.unwrap();
        fs::write(&token, "second").unwrap();
        cluster.version().await.unwrap();
        assert_eq!(tokens(&server), ["first", "first", "second"]);
    }
}
