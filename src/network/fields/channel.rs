//! The keys of channels.

use super::{COUNT, POLICIES, TEXTS, field, required};
use crate::network::shape::{Field, Shape};

pub const CHANNEL: &[Field] = &[
    required(
        "orderers",
        Shape::Names {
            key: "release",
            fields: ORDERER_MEMBER,
        },
        "[orgorderer1]",
        "The orderer organizations whose orderers are consenters of the channel.",
    ),
    required(
        "organizations",
        Shape::Names {
            key: "release",
            fields: MEMBER,
        },
        "{org1: {anchors: [peer0]}}",
        "The peer organizations that are members of the channel.",
    ),
    field(
        "batchTimeout",
        Shape::Duration,
        "`2s`",
        "500ms",
        "Maximum time that an orderer waits for more transactions before it cuts a block.",
    ),
    field(
        "batchSize",
        Shape::Object(BATCH_SIZE),
        "see its keys",
        "{maxMessages: 100}",
        "Limits of a block.",
    ),
    field(
        "capabilities",
        Shape::Object(CAPABILITIES),
        "those of the oldest Fabric version in the channel",
        "{application: V2_0}",
        "Capability levels. A level cannot be lowered later.",
    ),
    field(
        "policies",
        Shape::Object(CHANNEL_POLICIES),
        "Fabric's defaults",
        "{application: {Endorsement: ANY Endorsement}}",
        "Policies: `ANY`, `ALL` or `MAJORITY` with the name of a policy of the subgroups, or a \
         signature policy such as `OR('Org1MSP.admin')`.",
    ),
    field(
        "acls",
        Shape::Map {
            key: "resource",
            item: &Shape::Text,
        },
        "Fabric's defaults",
        "{qscc/GetBlockByNumber: /Channel/Application/Readers}",
        "Access control: the policy for each resource.",
    ),
    field(
        "etcdraft",
        Shape::Object(ETCDRAFT),
        "Fabric's defaults",
        "{electionTick: 20}",
        "Options of Raft, for `orderers.consensus: etcdraft`.",
    ),
    field(
        "smartBFT",
        Shape::Object(SMART_BFT),
        "Fabric's defaults",
        "{viewChangeTimeout: 30s}",
        "Options of BFT, for `orderers.consensus: BFT`.",
    ),
    field(
        "systemChannel",
        Shape::Text,
        "`system-channel`",
        "system",
        "Name of the orderers' system channel (Kafka, and Fabric before 2.3).",
    ),
    field(
        "consortium",
        Shape::Text,
        "`SampleConsortium`",
        "Traders",
        "Name of the consortium in the system channel.",
    ),
];

pub const ORDERER_MEMBER: &[Field] = &[
    field(
        "consenters",
        TEXTS,
        "all of the organization",
        "[orderer0, orderer1, orderer2]",
        "The orderers that take part in the channel.",
    ),
    field(
        "policies",
        POLICIES,
        "Fabric's defaults",
        "{Admins: \"OR('Orgorderer1MSP.admin')\"}",
        "Policies of the organization in this channel.",
    ),
];

pub const MEMBER: &[Field] = &[
    field(
        "anchors",
        TEXTS,
        "the first peer",
        "[peer0]",
        "The anchor peers, through which peers of other organizations find the peers of this organization.",
    ),
    field(
        "peers",
        TEXTS,
        "all of the organization",
        "[peer0, peer1]",
        "The peers that join the channel.",
    ),
    field(
        "policies",
        POLICIES,
        "Fabric's defaults",
        "{Endorsement: \"OR('Org1MSP.peer')\"}",
        "Policies of the organization in this channel.",
    ),
];

pub const BATCH_SIZE: &[Field] = &[
    field(
        "maxMessages",
        COUNT,
        "`500`",
        "100",
        "Maximum number of transactions in a block.",
    ),
    field(
        "absoluteMaxBytes",
        Shape::Bytes,
        "`10 MB`",
        "98 MB",
        "Maximum size of a block. A larger transaction is refused.",
    ),
    field(
        "preferredMaxBytes",
        Shape::Bytes,
        "`2 MB`",
        "1 MB",
        "Preferred size of a block. At this size, a block is cut.",
    ),
];

