//! The encodings against the reference implementation, id by id.

mod support;

use std::fs;
use std::path::Path;

use support::{Chance, effort, encodings, fragments, hostile};
use tiktoken_rs::CoreBPE;
use tollgate_tokenizer::Encoding;

/// Ids for `encode` and the number of them for `count`.
fn check(encoding: Encoding, reference: &CoreBPE, text: &str) {
    let expected = reference.encode_ordinary(text);
    let mut ids = Vec::new();
    encoding.encode(text, &mut ids);
    assert_eq!(ids, expected, "{} of {text:?}", encoding.name());
    assert_eq!(encoding.count(text), expected.len() as u64, "{} of {text:?}", encoding.name());
}

/// A text of random code points, from everywhere or one block.
fn code_points(chance: &mut Chance, most: usize) -> String {
    let block = chance.below(0x11_0000) as u32;
    let from_block = chance.below(2) == 0;
    (0..chance.below(most + 1))
        .filter_map(|_| {
            let point = chance.below(0x11_0000) as u32;
            char::from_u32(if from_block { block & !0xff | point & 0xff } else { point })
        })
        .collect()
}

#[test]
fn code_points_of_every_plane_encode_as_in_the_reference() {
    // What is beyond the third plane's start is one class and no token of more than two bytes.
    let rare = effort(61, 1) as usize;
    let common = effort(3, 1) as usize;
    for (encoding, reference) in encodings() {
        let points = (0..0x3_3480).step_by(common).chain((0x3_3480..0x11_0000).step_by(rare));
        for point in points.filter_map(char::from_u32) {
            check(encoding, reference, &format!(" {point}a!{point} {point}{point}B"));
        }
    }
}

fn check_many(encoding: usize, seed: u64, make: fn(&mut Chance, usize) -> String) {
    let (encoding, reference) = encodings()[encoding];
    let mut chance = Chance(seed);
    for _ in 0..effort(250_000, 2_500_000) {
        check(encoding, reference, &make(&mut chance, 12));
    }
    for _ in 0..effort(2_000, 100_000) {
        check(encoding, reference, &make(&mut chance, 150));
    }
}

#[test]
fn texts_of_hard_fragments_encode_as_in_the_reference_in_o200k() {
    check_many(0, 0x1234_5678_9abc_def1, fragments);
}

#[test]
fn texts_of_hard_fragments_encode_as_in_the_reference_in_cl100k() {
    check_many(1, 0x2345_6789_abcd_ef12, fragments);
}

#[test]
fn texts_of_random_code_points_encode_as_in_the_reference_in_o200k() {
    check_many(0, 0x3456_789a_bcde_f123, code_points);
}

#[test]
fn texts_of_random_code_points_encode_as_in_the_reference_in_cl100k() {
    check_many(1, 0x4567_89ab_cdef_1234, code_points);
}

#[test]
fn hostile_inputs_encode_as_in_the_reference() {
    let mut chance = Chance(0x5678_9abc_def1_2345);
    for length in [100, 1_000, effort(10_000, 300_000) as usize] {
        for (_, text) in hostile(&mut chance, length) {
            for (encoding, reference) in encodings() {
                check(encoding, reference, &text);
            }
        }
    }
}

#[test]
fn files_of_the_corpus_and_of_the_benches_encode_as_in_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for folder in ["tests/corpus", "benches/texts"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for (encoding, reference) in encodings() {
                check(encoding, reference, &text);
            }
            files += 1;
        }
    }
    assert!(files > 10, "only {files} files");
}

#[test]
fn texts_that_the_fuzzer_kept_encode_as_in_the_reference_and_as_streams() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/fuzz.jsonl");
    let lines = fs::read_to_string(path).unwrap();
    for line in lines.lines() {
        let text: String = serde_json::from_str(line).unwrap();
        for (encoding, reference) in encodings() {
            check(encoding, reference, &text);
            let mut stream = encoding.stream();
            for (at, point) in text.char_indices() {
                let end = at + point.len_utf8();
                let total = stream.push(&text[at..end]);
                assert_eq!(total, encoding.count(&text[..end]), "{:?}", &text[..end]);
            }
        }
    }
    assert!(lines.lines().count() > 400);
}

#[test]
fn the_tables_of_an_encoding_have_no_more_than_eight_mebibytes() {
    for encoding in Encoding::ALL {
        assert!(encoding.size() <= 8 << 20, "{}: {}", encoding.name(), encoding.size());
    }
}

#[test]
fn a_million_of_anything_is_counted_and_does_not_panic() {
    let mut chance = Chance(0x6789_abcd_ef12_3456);
    let mut texts = hostile(&mut chance, 1_000_000);
    texts.push(("spaces", " ".repeat(1_000_000)));
    for (name, text) in texts {
        for encoding in Encoding::ALL {
            let mut ids = Vec::new();
            encoding.encode(&text, &mut ids);
            assert_eq!(encoding.count(&text), ids.len() as u64, "{} of {name}", encoding.name());
        }
    }
}

#[test]
fn counting_up_to_a_limit_gives_the_count_or_says_it_is_more() {
    let mut chance = Chance(0x789a_bcde_f123_4567);
    for _ in 0..20_000 {
        let text = fragments(&mut chance, 60);
        for encoding in Encoding::ALL {
            let count = encoding.count(&text);
            assert_eq!(encoding.count_up_to(&text, count), Some(count));
            assert_eq!(encoding.count_up_to(&text, u64::MAX), Some(count));
            if count > 0 {
                assert_eq!(encoding.count_up_to(&text, count - 1), None);
            }
        }
    }
}

#[test]
fn special_tokens_in_a_text_are_ordinary_text() {
    for (encoding, reference) in encodings() {
        check(encoding, reference, "<|endoftext|> and <|im_start|>user");
        assert!(encoding.count("<|endoftext|>") > 1);
    }
}
