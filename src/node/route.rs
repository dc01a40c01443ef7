//! The routes to a node's port.

use super::fault::{Cause, explain};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How to reach a port of a node.
#[derive(Clone, Debug)]
pub enum Route {
    /// Through the API server, to a ready pod of the node's Service. This is the default. It works
    /// wherever the API server is reachable, and needs no network policy.
    Forward {
        cluster: Cluster,
        namespace: String,
        service: String,
        /// The Service's port, or a port of the pod that the Service does not list.
        port: u16,
    },
    /// The Service's name in the cluster, for a program that runs in a pod.
    InCluster(Address),
    /// An external address of the node.
    Exposed(Address),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl FromStr for Address {
    type Err = Error;

    /// `peer0.example.com:443`, `10.0.0.1:7051`, `[fd00::1]:7051`
    fn from_str(text: &str) -> Result<Address> {
        let wrong = |why: &str| {
            Error::user(format!("\"{text}\" is not a node address"))
                .why(why)
                .hint("expected HOST:PORT, such as peer0.example.com:443")
        };
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("the port is missing"))?;
        let port: u16 = port
            .parse()
            .map_err(|_| wrong("the port is not a number up to 65535"))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(bare) if bare.parse::<std::net::Ipv6Addr>().is_ok() => bare,
            Some(_) => return Err(wrong("the brackets do not contain an IPv6 address")),
            None if host.contains([':', '/']) => {
                return Err(wrong("it has more parts than a host and a port"));
            }
            None => host,
        };
        if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
            return Err(wrong("it has no host or no port"));
        }
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A connection over any route.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Route {
    /// Opens a connection. Dropping it closes it.
    pub(super) async fn open(&self) -> Result<Box<dyn Stream>, Cause> {
        match self {
            Route::Forward {
                cluster,
                namespace,
                service,
                port,
            } => {
                let target = cluster.ready_pod(namespace, service, *port).await?;
                Ok(Box::new(cluster.forward(namespace, &target).await?))
            }
            Route::InCluster(address) | Route::Exposed(address) => {
                Ok(Box::new(self.dial(address).await?))
            }
        }
    }

    async fn dial(&self, address: &Address) -> Result<TcpStream, Cause> {
        let dialed = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = dialed.map_err(|error| {
            let mut broken = explain(&error);
            broken.why = format!("cannot reach {address}: {}", broken.why);
            if matches!(self, Route::InCluster(_)) {
                broken.hint = Some(
                    "the address only exists in the cluster, and the node's network policies must \
                     allow this pod",
                );
            }
            Cause::Connection(broken)
        })?;
        // Send small messages immediately: Nagle's algorithm would delay a call by 40 ms.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl fmt::Display for Route {
    /// `peer0.org1:7051`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Forward {
                namespace,
                service,
                port,
                ..
            } => write!(f, "{service}.{namespace}:{port}"),
            Route::InCluster(address) | Route::Exposed(address) => write!(f, "{address}"),
        }
    }
}
