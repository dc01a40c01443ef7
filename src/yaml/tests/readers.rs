//! The simple reader and the whole one agree.

use super::*;

/// Reads each document of a text with the complete reader.
fn read_whole(text: &str) -> Result<Vec<Value>> {
    let source = Text {
        text,
        subject: "a.yaml",
    };
    source.check()?;
    source
        .pieces()
        .map(|piece| Ok(source.read(&piece, false)?.0))
        .collect()
}

#[test]
fn what_charts_render_to_is_of_the_simple_form() {
    let text = concat!(
        "---\n# a comment\napiVersion: v1   # the oldest\nkind: Service\n\nmetadata:\n  name: \"peer0\"\n",
        "  labels: {\"app.kubernetes.io/name\": \"peer0\",\"a\": 'b'}\n  annotations:\n",
        "spec:\n  clusterIP: None\n  ports:\n  - {name: grpc, port: 7051, targetPort: 7051}\n  - name: \"a \\\"b\\\" \\u00e9\\n\"\n",
        "    port: 0777\n    on: [yes, -1.5, 1_000, {}, [ ], 10Gi, [a b, c]]\n  -\n    - x: yy\n    - - z\n      - -flag=a:b\n  -   deep:\n      - last\n  flag: off\n",
        "data:\n  file: |\n    a: 1\n\n      b # c\n\n  other: |- # why\n    x\n  # done\n  list:\n  - |+\n    y\n\n",
    );
    assert_eq!(simple::read(text), None, "the key `on` needs quotes");
    let text = text.replace("    on:", "    \"on\":");
    let value = simple::read(&text).expect("the simple form");
    assert_eq!(read_whole(&text).unwrap(), std::slice::from_ref(&value));
    assert_eq!(
        value["spec"]["ports"][2],
        json!([{"x": "yy"}, ["z", "-flag=a:b"]])
    );
    assert_eq!(
        value["spec"]["ports"][1]["on"],
        json!([true, -1.5, 1000, {}, [], "10Gi", ["a b", "c"]])
    );
    assert_eq!(
        value["data"],
        json!({"file": "a: 1\n\n  b # c\n", "other": "x", "list": ["y\n\n"]})
    );
}

