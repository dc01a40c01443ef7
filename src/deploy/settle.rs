//! Prepares objects for applying and recording: sets their namespace and the release's marks, and
//! converts them to text.

use super::{Context, identities};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::{Error, Place, Result};
use crate::fabric::guard::{self, Facts};
use crate::identity::known::Known;
use crate::manifest::claims::Set;
use crate::manifest::{
    Hook, Object, ObjectKey, Sealed, TemplateLine, kinds, pod_security, references,
};
use crate::plan::ownership::Owner;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use semver::Version;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects and hooks in the form in which they are applied and recorded.
#[derive(Default)]
pub struct Manifest {
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    /// The nodes that the objects run.
    pub nodes: Vec<guard::Node>,
    /// The StatefulSets among the objects.
    pub sets: Vec<Set>,
    /// Pod Security needs of the pods of objects and hooks.
    pub pod_needs: Vec<pod_security::Need>,
    /// Hooks of kinds that the server does not serve.
    pub unserved_hooks: Vec<ObjectKey>,
    /// ConfigMaps, Secrets and claims of the release's namespace that pods need, by kind and name,
    /// each with the first object that refers to it.
    pub awaited: BTreeMap<(&'static str, String), ObjectKey>,
    /// Network policies that select all pods of the release's namespace.
    pub denials: Vec<ObjectKey>,
    /// The labels by which its other policies select pods there.
    pub selections: Vec<Value>,
}

/// Settings for preparing objects.
pub struct Terms {
    owner: Owner,
    /// The Fabric version in the values.
    version: Option<Version>,
    /// Whether the objects come from a record and already have their namespace.
    recorded: bool,
    /// The certificates that pods read, with which their templates are marked.
    known: Option<Known>,
}

impl Terms {
    /// `guard` are the facts of the revision: its version, and the certificates of its rollout.
    pub fn new(context: &Context<'_>, guard: &Value) -> Terms {
        let owner = context.owner();
        let facts = Facts::read(guard);
        Terms {
            owner,
            version: facts.version(),
            recorded: false,
            known: facts.identities,
        }
    }

    /// Returns the settings for objects of a record.
    pub fn recorded(context: &Context<'_>, guard: &Value) -> Terms {
        Terms {
            recorded: true,
            ..Terms::new(context, guard)
        }
    }

    /// Prepares an object of a known kind, on any thread, without requests.
    pub fn settle(&self, mut object: Object) -> MaybeSettled {
        match kinds::lookup(object.api_version(), &object.key.kind) {
            Some(kind) => {
                self.fit(&mut object, kind.namespaced);
                Ok(self.seal(object))
            }
            None => Err(Box::new(object)),
        }
    }

    fn seal(&self, object: Object) -> Settled {
        let nodes = guard::nodes([&object], self.version.as_ref());
        let is_here = object.key.namespace.as_ref() == Some(&self.owner.namespace);
        let pod = references::pod_of(&object.body).filter(|_| is_here);
        let mut awaited: Vec<_> = pod.map(references::awaited).unwrap_or_default();
        awaited.sort_unstable();
        awaited.dedup();
        let awaited = awaited
            .into_iter()
            .map(|reference| (reference.kind, reference.name.to_owned()))
            .collect();
        let selector = (is_here && object.key.kind == "NetworkPolicy")
            .then(|| &object.body["spec"]["podSelector"]);
        let denies = selector.is_some_and(selects_every_pod);
        let selection = selector
            .filter(|selector| !denies && selector["matchExpressions"].is_null())
            .map(|selector| selector["matchLabels"].clone());
        let set = Set::of(&object.key, &object.body).map(Box::new);
        Settled {
            nodes,
            set,
            pod_needs: self.pod_needs(&object),
            awaited,
            denies,
            selection,
            object: Arc::new(object.into()),
        }
    }

    fn pod_needs(&self, object: &Object) -> Vec<pod_security::Need> {
        match object.key.namespace.as_ref() == Some(&self.owner.namespace) {
            true => pod_security::needs([object]),
            false => Vec::new(),
        }
    }

    /// Prepares an object, and asks the server about its kind if it is unknown.
    ///
    /// Returns false if the kind is not served. The object then counts as namespaced unless its
    /// record says otherwise, and the caller decides how to handle it.
    async fn prepare(&self, context: &Context<'_>, object: &mut Object) -> Result<bool> {
        let kind = Kind {
            api_version: object.api_version().to_owned(),
            kind: object.key.kind.clone(),
        };
        let found = async {
            futures::try_join!(
                context.cluster.is_namespaced(&kind),
                context.cluster.served_version(&kind)
            )
        };
        let (namespaced, served) = match found.await {
            Ok((namespaced, version)) => {
                let is_served = version == kind.api_version;
                // A recorded object moves to the version that the server has now. A rendered object
                // names its version on purpose.
                if !is_served && self.recorded {
                    object.body["apiVersion"] = json!(version);
                }
                (namespaced, is_served || self.recorded)
            }
            Err(error) if error.kind == ApiErrorKind::UnknownKind => {
                (!self.recorded || object.key.namespace.is_some(), false)
            }
            Err(error) => {
                let TemplateLine { template, line } = object.source.clone();
                let place = Place {
                    subject: template,
                    line: Some(line),
                    ..Place::default()
                };
                return Err(Error::from(error).at(place.note(object.key.to_string())));
            }
        };
        self.fit(object, namespaced);
        Ok(served)
    }

