//! Claims that differ from their templates.

use super::Claims;
use crate::deploy::Context;
use crate::error::Result;
use crate::manifest::claims::{self, Set, Template};
use crate::manifest::{ObjectKey, quantity};
use crate::plan::{self, Action, Plan, Step};
use serde_json::{Value, json};

/// Adds claims that differ from their templates to a plan of `drift`.
pub(in crate::deploy) async fn drift(
    context: &Context<'_>,
    sets: &[Set],
    plan: &mut Plan,
) -> Result<()> {
    if sets.iter().all(|set| set.templates.is_empty()) {
        return Ok(());
    }
    let mut claims = Claims::default();
    let Some(claims) = claims.read(context).await? else {
        context.warn("no permission to list volume claims, so their sizes could not be checked");
        return Ok(());
    };
    for set in sets {
        for template in &set.templates {
            let made = claims
                .iter()
                .filter(|claim| template.made(&set.key.name, claims::name(claim)));
            plan.steps
                .extend(made.filter_map(|claim| drifted(set, template, claim)));
        }
    }
    Ok(())
}

fn drifted(set: &Set, template: &Template, claim: &Value) -> Option<Step> {
    let mut after = claim.clone();
    let bytes = |spec: &Value| claims::size(spec).and_then(quantity::bytes);
    let spec = template.spec();
    let (wanted, live) = (bytes(&spec), bytes(&claim["spec"]));
    let mut whys = Vec::new();
    if let (Some(wanted), Some(live), Some(size)) = (wanted, live, template.size())
        && wanted != live
    {
        after["spec"]["resources"]["requests"]["storage"] = json!(size);
        whys.push(match wanted > live {
            true => format!(
                "`upgrade --recreate StatefulSet/{}` expands it",
                set.key.name
            ),
            false => "a volume cannot shrink: set this size in the values".to_owned(),
        });
    }
    for field in ["storageClassName", "accessModes", "volumeMode"] {
        if !spec[field].is_null() && spec[field] != claim["spec"][field] {
            after["spec"][field] = spec[field].clone();
            whys.push(format!("a claim keeps its {field}"));
        }
    }
    let mut live = claim.clone();
    [&mut live, &mut after]
        .into_iter()
        .for_each(plan::compare::forget_managed_fields);
    (!whys.is_empty()).then(|| Step {
        key: ObjectKey {
            group: String::new(),
            kind: "PersistentVolumeClaim".to_owned(),
            namespace: set.key.namespace.clone(),
            name: claims::name(claim).to_owned(),
        },
        api_version: "v1".to_owned(),
        action: Action::Change,
        wanted: None,
        live: Some(live),
        after: Some(after),
        why: whys.join("; "),
        volumes: None,
        theirs: Vec::new(),
    })
}
