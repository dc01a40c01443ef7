//! The guides with real programs: every command and every script of a guide, in order, in one
//! shell, as a reader runs them.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::node::Node;
use crate::support::guide::{Block, blocks};
use crate::support::repository;

/// For a whole guide: each of its upgrades takes minutes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Follows a guide to its end.
pub fn follow(node: &Node, guide: &str) {
    let folder = node.cluster.folder();
    for shared in ["examples", "tests"] {
        symlink(repository().join(shared), folder.join(shared)).expect("a link");
    }
    let mut script = "set -eu\n".to_owned();
    for block in blocks(guide) {
        match block {
            Block::Script(text) => script += &text,
            Block::Console(commands) => {
                for command in commands {
                    let expected = if command.fails() { "! " } else { "" };
                    script += &format!(
                        "echo '{guide}:{}' >&2\n{expected}{}\n",
                        command.line, command.text
                    );
                }
            }
        }
    }
    node.cluster
        .shell(&script)
        .patience(PATIENCE)
        .run()
        .success();
}
