//! The files of a TLS identity.

use super::chain::Found;
use super::{Checker, Item, TlsParts, whole};
use crate::identity::certificate::Certificate;
use crate::identity::profile::Pair;
use crate::identity::secrets::Tls;

impl Checker<'_> {
    /// Checks a TLS identity of `node`. It must be valid for `hosts`, which are names and
    /// addresses.
    pub fn tls(&self, parts: &TlsParts, node: &str, hosts: &[String]) -> Option<Tls> {
        let own = self.own(parts.certificate.as_ref(), &parts.keys);
        // Go reads all certificates in a file of authorities.
        let mut roots: Vec<Found> = Vec::new();
        for item in &parts.roots {
            let certificates = self.certificates(item).into_iter().flatten();
            roots.extend(certificates.map(|certificate| (item, certificate)));
        }
        let mut between = self.authorities(&parts.intermediates, false);
        let (item, chain, key) = own?;
        let leaf = &chain[0];
        self.check_validity(item, leaf);
        between.retain(|(_, certificate)| !chain.contains(certificate));
        let sent = chain[1..].iter();
        let sent = sent.map(|certificate| (item, certificate.clone()));
        drop(between.splice(0..0, sent));
        let signer = self.check_chain(item, leaf, &between, &roots);
        self.check_hosts(item, leaf, node, hosts);
        if roots.is_empty() {
            return None;
        }
        let mut certificate = whole(item, leaf);
        // A client that trusts only the root needs the intermediates. Go sends them if they follow
        // the certificate.
        for (_, more) in between.iter().skip(chain.len() - 1) {
            certificate.push_str(&more.to_pem());
        }
        Some(Tls {
            pair: Pair {
                certificate,
                key: key.pem,
            },
            ca: pems(&roots, signer.unwrap_or(0)),
        })
    }

    fn check_hosts(&self, item: &Item, leaf: &Certificate, node: &str, hosts: &[String]) {
        let absent: Vec<&str> = hosts
            .iter()
            .filter(|host| !leaf.covers(host))
            .map(String::as_str)
            .collect();
        if absent.is_empty() {
            return;
        }
        let names = match leaf.hosts.is_empty() {
            true => "none".to_owned(),
            false => leaf.hosts.join(", "),
        };
        let absent = absent.join(", ");
        self.blame(
            item,
            format!("is not valid for {absent} (its names: {names})"),
        );
        let mut lacking = self.absent.borrow_mut();
        lacking.push((node.to_owned(), hosts.to_vec()));
    }
}

/// Returns the authorities without duplicates, the signer first.
fn pems(roots: &[Found<'_>], signer: usize) -> String {
    let others = roots.iter().enumerate();
    let others = others.filter(|(index, _)| *index != signer);
    let mut pems: Vec<String> = Vec::new();
    for (_, root) in std::iter::once(&roots[signer]).chain(others.map(|(_, root)| root)) {
        let pem = root.to_pem();
        if !pems.contains(&pem) {
            pems.push(pem);
        }
    }
    pems.concat()
}
