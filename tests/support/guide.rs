//! A guide's commands: the `console` and `shell` blocks of a Markdown file.
//!
//! In a `console` block a line that begins with `$ ` is a command, and the lines under it are shown
//! as its output. A `shell` block needs nodes that answer, or Fabric's own tools, and says which in
//! its first line. A `text` block is a picture.

use std::fs;

use super::repository;

/// How the first line of a script begins.
const MARKS: [&str; 2] = ["# on real nodes: ", "# by hand: "];

pub enum Block {
    Console(Vec<Command>),
    Script(String),
}

pub struct Command {
    pub line: usize,
    pub text: String,
    pub shown: Vec<String>,
}

impl Command {
    /// Whether the guide shows that the command fails.
    pub fn fails(&self) -> bool {
        self.shown.iter().any(|line| line.starts_with("error: "))
    }
}

/// The blocks of `docs/guides/GUIDE`, in order.
pub fn blocks(guide: &str) -> Vec<Block> {
    let text = fs::read_to_string(repository().join("docs/guides").join(guide)).expect("the guide");
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<(usize, &str)> = lines
            .by_ref()
            .take_while(|(_, line)| *line != "```")
            .collect();
        match language {
            "console" => blocks.push(Block::Console(commands(guide, &block))),
            "shell" => {
                let marked = block
                    .first()
                    .is_some_and(|(_, line)| MARKS.iter().any(|mark| line.starts_with(mark)));
                assert!(
                    marked,
                    "{guide}:{}: the first line of a script is one of {MARKS:?}",
                    number + 1
                );
                blocks.push(Block::Script(
                    block.iter().map(|(_, line)| format!("{line}\n")).collect(),
                ));
            }
            "text" => {}
            other => panic!("{guide}:{}: a block of {other:?}", number + 1),
        }
    }
    blocks
}

fn commands(guide: &str, block: &[(usize, &str)]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (number, line) in block {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(text), _) => commands.push(Command {
                line: number + 1,
                text: text.to_owned(),
                shown: Vec::new(),
            }),
            (None, Some(command)) => command.shown.push((*line).to_owned()),
            (None, None) => panic!("{guide}:{}: output without a command", number + 1),
        }
    }
    commands
}
