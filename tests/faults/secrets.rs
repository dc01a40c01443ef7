//! Canaries in everything that may hold a secret; then every place is searched that must not.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::invariants::Eyes;
use crate::operations::{Release, chart};
use crate::support::{self, Cluster, Output};

/// Something that must not be found, and the forms in which it could be.
struct Canary {
    what: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(what: &'static str, secret: &str) -> Canary {
        let mut forms = vec![
            secret.as_bytes().to_vec(),
            hex(secret.as_bytes()).into_bytes(),
        ];
        // Base64 has three forms of a text within a longer one, of which the first and the last
        // character depend on what is around.
        for before in 0..3 {
            let encoded =
                BASE64_STANDARD.encode([vec![b'x'; before], secret.as_bytes().to_vec()].concat());
            let encoded = encoded.trim_end_matches('=');
            let certain = &encoded[if before == 0 { 0 } else { 4 }..encoded.len() - 1];
            forms.push(certain.as_bytes().to_vec());
            forms.push(BASE64_STANDARD.encode(certain).as_bytes()[..certain.len()].to_vec());
        }
        Canary { what, forms }
    }

    fn is_in(&self, text: &[u8]) -> Option<usize> {
        self.forms.iter().find_map(|form| find(text, form))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    // The first byte is looked for by itself: that is fast, and there are megabytes.
    let mut start = 0;
    while let Some(at) = text[start..].iter().position(|byte| *byte == sought[0]) {
        start += at;
        if text[start..].starts_with(sought) {
            return Some(start);
        }
        start += 1;
    }
    None
}

#[track_caller]
fn assert_free(canaries: &[Canary], place: &str, text: &[u8]) {
    for canary in canaries {
        if let Some(at) = canary.is_in(text) {
            let around = &text[at.saturating_sub(300)..(at + 100).min(text.len())];
            panic!(
                "{} is in {place}: {}",
                canary.what,
                String::from_utf8_lossy(around)
            );
        }
    }
}

#[test]
fn no_canary_is_anywhere_but_in_a_secret() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let release = Release {
        cluster: &cluster,
        namespace: cluster.namespace("app"),
    };
    let unique = |what: &str| format!("canary-{what}-{}-s3cr3t", cluster.network());
    let [in_flag, in_file, in_text, in_environment] =
        ["flag", "values", "file", "environment"].map(unique);
    let values = cluster.folder().join("secret.yaml");
    std::fs::write(&values, format!("password: {in_file}\n")).expect("a file in a folder of ours");
    let text = cluster.folder().join("secret.txt");
    std::fs::write(&text, &in_text).expect("a file in a folder of ours");
    let file = format!("password={}", text.display());
    let (values, flag) = (values.display().to_string(), format!("password={in_flag}"));

    let said = RefCell::new(Vec::new());
    let run = |verb: &str, args: &[&str], status: i32| -> Output {
        let output = release
            .command(verb, args)
            .env("SECRET_OF_THE_USER", &in_environment)
            .run()
            .exits(status);
        said.borrow_mut()
            .extend_from_slice(format!("{}{}", output.stdout, output.stderr).as_bytes());
        output
    };
    let chart = chart();
    run(
        "install",
        &[
            "--chart", &chart, "-f", &values, "--set", "nodes=0", "-v", "9",
        ],
        0,
    );
    // A diff shows that it changes, and not to what.
    let diff = run("diff upgrade", &["--set", &flag, "-v", "9"], 0).stdout;
    let masked: Vec<&str> = diff
        .lines()
        .filter(|line| line.contains("password:") && line.contains("(secret "))
        .collect();
    assert!(
        masked.len() == 2 && masked[0].contains('-') && masked[1].contains('+'),
        "{diff}"
    );
    for format in ["table", "json", "yaml"] {
        run(
            "upgrade",
            &["--set", &flag, "--dry-run=server", "-o", format],
            0,
        );
        run("diff upgrade", &["--set", &flag, "-o", format], 0);
    }
    run(
        "upgrade",
        &["--set", &flag, "-v", "9", "--events", "json"],
        0,
    );
    run(
        "upgrade",
        &["--set-file", &file, "-v", "9", "-o", "json"],
        0,
    );
    run("upgrade", &["--set-file", &file, "--set", "fail=before"], 3);
    run("upgrade", &["--set", &format!("{flag},nodes=two")], 1);
    run(
        "upgrade",
        &["--set", &format!("{flag},passwort={in_flag}")],
        1,
    );
    run(
        "upgrade",
        &[
            "--set",
            &flag,
            "--description",
            &format!("now with {in_flag}"),
        ],
        0,
    );
    // A later chart that does not know what is secret, and whose object the server refuses and
    // quotes.
    let later = cluster.folder().join("later");
    cluster
        .shell(&format!(
            "cp -r '{chart}' '{0}' && rm '{0}/values.schema.json'",
            later.display()
        ))
        .run()
        .success();
    let later = later.display().to_string();
    run("upgrade", &["--chart", &later], 0);
    let quoting = "apiVersion: v1\nkind: Service\nmetadata: {name: quoting}\nspec: {clusterIP: {{ values.password }}, ports: [{port: 1}]}\n";
    std::fs::write(format!("{later}/templates/quoting.yaml"), quoting)
        .expect("a file in a folder of ours");
    let refused = run("upgrade", &["--chart", &later, "--reuse-values"], 1).stderr;
    assert!(
        refused.contains("clusterIP") && refused.contains("(secret "),
        "{refused}"
    );
    run(
        "upgrade",
        &[
            "--chart",
            &chart,
            "--set",
            &format!("level={in_flag}"),
            "-v",
            "9",
        ],
        0,
    );
    run("diff upgrade", &["--set", "level=three"], 0);
    run("rollback", &["1", "-v", "9"], 0);
    for format in ["table", "json", "yaml"] {
        for verb in [
            "status",
            "history",
            "get all",
            "get values",
            "get manifest",
            "get notes",
            "get hooks",
            "get metadata",
            "drift",
        ] {
            run(verb, &["-o", format], 0);
        }
        run("diff revision", &["1", "2", "-o", format], 0);
    }
    run("get values", &["--all"], 0);
    run(
        "values explain",
        &[&chart, "--stored", "--path", "password", "-f", &values],
        0,
    );

