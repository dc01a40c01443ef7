//! What is waited for.

use crate::manifest::ObjectKey;
use serde_json::Value;

/// An object to wait for.
#[derive(Clone, Debug)]
pub struct Awaited {
    pub key: ObjectKey,
    pub api_version: String,
    /// A pod that must run to completion, such as a hook's. Being ready is not enough.
    pub to_its_end: bool,
    /// A member of a rollout group. Its pods are counted directly, because its status lags behind.
    pub serves: bool,
    /// The labels of a member's pods. The pods stay if the workload is deleted without them, and
    /// its successor adopts them.
    pub selector: Value,
}

impl Awaited {
    pub fn ready(key: &ObjectKey, api_version: &str) -> Awaited {
        let (key, api_version) = (key.clone(), api_version.to_owned());
        Awaited {
            key,
            api_version,
            to_its_end: false,
            serves: false,
            selector: Value::Null,
        }
    }

    pub fn ended(key: &ObjectKey, api_version: &str) -> Awaited {
        Awaited {
            to_its_end: true,
            ..Awaited::ready(key, api_version)
        }
    }

    pub fn serving(key: &ObjectKey, api_version: &str, selector: Value) -> Awaited {
        Awaited {
            serves: true,
            selector,
            ..Awaited::ready(key, api_version)
        }
    }
}

/// The current state of a member of a rollout group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ready, and all its pods serve.
    Up,
    /// At least one pod serves, but something is missing or about to change.
    Unsettled,
    /// No pod serves, so a change takes nothing away.
    Down,
}
