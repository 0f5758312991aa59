//! quick
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "bench")]
use std::time::Instant;
use tollgate_tokenizer::Encoding;

fn main() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/texts/");
    let mut rows: Vec<(String, String)> = vec![];
    for name in ["english", "code", "json", "chinese", "japanese", "mixed"] {
        let t = std::fs::read_to_string(format!("{dir}{name}.txt")).unwrap();
        let mut end = 16384.min(t.len());
        while !t.is_char_boundary(end) {
            end -= 1;
        }
        rows.push((name.into(), t[..end].into()));
    }
    let mut x = 1u64;
    let mut rnd = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let n = 1_000_000;
    rows.push(("h:a".into(), "a".repeat(n)));
    rows.push(("h:spaces".into(), " ".repeat(n)));
    rows.push(("h:newlines".into(), "\n".repeat(n)));
    rows.push(("h:letters".into(), (0..n).map(|_| (b'a' + (rnd() % 26) as u8) as char).collect()));
    let b64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    rows.push(("h:base64".into(), (0..n).map(|_| b64[(rnd() % 64) as usize] as char).collect()));
    rows.push((
        "h:cjk".into(),
        (0..n / 3).map(|_| char::from_u32(0x4e00 + (rnd() % 20000) as u32).unwrap()).collect(),
    ));
    let p = b"!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~";
    rows.push(("h:punct".into(), (0..n).map(|_| p[(rnd() % 31) as usize] as char).collect()));
    let w = b" \t\n\r";
    rows.push(("h:ws".into(), (0..n).map(|_| w[(rnd() % 4) as usize] as char).collect()));
    let filter = std::env::args().nth(1).unwrap_or_default();
    for (name, text) in &rows {
        if !name.contains(&filter) && filter != "--bench" {
            continue;
        }
        let mut out = vec![];
        for e in [Encoding::O200kBase, Encoding::Cl100kBase] {
            let reps = (8_000_000 / text.len()).max(2);
            let mut best = f64::MAX;
            let mut c = 0;
            for _ in 0..5 {
                let t = Instant::now();
                for _ in 0..reps {
                    c = std::hint::black_box(e.count(std::hint::black_box(text)));
                }
                best = best.min(t.elapsed().as_secs_f64() / reps as f64);
            }
            out.push((text.len() as f64 / best / 1e6, best * 1e9 / c as f64));
        }
        let mut reference = String::new();
        if std::env::var("REF").is_ok() && name != "h:spaces" {
            let r = tiktoken_rs::o200k_base_singleton();
            let reps = (500_000 / text.len()).max(1);
            let mut best = f64::MAX;
            for _ in 0..3 {
                let t = Instant::now();
                for _ in 0..reps {
                    std::hint::black_box(r.encode_ordinary(text).len());
                }
                best = best.min(t.elapsed().as_secs_f64() / reps as f64);
            }
            let m = text.len() as f64 / best / 1e6;
            reference = format!("ref {m:6.1} ratio {:5.1}", out[0].0 / m);
        }
        println!(
            "{name:12} o200k {:7.1} MB/s {:6.1} ns/tok   cl100k {:7.1} MB/s {reference}",
            out[0].0, out[0].1, out[1].0
        );
    }
}
