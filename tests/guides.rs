//! The guides are true: every command in their `console` blocks is run, in order, on a cluster that nobody else is in.
//!
//! A line that begins with `$ ` is run by bash in a folder that has the repository's `examples`, and the fixtures in the place of what Fabric's
//! tools write. It must succeed, unless the guide shows that it ends with `error:`. The lines under it must be printed by it, in this
//! order; others may stand between. Spaces count as one. Blocks for the reader alone are `shell`, and say so in their first line.
//!
//! Simulated nodes mount nothing, so pods come up there although no NFS server is behind their volumes.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
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
    let commands = commands(guide);
    assert!(commands.len() >= 5, "{guide} has {} commands", commands.len());
    let Some((cluster, _turn)) = support::cluster_alone(&NAMESPACES) else { return };
    // What a guide left, whose uninstall keeps volumes.
    let volumes = NAMESPACES.map(|namespace| format!("{namespace}-crypto"));
    cluster.kubectl().args(["delete", "persistentvolume", "--ignore-not-found"]).args(&volumes).run().success();
    let fixtures = repository().join("tests/fixtures").join(fixtures);
    for (from, name) in [(repository().join("examples"), "examples"), (fixtures.join("crypto-config"), "crypto-config")] {
        symlink(from, cluster.folder().join(name)).expect("a link");
    }
    for command in &commands {
        command.run(&cluster, guide);
    }
}

struct Command {
    line: usize,
    text: String,
    shown: Vec<String>,
}

/// The commands of a guide's console blocks, with the lines that are shown under each.
fn commands(guide: &str) -> Vec<Command> {
    let text = fs::read_to_string(repository().join("docs/guides").join(guide)).expect("the guide");
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let mut block = lines.by_ref().take_while(|(_, line)| *line != "```").peekable();
        match language {
            "console" => {
                for (number, line) in block {
                    match (line.strip_prefix("$ "), commands.last_mut()) {
                        (Some(text), _) => commands.push(Command { line: number + 1, text: text.to_owned(), shown: Vec::new() }),
                        (None, Some(command)) => command.shown.push(one_space(line)),
                        (None, None) => panic!("{guide}:{}: output without a command", number + 1),
                    }
                }
            }
            "shell" => {
                let marked = block.peek().is_some_and(|(_, line)| line.starts_with("# by hand: "));
                assert!(marked, "{guide}:{}: a block that no test runs says \"by hand\"", number + 1);
                block.for_each(drop);
            }
            "text" => block.for_each(drop),
            other => panic!("{guide}:{}: a block of {other:?}", number + 1),
        }
    }
    commands
}

impl Command {
    fn run(&self, cluster: &Cluster, guide: &str) {
        let output = cluster.shell(&self.text).run();
        let place = format!("{guide}:{}: {}\n{}{}", self.line, self.text, output.stdout, output.stderr);
        let fails = self.shown.iter().any(|line| line.starts_with("error: "));
        assert_eq!(output.status == Some(0), !fails, "{place}");
        let printed = if fails { output.stderr } else { output.stdout };
        let mut printed = printed.lines().map(one_space);
        for line in &self.shown {
            assert!(printed.any(|it| it.starts_with(line.as_str())), "{line:?} is not printed, or not there: {place}");
        }
    }
}

fn one_space(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
