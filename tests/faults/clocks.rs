//! A machine whose clock is not the API server's: certificates are dated by the server's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::proxy::Fault;
use crate::support::{self, Cluster};
use crate::world::World;

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// Begin and end of a certificate in a Secret, in seconds since 1970.
fn validity(cluster: &Cluster, namespace: &str, secret: &str, key: &str) -> (i64, i64) {
    let secret = cluster
        .get("secret", secret, Some(namespace))
        .unwrap_or_else(|| panic!("Secret {secret}"));
    let pem = BASE64_STANDARD
        .decode(secret["data"][key].as_str().expect("a certificate"))
        .expect("base64");
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).expect("PEM");
    let (_, certificate) = X509Certificate::from_der(&pem.contents).expect("X.509");
    (
        certificate.validity().not_before.timestamp(),
        certificate.validity().not_after.timestamp(),
    )
}

#[test]
fn certificates_are_dated_by_the_servers_clock() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let world = World::new(cluster);
    let now = Timestamp::now().as_second();
    let cases = [
        (0, None),
        (-30, None),
        (-3 * HOUR, Some("ahead of the API server's")),
        (20 * YEAR, Some("days behind the API server's")),
    ];
    for (index, (seconds, words)) in cases.into_iter().enumerate() {
        let namespace = world.cluster.namespace(&format!("clock{index}"));
        let (_proxy, kubeconfig) = world.proxy(Fault::Dated(seconds), 0);
        let install = world.cluster.fabric().args([
            "install",
            "org1",
            "-n",
            &namespace,
            "--wait=false",
            "--set",
            "peers.count=1",
        ]);
        let output = install.env("KUBECONFIG", &kubeconfig).run().success();
        assert_eq!(
            output.stderr.contains("the clock of this machine is"),
            words.is_some(),
            "{seconds}: {}",
            output.stderr
        );
        assert!(
            words.is_none_or(|words| output.stderr.contains(words)),
            "{seconds}: {}",
            output.stderr
        );
        let server = now + if words.is_some() { seconds } else { 0 };
        for (secret, key) in [("org1-ca", "cert.pem"), ("org1-tlsca", "cert.pem")] {
            let (begins, ends) = validity(&world.cluster, &namespace, secret, key);
            assert!(
                (begins - server + 5 * 60).abs() < 10 * 60,
                "{secret} of {seconds}: begins {}",
                begins - now
            );
            assert!(
                ends - server > 9 * YEAR,
                "{secret} of {seconds}: ends {}",
                ends - now
            );
        }
        // Nothing new is dated, so there is nothing to tell.
        let again =
            world
                .cluster
                .fabric()
                .args(["upgrade", "org1", "-n", &namespace, "--wait=false"]);
        let again = again.env("KUBECONFIG", &kubeconfig).run().success();
        assert!(
            !again.stderr.contains("the clock of this machine is"),
            "{}",
            again.stderr
        );
    }
}
