//! Sizes of volumes before a rollback.

use super::Claims;
use crate::deploy::Context;
use crate::deploy::intent::Operation;
use crate::deploy::past::Past;
use crate::deploy::resolve::Target;
use crate::error::Result;
use crate::manifest::claims::{Set, Template};
use crate::manifest::{ObjectKey, quantity};
use crate::plan::volumes::larger;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Before a rollback: keeps the size of volumes that have grown, because they cannot shrink.
pub(in crate::deploy) async fn keep_sizes(
    context: &Context<'_>,
    past: &Past,
    target: &mut Target,
    claims: &mut Claims,
) -> Result<()> {
    if target.operation != Operation::Rollback {
        return Ok(());
    }
    let recorded = |set: &Set, template: &Template| {
        let sets = past.sets.iter().filter(|before| before.key == set.key);
        let mut sizes = sets.filter_map(|before| before.template(&template.name)?.size());
        sizes
            .find(|size| is_less(template.size(), size))
            .map(str::to_owned)
    };
    let shrinks = target.manifest.sets.iter().flat_map(|set| {
        let shrunk = set
            .templates
            .iter()
            .filter_map(|template| Some((template, recorded(set, template)?)));
        shrunk.map(|(template, size)| (set.key.clone(), template.clone(), size))
    });
    let shrinks: Vec<(ObjectKey, Template, String)> = shrinks.collect();
    if shrinks.is_empty() {
        return Ok(());
    }
    let live = claims.read(context).await?;
    let mut kept: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for (key, template, recorded) in shrinks {
        let size = match live {
            Some(claims) => larger(&template, &key.name, claims).map(str::to_owned),
            None => Some(recorded),
        };
        let Some(size) = size else { continue };
        resize(target, &key, &template.name, &size);
        let before = template.size().unwrap_or_default().to_owned();
        kept.entry((template.name, size, before))
            .or_default()
            .push(key.name);
    }
    for ((volume, size, before), sets) in kept {
        target.warnings.push(format!(
            "volume {volume} of {} stays at {size}, although the revision has {before}: a volume \
             cannot shrink; set {size} in the values of the next upgrade",
            sets.join(", ")
        ));
    }
    Ok(())
}

fn is_less(size: Option<&str>, other: &str) -> bool {
    let bytes = quantity::bytes;
    matches!((size.and_then(bytes), bytes(other)), (Some(size), Some(other)) if size < other)
}

fn resize(target: &mut Target, key: &ObjectKey, volume: &str, size: &str) {
    let manifest = &mut target.manifest;
    for object in manifest
        .objects
        .iter_mut()
        .filter(|object| object.key == *key)
    {
        let mut opened = object.open();
        let templates = opened.body["spec"]["volumeClaimTemplates"].as_array_mut();
        for template in templates
            .into_iter()
            .flatten()
            .filter(|template| template["metadata"]["name"] == volume)
        {
            template["spec"]["resources"]["requests"]["storage"] = json!(size);
        }
        manifest
            .sets
            .iter_mut()
            .filter(|set| set.key == *key)
            .for_each(|set| set.templates = Template::all(&opened.body));
        *object = Arc::new(opened.into());
    }
    for node in manifest
        .nodes
        .iter_mut()
        .filter(|node| node.place == key.to_string())
    {
        node.volumes.insert(volume.to_owned(), size.to_owned());
    }
}
