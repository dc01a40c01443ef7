//! A peer's core.yaml.

use super::chaincode::Chaincode;
use semver::Version;
use serde_json::{Map, Value, json};

/// Returns core.yaml for the lines that need one. Before 3.0, viper treats an empty variable as
/// unset, so only a file without `vm.endpoint` prevents a peer from contacting a Docker daemon.
///
/// Contains the keys of `sampleconfig/core.yaml` that have no default in the program, with that
/// file's values. Settings that differ between nodes are in the environment.
pub fn yaml(version: &Version, chaincode: Chaincode, builders: Vec<Value>) -> Value {
    let two = version.major >= 2;
    let since = |minor: u64| (version.major, version.minor) >= (2, minor);
    let mut peer = json!({
        "networkId": "dev",
        "keepalive": {
            "minInterval": "60s",
            "client": {"interval": "60s", "timeout": "20s"},
            "deliveryClient": {"interval": "60s", "timeout": "20s"},
        },
        "gossip": {
            "membershipTrackerInterval": "5s",
            "maxBlockCountToStore": if two { 10 } else { 100 },
            "maxPropagationBurstLatency": "10ms",
            "maxPropagationBurstSize": 10,
            "propagateIterations": 1,
            "propagatePeerNum": 3,
            "pullInterval": "4s",
            "pullPeerNum": 3,
            "requestStateInfoInterval": "4s",
            "publishStateInfoInterval": "4s",
            "publishCertPeriod": "10s",
            "skipBlockVerification": false,
            "dialTimeout": "3s",
            "connTimeout": "2s",
            "recvBuffSize": 20,
            "sendBuffSize": 200,
            "digestWaitTime": "1s",
            "requestWaitTime": "1500ms",
            "responseWaitTime": "2s",
            "aliveTimeInterval": "5s",
            "aliveExpirationTimeout": "25s",
            "reconnectInterval": "25s",
            "maxConnectionAttempts": 120,
            "msgExpirationFactor": 20,
            "election": {
                "startupGracePeriod": "15s",
                "membershipSampleInterval": "1s",
                "leaderAliveThreshold": "10s",
                "leaderElectionDuration": "5s",
            },
            "pvtData": {
                "pullRetryThreshold": "60s",
                "transientstoreMaxBlockRetention": 1000,
                "pushAckTimeout": "3s",
                "btlPullMargin": 10,
                "reconcileBatchSize": 10,
                "reconcileSleepInterval": "1m",
                "reconciliationEnabled": true,
                "skipPullingInvalidTransactionsDuringCommit": false,
                "implicitCollectionDisseminationPolicy": {"requiredPeerCount": 0, "maxPeerCount": 1},
            },
            "state": {
                "enabled": !two,
                "checkInterval": "10s",
                "responseTimeout": "3s",
                "batchSize": 10,
                "blockBufferSize": if two { 20 } else { 100 },
                "maxRetries": 3,
            },
        },
        "authentication": {"timewindow": "15m"},
        "BCCSP": {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256, "FileKeyStore": {"KeyStore": ""}}},
        "localMspType": "bccsp",
        "client": {"connTimeout": "3s"},
        "deliveryclient": {
            "reconnectTotalTimeThreshold": "3600s",
            "connTimeout": "3s",
            "reConnectBackoffThreshold": "3600s",
        },
        "profile": {"enabled": false, "listenAddress": "127.0.0.1:6060"},
        "handlers": {
            "authFilters": [{"name": "DefaultAuth"}, {"name": "ExpirationCheck"}],
            "decorators": [{"name": "DefaultDecorator"}],
            "endorsers": {"escc": {"name": "DefaultEndorsement", "library": ""}},
            "validators": {"vscc": {"name": "DefaultValidation", "library": ""}},
        },
        "discovery": {
            "enabled": true,
            "authCacheEnabled": true,
            "authCacheMaxSize": 1000,
            "authCachePurgeRetentionRatio": 0.75,
            "orgMembersAllowedAccess": false,
        },
    });
    if two {
        peer["keepalive"]["interval"] = "7200s".into();
        peer["keepalive"]["timeout"] = "20s".into();
        peer["deliveryclient"]["blockGossipEnabled"] = true.into();
        peer["maxRecvMsgSize"] = 104_857_600.into();
        peer["maxSendMsgSize"] = 104_857_600.into();
        peer["limits"] = json!({"concurrency": {"endorserService": 2500, "deliverService": 2500}});
    }
    if since(4) {
        peer["gateway"] = json!({"enabled": true, "endorsementTimeout": "30s", "broadcastTimeout": "30s", "dialTimeout": "2m"});
        peer["limits"]["concurrency"]["gatewayService"] = 500.into();
    }
    let system = if two {
        &["_lifecycle", "cscc", "lscc", "qscc"][..]
    } else {
        &["cscc", "lscc", "qscc"]
    };
    let mut code = json!({
        "pull": false,
        "builder": "$(DOCKER_NS)/fabric-ccenv:$(TWO_DIGIT_VERSION)",
        "golang": {"dynamicLink": false, "runtime": "$(DOCKER_NS)/fabric-baseos:$(TWO_DIGIT_VERSION)"},
        "java": {"runtime": "$(DOCKER_NS)/fabric-javaenv:$(TWO_DIGIT_VERSION)"},
        "node": {"runtime": "$(DOCKER_NS)/fabric-nodeenv:$(TWO_DIGIT_VERSION)"},
        "startuptimeout": "300s",
        "executetimeout": "30s",
        "mode": "net",
        "keepalive": 0,
        "system": system.iter().map(|name| ((*name).to_owned(), Value::from("enable"))).collect::<Map<_, _>>(),
        "logging": {
            "level": "info",
            "shim": "warning",
            "format": "%{time:2006-01-02 15:04:05.000 MST} [%{module}] %{shortfunc} -> %{level:.4s} %{id:03x} %{message}",
        },
    });
    if two {
        code["installTimeout"] = "300s".into();
        code["externalBuilders"] = builders.into();
    } else {
        let base = |image: &str| format!("$(BASE_DOCKER_NS)/{image}:$(ARCH)-$(BASE_VERSION)");
        code["golang"]["runtime"] = base("fabric-baseos").into();
        code["node"]["runtime"] = base("fabric-baseimage").into();
    }
    let mut couchdb = json!({
        "maxRetries": 3,
        "maxRetriesOnStartup": if two { 10 } else { 12 },
        "requestTimeout": "35s",
        "internalQueryLimit": 1000,
        "maxBatchUpdateSize": 1000,
        "createGlobalChangesDB": false,
    });
    if !since(3) {
        couchdb["warmIndexesAfterNBlocks"] = 1.into();
    }
    if two {
        couchdb["cacheSize"] = 64.into();
    }
    let mut ledger = json!({
        "state": {"stateDatabase": "goleveldb", "totalQueryLimit": 100_000, "couchDBConfig": couchdb},
        "history": {"enableHistoryDatabase": true},
    });
    if two {
        ledger["pvtdataStore"] = json!({
            "collElgProcMaxDbBatchSize": 5000,
            "collElgProcDbBatchesInterval": 1000,
            "deprioritizedDataReconcilerInterval": "60m",
        });
    }
    if since(3) {
        ledger["snapshots"] = json!({"rootDir": "/var/hyperledger/production/snapshots"});
    }
    if since(5) {
        ledger["pvtdataStore"]["purgeInterval"] = 100.into();
        ledger["pvtdataStore"]["purgedKeyAuditLogging"] = true.into();
    }
    let mut core = json!({
        "peer": peer,
        "chaincode": code,
        "ledger": ledger,
        "operations": {"tls": {"enabled": false, "clientAuthRequired": false, "clientRootCAs": {"files": []}}},
        "metrics": {"provider": "disabled", "statsd": {"network": "udp", "address": "127.0.0.1:8125", "writeInterval": "10s"}},
    });
    if chaincode.is_docker() {
        core["vm"] = json!({
            "docker": {
                "tls": {"enabled": false},
                "attachStdout": false,
                "hostConfig": {
                    "NetworkMode": "host",
                    "LogConfig": {"Type": "json-file", "Config": {"max-size": "50m", "max-file": "5"}},
                    "Memory": 2_147_483_648_u64,
                },
            },
        });
    }
    core
}
