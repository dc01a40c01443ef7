//! Merging: a chart's defaults, and two files of the user's.

use super::{MARKER, hides_the_marker, parts};
use kubectl_fabric::chart::repository;
use kubectl_fabric::values::{self, Origin, Source, Values, coalesce, merge, with_origin};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

pub fn check(data: &[u8]) {
    let Some([chart, first, second]) = parts(data) else {
        return;
    };
    let file = |text: &str| {
        values::from_sources(vec![Source::File {
            name: "org1.yaml".into(),
            text: text.to_owned(),
        }])
    };
    let (Ok(chart), Ok(first), Ok(second)) = (
        values::defaults(chart, "values.yaml"),
        file(first),
        file(second),
    ) else {
        return;
    };
    merging_keeps_its_laws(&chart, &first, &second);
    coalescing_keeps_its_laws(&chart, &merge(first, second.clone()));
    the_schema_hides_values(second.tree);
}

fn merging_keeps_its_laws(a: &Values, b: &Values, c: &Values) {
    let merged = |a: &Values, b: &Values| merge(a.clone(), b.clone());
    let nothing = Values {
        tree: Value::Object(Map::new()),
        ..Values::default()
    };
    assert_eq!(merged(a, a).tree, a.tree, "merging is idempotent");
    assert_eq!(
        merged(a, &nothing).tree,
        a.tree,
        "nothing on top changes nothing"
    );
    assert_eq!(
        merged(&nothing, a).tree,
        a.tree,
        "nothing below changes nothing"
    );
    let both = merged(a, b);
    assert_eq!(
        merged(&both, b).tree,
        both.tree,
        "what was merged last is merged again without a change"
    );
    for pointer in both.origins.keys() {
        assert!(
            both.tree.pointer(pointer).is_some(),
            "{pointer:?} has an origin and is not there"
        );
    }
    // A text in the middle would wipe out the map under it, so that the order of merging is seen.
    if ![(a, b), (b, c), (a, c)]
        .iter()
        .any(|(under, over)| clash(&under.tree, &over.tree))
    {
        let (left, right) = (merged(&both, c), merged(a, &merged(b, c)));
        assert_eq!(left.tree, right.tree, "merging is associative");
        assert_eq!(
            left.origins, right.origins,
            "origins are merged like their nodes"
        );
    }
}

/// True if a map meets something else.
fn clash(under: &Value, over: &Value) -> bool {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => under
            .iter()
            .any(|(key, value)| over.get(key).is_some_and(|other| clash(value, other))),
        (under, over) => under.is_object() || over.is_object(),
    }
}

fn coalescing_keeps_its_laws(chart: &Values, user: &Values) {
    let (values, _) = coalesce(chart.clone(), user);
    assert_eq!(
        coalesce(chart.clone(), &values::without_nulls(user.clone()))
            .0
            .tree,
        values.tree,
        "null says nothing"
    );
    assert_eq!(
        coalesce(chart.clone(), &merge(user.clone(), user.clone()))
            .0
            .tree,
        values.tree,
        "saying it twice changes nothing"
    );
    let nothing = Values {
        tree: Value::Object(Map::new()),
        ..Values::default()
    };
    assert_eq!(
        coalesce(values.clone(), &nothing).0.tree,
        values.tree,
        "its outcome stays as it is"
    );
    said_is_there(&user.tree, &values.tree, &chart.tree);
    every_node_has_an_origin(&values, &values.tree, "");
}

/// What the user says is what templates see; where that is null, they see the default.
fn said_is_there(said: &Value, seen: &Value, default: &Value) {
    match said {
        Value::Object(said) => {
            for (key, said) in said {
                let (seen, default) = (seen.get(key), default.get(key));
                match said {
                    Value::Null => assert_eq!(seen, default, "null takes {key:?} back"),
                    said => said_is_there(
                        said,
                        seen.unwrap_or_else(|| panic!("{key:?} is gone")),
                        default.unwrap_or(&Value::Null),
                    ),
                }
            }
        }
        said => assert_eq!(said, seen),
    }
}

fn every_node_has_an_origin(values: &Values, node: &Value, pointer: &str) {
    // The root has none where nothing is said at all.
    assert!(
        pointer.is_empty() || values.origin(pointer).is_some(),
        "{pointer:?} has no origin"
    );
    for (key, child) in node.as_object().into_iter().flatten() {
        every_node_has_an_origin(values, child, &values::path::key_below(pointer, key));
    }
}

/// Every text of the tree is the marker: a violation of a schema names what is wrong and never
/// shows it.
fn the_schema_hides_values(mut tree: Value) {
    if tree.to_string().contains(MARKER) {
        return;
    }
    mark(&mut tree);
    let input = tree.to_string();
    let user = with_origin(tree, Origin::Program("fuzz".into()));
    let (values, warnings) = coalesce(
        with_origin(json!({}), Origin::Program("chart".into())),
        &user,
    );
    warnings
        .iter()
        .for_each(|warning| hides_the_marker(warning, &input));
    if let Err(error) = values::validate(schema(), &values, &[], "org1", "peer-org") {
        hides_the_marker(error, &input);
    }
    for pointer in values::secret_paths(schema(), &values.tree) {
        assert!(
            values.tree.pointer(&pointer).is_some(),
            "{pointer:?} is secret and not there"
        );
    }
}

fn mark(value: &mut Value) {
    match value {
        Value::String(text) => MARKER.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(fields) => fields.values_mut().for_each(mark),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        repository::find("peer-org", None)
            .expect("it is embedded")
            .schema
            .expect("it has a schema")
    })
}
