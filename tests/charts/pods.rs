//! What every pod has and may do.

use super::*;

/// What a pod mounts or reads is made by the release or by its identities, or is named by the user.
#[test]
fn every_reference_of_a_pod_resolves() {
    each_manifest(|case, outcome| {
        let named = |kind: &str| {
            let objects = outcome
                .output
                .objects
                .iter()
                .filter(move |object| object.key.kind == kind);
            objects
                .map(|object| object.key.name.clone())
                .collect::<BTreeSet<_>>()
        };
        let mut secrets = named("Secret");
        secrets.extend(outcome.secrets.iter().cloned());
        for path in [
            "/ca/existingSecret",
            "/couchdb/existingSecret",
            "/orderers/genesis/secret",
            "/chaincode/dockerTlsSecret",
            "/ca/database/existingSecret",
            "/ca/database/tlsSecret",
            "/tls/secret",
            "/tls/clientCASecret",
        ] {
            secrets.extend(
                outcome
                    .values
                    .pointer(path)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
        let (mut maps, accounts) = (named("ConfigMap"), named("ServiceAccount"));
        for own in ["/peers/env", "/orderers/env", "/ca/env", "/env"]
            .into_iter()
            .filter_map(|path| outcome.values.pointer(path))
        {
            secrets.extend(
                find(own, "secretKeyRef")
                    .iter()
                    .filter_map(|reference| reference["name"].as_str().map(str::to_owned)),
            );
        }
        maps.insert("kube-root-ca.crt".to_owned()); // Kubernetes puts it into every namespace.
        for (object, pod) in pods(&outcome.output.objects) {
            let place = format!("{}: {}", case.name(), object.key);
            for claim in find(pod, "persistentVolumeClaim") {
                let name = claim["claimName"].as_str().unwrap();
                let own = outcome
                    .values
                    .pointer("/crypto/nfs/claim")
                    .and_then(Value::as_str);
                assert!(
                    named("PersistentVolumeClaim").contains(name) || own == Some(name),
                    "{place} names claim {name}"
                );
            }
            for path in ["secretName", "secretKeyRef", "secret", "configMap"] {
                for reference in find(pod, path) {
                    let name = reference.as_str().or_else(|| reference["name"].as_str());
                    let Some(name) = name else { continue };
                    let known = if path == "configMap" { &maps } else { &secrets };
                    assert!(known.contains(name), "{place} names {path} {name}");
                }
            }
            assert!(
                accounts.contains(pod["serviceAccountName"].as_str().unwrap()),
                "{place}"
            );
            let mut volumes: BTreeSet<&str> = pod["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v["name"].as_str().unwrap())
                .collect();
            let claims = object
                .body
                .pointer("/spec/volumeClaimTemplates")
                .and_then(Value::as_array);
            volumes.extend(
                claims
                    .into_iter()
                    .flatten()
                    .map(|claim| claim["metadata"]["name"].as_str().unwrap()),
            );
            for mount in find(pod, "volumeMounts")
                .iter()
                .flat_map(|mounts| mounts.as_array().unwrap())
            {
                assert!(
                    volumes.contains(mount["name"].as_str().unwrap()),
                    "{place}: {mount}"
                );
            }
        }
    });
}

/// The Pod Security level "restricted", but for the one image that must begin as root; and traps 6
/// and 14 of running Fabric on Kubernetes: no variables out of Services, no root.
#[test]
fn every_pod_is_confined() {
    each_manifest(|case, outcome| {
        for (object, pod) in pods(&outcome.output.objects) {
            let place = format!("{}: {}", case.name(), object.key);
            assert_eq!(pod["enableServiceLinks"], false, "{place}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{place}"
            );
            for container in ["containers", "initContainers"]
                .iter()
                .filter_map(|key| pod[key].as_array())
                .flatten()
            {
                let context = &container["securityContext"];
                if container["name"] == "logs" {
                    continue; // The user's.
                }
                if container["name"] == "docker" {
                    assert_eq!(outcome.pod_security, Level::Privileged, "{place}");
                    continue;
                }
                assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{place}");
                let old_couchdb = container["image"]
                    .as_str()
                    .unwrap()
                    .contains("fabric-couchdb");
                assert_eq!(
                    context.get("runAsUser") == Some(&json!(0)),
                    old_couchdb,
                    "{place}"
                );
                assert!(
                    !old_couchdb || outcome.pod_security > Level::Restricted,
                    "{place}"
                );
            }
        }
    });
}

/// No pod has a token of the API, and no account a permission there; but with fabric-builder-k8s
/// the peer's container, and none beside it.
#[test]
fn no_pod_may_call_the_api_but_a_peer_that_builds_by_it() {
    let seen = std::cell::Cell::new(0);
    each_manifest(|case, outcome| {
        let objects = &outcome.output.objects;
        let builds = outcome.values.pointer("/chaincode/mode") == Some(&json!("k8s"));
        for account in objects
            .iter()
            .filter(|object| object.key.kind == "ServiceAccount")
        {
            assert_eq!(
                account.body["automountServiceAccountToken"],
                false,
                "{}: {}",
                case.name(),
                account.key
            );
        }
        let given = objects
            .iter()
            .filter(|object| object.key.kind.ends_with("RoleBinding"))
            .flat_map(|binding| find(&binding.body, "subjects"));
        let given: Vec<&Value> = given.flat_map(|subjects| find(subjects, "name")).collect();
        let builder = json!(format!("{}-builder", case.release));
        assert_eq!(
            given,
            if builds { vec![&builder] } else { vec![] },
            "{}",
            case.name()
        );
        for (object, pod) in pods(objects) {
            let place = format!("{}: {}", case.name(), object.key);
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            let tokens = find(&pod["volumes"], "serviceAccountToken").len();
            let is_peer =
                object.body["metadata"]["labels"]["app.kubernetes.io/component"] == "peer";
            assert_eq!(
                (tokens, pod["serviceAccountName"] == builder),
                if builds && is_peer {
                    (1, true)
                } else {
                    (0, false)
                },
                "{place}"
            );
            for container in ["containers", "initContainers"]
                .iter()
                .filter_map(|key| pod[key].as_array())
                .flatten()
            {
                let mounts = container["volumeMounts"].as_array().into_iter().flatten();
                let has_token = mounts
                    .filter(|mount| {
                        mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
                    })
                    .count();
                assert_eq!(
                    has_token,
                    usize::from(tokens == 1 && container["name"] == object.key.name.as_str()),
                    "{place}"
                );
                seen.set(seen.get() + has_token);
            }
        }
    });
    assert!(seen.get() > 0, "no case builds by the API");
}

/// `restricted` but for what cannot be confined so: the image of fabric-couchdb that begins as
/// root, the builder's Jobs, a Docker daemon.
#[test]
fn a_namespace_is_restricted_wherever_the_mode_allows() {
    let endpoint = "dockerEndpoint: tcp://docker:2375";
    for (chart, values, level) in [
        ("kafka", "{}".to_owned(), Level::Restricted),
        ("orderer-org", "{}".to_owned(), Level::Restricted),
        (
            "chaincode",
            "{tls: {secret: tls}}".to_owned(),
            Level::Restricted,
        ),
        (
            "chaincode",
            "{sidecars: [{name: logs, image: 'logs:1'}]}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{peers: {stateDatabase: CouchDB}, cli: {enabled: true}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{fabricVersion: 1.4.12}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{fabricVersion: 1.4.12, peers: {stateDatabase: CouchDB}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            format!("{{chaincode: {{mode: docker-tcp, {endpoint}}}}}"),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: none}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: external, builders: [{name: a, path: /a}]}}".to_owned(),
            Level::Restricted,
        ),
        (
            "peer-org",
            "{chaincode: {mode: k8s}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{chaincode: {mode: docker-sock}}".to_owned(),
            Level::Privileged,
        ),
        (
            "peer-org",
            "{chaincode: {mode: dind}}".to_owned(),
            Level::Privileged,
        ),
        (
            "peer-org",
            "{peers: {sidecars: [{name: logs, image: 'logs:1'}]}}".to_owned(),
            Level::Baseline,
        ),
        (
            "peer-org",
            "{peers: {extraVolumes: [{name: a, hostPath: {path: /a}}]}}".to_owned(),
            Level::Privileged,
        ),
    ] {
        let case = Case::of(chart);
        let all = merged(case.least(), &yaml::parse(&values, "values.yaml").unwrap());
        let outcome = case.outcome_of(all.to_string()).unwrap();
        assert_eq!(outcome.pod_security, level, "{chart}: {values}");
    }
}

/// A kubelet that looks whether a port is open leaves without a TLS handshake, and Fabric's servers
/// log each such visit as an error. The startup probe passes once; those that go on ask the
/// operations service. Chaincode has no such service; gRPC for Go, Java and Node.js logs no such
/// visit unless it is asked to.
#[test]
fn no_probe_breaks_off_handshakes_again_and_again() {
    each_manifest(|case, outcome| {
        if case.chart == "chaincode" {
            return;
        }
        for (object, pod) in pods(&outcome.output.objects) {
            for container in pod["containers"].as_array().unwrap() {
                for probe in ["livenessProbe", "readinessProbe"] {
                    let port = container[probe]["tcpSocket"]["port"]
                        .as_str()
                        .unwrap_or_default();
                    assert!(
                        !["grpc", "cluster", "admin", "chaincode", "ca"].contains(&port),
                        "{}: {} {probe}",
                        case.name(),
                        object.key
                    );
                }
            }
        }
    });
}

/// On Kafka, an orderer that is asked for its health writes into each channel's log, and ends
/// itself while it has not reached Kafka.
#[test]
fn orderers_on_kafka_are_not_asked_for_their_health() {
    each_manifest(|case, outcome| {
        let kafka = case.name().contains("kafka");
        for (object, pod) in pods(&outcome.output.objects)
            .filter(|(object, _)| object.key.name.starts_with("orderer"))
        {
            let asks = find(pod, "path").contains(&&json!("/healthz"));
            assert_eq!(asks, !kafka, "{}: {}", case.name(), object.key);
        }
    });
}

/// A CA server shows what stands on its command line in its log: the password is for another
/// container, which logs warnings only.
#[test]
fn no_ca_server_is_reported_its_administrators_password() {
    let outcome = Case::of("peer-org").outcome_of(String::new()).unwrap();
    let (_, pod) = pods(&outcome.output.objects)
        .find(|(object, _)| object.key.name == "ca")
        .unwrap();
    assert!(
        !pod["containers"].to_string().contains("CA_ADMIN"),
        "{}",
        pod["containers"]
    );
    let command = pod["initContainers"][0]["command"].as_array().unwrap();
    assert!(
        command
            .windows(2)
            .any(|pair| pair == ["--loglevel", "warning"]),
        "{command:?}"
    );
}
