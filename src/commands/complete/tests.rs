use super::*;

fn line(words: &str) -> CommandLine {
    CommandLine::of(words.split(' ').map(str::to_owned).collect())
}

#[test]
fn verbs_are_offered_and_not_their_aliases() {
    let offered = |word: &str| {
        let words = vec![OsString::from("kubectl-fabric"), OsString::from(word)];
        let candidates = clap_complete::engine::complete(&mut command(), words, 1, None);
        let candidates = candidates.unwrap().into_iter();
        let shown = candidates.filter(|candidate| !candidate.is_hide_set());
        let names = shown.map(|it| it.get_value().to_string_lossy().into_owned());
        names.collect::<BTreeSet<String>>()
    };
    let verbs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        offered("c"),
        verbs(&["chaincode", "channel", "charts", "completion"])
    );
    assert_eq!(offered("un"), verbs(&["uninstall"]));
    assert_eq!(offered("h"), verbs(&["help", "history"]));
    assert_eq!(
        line("hist org1 -n x").connection.namespace.as_deref(),
        Some("x")
    );
}

#[test]
fn the_connection_is_read_from_the_words_so_far() {
    let read = |words: &str| {
        let ConnectionArguments {
            namespace,
            network,
            context,
            ..
        } = line(words).connection;
        [namespace, network, context].map(Option::unwrap_or_default)
    };
    assert_eq!(
        read("get values --context=prod -n shops org1 --revision "),
        ["shops", "", "prod"]
    );
    assert_eq!(
        read("kubectl-fabric -nshops status --network dev --context "),
        ["shops", "dev", ""]
    );
    assert_eq!(
        read("upgrade org1 --set -n -iv 6 -n=shops "),
        ["shops", "", ""]
    );
    assert_eq!(
        read("upgrade org1 -n one --namespace two "),
        ["two", "", ""]
    );
}

#[test]
fn the_release_is_the_first_word_after_the_verbs_that_is_no_flags_value() {
    assert_eq!(line("rollback org1 ").release().as_deref(), Some("org1"));
    assert_eq!(
        line("diff rollback org1 ").release().as_deref(),
        Some("org1")
    );
    assert_eq!(line("rollback").release(), None);
    for words in [
        "rollback -n shops org1 ",
        "-n shops rollback org1 ",
        "rollback --namespace shops --context=prod org1 ",
        "rollback -nshops --wait org1 ",
        "rollback --timeout 5m -v 6 org1 ",
        "rollback --dry-run org1 ",
        "--context rollback rollback org1 ",
        "kubectl-fabric get values --network dev --all org1 --revision ",
    ] {
        assert_eq!(line(words).release().as_deref(), Some("org1"), "{words}");
    }
    assert_eq!(line("rollback -n shops").release(), None);
}

#[test]
fn only_words_that_mean_themselves_are_offered() {
    let offered = |names: &[&str], help: &str| {
        let candidates = beginning_with(
            OsStr::new(""),
            names
                .iter()
                .map(|name| ((*name).to_owned(), help.to_owned())),
        );
        let help = candidates
            .first()
            .and_then(CompletionCandidate::get_help)
            .map(ToString::to_string);
        (
            candidates
                .iter()
                .map(|candidate| candidate.get_value().to_string_lossy().into_owned())
                .collect::<Vec<_>>(),
            help,
        )
    };
    let names = [
        "org1",
        "arn:aws:eks:eu-1:1:cluster/a",
        "admin@kind",
        "$(reboot)",
        "`x`",
        "a b",
        "a;b",
        "a\nb",
        "a\tb",
        "-f",
    ];
    let hostile = [
        "a\u{1b}[2J",
        "a\u{202e}b",
        "a'b",
        "a\"b",
        "a\\b",
        "=a",
        "a|b",
        "a&b",
        "a>b",
        "{a,b}",
        "a*",
        "a\u{85}",
    ];
    let (words, help) = offered(
        &[&names[..], &hostile[..]].concat(),
        "failed:\u{1b}[2J \"$(reboot)\"\nnext\tline `x`",
    );
    assert_eq!(words, names[..3]);
    assert_eq!(
        help.as_deref(),
        Some("failed:\u{fffd}2J reboot next line x")
    );
}

#[test]
fn names_of_files_are_offered_only_if_they_mean_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["values.yaml", "$(reboot)", "a\u{1b}[2J", "a\nb"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let path = format!("{}/", folder.path().display());
    let words = ["kubectl-fabric", "install", "org1", "-f", &path]
        .map(OsString::from)
        .to_vec();
    let candidates = clap_complete::engine::complete(&mut command(), words, 4, None).unwrap();
    let names: Vec<_> = candidates
        .iter()
        .map(|candidate| candidate.get_value().to_string_lossy())
        .collect();
    assert_eq!(names, [format!("{path}values.yaml")]);
}

#[test]
fn a_link_named_as_kubectl_wants_completes() {
    let words = |words: &[&str]| {
        as_kubectl_asks(
            words
                .iter()
                .map(OsString::from)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    };
    assert_eq!(
        words(&["/bin/kubectl_complete-fabric", "li"]),
        ["/bin/kubectl_complete-fabric", "__complete", "li"]
    );
    assert_eq!(
        words(&["kubectl-fabric", "list"]),
        ["kubectl-fabric", "list"]
    );
}
