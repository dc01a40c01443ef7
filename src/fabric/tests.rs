use super::*;

fn subject<'a>(model: Model, release: &'a str, values: &'a Value) -> Subject<'a> {
    Subject {
        model: Some(model),
        release,
        namespace: release,
        values,
    }
}

fn facts_of(model: Model, release: &str, values: Value) -> Value {
    facts(subject(model, release, &values)).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the keys of values that are refused.
fn refused(model: Model, values: Value) -> Vec<String> {
    match facts(subject(model, "test1", &values)) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .places()
            .iter()
            .map(|place| place.subject.clone())
            .collect(),
    }
}

#[test]
fn every_peer_address_stands_in_its_certificate() {
    let values = json!({"peers": {"count": 2}, "ca": {"enabled": true}, "tls": {"extraSans": ["peers.example.com"]}});
    let facts = facts_of(Model::PeerOrganization, "org1", values.clone());
    let organization = organization(subject(Model::PeerOrganization, "org1", &values))
        .unwrap()
        .unwrap();
    for (peer, node) in facts["peers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&organization.nodes)
    {
        for variable in [
            "CORE_PEER_ADDRESS",
            "CORE_PEER_GOSSIP_EXTERNALENDPOINT",
            "CORE_PEER_CHAINCODEADDRESS",
        ] {
            let (host, _) = peer["env"][variable]
                .as_str()
                .unwrap()
                .split_once(':')
                .unwrap();
            assert!(
                node.hosts.iter().any(|own| own == host),
                "{variable}: {host}"
            );
        }
        assert!(node.hosts.contains(&"peers.example.com".to_owned()));
    }
    let ca = organization.ca_server.unwrap();
    assert_eq!((ca.name.as_str(), ca.hosts[0].as_str()), ("ca", "ca.org1"));
    assert_eq!(
        organization.credentials,
        [("ca-admin".to_owned(), "admin".to_owned())]
    );
}

#[test]
fn a_peer_bootstraps_from_two_before_it_however_many_follow() {
    let of = |count: usize, named: Value| -> Vec<Option<String>> {
        let values = json!({"peers": {"count": count, "gossip": {"bootstrap": named}}});
        let facts = facts_of(Model::PeerOrganization, "org1", values);
        let peers = facts["peers"].as_array().unwrap().iter();
        peers
            .map(|peer| {
                peer["env"]
                    .get("CORE_PEER_GOSSIP_BOOTSTRAP")
                    .map(|value| value.as_str().unwrap().to_owned())
            })
            .collect()
    };
    let two = "peer0.org1:7051 peer1.org1:7051";
    let expected =
        [None, Some("peer0.org1:7051"), Some(two), Some(two)].map(|list| list.map(str::to_owned));
    for count in 1..=4 {
        assert_eq!(of(count, json!([])), expected[..count]);
    }
    assert_eq!(
        of(2, json!(["peer9.org1:7051"])),
        [
            Some("peer9.org1:7051".to_owned()),
            Some("peer9.org1:7051".to_owned())
        ]
    );
}

#[test]
fn no_variable_is_empty_but_the_one_that_must_be() {
    for version in ["1.4.12", "2.2.15", "2.5.16", "3.1.5"] {
        let peers = facts_of(
            Model::PeerOrganization,
            "org1",
            json!({"fabricVersion": version}),
        );
        let mut nodes = peers["peers"].as_array().unwrap().clone();
        let genesis = if version.starts_with('3') {
            ""
        } else {
            "genesis"
        };
        let values =
            json!({"fabricVersion": version, "orderers": {"genesis": {"secret": genesis}}});
        nodes.extend(
            facts_of(Model::OrdererOrganization, "orgorderer1", values)["orderers"]
                .as_array()
                .unwrap()
                .clone(),
        );
        for (name, value) in nodes
            .iter()
            .flat_map(|node| node["env"].as_object().unwrap())
        {
            assert_eq!(
                value == "",
                version.starts_with('3') && name == "CORE_VM_ENDPOINT",
                "{version} {name}"
            );
        }
    }
}

#[test]
fn a_peer_never_asks_for_a_docker_daemon_that_is_not_there() {
    for (version, mode, builders) in [
        ("1.4.12", "none", None),
        ("2.2.15", "none", Some("none")),
        ("2.5.16", "ccaas", Some("ccaas_builder")),
    ] {
        let facts = facts_of(
            Model::PeerOrganization,
            "org1",
            json!({"fabricVersion": version}),
        );
        let core = &facts["core"];
        assert_eq!(facts["chaincode"], mode, "{version}");
        assert!(core.get("vm").is_none(), "{version}");
        assert_eq!(
            core["chaincode"]["externalBuilders"][0]["name"].as_str(),
            builders,
            "{version}"
        );
        assert_eq!(facts["peer_healthz"], version != "1.4.12");
    }
    let newest = facts_of(
        Model::PeerOrganization,
        "org1",
        json!({"fabricVersion": "3.1.5"}),
    );
    assert!(newest.get("core").is_none());
    assert_eq!(newest["peers"][0]["env"]["CORE_VM_ENDPOINT"], "");
}

#[test]
fn a_docker_host_is_used_where_one_is_named() {
    let values = json!({
        "fabricVersion": "1.4.12",
        "image": {"registry": "registry.example.com"},
        "chaincode": {"dockerEndpoint": "tcp://docker.example.com:2375", "dockerDns": ["10.96.0.10"]},
    });
    let facts = facts_of(Model::PeerOrganization, "org1", values);
    assert_eq!(
        (&facts["chaincode"], &facts["peer_healthz"]),
        (&json!("docker-tcp"), &json!(true))
    );
    let env = &facts["peers"][0]["env"];
    assert_eq!(env["CORE_VM_ENDPOINT"], "tcp://docker.example.com:2375");
    assert_eq!(env["CORE_VM_DOCKER_HOSTCONFIG_DNS"], "10.96.0.10");
    assert_eq!(
        env["CORE_CHAINCODE_BUILDER"],
        "registry.example.com/hyperledger/fabric-ccenv:1.4"
    );
    assert!(facts["core"]["vm"]["docker"].is_object());
}

#[test]
fn chaincode_modes_that_a_line_lacks_are_refused() {
    let of = |version: &str, chaincode: Value| {
        refused(
            Model::PeerOrganization,
            json!({"fabricVersion": version, "chaincode": chaincode}),
        )
    };
    assert_eq!(of("2.4.0", json!({"mode": "ccaas"})), ["chaincode.mode"]);
    assert_eq!(
        of("2.5.16", json!({"mode": "docker-tcp"})),
        ["chaincode.dockerEndpoint"]
    );
    assert_eq!(
        of("2.5.16", json!({"mode": "external"})),
        ["chaincode.builders"]
    );
    assert_eq!(of("2.5.10", json!({"mode": "k8s"})), ["chaincode.mode"]);
    assert!(
        of("2.5.11", json!({"mode": "k8s"})).is_empty()
            && of("1.4.12", json!({"mode": "dind"})).is_empty()
    );
    assert_eq!(
        of("2.5.16", json!({"mode": "dind", "dockerTlsSecret": "a"})),
        ["chaincode.dockerTlsSecret"]
    );
    assert_eq!(
        of(
            "2.5.16",
            json!({"dockerNetwork": "bridge", "dockerDns": ["1.1.1.1"]})
        ),
        ["chaincode.dockerNetwork", "chaincode.dockerDns"]
    );
    assert_eq!(
        of("1.4.12", json!({"builders": [{"name": "a", "path": "/b"}]})),
        ["chaincode.builders"]
    );
    for endpoint in [
        "unix:///var/run/docker.sock",
        "docker.example.com:2375",
        "tcp://docker.example.com",
        "tcp://:2375",
        "tcp://a:0",
    ] {
        assert_eq!(
            of("1.4.12", json!({"dockerEndpoint": endpoint})),
            ["chaincode.dockerEndpoint"],
            "{endpoint}"
        );
    }
    assert!(of("2.4.1", json!({"mode": "ccaas"})).is_empty());
}

#[test]
fn the_operations_port_is_not_one_that_serves() {
    assert_eq!(
        refused(
            Model::PeerOrganization,
            json!({"operations": {"port": 7051}})
        ),
        ["operations.port"]
    );
}

#[test]
fn exactly_one_of_election_and_leading_is_on() {
    for (version, leader, elects) in [
        ("1.4.12", "auto", true),
        ("2.2.15", "auto", false),
        ("1.4.12", "static", false),
        ("2.5.16", "election", true),
    ] {
        let values = json!({"fabricVersion": version, "peers": {"gossip": {"leader": leader}}});
        let env = facts_of(Model::PeerOrganization, "org1", values)["peers"][0]["env"].clone();
        assert_eq!(
            env["CORE_PEER_GOSSIP_USELEADERELECTION"],
            elects.to_string()
        );
        assert_eq!(env["CORE_PEER_GOSSIP_ORGLEADER"], (!elects).to_string());
    }
}

#[test]
fn the_users_environment_has_the_last_word() {
    let values = json!({"peers": {"env": {"FABRIC_LOGGING_SPEC": "debug", "GOMAXPROCS": 2}}});
    let env = facts_of(Model::PeerOrganization, "org1", values)["peers"][0]["env"].clone();
    assert_eq!(
        (&env["FABRIC_LOGGING_SPEC"], &env["GOMAXPROCS"]),
        (&json!("debug"), &json!("2"))
    );
}

#[test]
fn couchdb_has_a_secret_per_peer_unless_one_is_named() {
    let mut values = json!({"peers": {"count": 2, "stateDatabase": "CouchDB"}});
    let made = organization(subject(Model::PeerOrganization, "org1", &values))
        .unwrap()
        .unwrap();
    assert_eq!(
        made.credentials
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["peer0-couchdb", "peer1-couchdb"]
    );
    values["couchdb"] = json!({"existingSecret": "mine"});
    let facts = facts_of(Model::PeerOrganization, "org1", values.clone());
    assert_eq!(facts["peers"][1]["couchdb_secret"], "mine");
    assert!(
        organization(subject(Model::PeerOrganization, "org1", &values))
            .unwrap()
            .unwrap()
            .credentials
            .is_empty()
    );
}

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

#[test]
fn a_cli_on_a_line_without_tools_needs_an_image() {
    let of = |version: &str, image: &str| {
        refused(
            Model::PeerOrganization,
            json!({"fabricVersion": version, "cli": {"enabled": true, "image": image}}),
        )
    };
    assert_eq!(of("3.1.5", ""), ["cli.image"]);
    assert!(of("3.1.5", "registry.example.com/tools:3").is_empty() && of("2.5.16", "").is_empty());
}

#[test]
fn several_broken_rules_are_reported_at_once() {
    let values = json!({"fabricVersion": "3.1.5", "orderers": {"consensus": "kafka", "genesis": {"secret": "g"}}});
    let error = facts(subject(Model::OrdererOrganization, "orgorderer1", &values))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "values for \"orgorderer1\" break Fabric's rules\n  --> orderers.consensus   Fabric 3.1.5 \
         does not support kafka; it supports etcdraft and BFT\n  --> orderers.genesis.secret   an orderer of Fabric 3.1.5 exits if it has a genesis block\nnow: nothing was \
         sent to the cluster"
    );
}

