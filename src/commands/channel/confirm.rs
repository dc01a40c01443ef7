//! Questions before a step that cannot be taken back.

use crate::commands::Edge;
use crate::error::{Error, Result};

/// Asks on the terminal; without one, the user says `--yes`. `what` is a sentence, and `hint` says
/// how to look first.
pub fn confirm(edge: &Edge, what: &str, hint: &str) -> Result<()> {
    if !edge.terminal.can_ask() {
        return Err(Error::refused(what)
            .why("it must be confirmed, and there is no terminal to ask on")
            .now("nothing was changed")
            .hint(hint)
            .hint("add --yes to confirm it"));
    }
    match edge
        .terminal
        .ask(&format!("{what}. Type \"yes\" to go on:"), "yes")?
    {
        true => Ok(()),
        false => Err(Error::refused("not confirmed").now("nothing was changed")),
    }
}

/// The sentence about capability levels that a change raises.
pub fn levels(name: &str, raised: &[(&'static str, String)]) -> String {
    let levels = raised
        .iter()
        .map(|(group, level)| format!("{group} {level}"));
    let levels: Vec<String> = levels.collect();
    format!(
        "channel \"{name}\" gets the capability levels {}: they cannot be lowered again, and a node that does not know them stops",
        levels.join(", ")
    )
}
