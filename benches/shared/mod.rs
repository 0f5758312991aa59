//! What benchmarks of the ledger have in common: a place for files, a price, a call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tollgate_accounting::{AccountSpec, Class, PriceCard, Rates, Tier, Timestamp, UnitPrice};

pub(crate) fn a_second(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1_000_000 / took.as_micros().max(1)
}

/// How many rows were asked for: `cargo bench` passes words of its own, `cargo test --benches` too.
pub(crate) fn rows_asked() -> Option<u64> {
    std::env::args().find_map(|word| word.replace('_', "").parse().ok())
}

/// Below the build's folder, or in TOLLGATE_BENCH_DIR.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::var_os("TOLLGATE_BENCH_DIR").map(PathBuf::from);
    folder.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())
}

pub(crate) fn spec(path: String, limits: &[&str]) -> AccountSpec {
    let limits = limits.iter().map(|text| text.parse().unwrap()).collect();
    AccountSpec { path, zone: "UTC".to_owned(), limits }
}

pub(crate) fn card(version: &str, input: &str, output: &str) -> Arc<PriceCard> {
    let price = |dollars: &str| UnitPrice::per_million(dollars).unwrap();
    let rates = Rates::new().with(Class::Input, price(input)).with(Class::Output, price(output));
    Arc::new(PriceCard {
        version: version.into(),
        source: "a benchmark".into(),
        effective_from: Timestamp::from_micros(0),
        tiers: vec![Tier { above_input_tokens: 0, rates }],
        per_request: None,
    })
}

/// A folder that is removed with what is in it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(below: &Path) -> Place {
        let dir = below.join(format!("ledger-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Place(dir)
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.0.join("ledger.db")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
