//! Credentials from outside the kubeconfig: from a token file, or from a plugin, which is a program
//! that prints a token or a client certificate.
//!
//! The client library would run a plugin three times per connection and let it read standard input
//! without the user's request. Therefore this module runs it once, and passes its output on as if
//! it were in the kubeconfig. The protocol is client-go's
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).

mod answer;
mod output;
mod plugin;

use super::headers;
use crate::error::{Error, Place, Result};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use kube::config::{AuthInfo, Cluster};
use plugin::Plugin;
use std::path::PathBuf;

/// The versions of the protocol.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// The source of credentials that are not in the kubeconfig itself.
pub(super) enum CredentialSource {
    /// The kubeconfig, or none. There is nothing to read again.
    Kubeconfig,
    /// A file that is kept up to date, such as the token of a pod's service account.
    TokenFile(PathBuf),
    Plugin(Box<Plugin>),
}

impl CredentialSource {
    /// Returns the source of a user's credentials, in client-go's order: a token file, a token or
    /// password, a plugin.
    ///
    /// Removes the source from the user, so that the client library does not use it as well.
    pub fn of(
        user: &mut AuthInfo,
        user_name: &str,
        cluster: &Cluster,
        stdin_in_use: bool,
    ) -> CredentialSource {
        let (token_file, exec) = (user.token_file.take(), user.exec.take());
        let has_own = user.token.is_some() || user.username.is_some();
        match (token_file, exec) {
            (Some(path), _) => CredentialSource::TokenFile(path.into()),
            (None, Some(exec)) if !has_own => {
                let plugin = Plugin::new(exec, user_name, cluster, stdin_in_use);
                CredentialSource::Plugin(Box::new(plugin))
            }
            (None, _) => CredentialSource::Kubeconfig,
        }
    }

    /// Reads the credentials. Returns `None` if only those in the kubeconfig exist.
    pub async fn ask(&self) -> Result<Option<Credential>> {
        match self {
            CredentialSource::Kubeconfig => Ok(None),
            CredentialSource::TokenFile(path) => {
                let token = std::fs::read_to_string(path).map_err(|error| {
                    Error::user("cannot read the token file")
                        .at(Place::new(path.display().to_string()).note(error.to_string()))
                })?;
                // An editor adds a line break, which is not part of the token.
                let token = token.trim().to_owned();
                let place = || Place::new(path.display().to_string());
                if token.is_empty() {
                    return Err(Error::user("the token file is empty")
                        .at(place())
                        .hint("get a token and write it to this file"));
                }
                headers::check("the token", &token, place)?;
                Ok(Some(Credential {
                    token: Some(token),
                    certificate_and_key: None,
                    expires: None,
                }))
            }
            CredentialSource::Plugin(plugin) => plugin.run().await.map(Some),
        }
    }
}

/// Credentials from a file or plugin. Not `Debug`, because they are secret.
pub(super) struct Credential {
    token: Option<String>,
    /// In PEM.
    certificate_and_key: Option<(String, String)>,
    pub expires: Option<Timestamp>,
}

impl Credential {
    /// Writes the credentials into the fields of the kubeconfig's user.
    pub fn put_into(&self, user: &mut AuthInfo) {
        user.token = self.token.clone().map(Into::into);
        if let Some((certificate, key)) = &self.certificate_and_key {
            user.client_certificate_data = Some(BASE64.encode(certificate));
            user.client_key_data = Some(BASE64.encode(key).into());
        }
    }
}
