//! Runs a credential plugin.

use super::answer::read_answer;
use super::output::read;
use super::{Credential, VERSIONS};
use crate::error::{Error, Place, Result};
use kube::config::{Cluster, ExecConfig, ExecInteractiveMode};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;
use tokio::process::{Child, Command};

/// The cluster entry's extension that is passed to plugins (client-go `clientcmd/api`).
const CLUSTER_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// A plugin, ready to run.
pub struct Plugin {
    exec: ExecConfig,
    user_name: String,
    cluster_info: Option<Value>,
    stdin_in_use: bool,
}

impl Plugin {
    pub fn new(exec: ExecConfig, user_name: &str, cluster: &Cluster, stdin_in_use: bool) -> Plugin {
        let cluster_info = exec.provide_cluster_info.then(|| describe(cluster));
        Plugin {
            exec,
            user_name: user_name.to_owned(),
            cluster_info,
            stdin_in_use,
        }
    }

    /// Runs the plugin and parses its output. Dropping the future ends the plugin.
    pub async fn run(&self) -> Result<Credential> {
        let command = self
            .exec
            .command
            .as_deref()
            .filter(|command| !command.is_empty());
        let command = command.ok_or_else(|| self.fails("its entry has no command"))?;
        let version = self.exec.api_version.as_deref().unwrap_or_default();
        if !VERSIONS.contains(&version) {
            return Err(self
                .fails(format!(
                    "its apiVersion is \"{version}\"; supported are {}",
                    VERSIONS.map(|v| format!("\"{v}\"")).join(" and ")
                ))
                .hint("update the plugin and have it write its kubeconfig entry again"));
        }
        let interactive = self.interactive()?;
        let started = Instant::now();
        let child = self.start(command, version, interactive);
        let child = child.map_err(|error| self.not_started(command, &error))?;
        let (status, output, stderr) = read(child).await;
        let status = status.map_err(|error| self.fails(error.to_string()))?;
        tracing::debug!(
            command,
            milliseconds = started.elapsed().as_millis() as u64,
            "ran the credential plugin"
        );
        if !status.success() {
            let end = match status.code() {
                Some(code) => format!("it ended with exit code {code}"),
                None => format!("it was stopped ({status})"),
            };
            let lines = stderr.last_lines().into_iter();
            let error = lines.fold(self.fails(end), Error::why);
            return Err(error.hint(format!(
                "run `{command}` by hand to see more; you may have to log in again"
            )));
        }
        stderr.pass_on().await;
        read_answer(&output, version).map_err(|why| self.fails(why))
    }

    fn start(&self, command: &str, version: &str, interactive: bool) -> io::Result<Child> {
        let program = find(command, std::env::var_os("PATH"))?;
        let mut child = Command::new(program);
        child.args(self.exec.args.iter().flatten());
        for variable in self.exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                child.env(name, value);
            }
        }
        let mut spec = json!({ "interactive": interactive });
        if let Some(cluster) = &self.cluster_info {
            spec["cluster"] = cluster.clone();
        }
        let info = json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec });
        child.env("KUBERNETES_EXEC_INFO", info.to_string());
        child.stdout(Stdio::piped()).kill_on_drop(true);
        // An interactive plugin needs the terminal itself.
        let (stdin, stderr) = match interactive {
            true => (Stdio::inherit(), Stdio::inherit()),
            false => (Stdio::null(), Stdio::piped()),
        };
        child.stdin(stdin).stderr(stderr).spawn()
    }

    /// Returns true if the plugin may interact with the user, by client-go's rules.
    fn interactive(&self) -> Result<bool> {
        let free = !self.stdin_in_use && io::stdin().is_terminal();
        match self.exec.interactive_mode {
            Some(ExecInteractiveMode::Never) => Ok(false),
            Some(ExecInteractiveMode::Always) if !free => {
                let why = match self.stdin_in_use {
                    true => "it needs input, but standard input is already used for values",
                    false => "it needs input, but standard input is not a terminal",
                };
                Err(self.fails(why))
            }
            Some(ExecInteractiveMode::Always) => Ok(true),
            Some(ExecInteractiveMode::IfAvailable) | None => Ok(free),
        }
    }

    fn fails(&self, why: impl Into<String>) -> Error {
        let command = self.exec.command.as_deref().unwrap_or("?");
        Error::cluster(format!(
            "the credential plugin \"{command}\" returned no credentials"
        ))
        .at(Place::new("kubeconfig").note(format!("user \"{}\"", self.user_name)))
        .why(why)
    }

    fn not_started(&self, command: &str, error: &io::Error) -> Error {
        let report = match error.kind() {
            io::ErrorKind::NotFound if command.contains(std::path::MAIN_SEPARATOR) => {
                self.fails("the program does not exist")
            }
            io::ErrorKind::NotFound => {
                self.fails("it is not installed, or its folder is not in PATH")
            }
            io::ErrorKind::PermissionDenied => {
                self.fails("no permission to run it (is it executable?)")
            }
            io::ErrorKind::InvalidFilename => {
                self.fails("PATH finds it in the current directory, and programs there are not run")
            }
            _ => self.fails(error.to_string()),
        };
        match self
            .exec
            .install_hint
            .as_deref()
            .map(str::trim)
            .filter(|hint| !hint.is_empty())
        {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// Finds a command: a path as given (the kubeconfig's folder already precedes a relative one), or a
/// bare name in this process' PATH, even if the entry sets another PATH for the plugin.
///
/// Refuses a program in a relative folder of PATH, as Go's `exec.LookPath` does for kubectl.
#[cfg(unix)]
fn find(command: &str, path: Option<OsString>) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    if command.contains('/') {
        return Ok(command.into());
    }
    let may_be_run = |file: &PathBuf| {
        std::fs::metadata(file)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let found = std::env::split_paths(&path.unwrap_or_default())
        .map(|folder| folder.join(command))
        .find(may_be_run);
    match found.ok_or(io::ErrorKind::NotFound)? {
        program if program.is_absolute() => Ok(program),
        _ => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

/// On other systems, the system itself finds the program in PATH. It knows the valid extensions,
/// and does not search the current folder.
#[cfg(not(unix))]
fn find(command: &str, _: Option<OsString>) -> io::Result<PathBuf> {
    Ok(command.into())
}

/// Returns the cluster for a plugin with `provideClusterInfo` (client-go
/// `clientauthentication.Cluster`).
fn describe(cluster: &Cluster) -> Value {
    let mut info = serde_json::Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            info.insert(name.to_owned(), value);
        }
    };
    put("server", cluster.server.clone().map(Value::from));
    put(
        "tls-server-name",
        cluster.tls_server_name.clone().map(Value::from),
    );
    put(
        "insecure-skip-tls-verify",
        cluster
            .insecure_skip_tls_verify
            .filter(|skip| *skip)
            .map(Value::from),
    );
    put(
        "certificate-authority-data",
        cluster.certificate_authority_data.clone().map(Value::from),
    );
    put("proxy-url", cluster.proxy_url.clone().map(Value::from));
    put(
        "disable-compression",
        cluster
            .disable_compression
            .filter(|disable| *disable)
            .map(Value::from),
    );
    let extension = cluster
        .extensions
        .iter()
        .flatten()
        .find(|extension| extension.name == CLUSTER_EXTENSION);
    put(
        "config",
        extension.map(|extension| extension.extension.clone()),
    );
    Value::Object(info)
}

#[cfg(test)]
mod tests;
