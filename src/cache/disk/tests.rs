//! What is in the file comes back as it was, to whom it was for, or not at all.

use std::path::Path;

use bytes::Bytes;
use tollgate_accounting::{Money, Timestamp};

use super::*;
use crate::cache::{Bounds, Cache, Content, Current, Form, Policy};
use crate::clock;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// Cards of which only the version counts.
pub(in crate::cache) const CARDS: Cards = Cards {
    write: |card| Some(card.source.clone()),
    read: |version, source| {
        Some(PriceCard {
            version: version.to_owned(),
            source: source.to_owned(),
            effective_from: Timestamp::from_micros(0),
            tiers: Vec::new(),
            per_request: None,
        })
    },
};

fn answer(account: &str, content: Content) -> Answer {
    let form = match content {
        Content::Whole(_) => Form::Whole,
        Content::Stream(_) => Form::Stream { usage: true },
    };
    Answer {
        account: account.into(),
        prompt: Some("p@2".into()),
        asked_model: "m".into(),
        provider: "p".into(),
        model: "large".into(),
        card: Arc::new((CARDS.read)("v1", "somewhere").unwrap()),
        max_output_tokens: Some(7),
        charged: Money::from_nanos(1234),
        made_at: clock::now(),
        keep_for: LONG,
        dialect: Dialect::OpenAiChat,
        form,
        content,
    }
}

fn whole(account: &str, size: usize) -> Answer {
    answer(account, Content::Whole(vec![b'x'; size].into()))
}

fn key(at: u8) -> Fingerprint {
    Fingerprint([at; 32])
}

/// A folder of a test's own.
fn fresh(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tollgate-cache-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("cache.db")
}

fn policy(path: &Path, max_bytes: u64) -> Policy {
    let bounds = Bounds { max_bytes: 1 << 24, max_reply_bytes: 1 << 20, ttl: LONG };
    Policy { disk: Some(Place { path: path.to_owned(), max_bytes }), ..Policy::of(bounds) }
}

/// A process's cache with that file, once the file is there.
fn started(path: &Path, max_bytes: u64) -> (Current, Arc<Cache>) {
    let current = Current::new(CARDS);
    current.configure(Some(&policy(path, max_bytes)));
    let cache = current.get().unwrap();
    written(&cache);
    (current, cache)
}

/// Waits until the thread has done what it was asked for: it does one thing after the other, so a purge
/// of nothing comes last. Where it has no file there is nothing to wait for.
fn written(cache: &Cache) {
    let nobody = Purge { account: Some("nobody".into()), ..Purge::default() };
    let _no_file = cache.purge(nobody);
}

fn fetch(cache: &Cache, at: u8) -> Option<Arc<Kept>> {
    let form = Form::Whole;
    assert!(cache.get(&key(at), form, LONG).is_none(), "it is in memory");
    cache.fetch(&key(at), Dialect::OpenAiChat, form, LONG)
}

#[test]
fn what_a_restart_forgets_is_still_there_as_it_was() {
    let path = fresh("restart");
    let (current, cache) = started(&path, 1 << 24);
    cache.keep(key(1), whole("acme", 5000));
    let pieces: Vec<Bytes> = ["data: a\n\n", "", "data: b\n\n"].map(Bytes::from).into();
    cache.keep(key(2), answer("acme", Content::Stream(pieces.clone())));
    let before = cache.get(&key(1), Form::Whole, LONG).unwrap();
    current.close();
    let (_current, cache) = started(&path, 1 << 24);
    assert_eq!(cache.disk().unwrap().held().1, 2);
    let after = fetch(&cache, 1).unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    let form = Form::Stream { usage: true };
    let stream = cache.fetch(&key(2), Dialect::OpenAiChat, form, LONG).unwrap();
    let Content::Stream(again) = &stream.answer.content else { panic!("it was a stream") };
    assert_eq!(again, &pieces);
    // From then on it is in memory, and no longer than it was to be.
    assert!(cache.get(&key(1), Form::Whole, LONG).is_some());
    assert!(fetch(&cache, 3).is_none());
}

#[test]
fn what_is_over_or_older_than_is_wanted_is_not_given() {
    let path = fresh("over");
    let (current, cache) = started(&path, 1 << 24);
    let ago = |seconds: i64| Timestamp::from_micros(clock::now().micros() - seconds * 1_000_000);
    cache.keep(key(1), Answer { made_at: ago(3601), ..whole("acme", 10) });
    cache.keep(key(2), Answer { made_at: ago(30), ..whole("acme", 10) });
    current.close();
    let (_current, cache) = started(&path, 1 << 24);
    assert!(fetch(&cache, 1).is_none());
    let older = cache.fetch(&key(2), Dialect::OpenAiChat, Form::Whole, Duration::from_secs(29));
    assert!(older.is_none());
    assert!(fetch(&cache, 2).is_some());
}

