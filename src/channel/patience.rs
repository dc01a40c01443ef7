//! Retries of calls that fail for a while: a pod that starts, an orderer without a leader.

use crate::error::Error;
use crate::member::Failed;
use crate::node::{Fault, Retry};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to retry a node that cannot be reached.
pub const REACH: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Increasing pauses between attempts, until a deadline.
pub struct Pauses {
    end: Instant,
    next: Duration,
}

impl Pauses {
    pub fn until(end: Instant) -> Pauses {
        Pauses {
            end,
            next: FIRST_PAUSE,
        }
    }

    /// Waits before the next attempt. Returns false, at once, if that would be too late.
    pub async fn wait(&mut self) -> bool {
        if Instant::now() + self.next >= self.end {
            return false;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}

/// Retries a call until it succeeds. The call must be read-only, or be refused the second time.
/// `passes` selects the temporary refusals.
pub async fn until<T, F>(
    patience: Duration,
    passes: impl Fn(&Fault) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let mut pauses = Pauses::until(Instant::now() + patience);
    loop {
        let failed = match call().await {
            Err(Failed::Fault(fault)) if fault.retry() != Retry::No || passes(&fault) => fault,
            answer => return answer,
        };
        if !pauses.wait().await {
            return Err(failed.into());
        }
    }
}

/// Retries a call while the node cannot be reached.
pub async fn reach<T, F>(call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failed>>,
{
    until(REACH, |_| false, call).await.map_err(Error::from)
}
