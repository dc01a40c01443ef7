use super::*;

#[test]
fn without_a_kubeconfig_it_says_what_was_looked_for() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("config").display().to_string();
    let output = run(&["list", "--kubeconfig", &missing]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&missing), "{}", stderr(&output));
    let output = run(&["list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("kubeconfig"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_failure_is_the_last_event_of_the_stream() {
    let output = run(&[
        "install",
        "org1",
        "./tiny",
        "--events",
        "json",
        "--server",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<serde_json::Value> = stderr(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["exitStatus"].as_u64()),
        (Some("failed"), Some(1))
    );
}

/// A server that gives these answers, one per request, and then says nothing.
pub fn server(answers: &'static [(&'static str, &'static str)]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut answers = answers.iter();
        let mut open = Vec::new();
        for mut connection in listener.incoming().flatten() {
            // One connection carries one request: each answer closes it.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if connection.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            match answers.next() {
                Some((head, body)) => {
                    let answer = format!(
                        "HTTP/1.1 {head}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    connection.write_all(answer.as_bytes()).unwrap();
                }
                None => open.push(connection),
            }
        }
    });
    address
}

fn failure(arguments: &[&str], server: &str) -> String {
    let output = run(&[arguments, &["--server", server]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

const BUSY: &str = r#"{"kind": "Status", "code": 503, "message": "the server is overloaded"}"#;

#[test]
fn a_server_that_does_not_do_its_work_is_distinguished_from_one_that_is_not_there() {
    let nothing_changed = "\nnow: nothing was changed\n";
    // So long a pause is more than anyone waits for.
    for (head, code) in [
        ("503 Service Unavailable\r\nretry-after: 600", "(503)"),
        ("429 Too Many\r\nretry-after: 600", "(429)"),
    ] {
        let answers: &'static [_] = Box::leak(Box::new([(head, BUSY)]));
        let report = failure(&["install", "org1"], &server(answers));
        assert!(
            report.contains(&format!(
                "the API server is unavailable {code}\nwhy: the server is overloaded"
            )),
            "{report}"
        );
        assert!(report.contains(nothing_changed), "{report}");
    }
    let report = failure(&["install", "org1"], &server(&[("200 OK", "<html>")]));
    assert!(
        report.contains("not JSON")
            && report.contains("login page")
            && report.contains(nothing_changed),
        "{report}"
    );
    let report = failure(
        &["upgrade", "org1", "--request-timeout", "100ms"],
        &server(&[]),
    );
    assert!(
        report.contains("no response in time") && report.contains(nothing_changed),
        "{report}"
    );
    let report = failure(&["rollback", "org1"], "http://127.0.0.1:1");
    assert!(
        report.contains("connection refused") && report.contains(nothing_changed),
        "{report}"
    );
    let report = failure(&["uninstall", "org1"], "https://no-such-host.invalid");
    assert!(
        report.contains("cannot resolve the host name") && report.contains(nothing_changed),
        "{report}"
    );
}

#[test]
fn a_wait_for_a_busy_server_is_not_silent() {
    let answers = &[
        ("503 Busy\r\nretry-after: 2", BUSY),
        ("200 OK", r#"{"metadata": {}, "items": []}"#),
    ];
    let output = run(&["list", "--server", &server(answers)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "still trying to list configmaps: the server is overloaded\n"
    );
}

#[test]
fn a_kubeconfig_that_does_not_lead_anywhere_says_what_it_has() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config").display().to_string();
    let plugin = r#"{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never"}}"#;
    let config = format!(
        r#"{{"clusters": [{{"name": "c", "cluster": {{"server": "https://127.0.0.1:1"}}}}], "users": [{{"name": "u", "user": {plugin}}}],
               "contexts": [{{"name": "prod", "context": {{"cluster": "c", "user": "u"}}}}]}}"#
    );
    fs::write(&path, config).unwrap();
    let report = |arguments: &[&str]| {
        let output = run(&[&["install", "org1", "--kubeconfig", &path], arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        let report = stderr(&output);
        assert!(
            report.contains("\nnow: nothing was sent to the cluster\n"),
            "{report}"
        );
        report
    };
    assert!(report(&[]).contains("no current context"));
    assert!(report(&["--context", "prd"]).contains("did you mean \"prod\"?"));
    let plugin = report(&["--context", "prod"]);
    assert!(
        plugin.contains("the credential plugin \"no-such-plugin\" returned no credentials"),
        "{plugin}"
    );
    assert!(plugin.contains("it is not installed"), "{plugin}");
}

#[cfg(unix)]
#[test]
fn a_signal_before_the_lock_ends_an_operation_with_nothing_changed() {
    for verb in ["install", "upgrade", "rollback", "uninstall"] {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", server.local_addr().unwrap());
        let home = tempfile::tempdir().unwrap();
        let mut child = program(home.path())
            .args([verb, "org1", "--server", &address])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut connection, _) = server.accept().unwrap();
        assert!(
            connection.read(&mut [0; 64]).unwrap() > 0,
            "a request arrives"
        );
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{verb}: {text}");
        assert!(
            text.ends_with("now: nothing was changed\n"),
            "{verb}: {text}"
        );
    }
}

/// A server that takes the connection and says nothing.
#[cfg(unix)]
#[test]
fn a_signal_while_reading_ends_with_130() {
    for signal in ["INT", "TERM"] {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", server.local_addr().unwrap());
        let home = tempfile::tempdir().unwrap();
        let mut child = program(home.path())
            .args(["list", "--server", &address])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut connection, _) = server.accept().unwrap();
        let read = connection.read(&mut [0; 64]).unwrap();
        assert!(read > 0, "a request arrives");
        Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status()
            .unwrap();
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
        assert_eq!(text, "error: interrupted\nnow: nothing was changed\n");
    }
}
