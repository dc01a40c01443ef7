//! Orderers, Kafka and ZooKeeper.

use super::*;

#[test]
fn orderers_start_as_their_line_does() {
    for (version, consensus, genesis, expected) in [
        (
            "1.4.12",
            "kafka",
            "g",
            &[("ORDERER_GENERAL_GENESISMETHOD", "file")][..],
        ),
        (
            "2.2.15",
            "etcdraft",
            "g",
            &[("ORDERER_GENERAL_BOOTSTRAPMETHOD", "file")],
        ),
        (
            "2.5.16",
            "etcdraft",
            "g",
            &[("ORDERER_GENERAL_BOOTSTRAPMETHOD", "file")],
        ),
        (
            "2.5.16",
            "etcdraft",
            "",
            &[
                ("ORDERER_GENERAL_BOOTSTRAPMETHOD", "none"),
                ("ORDERER_CHANNELPARTICIPATION_ENABLED", "true"),
            ],
        ),
        (
            "3.1.5",
            "etcdraft",
            "",
            &[("ORDERER_ADMIN_TLS_CLIENTAUTHREQUIRED", "true")],
        ),
    ] {
        let values = json!({"fabricVersion": version, "orderers": {"count": 3, "consensus": consensus, "genesis": {"secret": genesis}}});
        let facts = facts_of(Model::OrdererOrganization, "orgorderer1", values);
        let env = &facts["orderers"][0]["env"];
        for (name, value) in expected {
            assert_eq!(env[name], *value, "{version} {consensus}");
        }
        assert_eq!(facts["bootstrap"] == "participation", genesis.is_empty());
        let methods = env
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.ends_with("METHOD"))
            .count();
        assert_eq!(
            methods,
            usize::from(!version.starts_with('3')),
            "{version}: 3.x exits with any method but none"
        );
    }
}

#[test]
fn combinations_that_fabric_does_not_have_are_refused() {
    let of = |version: &str, orderers: Value| {
        refused(
            Model::OrdererOrganization,
            json!({"fabricVersion": version, "orderers": orderers}),
        )
    };
    for (version, orderers, keys) in [
        (
            "3.1.5",
            json!({"consensus": "kafka"}),
            &["orderers.consensus"][..],
        ),
        (
            "2.5.16",
            json!({"consensus": "BFT", "count": 3}),
            &["orderers.consensus", "orderers.count"],
        ),
        ("3.1.5", json!({"consensus": "BFT", "count": 4}), &[]),
        (
            "1.4.0",
            json!({"consensus": "etcdraft", "genesis": {"secret": "g"}}),
            &["orderers.consensus"],
        ),
        (
            "1.4.12",
            json!({"consensus": "kafka"}),
            &["orderers.genesis.secret"],
        ),
        (
            "2.2.15",
            json!({"consensus": "etcdraft"}),
            &["orderers.genesis.secret"],
        ),
        (
            "3.1.5",
            json!({"genesis": {"secret": "g"}}),
            &["orderers.genesis.secret"],
        ),
        ("3.1.2", json!({}), &["fabricVersion"]),
        (
            "2.5.16",
            json!({"admin": {"port": 7050}, "cluster": {"port": 8443}}),
            &["orderers.admin.port", "operations.port"],
        ),
    ] {
        assert_eq!(of(version, orderers.clone()), keys, "{version} {orderers}");
    }
    assert_eq!(
        refused(
            Model::OrdererOrganization,
            json!({"tls": {"enabled": false}})
        ),
        ["tls.enabled"]
    );
    assert_eq!(
        refused(
            Model::PeerOrganization,
            json!({"tls": {"enabled": false, "clientAuthRequired": true}})
        ),
        ["tls.clientAuthRequired"]
    );
}

