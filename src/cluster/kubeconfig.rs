//! Selects cluster, user and namespace from the kubeconfig files and the flags, with kubectl's
//! rules.
//!
//! The files are those of kubectl: `--kubeconfig`, or the list in `KUBECONFIG` (skips missing
//! files; the first file with an entry wins), or `~/.kube/config`, or the service account of the
//! current pod.

use super::{Connection, certificates, overrides};
use crate::error::{Error, Place, Result, nearest};
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// Reads environment variables.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A cluster and its user, with certificates and keys loaded from their files.
pub(super) struct Target {
    pub cluster: Cluster,
    pub server: http::Uri,
    pub user: AuthInfo,
    /// The user's name in the kubeconfig, for errors.
    pub user_name: String,
    pub namespace: Option<String>,
}

/// Mount path of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Finds the cluster and the user from flags, files and environment.
pub(super) fn resolve(flags: &Connection, environment: Environment) -> Result<Target> {
    if flags.insecure_skip_tls_verify && flags.certificate_authority.is_some() {
        return Err(Error::user("--insecure-skip-tls-verify and --certificate-authority contradict each other")
            .why("the first skips the verification of the server's certificate, the second is only used for it")
            .hint("drop --insecure-skip-tls-verify"));
    }
    let files = Files::read(flags, environment)?;
    let found = match files.is_empty() && flags.server.is_none() {
        // A name in a flag can only refer to an entry in a file.
        true if flags.context.is_some() || flags.cluster.is_some() || flags.user.is_some() => {
            return Err(files.nothing(flags));
        }
        true => in_cluster(environment).ok_or_else(|| files.nothing(flags))?,
        false => files.pick(flags)?,
    };
    let Found {
        mut cluster,
        mut user,
        user_name,
        namespace,
    } = found;
    overrides::override_cluster(&mut cluster, flags);
    overrides::override_user(&mut user, flags)?;
    certificates::load(&mut cluster, &mut user, &user_name)?;
    let server = overrides::server_url(&cluster, &user)?;
    let namespace = flags
        .namespace
        .clone()
        .or(namespace)
        .filter(|name| !name.is_empty());
    Ok(Target {
        cluster,
        server,
        user,
        user_name,
        namespace,
    })
}

struct Found {
    cluster: Cluster,
    user: AuthInfo,
    user_name: String,
    namespace: Option<String>,
}

/// The merged kubeconfig and its files.
struct Files {
    config: Kubeconfig,
    read: Vec<PathBuf>,
    missing: Vec<PathBuf>,
}

impl Files {
    fn read(flags: &Connection, environment: Environment) -> Result<Files> {
        if let Some(path) = &flags.kubeconfig {
            let config = read(path)?.ok_or_else(|| {
                Error::user("the kubeconfig does not exist")
                    .at(Place::new(path.display().to_string()).note("from --kubeconfig"))
            })?;
            return Ok(Files {
                config,
                read: vec![path.clone()],
                missing: Vec::new(),
            });
        }
        let listed: Vec<PathBuf> = environment("KUBECONFIG")
            .map(|list| {
                std::env::split_paths(&list)
                    .filter(|path| !path.as_os_str().is_empty())
                    .collect()
            })
            .unwrap_or_default();
        let paths = match listed.is_empty() {
            true => home(environment)
                .map(|home| home.join(".kube").join("config"))
                .into_iter()
                .collect(),
            false => listed,
        };
        let mut files = Files {
            config: Kubeconfig::default(),
            read: Vec::new(),
            missing: Vec::new(),
        };
        for path in paths {
            match read(&path)? {
                Some(next) => {
                    files.config = files
                        .config
                        .merge(next)
                        .map_err(|error| not_readable(&path, error))?;
                    files.read.push(path);
                }
                None => files.missing.push(path),
            }
        }
        Ok(files)
    }

    fn is_empty(&self) -> bool {
        self.config.clusters.is_empty()
            && self.config.contexts.is_empty()
            && self.config.auth_infos.is_empty()
    }

