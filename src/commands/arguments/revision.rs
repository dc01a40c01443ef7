//! Numbers of revisions.

/// Reads the number of a revision, as `history` shows it.
pub fn parse(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "a revision is a number, as `kubectl fabric history` shows it".to_owned())
}
