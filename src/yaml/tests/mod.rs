mod readers;

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn problem(text: &str) -> String {
    parse_stream(text, "a.yaml").expect_err(text).to_string()
}

#[test]
fn plain_words_of_yaml_1_1_are_read_as_kubectl_reads_them_and_quoted_ones_stay_texts() {
    let text = "a: on\nb: 'on'\nc: 0777\nd: \"0777\"\ne: [no, 'no', 1_000]\nf: |\n  on\ng: &x yes\nh: *x\ni: 1e3\nj: 1.0\nk: 08\n";
    let value = parse(text, "a.yaml").unwrap();
    assert_eq!(
        value,
        json!({"a": true, "b": "on", "c": 511, "d": "0777", "e": [false, "no", 1000], "f": "on\n", "g": true, "h": true,
               "i": 1000, "j": 1, "k": 8})
    );
}

#[test]
fn integers_are_exact() {
    let value = parse(
        "[9007199254740993, 18446744073709551615, -9223372036854775808, 1000000]",
        "a.yaml",
    )
    .unwrap();
    assert_eq!(
        value,
        json!([9007199254740993u64, u64::MAX, i64::MIN, 1000000])
    );
    assert_eq!(
        emit(&value),
        "- 9007199254740993\n- 18446744073709551615\n- -9223372036854775808\n- 1000000\n"
    );
    for digits in [20, 39, 40, 75, 309] {
        let error = parse(&"6".repeat(digits), "a.yaml")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("a number with more than 64 bits"),
            "{digits}: {error}"
        );
    }
    assert_eq!(parse("6e74", "a.yaml").unwrap(), json!(6e74));
}

#[test]
fn merge_keys_are_applied_and_the_map_s_own_keys_win() {
    let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nx:\n  <<: *base\n  a: 9\nw:\n  <<: [*base, *more]\nz:\n  \"<<\": 1\n";
    let value = parse(text, "a.yaml").unwrap();
    assert_eq!(value["x"], json!({"a": 9, "b": 2}));
    assert_eq!(value["w"], json!({"a": 1, "b": 2, "c": 4}));
    assert_eq!(value["z"], json!({"<<": 1}));
}

#[test]
fn documents_of_a_stream_know_where_they_stand_and_empty_ones_are_left_out() {
    let text = "# head\n\n---\n# nothing\n---\n\na: 1\n--- # two\nb: 2\n...\n%YAML 1.2\n---\nnull\n--- {c: 3}\n---\n--- |\n  text\n";
    let found: Vec<_> = parse_stream(text, "a.yaml")
        .unwrap()
        .into_iter()
        .map(|d| (&text[d.range], d.value))
        .collect();
    let wanted = [
        ("a: 1\n", json!({"a": 1})),
        ("b: 2\n", json!({"b": 2})),
        ("--- {c: 3}\n", json!({"c": 3})),
        ("--- |\n  text\n", json!("text\n")),
    ];
    assert_eq!(found, wanted);
    // A rewrite that one document needs is kept when all documents are read in one go.
    let found: Vec<_> = parse_stream("a: 1\n---\nb: on\n---\nc: \"on\"\n", "a.yaml").unwrap();
    let found: Vec<_> = found.into_iter().map(|document| document.value).collect();
    assert_eq!(
        found,
        [json!({"a": 1}), json!({"b": true}), json!({"c": "on"})]
    );
    assert_eq!(parse("", "a.yaml").unwrap(), Value::Null);
    assert_eq!(
        parse("...a: 1\n", "a.yaml").unwrap(),
        json!({"...a": 1}),
        "dots end a document where nothing follows them"
    );
    assert_eq!(
        parse("\u{feff}a: 1\r\nb: 2\r\n", "a.yaml").unwrap(),
        json!({"a": 1, "b": 2})
    );
    for marks in 1..4 {
        let text = format!("{}a\n---\nb\n", "\u{feff}".repeat(marks));
        let values = parse_stream(&text, "a.yaml")
            .unwrap()
            .into_iter()
            .map(|document| document.value);
        assert_eq!(
            values.collect::<Vec<_>>(),
            ["a", "b"],
            "{marks} byte order marks"
        );
    }
}

