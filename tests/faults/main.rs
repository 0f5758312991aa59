//! What goes wrong in the field, all at once and over and over: the money is right afterwards.
//!
//! The loops are short enough for every run. A nightly run makes them longer with
//! `TOLLGATE_CALLS` (2,000), `TOLLGATE_KILLS` (500), `TOLLGATE_STRIDE` (97; 1 is every byte) and
//! `TOLLGATE_SEED`, which is printed on failure.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]
#![expect(clippy::panic, reason = "a test that cannot go on says why by panicking")]

#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "each kind of test uses its part of the harness")]
mod harness;

mod backups;
mod batches;
mod calls;
mod disconnects;
mod disk;
mod handovers;
mod hangups;
mod kills;
mod mixed;
mod operations;
mod tampering;
mod upgrades;

/// The seed of a run: given, or from the clock.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    harness::env_count("TOLLGATE_SEED", now.as_nanos() as usize % 1_000_000_007) as u64
}
