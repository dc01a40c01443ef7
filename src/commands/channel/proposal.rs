//! Reads and writes proposal files.

use crate::channel::ProposalFile;
use crate::commands::load;
use crate::error::{Error, Result};
use std::path::Path;

/// Reads and verifies a proposal file.
pub fn read(path: &Path) -> Result<ProposalFile> {
    let text = load::text(path, "proposal file")?;
    ProposalFile::read(&text, &path.display().to_string())
}

pub fn write(path: &Path, file: &ProposalFile) -> Result<()> {
    load::write_file(path, file.to_text().as_bytes())
}

/// Writes a new proposal. If the file already contains the same one, its signatures stay.
///
/// # Errors
///
/// Fails if the file has other content: it may be the only copy of a signed proposal.
pub fn write_new(path: &Path, file: &mut ProposalFile) -> Result<()> {
    if path.exists() {
        let shown = path.display().to_string();
        let other = |error: Error| {
            error
                .context(format!("\"{shown}\" already exists with other content"))
                .replace_now("nothing was written")
                .hint("use another file name, or remove this file")
        };
        let there = read(path).map_err(other)?;
        file.unite(&there, &shown).map_err(other)?;
    }
    write(path, file)
}

/// Returns the next step for a proposal file.
pub fn next_step(file: &str, is_satisfied: bool) -> String {
    match is_satisfied {
        true => {
            format!(
                "All policies are satisfied: submit it with `kubectl fabric channel submit {file}`."
            )
        }
        false => {
            format!("Have other organizations sign it with `kubectl fabric channel sign {file}`.")
        }
    }
}