#[test]
fn positions_are_those_of_keys_and_items() {
    let text = "# head\na:\n  b/c: 1\n  list:\n  - x\n  -   w: &v {q: 1}\n      z: *v\nflow: [1, {k: 2}]\n";
    let (_, positions) = parse_with_positions(text, "a.yaml").unwrap();
    let found: Vec<_> = positions
        .iter()
        .map(|(path, at)| (path.as_str(), *at))
        .collect();
    assert_eq!(
        found,
        [
            ("", (2, 1)),
            ("/a", (2, 1)),
            ("/a/b~1c", (3, 3)),
            ("/a/list", (4, 3)),
            ("/a/list/0", (5, 5)),
            ("/a/list/1", (6, 7)),
            ("/a/list/1/w", (6, 7)),
            ("/a/list/1/w/q", (6, 14)),
            ("/a/list/1/z", (7, 7)),
            ("/flow", (8, 1)),
            ("/flow/0", (8, 8)),
            ("/flow/1", (8, 11)),
            ("/flow/1/k", (8, 12)),
        ]
    );
    let (_, positions) = parse_with_positions("---\n---\na: 1\nb: on\n", "a.yaml").unwrap();
    assert_eq!(positions["/b"], (4, 1));
}

#[test]
fn what_has_no_meaning_is_refused_at_its_place() {
    for (text, place, words) in [
        (
            "a: 1\nb:\n  c: 2\n  c: 3\n",
            "a.yaml:4:3",
            "duplicate key \"c\", first on line 3",
        ),
        (
            "---\nx: 1\n---\na: {b: 1, 'b': 2}\n",
            "a.yaml:4:11",
            "duplicate key \"b\", first on line 4",
        ),
        (
            "a: !secret x\n",
            "a.yaml:1:",
            "the tag `!secret` is not supported",
        ),
        ("a: !!binary aGk=\nb: !x y\n", "a.yaml:1:", "tag"),
        ("!x a: 1\n", "a.yaml:1:", "the tag `!x` is not supported"),
        ("a: !!x y\n", "a.yaml:1:", "the tag `!!x` is not supported"),
        (
            "a: 1\n---\na: !<tag:yaml.org,2002:x> y\n",
            "a.yaml:3:",
            "is not supported",
        ),
        ("? [1, 2]\n: x\n", "a.yaml:1:", "a key must be a string"),
        ("{{ a }}: x\n", "a.yaml:1:", "a key must be a string"),
        ("on: push\n", "a.yaml:1:1", "read the key `on` as `true`"),
        (
            "a:\n  0777: x\n",
            "a.yaml:2:3",
            "read the key `0777` as `511`",
        ),
        ("~: x\n", "a.yaml:1:1", "missing or null"),
        (
            "a: 123456789012345678901\n",
            "a.yaml:1:4",
            "more than 64 bits",
        ),
        ("a: .inf\n", "a.yaml:1:4", "infinity"),
        ("a: -.INF\n", "a.yaml:1:4", "infinity"),
        (
            "a:\n\tb: 1\n",
            "a.yaml:2:1",
            "the line is indented with a tab",
        ),
        ("a: @x\n", "a.yaml:1:4", "a value cannot start with \"@\""),
        ("a: b: c\n", "a.yaml:1:5", "the colon makes this a key"),
        ("a: 1\n b: 2\n", "a.yaml:2:", ""),
        ("a: [1, 2\n", "a.yaml:", ""),
        ("a: \"x\n", "a.yaml:", "unclosed quotes"),
        (
            "[1]]\n",
            "a.yaml:1:4",
            "the document ended before this line",
        ),
        ("a: &b:c d\n", "a.yaml:1:4", "the name of an anchor"),
        ("a: 1\n? &a:|2-\n", "a.yaml:2:", "missing or null"),
        ("a: *unknown\n", "a.yaml:1:4", "without a previous anchor"),
        ("<<: 5\n", "a.yaml:", "`<<` needs a map"),
        ("a: 1\nb: \u{0}\n", "a.yaml:2:4", "U+0000"),
        ("x: 1\nå: \u{1b}[0m\n", "a.yaml:2:4", "U+001B"),
        (
            "x: 1\nå: b\u{85}c: 1\n",
            "a.yaml:2:5",
            "treat U+0085 as the end of a line",
        ),
        (
            "\u{feff}x: 1\n\u{feff}y: 2\n",
            "a.yaml:2:1",
            "a byte order mark (U+FEFF)",
        ),
        (
            "x: |\n  å\n---\u{2028}y: 1\n",
            "a.yaml:3:4",
            "treat U+2028 as the end of a line",
        ),
    ] {
        let report = problem(text);
        assert!(
            report.contains(place) && report.contains(words),
            "{text:?}\n{report}"
        );
    }
}

