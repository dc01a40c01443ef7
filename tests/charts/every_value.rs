//! Every value is described by its schema, and does something.

use super::*;

/// Each key of a schema, set to something else than its default, and to each word that it may be,
/// changes what is rendered or made, in one of these settings at least.
#[test]
fn every_value_does_something() {
    for (chart, settings) in [
        (
            "peer-org",
            &[
                json!({"cli": {"enabled": true}}),
                json!({"fabricVersion": "1.4.12", "peers": {}}),
                json!({"peers": {"stateDatabase": "CouchDB"}, "chaincode": {"dockerEndpoint": "tcp://docker:2375"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"server": "nfs.example.com", "path": "/share"}}}),
                json!({"crypto": {"source": "secret"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"claim": "local"}}}),
                json!({"chaincode": {"mode": "dind"}}),
                json!({"chaincode": {"mode": "docker-tcp", "dockerEndpoint": "tcp://docker:2375"}}),
                json!({"chaincode": {"mode": "external", "builders": [{"name": "mine", "path": "/mine"}]}}),
                json!({"ca": {"database": {"type": "postgres", "dataSource": "host=db"}}}),
                json!({"ca": {"database": {"type": "mysql", "existingSecret": "mine"}}}),
                json!({"metrics": {"serviceMonitor": {"enabled": true}, "dashboard": {"enabled": true}}}),
                json!({"chaincode": {"mode": "dind", "dind": {"persistence": {"enabled": true}}}}),
                json!({"chaincode": {"mode": "docker-sock"}}),
                json!({"chaincode": {"mode": "k8s"}}),
                json!({"expose": {"type": "NodePort", "host": "example.com"}}),
                json!({"expose": {"type": "LoadBalancer", "host": "example.com"}}),
                json!({"expose": {"type": "Ingress", "className": "nginx", "host": "{node}.example.com"}}),
                json!({"expose": {"type": "Gateway", "gateway": {"name": "edge"}, "host": "{node}.example.com"}}),
            ][..],
        ),
        (
            "orderer-org",
            &[
                json!({"networkPolicy": {}}),
                json!({"metrics": {"serviceMonitor": {"enabled": true}, "dashboard": {"enabled": true}}}),
                json!({"orderers": {"consensus": "kafka", "genesis": {"secret": "orderer-genesis"}}}),
                json!({
                    "fabricVersion": "2.2.15",
                    "orderers": {"genesis": {"path": "genesis.block"}},
                    "crypto": {"source": "nfs", "nfs": {"server": "nfs.example.com", "path": "/share"}},
                }),
                json!({"crypto": {"source": "secret"}}),
                json!({"crypto": {"source": "nfs", "nfs": {"claim": "local"}}}),
                json!({"fabricVersion": "3.1.5", "orderers": {"count": 4, "consensus": "BFT"}}),
                json!({"expose": {"type": "NodePort"}}),
                json!({"expose": {"type": "LoadBalancer"}}),
                json!({"expose": {"type": "Ingress", "className": "nginx", "host": "{node}.example.com"}}),
                json!({"expose": {"type": "Gateway", "gateway": {"name": "edge"}, "host": "{node}.example.com"}}),
            ],
        ),
        (
            "kafka",
            &[
                json!({"kafka": {}}),
                json!({"kafka": {"brokers": 6, "replicationFactor": 4}}),
            ],
        ),
        (
            "chaincode",
            &[json!({}), json!({"tls": {"secret": "server"}})],
        ),
    ] {
        let case = Case::of(chart);
        let settings = settings.iter().cloned();
        let settings: Vec<Value> = settings
            .map(|setting| merged(case.least(), &setting))
            .collect();
        // What comes of values that are accepted. A refusal is no effect: it may be of the value
        // that was made up here.
        let outcome = |values: &Value| {
            let outcome = case.outcome_of(values.to_string()).ok()?;
            Some(format!(
                "{}{:?}{:?}",
                show(&case, &outcome),
                outcome.secrets,
                outcome.hosts
            ))
        };
        let before: Vec<String> = settings
            .iter()
            .map(|setting| outcome(setting).expect("each setting is accepted"))
            .collect();
        let defaults = outcome(&case.least()).expect("defaults are accepted");
        let chart = case.chart();
        let mut idle = Vec::new();
        let node = if case.chart == "peer-org" {
            "peer0"
        } else {
            "orderer0"
        };
        for (path, value) in others(chart.schema.as_ref().unwrap(), node, Vec::new()) {
            // Those that speak of the value's own part come first, as they are likely to show it.
            let (near, far): (Vec<_>, Vec<_>) = settings
                .iter()
                .zip(&before)
                .partition(|(setting, _)| setting.get(&path[0]).is_some());
            let changes = near.into_iter().chain(far).any(|(setting, before)| {
                let pointer = path.iter().map(|key| format!("/{key}")).collect::<String>();
                if setting.pointer(&pointer) == Some(&value) {
                    return *before != defaults; // It needs the rest of the setting.
                }
                let mut values = setting.clone();
                let mut place = &mut values;
                for key in &path {
                    place = &mut place[key.as_str()];
                }
                *place = value.clone();
                outcome(&values).is_some_and(|outcome| outcome != *before)
            });
            if !changes {
                idle.push(format!("{} = {value}", path.join(".")));
            }
        }
        assert!(
            idle.is_empty(),
            "values of {} that do nothing:\n{}",
            chart.metadata.name,
            idle.join("\n")
        );
    }
}