#[test]
fn charts_of_no_model_get_what_the_version_says() {
    let none = Subject {
        model: None,
        release: "mine",
        namespace: "mine",
        values: &json!({}),
    };
    assert_eq!(facts(none).unwrap(), json!({}));
    let values = json!({"fabricVersion": "2.5.16"});
    let some = facts(Subject {
        values: &values,
        ..none
    })
    .unwrap();
    assert_eq!(
        some["images"]["peer"],
        "ghcr.io/hyperledger/fabric-peer:2.5.16"
    );
    assert_eq!(organization(none).unwrap(), None);
}

#[test]
fn references_stay_inside_the_network() {
    let values = json!({"networkPolicy": {"peerOrgs": ["org2"], "ordererOrgs": ["orgorderer1"]}});
    let subject = Subject {
        model: Some(Model::PeerOrganization),
        release: "org1",
        namespace: "org1-dev",
        values: &values,
    };
    let facts = facts(subject).unwrap();
    assert_eq!(
        facts["allowed"],
        json!({"peer_orgs": ["org2-dev"], "orderer_orgs": ["orgorderer1-dev"], "kafka": "kafka-dev"})
    );
    assert_eq!(
        (&facts["msp_id"], &facts["domain"]),
        (&json!("Org1MSP"), &json!("org1-dev"))
    );
    assert_eq!(facts["peers"][0]["env"]["CORE_PEER_NETWORKID"], "dev");
}

