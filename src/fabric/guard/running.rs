//! Determines what runs, or ran last: from the images of live pods, or from records where a pod is
//! missing or never ran.

use super::facts::Facts;
use super::image::Component;
use super::node::{Node, Program};
use super::written::Written;
use crate::manifest::{claims, quantity};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The state before the operation.
#[derive(Debug, Default)]
pub struct Running {
    /// Nodes by place. A place has several if it is unknown which of them ran last.
    pub nodes: Vec<Node>,
    /// Sizes of volumes at each place, by name of the claim template.
    pub volumes: BTreeMap<String, BTreeMap<String, String>>,
    /// Nodes of the deployed revision, including those that are no longer desired.
    pub deployed: Vec<Node>,
    pub facts: Facts,
    pub notes: Vec<String>,
    /// Facts from notes on claims, if there is no record.
    pub written: Option<Facts>,
}

/// The known facts about past and present.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Live pods of the release's namespace, or `None` if the user may not read them.
    pub pods: Option<Vec<Value>>,
    /// Volume claims of the namespace, or `None` if they were not or may not be read.
    pub claims: Option<Vec<Value>>,
    /// Nodes of the deployed revision.
    pub deployed: Vec<Node>,
    /// Nodes of all attempts since.
    pub attempted: Vec<Node>,
    /// Facts of the revision from which the operation starts.
    pub facts: Facts,
}

impl Evidence {
    /// Returns true if the pods are not sufficient, so that claims and records are needed: a
    /// desired node does not run.
    pub fn is_open(&self, wanted: &[Node]) -> bool {
        let live = self.live();
        let runs = |node: &Node, component| {
            live.iter()
                .any(|it| it.place == node.place && it.programs.contains_key(&component))
        };
        wanted.iter().any(|node| {
            node.programs
                .values()
                .any(|it| it.keeps_data() && !runs(node, it.component))
        })
    }

    /// Returns true if a node's volume becomes smaller than in a record, so that the claims are
    /// needed for its actual size.
    pub fn shrinks(&self, wanted: &[Node]) -> bool {
        let recorded = || self.deployed.iter().chain(&self.attempted);
        wanted.iter().any(|node| {
            let before = recorded()
                .filter(|before| before.place == node.place)
                .flat_map(|before| &before.volumes);
            before.into_iter().any(|(volume, size)| {
                node.volumes
                    .get(volume)
                    .is_none_or(|wanted| is_less(wanted, size))
            })
        })
    }

    /// Returns the volumes of a node and their sizes: from its claims, or otherwise from the first
    /// record that has them.
    fn volumes(&self, node: &Node) -> BTreeMap<String, String> {
        let recorded = self
            .deployed
            .iter()
            .chain(&self.attempted)
            .filter(|before| before.place == node.place);
        let recorded: Vec<&Node> = recorded.collect();
        let Some(claims) = &self.claims else {
            return recorded
                .into_iter()
                .map(|it| &it.volumes)
                .find(|volumes| !volumes.is_empty())
                .cloned()
                .unwrap_or_default();
        };
        let names: BTreeSet<&String> = recorded
            .into_iter()
            .chain([node])
            .flat_map(|node| node.volumes.keys())
            .collect();
        let size = |volume: &str| {
            let made = claims
                .iter()
                .filter(|claim| is_claim_of(&node.name, volume, claim));
            let sizes = made.filter_map(|claim| claims::size(&claim["spec"]));
            sizes
                .reduce(|one, other| if is_less(one, other) { other } else { one })
                .map(str::to_owned)
        };
        names
            .into_iter()
            .filter_map(|volume| Some((volume.clone(), size(volume)?)))
            .collect()
    }

    fn live(&self) -> Vec<Node> {
        let claimed = self.facts.version();
        self.pods
            .iter()
            .flatten()
            .filter_map(|pod| Node::of_live(pod, claimed.as_ref()))
            .collect()
    }

