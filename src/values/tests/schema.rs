//! The schema: violations, secrets.

use super::*;

fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["peers"],
        "properties": {
            "peers": {
                "type": "object",
                "additionalProperties": false,
                "required": ["count"],
                "properties": {
                    "count": {"type": "integer", "minimum": 1, "maximum": 100},
                    "stateDatabase": {"enum": ["goleveldb", "CouchDB"]},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "description": "a DNS label: lower-case letters."},
                    "code": {"type": "string", "pattern": "^[0-9]+$"},
                    "port": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "couchdb": {"$ref": "#/$defs/login"},
                    "list": {"type": "array", "items": {"$ref": "#/$defs/login"}, "maxItems": 1}
                }
            },
            "identities": {
                "oneOf": [
                    {"type": "object", "required": ["source"], "additionalProperties": false,
                     "properties": {"source": {"const": "generate"}, "country": {"type": "string", "minLength": 2}}},
                    {"type": "object", "required": ["source", "url"], "additionalProperties": false,
                     "properties": {"source": {"const": "ca"}, "url": {"type": "string"}}}
                ]
            },
            "kafka": {"type": "object"}
        },
        "if": {"properties": {"kafka": {"required": ["brokers"]}}, "required": ["kafka"]},
        "then": {"properties": {"kafka": {"required": ["zookeepers"]}}},
        "$defs": {"login": {"type": "object", "additionalProperties": false, "properties": {
            "user": {"type": "string"},
            "password": {"type": "string", "x-secret": true, "minLength": 12, "pattern": "^[^ ]+$"},
            "mode": {"enum": ["basic", "none"], "x-secret": true}
        }}}
    })
}

fn report(text: &str, sets: &[&str]) -> String {
    let sources = sets.iter().map(|set| Source::Set((*set).to_owned()));
    let values = user(std::iter::once(file("org1.yaml", text)).chain(sources));
    match validate(&schema(), &values, &[], "org1", "peer-org 0.1.0") {
        Ok(()) => "fits".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn all_violations_are_reported_at_once_with_their_origins() {
    let text = "peers:\n  cuont: 1\n  stateDatabase: couchdbb\n  name: Peer_0\nidentity: x\n";
    assert_eq!(
        report(text, &["peers.port={x}"]),
        "values for \"org1\" do not fit chart peer-org 0.1.0
  --> --set peers.port   peers.port: expected an integer or a string, not a list
  --> org1.yaml:1:1   peers.count: missing; the chart requires it
  --> org1.yaml:2:3   peers.cuont: unknown key
  --> org1.yaml:3:3   peers.stateDatabase: unknown value \"couchdbb\"; expected \"goleveldb\" or \"CouchDB\"
  --> org1.yaml:4:3   peers.name: does not match the expected format: a DNS label: lower-case letters
  --> org1.yaml:5:1   identity: unknown key
hint: peers.cuont: did you mean \"count\"?
hint: peers.stateDatabase: did you mean \"CouchDB\"?
hint: identity: did you mean \"identities\"?"
    );
}

#[test]
fn violations_are_reported_in_words_of_values() {
    for (text, words) in [
        ("peers: {count: 2}\n", "fits"),
        (
            "peers: {count: two}\n",
            "peers.count: expected an integer, not a string",
        ),
        (
            "peers: {count: 1.5}\n",
            "peers.count: expected an integer, not a number with a fraction",
        ),
        ("peers: {count: 0}\n", "peers.count: expected at least 1"),
        ("peers: {count: 101}\n", "peers.count: expected at most 100"),
        ("peers: [1]\n", "peers: expected a map, not a list"),
        (
            "peers: {count: 1, code: x}\n",
            "peers.code: does not match the expected format: text that matches `^[0-9]+$`",
        ),
        (
            "peers: {count: 1, zzzzzz: x}\n",
            "peers.zzzzzz: unknown key; known keys are code, couchdb, count,",
        ),
        (
            "peers: {count: 1, list: [{}, {}]}\n",
            "peers.list: expected at most 1 item",
        ),
        (
            "peers: {count: 1, list: [{usr: x}]}\n",
            "peers.list[0].usr: unknown key",
        ),
        ("kafka: {}\n", "peers: missing"),
        (
            "peers: {count: 1}\nkafka: {brokers: 4}\n",
            "kafka.zookeepers: missing",
        ),
        (
            "peers: {count: 1}\nidentities: {source: ca}\n",
            "identities.url: missing",
        ),
        (
            "peers: {count: 1}\nidentities: {source: generate, country: C}\n",
            "identities.country: expected at least 2 characters",
        ),
        (
            "peers: {count: 1}\nidentities: {source: ca, url: x, uri: y}\n",
            "identities.uri: unknown key",
        ),
        (
            "peers: {count: 1}\nidentities: x\n",
            "identities: expected a map, not a string",
        ),
    ] {
        let report = report(text, &[]);
        assert!(report.contains(words), "{text}{report}");
    }
    let chart = defaults("peers: {}\n", "chart").unwrap();
    let (values, _) = coalesce(chart, &user([file("org1.yaml", "peers:\n  count: null\n")]));
    let report = validate(&schema(), &values, &[], "org1", "x")
        .unwrap_err()
        .to_string();
    assert!(
        report.contains("org1.yaml:2:3   peers.count: null, but the chart has no default for it"),
        "{report}"
    );
}

#[test]
fn secrets_and_values_are_not_shown() {
    for text in [
        "peers: {count: 1, couchdb: {password: hunter2}}\n",
        "peers: {count: 1, couchdb: {mode: hunter2}}\n",
        "peers: {count: 1, couchdb: {password: [hunter2]}}\n",
        "peers: {count: 1, couchdb: hunter2}\n",
        "peers: {count: 1, list: [{password: 'hunter2 hunter2'}]}\n",
        "peers: {count: 1, name: hunter2}\n",
        "identities: {source: hunter2}\n",
    ] {
        let report = report(text, &[]);
        assert!(
            report != "fits" && !report.contains("hunter2"),
            "{text}{report}"
        );
    }
}

#[test]
fn secret_paths_are_found_through_references_and_branches() {
    let tree = json!({"peers": {"couchdb": {"user": "a", "password": "b"}, "list": [{}, {"password": "c"}]}});
    assert_eq!(
        secret_paths(&schema(), &tree),
        ["/peers/couchdb/password", "/peers/list/1/password"]
    );
    let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a", "additionalProperties": {"$ref": "#"}}}});
    assert!(secret_paths(&endless, &tree).is_empty());
    let branches = json!({"oneOf": [{"properties": {"peers": {"additionalProperties": {"x-secret": true}}}}, {"type": "null"}]});
    assert_eq!(
        secret_paths(&branches, &tree),
        ["/peers/couchdb", "/peers/list"]
    );
}

#[test]
fn a_schema_that_is_none_is_an_error_and_nothing_is_fetched() {
    let values = user([]);
    assert!(
        validate(&json!({"type": 5}), &values, &[], "a", "b")
            .unwrap_err()
            .to_string()
            .contains("not a valid JSON Schema")
    );
    assert!(
        validate(
            &json!({"$ref": "https://example.com/s.json"}),
            &values,
            &[],
            "a",
            "b"
        )
        .is_err()
    );
}
