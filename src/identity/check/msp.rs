//! The files of an MSP.

use super::chain::Found;
use super::{Checker, Item, MspParts, whole};
use crate::identity::certificate::{self, REVOCATIONS};
use crate::identity::profile::Pair;
use crate::identity::secrets::{Msp, ca_file};
use crate::yaml;
use serde_json::Value;

/// An MSP's `config.yaml` and the authorities that it names: the path, the index among roots or
/// intermediates, and whether it is a root.
pub struct MspConfig {
    pub text: String,
    pub names: Vec<(String, usize, bool)>,
}

impl Checker<'_> {
    /// Checks an MSP. Returns `None`, and records problems, if a part is missing or unreadable.
    pub fn msp(&self, parts: &MspParts) -> Option<Msp> {
        let own = self.own(parts.certificate.as_ref(), &parts.keys);
        let roots = self.authorities(&parts.roots, true);
        let between = self.authorities(&parts.intermediates, true);
        let tls_roots = self.authorities(&parts.tls_roots, true);
        let tls_between = self.authorities(&parts.tls_intermediates, true);
        let admins: Vec<_> = self.all(&parts.admins);
        let revocations: Vec<_> = parts
            .revocations
            .iter()
            .filter_map(|item| self.revocations(item))
            .flatten()
            .collect();
        let config = self.config(parts, &roots, &between, admins.is_empty());
        // Fabric reads only the first certificate of a file.
        let (item, mut chain, key) = own?;
        let leaf = chain.swap_remove(0);
        self.check_validity(item, &leaf);
        if leaf.is_authority {
            self.blame(
                item,
                "is a certificate of an authority, which Fabric does not accept as an identity",
            );
        }
        if revocations.iter().any(|list| leaf.is_revoked_by(list)) {
            self.blame(item, "is revoked by a revocation list in crls");
        }
        let signer = self.check_chain(item, &leaf, &between, &roots);
        if roots.is_empty() || tls_roots.is_empty() {
            return None;
        }
        let pems = |found: &[Found<'_>]| found.iter().map(|(_, one)| one.to_pem()).collect();
        Some(Msp {
            pair: Pair {
                certificate: whole(item, &leaf),
                key: key.pem,
            },
            roots: pems(&roots),
            signer: signer.unwrap_or(0),
            intermediates: pems(&between),
            tls_roots: pems(&tls_roots),
            tls_intermediates: pems(&tls_between),
            revocations: revocations
                .iter()
                .map(|list| certificate::to_pem(REVOCATIONS, list))
                .collect(),
            config,
            admins: pems(&admins),
        })
    }

    /// Returns an MSP's `config.yaml` with the paths of authorities on the nodes.
    ///
    /// Fabric must be able to recognize administrators, either by the unit in a certificate
    /// (NodeOUs) or by certificates in `admincerts` (`msp/mspimplsetup.go`, `setupAdminsV142`).
    fn config(
        &self,
        parts: &MspParts,
        roots: &[Found<'_>],
        between: &[Found<'_>],
        no_admins: bool,
    ) -> Option<MspConfig> {
        const WHO: &str = "config.yaml with NodeOUs and an AdminOUIdentifier, or an \
                           administrator's certificate in admincerts";
        let Some(item) = &parts.config else {
            if let (true, Some(certificate)) = (no_admins, &parts.certificate) {
                self.blame(
                    certificate,
                    format!("its MSP defines no administrator: it needs {WHO}"),
                );
            }
            return None;
        };
        let parsed = std::str::from_utf8(&item.bytes)
            .ok()
            .and_then(|text| Some((text, yaml::parse(text, &item.subject).ok()?)));
        let Some((text, config)) = parsed else {
            self.blame(item, "is not YAML");
            return None;
        };
        let units = &config["NodeOUs"];
        let enabled = units["Enable"] == true;
        if no_admins
            && !(enabled && units["AdminOUIdentifier"]["OrganizationalUnitIdentifier"].is_string())
        {
            self.blame(
                item,
                format!("defines no administrator: an MSP needs {WHO}"),
            );
        }
        Some(MspConfig {
            text: text.to_owned(),
            names: self.named_authorities(item, units, roots, between),
        })
    }

    /// Returns the authorities that `config.yaml` names.
    fn named_authorities(
        &self,
        item: &Item,
        units: &Value,
        roots: &[Found<'_>],
        between: &[Found<'_>],
    ) -> Vec<(String, usize, bool)> {
        let paths = |found: &[Found<'_>]| -> Vec<String> {
            found.iter().map(|(item, _)| item.path.clone()).collect()
        };
        let (roots, between) = (paths(roots), paths(between));
        let place = |named: &str| {
            let is_it = |path: &String| path == named;
            let root = roots.iter().position(is_it).map(|index| (index, true));
            root.or_else(|| Some((between.iter().position(is_it)?, false)))
        };
        let units = units.as_object().into_iter().flatten();
        let named = units.filter_map(|(_, unit)| unit.get("Certificate")?.as_str());
        let mut names = Vec::new();
        for named in named.filter(|named| !named.is_empty()) {
            if let Some((index, is_root)) = place(named) {
                names.push((named.to_owned(), index, is_root));
                continue;
            }
            let have = match [&roots[..], &between[..]].concat() {
                paths if paths.is_empty() => ca_file(self.domain),
                paths => paths.join(", "),
            };
            self.blame(
                item,
                format!("names the certificate {named}, but the MSP has {have}"),
            );
        }
        names
    }
}
