//! Overrides the kubeconfig with flags, with kubectl's precedence (client-go
//! `clientcmd.DirectClientConfig`).

use super::Connection;
use crate::error::{Error, Result, public_url};
use kube::config::{AuthInfo, Cluster};

/// Applies the flags about the cluster.
pub(super) fn override_cluster(cluster: &mut Cluster, flags: &Connection) {
    // The settings for trust are overridden together, so that flags are not combined with the
    // file's settings.
    if flags.insecure_skip_tls_verify || flags.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(flags.insecure_skip_tls_verify);
        cluster.certificate_authority = flags
            .certificate_authority
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        cluster.certificate_authority_data = None;
    }
    if let Some(server) = &flags.server {
        cluster.server = Some(server.clone());
        // The name in the file belongs to another server.
        cluster.tls_server_name = None;
    }
    if let Some(name) = &flags.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if flags.disable_compression {
        cluster.disable_compression = Some(true);
    }
}

/// Applies the flags about the user.
pub(super) fn override_user(user: &mut AuthInfo, flags: &Connection) -> Result<()> {
    if let Some(token) = &flags.token {
        *user = AuthInfo {
            token: Some(token.clone().into()),
            impersonate: user.impersonate.take(),
            impersonate_uid: user.impersonate_uid.take(),
            impersonate_groups: user.impersonate_groups.take(),
            impersonate_user_extra: user.impersonate_user_extra.take(),
            ..AuthInfo::default()
        };
    }
    if let Some(path) = &flags.client_certificate {
        user.client_certificate = Some(path.to_string_lossy().into_owned());
        user.client_certificate_data = None;
        // A client certificate in the flags selects the identity, so a plugin is not used.
        user.exec = None;
        user.auth_provider = None;
    }
    if let Some(path) = &flags.client_key {
        user.client_key = Some(path.to_string_lossy().into_owned());
        user.client_key_data = None;
    }
    if flags.impersonate.is_some() {
        user.impersonate = flags.impersonate.clone();
    }
    if flags.impersonate_uid.is_some() {
        user.impersonate_uid = flags.impersonate_uid.clone();
    }
    if !flags.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(flags.impersonate_groups.clone());
    }
    if user.impersonate.is_none()
        && (user.impersonate_groups.is_some() || user.impersonate_uid.is_some())
    {
        return Err(Error::user("--as-group and --as-uid need --as")
            .hint("name the user to impersonate with --as"));
    }
    Ok(())
}

/// Returns the server's URL. An address without a scheme means https if TLS is configured in any
/// way, otherwise http, as in client-go (`rest.DefaultServerURL`).
pub(super) fn server_url(cluster: &Cluster, user: &AuthInfo) -> Result<http::Uri> {
    let Some(server) = cluster
        .server
        .as_deref()
        .filter(|server| !server.is_empty())
    else {
        return Err(
            Error::user("the kubeconfig's cluster has no server").hint("pass one with --server")
        );
    };
    let tls = cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true)
        || user.client_certificate_data.is_some();
    let url = match server.contains("://") {
        true => server.to_owned(),
        false => format!("{}://{server}", if tls { "https" } else { "http" }),
    };
    let wrong = |why: String| {
        Error::user(format!(
            "\"{}\" is not the URL of an API server",
            public_url(server)
        ))
        .why(why)
        .hint("expected a URL such as https://10.0.0.1:6443")
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => match wrong_port(&uri) {
            Some(why) => Err(wrong(why)),
            None => Ok(uri),
        },
        (Some("http" | "https"), _) => Err(wrong("it has no host".to_owned())),
        _ => Err(wrong("only http and https are supported".to_owned())),
    }
}

/// Returns why the port of a URL is invalid. The URL parser ignores a port that is too large, and
/// the default would be used instead.
pub(super) fn wrong_port(uri: &http::Uri) -> Option<String> {
    let address = uri.authority()?.as_str().rsplit('@').next()?;
    let port = address.strip_prefix(uri.host()?)?.strip_prefix(':')?;
    let is_port = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    (!is_port).then(|| format!("its port is \"{port}\"; ports go from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_is_reported() {
        let url = |server: &str| {
            let cluster = Cluster {
                server: Some(server.to_owned()),
                ..Cluster::default()
            };
            server_url(&cluster, &AuthInfo::default())
                .map(|uri| uri.to_string())
                .map_err(|error| error.to_string())
        };
        for server in [
            "https://127.0.0.1:99999",
            "https://[::1]:65536",
            "host:0",
            "https://user:1@host:70000/a",
        ] {
            let error = url(server).unwrap_err();
            assert!(
                error.contains("ports go from 1 to 65535"),
                "{server}: {error}"
            );
        }
        for server in [
            "https://127.0.0.1:65535",
            "https://[::1]:6443",
            "https://[::1]",
            "host:",
            "https://user:99999@host/a:99999",
        ] {
            assert!(url(server).is_ok(), "{server}: {:?}", url(server));
        }
    }
}
