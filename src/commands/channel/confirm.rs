//! Asks for confirmation before an irreversible step.

use crate::commands::Edge;
use crate::error::{Error, Result};

/// Asks on the terminal; without one, `--yes` is required. `what` is a sentence, and `hint`
/// explains how to preview the step.
pub fn confirm(edge: &Edge, what: &str, hint: &str) -> Result<()> {
    if !edge.terminal.can_ask() {
        return Err(Error::refused(what)
            .why("confirmation is required, but standard input is not a terminal")
            .now("nothing was changed")
            .hint(hint)
            .hint("add --yes to confirm it"));
    }
    match edge
        .terminal
        .ask(&format!("{what}. Type \"yes\" to continue:"), "yes")?
    {
        true => Ok(()),
        false => Err(Error::refused("not confirmed").now("nothing was changed")),
    }
}

/// Returns the sentence about raised capability levels.
pub fn levels(name: &str, raised: &[(&'static str, String)]) -> String {
    let levels = raised
        .iter()
        .map(|(group, level)| format!("{group} {level}"));
    let levels: Vec<String> = levels.collect();
    format!(
        "channel \"{name}\" would be raised to the capability levels {}: they cannot be lowered \
         again, and nodes that do not support them stop",
        levels.join(", ")
    )
}
