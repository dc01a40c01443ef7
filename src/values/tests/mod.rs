mod properties;
mod schema;

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
