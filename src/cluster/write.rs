//! Writes objects: apply, create, replace, patch and delete, also as dry runs.

use super::requests::{self, Address, Applied, Call, Expects, FIELD_MANAGER};
use super::retry::Repeat;
use super::{ApiError, ApiErrorKind, ApiResult, Apply, Cluster, Delete, transport};
use crate::manifest::{ObjectKey, Sealed};
use http::Method;
use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use std::marker::PhantomData;

impl Cluster {
    /// Applies an object with server-side apply, as field manager `kubectl-fabric` and with strict
    /// validation. Returns the live object.
    pub async fn apply(&self, object: impl Into<Applied<'_>>, how: Apply<'_>) -> ApiResult<Value> {
        self.apply_into(object, how, PhantomData).await
    }

    /// Like `apply`, but deserializes the live object with `seed`.
    pub async fn apply_into<T>(
        &self,
        object: impl Into<Applied<'_>>,
        how: Apply<'_>,
        seed: impl for<'de> DeserializeSeed<'de, Value = T>,
    ) -> ApiResult<T> {
        let object = object.into();
        let address = object.address()?;
        let words = address.words(if how.dry_run {
            "check (by a dry run)"
        } else {
            "apply"
        });
        let path = self.address_path(&address, &words, true).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
                ("force", if how.force { "true" } else { "" }),
                ("dryRun", if how.dry_run { "All" } else { "" }),
            ],
        );
        let verb = if how.dry_run { "dry-run" } else { "apply" };
        let expects = match how.expects {
            // The object has its own resourceVersion.
            Expects::Absent if object.is_versioned() => Expects::Anything,
            Expects::Version { uid, .. } if object.is_versioned() => Expects::Uid(uid),
            expects => expects,
        };
        let Some(text) = expects.state_in(object.text()) else {
            return Err(ApiError::local(
                ApiErrorKind::Invalid,
                &words,
                "it lacks metadata",
            ));
        };
        // The server accepts JSON with this content type too, and parses it faster than YAML. The
        // parser's rules are still those of YAML.
        let text = requests::for_yaml(text);
        let call = Call::write_text(
            verb,
            Method::PATCH,
            path,
            "application/apply-patch+yaml",
            text,
            words,
        );
        let call = self.own(
            call.about(&address)
                .repeat(repeat(object.is_versioned() && !how.dry_run)),
        );
        let answer = self
            .inner
            .transport
            .send(&call)
            .await
            .map_err(|error| expects.judge(error))?;
        transport::read_json(&call.words, &answer, seed)
    }

    /// Creates an object.
    ///
    /// The request is retried if its response is lost, so an existing object may be its own result:
    /// read it to find out.
    pub async fn create(&self, body: &Value) -> ApiResult<Value> {
        let address = Address::of("create", body)?;
        let words = address.words("create");
        let path = self.address_path(&address, &words, false).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
            ],
        );
        let call = Call::write("create", Method::POST, path, requests::JSON, body, words);
        self.inner
            .transport
            .json(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
    }

    /// Checks with a dry run whether an object could be created if its name were free. The server
    /// checks the name after admission and validation.
    pub async fn try_create(&self, object: &Sealed) -> ApiResult<()> {
        let applied = Applied::from(object);
        let address = applied.address()?;
        let words = address.words("check (by a dry run)");
        let path = self.address_path(&address, &words, false).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
                ("dryRun", "All"),
            ],
        );
        let call = Call::write_text(
            "dry-run",
            Method::POST,
            path,
            requests::JSON,
            applied.text(),
            words,
        );
        match self
            .inner
            .transport
            .send(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
        {
            Err(error) if error.kind != ApiErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces an object. `body` has the resourceVersion of the last read, so a change in between
    /// is a Conflict.
    ///
    /// The request is retried if its response is lost, so the change may be its own: read the
    /// object to find out.
    pub async fn replace(&self, body: &Value) -> ApiResult<Value> {
        let address = Address::of("replace", body)?;
        let words = address.words("replace");
        let path = self.address_path(&address, &words, true).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("fieldValidation", "Strict"),
            ],
        );
        let call = Call::write("replace", Method::PUT, path, requests::JSON, body, words);
        self.inner
            .transport
            .json(&self.own(call.about(&address).repeat(Repeat::Harmless)))
            .await
    }

    /// Sends a JSON merge patch of an object's metadata or spec.
    pub async fn merge_patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
    ) -> ApiResult<Value> {
        self.patch(api_version, key, patch, false).await
    }

    /// Like [`Cluster::merge_patch`], as a server-side dry run.
    pub async fn try_merge_patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
    ) -> ApiResult<Value> {
        self.patch(api_version, key, patch, true).await
    }

    async fn patch(
        &self,
        api_version: &str,
        key: &ObjectKey,
        patch: &Value,
        dry_run: bool,
    ) -> ApiResult<Value> {
        let words = format!("patch {key}");
        let path = self.path(api_version, key, &words).await?;
        let path = requests::query(
            path,
            &[
                ("fieldManager", FIELD_MANAGER),
                ("dryRun", if dry_run { "All" } else { "" }),
            ],
        );
        let verb = if dry_run { "dry-run" } else { "patch" };
        let call = Call::write(
            verb,
            Method::PATCH,
            path,
            "application/merge-patch+json",
            patch,
            words,
        );
        self.inner
            .transport
            .json(&self.own(call.repeat(repeat(requests::is_versioned(patch)))))
            .await
    }

    /// Deletes an object. Returns false if it did not exist (any more). If the UID differs, the
    /// error is `Replaced`.
    pub async fn delete(&self, api_version: &str, key: &ObjectKey, how: Delete) -> ApiResult<bool> {
        let words = format!("delete {key}");
        let path = self.path(api_version, key, &words).await?;
        let policy = match (how.orphan, how.foreground) {
            (true, _) => "Orphan",
            (false, true) => "Foreground",
            (false, false) => "Background",
        };
        let mut options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        if let Some(uid) = &how.uid {
            options["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &how.resource_version {
            options["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        if how.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let verb = if how.dry_run { "dry-run" } else { "delete" };
        let call = Call::write(verb, Method::DELETE, path, requests::JSON, &options, words);
        // A retry by name alone could delete an object that someone created after the first
        // attempt.
        let harmless = (how.uid.is_some() && how.resource_version.is_none()) || how.dry_run;
        let repeat = if harmless {
            Repeat::Harmless
        } else {
            Repeat::IfUnheard
        };
        match self
            .inner
            .transport
            .send(&self.own(call.repeat(repeat)))
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(false),
            Err(error)
                if error.kind == ApiErrorKind::Conflict && is_about_the_uid(&error.message) =>
            {
                Err(ApiError {
                    kind: ApiErrorKind::Replaced,
                    ..error
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// Matches messages of apiserver's `BeforeDelete` and of its storage's `Preconditions.Check`. The
/// response has no reason code.
fn is_about_the_uid(message: &str) -> bool {
    ["UID in the precondition", "UID in precondition"]
        .iter()
        .any(|words| message.contains(words))
}

/// With a resourceVersion, a retry would conflict with the version that the first attempt created.
fn repeat(is_versioned: bool) -> Repeat {
    if is_versioned {
        Repeat::IfUnheard
    } else {
        Repeat::Harmless
    }
}
