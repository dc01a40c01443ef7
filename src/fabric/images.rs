//! Container images: the registry of each version, and the matching versions of CA, CouchDB, Kafka
//! and ZooKeeper.

use super::versions::{Span, TOOLS_IMAGE};
use semver::Version;

/// The CA and CouchDB released with each version: the row with the highest version that is not
/// above it.
///
/// Source: `CA_VERSION` in `scripts/bootstrap.sh` or `scripts/install-fabric.sh`, and `COUCHDB_VER`
/// in the Makefile, at each tag of hyperledger/fabric. For 1.4: `THIRDPARTY_IMAGE_VERSION` of its
/// last patch, and the last CA of that line. The Makefile of 2.2.0 to 2.2.5 has only `3.1` for
/// CouchDB, so the table has its last patch. The last patches of maintained lines get the newest
/// CA.
const PAIRS: [((u64, u64, u64), &str, &str); 31] = [
    ((1, 4, 0), "1.4.9", "0.4.22"),
    ((2, 2, 0), "1.4.7", "3.1.1"),
    ((2, 2, 1), "1.4.9", "3.1.1"),
    ((2, 2, 3), "1.5.0", "3.1.1"),
    ((2, 2, 4), "1.5.2", "3.1.1"),
    ((2, 2, 6), "1.5.3", "3.2.2"),
    ((2, 2, 9), "1.5.5", "3.2.2"),
    ((2, 2, 11), "1.5.6", "3.2.2"),
    ((2, 2, 12), "1.5.6", "3.3.2"),
    ((2, 2, 14), "1.5.7", "3.3.2"),
    ((2, 2, 15), "1.5.9", "3.3.3"),
    ((2, 3, 0), "1.4.9", "3.1.1"),
    ((2, 3, 2), "1.5.0", "3.1.1"),
    ((2, 3, 3), "1.5.2", "3.1.1"),
    ((2, 4, 4), "1.5.3", "3.2.2"),
    ((2, 4, 7), "1.5.5", "3.2.2"),
    ((2, 5, 0), "1.5.6", "3.2.2"),
    ((2, 5, 1), "1.5.6", "3.3.2"),
    ((2, 5, 5), "1.5.7", "3.3.2"),
    ((2, 5, 6), "1.5.9", "3.3.3"),
    ((2, 5, 7), "1.5.10", "3.3.3"),
    ((2, 5, 8), "1.5.11", "3.3.3"),
    ((2, 5, 9), "1.5.12", "3.3.3"),
    ((2, 5, 10), "1.5.13", "3.3.3"),
    ((2, 5, 11), "1.5.14", "3.4.2"),
    ((2, 5, 12), "1.5.15", "3.4.2"),
    ((2, 5, 16), NEWEST_CA, "3.4.2"),
    ((3, 0, 0), "1.5.12", "3.3.3"),
    ((3, 1, 0), "1.5.15", "3.4.2"),
    ((3, 1, 4), "1.5.17", "3.4.2"),
    ((3, 1, 5), NEWEST_CA, "3.4.2"),
];

/// The newest CA server, which has the later security fixes: `release_notes/v1.5.22.md` of
/// hyperledger/fabric-ca.
const NEWEST_CA: &str = "1.5.22";

/// The last `fabric-couchdb`, `fabric-kafka` and `fabric-zookeeper` (CouchDB 2.3.1, Kafka 1.0.2,
/// ZooKeeper 3.4.14), from fabric-baseimage's last release. `release_notes/v2.5.0.md` of Fabric
/// announces that there will be no other.
const THIRD_PARTY: &str = "0.4.22";

/// Versions whose `hyperledger/*` images are on Docker Hub. Newer ones are on GitHub's registry:
/// `dockerFabricRegistry` in Fabric's `scripts/install-fabric.sh`.
const ON_DOCKER_HUB: [Span; 2] = [
    Span::ALWAYS.before(2, 5, 11),
    Span::since(3, 0, 0).before(3, 0, 1),
];
/// The same for the CA's own versions: `dockerCARegistry`.
const CA_ON_DOCKER_HUB: Span = Span::ALWAYS.before(1, 5, 15);

/// Returns image names for a Fabric version. A mirror replaces the registry's host and keeps the
/// path.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pub version: &'a Version,
    /// Such as `registry.example.com/mirror`. Empty for the public registries.
    pub mirror: &'a str,
}

