//! docs/demo.md shows what `make demo` prints.
//!
//! The demo runs on a control plane of its own, since its namespaces (`kafka`, `org1`, ...) have
//! fixed names. Its transcript is compared with the page's after [`normalized`] has replaced what
//! differs from run to run. `BLESS=1 cargo test --test demo` puts the new transcript into the
//! page; read it before you commit it.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const OPEN: &str = "<!-- demo transcript -->\n```console\n";
const CLOSE: &str = "```\n<!-- end of the demo transcript -->\n";

/// The demo's own control plane, gone with the test however that ends.
struct ControlPlane(PathBuf);

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = support::cluster_script()
            .arg("down")
            .env("CLUSTER_DIR", &self.0)
            .status();
    }
}

#[test]
fn the_page_shows_what_the_demo_prints() {
    let build = support::cluster_script()
        .args(["build", "--sim"])
        .status()
        .expect("bash runs");
    if !build.success() {
        assert!(
            !support::cluster_is_required(),
            "the test cluster cannot be built, see above"
        );
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let control_plane = ControlPlane(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{}", std::process::id())),
    );
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(
        || env::home_dir().expect("a home folder").join(".cache"),
        PathBuf::from,
    );
    let mut demo = Command::new("bash");
    demo.arg(support::repository().join("examples/demo"))
        .stdin(Stdio::null());
    // A kubeconfig that is set for other work, or was by an earlier demo in the same shell, is not
    // used.
    demo.env("KUBECONFIG", home.path().join("of-other-work"));
    demo.env("CLUSTER_DIR", &control_plane.0)
        .env("XDG_CACHE_HOME", cache)
        .env("HOME", home.path());
    demo.env("FABRIC_PLUGIN", env!("CARGO_BIN_EXE_kubectl-fabric"));
    let output = demo.output().expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("the demo prints UTF-8");
    assert!(
        output.status.success(),
        "the demo failed:\n{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let path = support::repository().join("docs/demo.md");
    let page = fs::read_to_string(&path).expect("docs/demo.md");
    let (before, rest) = page
        .split_once(OPEN)
        .expect("docs/demo.md has the transcript's first marker");
    let (shown, after) = rest
        .split_once(CLOSE)
        .expect("docs/demo.md has the transcript's second marker");
    // The demo ends each command with an empty line; the last one would hang in the block.
    let printed = printed.trim_end().to_owned() + "\n";
    if env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{OPEN}{printed}{CLOSE}{after}"))
            .expect("docs/demo.md can be written");
        return;
    }
    let (shown, printed) = (normalized(shown), normalized(&printed));
    if shown != printed {
        let diff = similar::TextDiff::from_lines(&shown, &printed)
            .unified_diff()
            .header("docs/demo.md", "the demo")
            .to_string();
        panic!(
            "docs/demo.md shows something else than the demo prints (BLESS=1 takes over what it prints):\n{diff}"
        );
    }
}

/// Replaces what differs from run to run, and only that: points in time, durations and ages,
/// digests. Runs of spaces become one, because the columns of a table move with what stands in
/// them.
fn normalized(text: &str) -> String {
    let mut result = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split_whitespace().map(normalized_word).collect();
        // `2026-01-05 15:04:05 UTC` is one point in time.
        let mut words = words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            if word != "<time>" || words.peek() != Some(&"<time>") {
                result.push_str(word);
                result.push_str(if words.peek().is_some() { " " } else { "" });
            }
        }
        result.push('\n');
    }
    result
}

fn normalized_word(word: &str) -> String {
    let core = word.trim_matches(|it| "()[],;.".contains(it));
    let kind = if is_time(core) {
        "<time>"
    } else if is_duration(core) {
        "<duration>"
    } else if is_digest(core) {
        "<digest>"
    } else {
        return word.to_owned();
    };
    word.replacen(core, kind, 1)
}

fn is_time(word: &str) -> bool {
    let shaped = |word: &str, shape: &str| {
        word.len() >= shape.len()
            && word.bytes().zip(shape.bytes()).all(|(byte, it)| {
                if it == b'0' {
                    byte.is_ascii_digit()
                } else {
                    byte == it
                }
            })
    };
    shaped(word, "0000-00-00") || shaped(word, "00:00:00") || word == "UTC"
}

/// Tells whether the word is a number with a unit of time, or several: `3s`, `1.2s`, `1m20s`.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    while let Some(unit) = rest.find(|it: char| it.is_ascii_alphabetic()) {
        let (number, tail) = rest.split_at(unit);
        let units = ["ms", "us", "d", "h", "m", "s"];
        let Some(unit) = units.into_iter().find(|unit| tail.starts_with(unit)) else {
            return false;
        };
        if number.parse::<f64>().is_err() {
            return false;
        }
        rest = &tail[unit.len()..];
    }
    rest.is_empty() && !word.is_empty()
}

fn is_digest(word: &str) -> bool {
    let hex = word.strip_prefix("sha256:").unwrap_or(word);
    hex.len() >= 12
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && hex.bytes().any(|byte| byte.is_ascii_digit())
}

#[test]
fn only_times_durations_and_digests_are_replaced() {
    for (text, expected) in [
        (
            "org1  deployed   2026-01-05 15:04:05 UTC  peer-org-0.1.0",
            "org1 deployed <time> peer-org-0.1.0",
        ),
        (
            "updated 2026-01-05T15:04:05Z by 2 people",
            "updated <time> by 2 people",
        ),
        (
            "ready after 1m20s (3 of 3)",
            "ready after <duration> (3 of 3)",
        ),
        ("done (1.2s), age 15d", "done (<duration>), age <duration>"),
        (
            "digest sha256:0123456789abcdef, revision 12",
            "digest <digest>, revision 12",
        ),
        (
            "peer0 10Gi 2.5.16 deadbeef 5 s",
            "peer0 10Gi 2.5.16 deadbeef 5 s",
        ),
    ] {
        assert_eq!(normalized(text), format!("{expected}\n"));
    }
}
