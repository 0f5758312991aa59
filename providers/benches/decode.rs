//! What reading and writing costs: requests, streams of the same dialect, streams translated, the
//! catalogue. Run with `cargo bench -p tollgate-providers`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has nothing to say")]
#![expect(unsafe_code, reason = "counting allocations needs an allocator of one's own")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tollgate_accounting::Timestamp;
use tollgate_providers::catalogue::Catalogue;
use tollgate_providers::{Bounds, Dialect, EncodeOptions, Target, provider};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "id", model: "model", created: 1, include_usage: true, echo: "" };

/// Runs `work` for about a second; nanoseconds and allocations a unit, of which it does `units`.
fn measure(name: &str, units: u64, mut work: impl FnMut()) {
    work();
    let (start, before) = (Instant::now(), ALLOCATIONS.load(Ordering::Relaxed));
    let mut runs = 0;
    while start.elapsed().as_millis() < 1_000 {
        work();
        runs += 1;
    }
    let all = runs * units;
    let nanos = start.elapsed().as_nanos() as f64 / all as f64;
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / all as f64;
    let line = format!("{name:<44} {nanos:>10.0} ns {allocations:>8.2} allocations\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn request(words: usize) -> String {
    let text = "the quick brown fox jumps over the lazy dog ".repeat(words / 9);
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"{text}"}}],"max_tokens":200,"stream":true,"temperature":0.7}}"#
    )
}

fn openai_stream(chunks: usize) -> String {
    let chunk = r#"data: {"id":"chatcmpl-A","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}"#;
    let stop =
        r#"data: {"id":"chatcmpl-A","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    format!("{}{stop}\n\ndata: [DONE]\n\n", format!("{chunk}\n\n").repeat(chunks))
}

fn anthropic_stream(chunks: usize) -> String {
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n";
    let stop = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    format!("{}{stop}", delta.repeat(chunks))
}

/// Reads a stream that comes in pieces; writes it again for a client where `translate`.
fn relay(kind: &str, pieces: &[Bytes], translate: bool) -> usize {
    let mut decoder = provider(kind).unwrap().decoder(1 << 20);
    let mut encoder = Dialect::OpenAiChat.encoder(&OPTIONS);
    let (mut out, mut sent) = (Vec::new(), 0);
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(frame) = decoder.next().unwrap() {
            if translate {
                out.clear();
                frame.events.iter().for_each(|event| encoder.encode(event, &mut out));
                sent += out.len();
            } else {
                sent += frame.raw.len();
            }
        }
    }
    sent
}

fn pieces(stream: &str, size: usize) -> Vec<Bytes> {
    let whole = Bytes::copy_from_slice(stream.as_bytes());
    (0..whole.len()).step_by(size).map(|i| whole.slice(i..(i + size).min(whole.len()))).collect()
}

fn main() {
    let start = Instant::now();
    let catalogue = Catalogue::builtin();
    let millis = start.elapsed().as_micros() as f64 / 1_000.0;
    let line = format!("{:<44} {millis:>10.2} ms\n", "catalogue, first use");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    let now = Timestamp::from_micros(1_790_000_000_000_000);
    measure("catalogue: a price card", 1, || {
        std::hint::black_box(catalogue.card("openai", "gpt-4o-mini", now));
    });
    let openai = provider("openai").unwrap();
    for (name, words) in [("1 KiB", 180), ("16 KiB", 3_200), ("1 MiB", 209_000)] {
        let body = request(words);
        measure(&format!("request of {name}: read"), 1, || {
            let req = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default());
            std::hint::black_box(req.unwrap());
        });
        let to = Target { model: "other", max_output_tokens: Some(100), stream: true };
        measure(&format!("request of {name}: read and spliced"), 1, || {
            let req = Dialect::OpenAiChat.decode_chat(body.as_bytes(), &Bounds::default()).unwrap();
            std::hint::black_box(openai.encode_chat(&req, &to).unwrap());
        });
    }
    const CHUNKS: usize = 10_000;
    let stream = openai_stream(CHUNKS);
    measure("stream: a byte copy, a chunk", CHUNKS as u64, || {
        std::hint::black_box(stream.as_bytes().to_vec());
    });
    let frame = stream.find("\n\n").unwrap() + 2;
    for (name, size) in
        [("one chunk a piece", frame), ("4 KiB pieces", 4_096), ("pieces of 100 bytes", 100)]
    {
        let pieces = pieces(&stream, size);
        measure(&format!("stream, same dialect, {name}"), CHUNKS as u64, || {
            std::hint::black_box(relay("openai", &pieces, false));
        });
    }
    let stream = anthropic_stream(CHUNKS);
    let pieces = pieces(&stream, stream.find("\n\n").unwrap() + 2);
    measure("stream, Anthropic to OpenAI", CHUNKS as u64, || {
        std::hint::black_box(relay("anthropic", &pieces, true));
    });
}
