//! The keys of chaincodes.

use super::{TEXTS, WHOLE, field, required};
use crate::network::shape::{Field, Shape};

pub const CHAINCODE: &[Field] = &[
    required(
        "channel",
        Shape::OneOrMore,
        "mychannel",
        "The channel or channels that the chaincode is committed to.",
    ),
    field(
        "type",
        Shape::Word(&["ccaas", "k8s", "golang", "node", "java"]),
        "`ccaas`",
        "ccaas",
        "How peers run it. `ccaas`: as a service, a release of chart `chaincode` in each \
         organization's namespace (since 2.4.1). `k8s`: with the builder of `chaincode.mode: k8s`. \
         `golang`, `node`, `java`: Docker builds it from the source in `path`.",
    ),
    field(
        "image",
        Shape::Text,
        "",
        "registry.example.com/asset-transfer-basic:1.0",
        "Image of the chaincode, for `ccaas` and `k8s`. `k8s` requires a digest.",
    ),
    field(
        "path",
        Shape::Text,
        "",
        "./chaincode",
        "Folder of the source, relative to this file, for `golang`, `node` and `java`.",
    ),
    field(
        "version",
        Shape::Text,
        "`1.0`",
        "\"1.0\"",
        "Version of the chaincode. The sequence is set automatically.",
    ),
    field(
        "label",
        Shape::Text,
        "the name; `NAME_VERSION` unless it is a service",
        "basic_1.0",
        "Label of the package.",
    ),
    field(
        "organizations",
        TEXTS,
        "all of the channel",
        "[org1, org2]",
        "The organizations that run and approve it.",
    ),
    field(
        "policy",
        Shape::Text,
        "the channel's `Endorsement`",
        "AND('Org1MSP.peer','Org2MSP.peer')",
        "Endorsement policy: a signature policy, or the path of a channel policy.",
    ),
    field(
        "initRequired",
        Shape::Flag,
        "`false`",
        "true",
        "Requires that the chaincode is initialized before its first invocation.",
    ),
    field(
        "init",
        TEXTS,
        "none",
        "[InitLedger]",
        "Function and arguments of the initialization. `up` invokes it once if `initRequired` is \
         set. On Fabric 1.4, they are the arguments of the instantiation.",
    ),
    field(
        "collections",
        Shape::List(&Shape::Object(COLLECTION)),
        "none",
        "[{name: prices, policy: \"OR('Org1MSP.member')\"}]",
        "Private data collections, with the keys of a collections file for `peer`.",
    ),
    field(
        "indexes",
        Shape::Text,
        "none",
        "./META-INF/statedb/couchdb",
        "Folder of CouchDB indexes, relative to this file: the content of META-INF/statedb/couchdb in the package.",
    ),
    field(
        "endorsementPlugin",
        Shape::Text,
        "`escc`",
        "escc",
        "Endorsement plugin of the peers.",
    ),
    field(
        "validationPlugin",
        Shape::Text,
        "`vscc`",
        "vscc",
        "Validation plugin of the peers.",
    ),
    field(
        "dependsOn",
        TEXTS,
        "none",
        "[tokens]",
        "Chaincodes that must be committed first, such as those that this chaincode calls.",
    ),
    field(
        "release",
        Shape::Label,
        "the chaincode's name",
        "basic",
        "Name of the release of chart `chaincode`.",
    ),
    field(
        "chartVersion",
        Shape::Text,
        "the newest",
        "0.1.0",
        "Version of chart `chaincode`.",
    ),
    field(
        "values",
        Shape::Values,
        "none",
        "{replicas: 2}",
        "Values of chart `chaincode`, for `ccaas`.",
    ),
    field(
        "valuesFiles",
        TEXTS,
        "none",
        "[basic.yaml]",
        "Values files, relative to this file. Later files override earlier ones.",
    ),
];

/// The keys of a collections file (`internal/peer/chaincode/common.go`, `collectionConfigJson`).
pub const COLLECTION: &[Field] = &[
    required("name", Shape::Text, "prices", "Name of the collection."),
    required(
        "policy",
        Shape::Text,
        "OR('Org1MSP.member')",
        "Organizations whose peers store the data: a signature policy.",
    ),
    field(
        "requiredPeerCount",
        WHOLE,
        "`0`",
        "1",
        "Number of peers that must have the data before an endorsement.",
    ),
    field(
        "maxPeerCount",
        WHOLE,
        "`1`",
        "2",
        "Maximum number of peers to send the data to.",
    ),
    field(
        "blockToLive",
        WHOLE,
        "`0`, unlimited",
        "1000",
        "Number of blocks after which the data is purged.",
    ),
    field(
        "memberOnlyRead",
        Shape::Flag,
        "`false`",
        "true",
        "Only clients of member organizations can read.",
    ),
    field(
        "memberOnlyWrite",
        Shape::Flag,
        "`false`",
        "true",
        "Only clients of member organizations can write.",
    ),
    field(
        "endorsementPolicy",
        Shape::Object(COLLECTION_POLICY),
        "the chaincode's",
        "{signaturePolicy: \"OR('Org1MSP.peer')\"}",
        "Endorsement policy of the collection's keys.",
    ),
];

pub const COLLECTION_POLICY: &[Field] = &[
    field(
        "signaturePolicy",
        Shape::Text,
        "",
        "OR('Org1MSP.peer')",
        "A signature policy.",
    ),
    field(
        "channelConfigPolicy",
        Shape::Text,
        "",
        "/Channel/Application/Endorsement",
        "The path of a channel policy.",
    ),
];
