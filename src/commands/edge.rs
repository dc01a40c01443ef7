//! What a command is given from outside: the terminal, the time, and a runtime for those that reach
//! the cluster.

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
    /// Runs what reaches no cluster; a signal ends the program.
    pub fn wait_for<T>(&self, story: impl Future<Output = Result<T>>) -> Result<T> {
        runtime()?.block_on(story)
    }

    /// Runs what only reads: a signal ends it at once.
    pub fn read<T>(
        &self,
        stdin_in_use: bool,
        story: impl AsyncFnOnce(&Cluster) -> Result<T>,
    ) -> Result<T> {
        runtime()?.block_on(async {
            let work = async {
                let cluster = Cluster::connect(&self.connection.connection(stdin_in_use)).await?;
                cluster.tell(self.teller());
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

    /// Runs an operation: the first signal is passed on, so that it can finish its record; the
    /// second ends the program.
    pub fn operate<T>(
        &self,
        stdin_in_use: bool,
        story: impl AsyncFnOnce(&Cluster, watch::Receiver<bool>) -> Result<T>,
    ) -> Result<T> {
        let interrupted = self.listen()?;
        runtime()?.block_on(async {
            let mut stop = interrupted.clone();
            let connection = self.connection.connection(stdin_in_use);
            // A credential plugin may wait for the user for as long as it likes.
            let cluster = tokio::select! {
                cluster = Cluster::connect(&connection) => cluster.map_err(|error| error.now("nothing was sent to the cluster"))?,
                _ = stop.wait_for(|stop| *stop) => return Err(Error::interrupted("interrupted").now("nothing was sent to the cluster")),
            };
            cluster.tell(self.teller());
            let result = story(&cluster, interrupted).await;
            self.pass_on_warnings(&cluster);
            result
        })
    }

    /// Runs an operation that a signal may end between any two answers, with `end` as its error.
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

    /// Tells on the terminal that requests have to be repeated: a wait of which nothing is said
    /// looks like a program that hangs.
    fn teller(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let terminal = Arc::clone(&self.terminal);
        move |text| terminal.note(text)
    }

    /// What the API server had to say beside its answers: deprecated versions, policies that only
    /// warn.
    fn pass_on_warnings(&self, cluster: &Cluster) {
        for warning in cluster.take_warnings() {
            self.terminal.warn(&warning);
        }
    }

    /// Listens for signals on a thread of its own: a busy operation must not keep the second Ctrl-C
    /// from being heard.
    fn listen(&self) -> Result<watch::Receiver<bool>> {
        let (sender, receiver) = watch::channel(false);
        let runtime = runtime()?;
        let terminal = Arc::clone(&self.terminal);
        std::thread::spawn(move || {
            runtime.block_on(async {
                let mut signals = Signals::listen();
                signals.first().await;
                terminal.note("interrupted: coming to an orderly end; once more to stop at once");
                let _ = sender.send(true);
                signals.next().await;
                terminal.stand_still();
                terminal.fail(
                    &Error::interrupted("stopped at once")
                        .now("whatever was under way is left as it is, its record and its lock too")
                        .hint("run the same command again: it takes the lock over and goes on from there"),
                );
                std::process::exit(i32::from(crate::error::Kind::Interrupted.exit_status()));
            });
        });
        Ok(receiver)
    }
}

fn runtime() -> Result<Runtime> {
    // Large answers are read and records packed on threads of their own. More of them than
    // processors only take more memory, which each keeps for itself.
    let aside = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8);
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(aside)
        .build()
        .map_err(|error| Error::internal(format!("the runtime could not be started: {error}")))
}

/// Ctrl-C, SIGTERM and SIGHUP, from the moment it is made: a signal between two questions is kept
/// for the second.
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
    /// Where signals cannot be listened to, they keep their usual effect and none ever arrives
    /// here.
    #[cfg(unix)]
    fn listen() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // A run under nohup outlives its terminal: a process that was started with SIGHUP ignored
        // goes on ignoring it.
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

    /// One that somebody has sent on purpose.
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

/// Whether this process was started with SIGHUP ignored. Rust's standard library does not tell;
/// Linux does, in proc(5), and elsewhere a child that inherits it and sends itself the signal.
#[cfg(unix)]
#[allow(
    clippy::disallowed_methods,
    reason = "what the system says of this process decides which signals it listens to"
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
