//! Shows nodes as a table and as documents.

use super::{Nodes, Row};
use crate::commands::arguments::Format;
use crate::commands::status::certificates;
use crate::commands::status::resources::{ObjectState, name_in};
use crate::terminal::{GREEN, Table, Text, YELLOW, table::Cell, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// `fabric-peer:2.5.16`, without the registry and the digest.
fn short(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    image.rsplit_once('/').map_or(image, |(_, name)| name)
}

impl Row {
    fn reason(&self) -> String {
        let parts = [
            self.state.reason(),
            self.outdated.as_deref().unwrap_or_default(),
        ];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Everything that is shown, except the age.
    pub fn shown(&self) -> String {
        format!("{self:?}")
    }

    /// The cells under [`HEADERS`].
    fn cells(&self, namespace: &str, now: Timestamp, wide: bool) -> Vec<Cell> {
        let style = match &self.state {
            ObjectState::Ready if self.outdated.is_none() => GREEN,
            ObjectState::Ready => YELLOW,
            state => state.style(),
        };
        let ready = match self.state {
            ObjectState::Missing | ObjectState::Unknown(_) => self.state.word().to_owned(),
            _ => format!("{}/{}", self.ready.0, self.ready.1),
        };
        let address = self
            .address
            .iter()
            .chain(&self.external)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let volumes = self
            .volumes
            .iter()
            .map(|(_, size)| size.as_deref().unwrap_or("pending"))
            .collect::<Vec<_>>()
            .join("+");
        let shown = |image: &String| {
            if wide {
                image.clone()
            } else {
                short(image).to_owned()
            }
        };
        let mut cells: Vec<Cell> = vec![
            name_in(&self.key, namespace).into(),
            Cell::styled(ready, style),
            self.restarts.to_string().into(),
            self.images
                .iter()
                .map(shown)
                .collect::<Vec<_>>()
                .join(", ")
                .into(),
            address.into(),
            volumes.into(),
            self.certificate_ends
                .map(|end| certificates::cell(end, now))
                .unwrap_or_default(),
            self.created
                .map(|created| time::age(created, now))
                .unwrap_or_default()
                .into(),
            self.reason().into(),
        ];
        if wide {
            cells.insert(
                cells.len() - 1,
                self.machine.as_deref().unwrap_or_default().into(),
            );
        }
        cells
    }

    fn document(&self) -> Value {
        json!({
            "name": self.key.name,
            "namespace": self.key.namespace,
            "kind": self.workload.kind,
            "of": self.workload.name,
            "ready": self.state.word(),
            "containersReady": self.ready.0,
            "containers": self.ready.1,
            "machine": self.machine,
            "restarts": self.restarts,
            "reason": self.reason(),
            "images": self.images,
            "address": self.address,
            "externalAddress": self.external,
            "volumes": self.volumes.iter().map(|(claim, size)| json!({"claim": claim, "size": size})).collect::<Vec<_>>(),
            "certificateEnds": self.certificate_ends.map(time::rfc3339),
            "created": self.created.map(time::rfc3339),
        })
    }
}

const HEADERS: [&str; 9] = [
    "NODE",
    "READY",
    "RESTARTS",
    "IMAGE",
    "ADDRESS",
    "VOLUME",
    "CERTIFICATE ENDS",
    "AGE",
    "REASON",
];

/// `-o wide`: full names of images, and the machine.
const WIDE: [&str; 10] = [
    "NODE",
    "READY",
    "RESTARTS",
    "IMAGE",
    "ADDRESS",
    "VOLUME",
    "CERTIFICATE ENDS",
    "AGE",
    "MACHINE",
    "REASON",
];

fn table<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    namespace: &str,
    now: Timestamp,
    format: Format,
) -> Table {
    let wide = format == Format::Wide;
    let mut table = Table::of(if wide { &WIDE } else { &HEADERS });
    rows.into_iter()
        .for_each(|row| table.row(row.cells(namespace, now, wide)));
    table
}

pub fn text(nodes: &Nodes, namespace: &str, now: Timestamp, format: Format) -> Text {
    if nodes.rows.is_empty() {
        return "NODES: none\n".into();
    }
    let mut text = Text::from("NODES:\n");
    text.append(&table(&nodes.rows, namespace, now, format).text());
    text
}

/// Rows that changed, as `--watch` shows them.
pub fn changes<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    namespace: &str,
    now: Timestamp,
    format: Format,
) -> Text {
    table(rows, namespace, now, format).text_without_headers()
}

pub fn document(nodes: &Nodes) -> Value {
    Value::Array(nodes.rows.iter().map(Row::document).collect())
}
