//! The server of a chaincode, as a release in an organization's namespace.

use crate::cluster::Cluster;
use crate::commands::Edge;
use crate::deploy::{self, ChartChoice, Context, DryRun, Event, Intent, Options, Progress, Reuse};
use crate::error::{Error, Kind, Place, Result};
use crate::identity;
use crate::release::{Entry, ReleaseName, Status, Summary};
use crate::storage;
use crate::terminal::Terminal;
use crate::values::Values;
use tokio::sync::watch;

/// The chart of servers.
pub(super) const CHART: &str = "chaincode";

/// The server of a namespace, and its operations.
pub(super) struct Server<'a> {
    pub edge: &'a Edge,
    pub cluster: &'a Cluster,
    pub release: &'a ReleaseName,
    pub namespace: &'a str,
    pub options: Options,
    pub interrupted: watch::Receiver<bool>,
}

impl Server<'_> {
    /// Installs or upgrades the server, unless it already matches.
    pub async fn serve(&self, values: &Values) -> Result<&'static str> {
        let progress = self.relay();
        let context = self.context(&progress);
        let history = storage::history(self.cluster, self.namespace, self.release.as_str()).await?;
        let is_deployed = matches!(
            history.last(),
            Some(Entry::Readable(summary)) if summary.status == Status::Deployed
        );
        if is_deployed {
            let dry = Options {
                dry_run: DryRun::Client,
                ..self.options.clone()
            };
            let planned = deploy::preview(&context, upgrade(values), &dry).await?;
            if planned.plan.is_empty() && planned.changed_values.is_empty() {
                return Ok("unchanged");
            }
        }
        deploy::run(context, upgrade(values), self.options.clone()).await?;
        Ok(match history.is_empty() {
            true => "installed",
            false => "upgraded",
        })
    }

    /// Upgrades the server with other values, and returns its new revision.
    pub async fn replace(&self, values: &Values) -> Result<u32> {
        let progress = self.relay();
        let context = self.context(&progress);
        let outcome = deploy::run(context, upgrade(values), self.options.clone()).await?;
        Ok(outcome.summary.revision)
    }

    /// Uninstalls the server.
    pub async fn remove(&self) -> Result<()> {
        let progress = self.relay();
        let context = self.context(&progress);
        let intent = Intent::Uninstall {
            keep_history: false,
            delete_data: false,
            delete_namespace: false,
        };
        deploy::run(context, intent, self.options.clone())
            .await
            .map(|_| ())
    }

    fn relay(&self) -> Relay<'_> {
        Relay {
            terminal: &self.edge.terminal,
            namespace: self.namespace,
        }
    }

    fn context<'c>(&'c self, progress: &'c Relay<'c>) -> Context<'c> {
        Context {
            cluster: self.cluster,
            release: self.release.clone(),
            namespace: self.namespace.to_owned(),
            now: self.edge.now,
            progress,
            interrupted: self.interrupted.clone(),
        }
    }
}

/// The chart with these values over those of the release.
fn upgrade(values: &Values) -> Intent {
    Intent::Upgrade {
        wanted: deploy::Wanted {
            chart: ChartChoice::Named {
                name: CHART.to_owned(),
                version: None,
            },
            values: values.clone(),
            reuse: Reuse::default(),
            fabric_version: None,
            identities: identity::Source::Generate,
            skip_schema_validation: false,
            post_renderer: None,
            labels: Vec::new(),
        },
        install: true,
    }
}

/// Reports problems with the servers of several organizations at once.
struct Relay<'a> {
    terminal: &'a Terminal,
    namespace: &'a str,
}

impl Progress for Relay<'_> {
    fn event(&self, event: &Event) {
        match event {
            Event::Warning { message } => self
                .terminal
                .warn(&format!("namespace {}: {message}", self.namespace)),
            Event::Waiting {
                object,
                trouble: true,
                reason,
                ..
            } => self
                .terminal
                .note(&format!("{}: {object}: {reason}", self.namespace)),
            _ => {}
        }
    }
}

