//! The programs that are measured: found, or built.

use crate::control_plane::repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who does a work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Fabric,
    Helm,
    Kubectl,
    Floor,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Fabric => "kubectl fabric",
            Side::Helm => "Helm",
            Side::Kubectl => "kubectl apply",
            Side::Floor => "floor",
        }
    }
}

pub struct Programs {
    pub fabric: PathBuf,
    pub helm: PathBuf,
    pub helm_version: String,
}

impl Programs {
    /// The plugin is the release build that the Makefile lays beside (`PLUGIN` names another), Helm
    /// what `HELM` names or what go.mod pins.
    pub fn find() -> Programs {
        let fabric = std::env::var_os("PLUGIN").map_or_else(
            || repository().join("target/bench/kubectl-fabric"),
            PathBuf::from,
        );
        assert!(
            fabric.exists(),
            "no plugin at {}: run `make bench`",
            fabric.display()
        );
        let helm_version = pinned_helm();
        let helm =
            std::env::var_os("HELM").map_or_else(|| build_helm(&helm_version), PathBuf::from);
        Programs {
            fabric,
            helm,
            helm_version,
        }
    }

    /// Size of the plugin in bytes.
    pub fn fabric_size(&self) -> u64 {
        fs::metadata(&self.fabric).expect("the plugin").len()
    }
}

fn peers() -> PathBuf {
    repository().join("benches/compare/peers")
}

fn pinned_helm() -> String {
    let pins = fs::read_to_string(peers().join("go.mod")).expect("the list of peers");
    let pin = pins
        .lines()
        .find_map(|line| line.strip_prefix("require helm.sh/helm/v4 "));
    pin.expect("Helm is pinned").to_owned()
}

/// Builds Helm as its releases are built (Makefile of helm/helm: no cgo, stripped), once per
/// version.
fn build_helm(version: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(dirs::home_dir()?.join(".cache")));
    let folder = cache
        .expect("a home folder")
        .join("kubectl-fabric/bench")
        .join(format!("helm-{version}"));
    let program = folder.join("helm");
    if !program.exists() {
        eprintln!("bench: building Helm {version}");
        fs::create_dir_all(&folder).expect("a folder in the cache");
        go_build(
            &format!("-s -w -X helm.sh/helm/v4/internal/version.version={version}"),
            &program,
        );
    }
    program
}

fn go_build(stamp: &str, target: &Path) {
    // Under a name of its own until it is whole: an interrupted build leaves nothing that looks
    // finished.
    let partial = target.with_extension("partial");
    let mut go = Command::new("go");
    go.args([
        "build",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        stamp,
        "-o",
    ])
    .arg(&partial)
    .arg("helm.sh/helm/v4/cmd/helm");
    let built = go
        .current_dir(peers())
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0")
        .status()
        .expect("Go is installed, or HELM names a Helm");
    assert!(built.success(), "Helm was not built, see above");
    fs::rename(partial, target).expect("the same folder");
}
