//! Charts rendered to text: each folder `tests/render/<case>/` is a small chart, with what it
//! renders to or the error it ends in.
//!
//! A case holds the chart's own files, and beside them `input.json` (parts of the input that differ
//! from the defaults below) and one of `expected.yaml` (objects, hooks and notes) and
//! `expected.txt` (the error). `BLESS=1 cargo test --test render` writes these anew; read the
//! difference before you keep it.

use kubectl_fabric::chart::{Chart, Files, Origin};
use kubectl_fabric::error::Error;
use kubectl_fabric::manifest::to_yaml;
use kubectl_fabric::render::{Capabilities, Hashing, Input, Output, Release, render};
use kubectl_fabric::yaml;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What the runner reads itself; everything else in a case's folder is the chart.
const BESIDE_THE_CHART: [&str; 3] = ["input.json", "expected.yaml", "expected.txt"];

#[test]
fn every_case_renders_as_expected() {
    let mut wrong = Vec::new();
    for case in folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render")) {
        let (file, actual) = match outcome(&case) {
            Ok(output) => ("expected.yaml", show(&output)),
            Err(error) => ("expected.txt", format!("{error}\n")),
        };
        if std::env::var_os("BLESS").is_some() {
            for old in ["expected.yaml", "expected.txt"] {
                let _ = fs::remove_file(case.join(old));
            }
            fs::write(case.join(file), &actual).unwrap();
        }
        let expected =
            fs::read_to_string(case.join(file)).unwrap_or_else(|_| format!("(no {file})\n"));
        if actual != expected {
            let diff = similar::TextDiff::from_lines(&expected, &actual);
            wrong.push(format!(
                "{}:\n{}",
                case.display(),
                diff.unified_diff().header("expected", "actual")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_case_renders_to_the_same_bytes_twice() {
    for case in folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render")) {
        // Errors are compared once already, and one case runs long on purpose.
        if !case.join("expected.yaml").exists() {
            continue;
        }
        let text = |outcome: Result<Output, Error>| {
            outcome
                .map(|output| show(&output))
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            text(outcome(&case)),
            text(outcome(&case)),
            "{}",
            case.display()
        );
    }
}

fn outcome(case: &Path) -> Result<Output, Error> {
    let mut files = Files::new();
    read(case, "", &mut files);
    for name in BESIDE_THE_CHART {
        files.remove(name);
    }
    files
        .entry("Chart.yaml".to_owned())
        .or_insert_with(|| b"apiVersion: v2\nname: demo\nversion: 0.1.0\n".to_vec());
    let input: Value = fs::read_to_string(case.join("input.json"))
        .map_or(json!({}), |text| serde_json::from_str(&text).unwrap());
    let chart = Chart::from_files(files, Origin::Path("demo".to_owned()), "demo")?;
    let mut values = yaml::parse(&chart.values, "values.yaml")?;
    if values.is_null() {
        values = json!({});
    }
    for (key, value) in input["values"].as_object().into_iter().flatten() {
        values[key] = value.clone();
    }
    let text = |field: &str, default: &str| input[field].as_str().unwrap_or(default).to_owned();
    render(&Input {
        chart: &chart,
        values: &values,
        release: Release {
            name: text("release", "org1"),
            namespace: text("namespace", "org1"),
            revision: 1,
            is_install: true,
            is_upgrade: false,
        },
        capabilities: Capabilities {
            kube_version: text("kube_version", "v1.33.0"),
            api_versions: vec![
                "v1".to_owned(),
                "apps/v1".to_owned(),
                "networking.k8s.io/v1/Ingress".to_owned(),
            ],
        },
        fabric: input["fabric"].clone(),
        lookup: None,
        hashing: Hashing::default(),
    })
}

/// The files of the guide's chart: fenced blocks with a path after their language.
fn guide() -> Files {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/charts.md")).unwrap();
    let mut files = Files::new();
    for block in text.split("\n```").skip(1).step_by(2) {
        let (head, body) = block.split_once('\n').unwrap();
        if let Some((_, path)) = head.split_once(' ') {
            files.insert(path.to_owned(), format!("{body}\n").into_bytes());
        }
    }
    files
}

#[test]
fn the_chart_of_the_guide_renders_to_what_the_guide_says() {
    let mut files = guide();
    let expected = String::from_utf8(files.remove("output").unwrap()).unwrap();
    let chart = Chart::from_files(files, Origin::Path("greeter".to_owned()), "greeter").unwrap();
    let values = yaml::parse(&chart.values, "values.yaml").unwrap();
    let output = render_with(&chart, &values).unwrap();
    assert_eq!(to_yaml("greeter", &output.objects[..1]), expected);
    assert_eq!(output.objects.len(), 2);
    assert_eq!(output.notes, "greeter greets 2 guests; TLS: true\n");
    assert_eq!((output.hooks.len(), output.hooks[0].weight), (1, 5));
}

fn render_with(chart: &Chart, values: &Value) -> Result<Output, Error> {
    let release = Release {
        name: "org1".to_owned(),
        namespace: "org1".to_owned(),
        revision: 1,
        is_install: true,
        is_upgrade: false,
    };
    let capabilities = Capabilities {
        kube_version: "v1.33.0".to_owned(),
        api_versions: Vec::new(),
    };
    render(&Input {
        chart,
        values,
        release,
        capabilities,
        fabric: json!({}),
        lookup: None,
        hashing: Hashing::default(),
    })
}

fn show(output: &Output) -> String {
    let mut text = to_yaml("demo", &output.objects);
    for hook in &output.hooks {
        text += &format!(
            "---\n# Hook: {:?}, weight {}, delete {:?}\n",
            hook.events, hook.weight, hook.delete_policies
        );
        text += to_yaml("demo", [&hook.object]).trim_start_matches("---\n");
    }
    if !output.notes.is_empty() {
        text += &format!("---\n# Notes:\n{}", output.notes);
    }
    text
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn read(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => read(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(entry.path()).unwrap())),
        }
    }
}

/// Strings that mean something to YAML, to templates or to shells, and numbers at the edges.
fn hostile() -> Vec<Value> {
    let texts = [
        "on",
        "off",
        "yes",
        "no",
        "y",
        "n",
        "null",
        "~",
        "true",
        "False",
        "0777",
        "0o17",
        "0x1F",
        "1_000",
        "1e3",
        ".inf",
        ".nan",
        "-0",
        "1.10",
        "2024-01-01",
        "12:30:45",
        "=",
        "<<",
        "",
        " ",
        " leading",
        "trailing ",
        "\n",
        "a\nb",
        "a\n---\nb: c",
        "---",
        "...",
        "%YAML 1.2",
        "# x",
        "a # b",
        "a: b",
        "- a",
        "? a",
        "[a",
        "{a",
        "&a",
        "*a",
        "!tag",
        "|",
        ">",
        "@a",
        "`a",
        "\"",
        "'",
        "\\",
        "\\n",
        "{{ x }}",
        "{% fail %}",
        "{# x #}",
        "</script>&amp;'",
        "\t",
        "\r\n",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffe}",
        "ü",
        "😀",
        "e\u{301}",
    ];
    let mut all: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    all.extend([
        json!(9007199254740993u64),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0),
        json!(1.5),
        json!(1e300),
        json!(-0.25),
    ]);
    all.extend([
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!({}),
        json!([[], {"a": [null]}]),
    ]);
    all
}

