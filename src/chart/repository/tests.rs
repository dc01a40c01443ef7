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
        error.contains("charts: kafka, peer-org") && error.contains("did you mean \"peer-org\"?"),
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
    // Chaincode is called anything, so its chart is always named.
    for release in ["peers", "basic", "chaincode", "my-org1"] {
        let error = chart_for_release(release).unwrap_err().to_string();
        assert!(error.contains("basic chaincode -n org1"), "{error}");
    }
}

fn archive(fill: impl FnOnce(&mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    fill(&mut builder);
    builder.into_inner().unwrap().finish().unwrap()
}

/// Writes an entry with any name. The `tar` crate's own writer would refuse some of them.
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

/// Writes an entry whose name is in a preceding entry, as GNU tar does for long names.
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
        // The writer stops here. The header promises more content than the limit allows.
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
    let whole = archive(|tar| entry(tar, "demo/values.yaml", tar::EntryType::Regular, &content));
    let files = unpack(&whole, "demo.tgz").unwrap();
    // The gzip header has fields (time, system) that do not affect the content.
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
            .contains("not a complete .tgz")
    );
}

#[test]
fn a_template_in_an_archive_that_is_no_text_is_reported_with_its_place() {
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
    let error = Chart::from_files(files, Origin::Path("demo.tgz".into()), "demo.tgz").unwrap_err();
    let report =
        "templates/a.yaml of the chart is not UTF-8 text\n  --> demo.tgz/templates/a.yaml:2";
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
            "is outside",
            archive(|tar| entry(tar, "demo/../../etc/passwd", tar::EntryType::Regular, b"")),
        ),
        (
            "is outside",
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
            "not a complete .tgz",
            archive(|tar| entry(tar, "demo/a", tar::EntryType::GNUSparse, b"")),
        ),
        (
            "is outside",
            archive(|tar| long_name(tar, "demo/../../etc/passwd")),
        ),
        (
            "not in a top-level folder",
            archive(|tar| entry(tar, "Chart.yaml", tar::EntryType::Regular, b"")),
        ),
        (
            "a control character",
            archive(|tar| entry(tar, "demo/\u{1b}[2Ja", tar::EntryType::Regular, b"")),
        ),
        (
            "more than one top-level folder",
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
                (0..3).for_each(|i| entry(tar, &format!("a/{i}"), tar::EntryType::Regular, &big))
            }),
        ),
        (
            "more than 10 files",
            archive(|tar| {
                (0..11).for_each(|i| entry(tar, &format!("a/{i}"), tar::EntryType::Regular, b""))
            }),
        ),
        ("not a complete .tgz", b"PK\x03\x04".to_vec()),
        (
            "not a complete .tgz",
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
