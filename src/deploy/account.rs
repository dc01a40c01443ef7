//! Handles a namespace that has no ServiceAccount `default` yet. Every pod needs one, so the server
//! forbids all pods until the controller manager has created it. This takes a moment after the
//! namespace's creation, or until the controller manager runs again.

use super::wait::{interrupt, interrupted};
use super::{Context, Options};
use crate::cluster::{ApiError, ApiErrorKind, ApiResult};
use crate::error::Result;
use crate::manifest::Sealed;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(300);

/// Sends a request about an object. If a pod is forbidden because the ServiceAccount is missing,
/// retries for up to `--timeout`.
///
/// # Errors
///
/// Fails if the user interrupts.
pub(super) async fn until_there<T>(
    context: &Context<'_>,
    options: &Options,
    wanted: &Sealed,
    send: impl AsyncFn() -> ApiResult<T>,
) -> Result<ApiResult<T>> {
    let (began, mut stop) = (Instant::now(), context.interrupted.clone());
    let mut has_reported = false;
    loop {
        match send().await {
            Err(error) if is_missing(&error) && uses_default(wanted) => {
                if began.elapsed() >= options.timeout {
                    let hint = "the controller manager of the cluster creates it: check that it is running";
                    return Ok(Err(ApiError {
                        hint: Some(hint.to_owned()),
                        ..error
                    }));
                }
                if !std::mem::replace(&mut has_reported, true) {
                    let words =
                        "has no ServiceAccount \"default\" yet, which pods need: waiting for it";
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

/// Matches the message of Kubernetes' `plugin/pkg/admission/serviceaccount/admission.go`, which
/// runs before Pod Security. There is no reason code for it.
fn is_missing(error: &ApiError) -> bool {
    error.kind == ApiErrorKind::Forbidden
        && error.message.contains("error looking up service account")
}

/// Returns true if an object is a pod with the default ServiceAccount. Another account will not
/// appear by itself.
fn uses_default(wanted: &Sealed) -> bool {
    let named = |body: &serde_json::Value| {
        ["serviceAccountName", "serviceAccount"]
            .iter()
            .find_map(|field| body["spec"][*field].as_str().map(str::to_owned))
    };
    wanted.key.kind == "Pod"
        && named(&wanted.body()).is_none_or(|name| matches!(name.as_str(), "" | "default"))
}
