//! What all cases share: the cluster, the way to its API server, and the certificate of the
//! proxies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::proxy::{Fault, Proxy};
use crate::support::Cluster;

pub struct World {
    pub cluster: Cluster,
    pub upstream: SocketAddr,
    pub connector: TlsConnector,
    pub acceptor: TlsAcceptor,
    /// The authority of the proxies' certificate, as PEM.
    authority: PathBuf,
}

impl World {
    pub fn new(cluster: Cluster) -> World {
        let config = kubeconfig(&cluster);
        let entry = &config["clusters"][0]["cluster"];
        let text = |value: &Value| {
            value
                .as_str()
                .expect("a kubeconfig of tests/cluster")
                .to_owned()
        };
        let upstream = text(&entry["server"])
            .trim_start_matches("https://")
            .parse()
            .expect("an address and a port");
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(text(&entry["certificate-authority"]))
            .expect("the server's authority")
        {
            roots
                .add(certificate.expect("a certificate"))
                .expect("an authority");
        }
        let provider = || Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions();
        let client = client
            .expect("versions that ring knows")
            .with_root_certificates(roots)
            .with_no_client_auth();

        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let authority = cluster.folder().join("proxy.crt");
        std::fs::write(&authority, made.cert.pem()).expect("a file in a folder of ours");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions();
        let server = server
            .expect("versions that ring knows")
            .with_no_client_auth();
        let server = server
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key that fits");
        World {
            cluster,
            upstream,
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            authority,
        }
    }

    /// A kubeconfig whose server is a proxy that does `fault` at request number `at`.
    pub fn proxy(&self, fault: Fault, at: usize) -> (Proxy, PathBuf) {
        let proxy = Proxy::start(self, fault, at);
        let mut config = kubeconfig(&self.cluster);
        config["clusters"][0]["cluster"]["server"] =
            format!("https://127.0.0.1:{}", proxy.port).into();
        config["clusters"][0]["cluster"]["certificate-authority"] =
            self.authority.display().to_string().into();
        let path = self
            .cluster
            .folder()
            .join(format!("proxy-{}.kubeconfig", proxy.port));
        std::fs::write(&path, config.to_string()).expect("a file in a folder of ours");
        (proxy, path)
    }
}

fn kubeconfig(cluster: &Cluster) -> Value {
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("the cluster's kubeconfig");
    serde_yaml::from_str(&text).expect("a kubeconfig is YAML")
}
