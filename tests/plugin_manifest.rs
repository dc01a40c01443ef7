//! `plugin.yaml` is a manifest that krew accepts: its own rules (krew `internal/index/validation`),
//! and what its guide for plugin authors asks on top.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

const SYSTEMS: [&str; 3] = ["linux", "darwin", "windows"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

fn manifest() -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.yaml"))
        .expect("plugin.yaml");
    serde_yaml::from_str(&text).expect("plugin.yaml is YAML")
}

/// Returns what krew or its reviewers would object to.
fn objections(manifest: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, objection: String| found.extend((!holds).then_some(objection));
    let text = |path: &str| {
        manifest
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };

    check(
        text("/apiVersion") == "krew.googlecontainertools.github.com/v1alpha2",
        format!("apiVersion: {:?}", text("/apiVersion")),
    );
    check(
        text("/kind") == "Plugin",
        format!("kind: {:?}", text("/kind")),
    );
    check(
        is_plugin_name(text("/metadata/name")),
        format!("metadata.name: {:?}", text("/metadata/name")),
    );
    let version = text("/spec/version")
        .strip_prefix('v')
        .and_then(|version| semver::Version::parse(version).ok());
    check(
        version.is_some(),
        format!(
            "spec.version: {:?} is not v and a semantic version",
            text("/spec/version")
        ),
    );
    let short = text("/spec/shortDescription");
    check(
        !short.is_empty() && !short.contains('\n') && short.len() <= 50,
        format!("spec.shortDescription: {short:?}"),
    );
    check(
        !short.ends_with('.'),
        "spec.shortDescription ends with a full stop".into(),
    );
    check(
        text("/spec/homepage").starts_with("https://"),
        format!("spec.homepage: {:?}", text("/spec/homepage")),
    );
    check(
        !text("/spec/description").is_empty(),
        "spec.description is missing".into(),
    );
    check(
        !text("/spec/description").contains("--"),
        "spec.description lists flags".into(),
    );

    let platforms = manifest
        .pointer("/spec/platforms")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    check(!platforms.is_empty(), "spec.platforms is empty".into());
    let mut seen = BTreeSet::new();
    for (index, platform) in platforms.iter().enumerate() {
        let text = |path: &str| {
            platform
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let mut check = |holds: bool, objection: &str| {
            check(holds, format!("spec.platforms[{index}]: {objection}"))
        };
        let labels = platform
            .pointer("/selector/matchLabels")
            .and_then(Value::as_object);
        let known = |key: &str, value: &Value| match key {
            "os" => SYSTEMS.iter().any(|os| value == os),
            "arch" => ARCHITECTURES.iter().any(|arch| value == arch),
            _ => false,
        };
        check(
            labels.is_some_and(|labels| labels.len() == 2),
            "selector names os and arch",
        );
        check(
            labels
                .into_iter()
                .flatten()
                .all(|(key, value)| known(key, value)),
            "selector has an unknown key or value",
        );
        check(
            seen.insert(platform["selector"].to_string()),
            "selector stands there twice",
        );
        let uri = text("/uri");
        check(uri.starts_with("https://"), "uri is not https");
        check(
            uri.ends_with(".tar.gz") || uri.ends_with(".zip"),
            "uri is no archive that krew unpacks",
        );
        let sha256 = text("/sha256");
        check(
            sha256.len() == 64
                && sha256
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            "sha256 is not 64 digits of lower-case hexadecimal",
        );
        let windows = text("/selector/matchLabels/os") == "windows";
        check(
            !text("/bin").is_empty() && text("/bin").ends_with(".exe") == windows,
            "bin is missing, or misses .exe on Windows alone",
        );
        // Left out, krew unpacks everything, LICENSE included, which is what it asks for.
        check(
            platform
                .get("files")
                .is_none_or(|files| files.as_array().is_some_and(|files| !files.is_empty())),
            "files is empty",
        );
    }
    found
}

/// krew's own pattern is `^[\w-]+$`; its naming guide asks for lower case, and that "kube" and
/// "kubectl" do not lead.
fn is_plugin_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !name.starts_with("kube")
}

#[test]
fn krew_accepts_the_manifest() {
    assert_eq!(objections(&manifest()), Vec::<String>::new());
}

#[test]
fn the_manifest_is_about_this_version() {
    let manifest = manifest();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["spec"]["version"], version);
    for platform in manifest["spec"]["platforms"].as_array().expect("platforms") {
        let [os, arch] = ["os", "arch"].map(|key| {
            platform["selector"]["matchLabels"][key]
                .as_str()
                .expect("text")
        });
        let archive =
            format!("/releases/download/{version}/kubectl-fabric_{version}_{os}_{arch}.tar.gz");
        assert!(
            platform["uri"].as_str().expect("text").ends_with(&archive),
            "{platform:#}"
        );
    }
}

#[test]
fn each_rule_is_noticed_when_broken() {
    for (path, broken) in [
        ("/apiVersion", "v1"),
        ("/kind", "plugin"),
        ("/metadata/name", "kube-fabric"),
        ("/metadata/name", "Fabric"),
        ("/spec/version", "0.1.0"),
        ("/spec/version", "v0.1"),
        ("/spec/shortDescription", ""),
        ("/spec/shortDescription", "two\nlines"),
        (
            "/spec/shortDescription",
            "far more words than the one line of `kubectl krew search` has room for",
        ),
        ("/spec/homepage", "fabric"),
        ("/spec/description", "use --wait"),
        ("/spec/platforms/0/selector/matchLabels/os", "solaris"),
        ("/spec/platforms/0/selector/matchLabels/arch", "x86_64"),
        ("/spec/platforms/0/uri", "https://example.com/fabric.exe"),
        (
            "/spec/platforms/0/sha256",
            "ABCDEF0000000000000000000000000000000000000000000000000000000000",
        ),
        ("/spec/platforms/0/sha256", "00"),
        ("/spec/platforms/0/bin", "kubectl-fabric.exe"),
        ("/spec/platforms/4/bin", "kubectl-fabric"),
    ] {
        let mut manifest = manifest();
        *manifest
            .pointer_mut(path)
            .unwrap_or_else(|| panic!("{path} is there")) = broken.into();
        assert!(
            !objections(&manifest).is_empty(),
            "{path}: {broken:?} goes unnoticed"
        );
    }
}
