//! Where nodes find their keys and certificates: Secrets that this program makes, Secrets of the
//! user's, or a volume with the tree that cryptogen wrote, as in "Deploy Fabric on Kubernetes as
//! BaaS".

use super::Breaks;
use super::organization::{CA, Names};
use super::settings::Settings;
use crate::identity::Custody;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Secrets that are made here: generated, or taken from a crypto-config.
    Program,
    /// Secrets that the user keeps.
    Secret,
    /// Files on NFS.
    Nfs,
}

/// The part of values under `crypto`, with what it means for this release.
pub struct Crypto<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    pub release: &'a str,
    pub source: Source,
}

/// What one pod mounts: Secrets by name, or folders below the volume's root.
pub struct Mounts {
    pub msp: String,
    pub tls: String,
}

impl<'a> Crypto<'a> {
    pub fn of(settings: &'a Settings<'a>, names: &'a Names, release: &'a str) -> Crypto<'a> {
        let source = match settings.text("/crypto/source") {
            "secret" => Source::Secret,
            "nfs" => Source::Nfs,
            _ => Source::Program,
        };
        Crypto {
            settings,
            names,
            release,
            source,
        }
    }

    /// The name of a Secret by its usual one.
    pub fn secret(&self, usual: &str) -> String {
        let own = self
            .settings
            .map("/crypto/secrets")
            .and_then(|names| names.get(usual))
            .and_then(Value::as_str);
        own.filter(|_| self.source == Source::Secret)
            .unwrap_or(usual)
            .to_owned()
    }

    /// `role` is the folder of nodes of its kind: `peers`, `orderers`.
    pub fn node(&self, name: &str, role: &str) -> Mounts {
        if self.source == Source::Nfs {
            let node = self.names.fill(
                self.settings.text_or("/crypto/nfs/node", "{node}.{domain}"),
                name,
            );
            return Mounts {
                msp: format!("{role}/{node}/msp"),
                tls: format!("{role}/{node}/tls"),
            };
        }
        Mounts {
            msp: self.secret(&format!("{name}-msp")),
            tls: self.secret(&format!("{name}-tls")),
        }
    }

    pub fn admin(&self) -> Mounts {
        if self.source == Source::Nfs {
            let user = format!("users/Admin@{}", self.names.domain);
            return Mounts {
                msp: format!("{user}/msp"),
                tls: format!("{user}/tls"),
            };
        }
        let secret = |kind: &str| self.secret(&format!("{}-admin-{kind}", self.release));
        Mounts {
            msp: secret("msp"),
            tls: secret("tls"),
        }
    }

    /// The Secret with the authority of the TLS clients that may administer orderers.
    pub fn admin_client_ca(&self) -> String {
        self.secret(&format!("{}-admin-clientca", self.release))
    }

    pub fn custody(&self, mounted: BTreeSet<String>) -> Custody {
        let names = self.settings.map("/crypto/secrets").into_iter().flatten();
        match self.source {
            Source::Program => Custody::Program,
            Source::Nfs => Custody::Volume { mounted },
            Source::Secret => Custody::User {
                names: names
                    .filter_map(|(usual, own)| Some((usual.clone(), own.as_str()?.to_owned())))
                    .collect::<BTreeMap<_, _>>(),
                mounted,
            },
        }
    }

    /// Usual names of the Secrets that pods mount. TLS material is mounted only where TLS is on.
    pub fn mounted(
        &self,
        nodes: &[String],
        ca_server: bool,
        cli: bool,
        admin_client_ca: bool,
    ) -> BTreeSet<String> {
        let tls = self.settings.flag("/tls/enabled", true);
        let mut mounted = BTreeSet::new();
        let mut member = |name: &str, msp: bool| {
            mounted.extend(msp.then(|| format!("{name}-msp")));
            mounted.extend(tls.then(|| format!("{name}-tls")));
        };
        nodes.iter().for_each(|node| member(node, true));
        if cli {
            member(&format!("{}-admin", self.release), true);
        }
        if ca_server {
            member(CA, false);
            mounted.insert(format!("{}-ca", self.release));
        }
        if admin_client_ca {
            mounted.insert(format!("{}-admin-clientca", self.release));
        }
        mounted
    }

    /// What templates know: `source`, `groups` that may read the files, `items` of MSP Secrets
    /// beside those that every one has, and for a volume its `claim`, and `volume` if it is made
    /// here. Refuses what no pod could mount.
    ///
    /// The pair of volume and claim is bound by name from both sides: a claim with no class and no
    /// name would take any volume of its size, and with a default class an empty one
    /// (kubernetes/examples#432).
    pub fn facts(&self, kind: &str, mounted: &BTreeSet<String>, breaks: &mut Breaks) -> Value {
        let own = self.settings.map("/crypto/secrets");
        if self.source != Source::Secret && own.is_some() {
            breaks.add(
                "crypto.secrets",
                "Secrets of yours are used only with crypto.source secret",
            );
        }
        for usual in own
            .into_iter()
            .flatten()
            .map(|(usual, _)| usual)
            .filter(|_| self.source == Source::Secret)
        {
            if !mounted.contains(usual) {
                let all = mounted
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                breaks.add(
                    "crypto.secrets",
                    format!("no pod mounts {usual:?}; they mount {all}"),
                );
            }
        }
        let (server, path) = (
            self.settings.text("/crypto/nfs/server"),
            self.settings.text("/crypto/nfs/path"),
        );
        let claim = self.settings.text("/crypto/nfs/claim");
        if self.source != Source::Nfs {
            for (key, value) in [("server", server), ("path", path), ("claim", claim)] {
                if !value.is_empty() {
                    breaks.add(
                        &format!("crypto.nfs.{key}"),
                        "files on NFS are used only with crypto.source nfs",
                    );
                }
            }
            return json!({"source": if self.source == Source::Secret { "secret" } else { "program" }, "groups": [], "items": []});
        }
        // The kubelet gives no files on NFS to a pod's group.
        let groups: Vec<u64> = Some(self.settings.number("/crypto/nfs/group", 0))
            .into_iter()
            .filter(|group| *group != 0)
            .collect();
        if !claim.is_empty() {
            for (key, value) in [("server", server), ("path", path)] {
                if !value.is_empty() {
                    breaks.add(
                        &format!("crypto.nfs.{key}"),
                        format!("the claim {claim:?} says already where the files are"),
                    );
                }
            }
            return json!({"source": "nfs", "claim": claim, "groups": groups});
        }
        if server.is_empty() {
            breaks.add(
                "crypto.nfs.server",
                "name or address of the NFS server that has the crypto-config",
            );
        }
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            breaks.add(
                "crypto.nfs.path",
                "the crypto-config's path on the server begins with / and has no ..: /opt/share/crypto-config",
            );
        }
        let folder = match self.settings.text("/crypto/nfs/folder") {
            "" => format!("{kind}/{}", self.names.domain),
            folder => self.names.fill(folder, ""),
        };
        json!({
            "source": "nfs",
            "claim": "crypto",
            "groups": groups,
            "volume": {
                // Volumes are the whole cluster's.
                "name": format!("{}-crypto", self.names.namespace),
                "server": server,
                "path": format!("{}/{}", path.trim_end_matches('/'), folder.trim_matches('/')),
            },
        })
    }
}
