//! What a record remembers for the guards: what a ledger was written by, and what was done that
//! cannot be undone.

use super::Setting;
use crate::chart::Chart;
use crate::fabric::{MODEL, Subject};
use crate::identity::known::Known;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The job that makes a 1.4 peer's databases ready for 2.x.
pub const UPGRADE_DBS: &str = "upgrade-dbs";

/// Guard facts of one revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// What the chart models; nothing is guarded without it.
    pub model: Option<String>,
    pub fabric_version: Option<String>,
    /// `etcdraft`, `kafka` or `BFT`, of an ordering organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consensus: Option<String>,
    /// `goleveldb` or `CouchDB`, of a peer organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_database: Option<String>,
    /// What the organization is called, and whom its nodes trust; none for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msp_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// Where keys and certificates come from: `program`, `secret`, `nfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crypto: Option<String>,
    /// Of a peer's databases: `""` for 1.x, `"2.0"` since
    /// (`common/ledger/dataformat/dataformats.go`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_format: Option<String>,
    /// Highest capability level of any channel, by group (`channel`, `orderer`, `application`), as
    /// far as known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capabilities: BTreeMap<String, String>,
    /// One-shot jobs that the release has behind it.
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
    /// Facts of a release as it is rendered; `rendered` are the facts that its templates saw.
    pub fn of(chart: &Chart, subject: Subject, rendered: &Value) -> Facts {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = text(&rendered["version"]);
        let is_peer = rendered["peers"].is_array();
        let is_organization = is_peer || rendered["orderers"].is_array();
        let format = |version: &str| if version.starts_with("1.") { "" } else { "2.0" };
        Facts {
            model: chart.metadata.annotations.get(MODEL).cloned(),
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

    /// Reads facts from a record. A record without any has none.
    pub fn read(recorded: &Value) -> Facts {
        serde_json::from_value(recorded.clone()).unwrap_or_default()
    }

    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plain data has a JSON form")
    }

    pub fn version(&self) -> Option<Version> {
        Version::parse(self.fabric_version.as_deref()?).ok()
    }

    /// The values that these facts came from, where `wanted` came from others: as `--set` takes
    /// them.
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

    /// What stays although a rollback to `target` takes the manifests back.
    pub fn stays(&self, target: &Facts) -> Vec<String> {
        let mut stays: Vec<String> = self
            .done
            .iter()
            .filter(|job| !target.done.contains(job))
            .map(|job| format!("{job} was run since"))
            .collect();
        for (group, level) in &self.capabilities {
            if target
                .capabilities
                .get(group)
                .is_some_and(|before| before != level)
            {
                stays.push(format!("the {group} capability rose to {level} since"));
            }
        }
        if let (Some(now), Some(before)) = (&self.consensus, &target.consensus)
            && now != before
        {
            stays.push(format!("consensus went from {before} to {now} since"));
        }
        stays
    }

    /// What is to be recorded when `self` follows `before`, with these rules overridden: what was
    /// done stays done.
    pub fn following(mut self, before: &Facts, forced: &[&str]) -> Facts {
        // Who overrides these rules says that the databases are made ready by hand; a 2.x peer does
        // not start otherwise.
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
