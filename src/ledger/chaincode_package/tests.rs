use super::*;

fn connection() -> Connection {
    Connection {
        address: "basic.org1:9999".to_owned(),
        dial_timeout: "10s".to_owned(),
        tls_required: false,
        client_auth_required: false,
        client_key: String::new(),
        client_cert: String::new(),
        root_cert: String::new(),
    }
}

fn package(code: &Code) -> Package {
    Package::new("basic_1.0", code, &BTreeMap::new()).unwrap()
}

/// The files of a tar.gz, by path.
fn unpacked(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content)
    });
    entries.collect()
}

/// Organizations approve a package by its id: it must never change for the same input. Fabric's
/// `peer lifecycle chaincode calculatepackageid` (2.5.16 and 3.1.5) prints the same.
#[test]
fn the_id_of_a_package_stays() {
    let id = package(&Code::Ccaas(connection())).id();
    assert_eq!(
        id,
        "basic_1.0:beae214c74909535bf32ad9eef70da6bf39d16406b426335366c872c9006931f"
    );
    let image = Image {
        name: "ghcr.io/hyperledger-labs/sample".to_owned(),
        digest: format!("sha256:{}", "0a".repeat(32)),
    };
    assert_eq!(
        package(&Code::K8s(image)).id(),
        "basic_1.0:d287ab0f69310a129daad3e47f7b814fb3243df9f0438999d73ac82660c94a83"
    );
    let files = [
        ("a/b.txt".to_owned(), vec![b'x'; 70_000]),
        (format!("{}/c", "d".repeat(120)), b"long".to_vec()),
    ];
    let external = Code::External {
        kind: "external".to_owned(),
        files: files.into(),
    };
    assert_eq!(
        package(&external).id(),
        "basic_1.0:0d70d9345e081e4b59e8e8ced6c30b8d49afff1fc0cb2c5e0457f6fed7aed0b1"
    );
}

#[test]
fn a_package_holds_metadata_code_and_indexes() {
    let path = "META-INF/statedb/couchdb/indexes/owner.json";
    let index = br#"{"index":{"fields":["owner"]},"ddoc":"d","name":"n","type":"json"}"#;
    let indexes = BTreeMap::from([(path.to_owned(), index.to_vec())]);
    let code = Code::Ccaas(connection());
    let package = Package::new("basic_1.0", &code, &indexes).unwrap();
    let outer = unpacked(&package.bytes);
    let metadata = r#"{"path":"","type":"ccaas","label":"basic_1.0"}"#;
    assert_eq!(outer[METADATA], metadata.as_bytes());
    let inner = unpacked(&outer[CODE]);
    assert_eq!(inner[path], index);
    let connection = r#"{"address":"basic.org1:9999","dial_timeout":"10s","tls_required":false}"#;
    assert_eq!(inner["connection.json"], connection.as_bytes());
    assert_eq!((outer.len(), inner.len()), (2, 2));
}

