//! How much the tests would notice: mutants of the rooms in which a mistake costs data, and the
//! tests that kill them.
//!
//! cargo-mutants builds once per mutant, which takes a minute each here. So a copy of the tree has
//! all mutants at once, each behind a switch that an environment variable turns on when the program
//! runs. What the compiler refuses is left out. Each test is run once to see which mutants it
//! evaluates; then, for each mutant of a random sample, those tests are run that evaluate it, the
//! fastest first, until one fails. With the argument `build` it ends after the build.

mod find;
mod rewrite;
mod run;
mod tree;

use run::{Fate, Tests};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tree::{Known, Tree};

/// Where mutants are looked for.
const ROOMS: [&str; 6] = ["src/deploy", "src/fabric/guard", "src/identity", "src/plan", "src/storage", "src/values"];

fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (sample, mut seed, jobs) = (number("N", 100), number("SEED", 1) as u64, number("JOBS", 4));
    let only = std::env::var("ONLY").unwrap_or_default();
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize().expect("the repository");
    let tree = Tree::copy(&root);
    let (mutants, binaries) = tree.build();
    if std::env::args().nth(1).is_some_and(|argument| argument == "build") {
        return;
    }
    let tests = Tests::record(&tree, &mutants, binaries, jobs);
    let evaluated: Vec<usize> = mutants.keys().copied().filter(|number| !tests.of(*number).is_empty()).collect();
    let name = |number: &usize| format!("{}:{} {}", mutants[number].file, mutants[number].line, mutants[number].what);
    let mut left: Vec<usize> = evaluated.iter().copied().filter(|number| name(number).contains(&only)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < sample && !left.is_empty() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        chosen.push(left.swap_remove((seed >> 33) as usize % left.len()));
    }
    let fates = tests.judge(&tree, &chosen, jobs, |number, fate| println!("{fate:<9} {}", name(&number)));
    tell(&mutants, &fates, evaluated.len());
}

/// The table, and the sums of it.
fn tell(mutants: &BTreeMap<usize, Known>, fates: &BTreeMap<usize, Fate>, evaluated: usize) {
    println!("\n| mutant | what | result |\n|---|---|---|");
    for (number, fate) in fates {
        let Known { file, line, what } = &mutants[number];
        println!("| {file}:{line} | {} | {} |", what.replace('|', "\\|"), fate.words());
    }
    let killed = fates.values().filter(|fate| !matches!(fate, Fate::Survived)).count();
    println!(
        "\n{killed} of {} killed. {} mutants in all; no test evaluates {} of them.",
        fates.len(),
        mutants.len(),
        mutants.len() - evaluated
    );
}
