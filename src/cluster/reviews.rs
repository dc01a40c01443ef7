//! Asks the server about the user's identity and permissions.

use super::{
    ApiErrorKind, ApiResult, Need, Right, Whoami,
    discovery::Resource,
    requests::{self, Call},
    retry::Repeat,
    transport::Transport,
};
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

pub(super) async fn whoami(transport: &Transport) -> ApiResult<Whoami> {
    let version = "authentication.k8s.io/v1";
    let body = json!({"apiVersion": version, "kind": "SelfSubjectReview"});
    let words = "ask the server for the current user";
    match transport
        .json(&review(version, "selfsubjectreviews", &body, words))
        .await
    {
        Ok(review) => {
            let username = review["status"]["userInfo"]["username"]
                .as_str()
                .unwrap_or_default();
            Ok(Whoami {
                username: username.to_owned(),
            })
        }
        Err(error)
            if matches!(
                error.kind,
                ApiErrorKind::Forbidden | ApiErrorKind::UnknownKind
            ) =>
        {
            Ok(Whoami::default())
        }
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
    let words = format!("ask the server for permission to {verb} {resource}");
    let review = transport
        .json(&review(version, "selfsubjectaccessreviews", &body, &words))
        .await?;
    Ok(review["status"]["allowed"] == true)
}

/// A need with the name of its kind in URLs and rules.
pub(super) struct Question {
    need: Need,
    group: String,
    plural: String,
}

impl Question {
    pub fn new(mut need: Need, resource: Resource) -> Question {
        if !resource.namespaced {
            // A request about a namespace counts as a request in it, so that a Role there can allow
            // it.
            need.namespace = need
                .name
                .clone()
                .filter(|_| need.kind.kind == "Namespace" && need.kind.api_version == "v1");
        }
        let group = need
            .kind
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned();
        Question {
            need,
            group,
            plural: resource.plural,
        }
    }

    /// Returns true if a rule of a SelfSubjectRulesReview grants the permission.
    fn is_granted(&self, rule: &Value) -> bool {
        let holds = |field: &str, wanted: &str| {
            let words = rule[field].as_array().into_iter().flatten();
            words
                .filter_map(Value::as_str)
                .any(|word| word == "*" || word == wanted)
        };
        let names = rule["resourceNames"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let named = names.is_empty()
            || self
                .need
                .name
                .as_ref()
                .is_some_and(|name| names.contains(&json!(name)));
        holds("verbs", self.need.verb)
            && holds("apiGroups", &self.group)
            && holds("resources", &self.plural)
            && named
    }

    fn right(self) -> Right {
        let resource = if self.group.is_empty() {
            self.plural
        } else {
            format!("{}.{}", self.plural, self.group)
        };
        Right {
            verb: self.need.verb,
            resource,
            namespace: self.need.namespace,
        }
    }
}

/// Returns the permissions that the user lacks.
///
/// Rights that the user's rules grant need no further request. Rules may be incomplete (with a
/// webhook authorizer), so all others are requested.
pub(super) async fn missing(
    transport: &Transport,
    namespace: &str,
    questions: Vec<Question>,
) -> ApiResult<Vec<Right>> {
    let version = "authorization.k8s.io/v1";
    let body = json!({"apiVersion": version, "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let words = format!("ask the server for the permissions in namespace {namespace}");
    let rules = match transport
        .json(&review(version, "selfsubjectrulesreviews", &body, &words))
        .await
    {
        Ok(mut review) => review["status"]["resourceRules"].take(),
        Err(error)
            if matches!(
                error.kind,
                ApiErrorKind::Forbidden | ApiErrorKind::UnknownKind
            ) =>
        {
            Value::Null
        }
        Err(error) => return Err(error),
    };
    let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
    let is_granted = |question: &Question| {
        question.need.namespace.as_deref() == Some(namespace)
            && rules.iter().any(|rule| question.is_granted(rule))
    };
    let open = questions
        .into_iter()
        .filter(|question| !is_granted(question));
    let answers = try_join_all(open.map(|question| async move {
        let Need {
            verb,
            namespace,
            name,
            ..
        } = &question.need;
        match can_i(
            transport,
            verb,
            &question.group,
            &question.plural,
            namespace.as_deref(),
            name.as_deref(),
        )
        .await
        {
            Ok(allowed) => Ok((!allowed).then_some(question)),
            Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(None),
            Err(error) => Err(error),
        }
    }));
    Ok(answers
        .await?
        .into_iter()
        .flatten()
        .map(Question::right)
        .collect())
}

/// Returns a review: a query in the form of a create, which stores nothing.
fn review(version: &str, plural: &str, body: &Value, words: &str) -> Call {
    let path = requests::path(version, plural, None, None);
    Call::write(
        "review",
        Method::POST,
        path,
        requests::JSON,
        body,
        words.to_owned(),
    )
    .repeat(Repeat::Harmless)
}