impl Images<'_> {
    pub fn peer(&self) -> String {
        self.fabric("peer")
    }

    pub fn orderer(&self) -> String {
        self.fabric("orderer")
    }

    /// Returns the image of the command line tools, or `None` if Fabric no longer publishes one.
    pub fn tools(&self) -> Option<String> {
        TOOLS_IMAGE
            .holds(self.version)
            .then(|| self.fabric("tools"))
    }

    pub fn ca(&self) -> String {
        let tag = self.pair().0;
        let version = Version::parse(tag).expect("the table holds versions, which a test reads");
        let host = if CA_ON_DOCKER_HUB.holds(&version) {
            "docker.io"
        } else {
            "ghcr.io"
        };
        self.name(host, "hyperledger/fabric-ca", tag)
    }

    pub fn couchdb(&self) -> String {
        match self.pair().1 {
            THIRD_PARTY => self.name("docker.io", "hyperledger/fabric-couchdb", THIRD_PARTY),
            tag => self.name("docker.io", "library/couchdb", tag),
        }
    }

    pub fn kafka(&self) -> String {
        self.name("docker.io", "hyperledger/fabric-kafka", THIRD_PARTY)
    }

    pub fn zookeeper(&self) -> String {
        self.name("docker.io", "hyperledger/fabric-zookeeper", THIRD_PARTY)
    }

    /// Returns the image of a Docker daemon that runs in a pod.
    ///
    /// Docker 29 rejects the requests of peers before 2.5.15 and 3.1.4 (hyperledger/fabric#5350).
    pub fn docker(&self) -> String {
        self.name("docker.io", "library/docker", "28.5.1-dind")
    }

    /// Returns the peer image of hyperledger-labs/fabric-builder-k8s, of which only the builder is
    /// used.
    pub fn k8s_builder(&self) -> String {
        self.name(
            "ghcr.io",
            "hyperledger-labs/fabric-builder-k8s/k8s-fabric-peer",
            "0.15.2",
        )
    }

    /// Returns the image that builds Go chaincode on a Docker host. Its tag is that of the line
    /// (`core.yaml`, `chaincode.builder`).
    pub fn chaincode_builder(&self) -> String {
        self.two_digit("ccenv", self.version.major, self.version.minor)
    }

    /// Returns the images in which Go, Java and Node chaincode runs on a Docker host, as (key in
    /// `core.yaml`, image).
    ///
    /// 1.4 takes the images for Go and Node from fabric-baseimage. 3.x takes those for Java and
    /// Node from 2.5.
    pub fn chaincode_runtimes(&self) -> [(&'static str, String); 3] {
        let Version { major, minor, .. } = *self.version;
        let base = |image: &str| {
            self.name(
                "docker.io",
                &format!("hyperledger/{image}"),
                &format!("amd64-{THIRD_PARTY}"),
            )
        };
        let (golang, java, node) = match major {
            1 => (
                base("fabric-baseos"),
                self.two_digit("javaenv", major, minor),
                base("fabric-baseimage"),
            ),
            2 => (
                self.two_digit("baseos", 2, minor),
                self.two_digit("javaenv", 2, minor),
                self.two_digit("nodeenv", 2, minor),
            ),
            _ => (
                self.two_digit("baseos", major, minor),
                self.two_digit("javaenv", 2, 5),
                self.two_digit("nodeenv", 2, 5),
            ),
        };
        [("golang", golang), ("java", java), ("node", node)]
    }

    fn fabric(&self, program: &str) -> String {
        self.name(
            self.host(),
            &format!("hyperledger/fabric-{program}"),
            &self.version.to_string(),
        )
    }

    fn two_digit(&self, image: &str, major: u64, minor: u64) -> String {
        self.name(
            self.host(),
            &format!("hyperledger/fabric-{image}"),
            &format!("{major}.{minor}"),
        )
    }

    fn host(&self) -> &'static str {
        if ON_DOCKER_HUB.iter().any(|span| span.holds(self.version)) {
            "docker.io"
        } else {
            "ghcr.io"
        }
    }

    fn pair(&self) -> (&'static str, &'static str) {
        let version = (self.version.major, self.version.minor, self.version.patch);
        let row = PAIRS
            .iter()
            .rev()
            .find(|(since, ..)| *since <= version)
            .unwrap_or(&PAIRS[0]);
        (row.1, row.2)
    }

    fn name(&self, host: &str, path: &str, tag: &str) -> String {
        let registry = if self.mirror.is_empty() {
            host
        } else {
            self.mirror.trim_end_matches('/')
        };
        format!("{registry}/{path}:{tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::versions::LINES;

    #[test]
    fn each_version_has_its_images() {
        for (version, peer, ca, couchdb) in [
            (
                "1.4.12",
                "docker.io/hyperledger/fabric-peer:1.4.12",
                "docker.io/hyperledger/fabric-ca:1.4.9",
                "docker.io/hyperledger/fabric-couchdb:0.4.22",
            ),
            (
                "2.2.0",
                "docker.io/hyperledger/fabric-peer:2.2.0",
                "docker.io/hyperledger/fabric-ca:1.4.7",
                "docker.io/library/couchdb:3.1.1",
            ),
            (
                "2.2.15",
                "docker.io/hyperledger/fabric-peer:2.2.15",
                "docker.io/hyperledger/fabric-ca:1.5.9",
                "docker.io/library/couchdb:3.3.3",
            ),
            (
                "2.4.9",
                "docker.io/hyperledger/fabric-peer:2.4.9",
                "docker.io/hyperledger/fabric-ca:1.5.5",
                "docker.io/library/couchdb:3.2.2",
            ),
            (
                "2.5.10",
                "docker.io/hyperledger/fabric-peer:2.5.10",
                "docker.io/hyperledger/fabric-ca:1.5.13",
                "docker.io/library/couchdb:3.3.3",
            ),
            (
                "2.5.11",
                "ghcr.io/hyperledger/fabric-peer:2.5.11",
                "docker.io/hyperledger/fabric-ca:1.5.14",
                "docker.io/library/couchdb:3.4.2",
            ),
            (
                "2.5.16",
                "ghcr.io/hyperledger/fabric-peer:2.5.16",
                "ghcr.io/hyperledger/fabric-ca:1.5.22",
                "docker.io/library/couchdb:3.4.2",
            ),
            (
                "3.0.0",
                "docker.io/hyperledger/fabric-peer:3.0.0",
                "docker.io/hyperledger/fabric-ca:1.5.12",
                "docker.io/library/couchdb:3.3.3",
            ),
            (
                "3.1.5",
                "ghcr.io/hyperledger/fabric-peer:3.1.5",
                "ghcr.io/hyperledger/fabric-ca:1.5.22",
                "docker.io/library/couchdb:3.4.2",
            ),
        ] {
            let parsed = Version::parse(version).unwrap();
            let images = Images {
                version: &parsed,
                mirror: "",
            };
            assert_eq!(
                (
                    images.peer().as_str(),
                    images.ca().as_str(),
                    images.couchdb().as_str()
                ),
                (peer, ca, couchdb)
            );
            assert_eq!(images.tools().is_some(), parsed.major < 3);
        }
    }

    #[test]
    fn every_patch_of_every_line_resolves() {
        for line in LINES {
            for patch in 0..=line.last_patch {
                let version = Version::new(line.major, line.minor, patch);
                let images = Images {
                    version: &version,
                    mirror: "",
                };
                assert!(
                    images.ca().contains("/hyperledger/fabric-ca:1."),
                    "{version}"
                );
                assert_eq!(
                    images.couchdb().contains(THIRD_PARTY),
                    line.major == 1,
                    "{version}"
                );
            }
        }
        assert!(PAIRS.is_sorted_by_key(|(since, ..)| *since));
    }

    #[test]
    fn a_mirror_takes_the_place_of_the_host() {
        let version = Version::new(2, 5, 16);
        let images = Images {
            version: &version,
            mirror: "registry.example.com:5000/fabric/",
        };
        assert_eq!(
            images.orderer(),
            "registry.example.com:5000/fabric/hyperledger/fabric-orderer:2.5.16"
        );
        assert_eq!(
            images.couchdb(),
            "registry.example.com:5000/fabric/library/couchdb:3.4.2"
        );
        assert_eq!(
            images.chaincode_builder(),
            "registry.example.com:5000/fabric/hyperledger/fabric-ccenv:2.5"
        );
    }
}
