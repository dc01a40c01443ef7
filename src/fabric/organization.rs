//! Derives names from a release and its namespace: domains, MSP IDs, addresses, and hosts of
//! certificates.
//!
//! | | `org1` | `org1` in namespace `org1-dev` |
//! |---|---|---|
//! | network | none | `dev` |
//! | domain | `org1` | `org1-dev` |
//! | MSP id | `Org1MSP` | `Org1MSP` |
//! | address of its first peer | `peer0.org1` | `peer0.org1-dev` |
//!
//! A node has the name and namespace of its Service. `peer0.org1` resolves in every pod of the
//! cluster through the search list `svc.cluster.local`, and it is the name in the node's
//! certificates, because cryptogen joins hostname and domain.

use super::settings::Settings;
use crate::identity::Node;

/// The node name of the CA server.
pub const CA: &str = "ca";

/// The names of a release, in the network and in certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub namespace: String,
    pub domain: String,
    pub msp_id: String,
    /// The common suffix of the namespaces of one network, without its dash. Empty if there is
    /// none.
    pub network: String,
    /// The number at the end of the release name: 1 for `org1`.
    pub number: Option<u64>,
}

impl Names {
    pub fn of(release: &str, namespace: &str, settings: &Settings) -> Names {
        let (base, network) = network(release, namespace);
        let or = |path: &str, default: String| match settings.text(path) {
            "" => default,
            text => text.to_owned(),
        };
        Names {
            namespace: namespace.to_owned(),
            domain: or("/org/domain", namespace.to_owned()),
            msp_id: or("/org/mspID", msp_id(base)),
            network: network.to_owned(),
            number: base[base
                .trim_end_matches(|letter: char| letter.is_ascii_digit())
                .len()..]
                .parse()
                .ok(),
        }
    }

    /// Fills in a pattern from the values for one node, with `{node}`, `{domain}` and
    /// `{namespace}`.
    pub fn fill(&self, pattern: &str, node: &str) -> String {
        pattern
            .replace("{node}", node)
            .replace("{domain}", &self.domain)
            .replace("{namespace}", &self.namespace)
    }

    /// Returns a node's address, such as `peer0.org1`.
    pub fn address(&self, node: &str) -> String {
        format!("{node}.{}", self.namespace)
    }

    /// Returns a node with the hosts of its TLS certificate: cryptogen's `[CN, Hostname] + SANS`,
    /// the Service's longer names, and the user's.
    ///
    /// `localhost` is for programs in the node's own pod. `outside` are the names outside of the
    /// cluster.
    pub fn node(&self, name: &str, outside: &[String], extra_hosts: &[&str]) -> Node {
        let address = self.address(name);
        let own = [
            address.clone(),
            name.to_owned(),
            format!("{address}.svc"),
            format!("{address}.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            format!("{name}.{}", self.domain),
        ];
        let mut hosts: Vec<String> = Vec::new();
        for host in own
            .into_iter()
            .chain(outside.iter().cloned())
            .chain(extra_hosts.iter().map(|host| (*host).to_owned()))
        {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let mut advertised: Vec<String> = Vec::new();
        for host in std::iter::once(address)
            .chain(outside.iter().cloned())
            .chain(extra_hosts.iter().map(|host| (*host).to_owned()))
        {
            if !advertised.contains(&host) {
                advertised.push(host);
            }
        }
        Node {
            name: name.to_owned(),
            hosts,
            advertised,
        }
    }

    /// Returns the namespace of another release of the same network: `org2` is in `org2-dev` in the
    /// network `dev`.
    pub fn sibling(&self, release: &str) -> String {
        match self.network.as_str() {
            "" => release.to_owned(),
            network if release.ends_with(&format!("-{network}")) => release.to_owned(),
            network => format!("{release}-{network}"),
        }
    }
}

/// Returns the network of a release: `dev` of `org1` in namespace `org1-dev`, or nothing.
pub fn network_of<'a>(release: &'a str, namespace: &'a str) -> &'a str {
    network(release, namespace).1
}

/// Returns the base name of a release and its network: from a namespace that consists of the
/// release name and a suffix, or from a default name with a suffix.
fn network<'a>(release: &'a str, namespace: &'a str) -> (&'a str, &'a str) {
    if let Some(suffix) = namespace
        .strip_prefix(release)
        .and_then(|rest| rest.strip_prefix('-'))
    {
        return (release, suffix);
    }
    match release.split_once('-') {
        Some((base, suffix)) if is_usual(base) && namespace == release => (base, suffix),
        _ => (release, ""),
    }
}

/// Returns true for the names with a default chart: `org1`, `orgorderer1`, `kafka`.
fn is_usual(name: &str) -> bool {
    let number = name
        .strip_prefix("orgorderer")
        .or_else(|| name.strip_prefix("org"));
    name == "kafka"
        || number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Returns the MSP ID in the article's style: `org1` → `Org1MSP`.
fn msp_id(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => format!("{}{}MSP", first.to_ascii_uppercase(), letters.as_str()),
        None => "MSP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(release: &str, namespace: &str) -> Names {
        Names::of(release, namespace, &Settings::new(&json!({})))
    }

    #[test]
    fn names_follow_release_and_namespace() {
        for (release, namespace, msp_id, network) in [
            ("org1", "org1", "Org1MSP", ""),
            ("orgorderer1", "orgorderer1", "Orgorderer1MSP", ""),
            ("org1", "org1-dev", "Org1MSP", "dev"),
            ("org1-dev", "org1-dev", "Org1MSP", "dev"),
            ("org1", "fabric", "Org1MSP", ""),
            ("acme", "acme-dev", "AcmeMSP", "dev"),
            ("acme-corp", "acme-corp", "Acme-corpMSP", ""),
            ("org", "org", "OrgMSP", ""),
        ] {
            let names = names(release, namespace);
            assert_eq!(
                (names.msp_id.as_str(), names.network.as_str()),
                (msp_id, network),
                "{release} in {namespace}"
            );
            assert_eq!(names.domain, namespace);
        }
    }

    #[test]
    fn values_have_the_last_word() {
        let values = json!({"org": {"domain": "org1.example.com", "mspID": "AcmeMSP"}});
        let names = Names::of("org1", "org1", &Settings::new(&values));
        assert_eq!(
            (names.domain.as_str(), names.msp_id.as_str()),
            ("org1.example.com", "AcmeMSP")
        );
        let hosts = names
            .node("peer0", &["peer0.example.com".to_owned()], &["peer0"])
            .hosts;
        assert_eq!(hosts[0], "peer0.org1");
        assert_eq!(hosts[6..], ["peer0.org1.example.com", "peer0.example.com"]);
    }

    #[test]
    fn hosts_are_every_name_of_the_service_once() {
        assert_eq!(
            names("org1", "org1").node("peer0", &[], &[]).hosts,
            [
                "peer0.org1",
                "peer0",
                "peer0.org1.svc",
                "peer0.org1.svc.cluster.local",
                "localhost",
                "127.0.0.1"
            ]
        );
    }

    #[test]
    fn references_stay_inside_the_network() {
        assert_eq!(names("org1", "org1").sibling("org2"), "org2");
        let dev = names("org1", "org1-dev");
        assert_eq!(
            (dev.sibling("org2"), dev.sibling("org2-dev")),
            ("org2-dev".to_owned(), "org2-dev".to_owned())
        );
    }
}