    /// Returns what runs, or ran last, on each desired node.
    pub fn running(self, wanted: &[Node]) -> Running {
        let live = self.live();
        let pods = self.pods.iter().flatten();
        let waiting: Vec<Node> = pods.filter_map(Node::of_waiting).collect();
        let mut running = Running {
            facts: self.facts.clone(),
            ..Running::default()
        };
        for node in wanted {
            let volumes = self.volumes(node);
            running.volumes.insert(node.place.clone(), volumes);
            let live: Vec<&Node> = live.iter().filter(|it| it.place == node.place).collect();
            let runs = |component| live.iter().any(|it| it.programs.contains_key(&component));
            let programs = node.programs.values();
            let missing: BTreeSet<Component> = programs
                .filter(|program| program.keeps_data() && !runs(program.component))
                .map(|program| program.component)
                .collect();
            running.nodes.extend(live.into_iter().cloned());
            let leftover = self.leftover(node);
            if missing.is_empty()
                || leftover.as_deref() == Some("")
                || self.add_recorded(node, &missing, &waiting, &mut running)
                || self.add_written(node, &missing, &mut running)
            {
                continue;
            }
            if let Some(claim) = leftover {
                running.notes.push(format!(
                    "{}: volume claim {claim} already exists, and the version that wrote its data is unknown",
                    node.place
                ));
            }
        }
        running.deployed = self.deployed;
        running
    }

    /// Adds what records say about these programs of a node. Returns false if no record has the
    /// node. `waiting` are the nodes of pods that never ran.
    fn add_recorded(
        &self,
        node: &Node,
        missing: &BTreeSet<Component>,
        waiting: &[Node],
        running: &mut Running,
    ) -> bool {
        let is_it = |it: &&Node| it.place == node.place;
        // The image of a pod that never ran has written nothing, unless it was deployed before.
        let never_ran = |program: &Program| {
            waiting.iter().filter(is_it).any(|it| {
                let waits = it.programs.get(&program.component);
                waits.is_some_and(|waits| waits.image == program.image)
            })
        };
        let deployed = self.deployed.iter().filter(is_it).map(|it| (it, true));
        let attempted = self.attempted.iter().filter(is_it).map(|it| (it, false));
        let mut is_known = false;
        for (before, was_deployed) in deployed.chain(attempted) {
            is_known = true;
            let mut before = before.clone();
            before.programs.retain(|component, program| {
                missing.contains(component) && (was_deployed || !never_ran(program))
            });
            if !before.programs.contains_key(&Component::Peer) {
                before.state_database = None;
            }
            if !before.programs.is_empty() && !running.nodes.contains(&before) {
                running.nodes.push(before);
            }
        }
        is_known
    }

    /// Adds what the node's claims say about these programs. Returns false if they say nothing.
    fn add_written(
        &self,
        node: &Node,
        missing: &BTreeSet<Component>,
        running: &mut Running,
    ) -> bool {
        let Some(written) = self.written(node) else {
            return false;
        };
        for mut before in written.nodes(&node.place, &node.name) {
            before
                .programs
                .retain(|component, _| missing.contains(component));
            running.nodes.push(before);
        }
        if self.facts == Facts::default() && running.written.is_none() {
            running.facts = written.facts.clone();
            running.written = Some(written.facts);
        }
        true
    }

    /// Returns the note on a node's claim about what wrote it.
    fn written(&self, node: &Node) -> Option<Written> {
        let is_its = |claim: &&Value| {
            node.volumes
                .keys()
                .any(|volume| is_claim_of(&node.name, volume, claim))
        };
        self.claims
            .iter()
            .flatten()
            .filter(is_its)
            .find_map(Written::read)
    }

    /// Returns an existing claim of a node. Empty if there is certainly none, `None` if unknown.
    fn leftover(&self, node: &Node) -> Option<String> {
        let claims = self.claims.as_ref()?;
        let is_its = |claim: &&Value| {
            node.volumes
                .keys()
                .any(|volume| is_claim_of(&node.name, volume, claim))
        };
        Some(
            claims
                .iter()
                .find(is_its)
                .map(|claim| claims::name(claim).to_owned())
                .unwrap_or_default(),
        )
    }
}

fn is_claim_of(node: &str, volume: &str, claim: &Value) -> bool {
    claims::is_made(volume, node, claims::name(claim))
}

fn is_less(size: &str, other: &str) -> bool {
    matches!((quantity::bytes(size), quantity::bytes(other)), (Some(size), Some(other)) if size < other)
}

impl Running {
    /// Returns the program versions that ran at a place.
    pub fn programs<'a>(
        &'a self,
        place: &'a str,
        component: Component,
    ) -> impl Iterator<Item = &'a Program> {
        let nodes = self.nodes.iter().filter(move |node| node.place == place);
        let mut seen: Vec<&Program> = Vec::new();
        for program in nodes.filter_map(move |node| node.programs.get(&component)) {
            if !seen
                .iter()
                .any(|it| it.image == program.image && it.version == program.version)
            {
                seen.push(program);
            }
        }
        seen.into_iter()
    }
}
