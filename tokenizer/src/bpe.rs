//! Byte-pair encoding of one piece.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::vocabulary::Vocabulary;

pub(crate) fn count(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    let mut total = 0;
    each(vocabulary, piece, |_| total += 1);
    total
}

pub(crate) fn encode(vocabulary: &Vocabulary, piece: &[u8], out: &mut Vec<u32>) {
    each(vocabulary, piece, |rank| out.push(rank));
}

/// Merges the lowest-ranked adjacent pair until none is a token; a heap of candidate merges keeps
/// that at n log n.
fn each(vocabulary: &Vocabulary, piece: &[u8], mut emit: impl FnMut(u32)) {
    if let Some(rank) = vocabulary.rank(piece) {
        return emit(rank);
    }
    // next[i] is where the part that starts at i ends; a part of length 0 was merged away.
    let mut next: Vec<usize> = (1..=piece.len()).collect();
    let mut previous: Vec<usize> = (0..piece.len()).map(|at| at.wrapping_sub(1)).collect();
    let mut heap = BinaryHeap::new();
    let push = |heap: &mut BinaryHeap<_>, next: &[usize], at: usize| {
        let middle = next[at];
        if middle < piece.len() {
            let end = next[middle];
            if let Some(rank) = vocabulary.rank(&piece[at..end]) {
                heap.push(Reverse((rank, at, middle, end)));
            }
        }
    };
    for at in 0..piece.len() {
        push(&mut heap, &next, at);
    }
    while let Some(Reverse((_, at, middle, end))) = heap.pop() {
        if next[at] != middle || next.get(middle) != Some(&end) {
            continue;
        }
        next[at] = end;
        next[middle] = usize::MAX;
        if let Some(previous) = previous.get_mut(end) {
            *previous = at;
        }
        push(&mut heap, &next, at);
        let before = previous[at];
        if before < piece.len() {
            push(&mut heap, &next, before);
        }
    }
    let mut at = 0;
    while at < piece.len() {
        // A part that no merge made is a single byte, and every byte is a token.
        emit(vocabulary.rank(&piece[at..next[at]]).unwrap_or(u32::MAX));
        at = next[at];
    }
}
