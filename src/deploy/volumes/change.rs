//! Changes claims before their StatefulSet is created again.

use super::patch;
use crate::cluster::Delete;
use crate::deploy::wait::{Awaited, Monitor};
use crate::deploy::{Event, Writer};
use crate::error::{Error, Result};
use crate::plan::volumes::Volumes;

/// Expands the claims. If the operation waits, waits until their volumes have the size.
pub(in crate::deploy) async fn expand(
    writer: &Writer<'_>,
    volumes: &Volumes,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let Writer {
        context, options, ..
    } = writer;
    let mut awaited = Vec::new();
    for expansion in &volumes.expand {
        writer.check()?;
        let patched = context
            .cluster
            .merge_patch("v1", &expansion.claim, &patch(expansion))
            .await;
        let body = patched.map_err(|error| {
            Error::from(error).context(format!(
                "cannot expand {} from {} to {}",
                expansion.claim, expansion.from, expansion.to
            ))
        })?;
        monitor.note(&expansion.claim, &body);
        awaited.push(Awaited::ready(&expansion.claim, "v1"));
        let action = format!("expanded to {}", expansion.to);
        context.progress.event(&Event::Applied {
            action,
            object: expansion.claim.to_string(),
            nodes: None,
        });
    }
    if options.wait {
        monitor.until_ready(&awaited, options.timeout).await
    } else {
        Ok(())
    }
}

/// Deletes the pods that lack a claim, and the claims that were never bound, while there is no
/// StatefulSet.
pub(in crate::deploy) async fn vacate(
    writer: &Writer<'_>,
    volumes: &Volumes,
    monitor: &mut Monitor<'_>,
) -> Result<()> {
    let pods = volumes.restart.iter().map(|pod| (pod, None));
    // A claim that was bound in the meantime has another version, and may hold data.
    let claims = volumes
        .remake
        .iter()
        .map(|claim| (claim, Some(claim.version.clone())));
    for (held, version) in pods.chain(claims) {
        writer.check()?;
        let how = Delete {
            uid: Some(held.uid.clone()),
            resource_version: version,
            ..Delete::default()
        };
        let deleted = writer.context.cluster.delete("v1", &held.key, how).await;
        deleted
            .map_err(|error| Error::from(error).context(format!("cannot delete {}", held.key)))?;
        let gone = Awaited::ready(&held.key, "v1");
        monitor
            .until_gone(&gone, Some(&held.uid), writer.options.timeout)
            .await?;
        let object = held.key.to_string();
        writer.context.progress.event(&Event::Applied {
            action: "deleted, to be recreated".to_owned(),
            object,
            nodes: None,
        });
    }
    Ok(())
}
