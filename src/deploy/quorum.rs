//! Asks the orderers of a rollout group whether the consensus groups of their channels are
//! complete.
//!
//! A pod becomes Ready before its orderer has rejoined its Raft groups ([`crate::fabric::quorum`]).
//! Readiness shows that a node runs; the orderers' metrics show whether another one may be changed.
//! They are read through the API server. If that fails, the rollout relies on readiness alone and
//! reports this once.

use super::Context;
use super::wait::{Awaited, Monitor};
use crate::cluster::{ApiErrorKind, Cluster};
use crate::error::{Error, Place, Result};
use crate::fabric::guard::{self, Component};
use crate::fabric::quorum::{self, Heights, Missing, Report};
use crate::manifest::{Object, ObjectKey, TemplateLine};
use crate::plan::Step;
use futures::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Timeout for one orderer. A starting orderer is busy.
const ANSWER: Duration = Duration::from_secs(3);
/// Number of attempts to reach orderers that have never answered, before the rollout relies on
/// readiness.
const TRIES: u32 = 3;
/// Interval of queries. By default, a leader sends its count to its followers every four ticks: 2
/// s.
pub const PAUSE: Duration = Duration::from_secs(1);

/// The orderers of one rollout group. Empty for groups of other nodes.
#[derive(Default)]
pub struct Quorum {
    orderers: Vec<Orderer>,
    /// The channels that each has served since the rollout began.
    served: BTreeMap<String, BTreeSet<String>>,
    /// While waiting: the block heights at the last query.
    reached: Heights,
    /// Whether any has answered.
    heard: bool,
    /// Whether the fallback to readiness has been reported.
    given_up: bool,
}

struct Orderer {
    awaited: Awaited,
    /// Ports of its operations service: the current and the desired one.
    ports: Vec<u64>,
    may_be_down: bool,
}

/// The result of a query.
pub enum Answer {
    /// All reachable orderers are in their groups. These lead one.
    Whole {
        leaders: BTreeSet<ObjectKey>,
    },
    Missing(Vec<Missing>),
    /// All but this one are in their groups, so a change of it loses nothing.
    Alone(ObjectKey, Vec<Missing>),
}

/// The answers by orderer.
type Answers = Vec<(ObjectKey, Result<Report, Unheard>)>;

impl Quorum {
    /// Selects the orderers among the members of a group, given as step, object and whether it may
    /// be down.
    pub fn of<'m>(members: impl Iterator<Item = (&'m Step, &'m Awaited, bool)>) -> Quorum {
        let mut orderers: Vec<Orderer> = Vec::new();
        let mut leaving = Vec::new();
        for (step, awaited, may_be_down) in members {
            let wanted = step.wanted.as_ref().map(|wanted| wanted.body());
            let mut ports: Vec<u64> = [step.live.as_ref(), wanted.as_ref()]
                .into_iter()
                .flatten()
                .filter_map(operations_port)
                .collect();
            ports.dedup();
            match wanted {
                // An orderer that is removed has no desired object. It listens on the same port as
                // the others.
                None => leaving.push((awaited, may_be_down)),
                Some(_) if ports.is_empty() => {}
                Some(_) => orderers.push(Orderer {
                    awaited: awaited.clone(),
                    ports,
                    may_be_down,
                }),
            }
        }
        if let Some(ports) = orderers.first().map(|orderer| orderer.ports.clone()) {
            let leaving = leaving.into_iter();
            orderers.extend(leaving.map(|(awaited, may_be_down)| Orderer {
                awaited: awaited.clone(),
                ports: ports.clone(),
                may_be_down,
            }));
        }
        Quorum {
            orderers,
            ..Quorum::default()
        }
    }

    /// Stops querying a member.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.orderers.retain(|orderer| orderer.awaited.key != *key);
    }

    /// Queries all orderers. One that does not answer counts as missing, unless none has ever
    /// answered.
    pub async fn ask(
        &mut self,
        context: &Context<'_>,
        monitor: &Monitor<'_>,
        unwatched: &BTreeSet<String>,
    ) -> Answer {
        let whole = Answer::Whole {
            leaders: BTreeSet::new(),
        };
        if self.given_up || self.orderers.is_empty() {
            return whole;
        }
        let answers = self.rounds(context, monitor).await;
        if let Some(why) = self.silence(&answers) {
            self.given_up = true;
            context.warn(&format!(
                "cannot read the orderers' metrics: {why}; this rollout checks readiness only, \
                 which an orderer reaches before it is back in its consensus group"
            ));
            return whole;
        }
        self.heard = true;
        self.judge(answers, unwatched)
    }

    /// Queries all orderers. As long as none has ever answered, queries them again.
    async fn rounds(&self, context: &Context<'_>, monitor: &Monitor<'_>) -> Answers {
        let mut answers = self.round(context.cluster, monitor).await;
        for _ in 1..TRIES {
            let may_answer = answers
                .iter()
                .all(|(_, answer)| answer.as_ref().is_err_and(|unheard| !unheard.is_final));
            if self.heard || !may_answer || *context.interrupted.borrow() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            answers = self.round(context.cluster, monitor).await;
        }
        answers
    }

    /// Returns why the metrics of these orderers cannot be used.
    fn silence(&self, answers: &Answers) -> Option<String> {
        let mut answers = answers.iter().map(|(_, answer)| answer);
        let unheard = answers.clone().find_map(|answer| answer.as_ref().err());
        if let Some(unheard) = unheard
            && !self.heard
            && answers.clone().all(Result::is_err)
        {
            return Some(unheard.why.clone());
        }
        let is_kafka = answers.any(|answer| answer.as_ref().is_ok_and(Report::is_kafka));
        is_kafka.then(|| "with Kafka, they have no metrics of the consensus group".to_owned())
    }

    fn judge(&mut self, answers: Answers, unwatched: &BTreeSet<String>) -> Answer {
        let mut missing = Vec::new();
        let (mut leaders, mut alone) = (BTreeSet::new(), BTreeSet::new());
        let mut reports = BTreeMap::new();
        for (key, answer) in answers {
            match answer {
                Ok(report) => {
                    if report.leads() {
                        leaders.insert(key.clone());
                    }
                    if report.is_alone() {
                        alone.insert(key.clone());
                    }
                    let served = self.served.entry(key.name.clone()).or_default();
                    served.extend(report.channels().map(str::to_owned));
                    reports.insert(key.name, report);
                }
                Err(Unheard { why, .. }) => {
                    missing.push(Missing {
                        orderer: key.name.clone(),
                        channel: String::new(),
                        why,
                    });
                    alone.insert(key);
                }
            }
        }
        let orderers = self.orderers.iter();
        let excused = orderers.filter(|orderer| orderer.may_be_down).count() as u64;
        let reached = std::mem::take(&mut self.reached);
        let missing_of = |reports: &BTreeMap<String, Report>, excused| {
            quorum::missing(reports, &self.served, &reached, excused, unwatched)
        };
        missing.extend(missing_of(&reports, excused));
        if missing.is_empty() {
            return Answer::Whole { leaders };
        }
        self.reached = quorum::heights(reports.values());
        let Some(one) = alone.pop_first().filter(|_| alone.is_empty()) else {
            return Answer::Missing(missing);
        };
        reports.remove(&one.name);
        match missing_of(&reports, excused + 1).is_empty() {
            true => Answer::Alone(one, missing),
            false => Answer::Missing(missing),
        }
    }

    async fn round(&self, cluster: &Cluster, monitor: &Monitor<'_>) -> Answers {
        let asked = self
            .orderers
            .iter()
            .filter(|orderer| !orderer.may_be_down && monitor.is_there(&orderer.awaited));
        let questions = asked.flat_map(|orderer| {
            let key = &orderer.awaited.key;
            let pods = monitor.pod_names(&orderer.awaited);
            pods.into_iter().map(move |pod| async move {
                (key.clone(), ask(cluster, key, &pod, &orderer.ports).await)
            })
        });
        join_all(questions).await
    }
}

