//! Every source accepts what Fabric accepts. What Fabric rejects is refused before a pod starts.

mod hierarchies;

use super::*;

const ORG1: &str = "peerOrganizations/org1/";

/// Without a CA server, because an enrolled tree does not contain its key.
fn enrolled(peers: usize) -> Organization {
    Organization {
        ca_server: None,
        credentials: Vec::new(),
        ..org1(peers)
    }
}

fn data_of(plan: &Plan) -> BTreeMap<String, Value> {
    plan.create
        .iter()
        .map(|object| (object.key.name.clone(), object.body["data"].clone()))
        .collect()
}

fn run_openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::write(&from, input).unwrap();
    openssl(
        &[
            arguments,
            &["-in", from.to_str().unwrap(), "-out", to.to_str().unwrap()],
        ]
        .concat(),
    );
    std::fs::read(to).unwrap()
}

/// Returns the same Secrets as a user would keep them: only those that pods mount.
fn as_users(organization: &Organization, secrets: &BTreeMap<String, Value>) -> Organization {
    let mounted = secrets
        .keys()
        .filter(|name| name.contains("peer0-"))
        .cloned()
        .collect();
    let custody = Custody::User {
        names: BTreeMap::new(),
        mounted,
    };
    Organization {
        custody,
        ca_server: None,
        credentials: Vec::new(),
        ..organization.clone()
    }
}

fn set(secret: &mut Value, key: &str, content: &[u8]) {
    secret["data"][key] = STANDARD.encode(content).into();
}

