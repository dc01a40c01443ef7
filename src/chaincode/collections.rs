//! The file of private data collections, as `peer` reads it
//! (`internal/peer/chaincode/common.go`, `getCollectionConfigFromBytes`). Pure.

use super::definition::{endorsement_policy, policy_words, read_policy};
use super::view::View;
use crate::error::{Error, Result};
use crate::ledger::message::collection::{
    CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig, StaticCollectionConfig,
};
use crate::ledger::policy::Policy;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Collection {
    name: String,
    policy: String,
    #[serde(default)]
    required_peer_count: i32,
    #[serde(default)]
    max_peer_count: i32,
    #[serde(default)]
    block_to_live: u64,
    #[serde(default)]
    member_only_read: bool,
    #[serde(default)]
    member_only_write: bool,
    endorsement_policy: Option<Endorsement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Endorsement {
    signature_policy: Option<String>,
    channel_config_policy: Option<String>,
}

/// Reads the file, and checks that the organizations in its policies are members of the channel.
/// `file` names it in errors.
pub fn collections(text: &str, file: &str, view: &View) -> Result<CollectionConfigPackage> {
    let read = read_collections(text, file)?;
    let all = read
        .config
        .iter()
        .filter_map(|it| it.static_collection_config.as_ref());
    for collection in all {
        let members = collection.member_orgs_policy.as_ref();
        if let Some(policy) = members.and_then(|it| it.signature_policy.clone()) {
            let of = format!("of collection {:?}", collection.name);
            Policy::Signature(policy).check_organizations(&of, &view.msp_ids())?;
        }
        if let Some(policy) = &collection.endorsement_policy {
            endorsement_policy(&policy_words(policy), view)?;
        }
    }
    Ok(read)
}

/// Reads the file without this check. `file` names it in errors.
pub fn read_collections(text: &str, file: &str) -> Result<CollectionConfigPackage> {
    let invalid = |why: String| {
        Error::user(format!(
            "\"{file}\" is not a valid file of private data collections"
        ))
        .why(why)
    };
    let read: Vec<Collection> =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let mut config = Vec::new();
    for collection in read {
        let name = &collection.name;
        let Policy::Signature(policy) = Policy::parse(&collection.policy)? else {
            return Err(invalid(format!(
                "the policy of collection {name:?} is not an expression such as OR('Org1MSP.member')"
            )));
        };
        let (least, most) = (collection.required_peer_count, collection.max_peer_count);
        if least < 0 || most < least {
            return Err(invalid(format!(
                "collection {name:?} has requiredPeerCount {least} and maxPeerCount {most}: \
                 expected 0 <= requiredPeerCount <= maxPeerCount"
            )));
        }
        let endorsement_policy = match collection.endorsement_policy {
            None => None,
            Some(Endorsement {
                signature_policy: Some(text),
                channel_config_policy: None,
            })
            | Some(Endorsement {
                signature_policy: None,
                channel_config_policy: Some(text),
            }) => Some(read_policy(&text)?),
            Some(_) => {
                return Err(invalid(format!(
                    "the endorsementPolicy of collection {name:?} must have exactly one of \
                     signaturePolicy and channelConfigPolicy"
                )));
            }
        };
        config.push(CollectionConfig {
            static_collection_config: Some(StaticCollectionConfig {
                name: collection.name,
                member_orgs_policy: Some(CollectionPolicyConfig {
                    signature_policy: Some(policy),
                }),
                required_peer_count: least,
                maximum_peer_count: most,
                block_to_live: collection.block_to_live,
                member_only_read: collection.member_only_read,
                member_only_write: collection.member_only_write,
                endorsement_policy,
            }),
        });
    }
    Ok(CollectionConfigPackage { config })
}

#[cfg(test)]
mod tests {
    use super::super::definition::tests::view;
    use super::*;

    #[test]
    fn the_file_of_fabric_samples_is_read() {
        let text = r#"[{"name": "assetCollection", "policy": "OR('Org1MSP.member', 'Org2MSP.member')",
            "requiredPeerCount": 1, "maxPeerCount": 1, "blockToLive": 1000000,
            "memberOnlyRead": true, "memberOnlyWrite": true},
            {"name": "Org1MSPPrivateCollection", "policy": "OR('Org1MSP.member')",
            "requiredPeerCount": 0, "maxPeerCount": 1, "blockToLive": 3,
            "memberOnlyRead": true, "memberOnlyWrite": false,
            "endorsementPolicy": {"signaturePolicy": "OR('Org1MSP.member')"}}]"#;
        let read = collections(text, "collections.json", &view()).unwrap();
        let configs: Vec<_> = read
            .config
            .iter()
            .map(|it| it.static_collection_config.clone().unwrap())
            .collect();
        assert_eq!(
            (configs[0].name.as_str(), configs[0].block_to_live),
            ("assetCollection", 1_000_000)
        );
        assert!(configs[1].endorsement_policy.is_some() && !configs[1].member_only_write);
    }

    #[test]
    fn a_file_that_peers_would_refuse_is_refused_with_the_reason() {
        for (text, why) in [
            ("x", "expected value"),
            (
                r#"[{"name":"a","policy":"OR('Org1MSP.member')","x":1}]"#,
                "unknown field `x`",
            ),
            (
                r#"[{"name":"a","policy":"OR('Org7MSP.member')"}]"#,
                "unknown organization",
            ),
            (
                r#"[{"name":"a","policy":"ANY Members"}]"#,
                "is not an expression",
            ),
            (
                r#"[{"name":"a","policy":"OR('Org1MSP.member')","requiredPeerCount":2,"maxPeerCount":1}]"#,
                "requiredPeerCount <= maxPeerCount",
            ),
            (
                r#"[{"name":"a","policy":"OR('Org1MSP.member')","endorsementPolicy":{}}]"#,
                "exactly one of signaturePolicy and channelConfigPolicy",
            ),
        ] {
            let error = collections(text, "c.json", &view())
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
