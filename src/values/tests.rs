use super::*;
use crate::error::Kind;
use proptest::prelude::*;
use serde_json::json;

fn file(name: &str, text: &str) -> Source {
    Source::File {
        name: name.into(),
        text: text.into(),
    }
}

fn user(sources: impl IntoIterator<Item = Source>) -> Values {
    from_sources(sources.into_iter().collect()).unwrap()
}

fn shown(values: &Values, pointer: &str) -> Vec<String> {
    values
        .origins
        .get(pointer)
        .into_iter()
        .flatten()
        .map(Origin::to_string)
        .collect()
}

#[test]
fn every_node_knows_who_set_it_and_whom_that_shadows() {
    let chart = defaults(
        "peers:\n  count: 1\n  db: goleveldb\nlist: [1, 2]\n",
        "peer-org/values.yaml",
    )
    .unwrap();
    let user = user([
        Source::Set("peers.count=3,list[0].x=1".into()),
        file("a.yaml", "peers:\n  count: 2\n"),
        file("b.yaml", "# list\nlist:\n- x: 0\n  w: &w {z: 1}\n- *w\n"),
    ]);
    let (values, warnings) = coalesce(chart, &user);
    assert!(warnings.is_empty());
    assert_eq!(
        values.tree,
        json!({"peers": {"count": 3, "db": "goleveldb"}, "list": [{"x": 1, "w": {"z": 1}}, {"z": 1}]})
    );
    assert_eq!(
        shown(&values, "/peers/count"),
        ["peer-org/values.yaml:2", "a.yaml:2", "--set peers.count"]
    );
    assert_eq!(shown(&values, "/peers/db"), ["peer-org/values.yaml:3"]);
    assert_eq!(shown(&values, "/list/0/x"), ["b.yaml:3", "--set list[0].x"]);
    assert_eq!(shown(&values, "/list/0/w/z"), ["b.yaml:4"]);
    // The origin of an alias is the line of the alias.
    assert_eq!(shown(&values, "/list/1/z"), ["b.yaml:5"]);
    assert_eq!(values.origin("/peers/unknown"), values.origin("/peers"));
}

#[test]
fn what_is_written_out_below_a_merge_key_has_the_place_of_the_map_that_takes_it_in() {
    let (first, second) = (
        file("a.yaml", "a: {x: 5}\n"),
        file("b.yaml", "\na: {<<: {x: 1}, z: 2}\n"),
    );
    let values = from_sources(vec![first, second]).unwrap();
    assert_eq!(values.tree, json!({"a": {"x": 1, "z": 2}}));
    assert_eq!(values.origin("/a/x").unwrap().to_string(), "b.yaml:2");
    assert!(
        values
            .origins
            .keys()
            .all(|pointer| values.tree.pointer(pointer).is_some()),
        "{:?}",
        values.origins.keys()
    );
}

#[test]
fn what_replaces_a_tree_takes_its_origins_away() {
    let values = user([
        file("a.yaml", "a: {b: {c: 1}}\nab: 1\n"),
        file("b.yaml", "a: x\n"),
    ]);
    assert_eq!(
        values
            .origins
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        ["", "/a", "/ab"]
    );
    let values = user([
        file("a.yaml", "a: {b: {c: 1}}\n"),
        Source::Set("a.b={x,y}".into()),
    ]);
    assert_eq!(shown(&values, "/a/b/1"), ["--set a.b"]);
    assert!(!values.origins.contains_key("/a/b/c"));
    let values = user([
        Source::SetJson("{\"a\": {\"b\": [1]}}".into()),
        Source::SetString("a.c\\.d=1".into()),
    ]);
    assert_eq!(shown(&values, "/a/b/0"), ["--set-json"]);
    assert_eq!(shown(&values, "/a/c.d"), ["--set-string a.c\\.d"]);
}

#[test]
fn a_default_that_changes_between_map_and_text_gives_a_warning() {
    let chart = defaults("a: {b: 1}\nc: x\nd: null\ne: {f: 1}\n", "chart").unwrap();
    let (values, warnings) = coalesce(
        chart,
        &user([file("u.yaml", "a: x\nc: {x: 1}\nd: {x: 1}\ne: null\n")]),
    );
    assert_eq!(
        values.tree,
        json!({"a": "x", "c": {"x": 1}, "d": {"x": 1}, "e": {"f": 1}})
    );
    assert_eq!(
        warnings,
        [
            "\"a\" is a map in the chart; your value replaces the whole map (u.yaml:1)",
            "\"c\" is not a map in the chart; your map replaces its value (u.yaml:2)",
        ]
    );
}

