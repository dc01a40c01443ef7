//! `--post-renderer`: a program that changes the rendered manifest before it is compared and
//! applied, as in Helm 3.

use crate::error::{Error, Result};
use crate::manifest::{self, Object};
use crate::plan::mask::{self, Masker};
use crate::storage;
use std::io::{self, ErrorKind};
use std::process::{Output, Stdio};
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
        let in_objects = objects.iter().flat_map(|object| {
            Masker::secrets_of(&object.body, &mask::object_pointers(&object.body))
        });
        // A new key, so that masks cannot be tested against guesses.
        let masker = Masker::new(
            storage::new_key()?.as_bytes(),
            secrets.into_iter().chain(in_objects),
        );
        let manifest = manifest::to_yaml(chart, objects);
        let output = self.output(manifest).await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = masker.text(&said).unwrap_or_else(|| said.into_owned());
            let error = self.failed(format!("failed ({})", output.status));
            return Err(match last_lines(&said) {
                lines if lines.is_empty() => error,
                lines => error.why(format!("its last output:\n{lines}")),
            });
        }
        if output.stdout.len() > MOST {
            return Err(self.failed(format!("printed more than {} MiB", MOST >> 20)));
        }
        let text = String::from_utf8(output.stdout)
            .map_err(|_| self.failed("did not print UTF-8".to_owned()))?;
        match text.trim().is_empty() {
            true => Err(self
                .failed("printed nothing".to_owned())
                .hint("it must print the whole manifest, with or without changes")),
            false => Ok(text),
        }
    }

    /// Starts the program, passes it the manifest, and waits until it ends.
    async fn output(&self, manifest: String) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        let mut stdin = child.stdin.take();
        // A program may end without reading all input.
        let feed = async move {
            if let Some(stdin) = &mut stdin {
                let _ = stdin.write_all(manifest.as_bytes()).await;
            }
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output.map_err(|error| self.failed(format!("cannot be waited for: {error}")))
    }

    fn failed(&self, what: String) -> Error {
        let program = &self.program;
        Error::user(format!("the post-renderer \"{program}\" {what}")).now("nothing was changed")
    }

    fn not_started(&self, error: &io::Error) -> Error {
        let program = &self.program;
        let failed = self.failed(format!("cannot be started: {error}"));
        match error.kind() {
            ErrorKind::NotFound if !program.contains(std::path::MAIN_SEPARATOR) => {
                failed.hint(format!(
                    "the program is searched in PATH; for a file in the current directory, use ./{program}"
                ))
            }
            ErrorKind::PermissionDenied => failed.hint("it must be executable"),
            _ => failed,
        }
    }
}

/// Returns the last lines of a program's output, as a quote.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
    let quoted: Vec<String> = last.map(|line| format!("     | {line}")).collect();
    quoted.join("\n")
}
