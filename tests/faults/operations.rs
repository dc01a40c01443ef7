//! The four operations on the chart of this folder, and what each is to end in.

use std::path::Path;

use crate::invariants::{CANARY, Expected, Objects};
use crate::support::{Cluster, Invocation, repository};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

impl Operation {
    pub const ALL: [Operation; 4] = [
        Operation::Install,
        Operation::Upgrade,
        Operation::Rollback,
        Operation::Uninstall,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Operation::Install => "install",
            Operation::Upgrade => "upgrade",
            Operation::Rollback => "rollback",
            Operation::Uninstall => "uninstall",
        }
    }

    /// What the release is to be after it.
    pub fn expected(self, split: bool) -> Expected {
        let installed = Objects {
            level: "one".into(),
            image: "registry.example/node:1".into(),
            old: true,
            new: false,
            nodes: 2,
            bulk: split,
        };
        match self {
            Operation::Install | Operation::Rollback => Expected::Deployed(installed),
            Operation::Upgrade => Expected::Deployed(Objects {
                level: "two".into(),
                image: "registry.example/node:2".into(),
                old: false,
                new: true,
                ..installed
            }),
            Operation::Uninstall => Expected::Uninstalled,
        }
    }
}

/// A release of the chart in a namespace of its own.
pub struct Release<'a> {
    pub cluster: &'a Cluster,
    pub namespace: String,
}

impl Release<'_> {
    pub fn command(&self, verb: &str, args: &[&str]) -> Invocation {
        self.cluster
            .fabric()
            .args(verb.split(' '))
            .args(["app", "-n", &self.namespace])
            .args(args)
    }

    /// An operation as it is run again and again. `rollback_to` is the revision that the install
    /// deployed.
    pub fn operation(&self, operation: Operation, values: &Path, rollback_to: u64) -> Invocation {
        let back = rollback_to.to_string();
        match operation {
            Operation::Install => self.command(
                "install",
                &["--chart", &chart(), "-f", &values.display().to_string()],
            ),
            Operation::Upgrade => self.command(
                "upgrade",
                &[
                    "--set",
                    "level=two,image=registry.example/node:2,old=false,new=true",
                ],
            ),
            Operation::Rollback => self.command("rollback", &[&back]),
            Operation::Uninstall => self.command("uninstall", &["--ignore-not-found"]),
        }
    }
}

/// The chart's folder.
pub fn chart() -> String {
    repository()
        .join("tests/faults/chart")
        .display()
        .to_string()
}

/// Values with the canary; with `split`, so much text that does not compress that a record has two
/// parts.
pub fn values(split: bool) -> String {
    let mut seed: u64 = 42;
    let mut character = || {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        char::from(b' ' + 1 + (seed >> 33) as u8 % 94)
    };
    let bulk: String = if split {
        (0..380 * 1024).map(|_| character()).collect()
    } else {
        String::new()
    };
    serde_json::json!({"password": CANARY, "bulk": bulk}).to_string()
}
