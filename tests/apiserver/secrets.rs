//! Secrets across revisions: whatever a later chart or schema says, whatever users with fewer
//! permissions may read.

use crate::nodes::Release;
use crate::support::Output;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;

const CANARY: &str = "canary-s3cr3t";

/// A chart of one Secret and a pod that reads it; its schema is the caller's. `None` is no schema.
fn chart(release: &Release, version: &str, schema: Option<Value>, templates: &str) -> String {
    let folder = release.cluster.folder().join(format!("chart-{version}"));
    fs::create_dir_all(folder.join("templates")).unwrap();
    fs::write(
        folder.join("Chart.yaml"),
        format!("{{apiVersion: v2, name: app, version: {version}}}\n"),
    )
    .unwrap();
    fs::write(folder.join("values.yaml"), "password: \"\"\nword: hello\n").unwrap();
    if let Some(schema) = schema {
        fs::write(folder.join("values.schema.json"), schema.to_string()).unwrap();
    }
    fs::write(folder.join("templates/all.yaml"), templates).unwrap();
    folder.display().to_string()
}

#[test]
fn two_releases_mask_the_same_secret_differently() {
    let masks = [(); 2].map(|()| {
        let release = Release::new()?;
        release
            .install(&["--set", "nodes=0,password=the-same-in-both"])
            .success();
        let values = release.run("get values", &["-o", "json"]).success().json();
        Some(values["password"].as_str().expect("a mask").to_owned())
    });
    let [Some(one), Some(other)] = masks else {
        return;
    };
    assert!(
        one.starts_with("(secret ") && other.starts_with("(secret "),
        "{one}, {other}"
    );
    assert_ne!(
        one, other,
        "who reads both would see that they are the same"
    );
}

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: {{ values.password }}}
";

const CONFIG: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: word}
data: {word: {{ values.word }}}
";

const READER: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reader}
spec:
  selector: {matchLabels: {app: reader}}
  template:
    metadata: {labels: {app: reader}}
    spec:
      containers:
      - name: main
        image: registry.example/reader:1
        envFrom: [{secretRef: {name: login}}]
";

fn schema(password: Value) -> Value {
    json!({"type": "object", "properties": {"word": {"type": "string"}, "password": password}})
}

/// All that users with the role `view` may read, records unpacked, but for what the chart itself
/// puts into ConfigMap `word`.
fn viewable(release: &Release) -> String {
    let mut text = String::new();
    for body in release.cluster.list(
        "configmap,statefulset,deployment,pod,event,lease",
        &release.namespace,
    ) {
        if body["metadata"]["name"] == "word" {
            continue;
        }
        for packed in body["binaryData"]
            .as_object()
            .into_iter()
            .flat_map(|data| data.values())
        {
            let bytes = BASE64_STANDARD.decode(packed.as_str().unwrap()).unwrap();
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .unwrap();
        }
        text.push_str(&body.to_string());
    }
    text
}

fn free(place: &str, text: &str) {
    if let Some(at) = text.find(CANARY) {
        let around: String = text[..at]
            .chars()
            .rev()
            .take(300)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        panic!("the secret is in {place}: {around}");
    }
}

