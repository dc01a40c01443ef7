//! The machine in words: what the figures depend on, and nothing that tells whose it is.

use std::fs;
use std::process::Command;

/// Processor, cores, memory, system; as far as they can be told.
pub fn description() -> String {
    let kernel = Command::new("uname")
        .args(["-s", "-r", "-m"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = [
        field("/proc/cpuinfo", "model name"),
        Some(format!("{cores} cores")),
        field("/proc/meminfo", "MemTotal").and_then(gibibytes),
        kernel.ok(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gibibytes(text: String) -> Option<String> {
    let kibibytes: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.0} GiB of memory", kibibytes / 1024.0 / 1024.0))
}
