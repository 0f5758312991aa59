//! The pepper: the key that keys are digested with. It lies in a file beside the database, readable by
//! its owner alone, so that a copy of the database opens nothing.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::tenants::Pepper;

/// Why there is no pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The file cannot be read or made.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold 64 hexadecimal digits", .0.display())]
    Garbled(PathBuf),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The pepper of the database at `path`, made if there is none.
pub(super) fn beside(database: &Path) -> Result<Pepper, PepperError> {
    let mut name = database.as_os_str().to_owned();
    name.push(".pepper");
    let path = PathBuf::from(name);
    let io = |error| PepperError::Io { path: path.clone(), error };
    match std::fs::read_to_string(&path) {
        Ok(text) => Pepper::from_hex(&text).ok_or_else(|| PepperError::Garbled(path.clone())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let pepper = Pepper::random().map_err(PepperError::Random)?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&path).map_err(io)?;
            writeln!(file, "{}", pepper.to_hex()).and_then(|()| file.sync_all()).map_err(io)?;
            Ok(pepper)
        }
        Err(error) => Err(io(error)),
    }
}
