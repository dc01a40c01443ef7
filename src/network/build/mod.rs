//! The steps of a plan: releases, channels, chaincodes, and what is left over.
//!
//! Each part goes over what the file wants, compares it with what is there, and adds the steps that
//! are missing. A step names all steps that it would come after; those that are done already are
//! left out.

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
    /// Ids of steps that are planned.
    planned: BTreeSet<String>,
    /// Ids of what is unknown or held.
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

    /// Plans a step. `after` may name steps that are done already; those are left out.
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

    pub fn is_planned(&self, id: &str) -> bool {
        self.planned.contains(id)
    }

    /// Notes that the state of a step is unknown: whatever depends on it is held.
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

    /// What a node has, or why that is not known. The nodes of a release that is not there, and
    /// left no volume, have nothing.
    pub fn node(&self, organization: &str, node: &str) -> Known<Node> {
        let namespace = self.network().namespace(organization).unwrap_or_default();
        let key = ReleaseKey::new(organization, namespace);
        match self.observed.releases.get(&key) {
            Some(Known::Known(Release::Absent { data: false })) => Known::Known(Node::default()),
            Some(Known::Known(Release::Absent { data: true })) => Known::Unknown(
                "its volume is kept, and what it holds is known once the node runs".to_owned(),
            ),
            _ => match self.observed.nodes.get(&NodeKey::new(organization, node)) {
                Some(known) => known.clone(),
                None => Known::Unknown(NOT_ASKED.to_owned()),
            },
        }
    }
}

pub const NOT_ASKED: &str = "it was not asked";

/// Why there is no answer.
pub fn why<T>(answer: Option<&Known<T>>) -> &str {
    match answer {
        Some(Known::Unknown(why)) => why,
        _ => NOT_ASKED,
    }
}

pub fn release_id(release: &str, namespace: &str) -> String {
    format!("release/{namespace}/{release}")
}
