//! Connections and calls to Fabric nodes: gRPC, and the REST services of orderers, CAs and the
//! operations ports.
//!
//! Generic over the messages, which callers define. Dropping closes everything, so an interrupted
//! run leaves no connections open.
//!
//! Links send no keep-alive pings, because Fabric's servers end a connection that pings more often
//! than once a minute. Without pings, a silent link never fails by itself, so each call has a
//! deadline, and a link is not reused after a call missed its deadline.

mod fault;
mod grpc;
mod link;
mod participation;
mod rest;
mod route;
mod session;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub use fault::{Broken, Cause, Fault, Heard, Refusal, Retry, Status};
pub use grpc::{Exchange, Grpc, MAX_MESSAGE};
pub use participation::{ChannelInfo, ChannelList, ChannelName};
pub use rest::Rest;
pub use route::{Address, Route};
pub use session::{Limits, Session};
pub use tls::{ClientCertificate, Security, Tls};

/// A port of a node: the route to it, and its identity.
#[derive(Clone, Debug)]
pub struct Node {
    /// For errors: `peer0.org1`.
    pub name: String,
    pub route: Route,
    pub security: Security,
}