#[test]
fn null_takes_back_what_is_stored_in_the_place_of_defaults() {
    let chart = defaults("a: {b: 1, c: 2}\nnew: 3\n", "chart").unwrap();
    let stored = with_origin(
        json!({"a": {"b": 5, "c": 6, "own": 7}, "own": 8}),
        Origin::Stored { revision: 3 },
    );
    let user = user([Source::Set(
        "a.b=null,a.own=null,own=null,new=null,a.x.y=null".into(),
    )]);
    let (values, _) = coalesce(taken_back(stored, &user, &chart), &user);
    assert_eq!(
        values.tree,
        json!({"a": {"b": 1, "c": 6, "x": {}}, "new": 3})
    );
    assert_eq!(shown(&values, "/a/b"), ["--set a.b, null", "chart:1"]);
    assert_eq!(shown(&values, "/a/c"), ["revision 3"]);
    assert_eq!(without_nulls(user).tree, json!({"a": {"x": {}}}));
}

#[test]
fn stored_values_are_shadowed_by_new_ones() {
    let stored = with_origin(
        json!({"a": {"b": 1, "c": [1]}}),
        Origin::Stored { revision: 3 },
    );
    let values = merge(stored, user([Source::Set("a.b=2".into())]));
    assert_eq!(values.tree, json!({"a": {"b": 2, "c": [1]}}));
    assert_eq!(shown(&values, "/a/b"), ["revision 3", "--set a.b"]);
    assert_eq!(shown(&values, "/a/c/0"), ["revision 3"]);
}

#[test]
fn an_argument_that_cannot_be_read_is_not_repeated() {
    for source in [
        Source::Set("password=hunter,hunter2".into()),
        Source::Set("password={hunter2".into()),
        Source::SetString("hunter2".into()),
        Source::SetJson("a=hunter2".into()),
        Source::SetJson("{\"a\": hunter2}".into()),
        Source::SetLiteral("hunter2".into()),
        Source::Set("a=hunter2,a.b=hunter2".into()),
        Source::Set("a[hunter2]=1".into()),
    ] {
        let report = from_sources(vec![source.clone()]).unwrap_err().to_string();
        assert!(
            !report.contains("hunter2") && report.contains("--set"),
            "{source:?}\n{report}"
        );
    }
}

#[test]
fn set_file_arguments_are_split_into_keys_and_paths() {
    let pairs = file_settings("a\\.b=x\\,y.pem,c[0]=z").unwrap();
    assert_eq!(
        pairs,
        [
            ("a\\.b".into(), "x,y.pem".into()),
            ("c[0]".into(), "z".into())
        ]
    );
    assert_eq!(
        file_settings("a.b=x=y,").unwrap(),
        [("a.b".into(), "x=y".into())]
    );
    assert!(file_settings("").unwrap().is_empty());
    for argument in ["a", "a=", "=b", "a=b,c", "a={x,y}", "a,hunter2=b", "\\"] {
        let report = file_settings(argument).unwrap_err().to_string();
        assert!(
            report.contains("--set-file") && !report.contains("hunter2"),
            "{argument}: {report}"
        );
    }
}

#[test]
fn deep_and_long_arguments_are_refused_without_harm() {
    for argument in [
        format!("a{}=1", "[0]".repeat(100_000)),
        format!("{}=1", "a.".repeat(100_000)),
        "[".repeat(100_000),
    ] {
        assert_eq!(
            from_sources(vec![Source::Set(argument)])
                .unwrap_err()
                .kind(),
            Kind::User
        );
    }
    assert!(from_sources(vec![Source::SetJson(format!("a={}", "[".repeat(100_000)))]).is_err());
}