#[test]
fn what_is_not_surely_of_the_simple_form_is_left_to_the_whole_reader() {
    for text in [
        "a: b\n  c\n",
        "a: b\n\n  c\n",
        "a: \"b\n  c\"\n",
        "a: |2\n  b\n",
        "a: |\n\n",
        "a: |\nb: c\n",
        "a: |\n   \n  b\n",
        "a: |\n  b",
        "a: |\n  \tb\n",
        "a: >-\n  b\n",
        "a: &x b\n",
        "a: *x\n",
        "a: !!str b\n",
        "a: b &c\n",
        "? a\n: b\n",
        "a\n",
        "- a\n b\n",
        "- a: b\n c: d\n",
        "a: {b: c\n  }\n",
        "a: {b}\n",
        "a: {b: }\n",
        "a: [b: c]\n",
        "a: [b, ]\n",
        "a: {b: c,}\n",
        "a: {b: c:d}\n",
        "a: {b:c}\n",
        "{a: b}: c\n",
        "a:\tb\n",
        "a: b\t\n",
        "\ta: b\n",
        "a: b\r\n",
        "a: b: c\n",
        "a: b:\n",
        "a: - b\n",
        "a: -\n",
        "a: 'it''s'\n",
        "a: \"\\x41\"\n",
        "a: \"\\ud83d\\ude00\"\n",
        "a: \"b\"#c\n",
        "a: [b]#c\n",
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "on: 1\n",
        "<<: {}\n",
        "a: .inf\n",
        "a: 18446744073709551616\n",
        "a: <<\n",
        "a: \"\u{a0}\"\n",
        "a: é\n",
        "%YAML 1.2\n---\na: b\n",
        "--- a\n",
        "---a: b\n",
        "...a: b\n",
        "a:\n    b: 1\n  c: 2\n",
        "- a\n- b\nc: d\n",
        "a: b\n- c\n",
        "a: @b\n",
        "a: `b`\n",
        "a: %b\n",
        "a: ]\n",
        "a : b\n",
        "\"a\" : b\n",
        "#a\nb\n",
    ] {
        assert_eq!(simple::read(text), None, "{text:?}");
    }
    let long = format!("a: 1\n{}: 2\n", "k".repeat(1024));
    assert_eq!(simple::read(&long), None);
    for deep in [
        format!("{}a\n", "- ".repeat(101)),
        format!("a: {}{}\n", "[".repeat(100), "]".repeat(100)),
    ] {
        assert_eq!(simple::read(&deep), None);
        assert!(problem(&deep).contains("nested deeper"));
        assert!(
            simple::read(
                &deep
                    .replacen("- ", "", 1)
                    .replacen('[', "", 1)
                    .replacen(']', "", 1)
            )
            .is_some()
        );
    }
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "[ -~]{0,12}",
        "[-+.0-9_eExXo:T]{1,8}",
        "[a-c \t\n#:-]{0,12}",
        "\\PC{0,6}",
        any::<String>(),
        prop::sample::select(vec![
            "on", "no", "y", "null", "~", "<<", "=", "0777", "---", "...", "a\n\n", "\n", " x\ny",
            "\tx\ny", "\u{85}", "\u{2028}"
        ])
        .prop_map(String::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter(
                "JSON holds finite floats; integral ones are read as integers",
                |f| f.is_finite() && f.fract() != 0.0
            )
            .prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Collects all JSON pointers of a tree.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, item)| pointers(item, &format!("{at}/{i}"), found)),
        Value::Object(map) => {
            map.iter().for_each(|(k, item)| {
                pointers(
                    item,
                    &format!("{at}/{}", k.replace('~', "~0").replace('/', "~1")),
                    found,
                )
            });
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_by_both_readers(value in values()) {
        let text = emit(&value);
        let read = parse_stream(&text, "a.yaml");
        let read = read.as_deref().map(|documents| documents.first().map_or(Value::Null, |document| document.value.clone()));
        prop_assert_eq!(read, Ok(value.clone()), "{}", text);
        let other: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(other, value, "{}", text);
    }

    #[test]
    fn both_walks_see_the_same_nodes(value in values()) {
        let text = emit(&value);
        if let Some((value, positions)) = parse_stream_with_positions(&text, "a.yaml").unwrap().into_iter().next() {
            let mut found = Vec::new();
            pointers(&value, "", &mut found);
            found.sort();
            prop_assert_eq!(positions.into_keys().collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn what_the_simple_reader_reads_the_whole_one_reads_as_the_same(
        lines in prop::collection::vec(
            ("(  ){0,3} ?", "(- ){0,2}", "([a-c/.-]{1,3}|on|1|\"[a-c ]{0,2}\"|'[a'\"]{0,2}'|\\{a|\\[a):? ?",
             "([ -~]{0,6}|[a-b0-9.:+_-]{1,5}|\"[a-c\\\\n\"é# ]{0,6}\"|[\\[{]([a-b0-9'\", :#-]{0,3}[,:\\]}]? ?){0,4}[\\]}])?( #x|#)?"),
            0..6,
        ),
        end in "(\n|---|  \n)?",
        block in "(  )?b: [|][-+]?( #)?\n( {0,2}\n)?(( {1,4}[a-b#:-]{0,2} ?)?\n){0,4}",
        at in 0_usize..6,
    ) {
        let mut lines: Vec<String> =
            lines.into_iter().map(|(indent, dash, key, value)| format!("{indent}{dash}{key}{value}\n")).collect();
        if let Some(line) = lines.get_mut(at) {
            *line = block;
        }
        let text = format!("{}{end}", lines.concat());
        let source = Text { text: &text, subject: "a.yaml" };
        if source.check().is_ok()
            && let [piece] = &source.pieces().collect::<Vec<_>>()[..]
            && let Some(value) = simple::read(piece.text)
        {
            prop_assert_eq!(read_whole(&text), Ok(vec![value.clone()]), "{}", text);
            if let Some(located) = simple::read_with_positions(piece.text, piece.first) {
                prop_assert_eq!(&located.0, &value, "{}", text);
                prop_assert_eq!(source.read(piece, true), Ok(located), "{}", text);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[-a-c0-9 \t\n:#&*!|>'\"%@`{}\\[\\],.?~<=]{0,40}") {
        let _ = parse_stream_with_positions(&text, "a.yaml");
        let _ = parse_stream(&text, "a.yaml");
    }

    #[test]
    fn a_plain_scalar_that_the_reader_takes_for_no_text_is_none_to_kubectl_either(text in "[-+.0-9_eExXobnulltrefaysi]{1,8}") {
        if let Ok((read, false)) = meaning::read(&text) && !read.is_array() {
            let meaning = scalar::resolve(&text).canonical().map_or(Value::from(text.clone()), |text| serde_json::from_str(&text).unwrap());
            prop_assert_eq!(read, meaning);
        }
    }
}

#[test]
fn json_means_the_same_to_readers_of_yaml() {
    let all: String = (0..=0xffff)
        .filter_map(char::from_u32)
        .chain(['\u{1f600}'])
        .collect();
    let document = json!({ "text": [all, "é"] });
    let json = document.to_string();
    assert!(parse(&json, "JSON").is_err());
    let escaped = json_for_yaml(&json);
    assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), document);
    assert_eq!(parse(&escaped, "JSON").unwrap(), document);
    assert_eq!(json_for_yaml("[\"plain\", \"é\"]"), "[\"plain\", \"é\"]");
}
