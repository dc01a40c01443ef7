//! What holds for any values.

use super::*;

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
