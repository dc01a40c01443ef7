//! What can be chosen in a chart, two choices at a time: every pair that makes sense is in a case
//! that renders, every other is refused.

use super::{Case, Outcome};
use kubectl_fabric::fabric::{self, Model, Subject};
use kubectl_fabric::values::{self, Origin};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Something to choose, with the values that choose each of its options.
struct Factor {
    name: &'static str,
    options: Vec<(&'static str, Value)>,
    /// What a case has chosen.
    chosen: fn(&Case, &Outcome) -> String,
}

/// Two options that do not go together, and words of the refusal.
type Nonsense = (&'static str, &'static str, &'static str);

struct Choices {
    chart: &'static str,
    factors: Vec<Factor>,
    nonsense: Vec<Nonsense>,
}

/// Lines without channel participation need a genesis block, if it is an orderer's.
fn lines() -> Factor {
    let genesis = json!({"genesis": {"secret": "genesis"}});
    let options = [
        (
            "1.4",
            json!({"fabricVersion": "1.4.12", "orderers": genesis}),
        ),
        (
            "2.2",
            json!({"fabricVersion": "2.2.15", "orderers": genesis}),
        ),
        ("2.5", json!({"fabricVersion": "2.5.16"})),
        ("3.1", json!({"fabricVersion": "3.1.5"})),
    ];
    let chosen = |_: &Case, outcome: &Outcome| outcome.facts["line"].as_str().unwrap().to_owned();
    Factor {
        name: "line",
        options: options.to_vec(),
        chosen,
    }
}

/// The folder of `--crypto-config` is no value, and nothing that is rendered depends on it.
fn sources() -> Factor {
    let nfs = json!({"crypto": {"source": "nfs", "nfs": {"server": "nfs", "path": "/share"}}});
    let options = [
        ("generate", json!({})),
        ("cryptogen", json!({})),
        ("secret", json!({"crypto": {"source": "secret"}})),
        ("nfs", nfs),
    ];
    let chosen = |case: &Case, outcome: &Outcome| match (
        outcome.values["crypto"]["source"].as_str().unwrap(),
        &case.crypto_config,
    ) {
        ("auto", Some(_)) => "cryptogen".to_owned(),
        ("auto", None) => "generate".to_owned(),
        (source, _) => source.to_owned(),
    };
    Factor {
        name: "identities",
        options: options.to_vec(),
        chosen,
    }
}

fn exposures() -> Factor {
    let host = "{node}.example.com";
    let options = [
        ("ClusterIP", json!({})),
        (
            "NodePort",
            json!({"expose": {"type": "NodePort", "host": host}}),
        ),
        (
            "LoadBalancer",
            json!({"expose": {"type": "LoadBalancer", "host": host}}),
        ),
        (
            "Ingress",
            json!({"expose": {"type": "Ingress", "host": host, "className": "nginx"}}),
        ),
        (
            "Gateway",
            json!({"expose": {"type": "Gateway", "host": host, "gateway": {"name": "edge"}}}),
        ),
    ];
    let chosen = |_: &Case, outcome: &Outcome| {
        outcome.values["expose"]["type"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    Factor {
        name: "exposure",
        options: options.to_vec(),
        chosen,
    }
}

fn chaincode() -> Factor {
    let mode = |mode: &str| json!({"chaincode": {"mode": mode}});
    let options = [
        ("ccaas", mode("ccaas")),
        ("k8s", mode("k8s")),
        (
            "docker-tcp",
            json!({"chaincode": {"mode": "docker-tcp", "dockerEndpoint": "tcp://docker:2375"}}),
        ),
        ("docker-sock", mode("docker-sock")),
        ("dind", mode("dind")),
        (
            "external",
            json!({"chaincode": {"mode": "external", "builders": [{"name": "mine", "path": "/mine"}]}}),
        ),
        ("none", mode("none")),
    ];
    let chosen =
        |_: &Case, outcome: &Outcome| outcome.facts["chaincode"].as_str().unwrap().to_owned();
    Factor {
        name: "chaincode",
        options: options.to_vec(),
        chosen,
    }
}

fn state_databases() -> Factor {
    let options = ["goleveldb", "CouchDB"]
        .map(|database| (database, json!({"peers": {"stateDatabase": database}})));
    let chosen = |_: &Case, outcome: &Outcome| {
        outcome.values["peers"]["stateDatabase"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    Factor {
        name: "state database",
        options: options.to_vec(),
        chosen,
    }
}

fn consensus() -> Factor {
    let options = [
        (
            "kafka",
            json!({"orderers": {"consensus": "kafka", "genesis": {"secret": "genesis"}}}),
        ),
        ("etcdraft", json!({"orderers": {"consensus": "etcdraft"}})),
        ("BFT", json!({"orderers": {"consensus": "BFT", "count": 4}})),
    ];
    let chosen =
        |_: &Case, outcome: &Outcome| outcome.facts["consensus"].as_str().unwrap().to_owned();
    Factor {
        name: "consensus",
        options: options.to_vec(),
        chosen,
    }
}

/// Charts whose options depend on each other. Consensus is the orderers', chaincode and state
/// database are the peers': no release has both.
fn choices() -> [Choices; 2] {
    let no_builder = "has no builder for chaincode as a service";
    let not_in_the_image = "the builder's programs do not run in the peer image";
    [
        Choices {
            chart: "peer-org",
            factors: vec![
                lines(),
                chaincode(),
                sources(),
                exposures(),
                state_databases(),
            ],
            nonsense: vec![
                ("1.4", "ccaas", no_builder),
                ("2.2", "ccaas", no_builder),
                ("1.4", "k8s", not_in_the_image),
                ("2.2", "k8s", not_in_the_image),
                ("1.4", "external", "has no external builders"),
            ],
        },
        Choices {
            chart: "orderer-org",
            factors: vec![lines(), consensus(), sources(), exposures()],
            nonsense: vec![
                ("1.4", "BFT", "does not support BFT"),
                ("2.2", "BFT", "does not support BFT"),
                ("2.5", "BFT", "does not support BFT"),
                ("3.1", "kafka", "does not support kafka"),
            ],
        },
    ]
}

impl Choices {
    fn makes_no_sense(&self, one: &str, other: &str) -> Option<&Nonsense> {
        self.nonsense
            .iter()
            .find(|pair| (pair.0, pair.1) == (one, other) || (pair.1, pair.0) == (one, other))
    }

    /// Every way to choose.
    fn all(&self) -> Vec<Vec<&(&'static str, Value)>> {
        self.factors.iter().fold(vec![Vec::new()], |ways, factor| {
            ways.iter()
                .flat_map(|way| {
                    factor
                        .options
                        .iter()
                        .map(move |option| [&way[..], &[option]].concat())
                })
                .collect()
        })
    }
}

fn pairs<T: Copy>(list: &[T]) -> impl Iterator<Item = (T, T)> {
    list.iter()
        .enumerate()
        .flat_map(|(i, one)| list[i + 1..].iter().map(|other| (*one, *other)))
}

#[test]
fn every_pair_that_makes_sense_is_in_a_case() {
    for choices in choices() {
        let mut covered = BTreeSet::new();
        for (case, outcome) in Case::all()
            .iter()
            .filter(|(case, _)| case.chart == choices.chart)
        {
            let Ok(outcome) = outcome else { continue };
            let chosen: Vec<(&str, String)> = choices
                .factors
                .iter()
                .map(|factor| (factor.name, (factor.chosen)(case, outcome)))
                .collect();
            for ((factor, option), known) in chosen.iter().zip(&choices.factors) {
                assert!(
                    known.options.iter().any(|(name, _)| name == option),
                    "{}: {factor} {option}",
                    case.name()
                );
            }
            covered.extend(
                pairs(&chosen.iter().collect::<Vec<_>>())
                    .map(|(one, other)| (one.clone(), other.clone())),
            );
        }
        let mut missing = Vec::new();
        for (one, other) in pairs(&choices.factors.iter().collect::<Vec<_>>()) {
            for ((first, _), (second, _)) in one
                .options
                .iter()
                .flat_map(|a| other.options.iter().map(move |b| (a, b)))
            {
                let pair = (
                    (one.name, first.to_string()),
                    (other.name, second.to_string()),
                );
                if choices.makes_no_sense(first, second).is_none() && !covered.contains(&pair) {
                    missing.push(format!("{} {first} with {} {second}", one.name, other.name));
                }
            }
        }
        assert!(
            missing.is_empty(),
            "no case of {} has\n{}",
            choices.chart,
            missing.join("\n")
        );
    }
}

/// Of all ways to choose, those with a pair of the table are refused in its words, and no others.
#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    for choices in choices() {
        let case = Case::of(choices.chart);
        let chart = case.chart();
        let defaults = values::defaults(&chart.values, "values.yaml").unwrap();
        let mut refused = BTreeSet::new();
        for way in choices.all() {
            let names: Vec<&str> = way.iter().map(|(name, _)| *name).collect();
            let own = way.iter().map(|(name, own)| {
                values::with_origin(own.clone(), Origin::Program(name.to_string()))
            });
            let user = own
                .reduce(values::merge)
                .expect("there is something to choose");
            let (all, _) = values::coalesce(defaults.clone(), &user);
            let subject = Subject {
                model: Model::of(&chart).unwrap(),
                release: &case.release,
                namespace: &case.release,
                values: &all.tree,
            };
            let why: Vec<&Nonsense> = pairs(&names)
                .filter_map(|(one, other)| choices.makes_no_sense(one, other))
                .collect();
            match fabric::facts(subject) {
                Ok(_) => assert!(why.is_empty(), "{names:?} is not refused"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!why.is_empty(), "{names:?} is refused: {said}");
                    assert!(
                        why.iter().all(|(_, _, words)| said.contains(words)),
                        "{names:?}: {said}"
                    );
                    refused.extend(why.into_iter().map(|(one, other, _)| (*one, *other)));
                }
            }
        }
        assert_eq!(refused.len(), choices.nonsense.len(), "each is tried");
    }
}
