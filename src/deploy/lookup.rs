//! Renders the chart of an operation with the results of its templates' lookups in the cluster.

use super::Context;
use super::intent::Operation;
use crate::chart::{Chart, Origin};
use crate::cluster::Kind;
use crate::compose::Composition;
use crate::error::{Error, Result};
use crate::manifest::{Object, ObjectKey};
use crate::render::{self, Capabilities, Hashing};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// apiVersion, kind, namespace and name of a lookup.
type Question = (String, String, String, String);
type Answers = BTreeMap<Question, Value>;

/// Renders, and renders again with the results if templates looked something up. Rendering itself
/// does no I/O.
///
/// # Errors
///
/// Fails if rendering fails, or if a kept chart looks up objects outside of the release's
/// namespace.
pub async fn render_chart<T: Send + Sync>(
    context: &Context<'_>,
    chart: &Chart,
    composition: &Composition<'_>,
    operation: Operation,
    revision: u32,
    hashing: Hashing,
    each: impl Fn(Object) -> T + Sync,
) -> Result<render::Output<T>> {
    let asks_for_kinds = chart.files.iter().any(|(path, bytes)| {
        path.starts_with("templates/")
            && bytes
                .windows(b"capabilities".len())
                .any(|window| window == b"capabilities")
    });
    let kube_version = context.cluster.version().await?;
    let api_versions = if asks_for_kinds {
        context.cluster.api_versions().await?
    } else {
        Vec::new()
    };
    let answers: Arc<Mutex<Answers>> = Arc::default();
    // Each round may add lookups that depend on previous results. A chart that needs many rounds is
    // broken.
    for _ in 0..10 {
        let asked: Arc<Mutex<BTreeSet<Question>>> = Arc::default();
        let lookup = {
            let (answers, asked) = (answers.clone(), asked.clone());
            move |api_version: &str, kind: &str, namespace: &str, name: &str| {
                let question = (
                    api_version.to_owned(),
                    kind.to_owned(),
                    namespace.to_owned(),
                    name.to_owned(),
                );
                let answer = answers
                    .lock()
                    .expect("nothing panics while it holds the answers")
                    .get(&question)
                    .cloned();
                if answer.is_none() {
                    asked
                        .lock()
                        .expect("nothing panics while it holds the questions")
                        .insert(question);
                }
                Ok(answer.unwrap_or_else(|| json!({})))
            }
        };
        let capabilities = Capabilities {
            kube_version: kube_version.clone(),
            api_versions: api_versions.clone(),
        };
        let is_upgrade = operation == Operation::Upgrade;
        let input = composition.input(revision, is_upgrade, capabilities, Some(Arc::new(lookup)));
        let input = render::Input {
            hashing: hashing.clone(),
            ..input
        };
        let output = render::render_into(&input, &each);
        let asked = std::mem::take(
            &mut *asked
                .lock()
                .expect("nothing panics while it holds the questions"),
        );
        if asked.is_empty() {
            return output;
        }
        for question in asked {
            if chart.origin == Origin::Stored {
                confine(context, chart, &question).await?;
            }
            let answer = look_up(context, &question).await?;
            answers
                .lock()
                .expect("nothing panics while it holds the answers")
                .insert(question, answer);
        }
    }
    Err(Error::user(format!(
        "chart {} makes too many rounds of lookups",
        chart.name_version()
    )))
}

/// Limits a kept chart's lookups to the release's namespace.
///
/// Users with write access to the namespace can change the chart, and would otherwise read with the
/// caller's rights.
async fn confine(
    context: &Context<'_>,
    chart: &Chart,
    (api_version, kind, namespace, name): &Question,
) -> Result<()> {
    let of = Kind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    };
    let is_namespaced = context.cluster.is_namespaced(&of).await?;
    if is_namespaced && *namespace == context.namespace {
        return Ok(());
    }
    let objects = match name.is_empty() {
        true => format!("objects of kind {kind}"),
        false => format!("{kind} \"{name}\""),
    };
    let place = match (is_namespaced, namespace.as_str()) {
        (true, "") => "in all namespaces".to_owned(),
        (true, namespace) => format!("in namespace \"{namespace}\""),
        (false, _) => "in the whole cluster".to_owned(),
    };
    Err(Error::refused(format!("the kept chart {} cannot look up {objects} {place}", chart.name_version()))
        .why(format!("a chart kept with the release can only look up objects in namespace \"{}\"", context.namespace))
        .why("anyone with write access to ConfigMaps there can change it, and would read with your permissions")
        .hint("review the chart, then pass its folder or archive with --chart to allow all lookups"))
}

async fn look_up(
    context: &Context<'_>,
    (api_version, kind, namespace, name): &Question,
) -> Result<Value> {
    let of = Kind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    };
    let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
    if name.is_empty() {
        let items = context.cluster.list(&of, namespace, "").await?;
        return Ok(
            json!({"apiVersion": api_version, "kind": format!("{kind}List"), "items": items}),
        );
    }
    let group = api_version
        .split_once('/')
        .map_or("", |(group, _)| group)
        .to_owned();
    let key = ObjectKey {
        group,
        kind: kind.clone(),
        namespace: namespace.map(str::to_owned),
        name: name.clone(),
    };
    Ok(context
        .cluster
        .get(api_version, &key)
        .await?
        .unwrap_or_else(|| json!({})))
}
