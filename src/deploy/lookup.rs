//! Renders the chart of an operation with the results of its templates' lookups in the cluster.

use super::Context;
use crate::chart::{Chart, Origin};
use crate::cluster::Kind;
use crate::compose::Composition;
use crate::error::{Error, Result};
use crate::manifest::{Object, ObjectKey};
use crate::render::{self, Capabilities, Hashing};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// apiVersion, kind, namespace and name of a lookup.
type Question = (String, String, String, String);
type Answers = BTreeMap<Question, Value>;

/// The results of lookups, and the lookups without a result yet.
#[derive(Default)]
struct Lookups {
    answers: Answers,
    open: BTreeSet<Question>,
}

impl Lookups {
    /// Returns the result of a lookup. Without one, notes it and returns an empty object.
    fn answer(&mut self, question: Question) -> Value {
        match self.answers.get(&question) {
            Some(answer) => answer.clone(),
            None => {
                self.open.insert(question);
                json!({})
            }
        }
    }
}

fn lock(lookups: &Mutex<Lookups>) -> MutexGuard<'_, Lookups> {
    let unharmed = "nothing panics while it holds the lookups";
    lookups.lock().expect(unharmed)
}

/// A chart to render with its values.
pub(super) struct Rendering<'a> {
    pub context: &'a Context<'a>,
    pub chart: &'a Chart,
    pub composition: &'a Composition<'a>,
    pub is_upgrade: bool,
    pub revision: u32,
}

impl Rendering<'_> {
    /// Renders, and renders again with the results if templates looked something up. Rendering
    /// itself does no I/O.
    ///
    /// # Errors
    ///
    /// Fails if rendering fails, or if a kept chart looks up objects outside of the release's
    /// namespace.
    pub async fn run<T: Send + Sync>(
        &self,
        hashing: Hashing,
        each: impl Fn(Object) -> T + Sync,
    ) -> Result<render::Output<T>> {
        let capabilities = self.capabilities().await?;
        let lookups: Arc<Mutex<Lookups>> = Arc::default();
        // Each round may add lookups that depend on previous results. A chart that needs many
        // rounds is broken.
        for _ in 0..10 {
            let output = {
                let shared = lookups.clone();
                let lookup = move |api_version: &str, kind: &str, namespace: &str, name: &str| {
                    let [api_version, kind, namespace, name] =
                        [api_version, kind, namespace, name].map(str::to_owned);
                    Ok(lock(&shared).answer((api_version, kind, namespace, name)))
                };
                let input = self.composition.input(
                    self.revision,
                    self.is_upgrade,
                    capabilities.clone(),
                    Some(Arc::new(lookup)),
                );
                let input = render::Input {
                    hashing: hashing.clone(),
                    ..input
                };
                render::render_into(&input, &each)
            };
            let open = std::mem::take(&mut lock(&lookups).open);
            if open.is_empty() {
                return output;
            }
            for question in open {
                if self.chart.origin == Origin::Stored {
                    confine(self.context, self.chart, &question).await?;
                }
                let answer = look_up(self.context, &question).await?;
                lock(&lookups).answers.insert(question, answer);
            }
        }
        Err(Error::user(format!(
            "chart {} makes too many rounds of lookups",
            self.chart.name_version()
        )))
    }

    /// Returns the server's version, and its kinds if the chart asks for them.
    async fn capabilities(&self) -> Result<Capabilities> {
        let word = b"capabilities";
        let mut files = self.chart.files.iter();
        let asks_for_kinds = files.any(|(path, bytes)| {
            path.starts_with("templates/") && bytes.windows(word.len()).any(|text| text == word)
        });
        let cluster = self.context.cluster;
        Ok(Capabilities {
            kube_version: cluster.version().await?,
            api_versions: match asks_for_kinds {
                true => cluster.api_versions().await?,
                false => Vec::new(),
            },
        })
    }
}

/// Limits a kept chart's lookups to the release's namespace.
///
/// Users with write access to the namespace can change the chart, and would otherwise read with the
/// caller's permissions.
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
