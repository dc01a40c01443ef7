//! Every seed of the fuzz targets (fuzz/seeds) through their checks: what fuzzing has found stays
//! found.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::path::Path;

#[test]
fn every_seed_keeps_what_its_target_asks() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, check) in checks::TARGETS {
        let folder = std::fs::read_dir(seeds.join(target))
            .unwrap_or_else(|error| panic!("fuzz/seeds/{target}: {error}"));
        let mut names: Vec<_> = folder
            .map(|entry| entry.expect("an entry").path())
            .collect();
        names.sort();
        assert!(!names.is_empty(), "{target} has no seed");
        for seed in names {
            let content = std::fs::read(&seed).expect("a seed");
            // A check that fails has said why; here is where.
            assert!(
                std::panic::catch_unwind(|| check(&content)).is_ok(),
                "{}",
                seed.display()
            );
        }
    }
}

#[test]
fn every_target_has_its_program_and_every_program_its_checks() {
    let programs =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets"))
            .expect("the programs");
    let mut programs: Vec<String> = programs
        .map(|entry| {
            entry
                .expect("an entry")
                .path()
                .file_stem()
                .expect("a name")
                .to_str()
                .expect("UTF-8")
                .to_owned()
        })
        .collect();
    programs.sort();
    assert_eq!(programs, checks::TARGETS.map(|(name, _)| name));
}
