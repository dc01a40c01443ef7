//! The server of a chaincode, as a release in an organization's namespace.

use super::deploy::Arguments;
use crate::cluster::Cluster;
use crate::commands::Edge;
use crate::deploy::{self, ChartChoice, Context, DryRun, Event, Intent, Options, Progress, Reuse};
use crate::error::Result;
use crate::identity;
use crate::member::Member;
use crate::release::{Entry, ReleaseName, Status};
use crate::storage;
use crate::terminal::Terminal;
use tokio::sync::watch;

/// An organization's server.
pub(super) struct Server {
    pub organization: String,
    pub namespace: String,
    /// Its peers: `peer0.org1`.
    pub peers: Vec<String>,
    pub did: &'static str,
}

/// Installs or upgrades the server of an organization, unless it is as it is wanted.
pub(super) async fn serve(
    edge: &Edge,
    cluster: &Cluster,
    release: &ReleaseName,
    arguments: &Arguments,
    member: &Member,
    interrupted: watch::Receiver<bool>,
) -> Result<Server> {
    let namespace = member.contact.namespace.clone();
    let progress = Relay {
        terminal: &edge.terminal,
        namespace: namespace.clone(),
    };
    let context = Context {
        cluster,
        release: release.clone(),
        namespace: namespace.clone(),
        now: edge.now,
        progress: &progress,
        interrupted,
    };
    let intent = || intent(arguments);
    let options = Options {
        timeout: arguments.timeout,
        create_namespace: false,
        ..Options::default()
    };
    let server = |did| Server {
        organization: member.contact.release.clone(),
        namespace: namespace.clone(),
        peers: member
            .contact
            .nodes
            .iter()
            .map(|it| it.host.clone())
            .collect(),
        did,
    };
    let history = storage::history(cluster, &namespace, release.as_str()).await?;
    let is_deployed = matches!(
        history.last(),
        Some(Entry::Readable(summary)) if summary.status == Status::Deployed
    );
    if is_deployed {
        let dry = Options {
            dry_run: DryRun::Client,
            ..options.clone()
        };
        let planned = deploy::preview(&context, intent()?, &dry).await?;
        if planned.plan.is_empty() && planned.changed_values.is_empty() {
            return Ok(server("unchanged"));
        }
    }
    deploy::run(context, intent()?, options).await?;
    Ok(server(match history.is_empty() {
        true => "installed",
        false => "upgraded",
    }))
}

/// The chart with the values of the arguments.
fn intent(arguments: &Arguments) -> Result<Intent> {
    Ok(Intent::Upgrade {
        wanted: deploy::Wanted {
            chart: ChartChoice::Named {
                name: "chaincode".to_owned(),
                version: None,
            },
            values: arguments.values.load()?,
            reuse: Reuse::default(),
            fabric_version: None,
            identities: identity::Source::Generate,
            skip_schema_validation: false,
            post_renderer: None,
            labels: Vec::new(),
        },
        install: true,
    })
}

/// Tells what goes wrong with the servers of several organizations at once.
struct Relay<'a> {
    terminal: &'a Terminal,
    namespace: String,
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
