//! Intermediate authorities, several roots, revocation lists.

use super::*;

/// Authorities and a revocation list, made with openssl.
struct Hierarchy {
    folder: tempfile::TempDir,
}

impl Hierarchy {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Makes the authorities `root`, `other` and `between` (signed by `root`), a peer's identity
    /// signed by `between`, and a list that revokes it.
    fn new() -> Hierarchy {
        let made = Hierarchy {
            folder: tempfile::tempdir().unwrap(),
        };
        let sign = |name: &str, by: &str, extensions: &str| {
            std::fs::write(made.path("extensions"), extensions).unwrap();
            let subject = format!("/CN={name}");
            let (key, request) = (
                made.path(&format!("{name}.key")),
                made.path(&format!("{name}.csr")),
            );
            let new = [
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                &key,
            ];
            openssl(&[&new[..], &["-subj", &subject, "-out", &request]].concat());
            let (crt, signer) = (
                made.path(&format!("{name}.crt")),
                made.path(&format!("{by}.crt")),
            );
            let signing_key = made.path(&format!("{by}.key"));
            let by_whom: Vec<&str> = if by == name {
                vec!["-signkey", &key]
            } else {
                vec!["-CA", &signer, "-CAkey", &signing_key]
            };
            let sign = [
                "x509",
                "-req",
                "-days",
                "36500",
                "-set_serial",
                "7",
                "-in",
                &request,
                "-out",
                &crt,
                "-extfile",
            ];
            openssl(&[&sign[..], &[&made.path("extensions")], &by_whom[..]].concat());
        };
        let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";
        sign("root", "root", authority);
        sign("other", "other", authority);
        sign("between", "root", authority);
        sign(
            "peer0",
            "between",
            "basicConstraints=CA:FALSE\nsubjectAltName=DNS:*.org1",
        );
        std::fs::write(made.path("index.txt"), "").unwrap();
        let settings = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\ndefault_md=sha256\ndefault_crl_days=36500\n",
            made.path("index.txt")
        );
        std::fs::write(made.path("ca.conf"), settings).unwrap();
        let (conf, cert, key) = (
            made.path("ca.conf"),
            made.path("between.crt"),
            made.path("between.key"),
        );
        let ca = ["ca", "-config", &conf, "-cert", &cert, "-keyfile", &key];
        openssl(&[&ca[..], &["-gencrl", "-out", &made.path("empty.crl")]].concat());
        openssl(&[&ca[..], &["-revoke", &made.path("peer0.crt")]].concat());
        openssl(&[&ca[..], &["-gencrl", "-out", &made.path("revokes.crl")]].concat());
        made
    }

    /// Returns a tree whose peer and administrator have this identity.
    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let config = "NodeOUs:\n  Enable: true\n  AdminOUIdentifier:\n    Certificate: intermediatecerts/between.crt\n    \
                      OrganizationalUnitIdentifier: admin\n";
        for member in ["", "peers/peer0.org1/", "users/Admin@org1/"] {
            let mut put =
                |path: &str, bytes: Vec<u8>| files.insert(format!("{ORG1}{member}{path}"), bytes);
            put("msp/cacerts/other.crt", self.read("other.crt"));
            put("msp/cacerts/root.crt", self.read("root.crt"));
            put(
                "msp/intermediatecerts/between.crt",
                self.read("between.crt"),
            );
            put("msp/tlscacerts/root.crt", self.read("root.crt"));
            put(
                "msp/tlsintermediatecerts/between.crt",
                self.read("between.crt"),
            );
            put("msp/crls/list.pem", self.read("empty.crl"));
            put("msp/config.yaml", config.as_bytes().to_vec());
            if member.is_empty() {
                continue;
            }
            put("msp/signcerts/cert.pem", self.read("peer0.crt"));
            put("msp/keystore/key", self.read("peer0.key"));
            for role in ["server", "client"] {
                put(&format!("tls/{role}.crt"), self.read("peer0.crt"));
                put(&format!("tls/{role}.key"), self.read("peer0.key"));
            }
            put("tls/ca.crt", self.read("root.crt"));
        }
        files
    }
}

