//! Reports the progress of a running operation.

use super::course::Nodes;
use crate::cluster::Cluster;
use crate::manifest::ObjectKey;
use crate::plan::mask::Masker;

/// Progress of a running operation. `terminal` shows it as lines, as a live view, or as JSON.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event);

    /// Reports that an object is ready, or gone. Unlike an event, this is called for each object,
    /// even if it was ready at once.
    fn done(&self, _key: &ObjectKey) {}
}

/// Passes on the server's warnings since the last call. Called before the first write and before
/// each wait, because a warning may explain why the wait fails.
pub(super) fn pass_on_warnings(cluster: &Cluster, progress: &dyn Progress) {
    for message in cluster.take_warnings() {
        progress.event(&Event::Warning { message });
    }
}

/// Hides secrets in the progress of an operation: reasons quote the server and the logs of
/// containers.
pub(super) struct Masked<'a> {
    pub inner: &'a dyn Progress,
    pub masker: Masker,
}

impl Progress for Masked<'_> {
    fn event(&self, event: &Event) {
        let text = match event {
            Event::Waiting { reason: text, .. }
            | Event::Warning { message: text }
            | Event::Step { message: text } => text,
            Event::Planned { .. }
            | Event::Applied { .. }
            | Event::WaitOver
            | Event::Hook { .. } => {
                return self.inner.event(event);
            }
        };
        let Some(masked) = self.masker.text(text) else {
            return self.inner.event(event);
        };
        let mut event = event.clone();
        if let Event::Waiting { reason: text, .. }
        | Event::Warning { message: text }
        | Event::Step { message: text } = &mut event
        {
            *text = masked;
        }
        self.inner.event(&event);
    }
}

/// An event. Its fields are those of `--events json`.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is complete, and nothing is written yet.
    Planned {
        create: usize,
        change: usize,
        recreate: usize,
        unchanged: usize,
        prune: usize,
    },
    /// One object was written or deleted.
    Applied {
        action: String,
        object: String,
        /// If the object is a node: the progress of the operation's nodes, including this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<Nodes>,
    },
    /// An object's state during a wait; `ready` at the end.
    Waiting {
        object: String,
        ready: bool,
        /// Whether the reason is a problem with a pod, instead of normal progress.
        trouble: bool,
        reason: String,
        done: usize,
        total: usize,
        /// The progress of the operation's nodes, if it has any.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<Nodes>,
    },
    /// The wait has ended before everything was ready.
    WaitOver,
    Hook {
        hook: String,
        phase: String,
    },
    /// Information for the user that is not a failure.
    Warning {
        message: String,
    },
    /// A step of the operation: `identities`, `lock`, `record`, ...
    Step {
        message: String,
    },
}
