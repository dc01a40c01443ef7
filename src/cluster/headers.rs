//! Checks credentials before any request: they are sent in headers, which cannot contain all
//! characters. Errors name the place of an invalid character, never the text.

use super::Connection;
use crate::error::{Error, Place, Result};
use http::HeaderValue;
use kube::config::AuthInfo;

/// Returns the reason why a header cannot contain a text, or `None`.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    match HeaderValue::from_str(text) {
        Ok(_) => None,
        Err(_) if text.contains(['\n', '\r']) => Some("contains a line break"),
        Err(_) => Some("contains a control character"),
    }
}

/// Checks that a header can contain a text.
///
/// # Errors
///
/// Names `what` and its place.
pub(super) fn check(what: &str, text: &str, place: impl FnOnce() -> Place) -> Result<()> {
    let Some(why) = fault(text) else {
        return Ok(());
    };
    Err(Error::user(format!("{what} cannot be sent"))
        .at(place())
        .why(format!("it {why}, which is not allowed in a header")))
}

/// Checks the user in the flags and the kubeconfig.
///
/// # Errors
///
/// See [`check`].
pub(super) fn check_user(user: &AuthInfo, user_name: &str, flags: &Connection) -> Result<()> {
    let place = |flag: &str, is_flag: bool, field: &str| match is_flag {
        true => Place::new(flag),
        false => Place::new("kubeconfig").note(format!("user \"{user_name}\": {field}")),
    };
    // The client library exposes a token only when it serializes the kubeconfig.
    let written = serde_json::to_value(user).unwrap_or_default();
    if let Some(token) = written["token"].as_str() {
        check("the token", token, || {
            place("--token", flags.token.is_some(), "token")
        })?;
    }
    if let Some(name) = &user.impersonate {
        check("the user to impersonate", name, || {
            place("--as", flags.impersonate.is_some(), "as")
        })?;
    }
    if let Some(uid) = &user.impersonate_uid {
        check("the UID to impersonate", uid, || {
            place("--as-uid", flags.impersonate_uid.is_some(), "as-uid")
        })?;
    }
    for group in user.impersonate_groups.iter().flatten() {
        check("a group to impersonate", group, || {
            place(
                "--as-group",
                !flags.impersonate_groups.is_empty(),
                "as-groups",
            )
        })?;
    }
    for value in user
        .impersonate_user_extra
        .iter()
        .flatten()
        .flat_map(|(_, values)| values)
    {
        check("the values to impersonate", value, || {
            place("", false, "as-user-extra")
        })?;
    }
    Ok(())
}
