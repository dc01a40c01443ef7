//! The question before data is deleted.

use super::Edge;
use crate::error::{Error, Result};

/// Asks on the terminal before data is deleted; without one, `--yes` is required. `what` is a
/// sentence, and `answer` is the required input.
pub fn deletion(edge: &Edge, what: String, answer: &str) -> Result<()> {
    ask(edge, what, answer, "nothing was deleted")
}

/// [`deletion`] of something else than data.
pub fn removal(edge: &Edge, what: String, answer: &str) -> Result<()> {
    ask(edge, what, answer, "nothing was changed")
}

fn ask(edge: &Edge, what: String, answer: &str, now: &str) -> Result<()> {
    if !edge.terminal.can_ask() {
        return Err(Error::refused(what)
            .now(now)
            .hint("add --yes if that is what you want"));
    }
    let question = format!("{what}. Type \"{answer}\" to continue:");
    match edge.terminal.ask(&question, answer)? {
        true => Ok(()),
        false => Err(Error::refused("not confirmed").now(now)),
    }
}
