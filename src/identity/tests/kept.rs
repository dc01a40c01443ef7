//! Identities that the user keeps, in Secrets or on a volume.

use super::*;

/// `org1` with one peer and its CA server. The user keeps its identities in Secrets, one of them
/// under another name.
fn kept_by_the_user() -> Organization {
    let mounted = ["peer0-msp", "peer0-tls", "ca-tls", "org1-ca"]
        .map(str::to_owned)
        .into();
    let names = BTreeMap::from([("peer0-tls".to_owned(), "mine".to_owned())]);
    Organization {
        custody: Custody::User { names, mounted },
        ..org1(1)
    }
}

/// Secrets of that user, which this program generates for the test.
fn users_secrets() -> BTreeMap<String, Value> {
    let mut secrets =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let tls = secrets.remove("peer0-tls").unwrap();
    secrets.insert("mine".to_owned(), tls);
    secrets.retain(|name, _| ["peer0-msp", "mine", "ca-tls", "org1-ca"].contains(&name.as_str()));
    secrets
}

#[test]
fn secrets_of_the_user_are_checked_and_none_is_made() {
    let organization = kept_by_the_user();
    assert_eq!(
        secret_names(&organization),
        ["org1-ca", "peer0-msp", "mine", "ca-tls", "ca-admin"]
    );
    let plan_of =
        |secrets: &BTreeMap<String, Value>| plan(&organization, secrets, &Source::Generate, now());
    let made = plan_of(&users_secrets()).unwrap();
    assert_eq!(
        (names(&made), made.generated),
        (vec!["ca-admin"], false),
        "a password is no identity"
    );

    let broken = |change: &dyn Fn(&mut BTreeMap<String, Value>)| {
        let mut secrets = users_secrets();
        change(&mut secrets);
        plan_of(&secrets).unwrap_err().to_string()
    };
    let other = || users_secrets();
    type Change<'a> = &'a dyn Fn(&mut BTreeMap<String, Value>);
    let cases: [(&str, Change); 6] = [
        ("Secret org1/mine   Secret not found", &|s| {
            drop(s.remove("mine"))
        }),
        ("data[\"cacert.pem\"]: missing", &|s| {
            drop(
                s.get_mut("peer0-msp").unwrap()["data"]
                    .as_object_mut()
                    .unwrap()
                    .remove("cacert.pem"),
            )
        }),
        ("data[\"key.pem\"]: does not match", &|s| {
            s.get_mut("peer0-msp").unwrap()["data"]["key.pem"] =
                other()["peer0-msp"]["data"]["key.pem"].clone();
        }),
        ("data[\"tls.crt\"]: is not signed by", &|s| {
            s.get_mut("mine").unwrap()["data"]["ca.crt"] =
                other()["mine"]["data"]["ca.crt"].clone();
        }),
        ("data[\"tls.crt\"]: is not valid for peer0.org1", &|s| {
            let ca_tls = s["ca-tls"].clone();
            s.insert("mine".to_owned(), ca_tls);
        }),
        ("data[\"ca.crt\"]: is not a PEM certificate", &|s| {
            s.get_mut("mine").unwrap()["data"]["ca.crt"] = STANDARD.encode("no").into()
        }),
    ];
    for (what, change) in cases {
        let error = broken(change);
        assert!(error.contains(what), "{what}: {error}");
    }
    let all = broken(&|s| s.clear());
    assert_eq!(all.matches("Secret not found").count(), 4, "{all}");
    let later = now() + jiff::SignedDuration::from_hours(24 * 365 * 30);
    let error = plan(&organization, &users_secrets(), &Source::Generate, later)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expired on"), "{error}");
}

