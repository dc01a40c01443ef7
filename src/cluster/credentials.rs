//! Credentials from outside the kubeconfig: from a token file, or from a plugin, which is a program
//! that prints a token or a client certificate.
//!
//! The client library would run a plugin three times per connection and let it read standard input
//! without the user's request. Therefore this module runs it once, and passes its output on as if
//! it were in the kubeconfig. The protocol is client-go's
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).

use super::headers;
use crate::error::{Error, Place, Result};
use crate::yaml;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::future::{Either, select};
use jiff::Timestamp;
use kube::config::{AuthInfo, Cluster, ExecConfig, ExecInteractiveMode};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io,
    io::IsTerminal,
    path::PathBuf,
    pin::pin,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, Command},
    time::{sleep, timeout},
};

/// The cluster entry's extension that is passed to plugins (client-go `clientcmd/api`).
const CLUSTER_EXTENSION: &str = "client.authentication.k8s.io/exec";
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];
/// After this time, a plugin's stderr is shown immediately, because the plugin may be asking the
/// user to do something.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for remaining output of a plugin that has ended.
const GRACE: Duration = Duration::from_millis(200);

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
                let cluster_info = exec.provide_cluster_info.then(|| describe(cluster));
                CredentialSource::Plugin(Box::new(Plugin {
                    exec,
                    user_name: user_name.to_owned(),
                    cluster_info,
                    stdin_in_use,
                }))
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

/// A plugin, ready to run.
pub(super) struct Plugin {
    exec: ExecConfig,
    user_name: String,
    cluster_info: Option<Value>,
    stdin_in_use: bool,
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

impl Plugin {
    /// Runs the plugin and parses its output. Dropping the future ends the plugin.
    async fn run(&self) -> Result<Credential> {
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

        let program = find(command, std::env::var_os("PATH"))
            .map_err(|error| self.not_started(command, &error))?;
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
        child.stdin(if interactive {
            Stdio::inherit()
        } else {
            Stdio::null()
        });
        // An interactive plugin needs the terminal itself.
        child.stderr(if interactive {
            Stdio::inherit()
        } else {
            Stdio::piped()
        });
        child.stdout(Stdio::piped()).kill_on_drop(true);

        let started = Instant::now();
        let mut child = child
            .spawn()
            .map_err(|error| self.not_started(command, &error))?;
        let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut output, mut stderr_text) = (
            Vec::new(),
            StderrText {
                text: Vec::new(),
                shown: stderr.is_none(),
            },
        );
        let ended = async {
            if let Some(stdout) = &mut stdout {
                stdout.read_to_end(&mut output).await?;
            }
            child.wait().await
        };
        let status = {
            let listening = listen(stderr, &mut stderr_text);
            match select(pin!(ended), pin!(listening)).await {
                // A process that the plugin started may keep stderr open forever.
                Either::Left((status, listening)) => {
                    let _ = timeout(GRACE, listening).await;
                    status
                }
                Either::Right(((), ended)) => ended.await,
            }
        };
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
            let error = stderr_text
                .last_lines()
                .into_iter()
                .fold(self.fails(end), Error::why);
            return Err(error.hint(format!(
                "run `{command}` by hand to see more; you may have to log in again"
            )));
        }
        stderr_text.pass_on().await;
        read_answer(&output, version).map_err(|why| self.fails(why))
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

/// A plugin's output on stderr, and whether the user has seen it.
struct StderrText {
    text: Vec<u8>,
    shown: bool,
}

impl StderrText {
    fn last_lines(&self) -> Vec<String> {
        if self.shown {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&self.text);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(3)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    async fn pass_on(&self) {
        if !self.shown {
            show(&self.text).await;
        }
    }
}

/// Prints a plugin's output. As in kubectl, plugins talk to the user directly, so `terminal` does
/// not format it.
async fn show(text: &[u8]) {
    let mut stderr = tokio::io::stderr();
    // If stderr is closed, the error cannot be reported.
    let _ = stderr.write_all(text).await;
    let _ = stderr.flush().await;
}

async fn listen(stderr: Option<ChildStderr>, stderr_text: &mut StderrText) {
    let Some(mut stderr) = stderr else { return };
    let mut patience = pin!(sleep(PATIENCE));
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stderr.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    stderr_text.text.extend_from_slice(&buffer[..n]);
                    if stderr_text.shown {
                        show(&buffer[..n]).await;
                    }
                }
            },
            () = &mut patience, if !stderr_text.shown => {
                show(&stderr_text.text).await;
                stderr_text.shown = true;
            }
        }
    }
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

