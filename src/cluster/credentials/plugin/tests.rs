use super::*;

const ANSWER: &str = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "secret-token"}}"#;

fn plugin(entry: Value) -> Plugin {
    let mut exec = json!({"apiVersion": VERSIONS[0], "interactiveMode": "Never"});
    exec.as_object_mut()
        .unwrap()
        .extend(entry.as_object().unwrap().clone());
    let exec = serde_json::from_value(exec).unwrap();
    Plugin {
        exec,
        user_name: "eks".to_owned(),
        cluster_info: None,
        stdin_in_use: true,
    }
}

fn script(text: &str) -> Plugin {
    plugin(json!({"command": "sh", "args": ["-c", text]}))
}

async fn refusal(plugin: Plugin) -> String {
    plugin.run().await.err().unwrap().to_string()
}

#[tokio::test]
async fn a_plugin_is_reported_what_it_needs_and_its_token_is_taken() {
    let text = format!(
        r#"[ "$WHO" = me ] && echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' && echo '{ANSWER}'"#
    );
    let plugin = plugin(
        json!({"command": "sh", "args": ["-c", text], "env": [{"name": "WHO", "value": "me"}]}),
    );
    let credential = plugin.run().await.unwrap();
    assert_eq!(credential.token.as_deref(), Some("secret-token"));
    assert_eq!(credential.expires, None);
}

#[tokio::test]
async fn an_answer_in_yaml_is_taken() {
    let text = format!(
        "# written by hand\napiVersion: {}\nkind: ExecCredential\nstatus:\n  expirationTimestamp: 2030-01-02T03:04:05Z\n  \
         clientCertificateData: |\n    one\n    two\n  clientKeyData: key\n  token: secret-token\n",
        VERSIONS[0]
    );
    let credential = script(&format!("printf '%s' '{text}'"))
        .run()
        .await
        .unwrap();
    assert_eq!(credential.token.as_deref(), Some("secret-token"));
    assert_eq!(
        credential.certificate_and_key,
        Some(("one\ntwo\n".to_owned(), "key".to_owned()))
    );
    assert_eq!(
        credential.expires,
        Some("2030-01-02T03:04:05Z".parse().unwrap())
    );
}

#[tokio::test]
async fn a_plugin_that_asks_for_it_is_reported_of_the_cluster() {
    let cluster = Cluster {
        server: Some("https://api".to_owned()),
        certificate_authority_data: Some("Q0E=".to_owned()),
        extensions: Some(vec![kube::config::NamedExtension {
            name: CLUSTER_EXTENSION.to_owned(),
            extension: json!({"a": 1}),
        }]),
        ..Cluster::default()
    };
    let expected =
        json!({"server": "https://api", "certificate-authority-data": "Q0E=", "config": {"a": 1}});
    assert_eq!(describe(&cluster), expected);
    let text = format!(
        r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"server":"https://api"' && echo '{ANSWER}'"#
    );
    Plugin {
        cluster_info: Some(expected),
        ..script(&text)
    }
    .run()
    .await
    .unwrap();
}

#[tokio::test]
async fn a_missing_plugin_shows_how_to_install_it() {
    let refusal = refusal(plugin(
        json!({"command": "no-such-plugin", "installHint": "install it with brew\n"}),
    ))
    .await;
    assert_eq!(
        refusal,
        "the credential plugin \"no-such-plugin\" returned no credentials\n  --> kubeconfig   user \"eks\"\nwhy: it is not installed, or \
         its folder is not in PATH\nhint: install it with brew"
    );
}

#[tokio::test]
async fn a_failing_plugin_is_quoted_from_stderr_alone() {
    let refusal =
        refusal(script("echo one >&2; echo two >&2; echo; echo three >&2; echo four >&2; echo secret-token; exit 7")).await;
    assert!(
        refusal.contains("it ended with exit code 7\nwhy: two\nwhy: three\nwhy: four\n"),
        "{refusal}"
    );
    assert!(!refusal.contains("secret-token"), "{refusal}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_without_being_shown() {
    let cases = [
        ("", "it printed nothing"),
        ("secret-token", "not an ExecCredential"),
        (
            "kind: ExecCredential\nsecret-token: {",
            "neither JSON nor YAML (line ",
        ),
        ("kind: [secret-token]]", "neither JSON nor YAML"),
        (
            "kind: ExecCredential\n---\nsecret-token",
            "neither JSON nor YAML",
        ),
        (r#"{"token": "secret-token"}"#, "not an ExecCredential"),
        (
            &ANSWER.replace("/v1", "/v1beta1"),
            "the kubeconfig requires",
        ),
        (&ANSWER.replace("status", "state"), "no status"),
        (&ANSWER.replace("token\"", "tok\""), "neither a token nor"),
        (
            &ANSWER.replace("token\"", "clientKeyData\""),
            "without its certificate",
        ),
        (
            &ANSWER.replace("secret-token", "secret-\\ntoken"),
            "its token contains a line break",
        ),
        (
            &ANSWER.replace("secret-token", "secret-token\\u0007x"),
            "its token contains a control character",
        ),
        (
            &ANSWER.replace("secret-token", " \\n"),
            "neither a token nor",
        ),
        (
            &ANSWER.replace("\"token\"", "\"expirationTimestamp\": \"soon\", \"token\""),
            "expirationTimestamp",
        ),
    ];
    for (answer, why) in cases {
        let refusal = refusal(script(&format!("printf '%s' '{answer}'"))).await;
        assert!(
            refusal.contains(why) && !refusal.contains("secret-token"),
            "{refusal}"
        );
    }
    let old =
        plugin(json!({"command": "sh", "apiVersion": "client.authentication.k8s.io/v1alpha1"}));
    assert!(refusal(old).await.contains("v1alpha1"));
}

#[cfg(unix)]
#[test]
fn a_bare_name_is_looked_for_in_path_and_never_in_the_current_folder() {
    let own = Some(OsString::from("/no-such-folder:/bin:/usr/bin"));
    assert!(find("sh", own.clone()).unwrap().is_absolute());
    assert_eq!(
        find("sh -c true", own).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert_eq!(find("./sh", None).unwrap(), PathBuf::from("./sh"));
    // A program in the folder in which tests run, the top of the repository: any executable
    // file there.
    let program = "tests/cluster/cluster".rsplit_once('/').unwrap();
    for path in [format!("{}:/bin", program.0), format!("./{}", program.0)] {
        let error = find(program.1, Some(path.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
    }
    assert_eq!(
        find("cluster", Some("".into())).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert_eq!(
        find("sh", None).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_plugin_that_must_talk_needs_a_free_terminal() {
    let refusal = refusal(plugin(
        json!({"command": "sh", "interactiveMode": "Always"}),
    ))
    .await;
    assert!(
        refusal.contains("standard input is already used for values"),
        "{refusal}"
    );
}
