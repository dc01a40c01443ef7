//! Reads what a credential plugin prints.

use futures::future::{Either, select};
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr};
use tokio::time::{sleep, timeout};

/// After this time, a plugin's stderr is shown immediately, because the plugin may be asking the
/// user to do something.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for remaining output of a plugin that has ended.
const GRACE: Duration = Duration::from_millis(200);

/// Waits until a plugin has ended. Returns its status and its output.
pub async fn read(mut child: Child) -> (io::Result<ExitStatus>, Vec<u8>, StderrText) {
    let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut output = Vec::new();
    let mut text = StderrText {
        text: Vec::new(),
        shown: stderr.is_none(),
    };
    let status = {
        let ended = async {
            if let Some(stdout) = &mut stdout {
                stdout.read_to_end(&mut output).await?;
            }
            child.wait().await
        };
        let listening = listen(stderr, &mut text);
        match select(pin!(ended), pin!(listening)).await {
            // A process that the plugin started may keep stderr open forever.
            Either::Left((status, listening)) => {
                let _ = timeout(GRACE, listening).await;
                status
            }
            Either::Right(((), ended)) => ended.await,
        }
    };
    (status, output, text)
}

/// A plugin's output on stderr, and whether the user has seen it.
pub struct StderrText {
    text: Vec<u8>,
    shown: bool,
}

impl StderrText {
    /// Returns the last lines that the user has not seen.
    pub fn last_lines(&self) -> Vec<String> {
        if self.shown {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&self.text);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(3)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    pub async fn pass_on(&self) {
        if !self.shown {
            show(&self.text).await;
        }
    }
}

/// Prints a plugin's output. As in kubectl, plugins talk to the user directly, so `terminal` does
/// not format it.
async fn show(text: &[u8]) {
    let mut stderr = tokio::io::stderr();
    // If stderr is closed, the error cannot be reported.
    let _ = stderr.write_all(text).await;
    let _ = stderr.flush().await;
}

async fn listen(stderr: Option<ChildStderr>, stderr_text: &mut StderrText) {
    let Some(mut stderr) = stderr else { return };
    let mut patience = pin!(sleep(PATIENCE));
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stderr.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    stderr_text.text.extend_from_slice(&buffer[..n]);
                    if stderr_text.shown {
                        show(&buffer[..n]).await;
                    }
                }
            },
            () = &mut patience, if !stderr_text.shown => {
                show(&stderr_text.text).await;
                stderr_text.shown = true;
            }
        }
    }
}
