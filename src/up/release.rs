//! Releases of the network: compares them with the file, and installs or upgrades them.

use super::compose::intent;
use super::run::Report;
use super::{Site, system};
use crate::deploy::{self, Context, DryRun, Event, Intent, Options, Outcome, Progress};
use crate::error::{Error, Kind, Result};
use crate::fabric::guard::Facts;
use crate::fabric::{Contact, Model, Subject};
use crate::network::state::{Known, Release, ReleaseKey};
use crate::network::step::Action;
use crate::release::ReleaseName;
use crate::storage;
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio::time::Instant;

/// Returns the state of a release.
pub struct Seen {
    pub release: Known<Release>,
    /// Returns whether the identities of its nodes exist.
    pub identities: Known<bool>,
}

/// Observes a release. A dry run of its upgrade shows whether it matches the file.
///
/// # Errors
///
/// Fails if the state in the file is impossible. Nothing must be changed then.
pub async fn look(site: &Site<'_>, key: &ReleaseKey) -> Result<Seen> {
    let own = site
        .organization
        .and_then(|own| site.network.namespace(own));
    if own.is_some_and(|own| own != key.namespace) {
        return Ok(of_others(site, key).await);
    }
    match state(site, key).await {
        Ok(seen) => Ok(seen),
        Err(error) if matches!(error.kind(), Kind::User | Kind::Refused) => {
            Err(of_release(error, key).replace_now("nothing was changed"))
        }
        Err(error) => Ok(Seen::unknown(super::run::words(&error))),
    }
}

/// A release of another organization than the one whose part is done: whether it is there. Whether
/// it is as the file asks for it is not this organization's to judge.
async fn of_others(site: &Site<'_>, key: &ReleaseKey) -> Seen {
    match storage::history(site.cluster, &key.namespace, &key.release).await {
        Ok(history) => {
            let release = match history.last() {
                Some(newest) => Release::Present {
                    digest: super::compose::AS_WANTED.to_owned(),
                    settled: newest.is_deployed(),
                },
                None => Release::Absent { data: false },
            };
            Seen {
                release: Known::Known(release),
                identities: Known::Known(!history.is_empty()),
            }
        }
        Err(error) => Seen::unknown(super::run::words(&error)),
    }
}

impl Seen {
    fn unknown(why: String) -> Seen {
        Seen {
            release: Known::Unknown(why.clone()),
            identities: Known::Unknown(why),
        }
    }
}

async fn state(site: &Site<'_>, key: &ReleaseKey) -> Result<Seen> {
    let ReleaseKey { release, namespace } = key;
    let mut planned = preview(site, key, DryRun::Client).await?;
    let settled = planned.was_settled;
    // The server may store a field in another form; whether it is the same, only the server tells.
    if settled.is_some()
        && !planned.changes_nothing
        && let Ok(confirmed) = preview(site, key, DryRun::Server).await
    {
        planned = confirmed;
    }
    if site.options.tell_refusals {
        for message in &planned.warnings {
            let message = message.clone();
            site.report.release(namespace, &Event::Warning { message });
        }
    }
    let found = match settled {
        Some(settled) => Release::Present {
            digest: match planned.changes_nothing {
                true => super::compose::AS_WANTED,
                false => "another",
            }
            .to_owned(),
            settled,
        },
        None => Release::Absent {
            data: deploy::has_volumes(site.cluster, namespace, release).await?,
        },
    };
    Ok(Seen {
        release: Known::Known(found),
        identities: Known::Known(planned.new_identities == 0),
    })
}

/// The contact of an organization as the file asks for it, whether or not it is installed.
pub async fn contact(site: &Site<'_>, key: &ReleaseKey) -> Result<Contact> {
    let planned = preview(site, key, DryRun::Client).await?;
    let model = Facts::read(&planned.guard).model;
    Contact::of(Subject {
        model: model.as_deref().and_then(Model::named),
        release: &key.release,
        namespace: &key.namespace,
        values: &planned.computed_values,
    })
}

/// Writes the identities of an organization before its release, whose nodes start from a block that
/// names them.
pub async fn identities(site: &Site<'_>, key: &ReleaseKey) -> Result<()> {
    let options = Options {
        create_namespace: true,
        identities_only: true,
        ..site.options.clone()
    };
    let done = quietly(site, key, options).await;
    done.map(|_| ()).map_err(|error| of_release(error, key))
}

