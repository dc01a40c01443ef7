//! The copy of the repository that has the mutants in it, and its build.

use crate::ROOMS;
use crate::find::{self, Mutant};
use crate::rewrite::rewrite;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is told of a mutant.
pub struct Known {
    pub file: String,
    pub line: usize,
    pub what: String,
}

/// A file with its mutants, numbered over all files.
struct Source {
    path: String,
    text: String,
    mutants: Vec<(usize, Mutant)>,
    /// Where in the text that was built each of them is.
    places: Vec<(usize, Range<usize>)>,
}

pub struct Tree {
    /// The copy.
    pub root: PathBuf,
    /// Results, and the build.
    pub work: PathBuf,
}

/// The test binaries of which tests are taken: whatever they run is run with a mutant.
const TESTS: [&str; 4] = ["values", "render", "cli", "apiserver"];

/// Whether the tests of a binary run on a cluster, and take their time.
pub fn is_slow(binary: &str) -> bool {
    binary == "apiserver"
}

impl Tree {
    /// Copies what git knows of the repository, and what is new in it. A file that did not change
    /// keeps its time, so that it is not built again.
    pub fn copy(repository: &Path) -> Tree {
        let work = repository.join("target/mutants");
        let root = work.join("tree");
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let files = Command::new("git").current_dir(repository).args(list).output().expect("git");
        let mut known = BTreeSet::new();
        for name in String::from_utf8(files.stdout).expect("names in UTF-8").split_terminator('\0') {
            let (from, to) = (repository.join(name), root.join(name));
            if from.is_file() && !is_in_rooms(name) && name != "src/lib.rs" {
                write(&to, &fs::read(&from).expect("a file"));
                fs::set_permissions(&to, fs::metadata(&from).expect("a file").permissions()).expect("a mode");
            }
            if from.is_file() && name.starts_with("src/") && name.ends_with(".rs") {
                known.insert(name.to_owned());
            }
        }
        fs::write(work.join("sources"), known.into_iter().collect::<Vec<_>>().join("\n")).expect("a file");
        Tree { root, work }
    }

