//! kubectl's connection flags, under kubectl's names. kubectl cannot pass its own flags to a
//! plugin, so they come after the verb.

use super::{KUBERNETES, duration};
use crate::cluster::Connection;
use crate::commands::complete;
use crate::error::{Error, Result};
use crate::release::{check_namespace, check_network};
use clap::{ArgAction, Args, ValueHint};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = KUBERNETES)]
pub struct ConnectionArguments {
    /// Namespace of the release [default: the release's name]
    ///
    /// An organization lives in a namespace of its own, named after the release: `org1` in
    /// namespace `org1`. The namespace of the kubeconfig's context is not used.
    #[arg(short, long, global = true, value_name = "NAMESPACE", add = ArgValueCompleter::new(complete::namespaces))]
    pub namespace: Option<String>,

    /// Network of the release: its namespace is RELEASE-NETWORK instead of RELEASE
    ///
    /// For several networks on one cluster. With `--network dev`, org1 lives in namespace org1-dev,
    /// and its values refer to releases of the same network. Its MSP stays Org1MSP; its domain is
    /// org1-dev.
    #[arg(long, global = true, value_name = "NETWORK", add = ArgValueCompleter::new(complete::nothing))]
    pub network: Option<String>,

    /// Kubeconfig file to use instead of $KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig context to use
    #[arg(long, global = true, value_name = "CONTEXT", add = ArgValueCompleter::new(complete::contexts))]
    pub context: Option<String>,

    /// Kubeconfig cluster to use
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub cluster: Option<String>,

    /// Kubeconfig user to use
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub user: Option<String>,

    /// Address and port of the API server
    #[arg(short, long, global = true, hide_short_help = true, value_name = "URL")]
    pub server: Option<String>,

    /// Bearer token for the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "TOKEN")]
    pub token: Option<String>,

    /// User to impersonate: a user, or a service account as system:serviceaccount:NAMESPACE:NAME
    #[arg(
        long = "as",
        id = "as",
        global = true,
        hide_short_help = true,
        value_name = "USER"
    )]
    pub as_user: Option<String>,

    /// Group to impersonate; may be repeated
    #[arg(long, global = true, hide_short_help = true, value_name = "GROUP", action = ArgAction::Append)]
    pub as_group: Vec<String>,

    /// UID to impersonate
    #[arg(long, global = true, hide_short_help = true, value_name = "UID")]
    pub as_uid: Option<String>,

    /// CA certificate file for the API server
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate_authority: Option<PathBuf>,

    /// Client certificate file for TLS
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_certificate: Option<PathBuf>,

    /// Client key file for TLS
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_key: Option<PathBuf>,

    /// Do not verify the API server's certificate; this makes the connection insecure
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,

    /// Server name to verify in the API server's certificate, if it is not the address
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Maximum time for one request to the API server, such as 30s or 2m; 0 means no limit
    #[arg(long, global = true, hide_short_help = true, value_name = "DURATION", default_value = "0", value_parser = duration::parse)]
    pub request_timeout: Duration,

    /// Ask the API server for uncompressed responses
    #[arg(long, global = true, hide_short_help = true)]
    pub disable_compression: bool,

    /// Log level on stderr: 4 shows steps, 6 shows every request, 8 shows everything
    #[arg(
        short,
        long = "v",
        id = "v",
        global = true,
        hide_short_help = true,
        value_name = "LEVEL",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub verbosity: u8,
}

impl ConnectionArguments {
    /// The settings of the connection. `stdin_in_use` keeps a credential plugin from reading the
    /// standard input that `-f -` reads.
    pub fn connection(&self, stdin_in_use: bool) -> Connection {
        let this = self.clone();
        Connection {
            kubeconfig: this.kubeconfig,
            context: this.context,
            cluster: this.cluster,
            user: this.user,
            namespace: this.namespace,
            server: this.server,
            token: this.token,
            impersonate: this.as_user,
            impersonate_groups: this.as_group,
            impersonate_uid: this.as_uid,
            certificate_authority: this.certificate_authority,
            client_certificate: this.client_certificate,
            client_key: this.client_key,
            insecure_skip_tls_verify: this.insecure_skip_tls_verify,
            tls_server_name: this.tls_server_name,
            request_timeout: Some(this.request_timeout).filter(|timeout| !timeout.is_zero()),
            disable_compression: this.disable_compression,
            stdin_in_use,
        }
    }

    /// The namespace of a release: `-n`, or the release's name with the suffix of its network.
    pub fn namespace_of(&self, release: &str) -> Result<String> {
        self.check()?;
        let namespace = match (&self.namespace, &self.network) {
            (Some(namespace), _) => namespace.clone(),
            (None, Some(network)) => format!("{release}-{network}"),
            (None, None) => release.to_owned(),
        };
        check_namespace(&namespace)?;
        Ok(namespace)
    }

    /// Rejects contradicting flags. The parser does not: it treats flags before and after the verb
    /// separately.
    pub fn check(&self) -> Result<()> {
        if let (Some(namespace), Some(network)) = (&self.namespace, &self.network) {
            return Err(Error::user("-n and --network contradict each other")
                .why(format!(
                    "-n says namespace \"{namespace}\", --network says RELEASE-{network}"
                ))
                .hint("leave one of them out"));
        }
        self.namespace.as_deref().map_or(Ok(()), check_namespace)?;
        self.network.as_deref().map_or(Ok(()), check_network)
    }
}