async fn preview(site: &Site<'_>, key: &ReleaseKey, dry_run: DryRun) -> Result<Outcome> {
    let options = Options {
        dry_run,
        ..site.options.clone()
    };
    quietly(site, key, options).await
}

/// Runs an operation whose warnings appear again when the release is applied.
async fn quietly(site: &Site<'_>, key: &ReleaseKey, options: Options) -> Result<Outcome> {
    let options = Options {
        expected_secrets: system::expected(site, key),
        ..options
    };
    let intent = intent(site.composed, site.inputs, key)?;
    let relay = Relay {
        report: &Quiet,
        key,
        applied: None,
    };
    deploy::run(context(site, key, &relay)?, intent, options).await
}

/// Installs or upgrades a release.
///
/// Two concurrent runs of `up` would each lock some of the releases, and neither would complete.
/// Therefore a run waits for a release that another run is changing. If it then matches the file, the
/// operation writes no revision.
pub async fn apply(site: &Site<'_>, key: &ReleaseKey) -> Result<()> {
    let options = Options {
        // The namespace of a chaincode's server is that of its organization.
        create_namespace: site.network.installation(key).is_some(),
        ..site.options.clone()
    };
    let ReleaseKey { release, namespace } = key;
    let end = Instant::now() + site.options.timeout;
    loop {
        let wanted = intent(site.composed, site.inputs, key)?;
        let Err(error) = run(site, key, wanted, options.clone()).await else {
            break;
        };
        if error.kind() != Kind::Refused
            || !deploy::is_locked(site.cluster, namespace, release).await?
        {
            return Err(error);
        }
        if Instant::now() >= end || !site.pause().await {
            return Err(error);
        }
        // The lock of a killed run stays. A later attempt takes it over.
    }
    if site.network.namespace(&key.release) == Some(&key.namespace) {
        site.memory.members.forget(&key.release);
    }
    Ok(())
}

/// Runs one operation on a release.
pub async fn run(
    site: &Site<'_>,
    key: &ReleaseKey,
    intent: Intent,
    options: Options,
) -> Result<Outcome> {
    let relay = Relay {
        report: site.report,
        key,
        applied: Some(&site.memory.applied),
    };
    let done = deploy::run(context(site, key, &relay)?, intent, options).await;
    done.map_err(|error| of_release(error, key))
}

fn context<'a>(
    site: &Site<'a>,
    key: &ReleaseKey,
    progress: &'a dyn Progress,
) -> Result<Context<'a>> {
    Ok(Context {
        cluster: site.cluster,
        release: ReleaseName::parse(&key.release)?,
        namespace: key.namespace.clone(),
        now: site.now,
        progress,
        interrupted: site.interrupted.clone(),
    })
}

fn of_release(error: Error, key: &ReleaseKey) -> Error {
    let ReleaseKey { release, namespace } = key;
    let place = match release == namespace {
        true => format!("release \"{release}\""),
        false => format!("release \"{release}\" in namespace \"{namespace}\""),
    };
    match error.what().contains(&format!("\"{release}\"")) {
        true => error,
        false => error.context(format!("{place} does not match the file")),
    }
}

/// The key of a step that concerns a release.
pub fn key(action: &Action) -> Option<ReleaseKey> {
    match action {
        Action::Install { release, namespace }
        | Action::Upgrade { release, namespace }
        | Action::Uninstall { release, namespace } => Some(ReleaseKey::new(release, namespace)),
        _ => None,
    }
}

/// Reports problems of releases that are applied in parallel.
struct Relay<'a> {
    report: &'a dyn Report,
    key: &'a ReleaseKey,
    applied: Option<&'a watch::Sender<BTreeSet<String>>>,
}

impl Progress for Relay<'_> {
    fn event(&self, event: &Event) {
        if let (Event::Waiting { .. }, Some(applied)) = (event, self.applied) {
            // Waits begin when all objects are applied.
            applied.send_if_modified(|applied| applied.insert(self.key.release.clone()));
        }
        self.report.release(&self.key.namespace, event);
    }
}

/// Reports nothing.
struct Quiet;

impl Report for Quiet {
    fn ended(&self, _ended: &super::Ended) {}
    fn release(&self, _namespace: &str, _event: &Event) {}
    fn tick(&self) {}
}
