//! The folder of the files that organizations exchange: that of the network file.

use super::{whole_file, write_file};
use crate::error::{Error, Result};
use crate::up::Exchange;
use std::path::{Component, Path, PathBuf};

pub struct ExchangeFolder {
    pub folder: PathBuf,
}

impl Exchange for ExchangeFolder {
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let path = self.folder.join(file);
        match path.exists() {
            true => whole_file(&path, "file").map(Some),
            false => Ok(None),
        }
    }

    /// Writes only into the folder and below it: the network file may be another organization's.
    fn write(&self, file: &str, content: &[u8]) -> Result<()> {
        let mut parts = Path::new(file).components();
        if !parts.all(|it| matches!(it, Component::Normal(_) | Component::CurDir)) {
            return Err(Error::user(format!("\"{file}\" is not written"))
                .why("it is outside of the folder of the network file")
                .now("nothing was written"));
        }
        write_file(&self.folder.join(file), content)
    }
}
