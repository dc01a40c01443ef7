//! Reads and writes folders: the files of a chart or crypto-config by relative path. Links to
//! targets outside the folder are not followed.

use super::unreadable;
use crate::chart::Files;
use crate::error::{Error, Place, Result};
use crate::member::Folder;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

/// The same limits as for an archive.
const BYTES_LIMIT: u64 = 64 << 20;
const FILES_LIMIT: usize = 10_000;
const DEPTH_LIMIT: usize = 32;

/// Reads a folder written by cryptogen. The identity room checks its content.
pub fn crypto_config(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let files = read(path, "crypto-config folder")?;
    if files.is_empty() {
        return Err(Error::user(format!(
            "crypto-config folder \"{}\" is empty",
            path.display()
        ))
        .hint(
            "use the folder in which cryptogen created peerOrganizations and ordererOrganizations",
        ));
    }
    Ok(files)
}

/// Reads the folder of an identity: a user's, with `msp` and `tls` in it, or an MSP folder, with
/// `tls` next to it.
pub fn identity(path: &Path) -> Result<Folder> {
    let files = read(path, "identity folder")?;
    let below = |files: &Files, folder: &str| -> Files {
        let inside = files.iter();
        inside
            .filter_map(|(path, bytes)| {
                Some((path.strip_prefix(folder)?.to_owned(), bytes.clone()))
            })
            .collect()
    };
    let name = path.display().to_string();
    let user = below(&files, "msp/");
    if !user.is_empty() {
        return Ok(Folder {
            name: format!("{}/msp", name.trim_end_matches('/')),
            msp: user,
            tls: below(&files, "tls/"),
        });
    }
    if !files.keys().any(|path| path.starts_with("signcerts/")) {
        return Err(Error::user(format!("\"{name}\" is not an identity folder"))
            .why("it contains neither msp nor signcerts")
            .hint("cryptogen writes identities to users/Admin@org1, fabric-ca-client to the folder of -M"));
    }
    let beside = path.join("../tls");
    let tls = match path.ends_with("msp") && beside.is_dir() {
        true => read(&beside, "identity folder")?,
        false => Files::new(),
    };
    Ok(Folder {
        name,
        msp: files,
        tls,
    })
}

/// Every regular file below `path`, without the folders of version control.
pub fn read(path: &Path, what: &str) -> Result<Files> {
    let shown = path.display().to_string();
    let top = fs::canonicalize(path).map_err(|error| unreadable(what, &shown, &error))?;
    if !top.is_dir() {
        return Err(Error::user(format!("{what} \"{shown}\" is not a folder")));
    }
    let mut walk = Walk {
        what,
        shown,
        top: top.clone(),
        files: Files::new(),
        bytes: 0,
    };
    walk.enter(&top, 0)?;
    Ok(walk.files)
}

struct Walk<'a> {
    what: &'a str,
    /// The folder as the user named it.
    shown: String,
    top: PathBuf,
    files: Files,
    bytes: u64,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, depth: usize) -> Result<()> {
        if depth > DEPTH_LIMIT {
            return Err(self.refuse(folder, "folders are nested too deep"));
        }
        for entry in fs::read_dir(folder).map_err(|error| self.unreadable(folder, &error))? {
            let entry = entry.map_err(|error| self.unreadable(folder, &error))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .map_err(|error| self.unreadable(&path, &error))?;
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    self.enter(&path, depth + 1)?;
                }
            } else if kind.is_symlink() {
                let target =
                    fs::canonicalize(&path).map_err(|error| self.unreadable(&path, &error))?;
                if !target.starts_with(&self.top) {
                    return Err(self.refuse(
                        &path,
                        "a link to a target outside the folder is not followed",
                    ));
                }
                if !target.is_file() {
                    return Err(self.refuse(&path, "a link to a folder is not followed"));
                }
                self.take(&path)?;
            } else if kind.is_file() {
                self.take(&path)?;
            } else {
                return Err(self.refuse(&path, "neither a file nor a folder"));
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path) -> Result<()> {
        let size = fs::metadata(path)
            .map_err(|error| self.unreadable(path, &error))?
            .len();
        self.bytes += size;
        if self.bytes > BYTES_LIMIT || self.files.len() >= FILES_LIMIT {
            return Err(
                Error::user(format!("{} \"{}\" is too large", self.what, self.shown))
                    .why("the limit is 64 MiB and 10,000 files")
                    .hint("is it the right folder?"),
            );
        }
        let content = fs::read(path).map_err(|error| self.unreadable(path, &error))?;
        let name = self
            .below(path)
            .ok_or_else(|| self.refuse(path, "the file's name is not UTF-8"))?;
        self.files.insert(name, content);
        Ok(())
    }

    /// The relative path with `/` as separator, on every system.
    fn below(&self, path: &Path) -> Option<String> {
        let parts: Option<Vec<&str>> = path
            .strip_prefix(&self.top)
            .ok()?
            .iter()
            .map(|part| part.to_str())
            .collect();
        Some(parts?.join("/"))
    }

    fn place(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.top).unwrap_or(path);
        Path::new(&self.shown).join(below).display().to_string()
    }

    fn refuse(&self, path: &Path, why: &str) -> Error {
        Error::user(format!("cannot read {} \"{}\"", self.what, self.shown))
            .at(Place::new(self.place(path)).note(why))
    }

    fn unreadable(&self, path: &Path, error: &std::io::Error) -> Error {
        unreadable(self.what, &self.place(path), error)
    }
}

