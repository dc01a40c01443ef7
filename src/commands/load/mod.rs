//! Reads the files that arguments name: values files, charts, crypto-config folders. Every read has
//! a size limit that is checked first.

mod charts;
mod exchange;
mod folder;
mod network;

pub use charts::{chart_by_name_or_path, chart_choice, kept};
pub use exchange::ExchangeFolder;
pub use folder::{crypto_config, export, identity, others_in, write_files, write_identities};
pub use network::{NetworkFile, development_network, network, network_file};

use crate::chart::Files;
use crate::error::{Error, Place, Result, public_url};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// A larger values file is a mistake. It is refused by its size, before it is read.
const VALUES_LIMIT: u64 = 16 << 20;

/// Reads one `-f` argument, `-` being standard input; returns the name to show in errors, and the
/// text.
pub fn values_file(argument: &str) -> Result<(String, String)> {
    if argument == "-" {
        let bytes = read_capped(std::io::stdin().lock(), "standard input")?;
        return Ok(("standard input".to_owned(), utf8(bytes, "standard input")?));
    }
    if argument.is_empty() {
        return Err(Error::user("-f has no file name").hint("write -f FILE, or leave it out"));
    }
    if ["http://", "https://"]
        .iter()
        .any(|scheme| argument.starts_with(scheme))
    {
        let url = public_url(argument);
        return Err(Error::user(format!("\"{url}\" is a URL, but values are read from files only"))
            .hint("download it and look at it first, or pipe it in: `curl -fsSL URL | kubectl fabric ... -f -`"));
    }
    Ok((
        argument.to_owned(),
        text_file(Path::new(argument), "values file")?,
    ))
}

/// Standard input can be read once.
pub fn refuse_second_stdin(files: &[String]) -> Result<()> {
    if files.iter().filter(|file| *file == "-").count() > 1 {
        return Err(
            Error::user("-f - is given more than once").why("standard input can be read only once")
        );
    }
    Ok(())
}

/// Reads the file that `--set-file key=path` names.
pub fn set_file(key: &str, path: &str) -> Result<String> {
    let place = || Place::new(format!("--set-file {key}"));
    // The argument may be a value instead of a path (as for --set), so it is not printed.
    match Path::new(path).exists() {
        true => text_file(Path::new(path), "file").map_err(|error| error.at(place())),
        false => Err(Error::user("the file that --set-file names does not exist")
            .at(place())
            .hint("it takes key=path; --set takes key=value")),
    }
}

fn text_file(path: &Path, what: &str) -> Result<String> {
    utf8(whole_file(path, what)?, &path.display().to_string())
}

/// Reads a text file of the user's. `what` names its kind in errors.
pub fn text(path: &Path, what: &str) -> Result<String> {
    text_file(path, what)
}

/// Reads a secret from the first line of a file, `-` being standard input.
pub fn secret(argument: &str) -> Result<String> {
    let text = match argument {
        "-" => utf8(
            read_capped(std::io::stdin().lock(), "standard input")?,
            "standard input",
        )?,
        path => text_file(Path::new(path), "secret")?,
    };
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(Error::user("the secret is empty").at(Place::new(argument))),
    }
}

/// Reads a file of the user's with JSON. `what` names its kind in errors.
pub fn json(path: &Path, what: &str) -> Result<serde_json::Value> {
    let text = text_file(path, what)?;
    serde_json::from_str(&text).map_err(|error| {
        let shown = path.display().to_string();
        Error::user(format!("cannot read {what} \"{shown}\""))
            .at(Place::new(shown).at(error.line(), error.column()))
            .why(format!("it is not JSON: {error}"))
    })
}

/// Reads a block from a file.
pub fn block(path: &Path) -> Result<Vec<u8>> {
    whole_file(path, "block")
}

/// Reads a chaincode package.
pub fn package(path: &Path) -> Result<Vec<u8>> {
    whole_file(path, "chaincode package")
}

/// Reads the CouchDB indexes of a chaincode: the files of a folder that has `META-INF` in it, by
/// path.
pub fn indexes(path: &Path) -> Result<Files> {
    let mut files = folder::read(path, "folder of indexes")?;
    files.retain(|path, _| path.starts_with("META-INF/"));
    match files.is_empty() {
        false => Ok(files),
        true => Err(
            Error::user(format!("\"{}\" contains no indexes", path.display()))
                .why("peers read them from META-INF/statedb/couchdb/indexes/*.json")
                .hint("use the folder that contains META-INF"),
        ),
    }
}

/// Writes a result to a file atomically. Refuses a link in its place, which would be replaced and
/// could point anywhere.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink()) {
        return Err(Error::user(format!("cannot write \"{}\"", path.display()))
            .why("it is a link, and links are not followed")
            .now("nothing was written")
            .hint("use the file that it points to, or remove the link"));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error: std::io::Error| {
        Error::user(format!("cannot write \"{}\"", path.display()))
            .why(error.to_string())
            .now("nothing was written")
    })
}

fn whole_file(path: &Path, what: &str) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(what, &shown, &error))?;
    let metadata = file
        .metadata()
        .map_err(|error| unreadable(what, &shown, &error))?;
    if metadata.is_dir() {
        return Err(Error::user(format!("{what} \"{shown}\" is a folder")).hint("use a file in it"));
    }
    if metadata.is_file() && metadata.len() > VALUES_LIMIT {
        return Err(too_large(what, &shown, Some(metadata.len())));
    }
    read_capped(file, &shown)
}

/// Reads to the end or to the limit: the size of a pipe is unknown.
fn read_capped(reader: impl Read, subject: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(VALUES_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable("values file", subject, &error))?;
    if bytes.len() as u64 > VALUES_LIMIT {
        return Err(too_large("values file", subject, None));
    }
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>, subject: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = valid
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        Error::user(format!("\"{subject}\" is not UTF-8 text"))
            .at(Place::new(subject).at(line, column))
    })
}

fn too_large(what: &str, subject: &str, size: Option<u64>) -> Error {
    let size = size.map_or("more than 16 MiB".to_owned(), |size| {
        format!("{} MiB", size >> 20)
    });
    Error::user(format!("{what} \"{subject}\" is too large: {size}"))
        .why("the limit for values is 16 MiB")
        .hint("is it the right file?")
}

/// The error for a file that cannot be read.
fn unreadable(what: &str, subject: &str, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => error.to_string(),
    };
    Error::user(format!("cannot read {what} \"{subject}\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_result_is_not_written_through_a_link_or_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        std::fs::write(&file, "theirs").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let error = write_file(&link, b"ours").unwrap_err().to_string();
        assert!(error.contains("links are not followed"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"theirs");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        write_file(&file, b"ours").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"ours");
    }

    #[test]
    fn text_that_is_no_utf8_is_reported_with_its_place() {
        let error = utf8(b"ab\ncd\xff".to_vec(), "a.yaml").unwrap_err();
        assert_eq!(
            (error.places()[0].line, error.places()[0].column),
            (Some(2), Some(3))
        );
    }
}