/// Returns the NodePorts of each node.
fn node_ports(model: Model, release: &str, values: Value) -> Vec<(String, Vec<u64>)> {
    let facts = facts_of(model, release, values);
    let ports = |node: &Value| {
        node["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| port["node_port"].as_u64().unwrap())
            .collect()
    };
    facts["exposed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["name"].as_str().unwrap().to_owned(), ports(node)))
        .collect()
}

#[test]
fn node_ports_are_numbered_as_in_the_article() {
    let docker = json!({"dockerEndpoint": "tcp://docker:2375"});
    let values = json!({"peers": {"count": 2}, "ca": {"enabled": true}, "expose": {"type": "NodePort"}, "chaincode": docker});
    let expected = [
        ("peer0", vec![30101, 30102]),
        ("peer1", vec![30103, 30104]),
        ("ca", vec![30100]),
    ];
    assert_eq!(
        node_ports(Model::PeerOrganization, "org2", values.clone()),
        expected.map(|(name, ports)| (name.to_owned(), ports))
    );
    let mut third = values;
    third["expose"]["organization"] = 3.into();
    third["expose"]["nodePortBase"] = 31_000.into();
    assert_eq!(
        node_ports(Model::PeerOrganization, "acme", third)[0].1,
        [31_201, 31_202]
    );
    let orderers = json!({"orderers": {"count": 2, "cluster": {"port": 7060}}, "expose": {"type": "NodePort"}});
    assert_eq!(
        node_ports(Model::OrdererOrganization, "orgorderer1", orderers),
        [
            ("orderer0".to_owned(), vec![32_000, 32_050]),
            ("orderer1".to_owned(), vec![32_001, 32_051])
        ]
    );
}

#[test]
fn numbers_that_meet_others_are_refused() {
    let peers = |expose: Value, count: u64| {
        refused(
            Model::PeerOrganization,
            json!({"peers": {"count": count}, "expose": expose}),
        )
    };
    for (expose, count, keys) in [
        (json!({"type": "NodePort", "organization": 20}), 49, &[][..]),
        (
            json!({"type": "NodePort", "organization": 1}),
            50,
            &["peers.count"],
        ),
        (
            json!({"type": "NodePort", "organization": 21}),
            1,
            &["expose.organization"],
        ),
        (
            json!({"type": "NodePort", "organization": 29}),
            1,
            &["expose.organization"],
        ),
        (
            json!({"type": "NodePort", "organization": 2, "nodePortBase": 32_700}),
            1,
            &["expose.organization"],
        ),
        (
            json!({"type": "NodePort", "organization": 2, "nodePortBase": 40_000}),
            1,
            &[],
        ),
    ] {
        assert_eq!(peers(expose.clone(), count), keys, "{expose} {count}");
    }
}

#[test]
fn hosts_outside_stand_in_certificates_and_are_advertised() {
    for (expose, host, endpoint) in [
        (
            json!({"type": "NodePort", "host": "192.0.2.7"}),
            "192.0.2.7",
            "192.0.2.7:30001",
        ),
        (
            json!({"type": "LoadBalancer", "host": "{node}.{domain}.example.com"}),
            "peer0.org1.example.com",
            "peer0.org1.example.com:7051",
        ),
        (
            json!({"type": "Ingress", "className": "nginx", "hosts": {"peer0": "p.example.com"}, "host": "{node}.example.com"}),
            "p.example.com",
            "p.example.com:443",
        ),
        (
            json!({"type": "LoadBalancer"}),
            "peer0.org1",
            "peer0.org1:7051",
        ),
        (
            json!({"type": "NodePort", "host": "192.0.2.7", "advertise": false}),
            "192.0.2.7",
            "peer0.org1:7051",
        ),
    ] {
        let values = json!({"peers": {"count": 1}, "expose": expose});
        let facts = facts_of(Model::PeerOrganization, "org1", values.clone());
        assert_eq!(
            facts["peers"][0]["env"]["CORE_PEER_GOSSIP_EXTERNALENDPOINT"], endpoint,
            "{values}"
        );
        let organization = organization(subject(Model::PeerOrganization, "org1", &values))
            .unwrap()
            .unwrap();
        assert!(
            organization.nodes[0].hosts.contains(&host.to_owned()),
            "{values}"
        );
    }
    let values = json!({"peers": {"gossip": {"externalEndpoint": "{node}.example.com:443"}}});
    let facts = facts_of(Model::PeerOrganization, "org1", values.clone());
    assert_eq!(
        facts["peers"][0]["env"]["CORE_PEER_GOSSIP_EXTERNALENDPOINT"],
        "peer0.example.com:443"
    );
    let organization = organization(subject(Model::PeerOrganization, "org1", &values))
        .unwrap()
        .unwrap();
    assert!(
        organization.nodes[0]
            .hosts
            .contains(&"peer0.example.com".to_owned())
    );
    let without_port = json!({"peers": {"gossip": {"externalEndpoint": "{node}.example.com"}}});
    assert_eq!(
        refused(Model::PeerOrganization, without_port),
        ["peers.gossip.externalEndpoint"]
    );
}

#[test]
fn exposure_without_clients_is_warned_about() {
    let of = |policy: Value| {
        warnings(&facts_of(
            Model::PeerOrganization,
            "org1",
            json!({"expose": {"type": "NodePort"}, "networkPolicy": policy}),
        ))
    };
    assert_eq!(of(json!({"enabled": true})).len(), 1);
    assert!(
        of(json!({"enabled": true, "clients": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]})).is_empty()
    );
    assert!(of(json!({"enabled": false})).is_empty());
}

#[test]
fn everything_is_denied_by_default_only_without_other_pods() {
    let refused = |namespace: &str, enabled: bool| {
        let values = json!({"networkPolicy": {"enabled": enabled}});
        let subject = Subject {
            model: Some(Model::PeerOrganization),
            release: "org1",
            namespace,
            values: &values,
        };
        facts(subject).err().map(|error| error.to_string())
    };
    for namespace in [
        "default",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "istio-system",
        "openshift",
        "openshift-dns",
    ] {
        let said = refused(namespace, true).unwrap();
        assert!(
            said.contains("networkPolicy.enabled") && said.contains(&format!("\"{namespace}\"")),
            "{said}"
        );
        assert_eq!(refused(namespace, false), None);
    }
    for namespace in ["org1", "default-dev", "kubefabric", "system", "openshifts"] {
        assert_eq!(refused(namespace, true), None);
    }
}
