//! Which mutant is on, and which ones were evaluated. This file becomes `src/mutant.rs` of the
//! mutated copy.

use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ACTIVE: LazyLock<Option<usize>> = LazyLock::new(|| std::env::var("KUBECTL_FABRIC_MUTANT").ok()?.parse().ok());

/// Takes the numbers of mutants as they are evaluated first, of all processes of a test.
static SEEN: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("KUBECTL_FABRIC_MUTANTS_SEEN")?;
    File::options().create(true).append(true).open(path).ok()
});

static NOTED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

pub fn on(mutant: usize) -> bool {
    if let Some(mut file) = SEEN.as_ref()
        && !NOTED[mutant].swap(true, Ordering::Relaxed)
    {
        let _ = file.write_all(format!("{mutant}\n").as_bytes());
    }
    *ACTIVE == Some(mutant)
}

