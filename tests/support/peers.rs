//! The chart of the benchmarks, for as many peers as a test wants: Service, ConfigMap, Secret,
//! PodDisruptionBudget and StatefulSet of each.

use kubectl_fabric::chart::Files;
use serde_json::{Value, json};

const TEMPLATE: &str = include_str!("../../benches/compare/templates/fabric.yaml");

pub fn files(peers: usize) -> Files {
    let peers: Vec<Value> = (0..peers)
        .map(|number| json!({"name": format!("peer{number}"), "port": 7051, "storage": "10Gi", "password": "c2VjcmV0"}))
        .collect();
    let values = json!({
        "image": "hyperledger/fabric-peer", "version": "2.5.15", "mspId": "Org1MSP", "config": "peer: {}\n", "peers": peers,
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
    });
    Files::from([
        (
            "Chart.yaml".to_owned(),
            b"apiVersion: v2\nname: peers\nversion: 0.1.0\n".to_vec(),
        ),
        ("values.yaml".to_owned(), values.to_string().into_bytes()),
        (
            "templates/peers.yaml".to_owned(),
            TEMPLATE.as_bytes().to_vec(),
        ),
    ])
}
