//! Sends a transaction to the orderers.

use super::patience::Pauses;
use super::view::{Address, View};
use crate::cluster::ApiErrorKind;
use crate::error::{Error, Place, Result};
use crate::identity::NodeRole;
use crate::ledger::message::common::Envelope;
use crate::member::Member;
use crate::node::{Cause, Fault, Retry};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use tokio::time::Instant;

/// Returns the place of a node with its error.
pub fn place(node: &str, error: &Error) -> Place {
    let reasons = error.reasons().join(": ");
    Place::new(node).note(match reasons.is_empty() {
        true => error.what().to_owned(),
        false => reasons,
    })
}

/// Sends a transaction to as many orderers as needed for one honest orderer to forward it. Retries
/// orderers without a leader until the deadline. It is safe to send a transaction again: the second
/// copy becomes invalid.
///
/// The orderers may be in a namespace or a cluster that is not reached from here. Then a peer of the
/// member sends the transaction, by its gateway service.
pub async fn broadcast(
    member: &Member,
    view: &View,
    envelope: &Envelope,
    deadline: Instant,
) -> Result<()> {
    if view.orderers.is_empty() {
        return Err(Error::cluster(format!(
            "channel \"{}\" has no orderer addresses",
            view.name
        )));
    }
    let mut pauses = Pauses::until(deadline);
    loop {
        let mut sent = stream::iter(&view.orderers)
            .map(async |orderer| (orderer, send(member, orderer, envelope).await))
            .buffer_unordered(view.takers);
        let (mut taken, mut places, mut may_pass) = (0, Vec::new(), false);
        let mut is_away = false;
        while let Some((orderer, result)) = sent.next().await {
            match result {
                Ok(()) => taken += 1,
                Err(Refused::Fault(fault)) => {
                    may_pass |= fault.retry() != Retry::No;
                    is_away |= is_not_here(&fault);
                    places.push(place(&orderer.address, &fault.into()));
                }
                Err(Refused::Unusable(error)) => places.push(place(&orderer.address, &error)),
            }
            if taken == view.takers {
                return Ok(());
            }
        }
        // Fewer orderers than a BFT channel needs. Those that accepted it may still be honest.
        if taken > 0 {
            return Ok(());
        }
        if is_away && member.contact.role == NodeRole::Peer {
            match by_peer(member, &view.name, envelope).await {
                Ok(()) => return Ok(()),
                Err((more, passes)) => {
                    places.extend(more);
                    may_pass |= passes;
                }
            }
        }
        if !(may_pass && pauses.wait().await) {
            return Err(Error::cluster(format!(
                "no orderer of channel \"{}\" accepts the transaction",
                view.name
            ))
            .at_all(places));
        }
    }
}

/// Whether a node's namespace is not this user's, or not in this cluster.
fn is_not_here(fault: &Fault) -> bool {
    match &fault.cause {
        Cause::Forbidden(_) => true,
        Cause::Forward(error) => error.kind == ApiErrorKind::NotFound,
        _ => false,
    }
}

/// Sends a transaction through the first own peer that takes it. Otherwise returns what each
/// answered, and whether it may pass.
async fn by_peer(
    member: &Member,
    channel: &str,
    envelope: &Envelope,
) -> Result<(), (Vec<Place>, bool)> {
    let (mut places, mut may_pass) = (Vec::new(), false);
    for node in &member.contact.nodes {
        let failed: Error = match member.peer(node) {
            Ok(peer) => match peer.submit(channel, envelope).await {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    may_pass |= fault.retry() != Retry::No;
                    fault.into()
                }
            },
            Err(error) => error,
        };
        places.push(place(&node.host, &failed));
    }
    Err((places, may_pass))
}

/// Connects to the orderers that are called first.
pub async fn warm(member: &Member, view: &View) {
    let first = view.orderers.iter().take(view.takers);
    let each = first.map(async |it| {
        if let Ok(orderer) = member.orderer_at(&it.address, &it.authorities) {
            orderer.grpc().warm().await;
        }
    });
    join_all(each).await;
}

enum Refused {
    Fault(Fault),
    Unusable(Error),
}

async fn send(member: &Member, orderer: &Address, envelope: &Envelope) -> Result<(), Refused> {
    let Address {
        address,
        authorities,
    } = orderer;
    let orderer = member
        .orderer_at(address, authorities)
        .map_err(Refused::Unusable)?;
    orderer.broadcast(envelope).await.map_err(Refused::Fault)
}
