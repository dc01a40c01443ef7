//! The release's namespace: made when it is not there, removed when asked and empty.

use super::pod_security::{self, CREATED_FOR, Relabel, Wish};
use super::{Context, DryRun, Options, Writer};
use crate::cluster::{ApiErrorKind, Delete, Kind};
use crate::error::{Error, Result};
use crate::manifest::ObjectKey;
use crate::manifest::pod_security::level;
use std::cell::Cell;

/// The release's namespace, as an operation finds or makes it.
#[derive(Default)]
pub(super) struct Namespace {
    /// False: it is not there, and this is only a preview.
    pub is_there: bool,
    pub relabel: Option<Relabel>,
}

/// Makes the release's namespace when it is not there, for pods that need this; when it is there, looks whether it allows them.
pub(super) async fn ensure_namespace(
    context: &Context<'_>,
    options: &Options,
    wish: Wish<'_>,
    warnings: &mut Vec<String>,
    made: &Cell<bool>,
) -> Result<Namespace> {
    let there = Namespace { is_there: true, relabel: None };
    let key = ObjectKey { group: String::new(), kind: "Namespace".into(), namespace: None, name: context.namespace.clone() };
    match context.cluster.get("v1", &key).await {
        Ok(Some(body)) if !body["metadata"]["deletionTimestamp"].is_null() => {
            Err(Error::refused(format!("namespace \"{}\" is being deleted", context.namespace))
                .now("nothing was changed")
                .hint("run the command again when it is gone"))
        }
        Ok(Some(body)) => {
            let relabel = pod_security::settle(context, options, &body, wish, warnings).await?;
            Ok(Namespace { relabel, ..there })
        }
        // Who may not read namespaces may still be allowed to work in one.
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(there),
        Err(error) => Err(error.into()),
        Ok(None) if options.dry_run != DryRun::No => Ok(Namespace::default()),
        Ok(None) if !options.create_namespace => Err(Error::user(format!("namespace \"{}\" does not exist", context.namespace))
            .now("nothing was changed")
            .hint("leave out --create-namespace=false, or create it first")),
        Ok(None) => {
            let level = level(&wish.target.manifest.pod_needs);
            let body = pod_security::namespace(context, level);
            context.cluster.apply(&body, Default::default()).await.map_err(|error| {
                Error::from(error)
                    .context(format!("namespace \"{}\" cannot be created", context.namespace))
                    .hint("if somebody else makes it for you, run the command again when it is there")
            })?;
            made.set(true);
            context.step(&format!("namespace {} created (Pod Security level {level})", context.namespace));
            Ok(there)
        }
    }
}

/// `--delete-namespace`: only a namespace that this release made, and only when nothing of others is left in it.
pub(super) async fn remove_namespace(writer: &Writer<'_>) -> Result<()> {
    let context = writer.context;
    let name = context.namespace.as_str();
    let key = ObjectKey { group: String::new(), kind: "Namespace".into(), namespace: None, name: name.to_owned() };
    let Some(body) = context.cluster.get("v1", &key).await? else { return Ok(()) };
    if crate::manifest::annotation(&body, CREATED_FOR) != Some(context.release.as_str()) {
        context.warn(&format!("namespace \"{name}\" was not made for this release and stays"));
        return Ok(());
    }
    for kind in ["Pod", "PersistentVolumeClaim", "ConfigMap", "Secret", "Service"] {
        let kind = Kind { api_version: "v1".into(), kind: kind.to_owned() };
        let left = context.cluster.list_metadata(&kind, Some(name), "").await?;
        // The cluster itself puts its CA into every namespace.
        let left = left.iter().filter_map(|body| body["metadata"]["name"].as_str()).find(|name| *name != "kube-root-ca.crt");
        if let Some(left) = left {
            context.warn(&format!("namespace \"{name}\" stays: {} {left} is still in it", kind.kind));
            return Ok(());
        }
    }
    let uid = body["metadata"]["uid"].as_str().map(str::to_owned);
    writer.lock.ends_with_namespace();
    context.cluster.delete("v1", &key, Delete { uid, ..Delete::default() }).await?;
    Ok(())
}
