//! Reads a network file: from its text to a checked [`Network`].
//!
//! Reading has two steps, because the edge reads values files: [`Draft::read`] parses the text and
//! returns the names of these files, and [`Draft::finish`] takes their contents and checks
//! everything. Problems of both steps are reported together.

use super::document::{self, Document, Named};
use super::fields::NETWORK;
use super::file::{Chaincode, ChaincodeType, DEFAULT_NAME, Installation, Network, Organization};
use super::member::Member;
use super::problem::Problems;
use super::read_channel::channel;
use super::shape::{self, Shape};
use super::{check, derive};
use crate::error::{Error, Place, Result};
use crate::fabric::KAFKA_PORT;
use crate::values::{self, Origin, Source, Values, path};
use crate::yaml::{self, Positions};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Input from the edge.
pub struct Given<'a> {
    /// Contents of [`Draft::files`], or the reasons why they could not be read.
    pub files: BTreeMap<String, Result<String>>,
    /// `--network`
    pub suffix: Option<&'a str>,
    /// Describes a release by its chart and values: [`super::member::describe`] with the charts
    /// that the edge can load.
    pub describe: &'a dyn Fn(&Installation) -> Result<Member>,
}

/// A file that is parsed, but not checked yet.
#[derive(Debug)]
pub struct Draft {
    subject: String,
    document: Document,
    problems: Problems,
}

impl Draft {
    /// Reads the text of a network file; `subject` names it in errors.
    ///
    /// # Errors
    ///
    /// Fails if the text is not YAML (a tab, a duplicate key) or not a map. [`Draft::finish`]
    /// reports all other problems.
    pub fn read(text: &str, subject: &str) -> Result<Draft> {
        let (mut tree, positions) = yaml::parse_with_positions(text, subject)?;
        if !tree.is_object() {
            return Err(Error::user(format!("\"{subject}\" is not a network file"))
                .at(Place::new(subject).at(1, 1).note("expected a map"))
                .hint("a network file begins with `apiVersion: kubectl-fabric.io/v1`"));
        }
        let mut problems = Problems::new(subject, tree.clone(), positions);
        shape::check(&mut tree, &Shape::Object(NETWORK), "", &mut problems);
        let document = serde_json::from_value(tree).map_err(|error| {
            Error::internal(format!("the tables of network files miss a case: {error}"))
        })?;
        Ok(Draft {
            subject: subject.to_owned(),
            document,
            problems,
        })
    }

    /// Returns the values files in the file, by their paths.
    pub fn files(&self) -> BTreeSet<&str> {
        let organizations = self.document.organizations.values().map(|org| &org.release);
        let releases = organizations.chain(self.document.kafka.values());
        let files = releases.flat_map(|release| &release.values_files);
        let of_chaincodes = self.document.chaincodes.values();
        files
            .chain(of_chaincodes.flat_map(|chaincode| &chaincode.values_files))
            .map(String::as_str)
            .collect()
    }

    /// Checks the file and fills in every default.
    ///
    /// # Errors
    ///
    /// Returns one error with all problems of the file and their places.
    pub fn finish(mut self, given: &Given) -> Result<Network> {
        let mut network = Network {
            name: self
                .document
                .name
                .clone()
                .unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            suffix: given.suffix.map(str::to_owned),
            organizations: Named::new(),
            kafka: Named::new(),
            brokers: Vec::new(),
            channels: Named::new(),
            chaincodes: Named::new(),
            warnings: Vec::new(),
        };
        let document = std::mem::take(&mut self.document);
        check::versions(&document, &mut self.problems);
        for (name, kafka) in &document.kafka {
            let at = path::key_below("/kafka", name);
            let installation = self.installation(name, kafka, &document, at, given);
            if let Some(member) = self.describe(&installation, given) {
                check::kafka(&installation, &member, &mut self.problems);
                network.brokers.extend(brokers(&installation, &member));
            }
            network.kafka.insert(name.clone(), installation);
        }
        for (name, organization) in &document.organizations {
            let pointer = path::key_below("/organizations", name);
            let release = &organization.release;
            let installation = self.installation(name, release, &document, pointer, given);
            let Some(member) = self.describe(&installation, given) else {
                continue;
            };
            let organization = Organization {
                installation,
                member,
                crypto_config: organization.crypto_config.clone(),
                definition: organization.definition.clone(),
            };
            network.organizations.insert(name.clone(), organization);
        }
        check::organizations(&network, &mut self.problems);
        let known = check::Known::of(&document);
        for (name, written) in &document.channels {
            let channel = channel(name, written, &network);
            check::channel(&channel, &network, &document, &known, &mut self.problems);
            network.channels.insert(name.clone(), channel);
        }
        for (name, chaincode) in &document.chaincodes {
            let chaincode = self.chaincode(name, chaincode, &network, given);
            check::chaincode(&chaincode, &network, &document, &mut self.problems);
            network.chaincodes.insert(name.clone(), chaincode);
        }
        check::dependencies(&network, &mut self.problems);
        if !self.problems.is_empty() {
            return Err(self.problems.into_error());
        }
        network.warnings = check::warnings(&network);
        derive::apply(&mut network);
        Ok(network)
    }

    fn describe(&mut self, installation: &Installation, given: &Given) -> Option<Member> {
        match (given.describe)(installation) {
            Ok(member) => Some(member),
            Err(error) => {
                self.problems.nested(&installation.pointer, &error);
                None
            }
        }
    }

