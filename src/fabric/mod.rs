//! Hyperledger Fabric's rules: versions and images, names and addresses, settings per line, arithmetic of Kafka and quorums.
//!
//! A template places values; what needs knowledge of Fabric is worked out here and given to templates as `fabric`.

use crate::chart::Chart;
use crate::error::Result;
use crate::identity::Organization;
use serde_json::Value;

/// What kind of thing a chart models; a chart says it by its annotation `kubectl-fabric.io/model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    PeerOrganization,
    OrdererOrganization,
    Kafka,
}

impl Model {
    /// `None` for a chart without the annotation: it gets no `fabric` facts beyond versions and images.
    pub fn of(_chart: &Chart) -> Result<Option<Model>> {
        todo!()
    }
}

/// What one release's rendering and identities are derived from.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub model: Option<Model>,
    pub release: &'a str,
    pub namespace: &'a str,
    /// Coalesced values.
    pub values: &'a Value,
}

/// The `fabric` variable of templates. Breaks of Fabric's own rules (Kafka's arithmetic, versions that do not exist, consensus that a line
/// does not have) are errors, all at once, with the reason.
pub fn facts(_subject: Subject) -> Result<Value> {
    todo!()
}

/// The organization whose nodes need identities, `None` when the chart has none (kafka).
pub fn organization(_subject: Subject) -> Result<Option<Organization>> {
    todo!()
}

/// The default Fabric version for a chart model when neither values nor `--fabric-version` say one.
pub fn checked_version(_version: &str) -> Result<semver::Version> {
    todo!()
}
