//! The environment of a command: the terminal, the time, and a runtime for verbs that use the
//! cluster.

use super::arguments::ConnectionArguments;
use crate::cluster::Cluster;
use crate::deploy::Context;
use crate::error::{Error, Result};
use crate::release::ReleaseName;
use crate::terminal::Terminal;
use jiff::Timestamp;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

pub struct Edge {
    pub terminal: Arc<Terminal>,
    pub now: Timestamp,
    pub connection: ConnectionArguments,
}

impl Edge {
    /// Runs a verb that uses no cluster. A signal ends the program.
    pub fn wait_for<T>(&self, story: impl Future<Output = Result<T>>) -> Result<T> {
        runtime()?.block_on(story)
    }

    /// Runs a verb that only reads. A signal ends it at once.
    pub fn read<T>(
        &self,
        stdin_in_use: bool,
        story: impl AsyncFnOnce(&Cluster) -> Result<T>,
    ) -> Result<T> {
        runtime()?.block_on(async {
            let work = async {
                let cluster = Cluster::connect(&self.connection.connection(stdin_in_use)).await?;
                cluster.on_retry(self.retry_reporter());
                let result = story(&cluster).await;
                self.pass_on_warnings(&cluster);
                result
            };
            let mut signals = Signals::listen();
            tokio::select! {
                biased;
                () = signals.first() => Err(Error::interrupted("interrupted").now("nothing was changed")),
                result = work => result,
            }
        })
    }

    /// Runs what makes a plan for a release and writes nothing.
    pub fn plan<T>(
        &self,
        release: ReleaseName,
        stdin_in_use: bool,
        story: impl AsyncFnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let namespace = self.connection.namespace_of(release.as_str())?;
        self.read(stdin_in_use, async |cluster| {
            let progress = self.terminal.progress();
            // A signal ends it at once, so none has to be passed on.
            let (_open, interrupted) = watch::channel(false);
            let context = Context {
                cluster,
                release,
                namespace,
                now: self.now,
                progress: &*progress,
                interrupted,
            };
            story(&context).await
        })
    }

    /// Runs an operation. The operation receives the first signal, so that it can finish its
    /// record. The second signal ends the program.
    pub fn operate<T>(
        &self,
        stdin_in_use: bool,
        story: impl AsyncFnOnce(&Cluster, watch::Receiver<bool>) -> Result<T>,
    ) -> Result<T> {
        let interrupted = self.listen()?;
        runtime()?.block_on(async {
            let mut stop = interrupted.clone();
            let connection = self.connection.connection(stdin_in_use);
            // A credential plugin may wait for the user without a limit.
            let cluster = tokio::select! {
                cluster = Cluster::connect(&connection) => cluster.map_err(|error| error.now("nothing was sent to the cluster"))?,
                _ = stop.wait_for(|stop| *stop) => return Err(Error::interrupted("interrupted").now("nothing was sent to the cluster")),
            };
            cluster.on_retry(self.retry_reporter());
            let result = story(&cluster, interrupted).await;
            self.pass_on_warnings(&cluster);
            result
        })
    }

    /// Runs an operation that a signal may end between any two responses, with `end` as its error.
    pub fn change<T>(
        &self,
        end: Error,
        story: impl AsyncFnOnce(&Cluster) -> Result<T>,
    ) -> Result<T> {
        self.operate(false, async |cluster, mut interrupted| {
            tokio::select! {
                biased;
                _ = interrupted.wait_for(|stop| *stop) => Err(end),
                result = story(cluster) => result,
            }
        })
    }

    /// Reports retries on the terminal: a silent wait looks like a hang.
    fn retry_reporter(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let terminal = Arc::clone(&self.terminal);
        move |text| terminal.note(text)
    }

    /// The warnings of the API server: deprecated versions, policies that only warn.
    fn pass_on_warnings(&self, cluster: &Cluster) {
        for warning in cluster.take_warnings() {
            self.terminal.warn(&warning);
        }
    }

    /// Listens for signals on a separate thread, so that a busy operation cannot delay the second
    /// Ctrl-C.
    fn listen(&self) -> Result<watch::Receiver<bool>> {
        let (sender, receiver) = watch::channel(false);
        let runtime = runtime()?;
        let terminal = Arc::clone(&self.terminal);
        std::thread::spawn(move || {
            runtime.block_on(async {
                let mut signals = Signals::listen();
                signals.first().await;
                terminal.note("interrupted: stopping cleanly; interrupt again to stop immediately");
                let _ = sender.send(true);
                signals.next().await;
                terminal.stand_still();
                terminal.fail(
                    &Error::interrupted("stopped immediately")
                        .now("the operation is unfinished; its record and its lock stay")
                        .hint("run the same command again: it takes over the lock and continues"),
                );
                std::process::exit(i32::from(crate::error::Kind::Interrupted.exit_status()));
            });
        });
        Ok(receiver)
    }
}

fn runtime() -> Result<Runtime> {
    // Separate threads read large responses and pack records. More threads than processors only use
    // more memory.
    let aside = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8);
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(aside)
        .build()
        .map_err(|error| Error::internal(format!("the runtime could not be started: {error}")))
}

/// Ctrl-C, SIGTERM and SIGHUP, from construction on. A signal between two calls is kept for the
/// second.
struct Signals {
    #[cfg(unix)]
    sources: Option<[tokio::signal::unix::Signal; 2]>,
    /// The end of the terminal. A shell and the kernel may both send it, so only the first one
    /// counts.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    sources: Option<tokio::signal::windows::CtrlC>,
}

impl Signals {
    /// If the program cannot listen for signals, they keep their default effect and none arrives
    /// here.
    #[cfg(unix)]
    fn listen() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // A run under nohup outlives its terminal: a process that was started with SIGHUP ignored
        // keeps ignoring it.
        let hangup = if ignores_hangup() {
            None
        } else {
            signal(SignalKind::hangup()).ok()
        };
        let sources = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok([interrupt, signal(SignalKind::terminate())?]));
        Signals {
            sources: sources.ok(),
            hangup,
        }
    }

    #[cfg(windows)]
    fn listen() -> Signals {
        Signals {
            sources: tokio::signal::windows::ctrl_c().ok(),
        }
    }

    /// The first signal that asks to stop.
    async fn first(&mut self) {
        #[cfg(unix)]
        if let Some(mut hangup) = self.hangup.take() {
            return tokio::select! {
                _ = hangup.recv() => {}
                () = self.next() => {}
            };
        }
        self.next().await;
    }

    /// A signal that was sent on purpose.
    async fn next(&mut self) {
        match &mut self.sources {
            #[cfg(unix)]
            Some([interrupt, terminate]) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            #[cfg(windows)]
            Some(interrupt) => {
                interrupt.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Whether this process was started with SIGHUP ignored. Rust's standard library has no function
/// for it. Linux shows it in proc(5). Elsewhere, a child process inherits the setting and sends
/// itself the signal.
#[cfg(unix)]
#[allow(
    clippy::disallowed_methods,
    reason = "the signal disposition of this process decides which signals it listens to"
)]
fn ignores_hangup() -> bool {
    static IGNORES: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    // Asked once, before the first handler is installed.
    *IGNORES.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        match status.lines().find_map(|line| line.strip_prefix("SigIgn:")) {
            Some(mask) => u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 != 0),
            None => std::process::Command::new("/bin/sh")
                .args(["-c", "kill -HUP $$"])
                .status()
                .is_ok_and(|end| end.success()),
        }
    })
}
