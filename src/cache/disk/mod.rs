//! The disk tier: replies also go to a file, from which they come back when memory has let go of them or
//! the process is another. It is written behind by a thread of its own and never waited for by a call that
//! makes an answer; whatever is wrong with it is a line in the log and an answer that is not there.

mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tollgate_accounting::PriceCard;
use tollgate_providers::Dialect;

use super::{Answer, Fingerprint, Kept, Purge};
use file::{Found, Size, Unusable};

/// Replies that wait to be written; what comes beyond is not.
const QUEUE: usize = 256;

/// Where replies are kept beside memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// All that is kept in it, in bytes.
    pub max_bytes: u64,
}

/// How price cards are written and read, which is not known here.
#[derive(Clone, Copy)]
pub struct Cards {
    /// As text.
    pub write: fn(&PriceCard) -> Option<String>,
    /// From its version and text.
    pub read: fn(&str, &str) -> Option<PriceCard>,
}

/// The file could not be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache's file could not be purged")]
pub struct NotPurged;

/// A file of replies.
pub struct Disk {
    place: Place,
    queue: SyncSender<Work>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and the readers have in common.
struct Shared {
    cards: Cards,
    /// None while there is no file to be read.
    reader: Mutex<Option<Connection>>,
    bytes: AtomicU64,
    entries: AtomicU64,
}

enum Work {
    Keep(Fingerprint, Arc<Kept>),
    Used(Fingerprint),
    Forget(Fingerprint),
    Purge(Purge, SyncSender<()>),
    /// A reader found that the file cannot be read.
    Damaged,
    Close,
}

impl Disk {
    /// Opens the file, or makes it; it is written on a thread of its own.
    pub(super) fn open(place: Place, cards: Cards) -> Disk {
        let (queue, work) = sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            cards,
            reader: Mutex::default(),
            bytes: AtomicU64::default(),
            entries: AtomicU64::default(),
        });
        let writer = Writer { place: place.clone(), shared: shared.clone() };
        let thread = std::thread::Builder::new().name("cache".to_owned());
        // By now, so that the first call finds what there is.
        let opened = writer.open(file::open);
        let thread = thread.spawn(move || writer.run(opened, &work));
        if let Err(error) = &thread {
            tracing::warn!(%error, "the cache's file is not used");
        }
        Disk { place, queue, shared, thread: Mutex::new(thread.ok()) }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes and replies in it.
    pub fn held(&self) -> (u64, u64) {
        let Shared { bytes, entries, .. } = &*self.shared;
        (bytes.load(Ordering::Relaxed), entries.load(Ordering::Relaxed))
    }

    /// Has a reply written, some time.
    pub(super) fn keep(&self, key: Fingerprint, kept: Arc<Kept>) {
        self.tell(Work::Keep(key, kept));
    }

    /// The reply under a key. It reads a file, so it has no place on a thread that serves calls.
    pub(super) fn find(&self, key: &Fingerprint, dialect: Dialect) -> Option<Answer> {
        let found = {
            let reader = self.shared.reader();
            file::find(reader.as_ref()?, key, dialect, self.shared.cards)
        };
        match found {
            Ok(Found::Answer(answer)) => {
                self.tell(Work::Used(*key));
                Some(*answer)
            }
            Ok(Found::Nothing) => None,
            Ok(Found::Damaged) => {
                tracing::warn!("a reply in the cache's file is damaged, and forgotten");
                self.tell(Work::Forget(*key));
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the cache's file could not be read");
                if file::is_damage(&error) {
                    self.tell(Work::Damaged);
                }
                None
            }
        }
    }

    /// Forgets replies, those that wait to be written included. It waits for the disk.
    pub(super) fn purge(&self, purge: Purge) -> Result<(), NotPurged> {
        let (done, purged) = sync_channel(1);
        self.queue.send(Work::Purge(purge, done)).map_err(|_| NotPurged)?;
        purged.recv().map_err(|_| NotPurged)
    }

    /// Writes what waits, and lets go of the file.
    pub(super) fn close(&self) {
        let _gone = self.queue.send(Work::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the cache's thread panicked");
        }
    }

    /// Where nobody has time for it, it is not done: a call does not wait for the cache.
    fn tell(&self, work: Work) {
        let _full = self.queue.try_send(work);
    }
}

impl Shared {
    fn reader(&self) -> MutexGuard<'_, Option<Connection>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that writes.
struct Writer {
    place: Place,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(&self, opened: Result<Connection, Unusable>, work: &Receiver<Work>) {
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => return give_up(&error),
        };
        let mut size = match file::size(&connection) {
            Ok(size) => size,
            Err(error) => {
                tracing::warn!(%error, "the cache's file could not be read");
                match self.anew(connection) {
                    Ok(new) => connection = new,
                    Err(error) => return give_up(&error),
                }
                Size::default()
            }
        };
        self.tell(size);
        while let Ok(work) = work.recv() {
            let done = self.work(&connection, &work, &mut size);
            if let Err(error) = &done {
                tracing::warn!(%error, "the cache's file could not be written");
            }
            let damaged = match (&work, &done) {
                (Work::Close, _) => return,
                // What is to be forgotten is, though all the rest goes with it.
                (Work::Damaged, _) | (Work::Purge(..), Err(_)) => true,
                (_, done) => done.as_ref().is_err_and(file::is_damage),
            };
            if damaged {
                match self.anew(connection) {
                    Ok(new) => (connection, size) = (new, Size::default()),
                    Err(error) => return give_up(&error),
                }
            }
            self.tell(size);
            if let Work::Purge(_, done) = work {
                let _gone = done.send(());
            }
        }
    }

    /// Does one piece of work, all of it or nothing.
    fn work(&self, connection: &Connection, work: &Work, size: &mut Size) -> rusqlite::Result<()> {
        let mut after = *size;
        match work {
            Work::Keep(key, kept) => {
                let transaction = connection.unchecked_transaction()?;
                file::keep(&transaction, key, kept, self.shared.cards, &mut after)?;
                file::trim(&transaction, self.place.max_bytes, &mut after)?;
                transaction.commit()?;
            }
            Work::Used(key) => file::used(connection, key)?,
            Work::Forget(key) => file::forget(connection, key, &mut after)?,
            Work::Purge(purge, _) => file::purge(connection, purge, &mut after)?,
            Work::Damaged | Work::Close => {}
        }
        *size = after;
        Ok(())
    }

    /// Opens the file, and lets readers at it.
    fn open(
        &self,
        open: impl Fn(&Path) -> Result<Connection, Unusable>,
    ) -> Result<Connection, Unusable> {
        let connection = open(&self.place.path)?;
        *self.shared.reader() = Some(file::open_reader(&self.place.path)?);
        Ok(connection)
    }

    fn anew(&self, old: Connection) -> Result<Connection, Unusable> {
        self.shared.reader().take();
        drop(old);
        self.open(file::begin_anew)
    }

    fn tell(&self, size: Size) {
        self.shared.bytes.store(size.bytes, Ordering::Relaxed);
        self.shared.entries.store(size.entries, Ordering::Relaxed);
    }
}

/// There is no file any more: nothing is read from it, and what would be written is not.
fn give_up(error: &Unusable) {
    tracing::error!(%error, "the cache's file is not used");
}

#[cfg(test)]
pub(super) mod tests;
