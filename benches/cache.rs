//! What a call whose answer may be kept costs beyond one that has no cache: the key of its request beside
//! the decoding of it and beside blake3 of the same bytes, by the kB; a look-up that finds its reply and
//! one that does not; and that a reply is kept.
//!
//! `cargo bench -p tollgate --bench cache`. Figures of one run compare; those of two machines don't.
//! The same through sockets, beside nginx that gives the same bytes from its memory, hits a second and
//! their p99, and what a miss adds to a call: `benches/overhead/run.sh --cache`.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tollgate::cache::{
    Answer, Asked, Bounds, Cache, Content, Fingerprint, Form, Owner, Policy, Scope, fingerprint,
};
use tollgate_accounting::{Money, PriceCard, Timestamp};
use tollgate_providers::Dialect;

/// The best of so many rounds: whatever else the machine does makes a round longer, never shorter.
const ROUNDS: u32 = 30;

fn main() {
    println!(
        "{:>9} {:>12} {:>12} {:>12}   (ns a kB; best of {ROUNDS})",
        "bytes", "decode", "key", "blake3"
    );
    let mut last = None;
    for kilobytes in [1, 10, 100, 1000] {
        let body = body(kilobytes);
        let per_kilobyte = |time: Duration| time.as_nanos() * 1000 / body.len() as u128;
        let bounds = tollgate_providers::Bounds::default();
        let decode = || Dialect::OpenAiChat.decode_chat(&body, &bounds).unwrap();
        let request = decode();
        let decoding = best(kilobytes, || drop(black_box(decode())));
        let keying = best(kilobytes, || last = Some(key(black_box(&request))));
        let hashing = best(kilobytes, || {
            black_box(blake3::hash(black_box(&body)));
        });
        println!(
            "{:>9} {:>12} {:>12} {:>12}",
            body.len(),
            per_kilobyte(decoding),
            per_kilobyte(keying),
            per_kilobyte(hashing)
        );
    }
    let (cache, key) = (filled(), last.unwrap());
    let hour = Duration::from_secs(3600);
    cache.keep(key, answer());
    let looking = best(1, || assert!(black_box(cache.get(&key, Form::Whole, hour)).is_some()));
    println!("a look-up among {} replies: {} ns", cache.entries(), looking.as_nanos());
    let absent = body(1);
    let bounds = tollgate_providers::Bounds::default();
    let absent = self::key(&Dialect::OpenAiChat.decode_chat(&absent, &bounds).unwrap());
    let missing = best(1, || assert!(black_box(cache.get(&absent, Form::Whole, hour)).is_none()));
    let keeping = best(1, || cache.keep(key, answer()));
    let [missing, keeping] = [missing, keeping].map(|time| time.as_nanos());
    println!("one that finds nothing: {missing} ns; to keep a kB: {keeping} ns");
}

fn key(request: &tollgate_providers::ChatRequest<'_>) -> Fingerprint {
    let scope = Scope {
        owner: Owner::Account("acme/search"),
        dialect: Dialect::OpenAiChat,
        prompt: None,
        targets: &[("openai", "https://api.openai.com/v1", "gpt-4o-mini")],
        cap: 1000,
        require: &[],
        headers: &[],
    };
    fingerprint(&scope, Asked::Chat(request))
}

/// A conversation of so many kilobytes, in messages of a kilobyte.
fn body(kilobytes: usize) -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, and says: \"again\". ".repeat(15);
    let message = |at: usize| {
        let role = if at.is_multiple_of(2) { "user" } else { "assistant" };
        json!({ "role": role, "content": text })
    };
    let messages: Vec<_> = (0..kilobytes).map(message).collect();
    let body = json!({ "model": "gpt-4o-mini", "temperature": 0, "messages": messages });
    body.to_string().into_bytes()
}

/// The time of one call, of the round in which it was least.
fn best(weight: usize, mut call: impl FnMut()) -> Duration {
    let calls = u32::try_from(20_000 / weight).unwrap_or(1).max(5);
    let round = |_| {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed() / calls
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn filled() -> Cache {
    let hour = Duration::from_secs(3600);
    let bounds = Bounds { max_bytes: 1 << 28, max_reply_bytes: 1 << 20, ttl: hour };
    let cache = Cache::new(Policy::of(bounds));
    for at in 0..100_000_u64 {
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": at.to_string() }] });
        let body = body.to_string();
        let bounds = tollgate_providers::Bounds::default();
        let request = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &bounds).unwrap();
        cache.keep(key(&request), answer());
    }
    let _settled = cache.bytes();
    cache
}

fn answer() -> Answer {
    let card = PriceCard {
        version: "v".to_owned(),
        source: String::new(),
        effective_from: Timestamp::from_micros(0),
        tiers: Vec::new(),
        per_request: None,
    };
    Answer {
        account: "acme".into(),
        prompt: None,
        asked_model: "m".into(),
        provider: "p".into(),
        model: "m".into(),
        card: Arc::new(card),
        max_output_tokens: None,
        charged: Money::ZERO,
        made_at: Timestamp::from_micros(i64::MAX),
        keep_for: Duration::from_secs(3600),
        dialect: Dialect::OpenAiChat,
        form: Form::Whole,
        content: Content::Whole(Bytes::from_static(&[b'x'; 1000])),
    }
}