    let canaries = [
        ("the flag", &in_flag),
        ("the values file", &in_file),
        ("the file", &in_text),
        ("the environment", &in_environment),
    ];
    let canaries = canaries.map(|(what, secret)| Canary::new(what, secret));
    // The search can find: the Secret itself holds the form that is looked for.
    let secret = cluster
        .get("secret", "password", Some(&release.namespace))
        .expect("a Secret")
        .to_string();
    assert!(canaries[1].is_in(secret.as_bytes()).is_some(), "{secret}");
    assert_free(
        &canaries,
        "an object",
        &Eyes::new(&cluster).look(&release.namespace).unpacked(),
    );
    let raw = etcd_without_secrets(&cluster);
    assert!(
        find(&raw, release.namespace.as_bytes()).is_some(),
        "etcd was read"
    );
    assert_free(&canaries, "etcd", &raw);
    run("uninstall", &["-v", "9"], 0);
    assert_free(&canaries, "the output", &said.borrow());
}

#[test]
fn no_key_of_an_identity_is_anywhere_but_in_a_secret() {
    let Some(cluster) = support::cluster() else {
        return;
    };
    let namespace = cluster.namespace("org1");
    let mut said = Vec::new();
    let mut run = |args: &[&str]| {
        let output = cluster
            .fabric()
            .args(args)
            .args(["--network", cluster.network(), "-v", "9"])
            .run()
            .success();
        said.extend_from_slice(output.stdout.as_bytes());
        said.extend_from_slice(output.stderr.as_bytes());
    };
    run(&["install", "org1", "--set", "peers.count=1", "--wait=false"]);
    run(&["status", "org1", "-o", "json"]);
    run(&["get", "all", "org1", "-o", "yaml"]);
    run(&["diff", "upgrade", "org1"]);
    let mut canaries = Vec::new();
    for secret in cluster.list("secret", &namespace) {
        for value in secret["data"]
            .as_object()
            .into_iter()
            .flat_map(|data| data.values())
        {
            let bytes = BASE64_STANDARD
                .decode(value.as_str().unwrap_or_default())
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // A line in the middle of each private key.
            let keys = text.split("PRIVATE KEY-----").skip(1).step_by(2);
            canaries.extend(
                keys.filter_map(|key| Some(Canary::new("a private key", key.lines().nth(2)?))),
            );
        }
    }
    assert!(canaries.len() >= 3, "authorities and nodes have keys");
    assert_free(&canaries, "the output", &said);
    assert_free(
        &canaries,
        "an object",
        &Eyes::new(&cluster).look(&namespace).unpacked(),
    );
    assert_free(&canaries, "etcd", &etcd_without_secrets(&cluster));
}

/// The keys and values of etcd, but for those of Secrets, as its gateway gives them.
fn etcd_without_secrets(cluster: &Cluster) -> Vec<u8> {
    let url =
        std::fs::read_to_string(cluster.state().join("etcd.url")).expect("the address of etcd");
    let address = url.trim().trim_start_matches("http://");
    let mut all = Vec::new();
    // '0' comes after '/': the end of a folder.
    for (from, end) in [("/", "/registry/secrets/"), ("/registry/secrets0", "0")] {
        let mut from = from.as_bytes().to_vec();
        loop {
            let [key, range_end] =
                [&from[..], end.as_bytes()].map(|key| BASE64_STANDARD.encode(key));
            let answer = post(
                address,
                "/v3/kv/range",
                &json!({"key": key, "range_end": range_end, "limit": 200}),
            );
            let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
            for pair in &pairs {
                for field in ["key", "value"] {
                    all.extend(
                        BASE64_STANDARD
                            .decode(pair[field].as_str().unwrap_or_default())
                            .expect("base64"),
                    );
                }
            }
            let Some(last) = pairs.last().filter(|_| answer["more"] == true) else {
                break;
            };
            from = BASE64_STANDARD
                .decode(last["key"].as_str().unwrap_or_default())
                .expect("base64");
            from.push(0);
        }
    }
    all
}

/// A request to etcd's gateway, which speaks plain HTTP in the test cluster.
pub fn post(address: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(address).expect("etcd is there");
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("etcd listens");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("etcd answers");
    let start = find(&answer, b"\r\n\r\n").expect("a head and a body") + 4;
    serde_json::from_slice(&answer[start..])
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer)))
}
