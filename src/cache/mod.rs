//! Replies that are kept to be given again. A key says all that can change an answer; what is kept under
//! it is bounded by bytes and by age. Nothing here knows money: `call` writes the rows.

mod canonical;
mod current;
mod disk;
mod fingerprint;
mod forms;
mod policy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use tollgate_accounting::{Money, PriceCard, Timestamp};
use tollgate_providers::Dialect;

use crate::clock;
pub use canonical::Canon;
pub use current::Current;
pub use disk::{Cards, Disk, NotPurged, Place};
pub use fingerprint::{Asked, Fingerprint, Scope, fingerprint, is_deterministic};
pub use forms::Form;
pub use policy::{Owner, Policy};

/// What an entry takes beside its bytes, roughly.
const ENTRY: usize = 512;

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// All kept replies together, in bytes.
    pub max_bytes: u64,
    /// The largest reply that is kept, in bytes.
    pub max_reply_bytes: usize,
    /// How long a reply is kept, where nothing else is said.
    pub ttl: Duration,
}

/// A reply that is kept.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose it is.
    pub account: Arc<str>,
    /// The template it was rendered from, as `name@version`.
    pub prompt: Option<Arc<str>>,
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
    /// How long it is given again.
    pub keep_for: Duration,
    /// The dialect it is written in.
    pub dialect: Dialect,
    /// How it is written.
    pub form: Form,
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
    kept: moka::sync::Cache<Fingerprint, Arc<Kept>>,
    policy: Policy,
    disk: Option<Arc<Disk>>,
    /// How often was purged: what was read from the file before must not come to memory after.
    purges: Arc<Mutex<u64>>,
}

/// A reply under its key.
#[derive(Debug)]
pub struct Kept {
    /// The reply.
    pub answer: Answer,
    /// A digest of it that a client can name it by, as an HTTP entity tag.
    pub tag: String,
}

/// What to forget; each part narrows, none is all.
#[derive(Clone, Debug, Default)]
pub struct Purge {
    /// What an account and all below it had made.
    pub account: Option<String>,
    /// By the model's name as it was asked for.
    pub model: Option<String>,
    /// By the template's name, or `name@version`.
    pub prompt: Option<String>,
}

/// Each reply is kept for as long as it says, from when it was made.
struct ByAnswer;

impl ByAnswer {
    fn left(kept: &Kept) -> Duration {
        let age = clock::now().micros().saturating_sub(kept.answer.made_at.micros());
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        kept.answer.keep_for.saturating_sub(age)
    }
}

impl Expiry<Fingerprint, Arc<Kept>> for ByAnswer {
    fn expire_after_create(
        &self,
        _: &Fingerprint,
        kept: &Arc<Kept>,
        _: Instant,
    ) -> Option<Duration> {
        Some(ByAnswer::left(kept))
    }

    fn expire_after_update(
        &self,
        _: &Fingerprint,
        kept: &Arc<Kept>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(ByAnswer::left(kept))
    }
}

impl Cache {
    /// An empty cache. When it is full, what was asked for least goes first (moka's TinyLFU).
    pub fn new(policy: Policy) -> Cache {
        let kept = moka::sync::Cache::builder()
            .max_capacity(policy.bounds.max_bytes)
            .weigher(|_, kept: &Arc<Kept>| u32::try_from(kept.answer.weight()).unwrap_or(u32::MAX))
            .expire_after(ByAnswer)
            .support_invalidation_closures()
            .build();
        Cache { kept, policy, disk: None, purges: Arc::default() }
    }

    /// For whom and how long replies are kept.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The reply of that key in that form, if it is no older than that: the policy may have changed
    /// since it was made.
    pub fn get(&self, key: &Fingerprint, form: Form, keep_for: Duration) -> Option<Arc<Kept>> {
        self.as_asked(self.kept.get(key)?, form, keep_for)
    }

