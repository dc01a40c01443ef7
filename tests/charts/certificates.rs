//! Addresses and identities of nodes.

use super::*;

/// StatefulSet, container and Service have the node's name, and every address that a node
/// advertises is such a Service, and stands in the certificate that its organization's nodes get.
#[test]
fn every_address_is_a_service_and_stands_in_a_certificate() {
    each_manifest(|case, outcome| {
        let services: Vec<&Object> = outcome
            .output
            .objects
            .iter()
            .filter(|object| object.key.kind == "Service")
            .collect();
        for (object, pod) in
            pods(&outcome.output.objects).filter(|(object, _)| object.key.kind == "StatefulSet")
        {
            let name = &object.key.name;
            if name == "cli" {
                // It calls others and is not called.
                continue;
            }
            assert_eq!(
                pod["containers"][0]["name"].as_str(),
                Some(name.as_str()),
                "{}",
                case.name()
            );
            assert_eq!(
                object.body["spec"]["serviceName"].as_str(),
                Some(name.as_str())
            );
            let service = services
                .iter()
                .find(|service| service.key.name == *name)
                .expect("each node has its Service");
            let labels = &object.body["spec"]["template"]["metadata"]["labels"];
            for (label, value) in service.body["spec"]["selector"].as_object().unwrap() {
                assert_eq!(labels[label], *value, "{} selects its pod", service.key);
            }
            for variable in pod["containers"][0]["env"].as_array().into_iter().flatten() {
                let (key, value) = (
                    variable["name"].as_str().unwrap(),
                    variable["value"].as_str().unwrap_or_default(),
                );
                if ![
                    "CORE_PEER_ADDRESS",
                    "CORE_PEER_GOSSIP_EXTERNALENDPOINT",
                    "CORE_PEER_CHAINCODEADDRESS",
                ]
                .contains(&key)
                {
                    continue;
                }
                let (host, port) = value.split_once(':').unwrap();
                assert!(outcome.hosts.iter().any(|own| own == host), "{host}");
                // Of an address outside no Service knows; cryptogen's certificates have no other
                // than the one inside.
                let outside =
                    host != format!("{name}.{}", case.namespace) || case.crypto_config.is_some();
                if key != "CORE_PEER_ADDRESS" && outside {
                    continue;
                }
                assert_eq!(host, format!("{name}.{}", case.namespace));
                let ports = service.body["spec"]["ports"].as_array().unwrap();
                assert!(
                    ports
                        .iter()
                        .any(|own| own["port"].as_u64() == port.parse().ok()),
                    "{key} {value}"
                );
            }
        }
    });
}

/// What cryptogen made is enough for every node of a case, under every address that is told to
/// others.
#[test]
fn a_crypto_config_has_all_that_a_case_needs() {
    each_manifest(|case, outcome| {
        let (Some(fixture), Some(organization)) = (&case.crypto_config, &outcome.organization)
        else {
            return;
        };
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(fixture)
            .join("crypto-config");
        let mut files = BTreeMap::new();
        read_tree(&top, &top, &mut files);
        let source = identity::Source::CryptoConfig {
            folder: fixture.clone(),
            files,
        };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let plan = identity::plan(organization, &BTreeMap::new(), &source, now)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let made: BTreeSet<_> = plan
            .create
            .iter()
            .map(|secret| secret.key.name.clone())
            .collect();
        assert_eq!(
            made,
            outcome.secrets.iter().cloned().collect(),
            "{}",
            case.name()
        );
        assert!(
            !plan.generated && plan.warnings.is_empty(),
            "{}: {:?}",
            case.name(),
            plan.warnings
        );
    });
}

/// The files of a folder by their paths below `top`.
fn read_tree(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for path in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        match path.is_dir() {
            true => read_tree(top, &path, files),
            false => {
                files.insert(
                    path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
}
