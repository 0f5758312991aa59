//! Vocabularies loaded from `tokenizer.json`, of each family's shape, against the ids that Hugging
//! Face's `tokenizers` gave; `tests/hub/run` does the same with the families' own vocabularies.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test that reads it")]

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_tokenizer::{Encoding, LoadError};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hub")
}

fn file(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()
}

fn load(name: &str) -> Encoding {
    Encoding::load(name, file(name).as_bytes()).unwrap()
}

fn check(name: &str) {
    let encoding = load(name);
    let mut texts = 0;
    for line in fs::read_to_string(folder().join(format!("{name}.ids"))).unwrap().lines() {
        let (text, expected): (String, Vec<u32>) = serde_json::from_str(line).unwrap();
        let mut ids = Vec::new();
        encoding.encode(&text, &mut ids);
        assert_eq!(ids, expected, "{name} of {text:?}");
        assert_eq!(encoding.count(&text), expected.len() as u64, "{name} of {text:?}");
        let mut stream = encoding.stream();
        for (at, point) in text.char_indices() {
            let end = at + point.len_utf8();
            let total = stream.push(&text[at..end]);
            assert_eq!(total, encoding.count(&text[..end]), "{name} of {:?}", &text[..end]);
        }
        texts += 1;
    }
    assert!(texts > 300);
}

#[test]
fn a_vocabulary_of_llama_3s_shape_encodes_as_in_the_reference() {
    check("llama3");
}

#[test]
fn a_vocabulary_of_qwen_2s_shape_encodes_as_in_the_reference() {
    check("qwen2");
}

#[test]
fn a_vocabulary_of_qwen_3_5s_shape_encodes_as_in_the_reference() {
    check("qwen35");
}

#[test]
fn a_vocabulary_of_mistrals_shape_encodes_as_in_the_reference() {
    check("tekken");
}

#[test]
fn a_vocabulary_of_gpt_4os_shape_encodes_as_in_the_reference() {
    check("gpt4o");
}

#[test]
fn a_vocabulary_of_deepseeks_shape_encodes_as_in_the_reference() {
    check("deepseek");
}

#[test]
fn a_vocabulary_of_gemmas_shape_encodes_as_in_the_reference() {
    check("gemma");
}

#[test]
fn a_vocabulary_of_llama_2s_shape_encodes_as_in_the_reference() {
    check("llama2");
}

#[test]
fn the_same_file_under_the_same_name_is_the_same_encoding() {
    assert_eq!(load("qwen2"), load("qwen2"));
    assert_ne!(load("qwen2"), load("tekken"));
    assert_eq!(load("qwen2").name(), "qwen2");
}

#[test]
fn long_pieces_of_a_stream_are_counted_in_proportion_and_exactly() {
    let names = ["llama3", "qwen2", "qwen35", "tekken", "gpt4o", "deepseek", "gemma", "llama2"];
    for name in names {
        let encoding = load(name);
        for unit in
            ["a", "Ab", " ", "\n", " \n", "!", "中", "\u{301}", "\u{1}", "!a", "<", "0", "e\u{301}"]
        {
            let text = unit.repeat(20_000 / unit.len());
            let mut stream = encoding.stream();
            for (step, point) in text.chars().enumerate() {
                let total = stream.push(point.encode_utf8(&mut [0; 4]));
                if step % 500 == 77 {
                    let so_far: String = text.chars().take(step + 1).collect();
                    assert_eq!(total, encoding.count(&so_far), "{name} of {step} {unit:?}");
                }
            }
            for end in ["x", "'s", " 1", "中", "\u{301}"] {
                let mut ended = stream.clone();
                let whole = encoding.count(&format!("{text}{end}"));
                assert_eq!(ended.push(end), whole, "{name} of {unit:?} and {end:?}");
            }
        }
    }
}

#[test]
fn what_is_not_known_to_be_exact_is_refused_by_name() {
    let good = file("qwen2");
    for (from, to, part) in [
        ("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model"),
        ("\"dropout\":null", "\"dropout\":0.1", "model"),
        ("\"type\":\"NFC\"", "\"type\":\"NFKC\"", "normalizer"),
        ("\"add_prefix_space\":false", "\"add_prefix_space\":true", "pre_tokenizer"),
        ("\"behavior\":\"Isolated\"", "\"behavior\":\"Removed\"", "pre_tokenizer"),
        (r"\\p{L}+|", r"\\p{L}*|", "pre_tokenizer"),
        ("\"lstrip\":false", "\"lstrip\":true", "added token"),
    ] {
        let (head, tail) = good.rsplit_once(from).unwrap();
        // The last of them: where a special token is odd, that changes nothing.
        let changed = match part {
            "added token" => format!("{head}{to}{tail}"),
            _ => good.replacen(from, to, 9),
        };
        match Encoding::load("changed", changed.as_bytes()) {
            Err(LoadError::Unsupported { part: found, .. }) => assert_eq!(found, part, "{from}"),
            other => panic!("{from}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    for content in ["", "[]", "{}", "{\"model\":", "\u{0}", "{\"model\":{\"type\":\"BPE\"}}"] {
        assert!(Encoding::load("none", content.as_bytes()).is_err(), "{content}");
    }
    assert!(matches!(Encoding::load("none", b"\xff"), Err(LoadError::Malformed(_))));
    // A merge of what is no token.
    let broken = file("qwen2").replacen("\"merges\":[[\"", "\"merges\":[[\"\u{4e00}", 1);
    assert!(matches!(Encoding::load("broken", broken.as_bytes()), Err(LoadError::Vocabulary(_))));
}
