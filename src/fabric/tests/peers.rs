//! Peers and their chaincode.

use super::*;

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
