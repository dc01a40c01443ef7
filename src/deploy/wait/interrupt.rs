//! The user's request to stop.

use crate::error::Error;
use tokio::sync::watch;

/// Resolves when the user interrupts the run.
pub async fn interrupt(interrupted: &mut watch::Receiver<bool>) {
    if interrupted
        .wait_for(|interrupted| *interrupted)
        .await
        .is_err()
    {
        // The sender is gone, so no interruption can arrive.
        std::future::pending::<()>().await;
    }
}

pub fn interrupted() -> Error {
    Error::interrupted("interrupted").why("the program received a signal to stop")
}
