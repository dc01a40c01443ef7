use super::*;
use std::fs;

/// A home folder with `.kube/config` and other files. Its environment has only what a test
/// sets.
struct Home(tempfile::TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        for (path, text) in files {
            fs::create_dir_all(home.path(path).parent().unwrap()).unwrap();
            fs::write(home.path(path), text).unwrap();
        }
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn resolve(&self, flags: Connection, kubeconfig: &[&str]) -> Result<Target> {
        let list = std::env::join_paths(kubeconfig.iter().map(|path| self.path(path))).unwrap();
        resolve(&flags, &|name| match name {
            "HOME" => Some(self.0.path().into()),
            "KUBECONFIG" if !kubeconfig.is_empty() => Some(list.clone()),
            _ => None,
        })
    }

    fn server(&self, flags: Connection, kubeconfig: &[&str]) -> String {
        self.resolve(flags, kubeconfig).unwrap().server.to_string()
    }

    fn refusal(&self, flags: Connection, kubeconfig: &[&str]) -> String {
        self.resolve(flags, kubeconfig)
            .err()
            .unwrap()
            .to_string()
            .replace(&self.0.path().display().to_string(), "~")
    }
}

const TWO: &str = "
current-context: dev
clusters:
- {name: dev, cluster: {server: 'https://dev:6443'}}
- {name: prod, cluster: {server: 'https://prod:6443', insecure-skip-tls-verify: true, tls-server-name: prod.example.com}}
users:
- {name: alice, user: {token: secret-a}}
- {name: bob, user: {username: bob, password: secret-b, as: carol}}
contexts:
- {name: dev, context: {cluster: dev, user: alice, namespace: team}}
- {name: prod, context: {cluster: prod, user: bob}}
";
const OTHER: &str = "
current-context: other
clusters:
- {name: dev, cluster: {server: 'https://shadowed:6443'}}
- {name: other, cluster: {server: 'https://other:6443'}}
users: []
contexts:
- {name: other, context: {cluster: other, user: ''}}
";

fn flags() -> Connection {
    Connection::default()
}

#[test]
fn the_flag_beats_the_variable_which_beats_the_home_folder() {
    let home = Home::new(&[(".kube/config", TWO), ("other", OTHER)]);
    assert_eq!(home.server(flags(), &[]), "https://dev:6443/");
    assert_eq!(home.server(flags(), &["other"]), "https://other:6443/");
    let flag = Connection {
        kubeconfig: Some(home.path(".kube/config")),
        ..flags()
    };
    assert_eq!(home.server(flag, &["other"]), "https://dev:6443/");
}

#[test]
fn of_a_list_missing_files_are_skipped_and_the_first_to_name_a_thing_wins() {
    let home = Home::new(&[("two", TWO), ("other", OTHER)]);
    assert_eq!(
        home.server(flags(), &["missing", "two", "other"]),
        "https://dev:6443/"
    );
    let other = Connection {
        context: Some("other".to_owned()),
        ..flags()
    };
    assert_eq!(home.server(other, &["two", "other"]), "https://other:6443/");
    let dev = Connection {
        context: Some("dev".to_owned()),
        ..flags()
    };
    assert_eq!(
        home.server(dev, &["other", "two"]),
        "https://shadowed:6443/"
    );
}

#[test]
fn namespace_comes_from_the_flag_then_from_the_context() {
    let home = Home::new(&[(".kube/config", TWO)]);
    assert_eq!(
        home.resolve(flags(), &[]).unwrap().namespace.as_deref(),
        Some("team")
    );
    let flag = Connection {
        namespace: Some("mine".to_owned()),
        ..flags()
    };
    assert_eq!(
        home.resolve(flag, &[]).unwrap().namespace.as_deref(),
        Some("mine")
    );
    let prod = Connection {
        context: Some("prod".to_owned()),
        ..flags()
    };
    assert_eq!(home.resolve(prod, &[]).unwrap().namespace, None);
}

#[test]
fn flags_override_what_the_file_says_of_the_cluster() {
    let home = Home::new(&[
        (".kube/config", TWO),
        ("ca.pem", "-----BEGIN CERTIFICATE-----"),
    ]);
    let prod = Connection {
        context: Some("prod".to_owned()),
        ..flags()
    };
    let target = home.resolve(prod.clone(), &[]).unwrap();
    assert_eq!(
        target.cluster.tls_server_name.as_deref(),
        Some("prod.example.com")
    );
    assert_eq!(target.cluster.insecure_skip_tls_verify, Some(true));
    let moved = Connection {
        server: Some("https://10.0.0.1".to_owned()),
        ..prod.clone()
    };
    assert_eq!(
        home.resolve(moved, &[]).unwrap().cluster.tls_server_name,
        None
    );
    let trusted = Connection {
        certificate_authority: Some(home.path("ca.pem")),
        ..prod
    };
    let target = home.resolve(trusted, &[]).unwrap();
    assert_eq!(target.cluster.insecure_skip_tls_verify, Some(false));
    assert!(target.cluster.certificate_authority_data.is_some());
}