pub const CAPABILITIES: &[Field] = &[
    field(
        "channel",
        Shape::Word(&["V1_1", "V1_3", "V1_4_2", "V1_4_3", "V2_0", "V3_0"]),
        "by Fabric version",
        "V2_0",
        "Level for orderers and peers.",
    ),
    field(
        "orderer",
        Shape::Word(&["V1_1", "V1_4_2", "V2_0"]),
        "by Fabric version",
        "V2_0",
        "Level for orderers.",
    ),
    field(
        "application",
        Shape::Word(&["V1_1", "V1_2", "V1_3", "V1_4_2", "V2_0", "V2_5"]),
        "by Fabric version",
        "V2_5",
        "Level for peers.",
    ),
];

pub const CHANNEL_POLICIES: &[Field] = &[
    field(
        "channel",
        POLICIES,
        "",
        "{Admins: MAJORITY Admins}",
        "Policies of the whole channel: `Readers`, `Writers`, `Admins`.",
    ),
    field(
        "orderer",
        POLICIES,
        "",
        "{BlockValidation: ANY Writers}",
        "Policies of the orderers: also `BlockValidation`.",
    ),
    field(
        "application",
        POLICIES,
        "",
        "{LifecycleEndorsement: MAJORITY Endorsement}",
        "Policies of the peer organizations: also `Endorsement` and `LifecycleEndorsement`.",
    ),
];

pub const ETCDRAFT: &[Field] = &[
    field(
        "tickInterval",
        Shape::Duration,
        "`500ms`",
        "500ms",
        "Time between two ticks.",
    ),
    field(
        "electionTick",
        COUNT,
        "`10`",
        "10",
        "Ticks without a leader before an election; more than `heartbeatTick`.",
    ),
    field(
        "heartbeatTick",
        COUNT,
        "`1`",
        "1",
        "Ticks between a leader's heartbeats.",
    ),
    field(
        "maxInflightBlocks",
        COUNT,
        "`5`",
        "5",
        "Number of blocks that a leader sends before they are acknowledged.",
    ),
    field(
        "snapshotIntervalSize",
        Shape::Bytes,
        "`16 MB`",
        "20 MB",
        "Bytes after which a snapshot is taken.",
    ),
];

/// Names and defaults: `orderer/smartbft/configuration.proto` and SmartBFT's `pkg/types/config.go`.
pub const SMART_BFT: &[Field] = &[
    field(
        "requestBatchMaxInterval",
        Shape::Duration,
        "`50ms`",
        "200ms",
        "Maximum time to wait for a full batch.",
    ),
    field(
        "incomingMessageBufferSize",
        COUNT,
        "`200`",
        "200",
        "Number of incoming messages that a node buffers.",
    ),
    field(
        "requestPoolSize",
        COUNT,
        "`400`",
        "100000",
        "Number of requests that a node keeps.",
    ),
    field(
        "requestForwardTimeout",
        Shape::Duration,
        "`2s`",
        "5s",
        "Time until a request is forwarded to the leader.",
    ),
    field(
        "requestComplainTimeout",
        Shape::Duration,
        "`20s`",
        "20s",
        "Time until a node complains about the leader.",
    ),
    field(
        "requestAutoRemoveTimeout",
        Shape::Duration,
        "`3m`",
        "3m",
        "Time until a request is dropped.",
    ),
    field(
        "viewChangeResendInterval",
        Shape::Duration,
        "`5s`",
        "5s",
        "Time between two messages that request a change of the leader.",
    ),
    field(
        "viewChangeTimeout",
        Shape::Duration,
        "`20s`",
        "20s",
        "Time until a change of the leader is retried.",
    ),
    field(
        "leaderHeartbeatTimeout",
        Shape::Duration,
        "`1m`",
        "1m",
        "Time without a heartbeat until a node complains about the leader.",
    ),
    field(
        "leaderHeartbeatCount",
        COUNT,
        "`10`",
        "10",
        "Heartbeats of a leader within the timeout.",
    ),
    field(
        "collectTimeout",
        Shape::Duration,
        "`1s`",
        "1s",
        "Time in which a starting node collects the state of the other nodes.",
    ),
];
