//! Replies that are kept to be given again. A key says all that can change an answer; what is kept under
//! it is bounded by bytes and by age. Nothing here knows money: `call` writes the rows.

mod canonical;
mod fingerprint;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tollgate_accounting::{Money, PriceCard, Timestamp};

pub use canonical::Canon;
pub use fingerprint::{Asked, Fingerprint, Scope, fingerprint, is_deterministic};

/// What an entry takes beside its bytes, roughly.
const ENTRY: usize = 512;

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// All kept replies together, in bytes.
    pub max_bytes: u64,
    /// The largest reply that is kept, in bytes.
    pub max_reply_bytes: usize,
    /// How long a reply is kept.
    pub ttl: Duration,
}

/// The cache of the moment: there is one while the configuration says so.
#[derive(Default)]
pub struct Current(ArcSwapOption<Cache>);

impl Current {
    /// Follows the configuration. Other bounds make another cache, an empty one.
    pub fn configure(&self, bounds: Option<Bounds>) {
        if self.get().map(|cache| cache.bounds) != bounds {
            self.0.store(bounds.map(|bounds| Arc::new(Cache::new(bounds))));
        }
    }

    /// The cache, if there is to be one.
    pub fn get(&self) -> Option<Arc<Cache>> {
        self.0.load_full()
    }

    /// Bytes kept now.
    pub fn bytes(&self) -> u64 {
        self.get().map_or(0, |cache| cache.bytes())
    }
}

/// A reply that is kept.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose it is.
    pub account: Arc<str>,
    /// The model as it was asked for.
    pub asked_model: Arc<str>,
    /// The provider that made it.
    pub provider: Arc<str>,
    /// That provider's model.
    pub model: Arc<str>,
    /// The price it was made at.
    pub card: Arc<PriceCard>,
    /// The output cap that was set for it, where it was not the client's own.
    pub max_output_tokens: Option<u64>,
    /// What the account was charged for it, and is spared when it is given again.
    pub charged: Money,
    /// When it was made.
    pub made_at: Timestamp,
    /// What the client read.
    pub content: Content,
}

/// What a client read.
#[derive(Clone, Debug)]
pub enum Content {
    /// A whole body.
    Whole(Bytes),
    /// A stream, in the pieces it left in.
    Stream(Vec<Bytes>),
}

/// The kept replies.
pub struct Cache {
    kept: moka::sync::Cache<Fingerprint, Arc<Answer>>,
    bounds: Bounds,
}

impl Cache {
    /// An empty cache. When it is full, what was asked for least goes first (moka's TinyLFU).
    pub fn new(bounds: Bounds) -> Cache {
        let kept = moka::sync::Cache::builder()
            .max_capacity(bounds.max_bytes)
            .weigher(|_, answer: &Arc<Answer>| u32::try_from(answer.weight()).unwrap_or(u32::MAX))
            .time_to_live(bounds.ttl)
            .support_invalidation_closures()
            .build();
        Cache { kept, bounds }
    }

    /// The reply of that key.
    pub fn get(&self, key: &Fingerprint) -> Option<Arc<Answer>> {
        self.kept.get(key)
    }

    /// Keeps a reply, if it is not too large.
    pub fn keep(&self, key: Fingerprint, answer: Answer) {
        if self.fits(answer.content.len()) {
            self.kept.insert(key, Arc::new(answer));
        }
    }

    /// Whether a reply of so many bytes may be kept.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes <= self.bounds.max_reply_bytes
    }

    /// Forgets what an account and all below it keeps, or a model's replies; both narrow, neither is all.
    pub fn purge(&self, account: Option<&str>, model: Option<&str>) {
        let (account, model) = (account.map(str::to_owned), model.map(str::to_owned));
        let matching = move |_: &Fingerprint, answer: &Arc<Answer>| {
            account.as_deref().is_none_or(|account| within(&answer.account, account))
                && model.as_deref().is_none_or(|model| *answer.asked_model == *model)
        };
        // It can only fail for a cache that was built without the support for it.
        if self.kept.invalidate_entries_if(matching).is_err() {
            self.kept.invalidate_all();
        }
    }

    /// Bytes kept now, after what is due has been forgotten.
    pub fn bytes(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }
}

impl Answer {
    fn weight(&self) -> usize {
        self.content.len() + ENTRY
    }
}

impl Content {
    /// In bytes.
    pub fn len(&self) -> usize {
        match self {
            Content::Whole(body) => body.len(),
            Content::Stream(pieces) => pieces.iter().map(|piece| piece.len() + 32).sum(),
        }
    }

    /// What it is, and all of it as one piece.
    pub fn joined(&self) -> (&'static str, Bytes) {
        match self {
            Content::Whole(body) => ("application/json", body.clone()),
            Content::Stream(pieces) => ("text/event-stream", Bytes::from(pieces.concat())),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a path is the account or below it.
fn within(path: &str, account: &str) -> bool {
    path.strip_prefix(account).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(max_bytes: u64) -> Cache {
        Cache::new(Bounds { max_bytes, max_reply_bytes: 1000, ttl: Duration::from_secs(60) })
    }

    fn answer(account: &str, size: usize) -> Answer {
        let card = PriceCard {
            version: "v".to_owned(),
            source: String::new(),
            effective_from: Timestamp::from_micros(0),
            tiers: Vec::new(),
            per_request: None,
        };
        Answer {
            account: account.into(),
            asked_model: "m".into(),
            provider: "p".into(),
            model: "m".into(),
            card: Arc::new(card),
            max_output_tokens: None,
            charged: Money::ZERO,
            made_at: Timestamp::from_micros(0),
            content: Content::Whole(vec![b'x'; size].into()),
        }
    }

    fn key(at: u8) -> Fingerprint {
        Fingerprint([at; 32])
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = cache(10_000);
        cache.keep(key(0), answer("a", 1001));
        assert!(cache.get(&key(0)).is_none());
        for at in 0..100 {
            cache.keep(key(at), answer("a", 1000));
            assert!(cache.bytes() <= 10_000);
        }
        assert!(cache.bytes() > 0);
    }

    #[test]
    fn a_reload_with_the_same_bounds_keeps_what_is_kept() {
        let current = Current::default();
        assert!(current.get().is_none());
        let bounds =
            Bounds { max_bytes: 10_000, max_reply_bytes: 1000, ttl: Duration::from_secs(60) };
        let kept = |after: Option<Bounds>| {
            current.configure(Some(bounds));
            current.get().unwrap().keep(key(1), answer("a", 10));
            current.configure(after);
            current.get().is_some_and(|cache| cache.get(&key(1)).is_some())
        };
        assert!(kept(Some(bounds)));
        assert!(!kept(Some(Bounds { ttl: Duration::from_secs(61), ..bounds })));
        assert!(!kept(None));
        assert_eq!(current.bytes(), 0);
    }

    #[test]
    fn a_purge_takes_an_account_with_all_below_it_or_a_model() {
        let cache = cache(1_000_000);
        let fill = || {
            for (at, account) in ["a", "a/b", "ab"].into_iter().enumerate() {
                cache.keep(key(at as u8), answer(account, 10));
            }
        };
        let left = || (0..3).filter(|at| cache.get(&key(*at)).is_some()).count();
        for (account, model, kept) in
            [(Some("a"), None, 1), (None, Some("m"), 0), (None, None, 0), (Some("a"), Some("n"), 3)]
        {
            fill();
            cache.purge(account, model);
            assert_eq!(left(), kept, "{account:?} {model:?}");
        }
    }
}