#[test]
fn a_token_drops_other_credentials_and_keeps_whom_to_act_as() {
    let home = Home::new(&[(".kube/config", TWO)]);
    let flag = Connection {
        context: Some("prod".to_owned()),
        token: Some("mine".to_owned()),
        ..flags()
    };
    let user = home.resolve(flag, &[]).unwrap().user;
    assert!(user.username.is_none() && user.password.is_none() && user.token.is_some());
    assert_eq!(user.impersonate.as_deref(), Some("carol"));
}

#[test]
fn a_server_alone_is_enough() {
    let home = Home::new(&[]);
    let flag = Connection {
        server: Some("localhost:8080".to_owned()),
        ..flags()
    };
    assert_eq!(home.server(flag, &[]), "http://localhost:8080/");
    let flag = Connection {
        server: Some("10.0.0.1:6443".to_owned()),
        insecure_skip_tls_verify: true,
        ..flags()
    };
    assert_eq!(home.server(flag, &[]), "https://10.0.0.1:6443/");
}

#[test]
fn what_the_files_lack_is_reported_with_what_they_have() {
    let home = Home::new(&[(".kube/config", TWO)]);
    let cases = [
        (
            Connection {
                context: Some("prdo".to_owned()),
                ..flags()
            },
            "the kubeconfig has no context \"prdo\"\n  --> ~/.kube/config\nwhy: its contexts are \"dev\", \"prod\"\nhint: did you mean \"prod\"?",
        ),
        (
            Connection {
                cluster: Some("x".to_owned()),
                ..flags()
            },
            "the kubeconfig has no cluster \"x\"\n  --> ~/.kube/config\nwhy: its clusters are \"dev\", \"prod\"",
        ),
        (
            Connection {
                user: Some("alcie".to_owned()),
                ..flags()
            },
            "the kubeconfig has no user \"alcie\"\n  --> ~/.kube/config\nwhy: its users are \"alice\", \"bob\"\nhint: did you mean \"alice\"?",
        ),
        (
            Connection {
                certificate_authority: Some("/ca".into()),
                insecure_skip_tls_verify: true,
                ..flags()
            },
            "--insecure-skip-tls-verify and --certificate-authority contradict each other\nwhy: the \
                 first skips the verification of the server's certificate, the second is only used \
                 for it\nhint: drop --insecure-skip-tls-verify",
        ),
        (
            Connection {
                impersonate_groups: vec!["g".to_owned()],
                ..flags()
            },
            "--as-group and --as-uid need --as\nhint: name the user to impersonate with --as",
        ),
        (
            Connection {
                certificate_authority: Some("/none/ca.pem".into()),
                ..flags()
            },
            "cannot read the certificate authority\n  --> /none/ca.pem   No such file or directory (os error 2)",
        ),
        (
            Connection {
                server: Some("ftp://x".to_owned()),
                ..flags()
            },
            "\"ftp://x\" is not the URL of an API server\nwhy: only http and https are supported\nhint: expected a URL such as https://10.0.0.1:6443",
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(home.refusal(flags, &[]), expected);
    }
}

#[test]
fn no_file_at_all_is_reported_with_where_it_was_looked_for() {
    let home = Home::new(&[("empty", "")]);
    let refusal = home.refusal(flags(), &[]);
    assert!(
        refusal.starts_with("no kubeconfig names a cluster\n  --> ~/.kube/config   does not exist"),
        "{refusal}"
    );
    assert!(
        home.refusal(flags(), &["empty"])
            .contains("~/empty   has no cluster")
    );
    let flag = Connection {
        kubeconfig: Some(home.path("missing")),
        ..flags()
    };
    assert_eq!(
        home.refusal(flag, &[]),
        "the kubeconfig does not exist\n  --> ~/missing   from --kubeconfig"
    );
}

#[test]
fn a_broken_file_is_named_with_its_line_and_without_its_text() {
    let home = Home::new(&[(
        ".kube/config",
        "users:\n- name: a\n  user: {token: secret-token\nclusters: []\n",
    )]);
    let refusal = home.refusal(flags(), &[]);
    assert!(
        refusal.starts_with("the kubeconfig is not valid\n  --> ~/.kube/config:"),
        "{refusal}"
    );
    assert!(!refusal.contains("secret-token"), "{refusal}");
}

#[test]
fn no_current_context_lists_what_there_is() {
    let home = Home::new(&[(
        ".kube/config",
        &TWO.replace("current-context: dev", "current-context: ''"),
    )]);
    let refusal = home.refusal(flags(), &[]);
    assert!(
        refusal.contains("no current context") && refusal.contains("\"dev\", \"prod\""),
        "{refusal}"
    );
}

#[test]
fn files_named_in_a_kubeconfig_are_found_beside_it() {
    let text = TWO.replace(
        "server: 'https://dev:6443'",
        "server: 'https://dev:6443', certificate-authority: ca.pem",
    );
    let home = Home::new(&[
        ("sub/config", &text),
        ("sub/ca.pem", "-----BEGIN CERTIFICATE-----"),
    ]);
    assert!(
        home.resolve(flags(), &["sub/config"])
            .unwrap()
            .cluster
            .certificate_authority_data
            .is_some()
    );
}
