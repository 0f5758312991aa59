//! Calls that have until tomorrow: files of requests that clients send, and batches that make them.

mod answers;
mod calls;
mod errands;
mod folder;
mod hand_over;
mod lines;
mod patience;
mod results;
mod run;
mod settings;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tollgate_accounting::{DAY, Timestamp};

pub use calls::{Again, Asking, Call, Calls, Endpoint, Given, HoldTerms, Holding, Made, Making};
pub use folder::{Folder, Upload};
pub use run::run;
pub use settings::Settings;

use crate::clock;
use crate::ledger::{
    BatchProgress, BatchRow, BatchStatus, BatchUsage, FileQuota, FileRow, Ledger, Reader, Refused,
    StoreError,
};

/// Files of an account.
const MOST_FILES: u64 = 10_000;
/// Files that are received at once; others are read when one of them is whole.
const UPLOADS: usize = 8;
/// What a file is for that a client may send.
pub const FOR_BATCHES: &str = "batch";
/// What a file is that a batch made.
const OF_BATCHES: &str = "batch_output";
/// Batches of an account that are not over.
const MOST_UNFINISHED: u64 = 100;
/// How long a batch has.
const WINDOW_MICROS: i64 = DAY;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The account keeps as much as it may.
    #[error("this account may keep {0} bytes of files: delete some, or wait until they expire")]
    Full(u64),
    /// The account has as many batches at work as it may.
    #[error("this account has {0} batches that are not over, and may have no more")]
    TooMany(u64),
    /// The file is too large.
    #[error("a file has at most {0} bytes")]
    TooLarge(u64),
    /// The ledger takes no writes now.
    #[error("the ledger takes no writes now")]
    Ledger(Refused),
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file's contents cannot be read or written.
    #[error("a file's contents: {0}")]
    Io(#[from] std::io::Error),
    /// No randomness could be had for an id.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Work broke off.
    #[error("it broke off: {0}")]
    Broken(String),
}

impl From<Refused> for BatchError {
    fn from(refused: Refused) -> BatchError {
        BatchError::Ledger(refused)
    }
}

/// Files and batches of all accounts.
pub struct Batches {
    ledger: Ledger,
    reader: Arc<Reader>,
    folder: Folder,
    settings: ArcSwap<Settings>,
    uploads: Semaphore,
    /// Notified when there is something new to do.
    wake: Notify,
    /// Batches that are being worked on, and how each is told that it was called off.
    at_work: Mutex<HashMap<String, CancellationToken>>,
}

/// A batch as its owner wants it.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// The credential that its lines are called with.
    pub key: String,
    /// Where its lines go.
    pub endpoint: Endpoint,
    /// The file of its lines.
    pub input: String,
    /// Its owner's own pairs, a JSON object.
    pub metadata: String,
    /// The tags of its lines' rows.
    pub tags: String,
    /// How long its files are to be kept, where it says.
    pub keep_seconds: Option<i64>,
}

impl NewBatch {
    /// A new id.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn id() -> Result<String, BatchError> {
        id("batch_")
    }
}

/// A file on its way in.
pub struct Incoming<'b> {
    upload: Upload,
    /// What the account may still send.
    room: u64,
    account: String,
    _turn: tokio::sync::SemaphorePermit<'b>,
}

impl Batches {
    /// Files whose contents are in that folder.
    pub fn new(ledger: Ledger, reader: Arc<Reader>, folder: Folder, settings: Settings) -> Batches {
        let uploads = Semaphore::new(UPLOADS);
        Batches {
            ledger,
            reader,
            folder,
            settings: ArcSwap::from_pointee(settings),
            uploads,
            wake: Notify::new(),
            at_work: Mutex::default(),
        }
    }