    /// Returns the files as places, for errors about missing entries.
    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.read
            .iter()
            .map(|path| Place::new(path.display().to_string()))
    }

    fn nothing(&self, flags: &Connection) -> Error {
        let missing = self
            .missing
            .iter()
            .map(|path| Place::new(path.display().to_string()).note("does not exist"));
        let empty = self
            .read
            .iter()
            .map(|path| Place::new(path.display().to_string()).note("has no cluster"));
        let error = Error::user("no kubeconfig names a cluster").at_all(missing.chain(empty));
        match &flags.context {
            Some(context) => error.why(format!(
                "--context names \"{context}\", but there is no kubeconfig file"
            )),
            None => error,
        }
        .hint("set --kubeconfig or KUBECONFIG, or create ~/.kube/config")
    }

    /// Selects context, cluster and user from the flags and the current context.
    fn pick(&self, flags: &Connection) -> Result<Found> {
        let contexts: Vec<&str> = self
            .config
            .contexts
            .iter()
            .map(|context| context.name.as_str())
            .collect();
        let asked = flags.context.as_deref().filter(|name| !name.is_empty());
        let current = self
            .config
            .current_context
            .as_deref()
            .filter(|name| !name.is_empty());
        let context = match asked.or(current) {
            None if flags.cluster.is_some() || flags.server.is_some() => None,
            None => {
                return Err(Error::user("the kubeconfig has no current context")
                    .at_all(self.places())
                    .why(list("contexts", &contexts))
                    .hint("choose one with --context, or permanently with `kubectl config use-context NAME`"));
            }
            Some(name) => {
                let found = self
                    .config
                    .contexts
                    .iter()
                    .find(|context| context.name == name);
                Some(found.and_then(|named| named.context.as_ref()).ok_or_else(|| {
                    let what = match asked {
                        Some(_) => format!("the kubeconfig has no context \"{name}\""),
                        None => format!("the kubeconfig has no context \"{name}\", which is its current-context"),
                    };
                    self.lacks(what, name, "contexts", &contexts)
                })?)
            }
        };

        let cluster_name = flags
            .cluster
            .as_deref()
            .or(context.map(|context| context.cluster.as_str()))
            .filter(|name| !name.is_empty());
        let cluster = match cluster_name {
            None if flags.server.is_some() => Cluster::default(),
            None => {
                return Err(Error::user("the context has no cluster")
                    .at_all(self.places())
                    .hint("choose a cluster with --cluster, or another context with --context"));
            }
            Some(name) => {
                let found = self
                    .config
                    .clusters
                    .iter()
                    .find(|cluster| cluster.name == name);
                found
                    .and_then(|named| named.cluster.clone())
                    .ok_or_else(|| {
                        let clusters: Vec<&str> = self
                            .config
                            .clusters
                            .iter()
                            .map(|cluster| cluster.name.as_str())
                            .collect();
                        self.lacks(
                            format!("the kubeconfig has no cluster \"{name}\""),
                            name,
                            "clusters",
                            &clusters,
                        )
                    })?
            }
        };

        let user_name = flags
            .user
            .as_deref()
            .or(context.and_then(|context| context.user.as_deref()))
            .filter(|name| !name.is_empty())
            .unwrap_or_default();
        let user = match user_name {
            "" => AuthInfo::default(),
            name => {
                let found = self.config.auth_infos.iter().find(|user| user.name == name);
                found
                    .and_then(|named| named.auth_info.clone())
                    .ok_or_else(|| {
                        let users: Vec<&str> = self
                            .config
                            .auth_infos
                            .iter()
                            .map(|user| user.name.as_str())
                            .collect();
                        self.lacks(
                            format!("the kubeconfig has no user \"{name}\""),
                            name,
                            "users",
                            &users,
                        )
                    })?
            }
        };
        let namespace = context.and_then(|context| context.namespace.clone());
        Ok(Found {
            cluster,
            user,
            user_name: user_name.to_owned(),
            namespace,
        })
    }

    fn lacks(&self, what: String, name: &str, things: &str, known: &[&str]) -> Error {
        let error = Error::user(what)
            .at_all(self.places())
            .why(list(things, known));
        match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    }
}

