//! Charts from outside, kept beside the records once per digest.

use super::codec::{self, CHUNK};
use super::read::{binary, part_bytes, parts};
use super::write::holder;
use super::{key, part_name};
use crate::chart::{Chart, Files, Origin};
use crate::cluster::{Apply, Cluster};
use crate::error::{Error, Result};
use crate::release::Summary;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::try_join_all;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

fn chart_name(release: &str, digest: &str) -> String {
    format!("kubectl-fabric.chart.{release}.{}", &digest[..digest.len().min(16)])
}

/// Keeps a chart from outside beside the records, once per digest, so that an upgrade finds it again.
pub async fn keep_chart(cluster: &Cluster, summary: &Summary, chart: &Chart) -> Result<()> {
    let name = chart_name(&summary.release, &chart.digest);
    let files: Map<String, Value> =
        chart.files.iter().map(|(path, bytes)| (path.clone(), json!(BASE64_STANDARD.encode(bytes)))).collect();
    let bytes = codec::pack(&files);
    let parts = codec::chunks(&bytes, CHUNK);
    let how = Apply { dry_run: false, force: true };
    for (index, part) in parts.iter().enumerate().rev() {
        let body = holder(summary, "ConfigMap", &part_name(&name, index + 1), "chart", part, parts.len());
        cluster.apply(&body, how).await?;
    }
    Ok(())
}

/// Reads a chart that [`keep_chart`] kept. `None` when there is none of this digest.
pub async fn kept_chart(cluster: &Cluster, namespace: &str, release: &str, digest: &str) -> Result<Option<Chart>> {
    let name = chart_name(release, digest);
    let Some(body) = cluster.get("v1", &key("ConfigMap", namespace, &name)).await? else { return Ok(None) };
    let mut bytes = binary(&body, "release")?;
    let parts = parts(&body)?;
    let rest = try_join_all((2..=parts).map(|part| part_bytes(cluster, "ConfigMap", namespace, part_name(&name, part))));
    bytes.extend(rest.await?.concat());
    let files: BTreeMap<String, String> = codec::unpack(&bytes)?;
    let files: Files = files
        .into_iter()
        .map(|(path, text)| {
            let bytes = BASE64_STANDARD.decode(text).map_err(|_| Error::user(format!("the stored chart {name} is damaged")))?;
            Ok((path, bytes))
        })
        .collect::<Result<_>>()?;
    Chart::from_files(files, Origin::Stored, &name).map(Some)
}
