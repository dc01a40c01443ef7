//! Selects cluster, user and namespace from the kubeconfig files and the flags, with kubectl's
//! rules.
//!
//! The files are those of kubectl: `--kubeconfig`, or the list in `KUBECONFIG` (skips missing
//! files; the first file with an entry wins), or `~/.kube/config`, or the service account of the
//! current pod.

#[cfg(test)]
mod tests;

use super::{Connection, certificates, overrides};
use crate::error::{Error, Place, Result, nearest};
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError};
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
        let context = self.pick_context(flags)?;
        let cluster = context.map(|context| context.cluster.as_str());
        let cluster = flags.cluster.as_deref().or(cluster);
        let user = context.and_then(|context| context.user.as_deref());
        let user = flags.user.as_deref().or(user).unwrap_or_default();
        Ok(Found {
            cluster: self.pick_cluster(cluster.filter(|name| !name.is_empty()), flags)?,
            user: self.pick_user(user)?,
            user_name: user.to_owned(),
            namespace: context.and_then(|context| context.namespace.clone()),
        })
    }

    /// Returns `None` if the flags make a context unnecessary.
    fn pick_context(&self, flags: &Connection) -> Result<Option<&Context>> {
        let contexts = &self.config.contexts;
        let names = || names(contexts, |context| &context.name);
        let asked = flags.context.as_deref().filter(|name| !name.is_empty());
        let current = self.config.current_context.as_deref();
        let Some(name) = asked.or(current.filter(|name| !name.is_empty())) else {
            if flags.cluster.is_some() || flags.server.is_some() {
                return Ok(None);
            }
            return Err(Error::user("the kubeconfig has no current context")
                .at_all(self.places())
                .why(list("contexts", &names()))
                .hint("choose one with --context, or permanently with `kubectl config use-context NAME`"));
        };
        let found = contexts.iter().find(|context| context.name == name);
        match found.and_then(|named| named.context.as_ref()) {
            Some(context) => Ok(Some(context)),
            None => {
                let whose = match asked {
                    Some(_) => "",
                    None => ", which is its current-context",
                };
                let what = format!("the kubeconfig has no context \"{name}\"{whose}");
                Err(self.lacks(what, name, "contexts", &names()))
            }
        }
    }

    fn pick_cluster(&self, name: Option<&str>, flags: &Connection) -> Result<Cluster> {
        let Some(name) = name else {
            return match flags.server {
                Some(_) => Ok(Cluster::default()),
                None => Err(Error::user("the context has no cluster")
                    .at_all(self.places())
                    .hint("choose a cluster with --cluster, or another context with --context")),
            };
        };
        let clusters = &self.config.clusters;
        let found = clusters.iter().find(|cluster| cluster.name == name);
        found
            .and_then(|named| named.cluster.clone())
            .ok_or_else(|| {
                let what = format!("the kubeconfig has no cluster \"{name}\"");
                let names = names(clusters, |cluster| &cluster.name);
                self.lacks(what, name, "clusters", &names)
            })
    }

    /// Without a name, returns a user without credentials.
    fn pick_user(&self, name: &str) -> Result<AuthInfo> {
        if name.is_empty() {
            return Ok(AuthInfo::default());
        }
        let users = &self.config.auth_infos;
        let found = users.iter().find(|user| user.name == name);
        found
            .and_then(|named| named.auth_info.clone())
            .ok_or_else(|| {
                let what = format!("the kubeconfig has no user \"{name}\"");
                let names = names(users, |user| &user.name);
                self.lacks(what, name, "users", &names)
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

fn names<T>(entries: &[T], name: fn(&T) -> &String) -> Vec<&str> {
    entries.iter().map(|entry| name(entry).as_str()).collect()
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
