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

/// Retries a call until it succeeds. The call must only read, or be refused the second time.
/// `passes` selects the temporary refusals.
pub async fn until<T, F>(
    patience: Duration,
    passes: impl Fn(&Fault) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, Failed>
where
    F: Future<Output = Result<T, Failed>>,
{
    let end = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let failed = match call().await {
            Err(Failed::Fault(fault)) if fault.retry() != Retry::No || passes(&fault) => fault,
            answer => return answer,
        };
        if Instant::now() + pause >= end {
            return Err(failed.into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Retries a call while the node cannot be reached.
pub async fn reach<T, F>(call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failed>>,
{
    until(REACH, |_| false, call).await.map_err(Error::from)
}