    /// The same from the file, for a request of that dialect. It waits for the disk.
    pub fn fetch(
        &self,
        key: &Fingerprint,
        dialect: Dialect,
        form: Form,
        keep_for: Duration,
    ) -> Option<Arc<Kept>> {
        let disk = self.disk.as_ref()?;
        let before = *self.purges();
        let answer = disk.find(key, dialect).filter(|answer| self.fits(answer.content.len()))?;
        let tag = answer.content.tag();
        let kept = Arc::new(Kept { answer, tag });
        let given = self.as_asked(kept.clone(), form, keep_for)?;
        let purges = self.purges();
        if *purges == before {
            self.kept.insert(*key, kept);
        }
        Some(given)
    }

    /// The file, where there is one.
    pub fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    fn purges(&self) -> MutexGuard<'_, u64> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reply in that form, if it is no older than that.
    fn as_asked(&self, kept: Arc<Kept>, form: Form, keep_for: Duration) -> Option<Arc<Kept>> {
        let age = clock::now().micros().saturating_sub(kept.answer.made_at.micros());
        let young = u128::try_from(age).is_ok_and(|age| age < keep_for.as_micros());
        if !young && age > 0 {
            return None;
        }
        if kept.answer.form == form {
            return Some(kept);
        }
        let answer = &kept.answer;
        let content = forms::turned(&answer.content, answer.dialect, answer.form, form)?;
        let tag = content.tag();
        Some(Arc::new(Kept { answer: Answer { form, content, ..answer.clone() }, tag }))
    }

    /// Keeps a reply, if it is not too large.
    pub fn keep(&self, key: Fingerprint, answer: Answer) {
        if self.fits(answer.content.len()) {
            let tag = answer.content.tag();
            let kept = Arc::new(Kept { answer, tag });
            self.kept.insert(key, kept.clone());
            self.disk.iter().for_each(|disk| disk.keep(key, kept.clone()));
        }
    }

    /// Whether a reply of so many bytes may be kept.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes <= self.policy.bounds.max_reply_bytes
    }

    /// Forgets replies, in memory and in the file; for that it waits for the disk.
    ///
    /// # Errors
    /// Where the file could not be purged: memory was.
    pub fn purge(&self, purge: Purge) -> Result<(), NotPurged> {
        // The file first: whoever reads of it what is still there does not bring it to memory afterwards.
        let done = self.disk.as_ref().map_or(Ok(()), |disk| disk.purge(purge.clone()));
        let mut purges = self.purges();
        *purges += 1;
        let matching = move |_: &Fingerprint, kept: &Arc<Kept>| purge.is_of(&kept.answer);
        // It can only fail for a cache that was built without the support for it.
        if self.kept.invalidate_entries_if(matching).is_err() {
            self.kept.invalidate_all();
        }
        done
    }

    /// Bytes kept now, after what is due has been forgotten.
    pub fn bytes(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }

    /// What is kept now of each account's: bytes and replies.
    pub fn held(&self) -> BTreeMap<Arc<str>, (u64, u64)> {
        self.kept.run_pending_tasks();
        let mut held: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        for (_, kept) in &self.kept {
            let (bytes, entries) = held.entry(kept.answer.account.clone()).or_default();
            *bytes = bytes.saturating_add(kept.answer.weight() as u64);
            *entries += 1;
        }
        held
    }

    /// Replies kept now, about.
    pub fn entries(&self) -> u64 {
        self.kept.entry_count()
    }
}