    /// Takes other bounds from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The bounds in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Begins to take in a file of an account.
    ///
    /// # Errors
    /// Where the account has no room, or the disk refuses.
    pub async fn receive(&self, account: &str) -> Result<Incoming<'_>, BatchError> {
        let turn = self.uploads.acquire().await;
        let turn = turn.map_err(|error| BatchError::Broken(error.to_string()))?;
        let most = self.settings.load().max_account_bytes;
        let (reader, account) = (self.reader.clone(), account.to_owned());
        let of = account.clone();
        let held = blocking(move || Ok(reader.file_bytes(&of)?)).await?;
        let room = most.checked_sub(held).filter(|room| *room > 0);
        let room = room.ok_or(BatchError::Full(most))?;
        let upload = self.folder.begin(&id("file-")?).await?;
        Ok(Incoming { upload, room, account, _turn: turn })
    }

    /// A piece of it.
    ///
    /// # Errors
    /// Where it is too large, for itself or for the account.
    pub async fn take(&self, file: &mut Incoming<'_>, piece: &[u8]) -> Result<(), BatchError> {
        let settings = self.settings.load();
        let bytes = file.upload.bytes().saturating_add(piece.len() as u64);
        if bytes > settings.max_file_bytes {
            return Err(BatchError::TooLarge(settings.max_file_bytes));
        }
        if bytes > file.room {
            return Err(BatchError::Full(settings.max_account_bytes));
        }
        file.upload.write(piece).await?;
        Ok(())
    }

    /// Keeps a file that is whole, for as long as its owner asked and no longer than files are kept.
    ///
    /// # Errors
    /// Where the account has no room, or disk or ledger refuse.
    pub async fn keep(
        &self,
        file: Incoming<'_>,
        name: String,
        seconds: Option<i64>,
    ) -> Result<FileRow, BatchError> {
        let Incoming { mut upload, account, room: _, _turn } = file;
        let settings = self.settings.load_full();
        let created_at = clock::now();
        let row = FileRow {
            id: upload.id().to_owned(),
            account,
            name,
            purpose: FOR_BATCHES.to_owned(),
            bytes: upload.bytes(),
            created_at,
            expires_at: settings.end(created_at, seconds),
        };
        // On the disk before it is in the ledger: a row promises its contents.
        upload.sync().await?;
        let (ledger, kept) = (self.ledger.clone(), row.clone());
        let quota = FileQuota { bytes: settings.max_account_bytes, files: MOST_FILES };
        if !blocking(move || Ok(ledger.put_file(kept, quota)?)).await? {
            return Err(BatchError::Full(settings.max_account_bytes));
        }
        upload.keep();
        Ok(row)
    }

    /// Forgets an account's file; whether there was one.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub async fn forget(&self, row: FileRow) -> Result<bool, BatchError> {
        let (ledger, folder) = (self.ledger.clone(), self.folder.clone());
        blocking(move || Ok(forget(&ledger, &folder, &row)?)).await
    }

    /// A file's contents, to be read from the beginning.
    ///
    /// # Errors
    /// Where they cannot be opened.
    pub async fn contents(&self, row: &FileRow) -> Result<tokio::fs::File, BatchError> {
        Ok(tokio::fs::File::open(self.folder.path(&row.id)).await?)
    }

    /// Takes a batch on.
    ///
    /// # Errors
    /// Where the account has too many, or the ledger takes no writes now.
    pub async fn create(&self, new: NewBatch) -> Result<BatchRow, BatchError> {
        let NewBatch { id, account, key, endpoint, input, metadata, tags, keep_seconds } = new;
        let created_at = clock::now();
        let row = BatchRow {
            id,
            account,
            key,
            endpoint: endpoint.path().to_owned(),
            input,
            output: self::id("file-")?,
            rejects: self::id("file-")?,
            status: BatchStatus::Validating,
            metadata,
            tags,
            keep_seconds,
            model: None,
            problems: None,
            created_at,
            expires_at: created_at.saturating_plus(WINDOW_MICROS),
            begun_at: None,
            finalizing_at: None,
            cancelling_at: None,
            ended_at: None,
            progress: BatchProgress::default(),
            usage: Some(BatchUsage::default()),
            handover: None,
        };
        let (ledger, kept) = (self.ledger.clone(), row.clone());
        if !blocking(move || Ok(ledger.put_batch(kept, MOST_UNFINISHED)?)).await? {
            return Err(BatchError::TooMany(MOST_UNFINISHED));
        }
        self.wake.notify_one();
        Ok(row)
    }

    /// Calls a batch off; whether that was still to be had.
    ///
    /// # Errors
    /// Where the ledger takes no writes now.
    pub async fn cancel(&self, row: BatchRow) -> Result<bool, BatchError> {
        let (ledger, id) = (self.ledger.clone(), row.id.clone());
        let cancel = move || Ok(ledger.cancel_batch(&row.account, &row.id, clock::now())?);
        let did = blocking(cancel).await?;
        if let Some(quit) = self.at_work().get(&id) {
            quit.cancel();
        }
        self.wake.notify_one();
        Ok(did)
    }

    fn at_work(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets files whose time is over, and batches that were over before a file of theirs would be.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written; the rest is for the next time.
    pub fn tick(&self) -> Result<(), BatchError> {
        let keep = i64::try_from(self.settings.load().keep.as_micros()).unwrap_or(i64::MAX);
        self.ledger.forget_batches(clock::now().saturating_plus(keep.saturating_neg()))?;
        for row in self.reader.files_over(clock::now())? {
            forget(&self.ledger, &self.folder, &row)?;
        }
        Ok(())
    }

    /// Removes contents that no row speaks of: of uploads that the last run did not see to their end.
    ///
    /// # Errors
    /// Where ledger or folder cannot be read.
    pub fn sweep(&self) -> Result<(), BatchError> {
        for id in self.folder.ids()? {
            if !self.reader.is_file(&id)? {
                self.folder.remove(&id);
            }
        }
        Ok(())
    }
}

/// The row first: contents without a row are swept, a row without contents would be a promise broken.
fn forget(ledger: &Ledger, folder: &Folder, row: &FileRow) -> Result<bool, Refused> {
    let was = ledger.forget_file(&row.account, &row.id)?;
    if was {
        folder.remove(&row.id);
    }
    Ok(was)
}

/// An id of our own making: 96 random bits.
fn id(prefix: &str) -> Result<String, BatchError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(BatchError::Random)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{prefix}{digits}"))
}

/// Runs what waits for the disk off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BatchError> + Send + 'static,
) -> Result<T, BatchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BatchError::Broken(error.to_string())))
}

impl Settings {
    /// When a file is forgotten.
    fn end(&self, created_at: Timestamp, seconds: Option<i64>) -> Timestamp {
        let most = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        let asked = seconds.map_or(most, |seconds| seconds.saturating_mul(1_000_000));
        created_at.saturating_plus(asked.min(most))
    }
}
