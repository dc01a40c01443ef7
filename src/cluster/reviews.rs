//! What the server thinks of us: who we are, what we may do.

use super::{
    ApiErrorKind, ApiResult, Whoami,
    requests::{self, Call},
    retry::Repeat,
    transport::Transport,
};
use http::Method;
use serde_json::{Value, json};

pub(super) async fn whoami(transport: &Transport) -> ApiResult<Whoami> {
    let version = "authentication.k8s.io/v1";
    let body = json!({"apiVersion": version, "kind": "SelfSubjectReview"});
    let words = "ask the server who we are";
    match transport.json(&review(version, "selfsubjectreviews", &body, words)).await {
        Ok(review) => {
            let username = review["status"]["userInfo"]["username"].as_str().unwrap_or_default();
            Ok(Whoami { username: username.to_owned() })
        }
        Err(error) if matches!(error.kind, ApiErrorKind::Forbidden | ApiErrorKind::UnknownKind) => Ok(Whoami::default()),
        Err(error) => Err(error),
    }
}

pub(super) async fn can_i(
    transport: &Transport,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) -> ApiResult<bool> {
    let version = "authorization.k8s.io/v1";
    let attributes = json!({
        "verb": verb,
        "group": group,
        "resource": resource,
        "namespace": namespace.unwrap_or_default(),
        "name": name.unwrap_or_default(),
    });
    let body = json!({"apiVersion": version, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
    let words = format!("ask the server whether we may {verb} {resource}");
    let review = transport.json(&review(version, "selfsubjectaccessreviews", &body, &words)).await?;
    Ok(review["status"]["allowed"] == true)
}

/// A review is a question in the form of a create; it leaves nothing behind.
fn review(version: &str, plural: &str, body: &Value, words: &str) -> Call {
    let path = requests::path(version, plural, None, None);
    Call::write("review", Method::POST, path, requests::JSON, body, words.to_owned()).repeat(Repeat::Harmless)
}