    fn installation(
        &mut self,
        name: &str,
        release: &document::Release,
        document: &Document,
        pointer: String,
        given: &Given,
    ) -> Installation {
        let base = release.namespace.as_deref().unwrap_or(name);
        let namespace = match given.suffix {
            Some(suffix) => format!("{base}-{suffix}"),
            None => base.to_owned(),
        };
        let mut layers = Vec::new();
        if let Some(version) = &document.fabric_version {
            layers.push(self.version(version, "/fabricVersion"));
        }
        layers.extend(self.values(&pointer, &release.values, &release.values_files, given));
        if let Some(version) = &release.fabric_version {
            layers.push(self.version(version, &format!("{pointer}/fabricVersion")));
        }
        Installation {
            release: name.to_owned(),
            namespace,
            chart: release.chart.clone(),
            chart_version: release.chart_version.clone(),
            values: layers.into_iter().fold(no_values(), values::merge),
            pointer,
        }
    }

    fn version(&self, version: &str, pointer: &str) -> Values {
        let place = self.problems.place(pointer);
        let origin = Origin::File {
            name: self.subject.clone(),
            line: place.line.unwrap_or(1),
            column: place.column.unwrap_or(1),
        };
        values::with_origin(json!({ "fabricVersion": version }), origin)
    }

    /// Returns the values of a release: from values files, then from the network file, each with
    /// its place.
    fn values(
        &mut self,
        pointer: &str,
        own: &Map<String, Value>,
        files: &[String],
        given: &Given,
    ) -> Vec<Values> {
        let mut layers = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let at = format!("{pointer}/valuesFiles/{index}");
            let source = |text: &String| Source::File {
                name: file.clone(),
                text: text.clone(),
            };
            let read = match given.files.get(file) {
                Some(Ok(text)) => values::from_sources(vec![source(text)]),
                Some(Err(error)) => Err(error.clone()),
                None => Err(Error::user(format!("file \"{file}\" was not read"))),
            };
            match read {
                Ok(values) => layers.push(values),
                Err(error) => self.problems.nested(&at, &error),
            }
        }
        let origins = self.origins(&format!("{pointer}/values"));
        layers.push(Values {
            tree: Value::Object(own.clone()),
            origins,
        });
        layers
    }

    /// Returns the positions below `pointer` as origins of values.
    fn origins(&self, pointer: &str) -> BTreeMap<String, Vec<Origin>> {
        let positions: &Positions = self.problems.positions();
        let below = positions.iter().filter_map(|(at, (line, column))| {
            let at = at.strip_prefix(pointer)?;
            let origin = Origin::File {
                name: self.subject.clone(),
                line: *line,
                column: *column,
            };
            (at.is_empty() || at.starts_with('/')).then(|| (at.to_owned(), vec![origin]))
        });
        below.collect()
    }

    fn chaincode(
        &mut self,
        name: &str,
        chaincode: &document::Chaincode,
        network: &Network,
        given: &Given,
    ) -> Chaincode {
        let pointer = path::key_below("/chaincodes", name);
        let layers = self.values(&pointer, &chaincode.values, &chaincode.values_files, given);
        let version = chaincode
            .version
            .clone()
            .unwrap_or_else(|| "1.0".to_owned());
        let members = |channel: &String| {
            let all = network
                .channels
                .get(channel)
                .map(|channel| &channel.organizations);
            let all = all
                .map(|all| all.keys().cloned().collect())
                .unwrap_or_default();
            (
                channel.clone(),
                chaincode.organizations.clone().unwrap_or(all),
            )
        };
        let kind = match chaincode.kind.as_deref() {
            Some("k8s") => ChaincodeType::Kubernetes,
            Some("golang") => ChaincodeType::Docker("golang"),
            Some("node") => ChaincodeType::Docker("node"),
            Some("java") => ChaincodeType::Docker("java"),
            _ => ChaincodeType::Service,
        };
        Chaincode {
            name: name.to_owned(),
            kind,
            channels: chaincode.channel.clone(),
            image: chaincode.image.clone(),
            path: chaincode.path.clone(),
            label: chaincode.label.clone().unwrap_or_else(|| match kind {
                // The server's address does not depend on the version, so the package does not
                // either.
                ChaincodeType::Service => name.to_owned(),
                _ => format!("{name}_{version}"),
            }),
            version,
            organizations: chaincode.channel.iter().map(members).collect(),
            policy: chaincode.policy.clone(),
            init_required: chaincode.init_required,
            init: chaincode.init.clone(),
            collections: chaincode.collections.clone(),
            indexes: chaincode.indexes.clone(),
            endorsement_plugin: chaincode.endorsement_plugin.clone(),
            validation_plugin: chaincode.validation_plugin.clone(),
            depends_on: chaincode.depends_on.clone(),
            release: chaincode.release.clone().unwrap_or_else(|| name.to_owned()),
            chart_version: chaincode.chart_version.clone(),
            values: layers.into_iter().fold(no_values(), values::merge),
        }
    }
}

/// The addresses of a Kafka cluster's brokers.
fn brokers(installation: &Installation, member: &Member) -> Vec<String> {
    let address = |node: &String| format!("{node}.{}:{KAFKA_PORT}", installation.namespace);
    member.nodes.iter().map(address).collect()
}

fn no_values() -> Values {
    Values {
        tree: Value::Object(Map::new()),
        origins: BTreeMap::new(),
    }
}
