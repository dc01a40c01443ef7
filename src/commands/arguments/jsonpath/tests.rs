use super::*;
use serde_json::json;

/// The document of kubectl's documentation, with what its cases lack.
fn document() -> Value {
    json!({
        "kind": "List",
        "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
             "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
            {"kind": "None", "metadata": {"name": "127.0.0.2"},
             "status": {"capacity": {"cpu": "8"}, "addresses": [
                 {"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}},
        ],
        "users": [
            {"name": "myself", "user": {}, "age": 7},
            {"name": "e2e", "user": {"username": "admin", "password": "secret"}, "age": 40, "off": null, "on": true},
        ],
    })
}

fn print(template: &str) -> String {
    let path = JsonPath::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
    path.print(&document())
        .unwrap_or_else(|error| panic!("{template}: {error}"))
}

#[test]
fn prints_what_kubectl_prints() {
    for (template, expected) in [
        ("kind is {.kind}", "kind is List"),
        ("{['kind']}", "List"),
        ("{$.kind}{\"\\n\"}{@.kind}", "List\nList"),
        ("{.users[*].name}", "myself e2e"),
        ("{.users.*.name}", "myself e2e"),
        ("{.items[0].metadata.name}", "127.0.0.1"),
        ("{.items[-1].metadata.name}", "127.0.0.2"),
        (
            "{.users[0:1].name} {.users[1:].name} {.users[::2].name} {.users[-1:].name} {.users[5:9].name}",
            "myself e2e myself e2e ",
        ),
        ("{.users[0,1].name}", "myself e2e"),
        (
            "{.items[*]['metadata.name', 'status.capacity']}",
            "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}",
        ),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{..user.password}", "secret"),
        ("{.users[?(@.name==\"e2e\")].user.password}", "secret"),
        ("{.users[?(@.name != 'e2e')].age}", "7"),
        (
            "{.users[?(@.age>=40)].name}{.users[?(@.age<8)].name}{.users[?(@.on==true)].name}",
            "e2emyselfe2e",
        ),
        ("{.users[?(@.user.username)].name}", "e2e"),
        (
            "{.items[*].status.addresses[?(@.type==\"another\")].address}",
            "127.0.0.3",
        ),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}",
            "[127.0.0.1, 4] [127.0.0.2, 8] ",
        ),
        (
            "{range .items[*]}{range .status.addresses[*]}{.address} of {$.kind};{end}{end}",
            "127.0.0.1 of List;127.0.0.2 of List;127.0.0.3 of List;",
        ),
        (
            "{.items[0].metadata.labels.kubernetes\\.io/hostname}",
            "127.0.0.1",
        ),
        (
            "{.items[0].metadata.labels['kubernetes\\.io/hostname']}",
            "127.0.0.1",
        ),
        ("{.users[0].age}{'\\t'}{.users[1].on}", "7\ttrue"),
        (
            "{.users[1].off}{.gone}{.gone.below}{.kind.below}{.kind[0]}",
            "",
        ),
        ("{.users[0]}", "{\"name\":\"myself\",\"user\":{},\"age\":7}"),
        ("{range .users[*].name}{@}{\"}{\"}{end}", "myself}{e2e}{"),
        ("no expression at all", "no expression at all"),
    ] {
        assert_eq!(print(template), expected, "{template}");
    }
}

#[test]
fn a_list_is_found_under_items() {
    let path = JsonPath::parse("{range .items[*]}{.name}{\"\\n\"}{end}").unwrap();
    assert_eq!(
        path.print(&json!([{"name": "org1"}, {"name": "org2"}]))
            .unwrap(),
        "org1\norg2\n"
    );
}

#[test]
fn what_is_no_template_is_refused() {
    for wrong in [
        "",
        ".name",
        "{",
        "{.name",
        "{name}",
        "{.a[}",
        "{.a[x]}",
        "{.a[1:2:3:4]}",
        "{.a[::0]}",
        "{.a[?(@.b==c)]}",
        "{.a b}",
        "{.a.}",
        "{range .a}",
        "{end}",
        "{\"a}",
        "{'a' 'b'}",
        "{.a['b]}",
        "{.a[?(@.b=='c]}",
        "{}",
    ] {
        assert!(
            JsonPath::parse(wrong).is_err(),
            "{wrong}: {:?}",
            JsonPath::parse(wrong)
        );
    }
    let deep = format!("{{.a{}{}}}", "[?(@.a".repeat(10_000), ")]".repeat(10_000));
    assert!(JsonPath::parse(&deep).unwrap_err().contains("deeply"));
    let error = JsonPath::parse("{.users[7]}")
        .unwrap()
        .print(&document())
        .unwrap_err();
    assert!(error.to_string().contains("2 items"), "{error}");
}