#[test]
fn a_secret_of_an_earlier_revision_stays_secret_whatever_the_schema_says() {
    let Some(release) = Release::new() else {
        return;
    };
    let secret = chart(
        &release,
        "1.0.0",
        Some(schema(json!({"type": "string", "x-secret": true}))),
        SECRET,
    );
    let unknown = chart(
        &release,
        "2.0.0",
        Some(json!({"type": "object", "properties": {"word": {"type": "string"}}})),
        CONFIG,
    );
    let dropped = chart(&release, "3.0.0", None, CONFIG);
    let choice = chart(
        &release,
        "4.0.0",
        Some(schema(json!({"enum": ["one", "two"]}))),
        CONFIG,
    );
    let password = format!("password={CANARY}");
    let moved = format!("list[0].a={CANARY},password=null");
    let run = |verb: &str, args: &[&str], status: i32| -> Output {
        let output = release.run(verb, args).exits(status);
        free(
            &format!("{verb} {args:?}"),
            &format!("{}{}", output.stdout, output.stderr),
        );
        output
    };
    let shown = |place: &str| {
        free(
            &format!("what may be read after {place}"),
            &viewable(&release),
        );
        for verb in [
            "get values",
            "get all",
            "get manifest",
            "history",
            "status",
            "drift",
        ] {
            run(verb, &[], 0);
        }
        run("get values", &["--all"], 0);
        run("values explain", &["--chart", &dropped, "--stored"], 0);
    };
    run("install", &["--chart", &secret, "--set", &password], 0);
    for args in [
        &["--chart", unknown.as_str()][..],
        &["--chart", &unknown, "--reuse-values"],
        &["--chart", &unknown, "--reset-then-reuse-values"],
        &["--chart", &unknown, "--set", "word=other"],
        &["--chart", &dropped],
        &["--chart", &choice, "--skip-schema-validation"],
        &["--chart", &dropped, "--set", "word=again"],
    ] {
        run("diff upgrade", args, 0);
        run("upgrade", args, 0);
        shown(&format!("{args:?}"));
    }
    // Schema violations show short values of keys that are not secret.
    assert!(
        run("upgrade", &["--chart", &choice], 1)
            .stderr
            .contains("password")
    );
    let values = release
        .run("get values", &["--show-secrets", "-o", "json"])
        .success()
        .json();
    assert_eq!(values["password"], CANARY, "it is stored all the same");

    // It goes to another key, into a list, and into the middle of another value.
    run("upgrade", &["--chart", &dropped, "--set", &moved], 0);
    shown("moving it into a list");
    run(
        "upgrade",
        &[
            "--chart",
            &dropped,
            "--reset-values",
            "--set",
            &format!("word=db://me:{CANARY}@host"),
        ],
        0,
    );
    shown("moving it into a URL");
    run("diff upgrade", &["--chart", &dropped, "--reset-values"], 0);
    let live = release
        .get("configmap", "word")
        .expect("a ConfigMap")
        .to_string();
    assert!(live.contains(CANARY), "this chart itself puts it there");
}

#[test]
fn a_rollback_keeps_secret_what_only_a_later_revision_called_so() {
    let Some(release) = Release::new() else {
        return;
    };
    let plain = chart(
        &release,
        "1.0.0",
        Some(schema(json!({"type": "string"}))),
        CONFIG,
    );
    let secret = chart(
        &release,
        "2.0.0",
        Some(schema(json!({"type": "string", "x-secret": true}))),
        SECRET,
    );
    let dropped = chart(&release, "3.0.0", None, CONFIG);
    let password = format!("password={CANARY}");
    release
        .run("install", &["--chart", &plain, "--set", &password])
        .success();
    release.run("upgrade", &["--chart", &secret]).success();
    release.run("upgrade", &["--chart", &dropped]).success();
    for revision in ["2", "3", "1"] {
        release.run("rollback", &[revision]).success();
        free(
            &format!("a rollback to {revision}"),
            &release.run("get all", &[]).success().stdout,
        );
    }
    let newest = release.history().last().unwrap().0;
    let record = release
        .get("configmap", &format!("kubectl-fabric.v1.app.v{newest}"))
        .unwrap();
    let bytes = BASE64_STANDARD
        .decode(record["binaryData"]["release"].as_str().unwrap())
        .unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    free("the record of the last rollback", &text);
    let values = release
        .run("get values", &["--show-secrets", "-o", "json"])
        .success()
        .json();
    assert_eq!(values["password"], CANARY);
}

