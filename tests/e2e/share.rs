//! A folder of this machine in place of an NFS server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::node::Node;

/// Who may read the keys, as on a server that tells users apart.
const GROUP: u32 = 5000;

pub struct Share<'a> {
    node: &'a Node,
    pub folder: PathBuf,
}

impl<'a> Share<'a> {
    /// The chart's value for [`GROUP`].
    pub const GROUP: &'static str = "crypto.nfs.group=5000";

    /// Holds a copy of this folder, which nobody but root and the group may read.
    pub fn of(node: &'a Node, source: &Path) -> Share<'a> {
        let share = Share {
            node,
            folder: node.cluster.folder().join("share"),
        };
        share.copy(source, Path::new(""));
        share
    }

    fn copy(&self, source: &Path, target: &Path) {
        if source.is_file() {
            return self.write(target, &fs::read(source).expect("a fixture"));
        }
        self.make(target);
        for entry in fs::read_dir(source).expect("a fixture") {
            let name = entry.expect("a fixture").file_name();
            self.copy(&source.join(&name), &target.join(&name));
        }
    }

    fn make(&self, target: &Path) {
        let folder = self.folder.join(target);
        fs::create_dir(&folder).expect("a folder of ours");
        guard(&folder, 0o750);
    }

    pub fn write(&self, target: impl AsRef<Path>, content: &[u8]) {
        let file = self.folder.join(target);
        fs::write(&file, content).expect("a folder of ours");
        guard(&file, 0o440);
    }

    /// Makes the volume and the claim of a release as the chart has them, but for the way to the
    /// files.
    pub fn export(&self, release: &str) {
        let server = format!(
            "crypto.source=nfs,crypto.nfs.server=nfs.example.com,crypto.nfs.path={}",
            self.folder.display()
        );
        let manifest = self
            .node
            .fabric(&["template", release, "--set", &server, "--set", Share::GROUP])
            .stdout;
        self.node
            .cluster
            .kubectl()
            .args(["create", "namespace", release])
            .run()
            .success();
        let mut kinds = Vec::new();
        for document in serde_yaml::Deserializer::from_str(&manifest) {
            let mut object = Value::deserialize(document).expect("an object");
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            if kind == "PersistentVolume" {
                let nfs = object["spec"]
                    .as_object_mut()
                    .expect("a volume")
                    .remove("nfs")
                    .expect("a volume on NFS");
                object["spec"]["hostPath"] = json!({"path": nfs["path"], "type": "Directory"});
            }
            if kind.starts_with("PersistentVolume") {
                self.node.cluster.apply(release, &object.to_string());
                kinds.push(kind);
            }
        }
        assert_eq!(
            kinds,
            ["PersistentVolume", "PersistentVolumeClaim"],
            "{release}"
        );
    }
}

fn guard(path: &Path, mode: u32) {
    chown(path, Some(0), Some(GROUP)).expect("root");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
}