#[test]
fn keys_of_sec1_and_pkcs1_are_read() {
    let sec1 = |key: &[u8]| run_openssl(&["ec"], key);
    let source = changed("v2.5.16", |files| {
        for (path, key) in files
            .iter_mut()
            .filter(|(path, _)| path.ends_with("_sk") || path.ends_with(".key"))
        {
            *key = sec1(key);
            assert!(key.starts_with(b"-----BEGIN EC PRIVATE KEY-----"), "{path}");
        }
        // The output of `openssl ecparam -genkey`. Fabric's MSP would stop at the first block.
        let key = files
            .get_mut(&format!("{ORG1}peers/peer0.org1/msp/keystore/priv_sk"))
            .unwrap();
        *key = [
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
            key.as_slice(),
        ]
        .concat();
    });
    let made = as_existing(&plan(&org1(2), &BTreeMap::new(), &source, now()).unwrap());
    assert!(text(&made["peer0-msp"], "key.pem").starts_with("-----BEGIN EC PRIVATE KEY-----"));
    assert!(text(&made["org1-tlsca"], "key.pem").starts_with("-----BEGIN EC PRIVATE KEY-----"));
    // The authority signs with this key.
    let more = plan(&org1(3), &made, &Source::Generate, now()).unwrap();
    assert_eq!(names(&more), ["peer2-msp", "peer2-tls"]);

    let users = as_users(&org1(1), &made);
    plan(&users, &made, &Source::Generate, now()).unwrap();
    let mut damaged = made.clone();
    let other = text(&made["peer1-msp"], "key.pem");
    set(
        damaged.get_mut("peer0-msp").unwrap(),
        "key.pem",
        other.as_bytes(),
    );
    let error = plan(&users, &damaged, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data[\"key.pem\"]: does not match the certificate"),
        "{error}"
    );
    let parameters =
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let key = text(&made["peer0-msp"], "key.pem");
    set(
        damaged.get_mut("peer0-msp").unwrap(),
        "key.pem",
        &[&parameters[..], key.as_bytes()].concat(),
    );
    let error = plan(&users, &damaged, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(error.contains("starts with EC PARAMETERS"), "{error}");
    // cert-manager's default format.
    let rsa = run_openssl(
        &["rsa", "-traditional"],
        openssl(&["genrsa", "2048"]).as_bytes(),
    );
    assert!(rsa.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
    certificate::read_key(&rsa).map(drop).unwrap();
    let sealed = run_openssl(&["ec", "-aes256", "-passout", "pass:x"], key.as_bytes());
    assert_eq!(
        certificate::read_key(&sealed).map(drop).unwrap_err(),
        "is encrypted, but Fabric cannot read keys with a password"
    );
}

#[test]
fn of_several_certificates_of_an_authority_the_one_that_its_key_fits_is_taken() {
    let clean = plan(&org1(1), &BTreeMap::new(), &crypto_config("v2.5.16"), now()).unwrap();
    let source = changed("v2.5.16", |files| {
        let of_tls =
            |path: &str| path.starts_with(&format!("{ORG1}tlsca/")) && path.ends_with(".pem");
        let other = files
            .iter()
            .find(|(path, _)| of_tls(path))
            .expect("a certificate")
            .1
            .clone();
        files.insert(format!("{ORG1}ca/a-cert.pem"), other);
    });
    let made = plan(&org1(1), &BTreeMap::new(), &source, now()).unwrap();
    assert_eq!(data_of(&made)["org1-ca"], data_of(&clean)["org1-ca"]);
}

#[test]
fn what_macos_adds_is_passed_over() {
    let clean = plan(
        &enrolled(2),
        &BTreeMap::new(),
        &crypto_config("v2.5.16"),
        now(),
    )
    .unwrap();
    let source = changed("v2.5.16", |files| {
        let paths: Vec<String> = files.keys().cloned().collect();
        for path in paths {
            let (folder, name) = path.rsplit_once('/').unwrap();
            files.insert(format!("{folder}/._{name}"), b"\0\x05\x16\x07".to_vec());
            files.insert(format!("{folder}/.DS_Store"), b"\0".to_vec());
            files.insert(format!("__MACOSX/{folder}/._{name}"), b"\0".to_vec());
        }
        files.insert(format!("{ORG1}peers/.DS_Store"), b"\0".to_vec());
    });
    let made = plan(&enrolled(2), &BTreeMap::new(), &source, now()).unwrap();
    assert_eq!(data_of(&made), data_of(&clean));
}

/// Converts a tree to the layout of `fabric-ca-client enroll`: TLS as an MSP, the authority named
/// by its address, no key of an authority.
fn as_fabric_ca_client_lays_out(files: &mut BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in std::mem::take(files) {
        let path = path.replace(
            "cacerts/ca.org1-cert.pem",
            "cacerts/localhost-7054-ca-org1.pem",
        );
        let (folder, name) = path.rsplit_once('/').unwrap();
        let moved = match name {
            _ if path.starts_with(&format!("{ORG1}ca/"))
                || path.starts_with(&format!("{ORG1}tlsca/")) =>
            {
                continue;
            }
            _ if folder.ends_with("/msp/tlscacerts")
                && folder != format!("{ORG1}msp/tlscacerts") =>
            {
                continue;
            }
            "config.yaml" => {
                let text = String::from_utf8(bytes).unwrap();
                let text = text.replace(
                    "cacerts/ca.org1-cert.pem",
                    "cacerts/localhost-7054-ca-org1.pem",
                );
                files.insert(path, text.into_bytes());
                continue;
            }
            "server.crt" | "client.crt" => format!("{folder}/signcerts/cert.pem"),
            "server.key" | "client.key" => format!("{folder}/keystore/0123_sk"),
            "ca.crt" => format!("{folder}/tlscacerts/tls-localhost-7054-ca-org1.pem"),
            _ if folder.ends_with("/signcerts") => format!("{folder}/cert.pem"),
            _ => path.clone(),
        };
        files.insert(moved, bytes);
    }
}

#[test]
fn the_layout_of_fabric_ca_client_is_read() {
    let usual = data_of(
        &plan(
            &enrolled(2),
            &BTreeMap::new(),
            &crypto_config("v2.5.16"),
            now(),
        )
        .unwrap(),
    );
    let made = plan(
        &enrolled(2),
        &BTreeMap::new(),
        &changed("v2.5.16", as_fabric_ca_client_lays_out),
        now(),
    )
    .unwrap();
    let made = data_of(&made);
    for (name, data) in usual
        .iter()
        .filter(|(name, _)| name.ends_with("-msp") || name.ends_with("-tls"))
    {
        assert_eq!(
            &made[name], data,
            "{name}: config.yaml names the file that nodes have"
        );
    }
    assert!(made["org1-ca"]["key.pem"].is_null());
    let error = plan(
        &org1(2),
        &BTreeMap::new(),
        &changed("v2.5.16", as_fabric_ca_client_lays_out),
        now(),
    )
    .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("the key of ca.org1, which")
            && error.contains("the key of tlsca.org1, which"),
        "both are reported: {error}"
    );
}

#[test]
fn a_wildcard_has_one_label() {
    let mut certificate = {
        let made =
            as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
        Certificate::from_pem(text(&made["peer0-tls"], "tls.crt").as_bytes(), "tls.crt").unwrap()
    };
    certificate.hosts = vec!["*.org1".to_owned(), "*.0.0.1".to_owned()];
    for (host, covered) in [
        ("peer0.org1", true),
        ("PEER0.ORG1", true),
        ("org1", false),
        ("a.peer0.org1", false),
        ("127.0.0.1", false),
        ("peer0.org2", false),
    ] {
        assert_eq!(certificate.covers(host), covered, "{host}");
    }
}

#[test]
fn an_msp_that_does_not_say_who_administers_is_refused_before_a_pod_starts() {
    const WHY: &str = "it needs config.yaml with NodeOUs and an AdminOUIdentifier, or an administrator's certificate in admincerts";
    let without = changed("v2.5.16", |files| {
        files.retain(|path, _| !path.ends_with("config.yaml"))
    });
    let error = plan(&org1(2), &BTreeMap::new(), &without, now())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error.matches(WHY).count(),
        3,
        "two peers and the administrator: {error}"
    );

    let mut secrets =
        as_existing(&plan(&org1(1), &BTreeMap::new(), &Source::Generate, now()).unwrap());
    let users = as_users(&org1(1), &secrets);
    let config = text(&secrets["peer0-msp"], "config.yaml");
    secrets.get_mut("peer0-msp").unwrap()["data"]
        .as_object_mut()
        .unwrap()
        .remove("config.yaml");
    let error = plan(&users, &secrets, &Source::Generate, now())
        .unwrap_err()
        .to_string();
    assert!(error.contains(WHY), "{error}");
    for (broken, why) in [
        (
            config.replace("Enable: true", "Enable: false"),
            "defines no administrator",
        ),
        (
            config.replace("cacerts/ca.org1", "cacerts/other"),
            "names the certificate cacerts/other-cert.pem, but the MSP has cacerts/ca.org1",
        ),
        ("NodeOUs: [".to_owned(), "is not YAML"),
    ] {
        set(
            secrets.get_mut("peer0-msp").unwrap(),
            "config.yaml",
            broken.as_bytes(),
        );
        let error = plan(&users, &secrets, &Source::Generate, now())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("data[\"config.yaml\"]: {why}")),
            "{error}"
        );
    }
    set(
        secrets.get_mut("peer0-msp").unwrap(),
        "config.yaml",
        config.as_bytes(),
    );
    plan(&users, &secrets, &Source::Generate, now()).unwrap();
}