/// Returns the results in all namespaces, or an error with all failures.
pub(super) fn collect<T>(
    what: &str,
    did: &str,
    results: Vec<(String, Result<T>)>,
) -> Result<Vec<T>> {
    let (mut done, mut values, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (namespace, result) in results {
        match result {
            Ok(value) => {
                done.push(namespace);
                values.push(value);
            }
            Err(error) => failed.push((namespace, error)),
        }
    }
    let Some((_, first)) = failed.first() else {
        return Ok(values);
    };
    let is_same = failed.iter().all(|(_, error)| error.kind() == first.kind());
    let kind = match is_same {
        true => first.kind(),
        false => Kind::Cluster,
    };
    let places = failed.iter().flat_map(|(namespace, error)| {
        let words = [&[error.what().to_owned()], error.reasons()].concat();
        let place = Place::new(namespace.clone()).note(words.join(": "));
        std::iter::once(place).chain(error.places().iter().cloned())
    });
    let error = Error::new(kind, what)
        .at_all(places)
        .now(match done.is_empty() {
            true => format!("no server was {did}"),
            false => format!("{did} in {}", done.join(", ")),
        });
    let mut hints: Vec<String> = Vec::new();
    for hint in failed.iter().flat_map(|(_, it)| it.hints()) {
        if !hints.contains(hint) {
            hints.push(hint.clone());
        }
    }
    Err(hints.into_iter().fold(error, Error::hint))
}

/// Returns the servers of a chaincode by the newest revisions of their releases: in the namespace
/// of `-n`, or in the readable namespaces of this network.
pub(super) async fn servers(
    edge: &Edge,
    cluster: &Cluster,
    release: &ReleaseName,
) -> Result<Vec<Summary>> {
    edge.connection.check()?;
    let entries = crate::commands::list::fetch(cluster, edge).await?;
    let found = select(&entries, release.as_str(), Scope::of(edge));
    for entry in &entries {
        if let Entry::Unreadable {
            release: of,
            namespace,
            reason,
            ..
        } = entry
            && of == release.as_str()
        {
            edge.terminal.warn(&format!(
                "release \"{of}\" in namespace \"{namespace}\" is left out: {reason}"
            ));
        }
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(none(&entries, release, edge)),
    }
}

/// Selects namespaces.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// All readable ones.
    Named,
    /// Those of a network; empty for the network without a name.
    Network(&'a str),
}

impl Scope<'_> {
    fn of(edge: &Edge) -> Scope<'_> {
        match (&edge.connection.namespace, &edge.connection.network) {
            (Some(_), _) => Scope::Named,
            (None, network) => Scope::Network(network.as_deref().unwrap_or_default()),
        }
    }
}

fn select(entries: &[Entry], release: &str, scope: Scope<'_>) -> Vec<Summary> {
    let summaries = || entries.iter().filter_map(Entry::summary);
    let is_here = |namespace: &str| {
        let Scope::Network(name) = scope else {
            return true;
        };
        // The organization of a namespace determines its network.
        let organization = summaries()
            .find(|it| it.namespace == namespace && it.chart != CHART)
            .map(|it| it.release.as_str());
        let network = organization.map_or("", |it| crate::fabric::network_of(it, namespace));
        network == name || (!name.is_empty() && namespace.ends_with(&format!("-{name}")))
    };
    let mut found: Vec<Summary> = summaries()
        .filter(|it| it.release == release && it.chart == CHART)
        .filter(|it| it.status != Status::Uninstalled && is_here(&it.namespace))
        .cloned()
        .collect();
    found.sort_by(|one, other| one.namespace.cmp(&other.namespace));
    found
}

fn none(entries: &[Entry], release: &ReleaseName, edge: &Edge) -> Error {
    let mut names: Vec<&str> = entries
        .iter()
        .filter_map(Entry::summary)
        .filter(|it| it.chart == CHART && it.status != Status::Uninstalled)
        .map(|it| it.release.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let error = Error::user(match &edge.connection.namespace {
        Some(namespace) => {
            format!("no server of \"{release}\" was found in namespace \"{namespace}\"")
        }
        None => format!("no server of \"{release}\" was found"),
    });
    let error = match names.is_empty() {
        true => error.why("there is no release of chart chaincode"),
        false => error.why(format!("releases of chart chaincode: {}", names.join(", "))),
    };
    match crate::error::nearest(release.as_str(), names) {
        Some(name) => error.hint(format!("did you mean \"{name}\"?")),
        None => error.hint("if the release of the server has another name, pass --release NAME"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use jiff::Timestamp;

    pub fn summary(release: &str, namespace: &str, chart: &str, status: Status) -> Summary {
        Summary {
            release: release.to_owned(),
            namespace: namespace.to_owned(),
            revision: 1,
            status,
            first_deployed: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
            chart: chart.to_owned(),
            chart_version: "0.1.0".to_owned(),
            app_version: String::new(),
            description: String::new(),
            user: String::new(),
            plugin_version: String::new(),
            rollback_to: None,
            labels: Default::default(),
        }
    }

    fn entry(release: &str, namespace: &str, chart: &str, status: Status) -> Entry {
        Entry::Readable(summary(release, namespace, chart, status))
    }

    #[test]
    fn only_servers_of_the_network_are_found() {
        let deployed = Status::Deployed;
        let entries = [
            entry("org1", "org1", "peer-org", deployed),
            entry("org1", "org1-dev", "peer-org", deployed),
            entry("basic", "org2", CHART, Status::Failed),
            entry("basic", "org1", CHART, deployed),
            entry("basic", "org1-dev", CHART, deployed),
            entry("basic", "org3", CHART, Status::Uninstalled),
            entry("basic", "org4", "mine", deployed),
            entry("other", "org1", CHART, deployed),
            // Its organization no longer exists.
            entry("basic", "org5-dev", CHART, deployed),
        ];
        for (scope, expected) in [
            (Scope::Network(""), &["org1", "org2", "org5-dev"][..]),
            (Scope::Network("dev"), &["org1-dev", "org5-dev"]),
            (Scope::Named, &["org1", "org1-dev", "org2", "org5-dev"]),
        ] {
            let found = select(&entries, "basic", scope);
            let namespaces: Vec<&str> = found.iter().map(|it| it.namespace.as_str()).collect();
            assert_eq!(namespaces, expected);
        }
    }
}
