//! `chaincode logs`.

use super::arguments::ServerArguments;
use super::server::servers;
use crate::cluster::{ApiError, ApiResult, Cluster, Kind, LogLines, WatchEvent};
use crate::commands::Edge;
use crate::error::{Kind as ErrorKind, Result};
use crate::release::{ReleaseName, Summary};
use crate::terminal::{CYAN, Text};
use clap::Args;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::{self, BoxStream, SelectAll};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Print the logs of the servers of a chaincode
///
/// Each line is prefixed with the namespace and name of its pod. Includes all organizations of the
/// network, or only the namespace of -n.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric chaincode logs basic
  kubectl fabric chaincode logs basic -f --tail 0       new lines, including those of later pods
  kubectl fabric chaincode logs basic -n org1 --previous")]
pub struct Arguments {
    #[command(flatten)]
    pub server: ServerArguments,

    /// Keep printing new lines, including those of pods that start later
    #[arg(short, long)]
    pub follow: bool,

    /// Number of recent lines to print for each running pod
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub tail: u32,

    /// Print the logs of the previous containers, from before their last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = arguments.server.release()?;
    let printed = edge.read(false, async |cluster| {
        let found = servers(edge, cluster, &release).await?;
        let logs = Logs {
            edge,
            cluster,
            release: &release,
            lines: LogLines {
                tail: Some(arguments.tail),
                follow: arguments.follow,
                previous: arguments.previous,
            },
        };
        match arguments.follow {
            true => logs.follow(&found).await,
            false => logs.print(&found).await,
        }
    });
    match printed {
        // The usual way to end it.
        Err(error) if arguments.follow && error.kind() == ErrorKind::Interrupted => {
            Ok(ExitCode::from(error.kind().exit_status()))
        }
        printed => printed.map(|()| ExitCode::SUCCESS),
    }
}

struct Logs<'a> {
    edge: &'a Edge,
    cluster: &'a Cluster,
    release: &'a ReleaseName,
    lines: LogLines,
}

/// A pod with a server.
#[derive(Clone, Debug)]
struct Pod {
    namespace: String,
    name: String,
    /// Differs for each run of its container.
    run: String,
    /// Whether its container has ever started.
    has_started: bool,
}

impl Pod {
    /// The container of the server has the release's name; others are the user's.
    fn of(pod: &Value, container: &str) -> Pod {
        let text = |key: &str| {
            let text = pod["metadata"][key].as_str();
            text.unwrap_or_default().to_owned()
        };
        let statuses = pod["status"]["containerStatuses"].as_array();
        let status = statuses
            .into_iter()
            .flatten()
            .find(|it| it["name"] == container);
        let restarts = status.and_then(|it| it["restartCount"].as_u64());
        let state = status.map(|it| &it["state"]);
        Pod {
            namespace: text("namespace"),
            run: format!("{} {}", text("uid"), restarts.unwrap_or_default()),
            name: text("name"),
            has_started: state
                .is_some_and(|it| !it["running"].is_null() || !it["terminated"].is_null()),
        }
    }

    /// `org1/basic-5d9c7b-x2x4z`
    fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A message to a follower of logs.
enum Event {
    Pod(Box<ApiResult<WatchEvent<Pod>>>),
    Line(String, String),
    Failed(String, ApiError),
}

impl Logs<'_> {
    fn selector(&self) -> String {
        format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/component=chaincode",
            self.release
        )
    }

    /// Prints the existing lines.
    async fn print(&self, servers: &[Summary]) -> Result<()> {
        let kind = pods();
        let selector = self.selector();
        let lists = servers
            .iter()
            .map(|it| self.cluster.list(&kind, Some(&it.namespace), &selector));
        let mut first = None;
        let mut has_printed = false;
        for (server, pods) in servers.iter().zip(join_all(lists).await) {
            let mut pods: Vec<Pod> = pods?
                .iter()
                .map(|pod| Pod::of(pod, self.release.as_str()))
                .collect();
            pods.sort_by(|one, other| one.name.cmp(&other.name));
            if pods.is_empty() {
                self.edge.terminal.warn(&format!(
                    "release \"{}\" in namespace \"{}\" has no pods",
                    self.release, server.namespace
                ));
            }
            for pod in pods {
                let (namespace, name) = (&pod.namespace, &pod.name);
                let container = self.release.as_str();
                let opened = self
                    .cluster
                    .log_lines(namespace, name, container, self.lines);
                match opened.await {
                    Ok(mut lines) => {
                        has_printed = true;
                        while let Some(line) = lines.next().await {
                            self.line(&pod.place(), &line)?;
                        }
                    }
                    Err(error) => {
                        self.failed(&pod.place(), &error);
                        first.get_or_insert(error);
                    }
                }
            }
        }
        match first {
            Some(error) if !has_printed => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints existing and new lines, including those of pods that start later.
    async fn follow(&self, servers: &[Summary]) -> Result<()> {
        let mut events: SelectAll<BoxStream<'static, Event>> = SelectAll::new();
        for server in servers {
            let container = self.release.to_string();
            let read = move |pod: Value| Pod::of(&pod, &container);
            let namespace = Some(server.namespace.clone());
            let watch = self.cluster.watch(pods(), namespace, self.selector(), read);
            events.push(watch.map(|event| Event::Pod(Box::new(event))).boxed());
        }
        let mut followed = BTreeSet::new();
        let mut still_to_list = servers.len();
        while let Some(event) = events.next().await {
            match event {
                Event::Pod(event) => match (*event)? {
                    WatchEvent::Present(pod) => {
                        if pod.has_started && followed.insert(pod.run.clone()) {
                            // No line of a pod that starts in the meantime is skipped.
                            let tail = self.lines.tail.filter(|_| still_to_list > 0);
                            events.push(self.open(pod, LogLines { tail, ..self.lines }));
                        }
                    }
                    WatchEvent::Listed => still_to_list = still_to_list.saturating_sub(1),
                    WatchEvent::Deleted(_) | WatchEvent::Vanished(_) => {}
                },
                Event::Line(place, line) => self.line(&place, &line)?,
                Event::Failed(place, error) => self.failed(&place, &error),
            }
            if self.edge.terminal.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, pod: Pod, lines: LogLines) -> BoxStream<'static, Event> {
        let (cluster, container) = (self.cluster.clone(), self.release.to_string());
        let opened = async move {
            let (namespace, name) = (&pod.namespace, &pod.name);
            let place = pod.place();
            match cluster.log_lines(namespace, name, &container, lines).await {
                Ok(lines) => lines
                    .map(move |line| Event::Line(place.clone(), line))
                    .boxed(),
                Err(error) => stream::iter([Event::Failed(place, error)]).boxed(),
            }
        };
        stream::once(opened).flatten().boxed()
    }

    fn line(&self, place: &str, line: &str) -> Result<()> {
        let mut text = Text::default();
        text.push_styled(CYAN, format!("[{place}]"));
        text.push(format!(" {line}\n"));
        self.edge.terminal.print(text)
    }

    fn failed(&self, place: &str, error: &ApiError) {
        self.edge
            .terminal
            .warn(&format!("[{place}] {}", error.message));
    }
}

fn pods() -> Kind {
    Kind {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
    }
}
