//! An organization as a member of a network: its contact, its administrator's signature, and
//! connections to its nodes.
//!
//! A release's record is used only if it is verified, because it determines who receives the
//! administrator's signature (docs/concepts/trust.md). Keys stay in memory.

mod administrator;
pub mod ca;
mod call;
mod connect;
mod directory;
mod organization;
pub mod profile;

pub use administrator::{Folder, Signing};
pub use call::{Commits, Failed, Orderer, Peer};
pub use connect::Trust;
pub use directory::{Candidate, Directory, candidates, directory};
pub use organization::{
    Certificates, Installed, Participant, ca_authorities, contact, definition, public_msp,
};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::fabric::contact::{Contact, Node};
use crate::identity::public::MspFiles;
use crate::ledger::envelope::Stamp;
use crate::ledger::sign::Identity;
use crate::node::Grpc;
use administrator::Administrator;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// An organization with its administrator. Clones share their connections.
#[derive(Clone)]
pub struct Member {
    pub contact: Contact,
    /// The administrator.
    pub identity: Identity,
    /// The public part of the organization's MSP.
    pub msp: MspFiles,
    trust: Arc<Trust>,
    cluster: Cluster,
    clock: Clock,
    /// By address. Calls to one node share a connection.
    sessions: Arc<Mutex<BTreeMap<String, Grpc>>>,
}

impl Member {
    /// Loads a release's contact and its administrator.
    ///
    /// # Errors
    ///
    /// Fails for a release that does not exist, is not an organization, or has an unverified
    /// record, and for an administrator that cannot be read, has expired, or is from another
    /// authority.
    pub async fn load(
        cluster: &Cluster,
        namespace: &str,
        release: &str,
        signing: &Signing,
        now: Timestamp,
    ) -> Result<Member> {
        let contact = contact(cluster, namespace, release).await?;
        Member::of(cluster, contact, signing, now).await
    }

    /// Loads the administrator of a contact.
    pub async fn of(
        cluster: &Cluster,
        contact: Contact,
        signing: &Signing,
        now: Timestamp,
    ) -> Result<Member> {
        let clock = Clock::new(cluster, now);
        let administrator = Administrator::load(cluster, &contact, signing, clock.now()).await?;
        let Administrator { identity, msp, tls } = administrator;
        Ok(Member {
            trust: Arc::new(Trust::new(&msp, tls)),
            contact,
            identity,
            msp,
            cluster: cluster.clone(),
            clock,
            sessions: Arc::default(),
        })
    }

    /// The gRPC services of one of its peers.
    pub fn peer(&self, node: &Node) -> Result<Peer<'_>> {
        Ok(Peer::new(self, self.own(node)?))
    }

    /// The gRPC services of one of its orderers.
    pub fn orderer(&self, node: &Node) -> Result<Orderer<'_>> {
        Ok(Orderer::new(self, self.own(node)?))
    }

    /// The gRPC services of an orderer of any organization, by its address in a channel's
    /// configuration and that organization's TLS authorities (PEM).
    pub fn orderer_at(&self, address: &str, authorities: &str) -> Result<Orderer<'_>> {
        let grpc = self.session(address, authorities, || {
            connect::grpc_at(&self.cluster, address, authorities, &self.trust)
        });
        Ok(Orderer::new(self, grpc?))
    }

    /// The gRPC services of a peer of any organization, as [`Member::orderer_at`].
    pub fn peer_at(&self, address: &str, authorities: &str) -> Result<Peer<'_>> {
        let grpc = self.session(address, authorities, || {
            connect::grpc_at(&self.cluster, address, authorities, &self.trust)
        });
        Ok(Peer::new(self, grpc?))
    }

    /// The gRPC services of a peer of another organization that is installed in the cluster, with
    /// the TLS authorities (PEM) that a channel's configuration has for it.
    pub fn peer_of(&self, contact: &Contact, node: &Node, authorities: &str) -> Result<Peer<'_>> {
        let address = format!("{}/{}", contact.namespace, node.host);
        let grpc = self.session(&address, authorities, || {
            connect::grpc_of(&self.cluster, contact, node, authorities, &self.trust)
        });
        Ok(Peer::new(self, grpc?))
    }

    fn own(&self, node: &Node) -> Result<Grpc> {
        self.session(&node.host, "", || {
            connect::grpc(&self.cluster, &self.contact, node, &self.trust)
        })
    }

    /// The session with a node: one for each address and set of authorities.
    fn session(
        &self,
        address: &str,
        authorities: &str,
        make: impl FnOnce() -> Result<Grpc>,
    ) -> Result<Grpc> {
        let key = format!("{address} {authorities}");
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&key) {
            return Ok(session.clone());
        }
        let session = make()?;
        sessions.insert(key, session.clone());
        Ok(session)
    }

    /// Channel participation of one of its orderers.
    pub fn participation(&self, node: &Node) -> Result<crate::node::Rest> {
        connect::participation(&self.cluster, &self.contact, node, &self.trust)
    }

    /// Returns a stamp for a new message, bound to the member's TLS client certificate.
    pub fn stamp(&self) -> Result<Stamp> {
        Ok(Stamp::new(self.clock.now())?.bound_to(self.trust.certificate_hash()))
    }
}

#[cfg(test)]
impl Member {
    /// A member whose nodes are servers of a test.
    pub(crate) fn served(
        cluster: &Cluster,
        contact: Contact,
        identity: Identity,
        nodes: impl IntoIterator<Item = Grpc>,
    ) -> Member {
        let sessions = nodes.into_iter();
        let sessions = sessions.map(|grpc| (format!("{} ", grpc.node().name), grpc));
        let msp = MspFiles::default();
        Member {
            trust: Arc::new(Trust::new(&msp, None)),
            contact,
            identity,
            msp,
            cluster: cluster.clone(),
            clock: Clock::new(cluster, Timestamp::now()),
            sessions: Arc::new(Mutex::new(sessions.collect())),
        }
    }
}

/// The time since the command's start. Fabric rejects messages that are 15 minutes off, so the API
/// server's clock is used if this machine's clock differs much.
#[derive(Clone, Copy)]
struct Clock {
    start: Timestamp,
    began: Instant,
}

impl Clock {
    fn new(cluster: &Cluster, now: Timestamp) -> Clock {
        const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);
        let difference = cluster
            .clock_difference()
            .filter(|difference| difference.abs() > TOLERANCE)
            .unwrap_or_default();
        Clock {
            start: now.checked_add(difference).unwrap_or(now),
            began: Instant::now(),
        }
    }

    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        self.start.checked_add(elapsed).unwrap_or(self.start)
    }
}
