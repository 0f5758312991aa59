//! The folder beside the database where the contents of files are. A file there has the name of its
//! id, which nobody chooses but us.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// The folder of contents.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of the database at `path`, made if there is none.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn beside(database: &Path) -> Result<Folder> {
        let mut name = database.as_os_str().to_owned();
        name.push(".files");
        let path = PathBuf::from(name);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Folder(path))
    }

    /// Where the contents of a file are.
    pub fn path(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    /// The ids that have contents.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn ids(&self) -> Result<Vec<String>> {
        let names = std::fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().into_string()));
        let names = names.collect::<Result<Vec<_>>>()?;
        // A name that is no text is none of ours.
        Ok(names.into_iter().filter_map(std::result::Result::ok).collect())
    }

    /// Removes a file's contents.
    pub fn remove(&self, id: &str) {
        match std::fs::remove_file(self.path(id)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, id, "a file's contents could not be removed"),
        }
    }

    /// Begins contents.
    ///
    /// # Errors
    /// Where they are there already, or the disk refuses.
    pub(super) async fn begin(&self, id: &str) -> Result<Upload> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(self.path(id)).await?;
        Ok(Upload { folder: self.clone(), id: id.to_owned(), file, bytes: 0, kept: false })
    }

    /// Has the names in the folder on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        std::fs::File::open(&self.0)?.sync_all()
    }
}

/// Contents on their way in; removed when they are given up.
#[derive(Debug)]
pub struct Upload {
    folder: Folder,
    id: String,
    file: File,
    bytes: u64,
    kept: bool,
}

impl Upload {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece).await?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Has it on the disk, contents and name.
    pub(super) async fn sync(&mut self) -> Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let folder = self.folder.clone();
        let synced = tokio::task::spawn_blocking(move || folder.sync()).await;
        synced.map_err(|error| Error::other(error.to_string()))?
    }

    /// It stays.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.kept {
            self.folder.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn contents_that_are_given_up_are_removed_and_others_stay() {
        let place = std::env::temp_dir().join(format!("tollgate-folder-{}", std::process::id()));
        let folder = Folder::beside(&place).unwrap();
        let mut kept = folder.begin("file-1").await.unwrap();
        kept.write(b"one").await.unwrap();
        kept.sync().await.unwrap();
        kept.keep();
        let mut dropped = folder.begin("file-2").await.unwrap();
        dropped.write(b"two").await.unwrap();
        assert!(folder.begin("file-1").await.is_err(), "an id is one file");
        drop(dropped);
        assert_eq!(folder.ids().unwrap(), ["file-1"]);
        assert_eq!(std::fs::read(folder.path("file-1")).unwrap(), b"one");
        folder.remove("file-1");
        folder.remove("file-1");
        std::fs::remove_dir(&folder.0).unwrap();
    }
}