#[test]
fn a_purge_reaches_the_file_and_what_waits_to_be_written() {
    let path = fresh("purge");
    for (account, model, prompt, left) in [
        (Some("a"), None, None, vec![2]),
        (None, Some("m"), None, vec![]),
        (None, Some("n"), None, vec![0, 1, 2]),
        (None, None, Some("p"), vec![]),
        (None, None, Some("p@2"), vec![]),
        (None, None, Some("p@1"), vec![0, 1, 2]),
        (Some("a/b"), Some("m"), Some("p"), vec![0, 2]),
        (None, None, None, vec![]),
    ] {
        let (current, cache) = started(&path, 1 << 24);
        for (at, account) in ["a", "a/b", "ab"].into_iter().enumerate() {
            let secret = Content::Whole(Bytes::from(format!("the words of {account}.")));
            cache.keep(key(at as u8), answer(account, secret));
        }
        let [account, model, prompt] = [account, model, prompt].map(|n| n.map(str::to_owned));
        let purge = Purge { account, model, prompt };
        cache.purge(purge.clone()).unwrap();
        current.close();
        let (current, cache) = started(&path, 1 << 24);
        let found: Vec<u8> = (0..3).filter(|at| fetch(&cache, *at).is_some()).collect();
        assert_eq!(found, left, "{purge:?}");
        cache.purge(Purge::default()).unwrap();
        current.close();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(12).any(|word| word == b"the words of"), "{purge:?}");
    }
}

#[test]
fn a_flipped_byte_is_a_miss_wherever_it_is() {
    let path = fresh("flipped");
    let columns = ["account", "model", "prompt", "head", "body", "sum", "expires"];
    for column in columns {
        let (current, cache) = started(&path, 1 << 24);
        cache.keep(key(1), whole("acme", 100));
        cache.keep(key(2), whole("acme", 100));
        current.close();
        let flip = match column {
            "expires" => "expires + 1".to_owned(),
            "body" | "sum" => {
                format!("CAST(substr({column}, 1, 9) || x'00' || substr({column}, 11) AS BLOB)")
            }
            text => format!("substr({text}, 1, length({text}) - 1) || '_'"),
        };
        let other = Connection::open(&path).unwrap();
        let sql = format!("UPDATE answers SET {column} = {flip} WHERE key = ?1");
        assert_eq!(other.execute(&sql, [key(1).0]).unwrap(), 1);
        drop(other);
        let (current, cache) = started(&path, 1 << 24);
        assert!(fetch(&cache, 1).is_none(), "{column}");
        assert!(fetch(&cache, 2).is_some(), "{column}");
        current.close();
        // And it is forgotten.
        let (current, cache) = started(&path, 1 << 24);
        assert_eq!(cache.disk().unwrap().held().1, 1, "{column}");
        current.close();
    }
}

#[test]
fn a_damaged_file_is_begun_anew_and_anothers_is_left_alone() {
    let path = fresh("damaged");
    let (current, cache) = started(&path, 1 << 24);
    (0..50).for_each(|at| cache.keep(key(at), whole("acme", 5000)));
    current.close();
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad.iter_mut().skip(100).for_each(|byte| *byte = 0x5a);
    std::fs::write(&path, &bad).unwrap();
    let (current, cache) = started(&path, 1 << 24);
    assert!(fetch(&cache, 1).is_none());
    cache.keep(key(1), whole("acme", 10));
    current.close();
    let (current, cache) = started(&path, 1 << 24);
    assert!(fetch(&cache, 1).is_some());
    current.close();
    for foreign in [b"a letter to somebody".to_vec(), {
        let mut other = good;
        other[68..72].copy_from_slice(b"TOLL");
        other
    }] {
        std::fs::write(&path, &foreign).unwrap();
        let (current, cache) = started(&path, 1 << 24);
        cache.keep(key(9), whole("acme", 10));
        assert!(cache.get(&key(9), Form::Whole, LONG).is_some());
        assert!(fetch(&cache, 1).is_none());
        assert_eq!(cache.purge(Purge::default()), Err(NotPurged), "and who purges is told");
        current.close();
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
    }
}

#[test]
fn the_file_is_bounded_and_what_was_used_longest_ago_makes_way() {
    let path = fresh("bounded");
    let most = 1 << 20;
    let (current, cache) = started(&path, most);
    for at in 0..100 {
        cache.keep(key(at), whole("acme", 30_000));
        // The queue is bounded as well: nothing is passed over that was waited for.
        written(&cache);
        assert!(cache.disk().unwrap().held().0 <= most);
    }
    current.close();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size <= most + most / 4, "{size}");
    let (_current, cache) = started(&path, most);
    assert!(fetch(&cache, 99).is_some());
    assert!(fetch(&cache, 0).is_none());
}
