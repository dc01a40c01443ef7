//! The result of a command at each node.

use crate::error::{Error, Kind, Place};

/// The result at one node.
#[derive(Clone, Debug)]
pub struct Step {
    /// The release.
    pub organization: String,
    /// `peer0.org1`
    pub node: String,
    pub did: Did,
}

#[derive(Clone, Debug)]
pub enum Did {
    /// It joined the channel in this run.
    Joined,
    /// It had joined before.
    Unchanged,
    Failed(Error),
}

/// The result of a command.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub steps: Vec<Step>,
}

impl Step {
    pub fn new(organization: &str, node: &str, did: Did) -> Step {
        Step {
            organization: organization.to_owned(),
            node: node.to_owned(),
            did,
        }
    }
}

impl Outcome {
    pub fn changed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.did, Did::Joined))
    }

    /// The nodes that failed as one error; `None` without failures. `what` is the summary, such as
    /// `channel "mychannel" is not complete`.
    pub fn error(&self, what: &str) -> Option<Error> {
        let failed = |step: &Step| match &step.did {
            Did::Failed(error) => Some((step.node.clone(), error.clone())),
            Did::Joined | Did::Unchanged => None,
        };
        let failed: Vec<(String, Error)> = self.steps.iter().filter_map(failed).collect();
        let (_, first) = failed.first()?;
        let kind = match failed.iter().all(|(_, error)| error.kind() == Kind::User) {
            true => Kind::User,
            false => Kind::NotReady,
        };
        let note = |error: &Error| {
            let reasons = error.reasons().join(": ");
            match reasons.is_empty() {
                true => error.what().to_owned(),
                false => format!("{}: {reasons}", error.what()),
            }
        };
        let places = failed
            .iter()
            .map(|(node, error)| Place::new(node.clone()).note(note(error)));
        let joined: Vec<&str> = self
            .steps
            .iter()
            .filter(|step| !matches!(step.did, Did::Failed(_)))
            .map(|step| step.node.as_str())
            .collect();
        let now = match joined.is_empty() {
            true => "no nodes have joined".to_owned(),
            false => format!("{} have joined", joined.join(", ")),
        };
        let error = Error::new(kind, what).at_all(places).now(now);
        let error = first
            .hints()
            .iter()
            .fold(error, |error, hint| error.hint(hint.clone()));
        Some(error.hint("fix the cause and run the same command again"))
    }
}
