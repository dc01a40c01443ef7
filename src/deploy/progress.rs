//! What an operation tells while it runs.

use super::course::Nodes;
use crate::cluster::Cluster;
use crate::manifest::ObjectKey;
use crate::plan::mask::Masker;

/// What an operation tells while it runs. `terminal` shows it, as lines, as a table that moves, or
/// as JSON.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event);

    /// An object is ready, or gone. Unlike an event, it is called for each object that is waited
    /// for, also if there was nothing to wait.
    fn done(&self, _key: &ObjectKey) {}
}

/// Passes on what the server has warned of since the last time: before the first write and before
/// each wait, which may be in vain for that very reason.
pub(super) fn pass_on_warnings(cluster: &Cluster, progress: &dyn Progress) {
    for message in cluster.take_warnings() {
        progress.event(&Event::Warning { message });
    }
}

/// Hides secrets in what an operation tells: reasons repeat what the server and the logs of
/// containers say.
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

/// One thing that happened. The fields are what `--events json` streams.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made; nothing is written yet.
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
        /// If the object is a node: how far the operation is with its nodes, this one included.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<Nodes>,
    },
    /// An object's state while it is waited for; `ready` when it is done.
    Waiting {
        object: String,
        ready: bool,
        /// Whether the reason is something that went wrong with a pod, rather than something not
        /// done yet.
        trouble: bool,
        reason: String,
        done: usize,
        total: usize,
        /// How far the operation is with its nodes, if it has any.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<Nodes>,
    },
    /// The wait has ended although not all is ready: nothing is waited for any more.
    WaitOver,
    Hook {
        hook: String,
        phase: String,
    },
    /// Something the user should know that is no failure.
    Warning {
        message: String,
    },
    /// A step of the story: `identities`, `lock`, `record`, ...
    Step {
        message: String,
    },
}
