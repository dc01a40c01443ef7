//! Where nodes find their keys and certificates: in Secrets that this program creates, in the
//! user's own Secrets, or on a volume with cryptogen's tree, as in "Deploy Fabric on Kubernetes as
//! BaaS".

use super::Breaks;
use super::organization::{CA, Names};
use super::settings::Settings;
use crate::identity::Custody;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CryptoSource {
    /// Secrets that this program creates, generated or from a crypto-config.
    Program,
    /// Secrets that the user keeps.
    Secret,
    /// Files on NFS.
    Nfs,
}

/// The values under `crypto`, interpreted for this release.
pub struct Crypto<'a> {
    settings: &'a Settings<'a>,
    names: &'a Names,
    pub release: &'a str,
    pub source: CryptoSource,
}

/// The mounts of one pod: Secrets by name, or folders below the volume's root.
pub struct Mounts {
    pub msp: String,
    pub tls: String,
}

impl<'a> Crypto<'a> {
    pub fn of(settings: &'a Settings<'a>, names: &'a Names, release: &'a str) -> Crypto<'a> {
        let source = match settings.text("/crypto/source") {
            "secret" => CryptoSource::Secret,
            "nfs" => CryptoSource::Nfs,
            _ => CryptoSource::Program,
        };
        Crypto {
            settings,
            names,
            release,
            source,
        }
    }

    /// Returns the actual name of a Secret with this default name.
    pub fn secret(&self, usual: &str) -> String {
        let own = self
            .settings
            .map("/crypto/secrets")
            .and_then(|names| names.get(usual))
            .and_then(Value::as_str);
        own.filter(|_| self.source == CryptoSource::Secret)
            .unwrap_or(usual)
            .to_owned()
    }

    /// `role` is the folder of this kind of node: `peers`, `orderers`.
    pub fn node(&self, name: &str, role: &str) -> Mounts {
        if self.source == CryptoSource::Nfs {
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
        if self.source == CryptoSource::Nfs {
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

    /// Returns the Secret with the authority of TLS clients that may administer orderers.
    pub fn admin_client_ca(&self) -> String {
        self.secret(&format!("{}-admin-clientca", self.release))
    }

    pub fn custody(&self, mounted: BTreeSet<String>) -> Custody {
        let names = self.settings.map("/crypto/secrets").into_iter().flatten();
        match self.source {
            CryptoSource::Program => Custody::Program,
            CryptoSource::Nfs => Custody::Volume { mounted },
            CryptoSource::Secret => Custody::User {
                names: names
                    .filter_map(|(usual, own)| Some((usual.clone(), own.as_str()?.to_owned())))
                    .collect::<BTreeMap<_, _>>(),
                mounted,
            },
        }
    }

    /// Returns the default names of the Secrets that pods mount. TLS Secrets are mounted only if
    /// TLS is on.
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

    /// Returns the facts for templates: `source`, `groups` that may read the files, additional
    /// `items` of MSP Secrets, and for a volume its `claim`, and `volume` if this program creates
    /// it. Refuses settings with which no pod could mount the files.
    ///
    /// Volume and claim refer to each other by name. Without a class and a name, a claim would bind
    /// to any volume of its size, and with a default class to an empty one
    /// (kubernetes/examples#432).
    pub fn facts(&self, kind: &str, mounted: &BTreeSet<String>, breaks: &mut Breaks) -> Value {
        self.check_secrets(mounted, breaks);
        if self.source == CryptoSource::Nfs {
            return self.volume(kind, breaks);
        }
        for (key, value) in self.location() {
            if !value.is_empty() {
                breaks.add(
                    &format!("crypto.nfs.{key}"),
                    "files on NFS are only used with crypto.source nfs",
                );
            }
        }
        let source = match self.source {
            CryptoSource::Secret => "secret",
            _ => "program",
        };
        json!({"source": source, "groups": [], "items": []})
    }

    /// Refuses the user's own Secrets if no pod would mount them.
    fn check_secrets(&self, mounted: &BTreeSet<String>, breaks: &mut Breaks) {
        let Some(own) = self.settings.map("/crypto/secrets") else {
            return;
        };
        if self.source != CryptoSource::Secret {
            breaks.add(
                "crypto.secrets",
                "your own Secrets are only used with crypto.source secret",
            );
            return;
        }
        let all: Vec<&str> = mounted.iter().map(String::as_str).collect();
        for usual in own.keys().filter(|usual| !mounted.contains(*usual)) {
            let all = all.join(", ");
            breaks.add(
                "crypto.secrets",
                format!("no pod mounts {usual:?}; the mounted Secrets are {all}"),
            );
        }
    }

    /// Returns the values that locate files on NFS.
    fn location(&self) -> [(&'static str, &'a str); 3] {
        ["server", "path", "claim"]
            .map(|key| (key, self.settings.text(&format!("/crypto/nfs/{key}"))))
    }

    /// Returns the facts about the volume with cryptogen's tree.
    fn volume(&self, kind: &str, breaks: &mut Breaks) -> Value {
        let [(_, server), (_, path), (_, claim)] = self.location();
        // The kubelet does not change the group of files on NFS.
        let groups: Vec<u64> = Some(self.settings.number("/crypto/nfs/group", 0))
            .into_iter()
            .filter(|group| *group != 0)
            .collect();
        if !claim.is_empty() {
            for (key, value) in [("server", server), ("path", path)] {
                if !value.is_empty() {
                    breaks.add(
                        &format!("crypto.nfs.{key}"),
                        format!("the claim {claim:?} already determines the location of the files"),
                    );
                }
            }
            return json!({"source": "nfs", "claim": claim, "groups": groups});
        }
        if server.is_empty() {
            breaks.add(
                "crypto.nfs.server",
                "set the name or address of the NFS server with the crypto-config",
            );
        }
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            breaks.add(
                "crypto.nfs.path",
                "the path on the server must start with / and not contain .., such as /opt/share/crypto-config",
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
                // Volumes are cluster-scoped.
                "name": format!("{}-crypto", self.names.namespace),
                "server": server,
                "path": format!("{}/{}", path.trim_end_matches('/'), folder.trim_matches('/')),
            },
        })
    }
}
