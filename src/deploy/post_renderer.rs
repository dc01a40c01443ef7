//! `--post-renderer`: a program that changes the rendered manifest before it is compared and
//! applied, as in Helm 3.

use crate::error::{Error, Result};
use crate::manifest::{self, Object};
use crate::plan::mask::{self, Masker};
use crate::storage;
use std::io::ErrorKind;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A program that reads a manifest and prints the one to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostRenderer {
    pub program: String,
    pub arguments: Vec<String>,
}

/// Limit on its output, equal to that of a chart.
const MOST: usize = 64 << 20;

/// Number of lines of its stderr in an error.
const LAST_LINES: usize = 10;

impl PostRenderer {
    /// Runs it on the manifest of a chart. Dropping the future ends the program. Its error messages
    /// are shown with these secrets and those in the manifest masked.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started, fails (with the last lines of its stderr), or prints
    /// nothing.
    pub async fn run(
        &self,
        chart: &str,
        objects: &[Object],
        secrets: Vec<String>,
    ) -> Result<String> {
        let program = &self.program;
        let in_objects = objects.iter().flat_map(|object| {
            Masker::secrets_of(&object.body, &mask::object_pointers(&object.body))
        });
        // A new key, so that masks cannot be tested against guesses.
        let masker = Masker::new(
            storage::new_key()?.as_bytes(),
            secrets.into_iter().chain(in_objects),
        );
        let manifest = manifest::to_yaml(chart, objects);
        let failed = |what: String| {
            Error::user(format!("the post-renderer \"{program}\" {what}"))
                .now("nothing was changed")
        };
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let failed = failed(format!("cannot be started: {error}"));
            match error.kind() {
                ErrorKind::NotFound if !program.contains(std::path::MAIN_SEPARATOR) => failed.hint(
                    format!("the program is searched in PATH; for a file in the current directory, use ./{program}"),
                ),
                ErrorKind::PermissionDenied => failed.hint("it must be executable"),
                _ => failed,
            }
        })?;
        let mut stdin = child.stdin.take();
        // A program may end without reading all input.
        let feed = async move {
            if let Some(stdin) = &mut stdin {
                let _ = stdin.write_all(manifest.as_bytes()).await;
            }
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = masker.text(&said).unwrap_or_else(|| said.into_owned());
            let lines: Vec<&str> = said.trim_end().lines().collect();
            let last: Vec<String> = lines[lines.len().saturating_sub(LAST_LINES)..]
                .iter()
                .map(|line| format!("     | {line}"))
                .collect();
            let error = failed(format!("failed ({})", output.status));
            return Err(if last.is_empty() {
                error
            } else {
                error.why(format!("its last output:\n{}", last.join("\n")))
            });
        }
        if output.stdout.len() > MOST {
            return Err(failed(format!("printed more than {} MiB", MOST >> 20)));
        }
        let text = String::from_utf8(output.stdout)
            .map_err(|_| failed("did not print UTF-8".to_owned()))?;
        match text.trim().is_empty() {
            true => Err(failed("printed nothing".to_owned())
                .hint("it must print the whole manifest, with or without changes")),
            false => Ok(text),
        }
    }
}
