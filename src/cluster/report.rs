//! Converts an [`ApiError`] of a failed request to an [`Error`] for the user.

use super::{ApiError, ApiErrorKind, Cause};
use crate::error::{Error, Place};

impl ApiError {
    /// Returns an error that does not come from a server.
    pub(super) fn local(kind: ApiErrorKind, request: &str, message: impl Into<String>) -> ApiError {
        ApiError {
            kind,
            code: 0,
            message: message.into(),
            request: request.to_owned(),
            causes: Vec::new(),
            hint: None,
        }
    }
}

/// Where a cluster administrator finds the required permissions.
pub const ROLES: &str = "docs/guides/rights.md has sufficient Roles";

/// The command that checks a permission. For kubectl, what follows a slash is the name of an
/// object, so a subresource has a flag of its own.
pub fn can_i(verb: &str, resource: &str, namespace: Option<&str>) -> String {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, format!(" --subresource={subresource}")),
        None => (resource, String::new()),
    };
    let flag = namespace.map_or(String::new(), |namespace| format!(" -n {namespace}"));
    format!("kubectl auth can-i {verb} {resource}{subresource}{flag}")
}

impl ApiError {
    /// Returns which permission is missing and how to get it, or `None` if the request is forbidden
    /// for another reason.
    pub fn denial(&self) -> Option<(String, String)> {
        // This is the message of apiserver's `rbac.ConfirmNoEscalation`.
        if let Some((_, granted)) = self
            .message
            .split_once("attempting to grant RBAC permissions not currently held")
            && self.kind == ApiErrorKind::Forbidden
        {
            let granted: Vec<&str> = granted
                .trim_start_matches(':')
                .lines()
                .filter(|line| !line.is_empty())
                .collect();
            return Some((
                format!("it grants more permissions than you have: {}", granted.join(", ")),
                "ask for these permissions: examples/rbac/values.yaml has those that the charts grant".to_owned(),
            ));
        }
        let Denied {
            user,
            verb,
            resource,
            namespace,
        } = denied(&self.message).filter(|_| self.kind == ApiErrorKind::Forbidden)?;
        let place = match &namespace {
            Some(namespace) => format!(" in namespace \"{namespace}\""),
            None => " in the whole cluster".to_owned(),
        };
        let check = can_i(&verb, &resource, namespace.as_deref());
        Some((
            format!("user \"{user}\" has no permission to {verb} {resource}{place}"),
            format!("ask for this permission; check with `{check}`"),
        ))
    }
}

impl Cause {
    /// Returns the manager of a conflicting field: `kubectl-edit` in
    /// `conflict with "kubectl-edit" using apps/v1 at ...`.
    pub fn manager(&self) -> Option<&str> {
        let (manager, _) = self
            .message
            .strip_prefix("conflict with \"")?
            .split_once('"')?;
        Some(manager)
    }
}

/// The parts of `User "bob" cannot get resource "pods" in API group "" in the namespace "org1"`.
/// RBAC gives these facts only in its message.
#[derive(Debug, PartialEq, Eq)]
struct Denied {
    user: String,
    verb: String,
    resource: String,
    namespace: Option<String>,
}

