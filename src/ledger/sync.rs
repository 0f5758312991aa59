//! The ledger's locks, atomics, channels and threads: the system's, or with the feature `schedules`
//! those of an explorer (`shuttle`), which runs the same code under one order of events after another.

#[cfg(not(feature = "schedules"))]
pub(super) use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

#[cfg(feature = "schedules")]
pub(super) use shuttle::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

#[cfg(all(test, feature = "schedules"))]
mod tests;
