//! The objects that a record continues in: its other parts, and its companion Secret.

use super::codec::{self, Secrets};
use super::{annotation, part_name};
use crate::cluster::Cluster;
use crate::error::{Error, Kind, Result};
use crate::manifest::ObjectKey;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::try_join_all;
use serde_json::Value;

/// Returns the number of objects that contain the record.
///
/// Limits the number, because a manipulated record could cause endless requests.
fn parts(body: &Value) -> Result<usize> {
    let parts = annotation(body, "parts")
        .and_then(|parts| parts.parse().ok())
        .unwrap_or(1);
    match parts {
        1..=codec::MOST_PARTS => Ok(parts),
        _ => {
            Err(Error::user("the record is damaged")
                .why(format!("it claims to have {parts} parts")))
        }
    }
}

async fn part_bytes(cluster: &Cluster, of: &str, namespace: &str, name: String) -> Result<Vec<u8>> {
    let body = cluster
        .get("v1", &ObjectKey::core(of, namespace, name.as_str()))
        .await?;
    let body = body.ok_or_else(|| {
        Error::user("the record is incomplete").why(format!("{of} {namespace}/{name} is missing"))
    })?;
    binary(&body, "release")
}

/// Reads the parts that continue `body`, which counts them.
pub(super) async fn other_parts(
    cluster: &Cluster,
    of: &str,
    namespace: &str,
    name: &str,
    body: &Value,
) -> Result<Vec<u8>> {
    let rest = try_join_all(
        (2..=parts(body)?).map(|part| part_bytes(cluster, of, namespace, part_name(name, part))),
    );
    Ok(rest.await?.concat())
}

/// Returns `None` if the companion Secret or a part of it is missing or damaged.
pub(super) async fn read_secrets(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Secrets>> {
    let body = cluster
        .get("v1", &ObjectKey::core("Secret", namespace, name))
        .await?;
    secrets_in(cluster, namespace, name, body).await
}

pub(super) async fn secrets_in(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    body: Option<Value>,
) -> Result<Option<Secrets>> {
    let Some(body) = body else { return Ok(None) };
    let secrets = async {
        let mut bytes = binary(&body, "release")?;
        bytes.extend(other_parts(cluster, "Secret", namespace, name, &body).await?);
        codec::unpack(&bytes)
    };
    match secrets.await {
        Ok(secrets) => Ok(Some(secrets)),
        Err(error) if error.kind() == Kind::User => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn binary(body: &Value, field: &str) -> Result<Vec<u8>> {
    let damaged =
        |why: &str| Error::user("the record is damaged").why(format!("its {field} {why}"));
    let holder = if body["kind"] == "Secret" {
        "data"
    } else {
        "binaryData"
    };
    let text = body[holder][field]
        .as_str()
        .ok_or_else(|| damaged("is missing"))?;
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| damaged("is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::DOMAIN;
    use serde_json::json;

    #[test]
    fn no_more_parts_are_asked_for_than_a_record_has() {
        let said = |said: &str| {
            parts(&json!({"metadata": {"annotations": {format!("{DOMAIN}/parts"): said}}}))
        };
        assert_eq!((said("1"), said("3"), said("many")), (Ok(1), Ok(3), Ok(1)));
        for wrong in ["0", "1000000", &usize::MAX.to_string()] {
            assert!(
                said(wrong).unwrap_err().to_string().contains("parts"),
                "{wrong}"
            );
        }
    }
}
