//! The guides are true: every command in their `console` blocks is run, in order, on a cluster that
//! nobody else is in.
//!
//! A line that begins with `$ ` is run by bash in a folder that has the repository's `examples`,
//! and the fixtures in the place of what Fabric's tools write. It must succeed, unless the guide
//! shows that it ends with `error:`. The lines under it must be printed by it, in this order;
//! others may stand between. Spaces count as one. Scripts for Fabric's own tools are run by
//! `tests/e2e`.
//!
//! Simulated nodes mount nothing, so pods come up there although no NFS server is behind their
//! volumes.

mod support;

use std::os::unix::fs::symlink;
use support::guide::{Block, Command, blocks};
use support::{Cluster, repository};

const NAMESPACES: [&str; 5] = ["kafka", "orgorderer1", "org1", "org2", "org1-dev"];

#[test]
fn the_articles_network() {
    follow("article-network.md", "v1.4.12");
}

#[test]
fn raft() {
    follow("raft.md", "v2.5.16");
}

#[test]
fn bft() {
    follow("bft.md", "v3.1.5");
}

fn follow(guide: &str, fixtures: &str) {
    let consoles = blocks(guide).into_iter().filter_map(|block| match block {
        Block::Console(commands) => Some(commands),
        Block::Script(_) => None,
    });
    let commands: Vec<Command> = consoles.flatten().collect();
    assert!(
        commands.len() >= 5,
        "{guide} has {} commands",
        commands.len()
    );
    let Some((cluster, _turn)) = support::cluster_alone(&NAMESPACES) else {
        return;
    };
    // What a guide left, whose uninstall keeps volumes.
    let volumes = NAMESPACES.map(|namespace| format!("{namespace}-crypto"));
    cluster
        .kubectl()
        .args(["delete", "persistentvolume", "--ignore-not-found"])
        .args(&volumes)
        .run()
        .success();
    let fixtures = repository().join("tests/fixtures").join(fixtures);
    for (from, name) in [
        (repository().join("examples"), "examples"),
        (fixtures.join("crypto-config"), "crypto-config"),
    ] {
        symlink(from, cluster.folder().join(name)).expect("a link");
    }
    for command in &commands {
        run(command, &cluster, guide);
    }
}

fn run(command: &Command, cluster: &Cluster, guide: &str) {
    let output = cluster.shell(&command.text).run();
    let place = format!(
        "{guide}:{}: {}\n{}{}",
        command.line, command.text, output.stdout, output.stderr
    );
    assert_eq!(output.status == Some(0), !command.fails(), "{place}");
    let printed = if command.fails() {
        output.stderr
    } else {
        output.stdout
    };
    let mut printed = printed.lines().map(one_space);
    for line in command.shown.iter().map(|line| one_space(line)) {
        assert!(
            printed.any(|it| it.starts_with(&line)),
            "{line:?} is not printed, or not there: {place}"
        );
    }
}

fn one_space(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