fn list(things: &str, names: &[&str]) -> String {
    match names {
        [] => format!("it has no {things}"),
        names => format!(
            "its {things} are {}",
            names
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn home(environment: Environment) -> Option<PathBuf> {
    environment("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
        .or_else(dirs::home_dir)
}

/// Reads a file, or returns `None` if it does not exist. Paths in the file are relative to its
/// folder.
fn read(path: &Path) -> Result<Option<Kubeconfig>> {
    match Kubeconfig::read_from(path) {
        Ok(config) => Ok(Some(config)),
        Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(not_readable(path, error)),
    }
}

fn not_readable(path: &Path, error: KubeconfigError) -> Error {
    let place = Place::new(path.display().to_string());
    match error {
        KubeconfigError::ReadConfig(error, _) => {
            Error::user("cannot read the kubeconfig").at(place.note(error.to_string()))
        }
        // The parser's excerpt may contain a token, so the error shows only the line number.
        KubeconfigError::Parse(error) => {
            let place = match error.location() {
                Some(at) => place.at(at.line() as usize, at.column() as usize),
                None => place,
            };
            let options =
                serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
            Error::user("the kubeconfig is not valid")
                .at(place)
                .why(error.render_with_options(options))
        }
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            Error::user("the files in KUBECONFIG cannot be merged")
                .at(place)
                .why(error.to_string())
        }
        other => Error::user("the kubeconfig is not valid")
            .at(place)
            .why(other.to_string()),
    }
}

/// Returns the service account of the current pod, or `None` outside of a pod. Kubernetes sets
/// these variables in every pod.
fn in_cluster(environment: Environment) -> Option<Found> {
    let text = |name| {
        environment(name)
            .and_then(|value| value.into_string().ok())
            .filter(|value| !value.is_empty())
    };
    let (host, port) = (
        text("KUBERNETES_SERVICE_HOST")?,
        text("KUBERNETES_SERVICE_PORT")?,
    );
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let folder = Path::new(SERVICE_ACCOUNT);
    let token = folder.join("token");
    if !token.exists() {
        return None;
    }
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(path(folder.join("ca.crt"))),
        ..Cluster::default()
    };
    let user = AuthInfo {
        token_file: Some(path(token)),
        ..AuthInfo::default()
    };
    let namespace = std::fs::read_to_string(folder.join("namespace"))
        .ok()
        .map(|name| name.trim().to_owned());
    Some(Found {
        cluster,
        user,
        user_name: "the pod's service account".to_owned(),
        namespace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A home folder with `.kube/config` and other files. Its environment has only what a test
    /// sets.
    struct Home(tempfile::TempDir);

    impl Home {
        fn new(files: &[(&str, &str)]) -> Home {
            let home = Home(tempfile::tempdir().unwrap());
            for (path, text) in files {
                fs::create_dir_all(home.path(path).parent().unwrap()).unwrap();
                fs::write(home.path(path), text).unwrap();
            }
            home
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn resolve(&self, flags: Connection, kubeconfig: &[&str]) -> Result<Target> {
            let list = std::env::join_paths(kubeconfig.iter().map(|path| self.path(path))).unwrap();
            resolve(&flags, &|name| match name {
                "HOME" => Some(self.0.path().into()),
                "KUBECONFIG" if !kubeconfig.is_empty() => Some(list.clone()),
                _ => None,
            })
        }

        fn server(&self, flags: Connection, kubeconfig: &[&str]) -> String {
            self.resolve(flags, kubeconfig).unwrap().server.to_string()
        }

        fn refusal(&self, flags: Connection, kubeconfig: &[&str]) -> String {
            self.resolve(flags, kubeconfig)
                .err()
                .unwrap()
                .to_string()
                .replace(&self.0.path().display().to_string(), "~")
        }
    }

    const TWO: &str = "
current-context: dev
clusters:
- {name: dev, cluster: {server: 'https://dev:6443'}}
- {name: prod, cluster: {server: 'https://prod:6443', insecure-skip-tls-verify: true, tls-server-name: prod.example.com}}
users:
- {name: alice, user: {token: secret-a}}
- {name: bob, user: {username: bob, password: secret-b, as: carol}}
contexts:
- {name: dev, context: {cluster: dev, user: alice, namespace: team}}
- {name: prod, context: {cluster: prod, user: bob}}
";
    const OTHER: &str = "
current-context: other
clusters:
- {name: dev, cluster: {server: 'https://shadowed:6443'}}
- {name: other, cluster: {server: 'https://other:6443'}}
users: []
contexts:
- {name: other, context: {cluster: other, user: ''}}
";

    fn flags() -> Connection {
        Connection::default()
    }

    #[test]
    fn the_flag_beats_the_variable_which_beats_the_home_folder() {
        let home = Home::new(&[(".kube/config", TWO), ("other", OTHER)]);
        assert_eq!(home.server(flags(), &[]), "https://dev:6443/");
        assert_eq!(home.server(flags(), &["other"]), "https://other:6443/");
        let flag = Connection {
            kubeconfig: Some(home.path(".kube/config")),
            ..flags()
        };
        assert_eq!(home.server(flag, &["other"]), "https://dev:6443/");
    }

    #[test]
    fn of_a_list_missing_files_are_skipped_and_the_first_to_name_a_thing_wins() {
        let home = Home::new(&[("two", TWO), ("other", OTHER)]);
        assert_eq!(
            home.server(flags(), &["missing", "two", "other"]),
            "https://dev:6443/"
        );
        let other = Connection {
            context: Some("other".to_owned()),
            ..flags()
        };
        assert_eq!(home.server(other, &["two", "other"]), "https://other:6443/");
        let dev = Connection {
            context: Some("dev".to_owned()),
            ..flags()
        };
        assert_eq!(
            home.server(dev, &["other", "two"]),
            "https://shadowed:6443/"
        );
    }

    #[test]
    fn namespace_comes_from_the_flag_then_from_the_context() {
        let home = Home::new(&[(".kube/config", TWO)]);
        assert_eq!(
            home.resolve(flags(), &[]).unwrap().namespace.as_deref(),
            Some("team")
        );
        let flag = Connection {
            namespace: Some("mine".to_owned()),
            ..flags()
        };
        assert_eq!(
            home.resolve(flag, &[]).unwrap().namespace.as_deref(),
            Some("mine")
        );
        let prod = Connection {
            context: Some("prod".to_owned()),
            ..flags()
        };
        assert_eq!(home.resolve(prod, &[]).unwrap().namespace, None);
    }

    #[test]
    fn flags_override_what_the_file_says_of_the_cluster() {
        let home = Home::new(&[
            (".kube/config", TWO),
            ("ca.pem", "-----BEGIN CERTIFICATE-----"),
        ]);
        let prod = Connection {
            context: Some("prod".to_owned()),
            ..flags()
        };
        let target = home.resolve(prod.clone(), &[]).unwrap();
        assert_eq!(
            target.cluster.tls_server_name.as_deref(),
            Some("prod.example.com")
        );
        assert_eq!(target.cluster.insecure_skip_tls_verify, Some(true));
        let moved = Connection {
            server: Some("https://10.0.0.1".to_owned()),
            ..prod.clone()
        };
        assert_eq!(
            home.resolve(moved, &[]).unwrap().cluster.tls_server_name,
            None
        );
        let trusted = Connection {
            certificate_authority: Some(home.path("ca.pem")),
            ..prod
        };
        let target = home.resolve(trusted, &[]).unwrap();
        assert_eq!(target.cluster.insecure_skip_tls_verify, Some(false));
        assert!(target.cluster.certificate_authority_data.is_some());
    }

    #[test]
    fn a_token_drops_other_credentials_and_keeps_whom_to_act_as() {
        let home = Home::new(&[(".kube/config", TWO)]);
        let flag = Connection {
            context: Some("prod".to_owned()),
            token: Some("mine".to_owned()),
            ..flags()
        };
        let user = home.resolve(flag, &[]).unwrap().user;
        assert!(user.username.is_none() && user.password.is_none() && user.token.is_some());
        assert_eq!(user.impersonate.as_deref(), Some("carol"));
    }

    #[test]
    fn a_server_alone_is_enough() {
        let home = Home::new(&[]);
        let flag = Connection {
            server: Some("localhost:8080".to_owned()),
            ..flags()
        };
        assert_eq!(home.server(flag, &[]), "http://localhost:8080/");
        let flag = Connection {
            server: Some("10.0.0.1:6443".to_owned()),
            insecure_skip_tls_verify: true,
            ..flags()
        };
        assert_eq!(home.server(flag, &[]), "https://10.0.0.1:6443/");
    }

    #[test]
    fn what_the_files_lack_is_reported_with_what_they_have() {
        let home = Home::new(&[(".kube/config", TWO)]);
        let cases = [
            (
                Connection {
                    context: Some("prdo".to_owned()),
                    ..flags()
                },
                "the kubeconfig has no context \"prdo\"\n  --> ~/.kube/config\nwhy: its contexts are \"dev\", \"prod\"\nhint: did you mean \"prod\"?",
            ),
            (
                Connection {
                    cluster: Some("x".to_owned()),
                    ..flags()
                },
                "the kubeconfig has no cluster \"x\"\n  --> ~/.kube/config\nwhy: its clusters are \"dev\", \"prod\"",
            ),
            (
                Connection {
                    user: Some("alcie".to_owned()),
                    ..flags()
                },
                "the kubeconfig has no user \"alcie\"\n  --> ~/.kube/config\nwhy: its users are \"alice\", \"bob\"\nhint: did you mean \"alice\"?",
            ),
            (
                Connection {
                    certificate_authority: Some("/ca".into()),
                    insecure_skip_tls_verify: true,
                    ..flags()
                },
                "--insecure-skip-tls-verify and --certificate-authority contradict each other\nwhy: the \
                 first skips the verification of the server's certificate, the second is only used \
                 for it\nhint: drop --insecure-skip-tls-verify",
            ),
            (
                Connection {
                    impersonate_groups: vec!["g".to_owned()],
                    ..flags()
                },
                "--as-group and --as-uid need --as\nhint: name the user to impersonate with --as",
            ),
            (
                Connection {
                    certificate_authority: Some("/none/ca.pem".into()),
                    ..flags()
                },
                "cannot read the certificate authority\n  --> /none/ca.pem   No such file or directory (os error 2)",
            ),
            (
                Connection {
                    server: Some("ftp://x".to_owned()),
                    ..flags()
                },
                "\"ftp://x\" is not the URL of an API server\nwhy: only http and https are supported\nhint: expected a URL such as https://10.0.0.1:6443",
            ),
        ];
        for (flags, expected) in cases {
            assert_eq!(home.refusal(flags, &[]), expected);
        }
    }

    #[test]
    fn no_file_at_all_is_reported_with_where_it_was_looked_for() {
        let home = Home::new(&[("empty", "")]);
        let refusal = home.refusal(flags(), &[]);
        assert!(
            refusal.starts_with(
                "no kubeconfig names a cluster\n  --> ~/.kube/config   does not exist"
            ),
            "{refusal}"
        );
        assert!(
            home.refusal(flags(), &["empty"])
                .contains("~/empty   has no cluster")
        );
        let flag = Connection {
            kubeconfig: Some(home.path("missing")),
            ..flags()
        };
        assert_eq!(
            home.refusal(flag, &[]),
            "the kubeconfig does not exist\n  --> ~/missing   from --kubeconfig"
        );
    }

    #[test]
    fn a_broken_file_is_named_with_its_line_and_without_its_text() {
        let home = Home::new(&[(
            ".kube/config",
            "users:\n- name: a\n  user: {token: secret-token\nclusters: []\n",
        )]);
        let refusal = home.refusal(flags(), &[]);
        assert!(
            refusal.starts_with("the kubeconfig is not valid\n  --> ~/.kube/config:"),
            "{refusal}"
        );
        assert!(!refusal.contains("secret-token"), "{refusal}");
    }

    #[test]
    fn no_current_context_lists_what_there_is() {
        let home = Home::new(&[(
            ".kube/config",
            &TWO.replace("current-context: dev", "current-context: ''"),
        )]);
        let refusal = home.refusal(flags(), &[]);
        assert!(
            refusal.contains("no current context") && refusal.contains("\"dev\", \"prod\""),
            "{refusal}"
        );
    }

    #[test]
    fn files_named_in_a_kubeconfig_are_found_beside_it() {
        let text = TWO.replace(
            "server: 'https://dev:6443'",
            "server: 'https://dev:6443', certificate-authority: ca.pem",
        );
        let home = Home::new(&[
            ("sub/config", &text),
            ("sub/ca.pem", "-----BEGIN CERTIFICATE-----"),
        ]);
        assert!(
            home.resolve(flags(), &["sub/config"])
                .unwrap()
                .cluster
                .certificate_authority_data
                .is_some()
        );
    }
}