#[test]
fn explain_tells_value_origin_and_what_is_shadowed() {
    let chart = defaults(
        "peers: {count: 1, db: {user: x, password: y}}\nlist: [1]\nback: 1\n",
        "chart",
    )
    .unwrap();
    let (values, _) = coalesce(
        chart,
        &user([
            file("a.yaml", "peers: {count: 2}\nback: null\n"),
            Source::Set("peers.count=3,gone=null".into()),
        ]),
    );
    let secrets = ["/peers/db/password".to_owned()];
    let found = explain(&values, "peers.count", &secrets).unwrap();
    assert_eq!(
        (found.path.as_str(), found.value),
        ("peers.count", Some(json!(3)))
    );
    assert_eq!(found.origin.unwrap().to_string(), "--set peers.count");
    assert_eq!(
        found
            .shadowed
            .iter()
            .map(Origin::to_string)
            .collect::<Vec<_>>(),
        ["a.yaml:1", "chart:1"]
    );
    let found = explain(&values, "peers", &secrets).unwrap();
    assert_eq!(
        found.value,
        Some(json!({"count": 3, "db": {"user": "x", "password": SECRET}}))
    );
    assert_eq!(
        explain(&values, "peers.db.password", &secrets)
            .unwrap()
            .value,
        Some(SECRET.into())
    );
    let found = explain(&values, "gone", &secrets).unwrap();
    assert_eq!(
        (found.value, found.origin.unwrap().to_string()),
        (None, "--set gone".into())
    );
    let found = explain(&values, "back", &secrets).unwrap();
    assert_eq!(
        (found.value, found.origin.unwrap().to_string()),
        (Some(json!(1)), "chart:3".into())
    );
    assert_eq!(
        found
            .shadowed
            .iter()
            .map(Origin::to_string)
            .collect::<Vec<_>>(),
        ["a.yaml:2, null"]
    );
    assert!(
        explain(&values, "", &secrets)
            .unwrap()
            .value
            .unwrap()
            .is_object()
    );
    for (path, words) in [
        ("peers.cuont", "did you mean \"peers.count\"?"),
        ("zzzzzz", "the keys of the values are peers, list, back"),
        ("list[4]", "\"list\" has one item, [0]"),
        ("list.x", "\"list\" is a list"),
        ("peers[0]", "\"peers\" is a map"),
        ("peers.count.x", "\"peers.count\" is a single value"),
        ("peers..x", "empty key"),
    ] {
        let report = explain(&values, path, &secrets).unwrap_err().to_string();
        assert!(report.contains(words), "{report}");
    }
}

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

#[test]
fn json_is_as_deep_as_a_file_may_be_at_most() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let read = |text: String| {
        from_sources(vec![Source::SetJson(text)])
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(format!("a={}", nested(99))), Ok(()));
    assert_eq!(read(format!("{{\"a\":{}}}", nested(99))), Ok(()));
    for deep in [
        format!("a={}", nested(100)),
        format!("a.b={}", nested(99)),
        format!("{{\"a\":{}}}", nested(100)),
    ] {
        let report = read(deep).unwrap_err();
        assert!(report.contains("nested deeper than 100 levels"), "{report}");
    }
}

/// Trees in which the key determines whether its value is a map (`a` to `c`) or not (`x` to `z`),
/// as in values of one schema. The laws do not hold if maps and other values mix: a string in the
/// middle source deletes the map below it.
fn trees() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        Just(json!(["l"])),
        Just(json!("t"))
    ];
    let leaves = proptest::collection::btree_map("[x-z]", leaf, 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect()));
    leaves.prop_recursive(3, 12, 3, |inner| {
        (
            proptest::collection::btree_map("[a-c]", inner.clone(), 0..3),
            inner,
        )
            .prop_map(|(maps, leaves)| {
                let mut tree: Map<String, Value> = maps.into_iter().collect();
                tree.extend(
                    leaves
                        .as_object()
                        .cloned()
                        .unwrap_or_default()
                        .into_iter()
                        .filter(|(key, _)| key.as_str() >= "x"),
                );
                Value::Object(tree)
            })
    })
}

/// Trees that `--set` can write: keys and strings of any characters, integers, booleans, non-empty
/// lists, and maps.
fn settable() -> impl Strategy<Value = Value> {
    let text = || {
        prop_oneof![
            "[a-c.,=\\[\\]{}\\\\ \"':0-9-]{1,8}",
            "\\PC{1,6}",
            Just("null".to_owned()),
            Just("\u{feff}\u{202e}e\u{301}".to_owned())
        ]
    };
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    let tree = leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 1..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-z]{1,3}", tree, 1..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Returns one argument for each leaf of a tree, as docs/values.md describes.
fn as_arguments(value: &Value, path: &str, into: &mut Vec<Source>) {
    let escaped = |text: &str, special: &str| -> String {
        text.chars()
            .flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c]))
            .collect()
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            as_arguments(
                value,
                &format!("{path}{dot}{}", escaped(key, "\\.,=[{")),
                into,
            );
        }),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, item)| as_arguments(item, &format!("{path}[{at}]"), into));
        }
        Value::String(text) => into.push(Source::SetString(format!(
            "{path}={}",
            escaped(text, "\\,{")
        ))),
        other => into.push(Source::Set(format!("{path}={other}"))),
    }
}

