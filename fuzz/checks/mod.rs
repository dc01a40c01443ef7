//! What must hold for any input: one module per fuzz target, whose `check` panics where it does
//! not. The targets feed it what a fuzzer makes up, and tests/fuzz_seeds.rs the seeds.

pub mod archives;
pub mod certificates;
pub mod records;
pub mod set;
pub mod values;
pub mod yaml;

/// A target's name, which is that of its folder of seeds, and its check.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 6] = [
    ("archives", archives::check),
    ("certificates", certificates::check),
    ("records", records::check),
    ("set", set::check),
    ("values", values::check),
    ("yaml", yaml::check),
];

/// Stands where a value stands, and never in an error. Chosen so that no text of the program holds
/// it.
const MARKER: &str = "c4n4ry";

fn hides_the_marker(shown: impl std::fmt::Display, input: &str) {
    let shown = shown.to_string();
    assert!(
        !shown.contains(MARKER),
        "a value is shown for {input:?}:\n{shown}"
    );
}

/// The parts of an input that is several texts: they stand apart by a line of one `%`.
fn parts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let mut parts = std::str::from_utf8(data).ok()?.splitn(N, "\n%\n");
    Some(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}