/// Writes files to a new folder. On failure, removes the files that were written.
pub fn export(files: &Files, folder: &Path) -> Result<()> {
    let shown = folder.display();
    // A dangling link counts as existing.
    if fs::symlink_metadata(folder).is_ok() {
        return Err(Error::user(format!("\"{shown}\" already exists"))
            .now("nothing was written")
            .hint("use another folder with --destination, or remove this one"));
    }
    write_files(files, folder).map_err(|error| {
        match folder.exists().then(|| fs::remove_dir_all(folder)) {
            None | Some(Ok(())) => error.replace_now("nothing was written"),
            Some(Err(_)) => error,
        }
    })
}

/// Writes identities below a folder, as [`write_files`] does. Refuses to replace files that have
/// other content, unless `overwrite` is set.
pub fn write_identities(files: &Files, folder: &Path, overwrite: bool) -> Result<()> {
    let differs = |(name, content): (&String, &Vec<u8>)| {
        let path = folder.join(name);
        let note = match fs::symlink_metadata(&path) {
            Err(_) => return None,
            Ok(there) if there.is_symlink() => "it is a link",
            Ok(there) if !there.is_file() => "it is not a file",
            Ok(_) if fs::read(&path).is_ok_and(|there| there == *content) => return None,
            Ok(_) => "it has other content",
        };
        Some(Place::new(path.display().to_string()).note(note))
    };
    let different: Vec<Place> = match overwrite {
        true => Vec::new(),
        false => files.iter().filter_map(differs).collect(),
    };
    if different.is_empty() {
        return write_files(files, folder);
    }
    Err(Error::refused(format!(
        "\"{}\" has other files of these names",
        folder.display()
    ))
    .at_all(different)
    .now("nothing was written")
    .hint("write to another folder, or replace the files with --overwrite"))
}

/// Whether a folder has an entry of another name.
pub fn others_in(folder: &Path, name: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().any(|entry| entry.file_name() != name)
}

/// Writes files to a new or existing folder, and replaces files of the same name. They may hold
/// secrets, so only the user can read them (0600), and links are not followed: a link to a folder
/// is refused, and a link in place of a file is replaced.
pub fn write_files(files: &Files, folder: &Path) -> Result<()> {
    let shown = folder.display();
    let failed = |path: &Path, done: usize, error: std::io::Error| {
        let reason = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no space is left".to_owned(),
            ErrorKind::ReadOnlyFilesystem => "the filesystem is read-only".to_owned(),
            ErrorKind::PermissionDenied => "no permission to write there".to_owned(),
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                "a part of this path is a file, not a folder".to_owned()
            }
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        };
        Error::user(format!("cannot write \"{}\": {reason}", path.display())).now(match done {
            0 => "nothing was written".to_owned(),
            _ => format!(
                "{done} of {} files were written below \"{shown}\"",
                files.len()
            ),
        })
    };
    for (done, (name, content)) in files.iter().enumerate() {
        if Path::new(name)
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err(Error::internal(format!("a file is named \"{name}\"")));
        }
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        make_folders(folder, parent).map_err(|(place, error)| match error {
            Some(error) => failed(&place, done, error),
            None => failed(
                &place,
                done,
                std::io::Error::other("it is a link, and links are not followed"),
            )
            .hint("use the folder that it points to, or remove the link"),
        })?;
        // Write to a temporary file (0600) and rename it, so that the file is complete or absent.
        let written = tempfile::NamedTempFile::new_in(parent).and_then(|mut file| {
            // Of the file itself: errors of the other kind name the temporary path.
            file.as_file_mut().write_all(content)?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map_err(|error| failed(&path, done, error))?;
    }
    Ok(())
}

