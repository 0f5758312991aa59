//! Models and prices that were imported, in a file beside the ledger: asked behind the configuration's own
//! and before what is built in.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tollgate_providers::catalogue::{Catalogue, Imports};

use super::problem::Severity;
use super::reader::Reader;

/// Where `tollgate models import` writes.
pub fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".catalogue.json");
    PathBuf::from(name)
}

/// The catalogue with what is imported, or the built-in one where nothing is.
pub(super) fn catalogue(database: &Path, reader: &Reader<'_>) -> &'static Catalogue<'static> {
    let path = beside(database);
    let read = std::fs::read_to_string(&path);
    let found = match read {
        Ok(text) => known(&text).map_err(|why| format!("is not what was imported: {why}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Catalogue::builtin();
        }
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    found.unwrap_or_else(|why| {
        let help = "import the files again, or remove it".to_owned();
        let message = format!("{} {why}", path.display());
        reader.report(Severity::Error, 0..0, "storage.path", message, Some(help));
        Catalogue::builtin()
    })
}

/// A catalogue lives as long as the process, as the built-in one does; the same text is read once.
fn known(text: &str) -> Result<&'static Catalogue<'static>, String> {
    static READ: Mutex<Vec<(blake3::Hash, &'static Catalogue<'static>)>> = Mutex::new(Vec::new());
    let digest = blake3::hash(text.as_bytes());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, catalogue)) = read.iter().find(|(known, _)| *known == digest) {
        return Ok(catalogue);
    }
    let imports = Imports::read(text).map_err(|error| error.message)?;
    Catalogue::with(&imports).map_err(|error| error.message)?;
    let imports: &'static Imports = Box::leak(Box::new(imports));
    let catalogue = Catalogue::with(imports).map_err(|error| error.message)?;
    let catalogue: &'static Catalogue<'static> = Box::leak(Box::new(catalogue));
    read.push((digest, catalogue));
    Ok(catalogue)
}