    /// Builds the copy, without the mutants that the compiler refuses. Returns the others, and the
    /// test binaries by name.
    pub fn build(&self) -> (BTreeMap<usize, Known>, BTreeMap<String, PathBuf>) {
        let repository = self.work.parent().and_then(Path::parent).expect("the repository");
        let mut count = 0;
        let names = fs::read_to_string(self.work.join("sources")).expect("a list");
        let in_rooms = names.lines().filter(|name| is_in_rooms(name));
        let mut sources: Vec<Source> = in_rooms
            .map(|path| {
                let text = fs::read_to_string(repository.join(path)).expect("a source");
                let is_for_tests = path.ends_with("tests.rs") || path.contains("/tests/") || path.ends_with("scripted.rs");
                let found = if is_for_tests {
                    Vec::new()
                } else {
                    find::mutants(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
                };
                let first = count;
                count += found.len();
                Source { path: path.to_owned(), text, mutants: (first..).zip(found).collect(), places: Vec::new() }
            })
            .collect();
        let all: Vec<String> = sources.iter().flat_map(|source| source.mutants.iter().map(|(_, it)| it.what.clone())).collect();
        // What was refused before is refused again, as long as the mutants are the same.
        let remembered = self.work.join(format!("refused-{:016x}", hash(&all.join("\n"))));
        let before = fs::read_to_string(&remembered).unwrap_or_default();
        let mut refused: BTreeSet<usize> = before.lines().filter_map(|line| line.parse().ok()).collect();
        let switch = include_str!("switch.rs").to_owned() + &format!("const COUNT: usize = {count};\n");
        write(&self.root.join("src/mutant.rs"), switch.as_bytes());
        let lib = fs::read_to_string(repository.join("src/lib.rs")).expect("a source");
        write(&self.root.join("src/lib.rs"), format!("{lib}\n#[doc(hidden)]\npub mod mutant;\n").as_bytes());
        loop {
            for source in &mut sources {
                let taken = source.mutants.iter().filter(|(number, _)| !refused.contains(number));
                let (text, places) = rewrite(&source.text, taken.map(|(number, mutant)| (*number, mutant)));
                write(&self.root.join(&source.path), text.as_bytes());
                source.places = places;
            }
            eprintln!("mutants: {} of {count}, building", count - refused.len());
            match self.cargo() {
                Ok(binaries) => {
                    let known = sources.into_iter().flat_map(|Source { path, mutants, .. }| {
                        mutants
                            .into_iter()
                            .map(move |(number, it)| (number, Known { file: path.clone(), line: it.line, what: it.what }))
                    });
                    return (known.filter(|(number, _)| !refused.contains(number)).collect(), binaries);
                }
                Err(messages) => {
                    let mut guilty: BTreeSet<usize> = messages.iter().filter_map(|it| guilty(&sources, it)).collect();
                    if guilty.is_empty() {
                        guilty.extend(messages.first().and_then(|message| left_out(&sources, message)));
                    }
                    let told = || messages.iter().filter_map(|it| it["rendered"].as_str()).take(3).collect::<String>();
                    assert!(!guilty.is_empty(), "no mutant is to blame:\n{}", told());
                    refused.extend(guilty);
                    let lines: Vec<String> = refused.iter().map(usize::to_string).collect();
                    fs::write(&remembered, lines.join("\n")).expect("a file");
                }
            }
        }
    }

    /// The test binaries, or what the compiler refuses.
    fn cargo(&self) -> Result<BTreeMap<String, PathBuf>, Vec<Value>> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).args(["test", "--locked", "--no-run", "--message-format=json", "--lib"]);
        cargo.args(TESTS.iter().flat_map(|name| ["--test", name]));
        let output = cargo.env("CARGO_TARGET_DIR", self.work.join("build")).stderr(Stdio::inherit()).output().expect("cargo");
        let (mut binaries, mut refused) = (BTreeMap::new(), Vec::new());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(mut message) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(path) = message["executable"].as_str().filter(|_| message["profile"]["test"] == true) {
                let name = message["target"]["name"].as_str().expect("a name");
                binaries.insert(name.to_owned(), PathBuf::from(path));
            }
            if message["message"]["level"] == "error" {
                refused.push(message["message"].take());
            }
        }
        if output.status.success() { Ok(binaries) } else { Err(refused) }
    }
}

/// The mutant that an error is about: the innermost one where the error is, or else where the
/// compiler points to besides.
fn guilty(sources: &[Source], message: &Value) -> Option<usize> {
    let mut spans: Vec<&Value> = message["spans"].as_array().into_iter().flatten().collect();
    spans.sort_by_key(|span| span["is_primary"] != true);
    let children = message["children"].as_array().into_iter().flatten();
    spans.extend(children.flat_map(|child| child["spans"].as_array().into_iter().flatten()));
    spans.into_iter().find_map(|span| {
        let mut span = span;
        let source = loop {
            if let Some(source) = sources.iter().find(|source| span["file_name"] == source.path.as_str()) {
                break source;
            }
            span = Some(&span["expansion"]["span"]).filter(|outer| outer.is_object())?;
        };
        let at = |field: &str| span[field].as_u64().map(|at| at as usize);
        let (start, end) = (at("byte_start")?, at("byte_end")?);
        let around = source.places.iter().filter(|(_, place)| place.start <= start && end <= place.end);
        around.min_by_key(|(_, place)| place.len()).map(|(number, _)| *number)
    })
}

/// The statement before the place of an error: left out, it may leave something alive that the
/// error is about.
fn left_out(sources: &[Source], message: &Value) -> Option<usize> {
    let span = message["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
    let source = sources.iter().find(|source| span["file_name"] == source.path.as_str())?;
    let at = span["byte_start"].as_u64()? as usize;
    let what = |number: &usize| source.mutants.iter().find(|(of, _)| of == number).map(|(_, mutant)| mutant.what.as_str());
    let statements = source
        .places
        .iter()
        .filter(|(number, place)| place.end <= at && what(number).is_some_and(|what| what.starts_with("left out")));
    statements.max_by_key(|(_, place)| place.end).map(|(number, _)| *number)
}

fn is_in_rooms(name: &str) -> bool {
    name.ends_with(".rs") && ROOMS.iter().any(|room| name.starts_with(&format!("{room}/")))
}

fn write(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf29ce484222325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3))
}
