//! A peer's core.yaml.

use super::chaincode::Chaincode;
use crate::yaml;
use semver::Version;
use serde_json::Value;

/// The keys of `sampleconfig/core.yaml` that have no default in the program, with that file's
/// values. Settings that differ between nodes are in the environment.
///
/// The mark at the end of a line selects the peers that have it: `# since 2.4` and `# before 2.0`
/// name lines of Fabric, `# with Docker` those that run chaincode with Docker.
const FILE: &str = include_str!("core.yaml");

/// Returns core.yaml for the lines that need one. Before 3.0, viper treats an empty variable as
/// unset, so only a file without `vm.endpoint` prevents a peer from contacting a Docker daemon.
pub fn yaml(version: &Version, chaincode: Chaincode, builders: Vec<Value>) -> Value {
    let text = marked_for((version.major, version.minor), chaincode.is_docker());
    let mut core = yaml::parse(&text, "core.yaml").expect("core.yaml is valid for every line");
    if let Some(list) = core.pointer_mut("/chaincode/externalBuilders") {
        *list = builders.into();
    }
    core
}

/// Returns the lines of the file for this line of Fabric.
fn marked_for(version: (u64, u64), has_docker: bool) -> String {
    let mut text = String::with_capacity(FILE.len());
    // The indentation of a block that is left out.
    let mut left_out: Option<usize> = None;
    for line in FILE.lines().filter(|line| !line.starts_with('#')) {
        let indentation = line.len() - line.trim_start().len();
        if left_out.is_some_and(|block| indentation > block) {
            continue;
        }
        let (content, mark) = line.split_once(" # ").unwrap_or((line, ""));
        left_out = (!holds(mark, version, has_docker)).then_some(indentation);
        if left_out.is_none() {
            text.push_str(content);
            text.push('\n');
        }
    }
    text
}

fn holds(mark: &str, version: (u64, u64), has_docker: bool) -> bool {
    let line = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let line = |text| line(text).expect("a mark names a line of Fabric");
    match mark.split_once(' ') {
        Some(("since", first)) => version >= line(first),
        Some(("before", first)) => version < line(first),
        Some(("with", "Docker")) => has_docker,
        mark => mark.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_understood() {
        let marks = FILE.lines().filter(|line| !line.starts_with('#'));
        for mark in marks.filter_map(|line| Some(line.split_once(" # ")?.1)) {
            let holds = |version, docker| holds(mark, version, docker);
            assert!(
                holds((1, 4), false) != holds((2, 5), false)
                    || holds((2, 5), false) != holds((2, 5), true),
                "{mark:?} means nothing"
            );
        }
    }

    #[test]
    fn a_mark_holds_for_its_block() {
        let keys = |major, minor, chaincode| {
            let core = yaml(&Version::new(major, minor, 0), chaincode, Vec::new());
            ["/peer/limits", "/peer/gateway", "/vm/docker"].map(|key| core.pointer(key).is_some())
        };
        assert_eq!(keys(1, 4, Chaincode::DockerSock), [false, false, true]);
        assert_eq!(keys(2, 2, Chaincode::Ccaas), [true, false, false]);
        assert_eq!(keys(2, 5, Chaincode::Ccaas), [true, true, false]);
    }
}