/// Parses JSON or YAML, both of which client-go accepts.
fn document(output: &[u8]) -> std::result::Result<Value, String> {
    if let Ok(answer) = serde_json::from_slice(output) {
        return Ok(answer);
    }
    let text =
        std::str::from_utf8(output).map_err(|_| "its output is not UTF-8 text".to_owned())?;
    yaml::parse(text, "the answer").map_err(|error| {
        // The parser's message may quote the text.
        let place = error
            .places()
            .first()
            .and_then(|place| Some((place.line?, place.column?)));
        let place = place
            .map(|(line, column)| format!(" (line {line}, column {column})"))
            .unwrap_or_default();
        format!("its output is neither JSON nor YAML{place}")
    })
}

/// Parses a plugin's output. Errors never quote it, because even invalid output may contain a
/// token.
fn read_answer(output: &[u8], version: &str) -> std::result::Result<Credential, String> {
    if output.iter().all(u8::is_ascii_whitespace) {
        return Err("it printed nothing".to_owned());
    }
    let answer = document(output)?;
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    match (
        text(&answer["kind"]).as_deref(),
        text(&answer["apiVersion"]).as_deref(),
    ) {
        (Some("ExecCredential"), Some(answered)) if answered == version => {}
        (Some("ExecCredential"), Some(answered)) if VERSIONS.contains(&answered) => {
            return Err(format!(
                "it returned {answered}, but the kubeconfig requires {version}"
            ));
        }
        _ => {
            return Err(
                "its output is not an ExecCredential of client.authentication.k8s.io".to_owned(),
            );
        }
    }
    let status = &answer["status"];
    if !status.is_object() {
        return Err("its output has no status".to_owned());
    }
    // A plugin that uses `echo` adds a line break to its token.
    let token = text(&status["token"])
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    if let Some(why) = token.as_deref().and_then(headers::fault) {
        return Err(format!("its token {why}, which is not allowed in a header"));
    }
    let certificate_and_key = match (
        text(&status["clientCertificateData"]),
        text(&status["clientKeyData"]),
    ) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err("it returned a client certificate without its key".to_owned());
        }
        (None, Some(_)) => {
            return Err("it returned a client key without its certificate".to_owned());
        }
    };
    if token.is_none() && certificate_and_key.is_none() {
        return Err("its output has neither a token nor a client certificate".to_owned());
    }
    let expires = match text(&status["expirationTimestamp"]) {
        Some(time) => Some(
            time.parse()
                .map_err(|_| "its expirationTimestamp is not a time (RFC 3339)".to_owned())?,
        ),
        None => None,
    };
    Ok(Credential {
        token,
        certificate_and_key,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "secret-token"}}"#;

    fn plugin(entry: Value) -> Plugin {
        let mut exec = json!({"apiVersion": VERSIONS[0], "interactiveMode": "Never"});
        exec.as_object_mut()
            .unwrap()
            .extend(entry.as_object().unwrap().clone());
        let exec = serde_json::from_value(exec).unwrap();
        Plugin {
            exec,
            user_name: "eks".to_owned(),
            cluster_info: None,
            stdin_in_use: true,
        }
    }

    fn script(text: &str) -> Plugin {
        plugin(json!({"command": "sh", "args": ["-c", text]}))
    }

    async fn refusal(plugin: Plugin) -> String {
        plugin.run().await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_plugin_is_reported_what_it_needs_and_its_token_is_taken() {
        let text = format!(
            r#"[ "$WHO" = me ] && echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' && echo '{ANSWER}'"#
        );
        let plugin = plugin(
            json!({"command": "sh", "args": ["-c", text], "env": [{"name": "WHO", "value": "me"}]}),
        );
        let credential = plugin.run().await.unwrap();
        assert_eq!(credential.token.as_deref(), Some("secret-token"));
        assert_eq!(credential.expires, None);
    }

    #[tokio::test]
    async fn an_answer_in_yaml_is_taken() {
        let text = format!(
            "# written by hand\napiVersion: {}\nkind: ExecCredential\nstatus:\n  expirationTimestamp: 2030-01-02T03:04:05Z\n  \
             clientCertificateData: |\n    one\n    two\n  clientKeyData: key\n  token: secret-token\n",
            VERSIONS[0]
        );
        let credential = script(&format!("printf '%s' '{text}'"))
            .run()
            .await
            .unwrap();
        assert_eq!(credential.token.as_deref(), Some("secret-token"));
        assert_eq!(
            credential.certificate_and_key,
            Some(("one\ntwo\n".to_owned(), "key".to_owned()))
        );
        assert_eq!(
            credential.expires,
            Some("2030-01-02T03:04:05Z".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_plugin_that_asks_for_it_is_reported_of_the_cluster() {
        let cluster = Cluster {
            server: Some("https://api".to_owned()),
            certificate_authority_data: Some("Q0E=".to_owned()),
            extensions: Some(vec![kube::config::NamedExtension {
                name: CLUSTER_EXTENSION.to_owned(),
                extension: json!({"a": 1}),
            }]),
            ..Cluster::default()
        };
        let expected = json!({"server": "https://api", "certificate-authority-data": "Q0E=", "config": {"a": 1}});
        assert_eq!(describe(&cluster), expected);
        let text = format!(
            r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"server":"https://api"' && echo '{ANSWER}'"#
        );
        Plugin {
            cluster_info: Some(expected),
            ..script(&text)
        }
        .run()
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_missing_plugin_shows_how_to_install_it() {
        let refusal = refusal(plugin(
            json!({"command": "no-such-plugin", "installHint": "install it with brew\n"}),
        ))
        .await;
        assert_eq!(
            refusal,
            "the credential plugin \"no-such-plugin\" returned no credentials\n  --> kubeconfig   user \"eks\"\nwhy: it is not installed, or \
             its folder is not in PATH\nhint: install it with brew"
        );
    }

    #[tokio::test]
    async fn a_failing_plugin_is_quoted_from_stderr_alone() {
        let refusal =
            refusal(script("echo one >&2; echo two >&2; echo; echo three >&2; echo four >&2; echo secret-token; exit 7")).await;
        assert!(
            refusal.contains("it ended with exit code 7\nwhy: two\nwhy: three\nwhy: four\n"),
            "{refusal}"
        );
        assert!(!refusal.contains("secret-token"), "{refusal}");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_refused_without_being_shown() {
        let cases = [
            ("", "it printed nothing"),
            ("secret-token", "not an ExecCredential"),
            (
                "kind: ExecCredential\nsecret-token: {",
                "neither JSON nor YAML (line ",
            ),
            ("kind: [secret-token]]", "neither JSON nor YAML"),
            (
                "kind: ExecCredential\n---\nsecret-token",
                "neither JSON nor YAML",
            ),
            (r#"{"token": "secret-token"}"#, "not an ExecCredential"),
            (
                &ANSWER.replace("/v1", "/v1beta1"),
                "the kubeconfig requires",
            ),
            (&ANSWER.replace("status", "state"), "no status"),
            (&ANSWER.replace("token\"", "tok\""), "neither a token nor"),
            (
                &ANSWER.replace("token\"", "clientKeyData\""),
                "without its certificate",
            ),
            (
                &ANSWER.replace("secret-token", "secret-\\ntoken"),
                "its token contains a line break",
            ),
            (
                &ANSWER.replace("secret-token", "secret-token\\u0007x"),
                "its token contains a control character",
            ),
            (
                &ANSWER.replace("secret-token", " \\n"),
                "neither a token nor",
            ),
            (
                &ANSWER.replace("\"token\"", "\"expirationTimestamp\": \"soon\", \"token\""),
                "expirationTimestamp",
            ),
        ];
        for (answer, why) in cases {
            let refusal = refusal(script(&format!("printf '%s' '{answer}'"))).await;
            assert!(
                refusal.contains(why) && !refusal.contains("secret-token"),
                "{refusal}"
            );
        }
        let old =
            plugin(json!({"command": "sh", "apiVersion": "client.authentication.k8s.io/v1alpha1"}));
        assert!(refusal(old).await.contains("v1alpha1"));
    }

    #[cfg(unix)]
    #[test]
    fn a_bare_name_is_looked_for_in_path_and_never_in_the_current_folder() {
        let own = Some(OsString::from("/no-such-folder:/bin:/usr/bin"));
        assert!(find("sh", own.clone()).unwrap().is_absolute());
        assert_eq!(
            find("sh -c true", own).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(find("./sh", None).unwrap(), PathBuf::from("./sh"));
        // A program in the folder in which tests run, the top of the repository: any executable
        // file there.
        let program = "tests/cluster/cluster".rsplit_once('/').unwrap();
        for path in [format!("{}:/bin", program.0), format!("./{}", program.0)] {
            let error = find(program.1, Some(path.into())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
        }
        assert_eq!(
            find("cluster", Some("".into())).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            find("sh", None).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[tokio::test]
    async fn a_plugin_that_must_talk_needs_a_free_terminal() {
        let refusal = refusal(plugin(
            json!({"command": "sh", "interactiveMode": "Always"}),
        ))
        .await;
        assert!(
            refusal.contains("standard input is already used for values"),
            "{refusal}"
        );
    }
}