/// Another value than the default for each key of a schema, where one of the nodes is called so.
fn others(schema: &Value, node: &str, path: Vec<String>) -> Vec<(Vec<String>, Value)> {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let below = |(key, schema): (&String, &Value)| {
            others(schema, node, path.iter().chain([key]).cloned().collect())
        };
        return properties.iter().flat_map(below).collect();
    }
    let default = &schema["default"];
    let key = path.last().map_or("", String::as_str);
    let other = match schema["type"].as_str().unwrap() {
        "boolean" => json!(default != true),
        // Two after for a number counted from 1, where 1 is what 0 stands for, and for one that
        // must be odd.
        "integer" => json!(
            default.as_i64().unwrap()
                + if ["organization", "zookeepers"].contains(&key) {
                    2
                } else {
                    1
                }
        ),
        "string" => match schema.get("enum").and_then(Value::as_array) {
            Some(all) => {
                return all
                    .iter()
                    .filter(|other| *other != default)
                    .map(|other| (path.clone(), other.clone()))
                    .collect();
            }
            None => match key {
                "fabricVersion" => json!("2.5.15"),
                "size" => json!("7Gi"),
                "interval" => json!("7s"),
                "heap" | "zookeeperHeap" => json!("64m"),
                "dockerEndpoint" => json!("tcp://elsewhere:2376"),
                "externalEndpoint" => json!("{node}.other:7051"),
                "className" => json!("haproxy"),
                "digest" => json!(format!("sha256:{}", "1".repeat(64))),
                "packageID" => json!(format!("other:{}", "1".repeat(64))),
                "path" if path[0] != "orderers" => json!("/other"),
                _ => json!("other"),
            },
        },
        "array" => match key {
            "hostAliases" => json!([{"ip": "192.0.2.1", "hostnames": ["other"]}]),
            "builders" => json!([{"name": "other", "path": "/other"}]),
            "tolerations" => json!([{"key": "other"}]),
            "egress" => json!([{"ports": [{"port": 1}]}]),
            "sidecars" | "extraVolumes" | "extraVolumeMounts" => json!([{"name": "other"}]),
            "limitRange" => json!([{"type": "Pod"}]),
            "clients" | "admins" | "dockerHosts" => json!([{"ipBlock": {"cidr": "192.0.2.0/24"}}]),
            _ => json!(["other"]),
        },
        _ => match key {
            "secrets" => json!({format!("{node}-tls"): "other"}),
            "hosts" => json!({node: "other.example.com"}),
            _ => json!({"OTHER": "value"}),
        },
    };
    vec![(path, other)]
}

/// Keys of values.yaml and of the schema are the same, each with a description and the same
/// default.
#[test]
fn schemas_describe_every_value() {
    fn check(schema: &Value, value: &Value, path: &str) {
        assert!(
            schema["description"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{path} has a description"
        );
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            assert_eq!(schema["default"], *value, "{path}");
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path}");
        let keys: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(properties.keys().collect::<Vec<_>>(), keys, "{path}");
        for (key, property) in properties {
            check(property, &value[key], &format!("{path}/{key}"));
        }
    }
    for (name, _, _) in repository::embedded() {
        let chart = repository::find(name, None).unwrap();
        check(
            chart.schema.as_ref().unwrap(),
            &yaml::parse(&chart.values, "values.yaml").unwrap(),
            name,
        );
    }
}