fn rendered(template: &str, values: &Value) -> Value {
    let mut files = Files::from([(
        "Chart.yaml".to_owned(),
        b"apiVersion: v2\nname: demo\nversion: 0.1.0\n".to_vec(),
    )]);
    files.insert("templates/a.yaml".to_owned(), template.as_bytes().to_vec());
    let chart = Chart::from_files(files, Origin::Path("demo".to_owned()), "demo").unwrap();
    render_with(&chart, values)
        .unwrap_or_else(|error| panic!("{error}\n{values}"))
        .objects
        .remove(0)
        .body
}

/// Every place in which a template puts a value: alone, in a list, as a key, in a longer line, in a
/// flow map, through a macro.
const PLACES: &str = r#"{% macro pass(value) %}{{ value }}{% endmacro %}
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
data:
  alone: {{ values.value }}
  list:
  - {{ values.value }}
  -   {{ values.value }}   # a remark
  flow: {a: {{ values.value }}, b: [{{ values.value }}]}
  macro: {{ pass(values.value) }}
  map: {{ {"key": values.value, "list": [values.value]} }}
  yaml: {{ {"key": values.value} | toyaml | fromyaml }}
  text: {{ {"key": values.value} | toyaml }}
  json: {{ {"key": values.value} | tojson | fromjson }}
"#;

fn assert_comes_through(value: &Value) {
    let data = rendered(PLACES, &json!({"value": value}))["data"].take();
    let expected = json!({
        "alone": value, "list": [value, value], "flow": {"a": value, "b": [value]}, "macro": value,
        "map": {"key": value, "list": [value]}, "yaml": {"key": value}, "json": {"key": value},
    });
    let mut actual = data;
    let text = actual
        .as_object_mut()
        .unwrap()
        .shift_remove("text")
        .unwrap();
    assert_eq!(actual, expected);
    assert_eq!(
        yaml::parse(text.as_str().unwrap(), "text").unwrap(),
        json!({"key": value})
    );
}

#[test]
fn hostile_values_come_through_a_template_as_they_are() {
    for value in hostile() {
        assert_comes_through(&value);
    }
}

#[test]
fn hostile_strings_come_through_as_keys_too() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  {{ values.key }}: 1\n  map: {{ {values.key: 2} }}\n";
    for key in hostile()
        .iter()
        .filter_map(Value::as_str)
        .filter(|key| *key != "<<" && *key != "map")
    {
        let data = rendered(template, &json!({"key": key}))["data"].take();
        assert_eq!(data, json!({key: 1, "map": {key: 2}}), "{key:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_through_a_template_as_it_is(text in "\\PC*|[\\x00-\\x7f]*|.{0,40}") {
        assert_comes_through(&json!(text));
    }

    #[test]
    fn any_number_comes_through_a_template_as_it_is(integer: i64, float in -1e15..1e15f64) {
        assert_comes_through(&json!(integer));
        if float.fract() != 0.0 {
            assert_comes_through(&json!(float));
        }
    }
}