    /// Sets the namespace and the release's marks, removes nulls, and converts a Secret to its
    /// stored form.
    ///
    /// Removes the UID as well: the server assigns it, and the plan identifies the object.
    fn fit(&self, object: &mut Object, namespaced: bool) {
        if let Some(metadata) = object.body["metadata"].as_object_mut() {
            metadata.shift_remove("uid");
        }
        match (namespaced, &object.key.namespace) {
            (true, None) => {
                object.body["metadata"]["namespace"] = json!(self.owner.namespace);
                object.key.namespace = Some(self.owner.namespace.clone());
            }
            (false, Some(_)) => {
                if let Some(metadata) = object.body["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
                object.key.namespace = None;
            }
            _ => {}
        }
        self.owner.mark(&mut object.body);
        if let Some(known) = self
            .known
            .as_ref()
            .filter(|_| object.key.namespace.as_ref() == Some(&self.owner.namespace))
        {
            identities::mark(object, known);
        }
        drop_nulls(&mut object.body);
        encode_string_data(&mut object.body);
    }
}

/// A prepared object, or the original if its kind must first be queried from the server.
pub type MaybeSettled = Result<Settled, Box<Object>>;

/// A prepared object as text, with facts that need its tree.
pub struct Settled {
    object: Arc<Sealed>,
    nodes: Vec<guard::Node>,
    /// Boxed, because few objects are StatefulSets, and all are in memory at once.
    set: Option<Box<Set>>,
    pod_needs: Vec<pod_security::Need>,
    awaited: Vec<(&'static str, String)>,
    denies: bool,
    selection: Option<Value>,
}

/// Returns true if a selector has no conditions.
fn selects_every_pod(selector: &Value) -> bool {
    let conditions = [
        selector["matchLabels"].as_object().map(Map::len),
        selector["matchExpressions"].as_array().map(Vec::len),
    ];
    conditions.into_iter().flatten().sum::<usize>() == 0
}

impl Manifest {
    pub async fn of(
        context: &Context<'_>,
        terms: &Terms,
        objects: impl IntoIterator<Item = MaybeSettled>,
        mut hooks: Vec<Hook>,
    ) -> Result<Manifest> {
        let mut manifest = Manifest::default();
        for object in objects {
            let settled = match object {
                Ok(settled) => settled,
                Err(mut object) => {
                    // Whether the kind is served is checked again when the live objects are read.
                    terms.prepare(context, &mut object).await?;
                    terms.seal(*object)
                }
            };
            manifest.nodes.extend(settled.nodes);
            manifest.sets.extend(settled.set.map(|set| *set));
            manifest.pod_needs.extend(settled.pod_needs);
            let key = &settled.object.key;
            for (kind, name) in settled.awaited {
                manifest
                    .awaited
                    .entry((kind, name))
                    .or_insert_with(|| key.clone());
            }
            manifest.denials.extend(settled.denies.then(|| key.clone()));
            manifest.selections.extend(settled.selection);
            manifest.objects.push(settled.object);
        }
        for hook in &mut hooks {
            if !terms.prepare(context, &mut hook.object).await? {
                manifest.unserved_hooks.push(hook.object.key.clone());
            }
            manifest.pod_needs.extend(terms.pod_needs(&hook.object));
        }
        Ok(Manifest { hooks, ..manifest })
    }
}

/// Changes recorded objects to the API versions that the server serves now. Objects of kinds that
/// are not served stay unchanged.
pub async fn in_served_versions(context: &Context<'_>, objects: &mut [Arc<Sealed>]) -> Result<()> {
    for object in objects
        .iter_mut()
        .filter(|object| kinds::lookup(&object.api_version, &object.key.kind).is_none())
    {
        let kind = Kind {
            api_version: object.api_version.clone(),
            kind: object.key.kind.clone(),
        };
        match context.cluster.served_version(&kind).await {
            Ok(version) if version != kind.api_version => {
                let mut opened = object.open();
                opened.body["apiVersion"] = json!(version);
                *object = Arc::new(opened.into());
            }
            Err(error) if error.kind != ApiErrorKind::UnknownKind => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Removes null fields, which mean "none" in a manifest. If they were sent, this program would own
/// them as nulls.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Converts `stringData` to `data`, as the server stores it, so that it can be compared and this
/// program owns its fields.
fn encode_string_data(body: &mut Value) {
    if body["kind"] != "Secret" || body["apiVersion"] != "v1" {
        return;
    }
    let Some(Value::Object(texts)) = body
        .as_object_mut()
        .and_then(|body| body.remove("stringData"))
    else {
        return;
    };
    let mut data = body["data"].as_object().cloned().unwrap_or_else(Map::new);
    for (name, text) in texts {
        let text = text
            .as_str()
            .map_or_else(|| text.to_string(), str::to_owned);
        data.insert(name, json!(BASE64_STANDARD.encode(text)));
    }
    body["data"] = Value::Object(data);
}
