//! When the certificates of a release expire: those in the Secrets now, and those that pods run
//! with, which can be older.

use crate::cluster::{ApiError, Cluster, Extent, Kind};
use crate::identity::{self, known, known::Known};
use crate::storage::RECORD_LABEL;
use crate::terminal::{RED, Table, Text, YELLOW, table::Cell, time};
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The certificates in the Secrets of a namespace. Nothing else of a Secret is kept in memory.
#[derive(Default)]
pub struct Secrets {
    by_name: BTreeMap<String, Secret>,
    is_unread: bool,
}

struct Secret {
    digest: Option<String>,
    ends: Option<Timestamp>,
    /// Whether the Secret is an identity of the release.
    is_own: bool,
}

/// A certificate that expires within these days gets a colour and its own line.
const SOON: i64 = 30;

/// Reads the Secrets of a namespace.
pub async fn read(cluster: &Cluster, namespace: &str, release: &str) -> Result<Secrets, ApiError> {
    let kind = Kind {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
    };
    let release = release.to_owned();
    let add = move |secrets: &mut Secrets, secret: Value| {
        let Some(name) = secret["metadata"]["name"].as_str() else {
            return;
        };
        let is_own = secret["metadata"]["labels"][identity::LABEL].as_str() == Some(&release);
        let (digest, ends) = (known::digest(&secret), known::end(&secret));
        secrets.by_name.insert(
            name.to_owned(),
            Secret {
                digest,
                ends,
                is_own,
            },
        );
    };
    cluster
        .list_into(
            &kind,
            Some(namespace),
            &format!("!{RECORD_LABEL}"),
            Extent::Whole,
            add,
        )
        .await
}

impl Secrets {
    /// The Secrets that the user may not read.
    pub fn unread() -> Secrets {
        Secrets {
            is_unread: true,
            ..Secrets::default()
        }
    }

    /// Digests of the certificates that these Secrets hold now.
    pub fn digests(&self) -> BTreeMap<String, String> {
        let digest =
            |(name, secret): (&String, &Secret)| Some((name.clone(), secret.digest.clone()?));
        self.by_name.iter().filter_map(digest).collect()
    }

    /// When the first certificate of a pod expires, by the pod's mark. `None` for a pod without
    /// certificates, and for an older certificate that is no longer known.
    pub fn end_in_use(&self, known: &Known, mark: &str) -> Option<Timestamp> {
        let mut first = None;
        for (name, digest) in known::parts(mark) {
            let now = self.by_name.get(name);
            let current = now
                .filter(|secret| secret.digest.as_deref() == Some(digest))
                .and_then(|secret| secret.ends);
            let end = match current.or_else(|| known.ends.get(digest).copied()) {
                Some(end) => end,
                // A password, which does not expire.
                None if self.is_unread || now.is_some_and(|secret| secret.digest.is_none()) => {
                    continue;
                }
                None => return None,
            };
            first = Some(first.map_or(end, |first: Timestamp| first.min(end)));
        }
        first
    }

    /// The Secrets of the release, and others that its pods read, with a known expiry; the first to
    /// expire comes first.
    fn own(&self, read: &BTreeSet<&str>) -> Vec<(Timestamp, &str)> {
        let own = self
            .by_name
            .iter()
            .filter(|(name, secret)| secret.is_own || read.contains(name.as_str()));
        let mut own: Vec<_> = own
            .filter_map(|(name, secret)| Some((secret.ends?, name.as_str())))
            .collect();
        own.sort();
        own
    }
}

/// An expiry as a cell: the date and the time left.
pub fn cell(end: Timestamp, now: Timestamp) -> Cell {
    let (left, style) = left(end, now);
    Cell::styled(format!("{} ({left})", day(end)), style)
}

fn day(time: Timestamp) -> String {
    time::layout(time, "2006-01-02")
}

fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    (end.as_second() - now.as_second()) / 86_400
}

fn left(end: Timestamp, now: Timestamp) -> (String, Style) {
    let days = days_left(end, now);
    match end <= now {
        true => ("expired".to_owned(), RED),
        false if days <= SOON => (time::age(now, end), YELLOW),
        false => (format!("{days}d"), Style::new()),
    }
}

/// One line, and a table of the certificates that expire soon.
pub fn text(secrets: &Secrets, read: &BTreeSet<&str>, now: Timestamp) -> Text {
    let own = secrets.own(read);
    let Some((first, name)) = own.first() else {
        return Text::default();
    };
    let mut text = Text::from("IDENTITIES: ");
    let many = if own.len() == 1 {
        "1 Secret".to_owned()
    } else {
        format!("{} Secrets", own.len())
    };
    let (_, style) = left(*first, now);
    text.push(format!("{many}; the first certificate ends on "));
    text.push_styled(style, format!("{} ({name})", day(*first)));
    text.push("\n");
    let mut table = Table::new(["  IDENTITY", "ENDS"]);
    for (end, name) in own.iter().filter(|(end, _)| days_left(*end, now) <= SOON) {
        table.row([format!("  {name}").into(), cell(*end, now)]);
    }
    if !table.is_empty() {
        text.append(&table.text());
    }
    text
}

pub fn document(secrets: &Secrets, read: &BTreeSet<&str>) -> Value {
    let identity =
        |(end, name): (Timestamp, &str)| json!({ "name": name, "notAfter": time::rfc3339(end) });
    Value::Array(secrets.own(read).into_iter().map(identity).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(list: &[(&str, Option<&str>, Option<&str>)]) -> Secrets {
        let secret = |(name, digest, ends): &(&str, Option<&str>, Option<&str>)| {
            let ends = ends.map(|ends| ends.parse().expect("a time"));
            (
                (*name).to_owned(),
                Secret {
                    digest: digest.map(str::to_owned),
                    ends,
                    is_own: true,
                },
            )
        };
        Secrets {
            by_name: list.iter().map(secret).collect(),
            is_unread: false,
        }
    }

    #[test]
    fn a_pod_is_judged_by_the_certificates_that_it_started_with() {
        let now = secrets(&[
            ("peer0-msp", Some("new"), Some("2028-01-01T00:00:00Z")),
            ("peer0-tls", Some("tls"), Some("2027-06-01T00:00:00Z")),
            ("couchdb", None, None),
        ]);
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let known = Known {
            ends: [("old".to_owned(), "2026-12-01T00:00:00Z".parse().unwrap())].into(),
            ..Known::default()
        };
        let end = |mark: &str| now.end_in_use(&known, mark);
        assert_eq!(
            end("couchdb:keyed,peer0-msp:new,peer0-tls:tls"),
            time("2027-06-01T00:00:00Z")
        );
        assert_eq!(
            end("peer0-msp:old,peer0-tls:tls"),
            time("2026-12-01T00:00:00Z"),
            "the Secret was renewed since"
        );
        assert_eq!(
            end("peer0-msp:older,peer0-tls:tls"),
            None,
            "nothing is known of it"
        );
        assert_eq!(end(""), None);
        let unread = Secrets::unread().end_in_use(&known, "couchdb:keyed,peer0-msp:old");
        assert_eq!(unread, time("2026-12-01T00:00:00Z"), "the record knows it");
    }
}
