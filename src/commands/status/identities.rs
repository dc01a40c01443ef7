//! When the certificates of a release expire. Only metadata of its identity Secrets is read, never a key.

use crate::cluster::{Cluster, Kind};
use crate::identity;
use crate::manifest::{DOMAIN, annotation};
use crate::terminal::{RED, Table, Text, YELLOW, table::Cell, time};
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};

pub struct Identity {
    name: String,
    not_after: Timestamp,
}

/// A certificate that expires within these days is worth a colour.
const SOON: i64 = 30;

/// The identities whose expiry is known, the first to expire first; none when they may not be read: it is an extra, not the status.
pub async fn of(cluster: &Cluster, namespace: &str, release: &str) -> Vec<Identity> {
    let secrets = Kind { api_version: "v1".to_owned(), kind: "Secret".to_owned() };
    let selector = format!("{}={release}", identity::LABEL);
    let found = cluster.list_metadata(&secrets, Some(namespace), &selector).await.unwrap_or_default();
    let mut identities: Vec<Identity> = found.iter().filter_map(identity).collect();
    identities.sort_by(|a, b| (a.not_after, &a.name).cmp(&(b.not_after, &b.name)));
    identities
}

fn identity(secret: &Value) -> Option<Identity> {
    let not_after = annotation(secret, &format!("{DOMAIN}/not-after"))?.parse().ok()?;
    Some(Identity { name: secret["metadata"]["name"].as_str()?.to_owned(), not_after })
}

pub fn text(identities: &[Identity], now: Timestamp) -> Text {
    if identities.is_empty() {
        return Text::default();
    }
    let mut table = Table::new(["IDENTITY", "EXPIRES", "LEFT"]);
    for identity in identities {
        let days = (identity.not_after.as_second() - now.as_second()) / 86_400;
        let (left, style) = match identity.not_after <= now {
            true => ("expired".to_owned(), RED),
            false if days <= SOON => (time::age(now, identity.not_after), YELLOW),
            false => (format!("{days}d"), Style::new()),
        };
        let day = time::layout(identity.not_after, "2006-01-02");
        table.row([(&identity.name).into(), day.into(), Cell::styled(left, style)]);
    }
    let mut text = Text::from("IDENTITIES:\n");
    text.append(&table.text());
    text
}

pub fn document(identities: &[Identity]) -> Value {
    let identity = |identity: &Identity| json!({ "name": identity.name, "notAfter": identity.not_after.to_string() });
    Value::Array(identities.iter().map(identity).collect())
}