#[test]
fn no_error_shows_a_value() {
    for text in [
        "password: hunter2\npassword: hunter2\n",
        "password: !hunter hunter2\n",
        "password: \"hunter2\n",
        "password: @hunter2\n",
        "password: hunter2: x\n",
        "key: |\n  -----BEGIN hunter2\n hunter2\n",
        "a: [hunter2, @hunter2]\n",
        "- hunter2 @: hunter2: hunter2\n",
        "password: {a: hunter2, a: hunter2}\n",
        "password: 'hunter2' hunter2\n",
        "password: *hunter2\n",
        "password: \u{1}hunter2\n",
        "x: y\npassword hunter2\n",
        "password: !!int hunter2\n",
        "password: !!bool \"hunter2 at line 1\"\n",
    ] {
        let report = problem(text);
        assert!(
            !report.replace("`!hunter`", "").contains("hunter2"),
            "{text:?}\n{report}"
        );
    }
    assert!(problem("a: 1\na: secret\n").contains("|  a: …"));
    assert_eq!(excerpt("  - name: x").as_deref(), Some("  - name: …"));
    assert_eq!(excerpt("https://user:pass@host"), None);
    assert_eq!(excerpt("name:").as_deref(), Some("name:"));
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let huge = "a".repeat(MAX_BYTES + 1);
    assert!(problem(&huge).contains("too large"));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let items = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    assert!(problem(&laughs).contains("aliases expand the text"));
    let flat = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(100_000),
        ["*a"].repeat(10_000).join(", ")
    );
    assert!(problem(&flat).contains("aliases expand the text"));
    for deep in [
        "[".repeat(100_000),
        format!("{}1{}", "[".repeat(101), "]".repeat(101)),
        format!("{}1", "- ".repeat(101)),
    ] {
        let report = problem(&deep);
        assert!(
            report.contains("nested deeper") || report.contains("cannot parse"),
            "{report}"
        );
    }
    assert!(
        parse(
            &format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            "a.yaml"
        )
        .is_ok()
    );
}

#[test]
fn strings_that_some_reader_takes_for_something_else_are_quoted() {
    let words = "on off yes no y n Y N true false null ~ 0777 0o7 0x1F 0b1 1_000 1e3 .5 .inf -.inf .nan 12:30 2024-01-01 = << 1 -1 +1 1.10 \
                 - --- ... ? : ! & * # | > @ ` % { } [ ] , ' \" {} [] - a: a:b: 2024-01-01T00:00:00Z 0xg 1:2:3";
    let list = Value::Array(
        words
            .split(' ')
            .map(Value::from)
            .chain([
                Value::from(""),
                " a".into(),
                "a ".into(),
                "a #b".into(),
                "... a".into(),
                "--- a".into(),
            ])
            .collect(),
    );
    for line in emit(&list).lines() {
        let body = line.strip_prefix("- ").unwrap();
        assert!(body.starts_with('"') || body == "0xg", "{line}");
    }
    let plain = [
        "a",
        "a b",
        "--flag=x",
        "peer0.org1:7051",
        "a#b",
        "100m",
        "5Gi",
        "/etc/x",
        "grpcs://peer0.org1:7051",
        "2.5.9-slim",
        "é",
    ];
    let list = Value::Array(plain.map(Value::from).to_vec());
    assert_eq!(
        emit(&list),
        plain.map(|word| format!("- {word}\n")).concat()
    );
}

#[test]
fn a_manifest_is_written_as_kubectl_writes_it() {
    let value = json!({
        "apiVersion": "v1", "data": {"core.yaml": "peer:\n  id: x\n\nend\n", "no-end": "a\nb", "more": "a\nb\n\n", "lead": "  a\nb\n",
        "on": "yes"}, "empty": {}, "none": [], "list": [{"a": 1, "b": [1, 2]}, [1, [2]], [{}], null, 1.5, 1.0, 1e21, 1e-7]
    });
    let text = "apiVersion: v1\ndata:\n  core.yaml: |\n    peer:\n      id: x\n\n    end\n  no-end: |-\n    a\n    b\n  more: |+\n    a\n    b\n\n  \
                lead: |2\n      a\n    b\n  \"on\": \"yes\"\nempty: {}\nnone: []\nlist:\n- a: 1\n  b:\n  - 1\n  - 2\n- - 1\n  - - 2\n- - {}\n- null\n\
                - 1.5\n- 1.0\n- 1.0e+21\n- 1.0e-7\n";
    assert_eq!(emit(&value), text);
    assert_eq!(emit(&json!({})), "{}\n");
    assert_eq!(emit(&json!("a\nb\n")), "|\n  a\n  b\n");
}
