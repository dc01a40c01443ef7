//! Changes of volumes that are not possible, as errors.

use crate::cluster::{ApiError, ApiErrorKind};
use crate::deploy::Context;
use crate::error::{Error, Kind, Place};
use crate::manifest::ObjectKey;
use crate::plan::volumes::{Expansion, Obstacle};

/// A change of volumes that is not possible.
pub(in crate::deploy) enum Trouble {
    Obstacle(Obstacle),
    /// The server does not expand it.
    Fixed {
        expansion: Expansion,
        class: Option<String>,
        error: ApiError,
    },
    /// Another change of the StatefulSet, with the index of its step.
    Set(usize, ApiError),
}

pub(in crate::deploy) fn refusal(context: &Context<'_>, troubles: &[Trouble]) -> Error {
    let is_denied = |trouble: &Trouble| matches!(trouble, Trouble::Fixed { error, .. } if error.denial().is_some());
    let kind = if troubles.iter().any(is_denied) {
        Kind::Cluster
    } else {
        Kind::Refused
    };
    Error::new(
        kind,
        format!(
            "the volumes of release \"{}\" cannot be changed to fit the values",
            context.release
        ),
    )
    .now("nothing was changed: every claim is checked before the first write")
}

/// Adds the problems with volumes to an error.
pub(in crate::deploy) fn report(error: Error, troubles: &[Trouble]) -> Error {
    let mut error = error;
    for trouble in troubles {
        let place = |key: &ObjectKey, note: String| Place::new(key.to_string()).note(note);
        error = match trouble {
            Trouble::Obstacle(obstacle) => {
                error.at(place(obstacle.subject(), obstacle.to_string()))
            }
            Trouble::Fixed { expansion, .. } => {
                let Expansion {
                    claim, from, to, ..
                } = expansion;
                error.at(place(
                    claim,
                    format!("spec.resources.requests.storage {from} → {to}"),
                ))
            }
            Trouble::Set(..) => error,
        };
    }
    let mut said: Vec<(String, String)> = Vec::new();
    for trouble in troubles {
        let words = match trouble {
            Trouble::Obstacle(Obstacle::Smaller { from, .. }) => {
                ("Kubernetes cannot shrink a volume".to_owned(), format!("leave the size at {from}"))
            }
            Trouble::Obstacle(Obstacle::Other { field, from, .. }) => (
                "a bound claim keeps its storage class, access modes and volume mode".to_owned(),
                format!("leave {field} at {from}; to move the data node by node, see docs/guides/volumes.md"),
            ),
            Trouble::Obstacle(Obstacle::Replicas { .. }) => (
                "all of its pods would restart at once for the new claim".to_owned(),
                "give the StatefulSet another name in the chart, so that a new one is created beside it".to_owned(),
            ),
            Trouble::Fixed { error, expansion, .. } if error.denial().is_some() => {
                let (why, hint) = error.denial().unwrap_or_default();
                (why, format!("{hint}; or leave the size at {}", expansion.from))
            }
            Trouble::Fixed { error, class: Some(class), expansion } if error.kind == ApiErrorKind::Forbidden => (
                error.message.clone(),
                format!(
                    "if the driver of storage class {class} can expand volumes, set \
                     allowVolumeExpansion: true in the class and run the command again; or leave \
                     the size at {}",
                    expansion.from
                ),
            ),
            Trouble::Fixed { error, expansion, .. } => (error.message.clone(), format!("leave the size at {}", expansion.from)),
            Trouble::Set(..) => continue,
        };
        if !said.contains(&words) {
            said.push(words);
        }
    }
    for (why, hint) in said {
        error = error.why(why).hint(hint);
    }
    error
}