/// Creates `folder` and the folders below it down to `last`; new ones are private to the user
/// (0700). The error names the path; it is `None` if that is a link.
fn make_folders(
    folder: &Path,
    last: &Path,
) -> std::result::Result<(), (PathBuf, Option<std::io::Error>)> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    // Without a trailing slash, which would make this look at the target of a link.
    let mut path: PathBuf = folder.components().collect();
    let below: Vec<PathBuf> = last
        .strip_prefix(folder)
        .unwrap_or(Path::new(""))
        .iter()
        .map(PathBuf::from)
        .collect();
    for step in std::iter::once(PathBuf::new()).chain(below) {
        if !step.as_os_str().is_empty() {
            path.push(step);
        }
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_symlink() => return Err((path, None)),
            Ok(there) if there.is_dir() => {}
            _ => builder
                .create(&path)
                .map_err(|error| (path.clone(), Some(error)))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_by_their_path_and_exports_them_again() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::from([
            ("Chart.yaml".into(), b"name: x".to_vec()),
            ("templates/a.yaml".into(), b"a: 1".to_vec()),
        ]);
        let folder = home.path().join("x");
        export(&files, &folder).unwrap();
        assert_eq!(read(&folder, "chart").unwrap(), files);
        assert!(
            export(&files, &folder)
                .unwrap_err()
                .to_string()
                .contains("already exists")
        );
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_the_user_alone_and_no_link_decides_where_they_go() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        let files = Files::from([("chart/templates/a.yaml".into(), b"secret".to_vec())]);
        write_files(&files, &path("out")).unwrap();
        assert_eq!(
            (
                mode("out/chart/templates/a.yaml"),
                mode("out/chart"),
                mode("out")
            ),
            (0o600, 0o700, 0o700)
        );

        // A file that others could read, and a link in the place of a file.
        fs::set_permissions(
            path("out/chart/templates/a.yaml"),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        write_files(&files, &path("out")).unwrap();
        assert_eq!(mode("out/chart/templates/a.yaml"), 0o600);
        fs::write(path("victim"), "theirs").unwrap();
        fs::remove_file(path("out/chart/templates/a.yaml")).unwrap();
        symlink(path("victim"), path("out/chart/templates/a.yaml")).unwrap();
        write_files(&files, &path("out")).unwrap();
        assert_eq!(fs::read(path("victim")).unwrap(), b"theirs");
        assert!(
            fs::symlink_metadata(path("out/chart/templates/a.yaml"))
                .unwrap()
                .is_file()
        );

        // Links to folders: on the way, and at the top, with and without a slash.
        fs::create_dir_all(path("elsewhere/templates")).unwrap();
        fs::create_dir(path("trap")).unwrap();
        symlink(path("elsewhere"), path("trap/chart")).unwrap();
        symlink(path("elsewhere"), path("link")).unwrap();
        symlink(path("nowhere"), path("dangling")).unwrap();
        for folder in ["trap", "link", "link/", "dangling"] {
            let error = write_files(&files, &path(folder)).unwrap_err().to_string();
            assert!(
                error.contains("links are not followed") && error.contains("nothing was written"),
                "{folder}: {error}"
            );
        }
        assert!(
            export(&files, &path("dangling"))
                .unwrap_err()
                .to_string()
                .contains("already exists")
        );
        assert!(
            fs::read_dir(path("elsewhere/templates"))
                .unwrap()
                .next()
                .is_none()
        );
        assert!(!path("nowhere").exists());
    }

    #[cfg(unix)]
    #[test]
    fn an_export_replaces_nothing_unless_it_is_reported_to() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let files = |key: &[u8]| {
            Files::from([
                ("keystore/priv_sk".to_owned(), key.to_vec()),
                ("signcerts/cert.pem".to_owned(), b"certificate".to_vec()),
            ])
        };
        let folder = path("msp");
        write_identities(&files(b"one"), &folder, false).unwrap();
        write_identities(&files(b"one"), &folder, false).unwrap();
        let key = folder.join("keystore/priv_sk");
        fs::remove_file(folder.join("signcerts/cert.pem")).unwrap();
        let error = write_identities(&files(b"two"), &folder, false).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Refused);
        assert!(error.to_string().contains("keystore/priv_sk"), "{error}");
        assert!(error.to_string().contains("--overwrite"), "{error}");
        // Nothing at all was written.
        assert_eq!(fs::read(&key).unwrap(), b"one");
        assert!(!folder.join("signcerts/cert.pem").exists());

        // A link in the place of a key is refused, and replaced on request. It is never followed.
        fs::write(path("theirs"), "theirs").unwrap();
        fs::remove_file(&key).unwrap();
        symlink(path("theirs"), &key).unwrap();
        let error = write_identities(&files(b"two"), &folder, false).unwrap_err();
        assert!(error.to_string().contains("it is a link"), "{error}");
        write_identities(&files(b"two"), &folder, true).unwrap();
        assert_eq!(fs::read(path("theirs")).unwrap(), b"theirs");
        let mode = fs::symlink_metadata(&key).unwrap().permissions().mode();
        assert_eq!(
            (fs::read(&key).unwrap(), mode & 0o777),
            (b"two".to_vec(), 0o600)
        );
        // No file of another name is left.
        assert_eq!(fs::read_dir(folder.join("keystore")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_inside_the_folder_only() {
        use std::os::unix::fs::symlink;
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("secret"), "outside").unwrap();
        let folder = home.path().join("chart");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("real"), "inside").unwrap();
        symlink("real", folder.join("alias")).unwrap();
        assert_eq!(read(&folder, "chart").unwrap()["alias"], b"inside");
        symlink("../secret", folder.join("leak")).unwrap();
        let error = read(&folder, "chart").unwrap_err().to_string();
        assert!(error.contains("a target outside the folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_refused_so_that_no_walk_goes_in_circles() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", home.path().join("again")).unwrap();
        assert!(
            read(home.path(), "chart")
                .unwrap_err()
                .to_string()
                .contains("a link to a folder")
        );
    }
}
