//! Takes a network down: uninstalls every release of the file, chaincodes first.

use super::Site;
use super::release::run;
use super::run::words;
use crate::cluster::Kind;
use crate::deploy::{self, DryRun, Intent};
use crate::error::{self, Error, Place, Result};
use crate::network::state::ReleaseKey;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(200);

/// What to delete in addition to the releases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Down {
    /// Ledgers, keys and certificates.
    pub delete_data: bool,
    /// Namespaces that this program created and that contain no objects of other owners.
    pub delete_namespace: bool,
    /// Only report what would be uninstalled.
    pub dry_run: bool,
}

/// Uninstalls every existing release of the file, and returns them.
///
/// # Errors
///
/// Nothing is uninstalled if one release is refused, such as one of another network. Otherwise
/// lists the releases that could not be uninstalled. All others are uninstalled.
pub async fn down(site: &Site<'_>, down: Down) -> Result<Vec<ReleaseKey>> {
    let existing = existing(site, down).await?;
    if down.dry_run {
        return Ok(existing.into_iter().cloned().collect());
    }
    let (organizations, chaincodes): (Vec<&ReleaseKey>, Vec<&ReleaseKey>) = existing
        .into_iter()
        .partition(|key| site.network.installation(key).is_some());
    let mut gone = Vec::new();
    let mut failed: Vec<(&ReleaseKey, Error)> = Vec::new();
    // A namespace is deleted only if it contains no objects of other owners, so chaincodes come
    // first.
    for round in [chaincodes, organizations] {
        let each = round.into_iter().map(async |key| {
            let is_last = site.network.installation(key).is_some();
            (key, one(site, key, down, is_last).await)
        });
        for (key, result) in join_all(each).await {
            match result {
                Ok(true) => gone.push(key.clone()),
                Ok(false) => {}
                Err(error) => failed.push((key, error)),
            }
        }
    }
    match failure(&gone, &failed) {
        Some(error) => Err(error),
        None => Ok(gone),
    }
}

/// Returns the releases that exist, after a trial. A release that is refused, such as one of another
/// network, ends the operation before anything is uninstalled.
async fn existing<'a>(site: &'a Site<'_>, down: Down) -> Result<Vec<&'a ReleaseKey>> {
    let trial = Down {
        dry_run: true,
        ..down
    };
    let tried = keys(site)
        .into_iter()
        .map(async |key| (key, one(site, key, trial, false).await));
    let mut existing = Vec::new();
    for (key, tried) in join_all(tried).await {
        match tried {
            Ok(false) => {}
            Err(error) if error.kind() == error::Kind::Refused => {
                return Err(error.replace_now("nothing was uninstalled"));
            }
            _ => existing.push(key),
        }
    }
    Ok(existing)
}

/// Returns the error for the releases that were not uninstalled, or `None` if there are none.
fn failure(gone: &[ReleaseKey], failed: &[(&ReleaseKey, Error)]) -> Option<Error> {
    let (_, first) = failed.first()?;
    let names: Vec<&str> = gone.iter().map(|key| key.release.as_str()).collect();
    let now = match names.is_empty() {
        true => "nothing was uninstalled".to_owned(),
        false => format!("uninstalled: {}", names.join(", ")),
    };
    if failed.len() == 1 {
        return Some(first.clone().now_after(now));
    }
    let places = failed
        .iter()
        .map(|(key, error)| Place::new(format!("release \"{}\"", key.release)).note(words(error)));
    let kind = match failed.iter().all(|(_, error)| error.kind() == first.kind()) {
        true => first.kind(),
        false => error::Kind::Cluster,
    };
    let what = format!("{} releases were not uninstalled", failed.len());
    let error = Error::new(kind, what).at_all(places).now(now);
    Some(error.hint("run the same command again to complete it"))
}

/// The releases of the file, or those of one organization's namespace.
fn keys<'a>(site: &'a Site<'_>) -> Vec<&'a ReleaseKey> {
    let all = site.composed.wanted.releases.keys();
    let namespace = site
        .organization
        .and_then(|name| site.network.namespace(name));
    let organizations = site.network.organizations.values();
    let away = organizations.filter(|it| site.is_elsewhere(&it.installation.release));
    let away: BTreeSet<&String> = away.map(|it| &it.installation.namespace).collect();
    all.filter(|key| !away.contains(&key.namespace))
        .filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
        .collect()
}

/// Waits until a chaincode's pods have ended, because their namespace is not deleted before.
async fn pods_gone(site: &Site<'_>, key: &ReleaseKey) -> Result<()> {
    let kind = Kind {
        api_version: "v1".into(),
        kind: "Pod".into(),
    };
    let selector = format!("app.kubernetes.io/instance={}", key.release);
    let end = Instant::now() + site.options.timeout;
    let mut stop = site.interrupted.clone();
    loop {
        let pods = site
            .cluster
            .list(&kind, Some(&key.namespace), &selector)
            .await?;
        if pods.is_empty() || Instant::now() >= end {
            return Ok(());
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Error::interrupted("interrupted")),
        }
    }
}

/// Returns true if the release existed.
async fn one(site: &Site<'_>, key: &ReleaseKey, down: Down, is_last: bool) -> Result<bool> {
    let ReleaseKey { release, namespace } = key;
    if !deploy::is_known(site.cluster, namespace, release, down.delete_data).await? {
        return Ok(false);
    }
    let intent = Intent::Uninstall {
        keep_history: false,
        delete_data: down.delete_data,
        delete_namespace: down.delete_namespace && is_last,
    };
    let mut options = site.options.clone();
    if down.dry_run {
        options.dry_run = DryRun::Client;
    }
    run(site, key, intent, options).await?;
    if down.delete_namespace && !is_last && !down.dry_run {
        pods_gone(site, key).await?;
    }
    Ok(true)
}
