//! The only definition of all keys of a network file: name, type, default and description.
//!
//! The reader checks files against these tables, and the editor schema and the reference page are
//! generated from them. A test compares them with the types in [`super::document`].

use super::shape::{Field, Shape};
use chaincode::CHAINCODE;
use channel::CHANNEL;

mod chaincode;
mod channel;

const fn field(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    example: &'static str,
    description: &'static str,
) -> Field {
    Field {
        name,
        shape,
        required: false,
        default,
        description,
        example,
    }
}

const fn required(
    name: &'static str,
    shape: Shape,
    example: &'static str,
    description: &'static str,
) -> Field {
    Field {
        name,
        shape,
        required: true,
        default: "",
        description,
        example,
    }
}

pub const API_VERSION: &str = "kubectl-fabric.io/v1";
pub const KIND: &str = "Network";

const TEXTS: Shape = Shape::List(&Shape::Text);
const COUNT: Shape = Shape::Whole {
    least: 1,
    most: u32::MAX as u64,
};
const WHOLE: Shape = Shape::Whole {
    least: 0,
    most: u64::MAX,
};
const POLICIES: Shape = Shape::Map {
    key: "policy name",
    item: &Shape::Text,
};

pub const NETWORK: &[Field] = &[
    required(
        "apiVersion",
        Shape::Word(&[API_VERSION]),
        API_VERSION,
        "Version of this format.",
    ),
    required("kind", Shape::Word(&[KIND]), KIND, "Always `Network`."),
    field(
        "name",
        Shape::Label,
        "`fabric`",
        "trade",
        "Name of the network. It is a label of the releases, so that a later run finds releases \
         that are no longer in the file.",
    ),
    field(
        "fabricVersion",
        Shape::Text,
        "the chart's",
        "2.5.16",
        "Fabric version of all organizations. An organization can override it.",
    ),
    required(
        "organizations",
        Shape::Map {
            key: "release",
            item: &Shape::Object(ORGANIZATION),
        },
        "{org1: {}}",
        "The organizations, by release name. As with `kubectl fabric install`, `org1` is a peer \
         organization and `orgorderer1` an orderer organization. For any other name, set `chart`.",
    ),
    field(
        "kafka",
        Shape::Map {
            key: "release",
            item: &Shape::Object(RELEASE),
        },
        "none",
        "{kafka: {}}",
        "Kafka clusters, by release name, for orderers with `orderers.consensus: kafka` (Fabric 1.4 to 2.5).",
    ),
    field(
        "channels",
        Shape::Map {
            key: "channel",
            item: &Shape::Object(CHANNEL),
        },
        "none",
        "{mychannel: {orderers: [orgorderer1], organizations: [org1]}}",
        "The channels, by name.",
    ),
    field(
        "chaincodes",
        Shape::Map {
            key: "chaincode",
            item: &Shape::Object(CHAINCODE),
        },
        "none",
        "{basic: {channel: mychannel, image: \"registry.example.com/basic:1.0\"}}",
        "The chaincodes, by name.",
    ),
];

macro_rules! release_fields {
    ($($own:expr),* $(,)?) => {
        &[
            field(
                "chart",
                Shape::Text,
                "from the release name",
                "peer-org",
                "Chart of the release: an embedded chart, or the path of a folder or archive, relative to this file.",
            ),
            field(
                "chartVersion",
                Shape::Text,
                "the newest",
                "0.1.0",
                "Version of the chart, or a range such as `^0.1`.",
            ),
            field(
                "fabricVersion",
                Shape::Text,
                "the network's",
                "2.5.16",
                "Fabric version of this release.",
            ),
            field(
                "namespace",
                Shape::Label,
                "the release name",
                "org1",
                "Namespace of the release. `--network dev` appends `-dev`.",
            ),
            field(
                "values",
                Shape::Values,
                "none",
                "{peers: {count: 2}}",
                "Values of the chart. They override `valuesFiles`.",
            ),
            field(
                "valuesFiles",
                TEXTS,
                "none",
                "[org1.yaml]",
                "Values files, relative to this file. Later files override earlier ones.",
            ),
            $($own),*
        ]
    };
}

pub const RELEASE: &[Field] = release_fields![];

pub const ORGANIZATION: &[Field] = release_fields![
    field(
        "cryptoConfig",
        Shape::Text,
        "identities are generated",
        "crypto-config",
        "Folder of identities in cryptogen's layout, relative to this file.",
    ),
    field(
        "definition",
        Shape::Text,
        "read from the cluster",
        "org3.json",
        "File with the organization's public part, in the format of `configtxgen -printOrg`, \
         relative to this file. For a member in another cluster, or whose namespace you cannot \
         read. It gets no release, and its own operators perform its part.",
    ),
];
