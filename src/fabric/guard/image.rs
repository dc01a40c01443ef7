//! Recognizes programs and versions by the name and tag of an image.

use crate::fabric::versions::LINES;
use semver::Version;
use std::fmt;

/// A program of a Fabric network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Peer,
    Orderer,
    Ca,
    CouchDb,
    Kafka,
    ZooKeeper,
    Tools,
}

impl Component {
    /// Rows: last part of the image's name, the charts' label `app.kubernetes.io/component`, and
    /// the component.
    const ALL: [(&'static str, &'static str, Component); 8] = [
        ("fabric-peer", "peer", Component::Peer),
        ("fabric-orderer", "orderer", Component::Orderer),
        ("fabric-ca", "ca", Component::Ca),
        ("couchdb", "couchdb", Component::CouchDb),
        ("fabric-couchdb", "couchdb", Component::CouchDb),
        ("fabric-kafka", "kafka", Component::Kafka),
        ("fabric-zookeeper", "zookeeper", Component::ZooKeeper),
        ("fabric-tools", "cli", Component::Tools),
    ];

    pub fn of_image(name: &str) -> Option<Component> {
        Component::ALL
            .iter()
            .find(|(image, ..)| *image == name)
            .map(|(.., component)| *component)
    }

    pub fn of_label(label: &str) -> Option<Component> {
        Component::ALL
            .iter()
            .find(|(_, word, _)| *word == label)
            .map(|(.., component)| *component)
    }

    /// Returns its label `app.kubernetes.io/component`.
    pub fn label(self) -> &'static str {
        Component::ALL
            .iter()
            .find(|(.., component)| *component == self)
            .map_or("", |(_, label, _)| label)
    }

    /// Returns true if the program's images have the version of Fabric itself.
    pub fn has_fabric_s_version(self) -> bool {
        matches!(
            self,
            Component::Peer | Component::Orderer | Component::Tools
        )
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Component::Peer => "peer",
            Component::Orderer => "orderer",
            Component::Ca => "CA",
            Component::CouchDb => "CouchDB",
            Component::Kafka => "Kafka",
            Component::ZooKeeper => "ZooKeeper",
            Component::Tools => "tools",
        })
    }
}

/// An image reference such as `ghcr.io/hyperledger/fabric-peer:2.5.16@sha256:...`, split into its
/// parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub host: &'a str,
    /// `hyperledger/fabric-peer`
    pub path: &'a str,
    /// Empty if the reference has none.
    pub tag: &'a str,
}

impl<'a> Reference<'a> {
    pub fn parse(image: &'a str) -> Reference<'a> {
        let image = image.split_once('@').map_or(image, |(image, _)| image);
        let (name, tag) = match image.rsplit_once(':') {
            // A colon may also precede the registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (image, ""),
        };
        match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                Reference { host, path, tag }
            }
            _ => Reference {
                host: "docker.io",
                path: name,
                tag,
            },
        }
    }

    /// Returns the last part of the path: `fabric-peer`.
    pub fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Returns the version in the tag of a known image: `2.5.16`, `x86_64-1.0.0` (before 1.2), or
    /// `1.4`, which means the last patch of its line.
    ///
    /// `fabric-couchdb` has its own version numbers: 0.4.22 contains CouchDB 2.3.1
    /// (`images/couchdb/Dockerfile` of hyperledger/fabric-baseimage), and earlier ones contain
    /// earlier versions of CouchDB 2.
    pub fn version(&self) -> Option<Version> {
        let component = Component::of_image(self.name())?;
        let version = parse_tag(self.tag, component)?;
        Some(match self.name() {
            "fabric-couchdb" if version == Version::new(0, 4, 22) => Version::new(2, 3, 1),
            "fabric-couchdb" => Version::new(2, 0, 0),
            _ => version,
        })
    }
}

fn parse_tag(tag: &str, component: Component) -> Option<Version> {
    const ARCHITECTURES: [&str; 5] = ["x86_64-", "amd64-", "arm64-", "s390x-", "ppc64le-"];
    let tag = ARCHITECTURES
        .iter()
        .find_map(|prefix| tag.strip_prefix(prefix))
        .unwrap_or(tag);
    let numbers = tag.split_once('-').map_or(tag, |(numbers, _)| numbers);
    let numbers: Vec<u64> = numbers
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    match numbers[..] {
        [major, minor, patch] => Some(Version::new(major, minor, patch)),
        [major, minor] if component.has_fabric_s_version() => {
            let line = LINES
                .iter()
                .find(|line| (line.major, line.minor) == (major, minor))?;
            Some(Version::new(major, minor, line.last_patch))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_versions() {
        for (image, version) in [
            ("ghcr.io/hyperledger/fabric-peer:2.5.16", "2.5.16"),
            ("hyperledger/fabric-peer:x86_64-1.0.0", "1.0.0"),
            ("hyperledger/fabric-orderer:amd64-1.4.12", "1.4.12"),
            (
                "registry.example.com:5000/fabric/hyperledger/fabric-peer:1.4",
                "1.4.12",
            ),
            ("localhost/fabric-peer:2.5.16@sha256:abc", "2.5.16"),
            ("docker.io/library/couchdb:3.4.2", "3.4.2"),
            ("couchdb:3.4.2-nouveau", "3.4.2"),
            ("hyperledger/fabric-couchdb:0.4.22", "2.3.1"),
            ("hyperledger/fabric-couchdb:x86_64-0.4.6", "2.0.0"),
            ("hyperledger/fabric-kafka:0.4.22", "0.4.22"),
        ] {
            assert_eq!(
                Reference::parse(image)
                    .version()
                    .map(|it| it.to_string())
                    .as_deref(),
                Some(version),
                "{image}"
            );
        }
        for image in [
            "hyperledger/fabric-peer",
            "hyperledger/fabric-peer:latest",
            "hyperledger/fabric-peer:1.9",
            "registry.example.com:5000/fabric-peer",
            "hyperledger/fabric-peer@sha256:abc",
            "hyperledger/fabric-ca:1.5",
            // Its own version, not Fabric's.
            "ghcr.io/hyperledger-labs/fabric-builder-k8s/k8s-fabric-peer:0.15.1",
        ] {
            assert_eq!(Reference::parse(image).version(), None, "{image}");
        }
    }

    #[test]
    fn the_host_is_distinguished_from_the_path() {
        for (image, host, path) in [
            ("couchdb:3.4.2", "docker.io", "couchdb"),
            (
                "hyperledger/fabric-peer:2.5.16",
                "docker.io",
                "hyperledger/fabric-peer",
            ),
            (
                "ghcr.io/hyperledger/fabric-peer:2.5.16",
                "ghcr.io",
                "hyperledger/fabric-peer",
            ),
            ("registry:5000/fabric-peer", "registry:5000", "fabric-peer"),
        ] {
            let reference = Reference::parse(image);
            assert_eq!((reference.host, reference.path), (host, path));
        }
    }
}
