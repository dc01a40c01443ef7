//! Decides which Secrets of an organization are created, renewed and kept.

use super::certificate::Certificate;
use super::check::SOON;
use super::crypto_config::Folder;
use super::custody::{self, Custody};
use super::generate::{Generator, sign_tls};
use super::profile::Authority;
use super::secrets::{Content, Maker, Member, Wanted, certificate_key, entry};
use super::{Organization, Plan, Source, TakenUp, is_own, maker, renewal};
use crate::error::{Error, Place, Result};
use crate::manifest::Object;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// The Secrets that an organization needs, and those that exist.
pub(super) struct Situation<'a> {
    pub organization: &'a Organization,
    pub wanted: &'a [Wanted],
    pub existing: &'a BTreeMap<String, Value>,
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    pub fn decide(&self, source: &Source) -> Result<Plan> {
        let Situation {
            organization,
            wanted,
            existing,
            ..
        } = self;
        let mut plan = Plan {
            warnings: self.check_custody(source)?,
            ..Plan::default()
        };
        let (present, mut missing): (Vec<&Wanted>, Vec<&Wanted>) = wanted
            .iter()
            .partition(|wanted| existing.contains_key(&wanted.name));
        plan.keep = present.iter().map(|wanted| wanted.name.clone()).collect();
        if organization.custody != Custody::Program {
            missing.retain(|wanted| matches!(wanted.content, Content::Credentials { .. }));
            self.generate(&missing, &mut plan)?;
            return Ok(plan);
        }
        match source {
            Source::Generate => {
                self.check_authority_key(&present)?;
                self.generate(&missing, &mut plan)?;
                renewal::with_new_names(self, &present, None, &mut plan)?;
            }
            Source::CryptoConfig { folder, files } => {
                let folder = Folder::open(organization, folder, files, self.now)?;
                let offered = self.import(&folder)?;
                renewal::renew(organization, offered, existing, &mut plan)?;
                let mut server = present;
                server.retain(|it| matches!(it.content, Content::Tls(Member::CaServer(_))));
                renewal::with_new_names(self, &server, folder.tls_pair(), &mut plan)?;
            }
        }
        plan.keep
            .retain(|name| plan.renew.iter().all(|object| object.key.name != *name));
        let kept = plan.keep.iter();
        plan.take_up = kept
            .filter_map(|name| taken_up(organization, name, existing.get(name)?))
            .collect();
        let warnings = self.warnings(&plan);
        plan.warnings.extend(warnings);
        Ok(plan)
    }

    /// Checks the identities that this program does not make. Returns warnings.
    fn check_custody(&self, source: &Source) -> Result<Vec<String>> {
        let &Situation {
            organization,
            wanted,
            existing,
            now,
        } = self;
        match (&organization.custody, source) {
            (Custody::Program, _) => Ok(Vec::new()),
            (Custody::User { .. }, Source::CryptoConfig { folder, .. }) => {
                Err(two_sources(organization, folder))
            }
            (Custody::User { .. }, Source::Generate) => {
                custody::check_secrets(organization, wanted, existing, now)
            }
            (Custody::Volume { mounted }, _) => {
                custody::check_volume(organization, mounted, source, now)
            }
        }
    }

    /// Checks that a CA server has the key of its authority.
    fn check_authority_key(&self, present: &[&Wanted]) -> Result<()> {
        let mut present = present.iter();
        let ca = present.find(|wanted| matches!(wanted.content, Content::Ca));
        let kept = ca.and_then(|ca| self.existing.get(&ca.name));
        let lacks_key = kept.is_some_and(|secret| entry(secret, "key.pem").is_none());
        match self.organization.ca_server.is_some() && lacks_key {
            true => Err(no_authority_key(self.organization, "ca")),
            false => Ok(()),
        }
    }

    fn generate(&self, missing: &[&Wanted], plan: &mut Plan) -> Result<()> {
        let &Situation {
            organization,
            wanted,
            existing,
            now,
        } = self;
        let maker = Maker {
            organization,
            source: "generate",
        };
        plan.generated = missing
            .iter()
            .any(|wanted| !matches!(wanted.content, Content::Credentials { .. }));
        let generator = match plan.generated {
            true => Some(Generator::open(organization, wanted, existing, now)?),
            false => None,
        };
        for Wanted { name, content } in missing {
            plan.create.push(match (content, &generator) {
                (Content::Ca, Some(by)) => {
                    maker.authority(name, &by.ca.pair.certificate, Some(&by.ca.pair.key))?
                }
                (Content::TlsCa, Some(by)) => {
                    maker.authority(name, &by.tls_ca.pair.certificate, Some(&by.tls_ca.pair.key))?
                }
                (Content::Msp(member), Some(by)) => maker.msp(name, &by.msp(member)?)?,
                (Content::Tls(member), Some(by)) => maker.tls(name, &by.tls(member)?)?,
                (Content::AdminClientCa, Some(by)) => {
                    maker.admin_client_ca(name, &by.tls_ca.pair.certificate)?
                }
                (Content::Credentials { user }, _) => maker.credentials(name, user)?,
                (_, None) => continue,
            });
        }
        Ok(())
    }

    /// Returns the folder's content for each Secret that it can fill, even for Secrets that exist.
    fn import(&self, folder: &Folder) -> Result<Vec<Object>> {
        let maker = Maker {
            organization: self.organization,
            source: "cryptogen",
        };
        let mut offered = Vec::new();
        for Wanted { name, content } in self.wanted {
            let exists = self.existing.contains_key(name);
            let secret = match content {
                Content::Ca => {
                    let must_have_key = self.organization.ca_server.is_some();
                    let ca = folder.ca();
                    ca.map(|ca| self.import_authority(folder, name, "ca", &ca, must_have_key))
                }
                Content::TlsCa => {
                    let ca = folder.tls_ca();
                    ca.map(|ca| self.import_authority(folder, name, "tlsca", &ca, false))
                }
                Content::Msp(member) => folder.msp(member).map(|msp| maker.msp(name, &msp)),
                // cryptogen makes no certificate for a CA server, so the organization's own TLS
                // authority signs one, once.
                Content::Tls(Member::CaServer(_)) if exists => None,
                Content::Tls(member @ Member::CaServer(_)) => match folder.tls_pair() {
                    Some(pair) => {
                        let domain = &self.organization.domain;
                        let authority = Authority::from_pair(pair, &format!("tlsca.{domain}"))?;
                        let tls = sign_tls(&authority, member, domain, None, self.now)?;
                        Some(maker.tls(name, &tls))
                    }
                    None => {
                        folder.lacks_authority_key("tlsca");
                        None
                    }
                },
                Content::Tls(member) => folder.tls(member).map(|tls| maker.tls(name, &tls)),
                Content::AdminClientCa => {
                    let ca = folder.tls_ca();
                    ca.map(|certificate| maker.admin_client_ca(name, &certificate))
                }
                Content::Credentials { .. } if exists => None,
                Content::Credentials { user } => Some(maker.credentials(name, user)),
            };
            // `None` is a problem that the folder has recorded. All of them are reported at once.
            if let Some(secret) = secret {
                offered.push(secret?);
            }
        }
        folder.finish()?;
        Ok(offered)
    }

    /// Returns the Secret of an authority, with its key if it is in the folder or in the existing
    /// Secret.
    fn import_authority(
        &self,
        folder: &Folder,
        name: &str,
        which: &str,
        certificate: &str,
        must_have_key: bool,
    ) -> Result<Object> {
        let existing = self.existing.get(name);
        let kept = existing.and_then(|secret| renewal::kept_key(secret, certificate));
        let key = folder.authority_key(which, certificate).or(kept);
        if must_have_key && key.is_none() {
            folder.lacks_authority_key(which);
        }
        let maker = Maker {
            organization: self.organization,
            source: "cryptogen",
        };
        maker.authority(name, certificate, key.as_deref())
    }

    /// Warns about Secrets of others, and about certificates that expire.
    fn warnings(&self, plan: &Plan) -> Vec<String> {
        let Situation {
            organization,
            wanted,
            existing,
            now,
        } = self;
        let mut warnings = Vec::new();
        let written: BTreeMap<&str, &Value> = plan
            .create
            .iter()
            .chain(&plan.renew)
            .map(|object| (object.key.name.as_str(), &object.body))
            .collect();
        for Wanted { name, content } in *wanted {
            let kept = existing
                .get(name)
                .filter(|_| !written.contains_key(name.as_str()));
            let Some(secret) = kept.or_else(|| written.get(name.as_str()).copied()) else {
                continue;
            };
            let place = format!("Secret {}/{name}", organization.namespace);
            if kept.is_some() && !is_own(organization, secret) {
                warnings.push(match maker(secret) {
                    Some(release) if organization.custody == Custody::Program => {
                        format!("{place} was created by release \"{release}\" and now belongs to this release")
                    }
                    _ => format!("{place} was not created by this release and is used unchanged"),
                });
            }
            let pem = certificate_key(content).and_then(|key| entry(secret, key));
            let Some(certificate) = pem.and_then(|pem| Certificate::from_pem(&pem, name).ok())
            else {
                continue;
            };
            warnings.extend(validity(&place, &certificate, *now));
        }
        warnings
    }
}

