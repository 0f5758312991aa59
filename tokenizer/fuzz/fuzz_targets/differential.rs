//! Any text has the reference's ids, their number as its count, and the same count as a stream.
//!
//! `cargo +nightly fuzz run differential tests/corpus`

#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_tokenizer::Encoding;

fuzz_target!(|text: &str| {
    for (encoding, reference) in [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ] {
        let expected = reference.encode_ordinary(text);
        let mut ids = Vec::new();
        encoding.encode(text, &mut ids);
        assert_eq!(ids, expected);
        let mut stream = encoding.stream();
        for (at, point) in text.char_indices() {
            let end = at + point.len_utf8();
            assert_eq!(stream.push(&text[at..end]), encoding.count(&text[..end]));
        }
        assert_eq!(stream.total(), expected.len() as u64);
    }
});
