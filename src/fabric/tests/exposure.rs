//! Nodes outside of the cluster, and network policies.

use super::*;

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
