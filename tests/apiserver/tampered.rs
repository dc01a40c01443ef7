//! Records that somebody or something changed: what is wrong is said, nothing is written on their
//! word, and there is a way out.

use crate::nodes::Release;
use crate::support::Output;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

const DEPLOYED: &str = "kubectl-fabric.v1.app.v2";

/// A release at revision 2, with a secret among its user's values.
fn release() -> Option<Release> {
    let release = Release::new()?;
    release
        .install(&["--set", "nodes=0,password=canary-password"])
        .success();
    release
        .upgrade(&["--set", "settings.level=debug"])
        .success();
    Some(release)
}

fn patch(release: &Release, kind: &str, name: &str, patch: &Value) {
    let kubectl = release.cluster.kubectl().args([
        "-n",
        &release.namespace,
        "patch",
        kind,
        name,
        "--type=merge",
        "-p",
    ]);
    kubectl.arg(patch.to_string()).run().success();
}

/// Never a crash, nor a secret.
fn sound(output: Output) -> Output {
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(
        !all.contains("bug in kubectl-fabric")
            && !all.contains("panicked")
            && !all.contains("canary"),
        "{}",
        output.told()
    );
    assert!(
        output.status.is_some(),
        "a signal ended it: {}",
        output.told()
    );
    output
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What is wrong with a record, as a merge patch of it, and a part of what is said of it.
fn harms(record: &Value) -> Vec<(Value, &'static str)> {
    let payload = BASE64_STANDARD
        .decode(record["binaryData"]["release"].as_str().unwrap())
        .unwrap();
    let with =
        |field: &str, bytes: &[u8]| json!({"binaryData": {field: BASE64_STANDARD.encode(bytes)}});
    let mut flipped = payload.clone();
    flipped[payload.len() / 2] ^= 1;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&payload[..])
        .read_to_string(&mut text)
        .unwrap();
    let newer = packed(text.replacen("\"schema\":1", "\"schema\":2", 1).as_bytes());
    let digest: String = Sha256::digest(&newer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut of_newer = with("release", &newer);
    of_newer["metadata"] = json!({"annotations": {"kubectl-fabric.io/digest": digest}});
    let parts =
        |count: &str| json!({"metadata": {"annotations": {"kubectl-fabric.io/parts": count}}});
    vec![
        (
            with("release", &payload[..payload.len() / 2]),
            "its digest does not match its content",
        ),
        (
            with("release", &flipped),
            "its digest does not match its content",
        ),
        (
            json!({"binaryData": {"release": null}}),
            "its release is missing",
        ),
        (with("state", b"no gzip"), "cannot unpack it"),
        (of_newer, "written by a newer version of kubectl-fabric"),
        (parts("2"), "kubectl-fabric.v1.app.v2.part2 is missing"),
        (parts("4000000000"), "it claims to have 4000000000 parts"),
        (
            json!({"metadata": {"labels": {"kubectl-fabric.io/status": null}}}),
            "its labels and annotations are not those of a record",
        ),
    ]
}

#[test]
fn a_record_that_was_tampered_with_is_reported_by_every_verb_and_an_earlier_one_is_the_way_out() {
    let Some(release) = release() else { return };
    let record = release.get("configmap", DEPLOYED).unwrap();
    let settings =
        || release.get("configmap", "settings").unwrap()["metadata"]["resourceVersion"].clone();
    let before = settings();
    // Another release beside it, as far as `list` sees.
    let mut other = release
        .get("configmap", "kubectl-fabric.v1.app.v1")
        .unwrap();
    other["metadata"] = json!({"name": "kubectl-fabric.v1.second.v1", "labels": other["metadata"]["labels"],
        "annotations": other["metadata"]["annotations"]});
    other["metadata"]["labels"]["kubectl-fabric.io/release"] = json!("second");
    release
        .cluster
        .apply(&release.namespace, &other.to_string());

    for (harm, why) in harms(&record) {
        patch(&release, "configmap", DEPLOYED, &harm);
        let listed = sound(
            release
                .cluster
                .fabric()
                .args(["list", "-n", &release.namespace])
                .run()
                .success(),
        );
        assert!(
            listed.stdout.contains("\nsecond ") && listed.stdout.contains("\napp "),
            "{why}: {}",
            listed.stdout
        );
        let history = sound(release.run("history", &[]).success());
        assert_eq!(
            history.stdout.lines().count(),
            3,
            "{why}: {}",
            history.stdout
        );
        for verb in ["status", "drift", "diff revision"] {
            sound(release.run(
                verb,
                if verb == "diff revision" {
                    &["1", "2"]
                } else {
                    &[]
                },
            ));
        }
        for (verb, args) in [
            ("get values", &[][..]),
            ("get manifest", &["--show-secrets"]),
            ("rollback", &["2"]),
            ("upgrade", &["--set", "settings.level=warn"]),
            (
                "upgrade",
                &["--set", "settings.level=warn", "--reuse-values"],
            ),
            ("uninstall", &[]),
        ] {
            let output = sound(release.run(verb, args).exits(1));
            assert!(
                output.stderr.contains("cannot read revision 2 of \"app\"")
                    && output.stderr.contains(why),
                "{}",
                output.told()
            );
            assert!(
                output.stderr.contains("now: nothing was changed"),
                "{}",
                output.told()
            );
            assert!(
                output
                    .stderr
                    .contains(&format!("{}/{DEPLOYED}", release.namespace)),
                "{}",
                output.told()
            );
        }
        let hint = format!("`kubectl fabric rollback app -n {} 1`", release.namespace);
        assert!(sound(release.upgrade(&[])).stderr.contains(&hint), "{why}");
        sound(
            release
                .run("rollback", &["1", "--dry-run=server"])
                .success(),
        );
        let back = json!({"binaryData": record["binaryData"], "metadata": {"labels": record["metadata"]["labels"],
            "annotations": record["metadata"]["annotations"]}});
        patch(&release, "configmap", DEPLOYED, &back);
    }
    let (harm, why) = harms(&record).pop().unwrap();
    patch(&release, "configmap", DEPLOYED, &harm);
    let output = sound(release.install(&["--set", "nodes=0"]).exits(1));
    assert!(
        output.stderr.contains(why) && output.stderr.contains("now: nothing was changed"),
        "{}",
        output.told()
    );
    assert_eq!(settings(), before, "nothing was written");

    let (harm, _) = harms(&record).swap_remove(0);
    patch(&release, "configmap", DEPLOYED, &harm);
    sound(release.run("rollback", &["1"]).success());
    assert_eq!(
        release.get("configmap", "settings").unwrap()["data"]["level"],
        "info"
    );
    sound(release.run("uninstall", &[]).success());
    assert_eq!(
        release.leftovers(),
        ["ConfigMap/kubectl-fabric.v1.second.v1"]
    );
}

#[test]
fn a_record_without_its_secrets_is_neither_applied_nor_taken_over_and_is_uninstalled() {
    let Some(release) = release() else { return };
    let secret = || release.get("secret", "password").unwrap()["data"].clone();
    let before = secret();
    let companion = release.get("secret", DEPLOYED).unwrap();
    let whole = companion["data"]["release"].as_str().unwrap().to_owned();
    let cut = BASE64_STANDARD.encode(&BASE64_STANDARD.decode(&whole).unwrap()[..40]);
    for gone in [false, true] {
        match gone {
            false => patch(
                &release,
                "secret",
                DEPLOYED,
                &json!({"data": {"release": cut}}),
            ),
            true => drop(
                release
                    .cluster
                    .kubectl()
                    .args(["-n", &release.namespace, "delete", "secret", DEPLOYED])
                    .run()
                    .success(),
            ),
        }
        for (verb, args) in [
            ("get values", &["--show-secrets"][..]),
            ("rollback", &["2"]),
            ("upgrade", &["--set", "settings.level=warn"]),
            ("test", &[]),
        ] {
            let output = sound(release.run(verb, args).exits(1));
            assert!(
                output
                    .stderr
                    .contains("cannot read the secrets of revision 2 of \"app\""),
                "{}",
                output.told()
            );
            assert!(
                output.stderr.contains(&format!(
                    "Secret {}/{DEPLOYED} is missing or damaged",
                    release.namespace
                )),
                "{}",
                output.told()
            );
        }
        // What needs no secret goes on.
        sound(release.run("get manifest", &[]).success());
        sound(release.run("status", &[]).success());
    }
    assert_eq!(secret(), before);
    assert_eq!(release.statuses(), ["superseded", "deployed"]);
    sound(release.run("uninstall", &[]).success());
    assert_eq!(release.leftovers(), Vec::<String>::new());
}

#[test]
fn records_with_names_that_cannot_be_are_shown_as_unreadable_beside_the_others() {
    let Some(release) = release() else { return };
    let record = release
        .get("configmap", "kubectl-fabric.v1.app.v1")
        .unwrap();
    for name in [
        "kubectl-fabric.v1.stranger.v7",
        "kubectl-fabric.v1.app.v4294967295",
        "kubectl-fabric.v2.app.v9",
    ] {
        let mut other = record.clone();
        other["metadata"] = json!({"name": name, "labels": record["metadata"]["labels"], "annotations": record["metadata"]["annotations"]});
        release
            .cluster
            .apply(&release.namespace, &other.to_string());
        let history = sound(release.run("history", &[]).success());
        assert_eq!(
            history
                .stdout
                .lines()
                .filter(|line| line.contains("unreadable"))
                .count(),
            1,
            "{}",
            history.stdout
        );
        let listed = sound(
            release
                .cluster
                .fabric()
                .args(["list", "-n", &release.namespace])
                .run()
                .success(),
        );
        assert!(
            listed.stdout.contains("\napp ") && listed.stdout.contains("unreadable"),
            "{}",
            listed.stdout
        );
        release
            .cluster
            .kubectl()
            .args(["-n", &release.namespace, "delete", "configmap", name])
            .run()
            .success();
    }
    sound(release.upgrade(&[]).success());
}

#[test]
fn a_mark_that_someone_else_writes_into_a_record_deletes_none() {
    let Some(release) = release() else { return };
    release.run("uninstall", &["--keep-history"]).success();
    patch(
        &release,
        "configmap",
        DEPLOYED,
        &json!({"metadata": {"annotations": {"kubectl-fabric.io/purged": "true"}}}),
    );
    let told = sound(release.install(&["--set", "nodes=0,password=canary-password"]));
    assert!(
        told.stderr.contains("not written by kubectl-fabric"),
        "{}",
        told.told()
    );
    let secrets: Vec<String> = release
        .uids("secret")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for record in ["kubectl-fabric.v1.app.v1", DEPLOYED] {
        assert!(
            release.get("configmap", record).is_some(),
            "{record} is gone: {}",
            told.told()
        );
        assert!(
            secrets.iter().any(|name| name == record),
            "the companion of {record} is gone: {secrets:?}"
        );
    }
}