#[test]
fn the_hash_of_a_secret_in_pods_needs_the_releases_key() {
    let (Some(one), Some(other)) = (Release::new(), Release::new()) else {
        return;
    };
    let hash = |release: &Release| {
        let reader = release.get("deployment", "reader").expect("a Deployment");
        let annotations = &reader["spec"]["template"]["metadata"]["annotations"];
        annotations["kubectl-fabric.io/config-hash"]
            .as_str()
            .expect("a hash")
            .to_owned()
    };
    let generation = |release: &Release| {
        release.get("deployment", "reader").unwrap()["metadata"]["generation"]
            .as_i64()
            .unwrap()
    };
    for release in [&one, &other] {
        let chart = chart(
            release,
            "1.0.0",
            Some(schema(json!({"type": "string", "x-secret": true}))),
            &format!("{SECRET}{READER}"),
        );
        release
            .run(
                "install",
                &[
                    "--chart",
                    &chart,
                    "--set-string",
                    "password=1234",
                    "--wait=false",
                ],
            )
            .success();
    }
    let first = hash(&one);
    assert_ne!(first, hash(&other), "two releases have two keys");
    // What a viewer would compute for each guess, with all that the annotation had in it before.
    let data = format!(
        "data{{}}binaryData{{}}stringData{}",
        json!({"password": "1234"})
    );
    let unkeyed = Sha256::new()
        .chain_update(json!(["Secret", one.namespace, "login"]).to_string())
        .chain_update(Sha256::digest(data));
    let unkeyed: String = unkeyed
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_ne!(first, unkeyed);

    one.upgrade(&["--wait=false"]).success();
    assert_eq!(
        (hash(&one), generation(&one)),
        (first.clone(), 1),
        "an upgrade without a change restarts nothing"
    );
    assert!(
        one.run("diff upgrade", &["--exit-code"])
            .exits(0)
            .stdout
            .contains("no differences")
    );
    one.upgrade(&["--set-string", "password=12345", "--wait=false"])
        .success();
    assert_ne!(hash(&one), first, "changed data restarts its readers");
    one.run("rollback", &["1", "--wait=false"]).success();
    one.upgrade(&["--set-string", "password=1234", "--wait=false"])
        .success();
    assert_eq!(hash(&one), first, "the key stays");
    one.run("uninstall", &["--keep-history"]).success();
    assert!(!viewable(&one).contains(&unkeyed));
}

#[test]
fn no_password_of_a_url_is_repeated() {
    let Some(release) = Release::new() else {
        return;
    };
    let run = |args: &[&str], config: &str| {
        let invocation = release
            .cluster
            .fabric()
            .args(args)
            .args(["-v", "9"])
            .env("HTTPS_PROXY", config)
            .env("https_proxy", config);
        let output = invocation.run();
        let all = output.told();
        assert!(
            !format!("{}{}", output.stdout, output.stderr).contains(CANARY),
            "{all}"
        );
        all
    };
    let with = |url: &str| url.replace("PASSWORD", CANARY);
    // A server that does not answer, one that is none, and each through a proxy that does not
    // answer.
    let servers = [
        "https://me:PASSWORD@127.0.0.1:1",
        "http://me:PASSWORD@127.0.0.1:1",
        "ftp://me:PASS@WORDPASSWORD@host",
        "https://me:PASS\"PASSWORD@",
    ];
    for server in servers.map(with) {
        let said = run(
            &["list", "--server", &server, "--request-timeout", "2s"],
            "",
        );
        assert!(
            said.contains("127.0.0.1:1") || said.contains("is not the URL"),
            "{said}"
        );
    }
    run(
        &[
            "list",
            "--server",
            "https://10.255.255.1:1",
            "--request-timeout",
            "2s",
        ],
        &with("http://me:PASSWORD@127.0.0.1:1"),
    );
    run(
        &[
            "list",
            "--server",
            "https://10.255.255.1:1",
            "--request-timeout",
            "2s",
        ],
        &with("PASSWORD://me:PASSWORD@127.0.0.1:1").replacen(CANARY, "gopher", 1),
    );
    run(
        &[
            "template",
            "org1",
            "-f",
            &with("https://me:PASSWORD@host/values.yaml?token=PASSWORD"),
        ],
        "",
    );
    run(
        &[
            "template",
            "org1",
            "--chart",
            &with("https://me:PASSWORD@host/chart.tgz"),
        ],
        "",
    );
    // Arguments that cannot be read, or mean something else.
    for argument in [
        "--set=ca.enabled=true,PASSWORD",
        "--set-string=a=PASSWORD,b",
        "--set-json=ca={PASSWORD}",
        "--set-json={PASSWORD",
        "--set-file=ca=x,PASSWORD",
        "--set-file=ca=PASSWORD",
        "--set=a[=PASSWORD",
        "--set={a,PASSWORD",
    ] {
        let said = run(&["template", "org1", &with(argument)], "");
        assert!(said.contains("error:"), "{argument}: {said}");
    }
}