fn denied(message: &str) -> Option<Denied> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let namespace = rest
        .split_once("in the namespace \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| name.to_owned());
    let resource = match group {
        "" => resource.to_owned(),
        // `statefulsets/scale` of a group is `statefulsets.apps/scale` in kubectl.
        group => match resource.split_once('/') {
            Some((resource, sub)) => format!("{resource}.{group}/{sub}"),
            None => format!("{resource}.{group}"),
        },
    };
    Some(Denied {
        user: user.to_owned(),
        verb: verb.to_owned(),
        resource,
        namespace,
    })
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Error {
        let what = format!("cannot {}{}", error.request, kind_in_words(&error));
        let report = match error.kind {
            ApiErrorKind::FencedOff => Error::refused(what),
            _ => Error::cluster(what),
        };
        let report = match (error.kind, error.denial()) {
            (ApiErrorKind::Forbidden, Some((why, hint))) => {
                report.why(why).hint(format!("{hint}. {ROLES}"))
            }
            // The API server never says more, so as not to help an attacker.
            (ApiErrorKind::Unauthorized, _) if error.message == "Unauthorized" => {
                report.why("the server gives no reason").hint(LOG_IN)
            }
            (ApiErrorKind::Unauthorized, _) => report.why(&error.message).hint(LOG_IN),
            (ApiErrorKind::Unavailable, _) if error.code != 0 => report
                .why(&error.message)
                .hint("run the command again later; `kubectl get --raw /readyz` shows the state of the server"),
            _ => report.why(&error.message),
        };
        let causes = error.causes.iter();
        let causes = causes.filter(|cause| !cause.field.is_empty());
        let report = report.at_all(causes.map(|cause| {
            let place = Place::new(cause.field.trim_start_matches('.'));
            match cause.manager() {
                Some(manager) => place.note(format!("set by \"{manager}\"")),
                None => place.note(&cause.message),
            }
        }));
        match error.hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

const LOG_IN: &str =
    "log in again, or check the kubeconfig's user (`kubectl config view --minify`)";

/// Returns what follows the request in an error.
fn kind_in_words(error: &ApiError) -> String {
    let words = match error.kind {
        ApiErrorKind::Forbidden if error.denial().is_some() => "permission denied",
        ApiErrorKind::Forbidden => "the server forbids it",
        ApiErrorKind::Unauthorized => "the server rejects the credentials",
        ApiErrorKind::UnknownKind => "the server does not serve this kind",
        ApiErrorKind::FencedOff => "this run can no longer write",
        ApiErrorKind::Replaced => "the object was replaced by another one",
        ApiErrorKind::Terminating => "its namespace is being deleted",
        ApiErrorKind::Invalid => "the server rejects it",
        ApiErrorKind::Conflict if error.causes.is_empty() => "it was changed in the meantime",
        ApiErrorKind::Conflict => "another field manager owns fields",
        ApiErrorKind::Unavailable if error.code != 0 => {
            return format!(": the API server is unavailable ({})", error.code);
        }
        ApiErrorKind::Unreachable => "no connection to the API server",
        ApiErrorKind::Timeout => "no response in time",
        // Without a code, no response of the server: for example, a Service without a ready pod.
        ApiErrorKind::Unavailable
        | ApiErrorKind::NotFound
        | ApiErrorKind::AlreadyExists
        | ApiErrorKind::Expired
        | ApiErrorKind::Other => return String::new(),
    };
    format!(": {words}")
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {}: {}", self.request, self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::{super::status::from_answer, *};
    use serde_json::{Value, json};

    fn status(code: u16, reason: &str, message: &str, details: Value) -> ApiError {
        let body = json!({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details});
        from_answer("apply Pod org1/a", code, body.to_string().as_bytes())
    }

    #[test]
    fn who_is_denied_what_is_read_from_rbacs_sentence() {
        let message = "statefulsets.apps \"peer0\" is forbidden: User \"bob\" cannot patch \
                       resource \"statefulsets\" in API group \"apps\" in the namespace \"org1\"";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(
            error.contains(
                "user \"bob\" has no permission to patch statefulsets.apps in namespace \"org1\""
            ),
            "{error}"
        );
        assert!(
            error.contains("`kubectl auth can-i patch statefulsets.apps -n org1`"),
            "{error}"
        );
        let message = "nodes is forbidden: User \"bob\" cannot list resource \"nodes\" in API \
                       group \"\" at the cluster scope";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(
            error.contains("in the whole cluster")
                && error.contains("`kubectl auth can-i list nodes`"),
            "{error}"
        );
        let message = "pods \"peer0-0\" is forbidden: User \"bob\" cannot get resource \
                       \"pods/log\" in API group \"\" in the namespace \"org1\"";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(
            error.contains("`kubectl auth can-i get pods --subresource=log -n org1`"),
            "{error}"
        );
        let error = Error::from(status(
            403,
            "Forbidden",
            "pods \"a\" is forbidden: exceeded quota: q",
            Value::Null,
        ))
        .to_string();
        assert!(
            error.contains("exceeded quota") && !error.contains("can-i"),
            "{error}"
        );
        let message = "roles.rbac.authorization.k8s.io \"peer\" is forbidden: user \"bob\" \
                       (groups=[\"a\"]) is attempting to grant RBAC permissions not currently \
                       held:\n{APIGroups:[\"batch\"], Resources:[\"jobs\"], Verbs:[\"create\"]}";
        let error = Error::from(status(403, "Forbidden", message, Value::Null)).to_string();
        assert!(
            error.contains("grants more permissions than you have")
                && error.contains("examples/rbac/values.yaml"),
            "{error}"
        );
    }

    #[test]
    fn a_conflict_shows_each_field_and_its_manager() {
        let causes = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using apps/v1", "field": ".spec.replicas"}]});
        let error = Error::from(status(
            409,
            "Conflict",
            "Apply failed with 1 conflict",
            causes,
        ))
        .to_string();
        assert!(
            error.contains("--> spec.replicas   set by \"kubectl-edit\""),
            "{error}"
        );
    }
}
