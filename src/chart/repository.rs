//! Charts by name and version: those embedded in the program, and how a user's archive becomes
//! [`Files`].

use super::{Chart, Files, Origin, Range, belongs};
use crate::error::{Error, Place, Result, nearest};
use semver::Version;
use std::io::Read;
use std::path::Component;

// CHARTS: name, version and digest of every embedded chart; ARCHIVES: their archives in the same
// order. Made by build.rs.
include!(concat!(env!("OUT_DIR"), "/charts.rs"));

/// An archive may hold no more than this, so that a small file cannot fill the memory.
const MAX_UNPACKED: u64 = 64 << 20;
const MAX_FILES: usize = 10_000;

/// Every embedded chart as (name, version, digest), by name, newest version first, without
/// unpacking any.
pub fn embedded() -> &'static [(&'static str, &'static str, &'static str)] {
    CHARTS
}

/// An embedded chart by name; `version` is exact or a range as Helm takes it (`^0.1`, `0.1.x`), the
/// newest match wins. Without one it is the newest version that is no pre-release, or the newest of
/// all when there are only pre-releases.
///
/// # Errors
///
/// No such name, or no such version: with a list of what there is.
pub fn find(name: &str, version: Option<&str>) -> Result<Chart> {
    let index = choose(CHARTS, name, version)?;
    let (name, version, _) = CHARTS[index];
    let subject = format!("{name}-{version}");
    Chart::from_files(unpack(ARCHIVES[index], &subject)?, Origin::Embedded, name)
}

/// The index of the wanted row of a table like [`embedded`]'s.
fn choose(charts: &[(&str, &str, &str)], name: &str, version: Option<&str>) -> Result<usize> {
    let versions: Vec<(usize, Version)> = charts
        .iter()
        .enumerate()
        .filter(|(_, row)| row.0 == name)
        .map(|(index, row)| {
            (
                index,
                Version::parse(row.1).expect("build.rs checks every version"),
            )
        })
        .collect();
    if versions.is_empty() {
        let mut names: Vec<&str> = charts.iter().map(|row| row.0).collect();
        names.dedup();
        let error = Error::user(format!("there is no chart named \"{name}\""));
        let error = match names.is_empty() {
            true => error.why("this program was built without charts"),
            false => error.why(format!("charts: {}", names.join(", "))),
        };
        return Err(match nearest(name, names) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error.hint("to use a chart of your own, name its folder or .tgz file with its path: `./my-chart`"),
        });
    }
    let range = version.map(Range::parse).transpose()?;
    let wanted = |candidate: &Version| range.as_ref().is_none_or(|range| range.matches(candidate));
    versions
        .iter()
        .find(|(_, candidate)| wanted(candidate) && (range.is_some() || candidate.pre.is_empty()))
        .or_else(|| versions.first().filter(|_| range.is_none()))
        .map(|(index, _)| *index)
        .ok_or_else(|| {
            let versions: Vec<String> = versions
                .iter()
                .map(|(_, version)| version.to_string())
                .collect();
            Error::user(format!(
                "chart \"{name}\" has no version that matches \"{}\"",
                version.unwrap_or_default()
            ))
            .why(format!("versions: {}", versions.join(", ")))
        })
}

/// Whether a path is the name of a chart archive.
pub fn is_archive(path: &str) -> bool {
    [".tgz", ".tar.gz"]
        .iter()
        .any(|ending| path.ends_with(ending))
}

/// The files of a `.tgz` chart archive, below its single top folder. Refuses links, absolute paths,
/// `..`, control characters in names, and archives that unpack to more than 64 MiB or 10,000 files.
pub fn unpack(archive: &[u8], subject: &str) -> Result<Files> {
    unpack_within(archive, subject, MAX_UNPACKED, MAX_FILES)
}

