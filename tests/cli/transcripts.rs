use super::*;

#[test]
fn every_transcript_is_what_the_program_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let actual = play(&expected);
        if actual == expected {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, actual).unwrap();
        } else {
            let diff = similar::TextDiff::from_lines(&expected, &actual)
                .unified_diff()
                .to_string();
            wrong.push(format!("{}\n{diff}", file.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nBLESS=1 takes these over",
        wrong.join("\n")
    );
}

/// Runs the commands of a transcript and writes it as it is now. Lines before the first command
/// are comments.
fn play(transcript: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let head = transcript
        .lines()
        .take_while(|line| !line.starts_with("$ "))
        .map(|line| format!("{line}\n"));
    let mut text: String = head.collect();
    for line in transcript.lines().filter(|line| line.starts_with("$ ")) {
        let words = words(line.strip_prefix("$ kubectl fabric").unwrap());
        let (words, input) = match words.iter().position(|word| word == "<") {
            Some(at) => (&words[..at], Some(&words[at + 1])),
            None => (&words[..], None),
        };
        let mut command = program(home.path());
        command.args(words);
        if let Some(file) = input {
            command.stdin(
                fs::File::open(
                    Path::new(env!("CARGO_MANIFEST_DIR"))
                        .join("tests/cli")
                        .join(file),
                )
                .unwrap(),
            );
        }
        let output = command.output().unwrap();
        text.push_str(&format!("{line}\n{}", stdout(&output)));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        for line in stderr(&output).lines() {
            text.push_str(&format!("{}\n", format!("! {line}").trim_end()));
        }
        match output.status.code() {
            Some(0) => {}
            status => text.push_str(&format!("? {}\n", status.unwrap_or(-1))),
        }
    }
    text
}

/// Splits as a shell does, as far as transcripts need it: blanks, and single quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut word) = (Vec::new(), false, None::<String>);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_help_of_every_verb_is_in_a_transcript() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts/help.txt");
    let text = fs::read_to_string(path).unwrap();
    for verb in commands::command()
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
    {
        let line = format!("$ kubectl fabric {} -h\n", verb.get_name());
        assert!(text.contains(&line), "add to help.txt: {line}");
    }
}
