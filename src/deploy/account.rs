//! A namespace that has no ServiceAccount `default` yet. Every pod needs one, so the server forbids
//! all pods until the controller manager has made it: a moment after the namespace, or as soon as
//! the controller manager is back.

use super::wait::{interrupt, interrupted};
use super::{Context, Options};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult};
use crate::error::Result;
use crate::manifest::Sealed;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(300);

/// Sends a request about an object. If that is a pod which is forbidden for the lack of the
/// ServiceAccount, it is sent again, for up to `--timeout`.
///
/// # Errors
///
/// The user interrupts.
pub(super) async fn until_there<T>(
    context: &Context<'_>,
    options: &Options,
    wanted: &Sealed,
    send: impl AsyncFn() -> ApiResult<T>,
) -> Result<ApiResult<T>> {
    let (began, mut stop) = (Instant::now(), context.interrupted.clone());
    let mut is_told = false;
    loop {
        match send().await {
            Err(error) if is_missing(&error) && uses_default(wanted) => {
                if began.elapsed() >= options.timeout {
                    let hint = "the controller manager of the cluster makes it: does that run?";
                    return Ok(Err(ApiError {
                        hint: Some(hint.to_owned()),
                        ..error
                    }));
                }
                if !std::mem::replace(&mut is_told, true) {
                    let words = "has no ServiceAccount \"default\" yet, which its pods need: waiting for it";
                    context.step(&format!("namespace {} {words}", context.namespace));
                }
            }
            answer => return Ok(answer),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = interrupt(&mut stop) => return Err(interrupted()),
        }
    }
}

/// The words are those of Kubernetes' `plugin/pkg/admission/serviceaccount/admission.go`, which is
/// asked before Pod Security. There is no reason code for it.
fn is_missing(error: &ApiError) -> bool {
    error.kind == ApiErrorKind::Forbidden
        && error.message.contains("error looking up service account")
}

/// Whether an object is a pod that names no other ServiceAccount: one of the user's own will not
/// come by itself.
fn uses_default(wanted: &Sealed) -> bool {
    let named = |body: &serde_json::Value| {
        ["serviceAccountName", "serviceAccount"]
            .iter()
            .find_map(|field| body["spec"][*field].as_str().map(str::to_owned))
    };
    wanted.key.kind == "Pod"
        && named(&wanted.body()).is_none_or(|name| matches!(name.as_str(), "" | "default"))
}
