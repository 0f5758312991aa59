//! The stream counter against the count of the whole, after every delta.

mod support;

use support::{Chance, FRAGMENTS, effort, encodings, fragments, hostile};
use tollgate_tokenizer::{Encoding, StreamCounter};

/// Feeds `text` in deltas of up to `most` characters and checks each step.
fn check(encoding: Encoding, text: &str, most: usize, chance: &mut Chance) {
    let mut stream = encoding.stream();
    let mut at = 0;
    while at < text.len() {
        let points = 1 + chance.below(most);
        let rest = &text[at..];
        let delta = rest.char_indices().nth(points).map_or(rest, |(end, _)| &rest[..end]);
        at += delta.len();
        let total = stream.push(delta);
        assert_eq!(total, encoding.count(&text[..at]), "{} of {:?}", encoding.name(), &text[..at]);
        assert_eq!(total, stream.total());
    }
}

#[test]
fn every_split_in_two_counts_as_the_whole() {
    let mut chance = Chance(0x1357_9bdf_0246_8ace);
    for _ in 0..effort(10_000, 300_000) {
        let text = fragments(&mut chance, 14);
        for (encoding, _) in encodings() {
            let whole = encoding.count(&text);
            for (at, _) in text.char_indices() {
                let mut stream = encoding.stream();
                assert_eq!(stream.push(&text[..at]), encoding.count(&text[..at]));
                assert_eq!(stream.push(&text[at..]), whole, "{text:?} at {at}");
            }
        }
    }
}

#[test]
fn every_prefix_counts_as_if_it_were_the_whole() {
    let mut chance = Chance(0x2468_ace0_1357_9bdf);
    for _ in 0..effort(20_000, 300_000) {
        let text = fragments(&mut chance, 60);
        for (encoding, _) in encodings() {
            check(encoding, &text, 1, &mut chance);
            check(encoding, &text, 9, &mut chance);
        }
    }
}

#[test]
fn pieces_that_go_on_for_long_count_at_every_step() {
    let mut chance = Chance(0x3690_c741_8520_fdb9);
    for _ in 0..effort(300, 10_000) {
        // Stretches of one to three kinds of characters, and something between them.
        let mut text = String::new();
        for _ in 0..3 {
            let of: Vec<&str> = (0..1 + chance.below(3)).map(|_| chance.pick(FRAGMENTS)).collect();
            for _ in 0..chance.below(120) {
                text.push_str(chance.pick(&of));
            }
            text.push_str(chance.pick(FRAGMENTS));
            text.push_str(chance.pick(FRAGMENTS));
        }
        for (encoding, _) in encodings() {
            check(encoding, &text, 5, &mut chance);
        }
    }
    for (_, text) in hostile(&mut chance, 1_500) {
        for (encoding, _) in encodings() {
            check(encoding, &text, 7, &mut chance);
        }
    }
}

#[test]
fn one_endless_piece_takes_time_in_proportion_and_little_memory() {
    let mut chance = Chance(0x48c0_4d15_9e26_aeb7);
    for (name, text) in hostile(&mut chance, 200_000) {
        for (encoding, _) in encodings() {
            let mut stream = encoding.stream();
            // Were each delta to cost the whole piece, this would take hours.
            for point in text.chars() {
                stream.push(point.encode_utf8(&mut [0; 4]));
            }
            assert_eq!(stream.total(), encoding.count(&text), "{} of {name}", encoding.name());
        }
    }
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut stream = Encoding::O200kBase.stream();
    stream.push("one and");
    let mut other = stream.clone();
    assert_eq!(stream.push(" the same"), Encoding::O200kBase.count("one and the same"));
    assert_eq!(
        other.push("roid"),
        Encoding::O200kBase.count("one androiD".to_lowercase().as_str())
    );
}

#[test]
fn an_empty_delta_changes_nothing() {
    let mut stream = Encoding::Cl100kBase.stream();
    assert_eq!(stream.push(""), 0);
    let total = stream.push("word");
    assert_eq!(stream.push(""), total);
}

#[test]
fn a_counter_can_go_to_another_thread() {
    fn is_send<T: Send + Sync>() {}
    is_send::<StreamCounter>();
}