#[test]
fn what_looks_like_a_credential_is_reported_and_hidden() {
    let Some(release) = Release::new() else {
        return;
    };
    let chart = chart(&release, "1.0.0", None, CONFIG);
    let flag = format!("env.ORDERER_PASSWORD={CANARY},url=https://me:{CANARY}@host");
    let output = release
        .run("install", &["--chart", &chart, "--set", &flag])
        .success();
    for name in ["env.ORDERER_PASSWORD", "url"] {
        let warnings = output
            .stderr
            .lines()
            .filter(|line| line.contains("warning") && line.contains(&format!("\"{name}\"")));
        assert_eq!(warnings.count(), 1, "{}", output.stderr);
    }
    free("the output", &format!("{}{}", output.stdout, output.stderr));
    free("what may be read", &viewable(&release));
    free(
        "the values",
        &release.run("get values", &[]).success().stdout,
    );
}

#[test]
fn a_secret_is_hidden_in_annotations_and_in_every_form_that_others_write_it_in() {
    let Some(release) = Release::new() else {
        return;
    };
    let forms = [
        BASE64_STANDARD.encode(CANARY),
        BASE64_STANDARD.encode(format!("user:{CANARY}")),
        format!("postgres://u:{}@db", CANARY.replace('-', "%2D")),
        BASE64_STANDARD.encode("never-in-the-values"),
    ];
    let applied = |data: &str| json!({"kind": "Secret", "data": {"password": data}}).to_string();
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    let secret = format!(
        "{SECRET}---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: copied\n  annotations:\n    {last}: '{}'\n",
        applied(&forms[3])
    );
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "word"}, "data": {
        "basic": forms[1], "env": json!([{"name": "PASSWORD", "value": forms[0]}]).to_string(), "url": forms[2],
    }});
    let password = schema(json!({"type": "string", "x-secret": true}));
    let chart = chart(
        &release,
        "1.0.0",
        Some(password),
        &format!("{secret}---\n{config}\n---\n{CONFIG}").replace("{name: word}", "{name: other}"),
    );
    let password = format!("password={CANARY}");
    let hidden = |place: &str, text: &str| {
        free(place, text);
        for form in &forms {
            assert!(
                !text.contains(form.as_str()),
                "{form} is in {place}:\n{text}"
            );
        }
    };
    let run = |verb: &str, args: &[&str]| {
        let output = release.run(verb, args).success();
        hidden(
            &format!("{verb} {args:?}"),
            &format!("{}{}", output.stdout, output.stderr),
        );
    };
    let given = ["--chart", &chart, "--set", &password];
    run("template", &given);
    run("install", &given);
    hidden("what may be read", &viewable(&release));
    for verb in ["get manifest", "get all", "drift"] {
        run(verb, &[]);
    }
    let put = format!("{last}={}", applied(&forms[0]));
    release
        .cluster
        .kubectl()
        .args([
            "-n",
            &release.namespace,
            "annotate",
            "secret",
            "login",
            &put,
        ])
        .run()
        .success();
    run(
        "diff upgrade",
        &["--chart", &chart, "--set", "password=another-s3cr3t"],
    );
    // What is hidden is applied all the same, from the record, too.
    run("upgrade", &["--chart", &chart, "--set", "word=other"]);
    run("rollback", &[]);
    assert_eq!(
        release.get("configmap", "word").expect("a ConfigMap")["data"]["basic"],
        forms[1].as_str()
    );
    assert_eq!(
        release.get("secret", "copied").expect("a Secret")["metadata"]["annotations"][last],
        applied(&forms[3]).as_str()
    );
}