/// Numbers, characters and keys that readers treat differently, from each kind of source. Each is
/// read unchanged, or refused without being shown.
#[test]
fn hostile_values_are_read_as_they_are_or_refused() {
    let in_file = |text: &str| from_sources(vec![file("a.yaml", text)]).map(|values| values.tree);
    let in_json =
        |text: &str| from_sources(vec![Source::SetJson(text.into())]).map(|values| values.tree);
    let huge = format!("1{}", "0".repeat(30));
    for text in [
        "a: .inf\n",
        &format!("a: {huge}\n"),
        "a: \"\\ud800\"\n",
        "a: \"x\u{0}\"\n",
    ] {
        let error = in_file(text).expect_err(text);
        assert_eq!(
            (error.kind(), error.places()[0].line),
            (Kind::User, Some(1)),
            "{text}\n{error}"
        );
    }
    for text in [
        "a=1e999",
        "a=\"\\ud800\"",
        "{\"a\": 1e999}",
        "{\"a\": \"\\ud800x\"}",
    ] {
        let error = in_json(text).expect_err(text);
        assert!(
            error.kind() == Kind::User && error.to_string().contains("--set-json"),
            "{text}\n{error}"
        );
    }
    // No YAML reader takes this for a number, so it is a string in a file.
    assert_eq!(in_file("a: 1e999\n").unwrap(), json!({"a": "1e999"}));
    assert_eq!(
        user([Source::Set(format!("a=1e999,b={huge},c=\u{feff}\u{202e}x"))]).tree,
        json!({"a": "1e999", "b": huge, "c": "\u{feff}\u{202e}x"})
    );
    // Keys that look alike are different keys, as in Kubernetes.
    let alike = json!({"\u{e9}": 1, "e\u{301}": 2, "a\u{202e}b": 3});
    assert_eq!(
        in_file("\u{feff}\u{e9}: 1\ne\u{301}: 2\na\u{202e}b: 3\n").unwrap(),
        alike
    );
    assert_eq!(in_json(&alike.to_string()).unwrap(), alike);
    assert_eq!(
        in_json("{\"a\": \"\\u0000\\ud83d\\ude00\"}").unwrap(),
        json!({"a": "\0😀"})
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_associative_and_idempotent(a in trees(), b in trees(), c in trees()) {
        let values = |tree: &Value, name: &str| with_origin(tree.clone(), Origin::Program(name.into()));
        let (a, b, c) = (values(&a, "a"), values(&b, "b"), values(&c, "c"));
        let left = merge(merge(a.clone(), b.clone()), c.clone());
        let right = merge(a.clone(), merge(b, c));
        prop_assert_eq!(&left.tree, &right.tree);
        prop_assert_eq!(left.origins, right.origins);
        prop_assert_eq!(merge(a.clone(), a.clone()).tree, a.tree);
    }

    #[test]
    fn nothing_merged_in_changes_nothing_and_the_later_wins(a in trees(), b in trees()) {
        let values = |tree: &Value| with_origin(tree.clone(), Origin::Program("x".into()));
        let empty = values(&json!({}));
        prop_assert_eq!(&merge(values(&a), empty.clone()).tree, &a);
        prop_assert_eq!(&merge(empty, values(&a)).tree, &a);
        let merged = merge(values(&a), values(&b));
        for pointer in values(&b).origins.keys() {
            let said = b.pointer(pointer).unwrap();
            // Lists are replaced like numbers and strings.
            if !said.is_object() {
                prop_assert_eq!(merged.tree.pointer(pointer), Some(said));
            }
        }
    }

    #[test]
    fn what_is_written_as_arguments_is_read_back(tree in settable()) {
        let mut arguments = Vec::new();
        as_arguments(&tree, "", &mut arguments);
        let one_by_one = user(arguments.iter().cloned());
        prop_assert_eq!(&one_by_one.tree, &tree, "{:?}", arguments);
        let json = user([Source::SetJson(tree.to_string())]);
        prop_assert_eq!(&json.tree, &tree);
    }

    #[test]
    fn coalescing_keeps_what_the_user_says_and_null_says_nothing(chart in trees(), own in trees()) {
        let origin = Origin::Program("x".into());
        let (chart, own) = (with_origin(chart, origin.clone()), with_origin(own, origin));
        let (values, _) = coalesce(chart.clone(), &own);
        for pointer in own.origins.keys() {
            let said = own.tree.pointer(pointer).unwrap();
            if !said.is_object() {
                let expected = if said.is_null() { chart.tree.pointer(pointer) } else { Some(said) };
                prop_assert_eq!(values.tree.pointer(pointer), expected);
            }
        }
        prop_assert_eq!(&coalesce(chart.clone(), &without_nulls(own.clone())).0.tree, &values.tree);
        // Coalescing the result again changes nothing.
        prop_assert_eq!(&coalesce(chart, &merge(own.clone(), own)).0.tree, &values.tree);
    }

    #[test]
    fn any_argument_is_read_or_refused_and_every_node_has_an_origin(argument in "[ab.=,\\[\\]{}0-9\\\\ ]{0,20}") {
        for source in [Source::Set(argument.clone()), Source::SetJson(argument.clone()), Source::SetLiteral(argument)] {
            if let Ok(values) = from_sources(vec![source]) {
                for pointer in values.origins.keys() {
                    prop_assert!(values.tree.pointer(pointer).is_some(), "{:?}", values);
                }
            }
        }
    }
}
