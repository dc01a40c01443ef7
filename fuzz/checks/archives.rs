//! A chart from a `.tgz`: as the bytes stand if they are gzip; else they are taken for a tar, whose
//! checksums are put right and which is compressed here, because no fuzzer guesses either.

use flate2::{Compression, write::GzEncoder};
use kubectl_fabric::chart::{Chart, Files, Origin, repository};
use std::io::Write;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// What the reader promises (`chart::repository`).
const MAX_UNPACKED: usize = 64 << 20;
const MAX_FILES: usize = 10_000;

pub fn check(data: &[u8]) {
    let unpacked = match data.starts_with(GZIP) {
        true => repository::unpack(data, "fuzz.tgz"),
        false => repository::unpack(&gzip(&with_checksums(data)), "fuzz.tgz"),
    };
    let Ok(files) = unpacked else { return };
    assert!(
        files.len() <= MAX_FILES && files.values().map(Vec::len).sum::<usize>() <= MAX_UNPACKED
    );
    for name in files.keys() {
        stays_inside(name);
    }
    assert_eq!(
        repository::unpack(&pack(&files), "again.tgz").as_ref(),
        Ok(&files),
        "what was unpacked is packed and unpacked again"
    );
    if let Ok(chart) = Chart::from_files(files.clone(), Origin::Path("fuzz.tgz".into()), "fuzz.tgz")
    {
        assert_eq!(chart.files, files);
        assert!(
            !chart.metadata.name.is_empty() && !chart.metadata.name.contains(['/', '\\']),
            "{:?}",
            chart.metadata.name
        );
        assert!(files.contains_key("Chart.yaml"));
    }
}

/// A name is a plain path below the chart's folder, on any system.
fn stays_inside(name: &str) {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    assert!(name.split('/').all(plain), "{name:?} is no plain path");
}

/// The tar with the checksum of every header set to what it has to be.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut tar = data.to_vec();
    tar.resize(data.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let header = tar::Header::from_byte_slice(&tar[at..at + BLOCK]);
        let content = header
            .entry_size()
            .ok()
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(0);
        at = at
            .saturating_add(BLOCK)
            .saturating_add(content.min(tar.len()).next_multiple_of(BLOCK));
    }
    tar
}

fn pack(files: &Files) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("top/{name}"), content.as_slice())
            .expect("a plain path is a name in a tar");
    }
    gzip(&tar.into_inner().expect("memory takes every byte"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}