fn validity(place: &str, certificate: &Certificate, now: Timestamp) -> Option<String> {
    let (begin, end) = (certificate.not_before, certificate.not_after);
    if end < now {
        Some(format!("the certificate in {place} expired on {end}"))
    } else if begin > now {
        Some(format!(
            "the certificate in {place} is not valid before {begin}"
        ))
    } else if end.duration_since(now) < SOON {
        Some(format!("the certificate in {place} expires on {end}"))
    } else {
        None
    }
}

fn taken_up(organization: &Organization, name: &str, secret: &Value) -> Option<TakenUp> {
    maker(secret).filter(|release| *release != organization.release)?;
    Some(TakenUp {
        name: name.to_owned(),
        uid: secret["metadata"]["uid"].as_str()?.to_owned(),
    })
}

fn two_sources(organization: &Organization, folder: &str) -> Error {
    Error::user(format!(
        "the identities of {:?} have two sources",
        organization.domain
    ))
    .at(Place::new("crypto.source").note("secret: your existing Secrets"))
    .at(Place::new("--crypto-config").note(format!("{folder}: Secrets are created from it")))
    .now("no identities were created, and nothing was sent to the cluster")
    .hint("use only one of them")
}

fn no_authority_key(organization: &Organization, which: &str) -> Error {
    let secret = match which {
        "ca" => format!("{}-ca", organization.release),
        _ => format!("{}-tlsca", organization.release),
    };
    Error::user(format!("the key of {which}.{}, which the CA server needs, is missing", organization.domain))
        .at(Place::new(format!("Secret {}/{secret}", organization.namespace)).note("data.key.pem: missing"))
        .why("the CA server signs with the organization's key, and the TLS authority's key signs its TLS certificate")
        .now("no identities were created, and nothing was sent to the cluster")
        .hint("put the key next to its certificate, or set ca.enabled=false")
}
