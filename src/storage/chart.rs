//! Stores charts from outside next to the records, once per digest.

use super::codec::{self, CHUNK};
use super::part_name;
use super::parts::{binary, other_parts};
use super::write::{holder, put};
use crate::chart::{Chart, Files, Origin};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::manifest::ObjectKey;
use crate::release::Summary;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

fn chart_name(release: &str, digest: &str) -> String {
    format!(
        "kubectl-fabric.chart.{release}.{}",
        digest.get(..16).unwrap_or(digest)
    )
}

/// Stores a chart from outside, once per digest, so that a later upgrade can use it. `is_there`
/// says that an earlier revision has stored it.
pub async fn keep_chart(
    cluster: &Cluster,
    summary: &Summary,
    chart: &Chart,
    is_there: bool,
) -> Result<()> {
    let name = chart_name(&summary.release, &chart.digest);
    let files: Map<String, Value> = chart
        .files
        .iter()
        .map(|(path, bytes)| (path.clone(), json!(BASE64_STANDARD.encode(bytes))))
        .collect();
    let bytes = codec::pack(&files);
    let parts = codec::chunks(&bytes, CHUNK);
    for (index, part) in parts.iter().enumerate().rev() {
        let body = holder(
            summary,
            "ConfigMap",
            &part_name(&name, index + 1),
            "chart",
            part,
            parts.len(),
        );
        put(cluster, &body, is_there).await?;
    }
    Ok(())
}

/// Reads a chart that [`keep_chart`] stored. Returns `None` if there is none with this digest.
pub async fn kept_chart(
    cluster: &Cluster,
    namespace: &str,
    release: &str,
    digest: &str,
) -> Result<Option<Chart>> {
    let name = chart_name(release, digest);
    let Some(body) = cluster
        .get(
            "v1",
            &ObjectKey::core("ConfigMap", namespace, name.as_str()),
        )
        .await?
    else {
        return Ok(None);
    };
    let mut bytes = binary(&body, "release")?;
    bytes.extend(other_parts(cluster, "ConfigMap", namespace, &name, &body).await?);
    let files: BTreeMap<String, String> = codec::unpack(&bytes)?;
    let files: Files = files
        .into_iter()
        .map(|(path, text)| {
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|_| Error::user(format!("the stored chart {name} is damaged")))?;
            Ok((path, bytes))
        })
        .collect::<Result<_>>()?;
    let chart = Chart::from_files(files, Origin::Stored, &name)?;
    if chart.digest != digest {
        return Err(Error::user(format!("the stored chart {name} is damaged"))
            .why("its digest differs from the recorded one"));
    }
    Ok(Some(chart))
}
