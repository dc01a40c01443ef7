//! Numbers of revisions.

/// Reads the number of a revision, as `history` shows it.
pub fn parse(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| {
        "expected the number of a revision; `kubectl fabric history` lists them".to_owned()
    })
}
