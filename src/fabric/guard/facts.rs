//! The facts for the guards in a record: what wrote a ledger, and which steps cannot be undone.

use super::Setting;
use crate::chart::Chart;
use crate::fabric::{MODEL, Model, Subject};
use crate::identity::known::Known;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The job that prepares a 1.4 peer's databases for 2.x.
pub const UPGRADE_DBS: &str = "upgrade-dbs";

/// The guard facts of a revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// The model of the chart. Without a model there are no guards.
    pub model: Option<String>,
    pub fabric_version: Option<String>,
    /// For an orderer organization: `etcdraft`, `kafka` or `BFT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consensus: Option<String>,
    /// For a peer organization: `goleveldb` or `CouchDB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_database: Option<String>,
    /// The organization's MSP ID. `None` for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msp_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// Source of keys and certificates: `program`, `secret`, `nfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crypto: Option<String>,
    /// Format of a peer's databases: `""` for 1.x, `"2.0"` since
    /// (`common/ledger/dataformat/dataformats.go`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_format: Option<String>,
    /// Highest known capability level of any channel, by group (`channel`, `orderer`,
    /// `application`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, String>,
    /// One-time jobs that have been done for the release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Rules that this revision overrode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<String>,
    /// The certificates with which the release's pods were rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<Known>,
}

impl Facts {
    /// Returns the facts of a release at rendering. `rendered` are the facts that its templates
    /// used.
    pub fn of(chart: &Chart, subject: Subject, rendered: &Value) -> Facts {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = text(&rendered["version"]);
        let is_peer = rendered["peers"].is_array();
        let is_organization = is_peer || rendered["orderers"].is_array();
        let format = |version: &str| if version.starts_with("1.") { "" } else { "2.0" };
        Facts {
            // A chaincode server is not a Fabric node: it has no Fabric version, ledger or
            // identity.
            model: chart
                .metadata
                .annotations
                .get(MODEL)
                .filter(|_| subject.model != Some(Model::Chaincode))
                .cloned(),
            consensus: text(&rendered["consensus"]),
            msp_id: text(&rendered["msp_id"]).filter(|_| is_organization),
            domain: text(&rendered["domain"]).filter(|_| is_organization),
            tls: is_organization.then(|| subject.settings().flag("/tls/enabled", true)),
            crypto: text(&rendered["crypto"]["source"]),
            state_database: subject
                .settings()
                .get("/peers/stateDatabase")
                .filter(|_| is_peer)
                .and_then(text),
            data_format: version
                .as_deref()
                .filter(|_| is_peer)
                .map(|version| format(version).to_owned()),
            fabric_version: version,
            ..Facts::default()
        }
    }

    /// Reads the facts from a record, or empty facts if it has none.
    pub fn read(recorded: &Value) -> Facts {
        serde_json::from_value(recorded.clone()).unwrap_or_default()
    }

    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plain data has a JSON form")
    }

    pub fn version(&self) -> Option<Version> {
        Version::parse(self.fabric_version.as_deref()?).ok()
    }

    /// Returns the values of these facts that `wanted` changes, in the syntax of `--set`.
    pub fn offer(&self, wanted: &Facts) -> Option<String> {
        let values = [
            (
                "fabricVersion",
                self.fabric_version.clone(),
                wanted.fabric_version.clone(),
            ),
            (
                "peers.stateDatabase",
                self.state_database.clone(),
                wanted.state_database.clone(),
            ),
        ];
        let settings = [
            Setting::MspId,
            Setting::Domain,
            Setting::Tls,
            Setting::Consensus,
        ]
        .map(|it| (it.key(), it.of(self), it.of(wanted)));
        let differing = values
            .into_iter()
            .chain(settings)
            .filter(|(_, before, wanted)| before != wanted);
        let values: Vec<String> = differing
            .filter_map(|(name, before, _)| Some(format!("{name}={}", before?)))
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Returns what a rollback to `target` cannot undo.
    pub fn stays(&self, target: &Facts) -> Vec<String> {
        let mut stays: Vec<String> = self
            .done
            .iter()
            .filter(|job| !target.done.contains(job))
            .map(|job| format!("{job} has run since"))
            .collect();
        for (group, level) in &self.capabilities {
            if target
                .capabilities
                .get(group)
                .is_some_and(|before| before != level)
            {
                stays.push(format!(
                    "the {group} capability has been raised to {level} since"
                ));
            }
        }
        if let (Some(now), Some(before)) = (&self.consensus, &target.consensus)
            && now != before
        {
            stays.push(format!(
                "consensus has changed from {before} to {now} since"
            ));
        }
        stays
    }

    /// Returns the facts to record when `self` follows `before` with these rules overridden.
    /// Completed steps stay completed.
    pub fn following(mut self, before: &Facts, forced: &[&str]) -> Facts {
        // Overriding these rules means that the user has prepared the databases by hand. Otherwise
        // a 2.x peer does not start.
        let by_hand = forced
            .iter()
            .any(|rule| matches!(*rule, "U04" | "U05"))
            .then(|| UPGRADE_DBS.to_owned());
        for job in before.done.iter().cloned().chain(by_hand) {
            if !self.done.contains(&job) {
                self.done.push(job);
            }
        }
        self.capabilities.extend(before.capabilities.clone());
        self.forced = forced.iter().map(|rule| (*rule).to_owned()).collect();
        self
    }
}
