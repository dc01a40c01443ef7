//! Selects the CA server of a command, and its route and trust.

use crate::cluster::Cluster;
use crate::commands::load;
use crate::error::{Error, Result};
use crate::fabric::contact::{CaServer, Contact};
use crate::identity::secrets::entry;
use crate::member::ca::Ca;
use crate::member::{self, Installed};
use crate::node::{Address, Node, Route, Security, Tls};
use clap::{Args, ValueHint};
use http::Uri;
use std::path::PathBuf;

/// The default port of a CA server's URL, as in `fabric-ca-client`.
const PORT: u16 = 7054;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "CA server")]
pub struct AuthorityArguments {
    /// URL of the CA server, with an optional path [default: the organization's CA server in the
    /// cluster]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,

    /// File with the CA certificates that verify the CA server's TLS certificate, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_root: Option<PathBuf>,

    /// Name of the CA, for a server with several CAs
    #[arg(long, value_name = "NAME")]
    pub ca_name: Option<String>,
}

/// A CA server, with warnings about the connection to it.
pub struct Reached {
    pub ca: Ca,
    pub warnings: Vec<String>,
}

impl AuthorityArguments {
    /// Returns the CA server. Nothing is sent yet.
    pub async fn reach(&self, cluster: &Cluster, contact: &Contact) -> Result<Reached> {
        match (&self.url, &contact.ca) {
            (Some(url), _) => self.at_url(url, cluster, contact).await,
            (None, Some(server)) => self.in_cluster(server, cluster, contact).await,
            (None, None) => Err(Error::user(format!(
                "organization \"{}\" has no CA server",
                contact.release
            ))
            .hint("set --url, or install one with ca.enabled=true")),
        }
    }

    async fn in_cluster(
        &self,
        server: &CaServer,
        cluster: &Cluster,
        contact: &Contact,
    ) -> Result<Reached> {
        let security = match contact.tls {
            false => Security::Plain,
            true => {
                let roots = self.roots(cluster, contact).await?;
                Security::Tls(Tls::new(&roots, &server.host, None)?)
            }
        };
        let node = Node {
            name: server.host.clone(),
            route: Route::Forward {
                cluster: cluster.clone(),
                namespace: contact.namespace.clone(),
                service: server.name.clone(),
                port: server.port,
            },
            security,
        };
        Ok(Reached {
            ca: Ca::new(node, "", self.ca_name.clone()),
            warnings: Vec::new(),
        })
    }

    async fn at_url(&self, url: &str, cluster: &Cluster, contact: &Contact) -> Result<Reached> {
        let (scheme, address, path) = parts(url)?;
        let mut warnings = Vec::new();
        let security = match scheme {
            Scheme::Http => {
                warnings.push(
                    "the CA server is called without TLS: anyone on the network path can read the secret"
                        .to_owned(),
                );
                Security::Plain
            }
            Scheme::Https => {
                let roots = self.roots(cluster, contact).await?;
                Security::Tls(Tls::new(&roots, &address.host, None)?)
            }
        };
        let node = Node {
            name: address.host.clone(),
            route: Route::Exposed(address),
            security,
        };
        Ok(Reached {
            ca: Ca::new(node, &path, self.ca_name.clone()),
            warnings,
        })
    }

    /// Returns the authorities that verify the server's certificate: the user's, or those in the
    /// Secret of the organization's CA server.
    async fn roots(&self, cluster: &Cluster, contact: &Contact) -> Result<String> {
        if let Some(file) = &self.tls_root {
            return load::text(file, "TLS authority");
        }
        if contact.ca.is_none() {
            return Err(
                Error::user("the authority of the CA server's TLS certificate is unknown")
                    .now("nothing was sent")
                    .hint("pass the authority with --tls-root FILE"),
            );
        }
        member::ca_authorities(cluster, contact)
            .await
            .map_err(|error| error.hint("pass the authority with --tls-root FILE"))
    }
}

impl Reached {
    /// Returns the name and password of the CA server's administrator, from its Secret.
    pub async fn administrator(
        &self,
        cluster: &Cluster,
        installed: &Installed,
    ) -> Result<(String, String)> {
        const OWN: &str = "pass the folder of a registrar's identity: --registrar FOLDER";
        let contact = &installed.contact;
        let Some(server) = &contact.ca else {
            return Err(Error::user("no registrar's identity is available").hint(OWN));
        };
        let names = [server.credentials.clone()];
        let secrets = installed.secrets_named(cluster, &names).await;
        let secrets = secrets.map_err(|error| error.hint(OWN))?;
        let found = secrets.get(&server.credentials).and_then(|secret| {
            let text = |name| String::from_utf8(entry(secret, name)?).ok();
            Some((text("username")?, text("password")?))
        });
        found.ok_or_else(|| {
            Error::user(format!(
                "Secret {}/{} has no username and password of the CA server's administrator",
                contact.namespace, server.credentials
            ))
            .hint(OWN)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Parses a URL. Refuses user information before `@`, which could contain a password.
fn parts(url: &str) -> Result<(Scheme, Address, String)> {
    let wrong = |why: &str| {
        Error::user("--url is not the URL of a CA server")
            .why(why)
            .hint("write it as https://HOST:PORT/PATH, such as https://ca.example.com:7054")
    };
    let parsed: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
    let scheme = match parsed.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(wrong("it starts with neither https:// nor http://")),
    };
    let authority = parsed.authority().ok_or_else(|| wrong("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong(
            "it contains a name or a password; pass a secret with --secret FILE",
        ));
    }
    if parsed.query().is_some() {
        return Err(wrong(
            "it has a query; --ca-name names an authority of the server",
        ));
    }
    let port = authority.port_u16().unwrap_or(PORT);
    let address = format!("{}:{port}", authority.host()).parse()?;
    Ok((scheme, address, parsed.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_may_have_port_and_path() {
        for (url, scheme, address, path) in [
            (
                "https://ca.example.com",
                Scheme::Https,
                "ca.example.com:7054",
                "/",
            ),
            (
                "https://ca.example.com:443/org1/ca",
                Scheme::Https,
                "ca.example.com:443",
                "/org1/ca",
            ),
            (
                "http://[fd00::1]:7054/",
                Scheme::Http,
                "[fd00::1]:7054",
                "/",
            ),
        ] {
            let (found, at, below) = parts(url).unwrap();
            assert_eq!(
                (found, at.to_string().as_str(), below.as_str()),
                (scheme, address, path)
            );
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_and_not_repeated() {
        for (url, why) in [
            ("https://admin:topsecret@ca:7054", "--secret FILE"),
            ("ca:7054", "neither https:// nor http://"),
            ("ftp://ca", "neither https:// nor http://"),
            ("https://ca/?ca=a", "--ca-name"),
            ("https://", "not a URL"),
            ("not a url", "not a URL"),
        ] {
            let error = parts(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("topsecret"), "{error}");
        }
    }
}