fn unpack_within(
    archive: &[u8],
    subject: &str,
    max_unpacked: u64,
    max_files: usize,
) -> Result<Files> {
    let refuse =
        |why: String| Error::user(format!("cannot read the chart archive \"{subject}\"")).why(why);
    let broken = |why: std::io::Error| {
        refuse(format!("it is not a whole .tgz file: {why}")).at(Place::new(subject))
    };
    // One byte more than allowed shows that there is more; headers and padding are bounded by the
    // count of files.
    let limit = max_unpacked + (max_files as u64 + 2) * 2048;
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(archive).take(limit));
    let (mut files, mut top, mut size) = (Files::new(), None::<String>, 0);
    for entry in tar.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let shown = path.display().to_string().escape_debug().to_string();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        if !kind.is_file() {
            return Err(refuse(format!(
                "\"{shown}\" is a link or a device; a chart holds only files"
            )));
        }
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => {
                    parts.push(
                        part.to_str()
                            .ok_or_else(|| refuse(format!("the name \"{shown}\" is not UTF-8")))?,
                    );
                }
                Component::CurDir => {}
                _ => {
                    return Err(refuse(format!(
                        "\"{shown}\" points out of the chart's folder"
                    )));
                }
            }
        }
        if parts.len() < 2 || parts.iter().any(|part| part.contains('\\')) {
            return Err(refuse(format!(
                "\"{shown}\" is not below a top folder with the chart's name"
            )));
        }
        // A name is shown on terminals and written to disks.
        if parts.iter().any(|part| part.contains(char::is_control)) {
            return Err(refuse(format!(
                "the name \"{shown}\" holds a control character"
            )));
        }
        let folder = top.get_or_insert_with(|| parts[0].to_owned());
        if folder != parts[0] {
            return Err(refuse(format!(
                "it has more than one top folder: \"{folder}\" and \"{}\"",
                parts[0]
            )));
        }
        let name = parts[1..].join("/");
        let mut content = Vec::new();
        entry
            .take(max_unpacked + 1 - size)
            .read_to_end(&mut content)
            .map_err(broken)?;
        size += content.len() as u64;
        if size > max_unpacked {
            return Err(refuse(format!(
                "it unpacks to more than {} MiB",
                max_unpacked >> 20
            )));
        }
        if !belongs(&name) {
            continue;
        }
        if files.len() == max_files {
            return Err(refuse(format!("it holds more than {max_files} files")));
        }
        if files.insert(name.clone(), content).is_some() {
            return Err(refuse(format!("it holds \"{name}\" twice")));
        }
    }
    // The checksum stands at the very end, behind what the archive's own end marks.
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink()).map_err(broken)?;
    Ok(files)
}

