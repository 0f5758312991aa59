//! The vocabulary as a trie in one array: a child sits at its parent's base, exclusive-or the
//! child's byte. No two parents share a base, so the byte stored in a slot proves the parent.

use std::collections::HashMap;

/// Slot values: the byte in the low eight bits, a flag for tokens, the base above.
pub(crate) struct Trie {
    pub(crate) slots: Vec<u32>,
    /// The token that ends at a slot.
    pub(crate) tokens: Vec<u32>,
    pub(crate) root: u32,
}

struct Node {
    token: Option<u32>,
    children: Vec<(u8, usize)>,
    base: usize,
}

/// Builds the trie of tokens given in rank order.
pub(crate) fn build(tokens: &[Vec<u8>]) -> Trie {
    let mut nodes = grow(tokens);
    let mut order: Vec<usize> =
        (0..nodes.len()).filter(|n| !nodes[*n].children.is_empty()).collect();
    order.sort_by_key(|node| std::cmp::Reverse(nodes[*node].children.len()));
    let mut free = Free::new(nodes.len() + nodes.len() / 16);
    let mut single = false;
    for node in order {
        if nodes[node].children.len() == 1 && !single {
            (free.from, single) = (0, true);
        }
        let labels: Vec<u8> = nodes[node].children.iter().map(|(label, _)| *label).collect();
        nodes[node].base = free.claim(&labels);
    }
    // An empty slot holds the byte that only a base ending in zero could ask for: none does.
    let length = free.taken.iter().rposition(|taken| *taken).map_or(0, |last| last + 1);
    let length = length.next_multiple_of(256);
    let mut slots: Vec<u32> = (0..length as u32).map(|slot| slot & 0xff).collect();
    let mut ends = vec![0; length];
    for node in 0..nodes.len() {
        for (label, child) in nodes[node].children.clone() {
            let slot = nodes[node].base ^ usize::from(label);
            let child = &nodes[child];
            slots[slot] = (child.base as u32) << 9 | u32::from(label);
            if let Some(token) = child.token {
                slots[slot] |= 0x100;
                ends[slot] = token;
            }
        }
    }
    Trie { slots, tokens: ends, root: nodes[0].base as u32 }
}

fn grow(tokens: &[Vec<u8>]) -> Vec<Node> {
    let new = || Node { token: None, children: Vec::new(), base: 0 };
    let mut nodes = vec![new()];
    let mut edges: HashMap<(usize, u8), usize> = HashMap::new();
    for (rank, token) in tokens.iter().enumerate() {
        let mut node = 0;
        for byte in token {
            node = match edges.get(&(node, *byte)) {
                Some(child) => *child,
                None => {
                    let child = nodes.len();
                    nodes.push(new());
                    nodes[node].children.push((*byte, child));
                    edges.insert((node, *byte), child);
                    child
                }
            };
        }
        nodes[node].token = Some(rank as u32);
    }
    nodes
}

struct Free {
    taken: Vec<bool>,
    based: Vec<bool>,
    from: usize,
}

impl Free {
    fn new(size: usize) -> Self {
        let size = size.next_multiple_of(256) + 512;
        Self { taken: vec![false; size], based: vec![false; size], from: 0 }
    }

    /// The first base from which every label falls on a free slot.
    fn claim(&mut self, labels: &[u8]) -> usize {
        let mut slot = self.from;
        let mut failed = 0;
        loop {
            if slot >= self.taken.len() {
                self.taken.resize(slot + 256, false);
                self.based.resize(slot + 256, false);
            }
            if self.taken[slot] {
                self.from += usize::from(slot == self.from);
                slot += 1;
                continue;
            }
            let base = slot ^ usize::from(labels[0]);
            let fits = base & 0xff != 0
                && !self.based[base]
                && labels.iter().all(|label| !self.taken[base ^ usize::from(*label)]);
            if fits {
                for label in labels {
                    self.taken[base ^ usize::from(*label)] = true;
                }
                self.based[base] = true;
                return base;
            }
            failed += 1;
            slot += 1;
            // Later sets start behind a region that was tried often; the nodes with a single
            // child come last and fill what is left there.
            if failed > 64 {
                (self.from, failed) = (slot, 0);
            }
        }
    }
}
