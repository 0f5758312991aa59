//! The encodings against the reference implementation, id by id.

use tiktoken_rs::CoreBPE;
use tollgate_tokenizer::Encoding;

fn check(encoding: Encoding, reference: &CoreBPE, text: &str) {
    let expected = reference.encode_ordinary(text);
    let mut ids = Vec::new();
    encoding.encode(text, &mut ids);
    assert_eq!(ids, expected, "{} of {text:?}", encoding.name());
    assert_eq!(encoding.count(text), expected.len() as u64, "{} of {text:?}", encoding.name());
}

#[test]
fn code_points_of_every_plane_encode_as_in_the_reference() {
    for (encoding, reference) in [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ] {
        for point in (0..=0x10_ffff).step_by(13).filter_map(char::from_u32) {
            check(encoding, reference, &format!(" {point}a!{point} {point}{point}B"));
        }
    }
}