#[test]
fn identities_of_the_user_are_not_said_twice() {
    let error = plan(
        &kept_by_the_user(),
        &users_secrets(),
        &crypto_config("v2.5.16"),
        now(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("crypto.source") && error.contains("--crypto-config"),
        "{error}"
    );
}

/// openssl makes an authority that an authority signed, and a certificate of it.
#[test]
fn a_chain_leads_over_what_stands_between() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let read = |name: &str| std::fs::read(file(name)).unwrap();
    let request = |name: &str| {
        let subject = format!("/CN={name}");
        let new = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
        ];
        openssl(
            &[
                &new[..],
                &[
                    &file(&format!("{name}.key")),
                    "-subj",
                    &subject,
                    "-out",
                    &file(&format!("{name}.csr")),
                ],
            ]
            .concat(),
        );
    };
    let sign = |name: &str, by: &str, extension: &str| {
        std::fs::write(file("extension"), extension).unwrap();
        let sign = [
            "x509",
            "-req",
            "-days",
            "36500",
            "-set_serial",
            "1",
            "-extfile",
        ];
        let (csr, key) = (file(&format!("{name}.csr")), file(&format!("{by}.key")));
        let issuer = match by == name {
            true => vec!["-signkey".to_owned(), key],
            false => vec![
                "-CA".to_owned(),
                file(&format!("{by}.crt")),
                "-CAkey".to_owned(),
                key,
            ],
        };
        let issuer: Vec<&str> = issuer.iter().map(String::as_str).collect();
        openssl(
            &[
                &sign[..],
                &[
                    &file("extension"),
                    "-in",
                    &csr,
                    "-out",
                    &file(&format!("{name}.crt")),
                ],
                &issuer,
            ]
            .concat(),
        );
    };
    ["root", "between", "leaf"].into_iter().for_each(request);
    sign("root", "root", "basicConstraints=CA:TRUE");
    sign("between", "root", "basicConstraints=CA:TRUE");
    sign("leaf", "between", "subjectAltName=DNS:peer0.org1");
    let secret = |chain: &[u8], authority: &[u8]| {
        json!({"metadata": {"name": "mine"}, "data": {
            "tls.crt": STANDARD.encode(chain), "tls.key": STANDARD.encode(read("leaf.key")), "ca.crt": STANDARD.encode(authority),
        }})
    };
    let organization = Organization {
        custody: Custody::User {
            names: BTreeMap::new(),
            mounted: ["peer0-tls".to_owned()].into(),
        },
        credentials: Vec::new(),
        ca_server: None,
        ..org1(1)
    };
    let of = |body: Value| {
        let later = "2060-01-01T00:00:00Z".parse().unwrap();
        plan(
            &organization,
            &BTreeMap::from([("peer0-tls".to_owned(), body)]),
            &Source::Generate,
            later,
        )
    };
    let chain = [read("leaf.crt"), read("between.crt")].concat();
    of(secret(&chain, &read("root.crt"))).unwrap();
    of(secret(&read("leaf.crt"), &read("between.crt"))).unwrap();
    assert!(
        of(secret(&read("leaf.crt"), &read("root.crt")))
            .unwrap_err()
            .to_string()
            .contains("is not signed by")
    );
}

#[test]
fn files_on_a_volume_are_checked_by_a_copy_of_them() {
    let mounted = ["peer0-msp", "peer0-tls", "org1-ca"]
        .map(str::to_owned)
        .into();
    let organization = Organization {
        custody: Custody::Volume { mounted },
        ..org1(1)
    };
    let plan_of = |source: &Source| plan(&organization, &BTreeMap::new(), source, now());
    let unchecked = plan_of(&Source::Generate).unwrap();
    assert_eq!(
        (names(&unchecked), unchecked.warnings.len()),
        (vec!["ca-admin"], 1)
    );
    let checked = plan_of(&crypto_config("v1.4.12")).unwrap();
    assert_eq!(
        (names(&checked), checked.warnings.len()),
        (vec!["ca-admin"], 0)
    );
    let error = plan_of(&changed("v2.5.16", |files| {
        files.remove("peerOrganizations/org1/peers/peer0.org1/tls/server.key");
    }));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("tls/server.crt   has no private key")
    );
    // Files that no pod mounts may be missing.
    plan_of(&changed("v2.5.16", |files| {
        files.retain(|path, _| !path.contains("/users/"))
    }))
    .unwrap();
}

#[test]
fn the_layout_of_the_article_is_read() {
    let rename = |path: &str| {
        let path = path
            .replace("peerOrganizations/", "PeerOrganization/")
            .replace("ordererOrganizations/", "OrdererOrganization/");
        path.replace("/peer0.org1/", "/peer0/")
            .replace("/peer1.org1/", "/peer1/")
    };
    let files = files(&fixture("v1.4.12"))
        .into_iter()
        .map(|(path, bytes)| (rename(&path), bytes))
        .collect();
    let source = Source::CryptoConfig {
        folder: "crypto-config".to_owned(),
        files,
    };
    for organization in [org1(2), orgorderer1(3)] {
        let made = plan(&organization, &BTreeMap::new(), &source, now()).unwrap();
        assert_eq!(names(&made), secret_names(&organization));
    }
}
