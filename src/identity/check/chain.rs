//! Certificates and their keys: whether they are readable, valid, and signed by an authority.

use super::{Checker, Item, SOON};
use crate::identity::certificate::{
    Certificate, Key, REVOCATIONS, blocks, chain_from_pem, read_key,
};

/// A certificate with the file that it is from.
pub(super) type Found<'i> = (&'i Item, Certificate);

impl Checker<'_> {
    /// Returns the file of a certificate, all certificates in it, and the key of the first one.
    pub(super) fn own<'i>(
        &self,
        item: Option<&'i Item>,
        keys: &[Item],
    ) -> Option<(&'i Item, Vec<Certificate>, Key)> {
        let item = item?;
        let chain = self.certificates(item)?;
        let key = self.key(item, &chain[0], keys)?;
        Some((item, chain, key))
    }

    /// Returns all certificates of a file. Returns `None`, and records a problem, if there is none
    /// or one is unreadable.
    pub fn certificates(&self, item: &Item) -> Option<Vec<Certificate>> {
        let chain = chain_from_pem(&item.bytes, &item.subject).ok();
        if chain.is_none() {
            self.blame(item, "is not a PEM certificate");
        }
        chain
    }

    /// Returns the first certificate of each file.
    pub(super) fn all<'i>(&self, items: &'i [Item]) -> Vec<Found<'i>> {
        items
            .iter()
            .filter_map(|item| Some((item, self.certificates(item)?.swap_remove(0))))
            .collect()
    }

    /// Returns the certificates of authorities. An MSP uses only the first of each file.
    pub(super) fn authorities<'i>(&self, items: &'i [Item], of_msp: bool) -> Vec<Found<'i>> {
        let mut found: Vec<Found> = Vec::new();
        for item in items {
            let Some(mut chain) = self.certificates(item) else {
                continue;
            };
            if of_msp && chain.len() > 1 {
                self.warn(
                    item,
                    format!(
                        "contains {} certificates, but Fabric's MSP reads only the first one",
                        chain.len()
                    ),
                );
                chain.truncate(1);
            }
            for certificate in chain {
                if of_msp && !certificate.is_authority {
                    self.blame(
                        item,
                        "is not the certificate of an authority (basicConstraints, CA:TRUE)",
                    );
                } else if of_msp && !certificate.has_identifier {
                    self.blame(item, "has no subject key identifier, which Fabric's MSP requires of an authority");
                }
                if !found.iter().any(|(_, known)| known == &certificate) {
                    found.push((item, certificate));
                }
            }
        }
        found
    }

    /// Returns the key of a certificate, or records why there is none.
    pub fn key(&self, item: &Item, certificate: &Certificate, keys: &[Item]) -> Option<Key> {
        let mut others = Vec::new();
        for key in keys {
            match read_key(&key.bytes) {
                Ok(read) if certificate.fits(&read.pair) => return Some(read),
                Ok(_) => others.push((key, "does not match the certificate".to_owned())),
                Err(why) => others.push((key, why.to_owned())),
            }
        }
        match keys {
            [] => self.blame(item, "has no private key"),
            _ => others.iter().for_each(|(key, why)| self.blame(key, why)),
        }
        None
    }

    pub fn check_validity(&self, item: &Item, certificate: &Certificate) {
        let (now, ends) = (self.now, certificate.not_after);
        if ends < now {
            self.blame(item, format!("expired on {ends}"));
        } else if certificate.not_before > now {
            self.blame(
                item,
                format!("is not valid before {}", certificate.not_before),
            );
        } else if ends.duration_since(now) < SOON {
            self.warn(item, format!("expires on {ends}"));
        }
    }

    /// Verifies the chain of signatures from a leaf through intermediates to an authority. Returns
    /// the authority's index.
    pub(super) fn check_chain(
        &self,
        item: &Item,
        leaf: &Certificate,
        between: &[Found<'_>],
        roots: &[Found<'_>],
    ) -> Option<usize> {
        let (mut current, mut passed) = (leaf, Vec::new());
        loop {
            if let Some(index) = roots
                .iter()
                .position(|(_, root)| current.is_signed_by(root))
            {
                self.check_validity(roots[index].0, &roots[index].1);
                return Some(index);
            }
            let next = between.iter().find(|(_, next)| {
                !passed.contains(&next) && next != current && current.is_signed_by(next)
            });
            let Some((at, next)) = next else { break };
            self.check_validity(at, next);
            passed.push(next);
            current = next;
        }
        if !roots.is_empty() {
            let known = roots
                .iter()
                .map(|(_, root)| root.subject.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let of_that_name = roots.iter().any(|(_, root)| root.subject == current.issuer);
            let issuer = match (of_that_name, passed.is_empty()) {
                (true, _) => format!("an authority {} with another key signed it", current.issuer),
                (false, true) => format!("its issuer is {}", current.issuer),
                (false, false) => format!(
                    "the issuer of {} above it is {}",
                    current.subject, current.issuer
                ),
            };
            self.blame(item, format!("is not signed by {known} ({issuer})"));
        }
        None
    }

    pub(super) fn revocations(&self, item: &Item) -> Option<Vec<Vec<u8>>> {
        let lists: Vec<_> = blocks(&item.bytes)
            .into_iter()
            .filter(|(label, _)| label == REVOCATIONS)
            .map(|(_, der)| der)
            .collect();
        if lists.is_empty() {
            self.blame(item, "is not a PEM certificate revocation list (X509 CRL)");
            return None;
        }
        Some(lists)
    }
}
