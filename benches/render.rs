//! How long a chart of 200 peers, 1,000 objects, takes from chart and values to objects:
//! `cargo bench --bench render`.
//!
//! The target is under 30 ms (median) in a release build, whose link-time optimization the bench
//! profile leaves out. It is printed, not asserted, because it is the machine's as much as ours.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use kubectl_fabric::chart::{Chart, Files, Origin};
use kubectl_fabric::render::{Capabilities, Hashing, Input, Release, render};
use serde_json::json;
use std::time::Instant;

const PEERS: &str = r#"{% macro labels(name) %}
{{ {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": release.name, "app.kubernetes.io/component": "peer"} }}
{%- endmacro %}
{% for peer in values.peers %}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ peer.name }}
  labels: {{ labels(peer.name) }}
data:
  CORE_PEER_ID: {{ peer.name }}
  CORE_PEER_ADDRESS: {{ peer.name ~ "." ~ release.namespace ~ ":" ~ peer.port }}
  core.yaml: {{ {"peer": {"id": peer.name, "gossip": {"useLeaderElection": true}}} | toyaml }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ peer.name }}
  labels: {{ labels(peer.name) }}
spec:
  clusterIP: None
  selector: {{ labels(peer.name) }}
  ports:
  - {name: grpc, port: {{ peer.port }}, targetPort: {{ peer.port }}}
  - {name: operations, port: 9443}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ peer.name }}
  labels: {{ labels(peer.name) }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{ labels(peer.name) }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ peer.name }}
spec:
  podSelector:
    matchLabels: {{ labels(peer.name) }}
  ingress:
  - ports:
    - port: {{ peer.port }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ peer.name }}
  labels: {{ labels(peer.name) }}
  annotations:
    kubectl-fabric.io/rollout-group: peers
spec:
  replicas: 1
  serviceName: {{ peer.name }}
  selector:
    matchLabels: {{ labels(peer.name) }}
  template:
    metadata:
      labels: {{ labels(peer.name) }}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000}
      containers:
      - name: peer
        image: {{ values.image ~ ":" ~ values.version }}
        args: [peer, node, start]
        envFrom:
        - configMapRef: {name: {{ peer.name }}}
        env:
        - name: CORE_PEER_TLS_ENABLED
          value: "true"
        - name: CORE_PEER_LOCALMSPID
          value: {{ values.mspId }}
        ports:
        - {name: grpc, containerPort: {{ peer.port }}}
        - {name: operations, containerPort: 9443}
        resources: {{ values.resources }}
        livenessProbe: {httpGet: {path: /healthz, port: operations}, periodSeconds: 10}
        readinessProbe: {httpGet: {path: /healthz, port: operations}, periodSeconds: 5}
        volumeMounts:
        - {name: data, mountPath: /var/hyperledger/production}
        - {name: msp, mountPath: /var/hyperledger/msp, readOnly: true}
        - {name: tls, mountPath: /var/hyperledger/tls, readOnly: true}
      volumes:
      - name: msp
        secret: {secretName: {{ peer.name ~ "-msp" }}}
      - name: tls
        secret: {secretName: {{ peer.name ~ "-tls" }}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: {{ peer.storage }}}}
{% endfor %}
"#;

fn main() {
    let files = Files::from([
        (
            "Chart.yaml".to_owned(),
            b"apiVersion: v2\nname: bench\nversion: 0.1.0\n".to_vec(),
        ),
        ("templates/peers.yaml".to_owned(), PEERS.as_bytes().to_vec()),
    ]);
    let chart = Chart::from_files(files, Origin::Path("bench".to_owned()), "bench")
        .expect("the chart is whole");
    let peers: Vec<_> = (0..200)
        .map(|n| json!({"name": format!("peer{n}"), "port": 7051, "storage": "10Gi"}))
        .collect();
    let values = json!({
        "peers": peers, "image": "hyperledger/fabric-peer", "version": "2.5.9", "mspId": "Org1MSP",
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    });
    let mut times: Vec<f64> = (0..51)
        .map(|_| {
            let start = Instant::now();
            let input = Input {
                chart: &chart,
                values: &values,
                release: Release {
                    name: "org1".to_owned(),
                    namespace: "org1".to_owned(),
                    revision: 1,
                    is_install: true,
                    is_upgrade: false,
                },
                capabilities: Capabilities {
                    kube_version: "v1.33.0".to_owned(),
                    api_versions: Vec::new(),
                },
                fabric: json!({}),
                lookup: None,
                hashing: Hashing::default(),
            };
            let output = render(&input).expect("the chart renders");
            assert_eq!(output.objects.len(), 1000);
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "render 1,000 objects: median {:.1} ms, fastest {:.1} ms",
        times[25], times[0]
    );
}