/// The chart that a release name stands for when none is named: `org1` → peer-org, `orgorderer1` →
/// orderer-org, `kafka` → kafka. Suffixes of a network (`org1-dev`) do not matter. Unknown: an
/// error that tells how to name a chart.
pub fn chart_for_release(release: &str) -> Result<&'static str> {
    // The longer beginnings first: "orgorderer1" begins with "org" too.
    const BEGINNINGS: [(&str, &str); 4] = [
        ("orgorderer", "orderer-org"),
        ("ordererorg", "orderer-org"),
        ("kafka", "kafka"),
        ("org", "peer-org"),
    ];
    BEGINNINGS.iter().find(|(beginning, _)| release.starts_with(beginning)).map(|(_, chart)| *chart).ok_or_else(|| {
        Error::user(format!("which chart is release \"{release}\" made of?"))
            .why("a chart follows from names like \"org1\" (peer-org), \"orgorderer1\" (orderer-org) and \"kafka\" (kafka)")
            .hint("name the chart with `--chart`: `--chart peer-org`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, &str, &str)] = &[
        ("kafka", "0.1.0", ""),
        ("peer-org", "0.3.0-rc.1", ""),
        ("peer-org", "0.2.0", ""),
        ("peer-org", "0.1.4", ""),
    ];

    #[test]
    fn every_embedded_chart_is_what_its_folder_says() {
        for (name, version, digest) in embedded() {
            let chart = find(name, Some(version)).unwrap();
            assert_eq!(
                (
                    chart.metadata.name.as_str(),
                    chart.metadata.version.to_string().as_str()
                ),
                (*name, *version)
            );
            assert_eq!(chart.digest, *digest);
        }
    }

    #[test]
    fn the_newest_match_wins_and_pre_releases_only_when_asked_for() {
        let chosen = |name, version| choose(TABLE, name, version).map(|index| TABLE[index].1);
        assert_eq!(chosen("peer-org", None), Ok("0.2.0"));
        assert_eq!(chosen("peer-org", Some("^0.1")), Ok("0.1.4"));
        assert_eq!(chosen("peer-org", Some("v0.3.0-rc.1")), Ok("0.3.0-rc.1"));
        assert_eq!(chosen("peer-org", Some(">=0.1")), Ok("0.2.0"));
        assert_eq!(choose(&TABLE[1..2], "peer-org", None), Ok(0));
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let error = choose(TABLE, "peerorg", None).unwrap_err().to_string();
        assert!(
            error.contains("charts: kafka, peer-org")
                && error.contains("did you mean \"peer-org\"?"),
            "{error}"
        );
        let error = choose(TABLE, "peer-org", Some("1.x"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("versions: 0.3.0-rc.1, 0.2.0, 0.1.4"),
            "{error}"
        );
    }

    #[test]
    fn a_release_name_stands_for_its_chart() {
        for (release, chart) in [
            ("org1", "peer-org"),
            ("orgorderer1", "orderer-org"),
            ("ordererorg2-dev", "orderer-org"),
            ("kafka", "kafka"),
            ("kafka-dev", "kafka"),
            ("org12-test", "peer-org"),
        ] {
            assert_eq!(chart_for_release(release), Ok(chart));
        }
        assert!(
            chart_for_release("peers")
                .unwrap_err()
                .to_string()
                .contains("--chart")
        );
    }

    fn archive(fill: impl FnOnce(&mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        fill(&mut builder);
        builder.into_inner().unwrap().finish().unwrap()
    }

    /// Writes an entry with a name as it is, which the `tar` crate's own writer would refuse.
    fn entry(
        builder: &mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>,
        name: &str,
        kind: tar::EntryType,
        content: &[u8],
    ) {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    /// An entry whose true name stands in an entry before it, as GNU tar writes long ones.
    fn long_name(builder: &mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>, name: &str) {
        entry(
            builder,
            "././@LongLink",
            tar::EntryType::GNULongName,
            name.as_bytes(),
        );
        entry(builder, "demo/a", tar::EntryType::Regular, b"");
    }

    #[test]
    fn a_small_archive_that_unpacks_to_gigabytes_is_refused_at_the_limit() {
        let bomb = archive(|tar| {
            let mut header = tar::Header::new_gnu();
            header.set_size(1 << 40);
            header.set_mode(0o644);
            // The writer ends here: what the header promises is more than anyone will read.
            tar.append_data(
                &mut header,
                "demo/values.yaml",
                std::io::repeat(0).take(MAX_UNPACKED + (1 << 20)),
            )
            .unwrap();
        });
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        let error = unpack(&bomb, "demo.tgz").unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot read the chart archive \"demo.tgz\"\nwhy: it unpacks to more than 64 MiB"
        );
    }

    #[test]
    fn an_archive_with_a_flipped_bit_is_refused() {
        let content: Vec<u8> = (0..400u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect();
        let whole =
            archive(|tar| entry(tar, "demo/values.yaml", tar::EntryType::Regular, &content));
        let files = unpack(&whole, "demo.tgz").unwrap();
        // The header of gzip holds a time and a system, which say nothing about the content.
        for at in 10..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            if let Ok(other) = unpack(&bytes, "demo.tgz") {
                assert_eq!(other, files, "byte {at}");
            }
        }
        assert!(
            unpack(&whole[..whole.len() - 1], "demo.tgz")
                .unwrap_err()
                .to_string()
                .contains("not a whole .tgz")
        );
    }

    #[test]
    fn a_template_in_an_archive_that_is_no_text_is_told_with_its_place() {
        let bytes = archive(|tar| {
            entry(
                tar,
                "demo/Chart.yaml",
                tar::EntryType::Regular,
                b"apiVersion: v2\nname: demo\nversion: 0.1.0\n",
            );
            entry(
                tar,
                "demo/templates/a.yaml",
                tar::EntryType::Regular,
                b"a: 1\nb: canary\xff\n",
            );
        });
        let files = unpack(&bytes, "demo.tgz").unwrap();
        let error =
            Chart::from_files(files, Origin::Path("demo.tgz".into()), "demo.tgz").unwrap_err();
        let report = "templates/a.yaml of the chart is not a text in UTF-8\n  --> demo.tgz/templates/a.yaml:2";
        assert_eq!(error.to_string(), report);
    }

    #[test]
    fn an_archive_is_unpacked_below_its_top_folder() {
        let files = unpack(
            &archive(|tar| {
                entry(tar, "demo", tar::EntryType::Directory, b"");
                entry(
                    tar,
                    "./demo/Chart.yaml",
                    tar::EntryType::Regular,
                    b"name: demo\n",
                );
                entry(
                    tar,
                    "demo/templates/a.yaml",
                    tar::EntryType::Regular,
                    b"a: 1\n",
                );
                entry(tar, "demo/.DS_Store", tar::EntryType::Regular, b"x");
            }),
            "demo.tgz",
        )
        .unwrap();
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            ["Chart.yaml", "templates/a.yaml"]
        );
    }

    #[test]
    fn archives_that_reach_out_or_blow_up_are_refused() {
        let big = vec![0; 1 << 20];
        let cases: Vec<(&str, Vec<u8>)> = vec![
            (
                "points out",
                archive(|tar| entry(tar, "demo/../../etc/passwd", tar::EntryType::Regular, b"")),
            ),
            (
                "points out",
                archive(|tar| entry(tar, "/etc/passwd", tar::EntryType::Regular, b"")),
            ),
            (
                "link or a device",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::Symlink, b"")),
            ),
            (
                "link or a device",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::Link, b"")),
            ),
            (
                "link or a device",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::Char, b"")),
            ),
            (
                "link or a device",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::Block, b"")),
            ),
            (
                "link or a device",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::Fifo, b"")),
            ),
            (
                "not a whole .tgz",
                archive(|tar| entry(tar, "demo/a", tar::EntryType::GNUSparse, b"")),
            ),
            (
                "points out",
                archive(|tar| long_name(tar, "demo/../../etc/passwd")),
            ),
            (
                "not below a top folder",
                archive(|tar| entry(tar, "Chart.yaml", tar::EntryType::Regular, b"")),
            ),
            (
                "a control character",
                archive(|tar| entry(tar, "demo/\u{1b}[2Ja", tar::EntryType::Regular, b"")),
            ),
            (
                "more than one top folder",
                archive(|tar| {
                    entry(tar, "a/Chart.yaml", tar::EntryType::Regular, b"");
                    entry(tar, "b/Chart.yaml", tar::EntryType::Regular, b"");
                }),
            ),
            (
                "twice",
                archive(|tar| {
                    (0..2).for_each(|_| entry(tar, "a/Chart.yaml", tar::EntryType::Regular, b""))
                }),
            ),
            (
                "more than 2 MiB",
                archive(|tar| {
                    (0..3)
                        .for_each(|i| entry(tar, &format!("a/{i}"), tar::EntryType::Regular, &big))
                }),
            ),
            (
                "more than 10 files",
                archive(|tar| {
                    (0..11)
                        .for_each(|i| entry(tar, &format!("a/{i}"), tar::EntryType::Regular, b""))
                }),
            ),
            ("not a whole .tgz", b"PK\x03\x04".to_vec()),
            (
                "not a whole .tgz",
                archive(|tar| entry(tar, "a/b", tar::EntryType::Regular, &big))[..200].to_vec(),
            ),
        ];
        for (why, bytes) in cases {
            let error = unpack_within(&bytes, "demo.tgz", 2 << 20, 10)
                .expect_err(why)
                .to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
