//! Objects made fit to apply and to record: in their namespace, marked as the release's, as text.

use super::{Context, identities};
use crate::cluster::{ApiErrorKind, Kind};
use crate::error::{Error, Place, Result};
use crate::fabric::guard::{self, Facts};
use crate::identity::known::Known;
use crate::manifest::claims::Set;
use crate::manifest::{Hook, Object, ObjectKey, Sealed, Source, kinds, pod_security, references};
use crate::plan::ownership::Owner;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use semver::Version;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects and hooks as they are applied and recorded.
#[derive(Default)]
pub struct Manifest {
    pub objects: Vec<Arc<Sealed>>,
    pub hooks: Vec<Hook>,
    /// What the objects run.
    pub nodes: Vec<guard::Node>,
    /// The StatefulSets among the objects.
    pub sets: Vec<Set>,
    /// What the pods of objects and hooks need.
    pub pod_needs: Vec<pod_security::Need>,
    /// Hooks of kinds that the server does not serve.
    pub unserved_hooks: Vec<ObjectKey>,
    /// ConfigMaps, Secrets and claims of the release's namespace that pods wait for, by kind and
    /// name, each with the first object that names it.
    pub awaited: BTreeMap<(&'static str, String), ObjectKey>,
    /// The policies that select every pod of the release's namespace.
    pub denials: Vec<ObjectKey>,
}

/// What objects are made fit for.
pub struct Terms {
    owner: Owner,
    /// The Fabric version that the values name.
    version: Option<Version>,
    /// The objects come from a record, so each is in its namespace already.
    recorded: bool,
    /// The certificates that pods read, by which their templates are marked.
    known: Option<Known>,
}

impl Terms {
    /// `guard` are the facts of the revision: its version, and the certificates that it is rolled
    /// out with.
    pub fn new(context: &Context<'_>, guard: &Value) -> Terms {
        let owner = Owner {
            release: context.release.as_str().to_owned(),
            namespace: context.namespace.clone(),
        };
        let facts = Facts::read(guard);
        Terms {
            owner,
            version: facts.version(),
            recorded: false,
            known: facts.identities,
        }
    }

    /// Terms for objects of a record.
    pub fn recorded(context: &Context<'_>, guard: &Value) -> Terms {
        Terms {
            recorded: true,
            ..Terms::new(context, guard)
        }
    }

    /// Makes an object of a known kind fit to apply, wherever it is made: this asks nobody.
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
        let denies = is_here
            && object.key.kind == "NetworkPolicy"
            && selects_every_pod(&object.body["spec"]["podSelector"]);
        let set = Set::of(&object.key, &object.body).map(Box::new);
        Settled {
            nodes,
            set,
            pod_needs: self.pod_needs(&object),
            awaited,
            denies,
            object: Arc::new(object.into()),
        }
    }

    fn pod_needs(&self, object: &Object) -> Vec<pod_security::Need> {
        match object.key.namespace.as_ref() == Some(&self.owner.namespace) {
            true => pod_security::needs([object]),
            false => Vec::new(),
        }
    }

    /// Makes an object fit to apply, and asks the server about its kind if that is not known.
    /// False: the kind is not served, and the object is taken for one of a namespace unless its
    /// record says otherwise. What to make of that depends on what is done with it.
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
                // What is recorded is tracked in the version that the server has by now. What is
                // rendered says which it means.
                if !is_served && self.recorded {
                    object.body["apiVersion"] = json!(version);
                }
                (namespaced, is_served || self.recorded)
            }
            Err(error) if error.kind == ApiErrorKind::UnknownKind => {
                (!self.recorded || object.key.namespace.is_some(), false)
            }
            Err(error) => {
                let Source { template, line } = object.source.clone();
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

    /// In its namespace, marked as the release's, without nulls, a Secret in its stored form. A UID
    /// is the server's to give: which object is meant, the plan says.
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

/// An object that is fit to apply; as it came, where the server is to be asked about its kind
/// first.
pub type MaybeSettled = Result<Settled, Box<Object>>;

/// An object that is fit to apply, as text, and what only its tree tells.
pub struct Settled {
    object: Arc<Sealed>,
    nodes: Vec<guard::Node>,
    /// Boxed, because few objects are one and all are held at once.
    set: Option<Box<Set>>,
    pod_needs: Vec<pod_security::Need>,
    awaited: Vec<(&'static str, String)>,
    denies: bool,
}

/// Whether a selector has no condition.
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
                    // Whether its kind is served is asked again when it is looked for among what is
                    // live.
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

/// Gives recorded objects the versions in which the server serves their kinds by now. One of a kind
/// that it does not serve stays as it is.
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

/// A null field in a manifest means "none": sent as it is, it would be owned as a null.
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

/// The server stores `stringData` as `data`: sent as `data`, it can be compared and its fields stay
/// ours.
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
