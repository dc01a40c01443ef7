//! Checks that an identity's files satisfy Fabric. The same rules apply to a crypto-config folder,
//! Secrets that the user keeps, and files on a volume. Each source provides its files as
//! [`MspParts`] and [`TlsParts`].
//!
//! Sources: `msp/configbuilder.go` and `msp/mspimplsetup.go`. Collects all problems. No message
//! shows a key's content.

mod chain;
mod msp;
mod tls;

pub use msp::MspConfig;

use super::certificate::Certificate;
use crate::error::Place;
use jiff::Timestamp;
use std::cell::RefCell;

/// A file, or an entry of a Secret.
#[derive(Clone)]
pub struct Item {
    /// Such as `crypto-config/peerOrganizations/...` or `Secret org1/peer0-tls`.
    pub subject: String,
    /// Prefix of notes about it: the entry of a Secret.
    pub prefix: String,
    /// Path below the MSP folder, as in `config.yaml`: `cacerts/ca.org1-cert.pem`.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// The files of an MSP, as found.
#[derive(Default)]
pub struct MspParts {
    pub certificate: Option<Item>,
    pub keys: Vec<Item>,
    pub roots: Vec<Item>,
    pub intermediates: Vec<Item>,
    pub tls_roots: Vec<Item>,
    pub tls_intermediates: Vec<Item>,
    pub revocations: Vec<Item>,
    pub admins: Vec<Item>,
    pub config: Option<Item>,
}

/// The files of a TLS identity, as found.
#[derive(Default)]
pub struct TlsParts {
    /// The certificate, and any intermediates.
    pub certificate: Option<Item>,
    pub keys: Vec<Item>,
    pub roots: Vec<Item>,
    pub intermediates: Vec<Item>,
}

/// Checks the identities of one organization.
pub struct Checker<'a> {
    pub domain: &'a str,
    pub now: Timestamp,
    problems: RefCell<Vec<Place>>,
    warnings: RefCell<Vec<String>>,
    /// Names that certificates lack, for each node that needs them.
    absent: RefCell<Vec<(String, Vec<String>)>>,
}

/// How long before its expiry a certificate causes a warning.
pub const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);

impl<'a> Checker<'a> {
    pub fn new(domain: &'a str, now: Timestamp) -> Checker<'a> {
        Checker {
            domain,
            now,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            absent: RefCell::default(),
        }
    }

    /// Returns the problems found so far, without duplicates.
    pub fn problems(&self) -> Vec<Place> {
        let mut problems: Vec<Place> = Vec::new();
        for place in self.problems.take() {
            if !problems
                .iter()
                .any(|known| (&known.subject, &known.note) == (&place.subject, &place.note))
            {
                problems.push(place);
            }
        }
        problems
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.take();
        warnings.sort();
        warnings.dedup();
        warnings
    }

    /// Returns advice about names that certificates lack: which certificates to reissue, with which
    /// names.
    pub fn reissue_hint(&self) -> Option<String> {
        let absent = self.absent.take();
        let each = absent
            .iter()
            .map(|(node, hosts)| format!("{node} with the names {}", hosts.join(", ")));
        let each = each.collect::<Vec<_>>().join("; ");
        (!absent.is_empty()).then(|| {
            format!(
                "reissue these TLS certificates from the same authority: {each} (cryptogen: SANS; \
                 fabric-ca-client: --csr.hosts; cert-manager: dnsNames)"
            )
        })
    }

    pub fn problem(&self, subject: impl Into<String>, note: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(Place::new(subject.into()).note(note.into()));
    }

    pub fn blame(&self, item: &Item, note: impl std::fmt::Display) {
        self.problem(item.subject.clone(), format!("{}{note}", item.prefix));
    }

    fn warn(&self, item: &Item, note: impl std::fmt::Display) {
        let entry = if item.prefix.is_empty() { "" } else { " " };
        self.warnings.borrow_mut().push(format!(
            "{}{entry}{} {note}",
            item.subject,
            item.prefix.trim_end_matches(": ")
        ));
    }
}

/// Returns a certificate's text as found, so that an unchanged certificate keeps its bytes.
fn whole(item: &Item, leaf: &Certificate) -> String {
    String::from_utf8(item.bytes.clone()).unwrap_or_else(|_| leaf.to_pem())
}
