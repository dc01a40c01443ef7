//! A fresh control plane for the benchmarks, and what is asked of it.

use crate::measure::{self, Figure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tells the lines of the audit log that are ours from those that are measured.
const MARK: &str = "/version?benchmark-";

/// etcd and kube-apiserver, made for this run and taken down with it.
pub struct ControlPlane {
    name: &'static str,
    dir: PathBuf,
    scratch: PathBuf,
}

fn script(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("bash");
    command
        .arg(repository().join("tests/cluster/cluster"))
        .args(arguments)
        .env("CLUSTER_NAME", name);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("bash runs");
    assert!(
        output.status.success(),
        "the control plane: {arguments:?} failed, see above"
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

/// Returns the root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl ControlPlane {
    pub fn start(name: &'static str, flags: &[&str], scratch: PathBuf) -> ControlPlane {
        script(name, &["down"]);
        script(name, &[&["up"], flags].concat());
        ControlPlane {
            name,
            dir: PathBuf::from(script(name, &["dir"])),
            scratch,
        }
    }

    /// Returns the program that the control plane's own version of kubectl is.
    pub fn kubectl(&self) -> PathBuf {
        self.dir.join("kubectl")
    }

    fn environment(&self) -> [(&'static str, OsString); 1] {
        [("KUBECONFIG", self.dir.join("kubeconfig").into())]
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.kubectl())
            .args(arguments)
            .envs(self.environment())
            .output()
            .expect("kubectl runs");
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes namespaces, as many as wanted with one command.
    pub fn create_namespaces<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let object = |name: &str| {
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n")
        };
        let file = self.scratch.join("namespaces.yaml");
        fs::write(&file, names.into_iter().map(object).collect::<String>()).expect("a file");
        self.ask(&["create", "-f", &file.to_string_lossy()]);
    }

    /// Deletes what a namespace has of these kinds, each a group and version's path and a plural.
    pub fn empty(&self, namespace: &str, kinds: &[(&str, &str)]) {
        for (api, plural) in kinds {
            self.ask(&[
                "delete",
                "--raw",
                &format!("/{api}/namespaces/{namespace}/{plural}"),
            ]);
        }
    }

    /// Reads objects of a kind in a namespace.
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let text = self.ask(&["get", kind, "-n", namespace, "-o", "json"]);
        let mut list: Value = serde_json::from_str(&text).expect("JSON");
        serde_json::from_value(list["items"].take()).expect("a list")
    }

    /// The API server's version.
    pub fn version(&self) -> String {
        let version: Value =
            serde_json::from_str(&self.ask(&["get", "--raw", "/version"])).expect("JSON");
        version["gitVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The version of kubectl, which may come from elsewhere than the API server.
    pub fn kubectl_version(&self) -> String {
        let version: Value =
            serde_json::from_str(&self.ask(&["version", "--client", "-o", "json"])).expect("JSON");
        version["clientVersion"]["gitVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Runs a program against this control plane and counts what it asks of it.
    pub fn measure(&self, command: &[OsString]) -> Figure {
        let start = self.audit_length();
        let figure = self.run(command, "measured");
        Figure {
            requests: self.requests_since(start),
            ..figure
        }
    }

    /// Runs a program against this control plane. Several at once each need a folder of their own.
    pub fn run(&self, command: &[OsString], folder: &str) -> Figure {
        measure::run(command, &self.environment(), &self.scratch.join(folder))
    }

    pub fn audit_length(&self) -> u64 {
        fs::metadata(self.dir.join("audit.log"))
            .expect("the audit log")
            .len()
    }

    /// Requests by verb since the log had this length.
    pub fn requests_since(&self, start: u64) -> BTreeMap<String, u64> {
        // An answer can be on its way a little before its line is in the log: a line of a later
        // request is waited for.
        let mark = format!("{MARK}{start}");
        self.ask(&["get", "--raw", &mark]);
        loop {
            let mut log =
                BufReader::new(File::open(self.dir.join("audit.log")).expect("the audit log"));
            assert!(
                self.audit_length() >= start,
                "the audit log was begun anew: what was sent before is not counted"
            );
            log.seek(SeekFrom::Start(start))
                .expect("a file that only grows");
            let mut counts = BTreeMap::new();
            for line in log.lines().map(|line| line.expect("the audit log is text")) {
                if line.contains(&mark) {
                    return counts;
                }
                let Ok(event) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                *counts.entry(verb(&event)).or_default() += 1;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn verb(event: &Value) -> String {
    let dry_run = event["requestURI"]
        .as_str()
        .is_some_and(|uri| uri.contains("dryRun=All"));
    match event["verb"].as_str().unwrap_or_default() {
        verb if dry_run => format!("{verb} (dry run)"),
        verb => verb.to_owned(),
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        script(self.name, &["down"]);
    }
}