#[test]
fn a_budget_keeps_the_quorum_and_lets_one_node_go() {
    for (version, consensus, count, available) in [
        ("2.5.16", "etcdraft", 1, 0),
        ("2.5.16", "etcdraft", 3, 2),
        ("2.5.16", "etcdraft", 5, 3),
        ("3.1.5", "BFT", 4, 3),
        ("3.1.5", "BFT", 7, 5),
    ] {
        let values =
            json!({"fabricVersion": version, "orderers": {"count": count, "consensus": consensus}});
        assert_eq!(
            facts_of(Model::OrdererOrganization, "orgorderer1", values)["min_available"],
            available,
            "{consensus} {count}"
        );
    }
}

#[test]
fn kafkas_arithmetic_is_kept() {
    let of = |kafka: Value| refused(Model::Kafka, json!({"kafka": kafka}));
    for (kafka, keys) in [
        (json!({}), &[][..]),
        (
            json!({"brokers": 3}),
            &["kafka.brokers", "kafka.replicationFactor"],
        ),
        (
            json!({"brokers": 4, "replicationFactor": 4}),
            &["kafka.replicationFactor"],
        ),
        (
            json!({"minInsyncReplicas": 3}),
            &["kafka.minInsyncReplicas"],
        ),
        (
            json!({"minInsyncReplicas": 1}),
            &["kafka.minInsyncReplicas"],
        ),
        (json!({"zookeepers": 4}), &["kafka.zookeepers"]),
        (
            json!({"absoluteMaxBytes": 100 * 1024 * 1024}),
            &["kafka.absoluteMaxBytes"],
        ),
        (
            json!({"config": {"log.retention.ms": 1000}}),
            &["kafka.config"],
        ),
        (
            json!({"config": {"unclean.leader.election.enable": true}}),
            &["kafka.config"],
        ),
        (
            json!({"config": {"replica.fetch.max.bytes": 1_048_576}}),
            &["kafka.config"],
        ),
        (
            json!({"config": {"message.max.bytes": 1_048_576}}),
            &["kafka.config"],
        ),
        (json!({"config": {"broker.id": 7}}), &["kafka.config"]),
        (json!({"dev": true, "brokers": 1, "zookeepers": 1}), &[]),
    ] {
        assert_eq!(of(kafka.clone()), keys, "{kafka}");
    }
    assert_eq!(
        refused(Model::Kafka, json!({"fabricVersion": "3.1.5"})),
        ["fabricVersion"]
    );
}

#[test]
fn brokers_and_zookeepers_know_who_they_are() {
    let facts = facts_of(Model::Kafka, "kafka", json!({}));
    assert_eq!(facts["version"], "1.4.12");
    let broker = facts["brokers"][3]["config"].as_str().unwrap();
    for line in [
        "broker.id=3",
        "advertised.listeners=PLAINTEXT://kafka3.kafka:9092",
        "zookeeper.connect=zookeeper0.kafka:2181,zookeeper1.kafka:2181,zookeeper2.kafka:2181",
        "default.replication.factor=3",
        "log.retention.ms=-1",
        "message.max.bytes=103809024",
    ] {
        assert!(broker.lines().any(|own| own == line), "{line} in {broker}");
    }
    let zookeeper = &facts["zookeepers"][1];
    assert_eq!(zookeeper["id"], 2);
    let config = zookeeper["config"].as_str().unwrap();
    assert!(
        config.contains("server.1=zookeeper0.kafka:2888:3888\nserver.2=0.0.0.0:2888:3888\n"),
        "{config}"
    );
    let dev = facts_of(
        Model::Kafka,
        "kafka",
        json!({"kafka": {"dev": true, "brokers": 1, "zookeepers": 1}}),
    );
    assert!(
        dev["brokers"][0]["config"]
            .as_str()
            .unwrap()
            .contains("default.replication.factor=1\nmin.insync.replicas=1\n")
    );
    assert!(
        !dev["zookeepers"][0]["config"]
            .as_str()
            .unwrap()
            .contains("server.")
    );
}
