//! What runs, or ran last: images of live pods, and of records where a pod is not there or never
//! came to run.

use super::facts::Facts;
use super::image::Component;
use super::node::{Node, Program};
use super::written::Written;
use crate::manifest::{claims, quantity};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the judgement starts from.
#[derive(Debug, Default)]
pub struct Running {
    /// By place; one place can have several, when it is not known which of them ran last.
    pub nodes: Vec<Node>,
    /// Sizes that each place claimed so far, by name of the claim's template.
    pub volumes: BTreeMap<String, BTreeMap<String, String>>,
    /// Nodes of the deployed revision, also those that are no longer wanted.
    pub deployed: Vec<Node>,
    pub facts: Facts,
    pub notes: Vec<String>,
    /// What claims say of the past, where no record does.
    pub written: Option<Facts>,
}

/// What is known of the past and the present.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Live pods of the release's namespace; `None` when they may not be read.
    pub pods: Option<Vec<Value>>,
    /// The volume claims of the namespace; `None` when they were not or may not be read.
    pub claims: Option<Vec<Value>>,
    /// Nodes of the deployed revision.
    pub deployed: Vec<Node>,
    /// Nodes of every attempt since.
    pub attempted: Vec<Node>,
    /// Of what the operation starts from.
    pub facts: Facts,
}

impl Evidence {
    /// Whether the pods leave a question open that claims and records answer: a node that is wanted
    /// does not run.
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

    /// Whether a node wants less of a volume than a record says, so that the claims answer how
    /// large it is.
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

    /// The volumes of a node and their sizes: as its claims have them; as the first record has
    /// them, when claims are not known.
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

    /// What runs, or ran last, on each node that is wanted.
    pub fn running(self, wanted: &[Node]) -> Running {
        let live = self.live();
        let waiting: Vec<Node> = self
            .pods
            .iter()
            .flatten()
            .filter_map(Node::of_waiting)
            .collect();
        let mut running = Running {
            facts: self.facts.clone(),
            ..Running::default()
        };
        for node in wanted {
            running
                .volumes
                .insert(node.place.clone(), self.volumes(node));
            let live: Vec<&Node> = live.iter().filter(|it| it.place == node.place).collect();
            let missing: BTreeSet<Component> = node
                .programs
                .values()
                .filter(|program| {
                    program.keeps_data()
                        && !live
                            .iter()
                            .any(|it| it.programs.contains_key(&program.component))
                })
                .map(|program| program.component)
                .collect();
            running.nodes.extend(live.into_iter().cloned());
            let leftover = self.leftover(node);
            if missing.is_empty() || leftover.as_deref() == Some("") {
                continue;
            }
            // The image of a pod that never came to run has written nothing, unless it was deployed
            // before.
            let never_ran = |program: &Program| {
                waiting.iter().any(|it| {
                    it.place == node.place
                        && it
                            .programs
                            .get(&program.component)
                            .is_some_and(|one| one.image == program.image)
                })
            };
            let mut known = false;
            let deployed = self.deployed.iter().map(|it| (it, true));
            for (before, was_deployed) in
                deployed.chain(self.attempted.iter().map(|it| (it, false)))
            {
                if before.place != node.place {
                    continue;
                }
                known = true;
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
            if !known && let Some(written) = self.written(node) {
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
                continue;
            }
            if let (false, Some(claim)) = (known, leftover) {
                running.notes.push(format!(
                    "{}: volume claim {claim} is there from earlier, and nothing tells which version wrote what is on it",
                    node.place
                ));
            }
        }
        running.deployed = self.deployed;
        running
    }

    /// What a claim of a node's says of what wrote it.
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

    /// A claim of a node's that is there already; empty when there is none for sure, `None` when it
    /// is not known.
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
    /// What ran of a program at a place.
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
