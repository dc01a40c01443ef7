//! The steps of a plan: releases, channels, chaincodes, and what is left over.
//!
//! Each part compares the desired state from the file with the observed state, and adds the missing
//! steps. A step names all steps that it depends on; completed ones are omitted.

use super::file::Network;
use super::plan::{Held, Plan, Removal, Unknown};
use super::state::{Known, Node, NodeKey, Observed, Release, ReleaseKey, Wanted};
use super::step::{Action, Step};
use std::collections::BTreeSet;

mod chaincode;
mod channel;
mod leftover;
mod release;

pub struct Builder<'a> {
    pub wanted: &'a Wanted<'a>,
    pub observed: &'a Observed,
    removal: Removal,
    plan: Plan,
    /// Ids of planned steps.
    planned: BTreeSet<String>,
    /// Ids of unknown states and held steps.
    closed: BTreeSet<String>,
}

impl<'a> Builder<'a> {
    pub fn new(wanted: &'a Wanted<'a>, observed: &'a Observed, removal: Removal) -> Builder<'a> {
        Builder {
            wanted,
            observed,
            removal,
            plan: Plan::default(),
            planned: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    pub fn network(&self) -> &'a Network {
        self.wanted.network
    }

    pub fn finish(self) -> Plan {
        self.plan
    }

    /// Plans a step. `after` may include completed steps, which are omitted.
    pub fn step<I: Into<String>>(
        &mut self,
        action: Action,
        by: impl IntoIterator<Item = I>,
        after: impl IntoIterator<Item = String>,
    ) {
        let id = action.id();
        let after: BTreeSet<String> = after.into_iter().collect();
        let because: Vec<String> = after.intersection(&self.closed).cloned().collect();
        let step = Step {
            id: id.clone(),
            action,
            by: by.into_iter().map(Into::into).collect(),
            after: after.intersection(&self.planned).cloned().collect(),
        };
        if because.is_empty() {
            self.planned.insert(id);
            self.plan.steps.push(step);
        } else {
            self.closed.insert(id);
            self.plan.held.push(Held { step, because });
        }
    }

    /// Whether an organization's namespace is not seen from here. Its own steps are its own to plan:
    /// here counts only what channels and files say of it.
    pub fn is_elsewhere(&self, organization: &str) -> bool {
        self.observed.elsewhere.contains_key(organization)
    }

    pub fn is_planned(&self, id: &str) -> bool {
        self.planned.contains(id)
    }

    /// Records that the state of a step is unknown. All steps that depend on it are held.
    pub fn unknown(&mut self, id: String, what: impl Into<String>, why: &str) {
        let unknown = Unknown {
            id: id.clone(),
            what: what.into(),
            why: why.to_owned(),
        };
        self.closed.insert(id);
        if !self.plan.unknown.contains(&unknown) {
            self.plan.unknown.push(unknown);
        }
    }

    /// Returns the state of a node, or why it is unknown. The nodes of a release that does not
    /// exist and left no volume have nothing.
    pub fn node(&self, organization: &str, node: &str) -> Known<Node> {
        let namespace = self.network().namespace(organization).unwrap_or_default();
        let key = ReleaseKey::new(organization, namespace);
        match self.observed.releases.get(&key) {
            Some(Known::Known(Release::Absent { data: false })) => Known::Known(Node::default()),
            Some(Known::Known(Release::Absent { data: true })) => Known::Unknown(
                "the content of its kept volume is unknown until the node runs".to_owned(),
            ),
            _ => match self.observed.nodes.get(&NodeKey::new(organization, node)) {
                Some(known) => known.clone(),
                None => Known::Unknown(NOT_ASKED.to_owned()),
            },
        }
    }
}

pub const NOT_ASKED: &str = "it was not queried";

/// Returns the reason why the state is unknown.
pub fn why<T>(answer: Option<&Known<T>>) -> &str {
    match answer {
        Some(Known::Unknown(why)) => why,
        _ => NOT_ASKED,
    }
}

pub fn release_id(release: &str, namespace: &str) -> String {
    format!("release/{namespace}/{release}")
}