#[test]
fn a_package_is_read_back() {
    let package = package(&Code::Ccaas(connection()));
    let read = Package::from_bytes(package.bytes.clone(), "it").unwrap();
    assert!(read == package);

    let metadata: (_, &[u8]) = (METADATA, br#"{"type":"ccaas","label":"../x"}"#);
    for (bytes, expected) in [
        (b"no gzip".to_vec(), "not a tar.gz"),
        (gzip(b""), "it has no metadata.json"),
        (
            gzip(&tar(&[(METADATA, b"[")]).unwrap()),
            "metadata.json in it is not valid",
        ),
        (
            gzip(&tar(&[(METADATA, b"{}")]).unwrap()),
            "it has no code.tar.gz",
        ),
        (
            gzip(&tar(&[metadata, (CODE, b"")]).unwrap()),
            "\"../x\" is not a valid package label",
        ),
    ] {
        let error = Package::from_bytes(bytes, "it").err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn labels_are_those_of_fabric() {
    for label in ["basic", "0", "Basic_1.0+a-b"] {
        assert!(check_label(label).is_ok(), "{label}");
    }
    let long = "a".repeat(184);
    for label in ["", "_a", ".a", "a:b", "a/b", "ä", "a b", "a\n", &long] {
        assert!(check_label(label).is_err(), "{label}");
    }
}

#[test]
fn indexes_that_a_peer_refuses_are_refused() {
    let good: &[u8] = br#"{"index":{"fields":["owner"]}}"#;
    let collection = "META-INF/statedb/couchdb/collections/private-1/indexes/a.json";
    assert!(check_index(collection, good).is_ok());
    let place = "META-INF/statedb/couchdb/indexes/a.json";
    for (path, content) in [
        ("META-INF/statedb/couchdb/indexes", good),
        ("META-INF/statedb/couchdb/indexes/a.txt", good),
        ("META-INF/statedb/leveldb/indexes/a.json", good),
        ("META-INF/statedb/couchdb/indexes/../../a.json", good),
        (
            "META-INF/statedb/couchdb/collections/a b/indexes/a.json",
            good,
        ),
        ("/META-INF/statedb/couchdb/indexes/a.json", good),
        (place, b"{"),
        (place, b"[]"),
        (place, b"{}"),
        (place, br#"{"index":{}}"#),
        (place, br#"{"index":{"fields":[]},"type":"text"}"#),
        (place, br#"{"index":{"fields":[]},"other":1}"#),
    ] {
        assert!(check_index(path, content).is_err(), "{path}");
    }
}

#[test]
fn images_have_digests_and_types_have_names() {
    for digest in [
        "",
        "sha256:",
        "latest",
        &format!("sha256:{}", "0A".repeat(32)),
    ] {
        let name = "sample".to_owned();
        let digest = digest.to_owned();
        assert!(Code::K8s(Image { name, digest }).files().is_err());
    }
    for (kind, path) in [
        ("", "a"),
        ("x", "../a"),
        ("x", "/a"),
        ("x", "a//b"),
        ("x", "a\\b"),
    ] {
        let code = Code::External {
            kind: kind.to_owned(),
            files: BTreeMap::from([(path.to_owned(), Vec::new())]),
        };
        assert!(code.files().is_err(), "{kind} {path}");
    }
}

#[test]
fn stored_blocks_are_read_by_others() {
    for length in [0, 1, 0xfffe, 0xffff, 0x1_0000, 2 * 0xffff, 200_000] {
        let content: Vec<u8> = (0..length).map(|n: usize| n as u8).collect();
        let mut read = Vec::new();
        let packed = gzip(&content);
        let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
        decoder.read_to_end(&mut read).unwrap();
        assert!(read == content, "{length}");
    }
}

#[test]
fn indexes_come_back_from_a_package() {
    let index = br#"{"index":{"fields":["owner"]},"ddoc":"ownerDoc","name":"owner","type":"json"}"#;
    let path = "META-INF/statedb/couchdb/indexes/owner.json".to_owned();
    let indexes = BTreeMap::from([(path, index.to_vec())]);
    let code = Code::Ccaas(connection());
    let with = Package::new("basic_1.0", &code, &indexes).unwrap();
    assert_eq!(with.indexes().unwrap(), indexes);
    assert!(package(&code).indexes().unwrap().is_empty());
    assert_ne!(with.id(), package(&code).id());

    // As `tar -C folder .` writes paths.
    let other = with_code(&gzip(
        &tar(&[
            ("./META-INF/statedb/couchdb/indexes/owner.json", &index[..]),
            ("./connection.json", b"{}"),
        ])
        .unwrap(),
    ));
    assert_eq!(other.indexes().unwrap(), indexes);
    let error = with_code(b"no archive").indexes().unwrap_err().to_string();
    assert!(error.contains("is not a tar.gz"), "{error}");
}

fn with_code(code: &[u8]) -> Package {
    let metadata = br#"{"path":"","type":"ccaas","label":"basic"}"#;
    let outer = tar(&[(METADATA, &metadata[..]), (CODE, code)]).unwrap();
    Package::from_bytes(gzip(&outer), "it").unwrap()
}