#[test]
fn intermediate_authorities_several_roots_and_revocation_lists_are_taken_by_every_source() {
    let made = Hierarchy::new();
    let later: jiff::Timestamp = "2060-01-01T00:00:00Z".parse().unwrap();
    let source = |files| Source::CryptoConfig {
        folder: "crypto-config".to_owned(),
        files,
    };
    let planned = plan(&enrolled(1), &BTreeMap::new(), &source(made.tree()), later).unwrap();
    let secrets = as_existing(&planned);
    let msp = &secrets["peer0-msp"];
    let pem = |name: &str| {
        Certificate::from_pem(&made.read(name), name)
            .unwrap()
            .to_pem()
    };
    assert_eq!(
        (text(msp, "cacert.pem"), text(msp, "cacert2.pem")),
        (pem("root.crt"), pem("other.crt")),
        "its own root comes first"
    );
    assert_eq!(text(msp, "intermediatecert.pem"), pem("between.crt"));
    assert!(text(msp, "crl.pem").starts_with("-----BEGIN X509 CRL-----"));
    assert!(
        text(msp, "config.yaml").contains("Certificate: intermediatecerts/cert.pem\n"),
        "{}",
        text(msp, "config.yaml")
    );
    let tls = &secrets["peer0-tls"];
    assert_eq!(
        certificate::chain_from_pem(text(tls, "tls.crt").as_bytes(), "chain")
            .unwrap()
            .len(),
        2,
        "who trusts the root verifies it"
    );
    assert_eq!(
        planned.items,
        BTreeMap::from(
            [
                ("cacert2.pem", "cacerts/"),
                ("crl.pem", "crls/"),
                ("tlsintermediatecert.pem", "tlsintermediatecerts/")
            ]
            .map(|(entry, folder)| (entry.to_owned(), format!("{folder}{entry}")))
        )
    );
    let users = as_users(&enrolled(1), &secrets);
    let kept = plan(&users, &secrets, &Source::Generate, later).unwrap();
    assert_eq!(kept.items, planned.items);

    let mut revoked = made.tree();
    revoked.insert(
        format!("{ORG1}peers/peer0.org1/msp/crls/list.pem"),
        made.read("revokes.crl"),
    );
    let error = plan(&enrolled(1), &BTreeMap::new(), &source(revoked), later)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("peers/peer0.org1/msp/signcerts/cert.pem   is revoked by a revocation list"),
        "{error}"
    );
    let mut damaged = secrets.clone();
    set(
        damaged.get_mut("peer0-msp").unwrap(),
        "crl.pem",
        &made.read("revokes.crl"),
    );
    let error = plan(&users, &damaged, &Source::Generate, later)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data[\"cert.pem\"]: is revoked by a revocation list"),
        "{error}"
    );

    let mut broken = made.tree();
    broken.remove(&format!(
        "{ORG1}peers/peer0.org1/msp/intermediatecerts/between.crt"
    ));
    broken.remove(&format!("{ORG1}msp/intermediatecerts/between.crt"));
    let error = plan(&enrolled(1), &BTreeMap::new(), &source(broken), later)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not signed by other, root (its issuer is between)"),
        "{error}"
    );
    damaged = secrets.clone();
    damaged.get_mut("peer0-msp").unwrap()["data"]
        .as_object_mut()
        .unwrap()
        .remove("intermediatecert.pem");
    let error = plan(&users, &damaged, &Source::Generate, later)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data[\"cert.pem\"]: is not signed by root, other (its issuer is between)"),
        "{error}"
    );
}

#[test]
fn a_certificate_that_ends_soon_is_reported_whatever_the_source() {
    let soon: jiff::Timestamp = "2036-11-01T00:00:00Z".parse().unwrap();
    let imported = plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), soon).unwrap();
    let tells = |warnings: &[String], place: &str| {
        warnings
            .iter()
            .any(|it| it.contains(place) && it.contains(" expires on 2036-11-"))
    };
    assert!(
        tells(&imported.warnings, "Secret org1/peer0-tls"),
        "{:?}",
        imported.warnings
    );
    let secrets = as_existing(&imported);
    let users = plan(
        &as_users(&org1(1), &secrets),
        &secrets,
        &Source::Generate,
        soon,
    )
    .unwrap();
    assert!(
        tells(&users.warnings, "Secret org1/peer0-tls"),
        "{:?}",
        users.warnings
    );
    let custody = Custody::Volume {
        mounted: ["peer0-tls".to_owned()].into(),
    };
    let volume = plan(
        &Organization { custody, ..org1(1) },
        &BTreeMap::new(),
        &crypto_config("v2.5.16"),
        soon,
    )
    .unwrap();
    assert!(
        tells(&volume.warnings, "peers/peer0.org1/tls/server.crt"),
        "{:?}",
        volume.warnings
    );
}
