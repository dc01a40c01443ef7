//! When the certificates of a release expire, and which ones its Secrets hold now. Of a Secret that is read only the certificates' digest is
//! kept.

use crate::cluster::{Cluster, Extent, Kind};
use crate::identity::{self, known};
use crate::manifest::{DOMAIN, annotation};
use crate::storage::RECORD_LABEL;
use crate::terminal::{RED, Table, Text, YELLOW, table::Cell, time};
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the Secrets of a namespace say.
#[derive(Default)]
pub struct Identities {
    /// The release's own whose expiry is known, the first to expire first.
    expiries: Vec<Identity>,
    /// Digests of the certificates in each Secret.
    pub digests: BTreeMap<String, String>,
}

struct Identity {
    name: String,
    not_after: Timestamp,
}

/// A certificate that expires within these days is worth a colour.
const SOON: i64 = 30;

/// None when they may not be read: it is an extra, not the status.
pub async fn of(cluster: &Cluster, namespace: &str, release: &str) -> Identities {
    let secrets = Kind { api_version: "v1".to_owned(), kind: "Secret".to_owned() };
    let release = release.to_owned();
    let add = move |identities: &mut Identities, secret: Value| {
        if secret["metadata"]["labels"][identity::LABEL].as_str() == Some(&release) {
            identities.expiries.extend(self::identity(&secret));
        }
        if let (Some(name), Some(digest)) = (secret["metadata"]["name"].as_str(), known::digest(&secret)) {
            identities.digests.insert(name.to_owned(), digest);
        }
    };
    let selector = format!("!{RECORD_LABEL}");
    let mut found = cluster.list_into(&secrets, Some(namespace), &selector, Extent::Whole, add).await.unwrap_or_default();
    found.expiries.sort_by(|a, b| (a.not_after, &a.name).cmp(&(b.not_after, &b.name)));
    found
}

fn identity(secret: &Value) -> Option<Identity> {
    let not_after = annotation(secret, &format!("{DOMAIN}/not-after"))?.parse().ok()?;
    Some(Identity { name: secret["metadata"]["name"].as_str()?.to_owned(), not_after })
}

pub fn text(Identities { expiries, .. }: &Identities, now: Timestamp) -> Text {
    if expiries.is_empty() {
        return Text::default();
    }
    let mut table = Table::new(["IDENTITY", "EXPIRES", "LEFT"]);
    for identity in expiries {
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

pub fn document(Identities { expiries, .. }: &Identities) -> Value {
    let identity = |identity: &Identity| json!({ "name": identity.name, "notAfter": time::rfc3339(identity.not_after) });
    Value::Array(expiries.iter().map(identity).collect())
}
