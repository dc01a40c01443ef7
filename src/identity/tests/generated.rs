//! Generated keys and certificates.

use super::*;

/// Returns the output of `openssl x509 -text` with serial, key, times, signature and key
/// identifiers replaced, and extensions sorted by name.
fn profile_of(pem: &Path) -> Vec<String> {
    let text = openssl(&[
        "x509",
        "-noout",
        "-text",
        "-certopt",
        "no_serial,no_sigdump,no_pubkey,no_validity",
        "-nameopt",
        "RFC2253,show_type",
        "-in",
        pem.to_str().unwrap(),
    ]);
    let is_identifier = |line: &str| line.len() > 40 && line.split(':').all(|part| part.len() == 2);
    let mut lines: Vec<String> = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| *line != "X509v3 extensions:")
    {
        match lines.last_mut() {
            // Joins the heading of an extension and its value, so that sorting keeps them together.
            Some(last)
                if last.starts_with("X509v3") && last.ends_with(':')
                    || last.ends_with(": critical") =>
            {
                let value = if is_identifier(line) {
                    format!("{} bytes", line.split(':').count())
                } else {
                    line.to_owned()
                };
                *last = format!("{last} {value}");
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.sort();
    lines
}

#[test]
fn generated_certificates_have_the_fields_of_cryptogens() {
    let folder = tempfile::tempdir().unwrap();
    for (organization, role, node) in [
        (org1(1), "peer", "peer0"),
        (orgorderer1(1), "orderer", "orderer0"),
    ] {
        let made =
            as_existing(&plan(&organization, &BTreeMap::new(), &Source::Generate, now()).unwrap());
        let domain = &organization.domain;
        let theirs = fixture("v2.5.16").join(format!("{role}Organizations/{domain}"));
        for (secret, key, path) in [
            (
                format!("{domain}-ca"),
                "cert.pem",
                format!("ca/ca.{domain}-cert.pem"),
            ),
            (
                format!("{domain}-tlsca"),
                "cert.pem",
                format!("tlsca/tlsca.{domain}-cert.pem"),
            ),
            (
                format!("{node}-msp"),
                "cert.pem",
                format!("{role}s/{node}.{domain}/msp/signcerts/{node}.{domain}-cert.pem"),
            ),
            (
                format!("{node}-tls"),
                "tls.crt",
                format!("{role}s/{node}.{domain}/tls/server.crt"),
            ),
            (
                format!("{domain}-admin-msp"),
                "cert.pem",
                format!("users/Admin@{domain}/msp/signcerts/Admin@{domain}-cert.pem"),
            ),
            (
                format!("{domain}-admin-tls"),
                "tls.crt",
                format!("users/Admin@{domain}/tls/client.crt"),
            ),
        ] {
            let ours = folder.path().join("ours.pem");
            std::fs::write(&ours, text(&made[&secret], key)).unwrap();
            let expected = profile_of(&theirs.join(&path));
            assert!(expected.len() > 5, "{expected:?}");
            assert_eq!(profile_of(&ours), expected, "{secret}");
        }
        let config = std::fs::read_to_string(theirs.join("msp/config.yaml")).unwrap();
        assert_eq!(text(&made[&format!("{node}-msp")], "config.yaml"), config);
    }
}

#[test]
fn openssl_verifies_generated_certificates_and_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let made = as_existing(&plan(&org1(2), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let at = now().as_second().to_string();
    let (ca, tls_ca) = (
        write("ca", &text(&made["org1-ca"], "cert.pem")),
        write("tlsca", &text(&made["org1-tlsca"], "cert.pem")),
    );
    for (secret, certificate, key, authority) in [
        ("peer0-msp", "cert.pem", "key.pem", &ca),
        ("peer1-msp", "cert.pem", "key.pem", &ca),
        ("org1-admin-msp", "cert.pem", "key.pem", &ca),
        ("peer0-tls", "tls.crt", "tls.key", &tls_ca),
        ("ca-tls", "tls.crt", "tls.key", &tls_ca),
        ("org1-admin-tls", "tls.crt", "tls.key", &tls_ca),
    ] {
        let (certificate, key) = (
            write("cert", &text(&made[secret], certificate)),
            write("key", &text(&made[secret], key)),
        );
        openssl(&[
            "verify",
            "-x509_strict",
            "-attime",
            &at,
            "-CAfile",
            authority,
            &certificate,
        ]);
        assert!(
            text(
                &made[secret],
                if secret.ends_with("tls") {
                    "tls.key"
                } else {
                    "key.pem"
                }
            )
            .starts_with("-----BEGIN PRIVATE KEY-----")
        );
        let of_key = openssl(&["pkey", "-in", &key, "-pubout"]);
        assert_eq!(
            of_key,
            openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"]),
            "{secret}"
        );
    }
    for host in ["peer0.org1", "peer0", "peer0.org1.svc.cluster.local"] {
        let certificate = write("cert", &text(&made["peer0-tls"], "tls.crt"));
        openssl(&[
            "verify",
            "-attime",
            &at,
            "-CAfile",
            &tls_ca,
            "-verify_hostname",
            host,
            &certificate,
        ]);
    }
}

#[test]
fn the_key_identifier_is_the_sha_256_of_the_public_point() {
    let made = as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let pem = text(&made["org1-ca"], "cert.pem");
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let x509 = pem.parse_x509().unwrap();
    let point = x509.public_key().subject_public_key.data.to_vec();
    let identifier =
        x509.iter_extensions()
            .find_map(|extension| match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(id.0.to_vec())
                }
                _ => None,
            });
    use sha2::Digest;
    assert_eq!(identifier, Some(sha2::Sha256::digest(&point).to_vec()));
}

#[test]
fn what_an_authority_signs_is_of_low_s() {
    let made = plan(&org1(6), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    for object in made
        .create
        .iter()
        .filter(|object| object.key.name.ends_with("-msp"))
    {
        let pem = text(&object.body, "cert.pem");
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let signature = pem.parse_x509().unwrap().signature_value.data.to_vec();
        let s = &signature[4 + usize::from(signature[3]) + 2..];
        // Half of the order begins with 7f ff ff ff 80. 33 bytes are a padded number whose first
        // bit is set.
        assert!(
            s.len() < 32 || s.len() == 32 && s[..5] <= [0x7f, 0xff, 0xff, 0xff, 0x80][..],
            "{}: {s:02x?}",
            object.key.name
        );
    }
}

#[test]
fn identities_are_made_once_and_extended_for_new_nodes() {
    let first = plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    let existing = as_existing(&first);
    let again = plan(&org1(1), &existing, &Source::Generate, now()).unwrap();
    assert!(
        again.create.is_empty() && !again.generated,
        "{:?}",
        names(&again)
    );
    assert_eq!(again.keep.len(), 8);

    let more = plan(&org1(2), &existing, &Source::Generate, now()).unwrap();
    assert_eq!(names(&more), ["peer1-msp", "peer1-tls"]);
    assert_eq!(
        text(&more.create[0].body, "cacert.pem"),
        text(&existing["org1-ca"], "cert.pem")
    );
    let ca =
        Certificate::from_pem(text(&existing["org1-ca"], "cert.pem").as_bytes(), "ca").unwrap();
    assert!(
        Certificate::from_pem(text(&more.create[0].body, "cert.pem").as_bytes(), "peer1")
            .unwrap()
            .is_signed_by(&ca)
    );
}

#[test]
fn an_interrupted_creation_goes_on_wherever_it_stopped() {
    let whole = plan(&org1(2), &BTreeMap::new(), &Source::Generate, now()).unwrap();
    for done in 0..=whole.create.len() {
        let existing: BTreeMap<_, _> = whole.create[..done]
            .iter()
            .map(|object| (object.key.name.clone(), object.body.clone()))
            .collect();
        let rest = plan(&org1(2), &existing, &Source::Generate, now()).unwrap();
        assert_eq!(names(&rest), names(&whole)[done..]);
    }
}

#[test]
fn what_cannot_be_extended_is_reported() {
    let mut existing =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let ca = existing.remove("org1-ca").unwrap();
    let error = plan(&org1(2), &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Secret org1-ca cannot sign") && error.contains("--crypto-config"),
        "{error}"
    );

    let mut keyless = ca;
    let key = text(&keyless, "key.pem");
    keyless["data"].as_object_mut().unwrap().remove("key.pem");
    existing.insert("org1-ca".to_owned(), keyless);
    let error = plan(&org1(2), &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the key of ca.org1") && !error.contains(&key[40..60]),
        "{error}"
    );
    let mut without_server = org1(2);
    without_server.ca_server = None;
    let error = plan(&without_server, &existing, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("one is missing") && !error.contains(&key[40..60]),
        "{error}"
    );
}