impl Purge {
    fn is_of(&self, answer: &Answer) -> bool {
        let Purge { account, model, prompt } = self;
        let of_prompt = |wanted: &str| {
            let tag = answer.prompt.as_deref().unwrap_or_default();
            tag == wanted || tag.split('@').next() == Some(wanted)
        };
        account.as_deref().is_none_or(|account| within(&answer.account, account))
            && model.as_deref().is_none_or(|model| *answer.asked_model == *model)
            && prompt.as_deref().is_none_or(of_prompt)
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

    /// A digest of it, as an HTTP entity tag.
    fn tag(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        match self {
            Content::Whole(body) => {
                hasher.update(body);
            }
            Content::Stream(pieces) => pieces.iter().for_each(|piece| {
                hasher.update(piece);
            }),
        }
        let hex = hasher.finalize().to_hex();
        format!("\"{}\"", hex.get(..32).unwrap_or_default())
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

    const LONG: Duration = Duration::from_secs(60);

    fn policy(max_bytes: u64, seconds: u64) -> Policy {
        let ttl = Duration::from_secs(seconds);
        Policy::of(Bounds { max_bytes, max_reply_bytes: 1000, ttl })
    }

    fn cache(max_bytes: u64) -> Cache {
        Cache::new(policy(max_bytes, 60))
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
            prompt: Some("p@2".into()),
            asked_model: "m".into(),
            provider: "p".into(),
            model: "m".into(),
            card: Arc::new(card),
            max_output_tokens: None,
            charged: Money::ZERO,
            made_at: clock::now(),
            keep_for: LONG,
            dialect: Dialect::OpenAiChat,
            form: Form::Whole,
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
        assert!(cache.get(&key(0), Form::Whole, LONG).is_none());
        for at in 0..100 {
            cache.keep(key(at), answer("a", 1000));
            assert!(cache.bytes() <= 10_000);
        }
        assert!(cache.bytes() > 0);
    }

    #[test]
    fn what_is_held_is_told_by_account() {
        let cache = cache(100_000);
        for (at, account) in ["a", "b", "a"].into_iter().enumerate() {
            cache.keep(key(at as u8), answer(account, 10));
        }
        let held = cache.held();
        assert_eq!((held["a"].1, held["b"].1), (2, 1));
        assert_eq!(held["a"].0 + held["b"].0, cache.bytes());
    }

    #[test]
    fn a_reload_with_the_same_bounds_keeps_what_is_kept() {
        let current = Current::new(disk::tests::CARDS);
        assert!(current.get().is_none());
        let kept = |after: Option<Policy>| {
            current.configure(Some(&policy(10_000, 60)));
            current.get().unwrap().keep(key(1), answer("a", 10));
            current.configure(after.as_ref());
            current.get().is_some_and(|cache| cache.get(&key(1), Form::Whole, LONG).is_some())
        };
        assert!(kept(Some(policy(10_000, 60))));
        let named = [("m".to_owned(), None)].into();
        assert!(kept(Some(Policy { models: named, ..policy(10_000, 60) })));
        assert!(!kept(Some(policy(10_000, 61))));
        assert!(!kept(None));
        assert_eq!(current.bytes(), 0);
    }

    #[test]
    fn a_purge_takes_an_account_with_all_below_it_a_model_or_a_prompt() {
        let cache = cache(1_000_000);
        let fill = || {
            for (at, account) in ["a", "a/b", "ab"].into_iter().enumerate() {
                cache.keep(key(at as u8), answer(account, 10));
            }
        };
        let left = || (0..3).filter(|at| cache.get(&key(*at), Form::Whole, LONG).is_some()).count();
        for (account, model, prompt, kept) in [
            (Some("a"), None, None, 1),
            (None, Some("m"), None, 0),
            (None, None, None, 0),
            (Some("a"), Some("n"), None, 3),
            (None, None, Some("p"), 0),
            (None, None, Some("p@2"), 0),
            (None, None, Some("p@1"), 3),
        ] {
            fill();
            let [account, model, prompt] = [account, model, prompt].map(|n| n.map(str::to_owned));
            let purge = Purge { account, model, prompt };
            cache.purge(purge.clone()).unwrap();
            assert_eq!(left(), kept, "{purge:?}");
        }
    }

    #[test]
    fn a_reply_is_given_for_as_long_as_it_and_the_policy_say() {
        let cache = cache(10_000);
        let old = Timestamp::from_micros(clock::now().micros() - 30_000_000);
        cache.keep(key(0), Answer { made_at: old, ..answer("a", 10) });
        assert!(cache.get(&key(0), Form::Whole, LONG).is_some());
        assert!(cache.get(&key(0), Form::Whole, Duration::from_secs(29)).is_none());
        cache.keep(key(1), Answer { keep_for: Duration::from_nanos(1), ..answer("a", 10) });
        std::thread::sleep(Duration::from_millis(2));
        assert!(cache.get(&key(1), Form::Whole, LONG).is_none());
    }
}