/// Returns the port of an orderer's operations service from its workload, or `None` if it is not an
/// orderer.
fn operations_port(body: &Value) -> Option<u64> {
    let object = Object::from_body(body.clone(), TemplateLine::default())?;
    let is_orderer = guard::nodes([&object], None)
        .iter()
        .any(|node| node.programs.contains_key(&Component::Orderer));
    let containers = body
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array)
        .filter(|_| is_orderer)?;
    let ports = containers
        .iter()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports
        .filter(|port| port["name"] == "operations")
        .find_map(|port| port["containerPort"].as_u64())
}

/// Why an orderer's metrics cannot be read.
#[derive(Default)]
struct Unheard {
    why: String,
    /// Whether a retry is useless: access is forbidden, or there are no metrics.
    is_final: bool,
}

async fn ask(
    cluster: &Cluster,
    key: &ObjectKey,
    pod: &str,
    ports: &[u64],
) -> Result<Report, Unheard> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let mut unheard = Unheard::default();
    for port in ports {
        let answer =
            tokio::time::timeout(ANSWER, cluster.ask_pod(namespace, pod, *port, "metrics")).await;
        unheard = match answer {
            Ok(Ok(text)) => return Ok(Report::parse(&text)),
            Ok(Err(error)) => match error.denial() {
                Some((why, _)) => {
                    return Err(Unheard {
                        why,
                        is_final: true,
                    });
                }
                None => Unheard {
                    why: format!(
                        "pod {pod} does not serve metrics on port {port}: {}",
                        error.message
                    ),
                    is_final: error.kind == ApiErrorKind::NotFound,
                },
            },
            Err(_) => Unheard {
                why: format!(
                    "pod {pod} did not answer within {} s on port {port}",
                    ANSWER.as_secs()
                ),
                is_final: false,
            },
        };
    }
    Err(unheard)
}

/// Describes the missing orderers.
pub fn words(missing: &[Missing]) -> String {
    let one = |it: &Missing| match it.channel.as_str() {
        "" => it.why.clone(),
        channel => format!("channel {channel}: {}: {}", it.orderer, it.why),
    };
    missing.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Returns the error for a rollout that stops because a group is incomplete.
pub fn incomplete(group: &str, missing: &[Missing], timeout: &str) -> Error {
    let places = missing.iter().map(|it| match it.channel.as_str() {
        "" => Place::new(it.orderer.clone()).note(it.why.clone()),
        channel => Place::new(it.orderer.clone()).note(format!("channel {channel}: {}", it.why)),
    });
    let channels: BTreeSet<&str> = missing
        .iter()
        .map(|it| it.channel.as_str())
        .filter(|channel| !channel.is_empty())
        .collect();
    let error = Error::not_ready(format!(
        "the rollout of group \"{group}\" has stopped: a channel has not had all its consenters for {timeout}"
    ))
    .at_all(places)
    .why("an orderer restarts only while every orderer reports all consenters of its channels as active")
    .hint("check the logs of all orderers, including those of other organizations; then run the same command again");
    match channels.is_empty() {
        true => error,
        false => {
            let flags: Vec<String> = channels
                .iter()
                .map(|channel| format!("--allow-down Channel/{channel}"))
                .collect();
            error.hint(format!(
                "only if the channel can lose one more consenter while each orderer restarts, \
                 continue without this check: `{}`",
                flags.join(" ")
            ))
        }
    }
}
