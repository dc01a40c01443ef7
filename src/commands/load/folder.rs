//! Folders in and out: a chart's or a crypto-config's files by their path below the top. No link leads out of the folder.

use super::unreadable;
use crate::chart::Files;
use crate::error::{Error, Place, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

/// The same limits as for an archive.
const BYTES_LIMIT: u64 = 64 << 20;
const FILES_LIMIT: usize = 10_000;
const DEPTH_LIMIT: usize = 32;

/// Reads a folder made by cryptogen; the identity room knows what belongs in it.
pub fn crypto_config(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let files = read(path, "crypto-config folder")?;
    if files.is_empty() {
        return Err(Error::user(format!("crypto-config folder \"{}\" is empty", path.display()))
            .hint("cryptogen writes peerOrganizations and ordererOrganizations into it: name the folder that holds these"));
    }
    Ok(files)
}

/// Every regular file below `path`. Version control's own folders are not part of it.
pub fn read(path: &Path, what: &str) -> Result<Files> {
    let shown = path.display().to_string();
    let top = fs::canonicalize(path).map_err(|error| unreadable(what, &shown, &error))?;
    if !top.is_dir() {
        return Err(Error::user(format!("{what} \"{shown}\" is not a folder")));
    }
    let mut walk = Walk { what, shown, top: top.clone(), files: Files::new(), bytes: 0 };
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
            let kind = entry.file_type().map_err(|error| self.unreadable(&path, &error))?;
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    self.enter(&path, depth + 1)?;
                }
            } else if kind.is_symlink() {
                let target = fs::canonicalize(&path).map_err(|error| self.unreadable(&path, &error))?;
                if !target.starts_with(&self.top) {
                    return Err(self.refuse(&path, "a link that leads out of the folder is not followed"));
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
        let size = fs::metadata(path).map_err(|error| self.unreadable(path, &error))?.len();
        self.bytes += size;
        if self.bytes > BYTES_LIMIT || self.files.len() >= FILES_LIMIT {
            return Err(Error::user(format!("{} \"{}\" is too large", self.what, self.shown))
                .why("a folder is read up to 64 MiB and 10,000 files")
                .hint("is it the right folder?"));
        }
        let content = fs::read(path).map_err(|error| self.unreadable(path, &error))?;
        let name = self.below(path).ok_or_else(|| self.refuse(path, "the file's name is not UTF-8"))?;
        self.files.insert(name, content);
        Ok(())
    }

    /// The path below the top with `/` between its parts, on every system.
    fn below(&self, path: &Path) -> Option<String> {
        let parts: Option<Vec<&str>> = path.strip_prefix(&self.top).ok()?.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    fn place(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.top).unwrap_or(path);
        Path::new(&self.shown).join(below).display().to_string()
    }

    fn refuse(&self, path: &Path, why: &str) -> Error {
        Error::user(format!("cannot read {} \"{}\"", self.what, self.shown)).at(Place::new(self.place(path)).note(why))
    }

    fn unreadable(&self, path: &Path, error: &std::io::Error) -> Error {
        unreadable(self.what, &self.place(path), error)
    }
}

/// Writes files below a new folder, or nothing: what could be written of them goes again.
pub fn export(files: &Files, folder: &Path) -> Result<()> {
    let shown = folder.display();
    if folder.exists() {
        return Err(Error::user(format!("\"{shown}\" is there already"))
            .now("nothing was written")
            .hint("name another folder with --destination, or remove this one"));
    }
    write_files(files, folder).map_err(|error| match folder.exists().then(|| fs::remove_dir_all(folder)) {
        None | Some(Ok(())) => error.replace_now("nothing was written"),
        Some(Err(_)) => error,
    })
}

/// Writes files below a folder that may be there; files of the same names are replaced.
pub fn write_files(files: &Files, folder: &Path) -> Result<()> {
    let shown = folder.display();
    let failed = |path: &Path, done: usize, broken: bool, error: std::io::Error| {
        let reason = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no space is left".to_owned(),
            ErrorKind::ReadOnlyFilesystem => "the filesystem is read-only".to_owned(),
            ErrorKind::PermissionDenied => "no permission to write there".to_owned(),
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a part of this path is a file and no folder".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        };
        Error::user(format!("cannot write \"{}\": {reason}", path.display())).now(match (done, broken) {
            (0, false) => "nothing was written".to_owned(),
            (_, false) => format!("{done} of {} files were written below \"{shown}\"", files.len()),
            (_, true) => format!("{done} of {} files were written below \"{shown}\", and this one in part", files.len()),
        })
    };
    for (done, (name, content)) in files.iter().enumerate() {
        if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Error::internal(format!("a chart's file is named \"{name}\"")));
        }
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| failed(parent, done, false, error))?;
        let mut file = fs::File::create(&path).map_err(|error| failed(&path, done, false, error))?;
        file.write_all(content).map_err(|error| failed(&path, done, true, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_by_their_path_and_exports_them_again() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::from([("Chart.yaml".into(), b"name: x".to_vec()), ("templates/a.yaml".into(), b"a: 1".to_vec())]);
        let folder = home.path().join("x");
        export(&files, &folder).unwrap();
        assert_eq!(read(&folder, "chart").unwrap(), files);
        assert!(export(&files, &folder).unwrap_err().to_string().contains("there already"));
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
        assert!(error.contains("leads out of the folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_refused_so_that_no_walk_goes_in_circles() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", home.path().join("again")).unwrap();
        assert!(read(home.path(), "chart").unwrap_err().to_string().contains("a link to a folder"));
    }
}
