//! What the tests share: the reference, a repeatable source of chance, and texts made to be hard.

mod hostile;

pub(crate) use hostile::{Chance, hostile};
use tiktoken_rs::CoreBPE;
use tollgate_tokenizer::Encoding;

/// Each encoding that differs in ordinary text, with the reference implementation of it.
pub(crate) fn encodings() -> [(Encoding, &'static CoreBPE); 2] {
    [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ]
}

/// How many times more work `TOLLGATE_LONG=1` asks for.
pub(crate) fn effort(default: u32, long: u32) -> u32 {
    let is_long = std::env::var("TOLLGATE_LONG").is_ok_and(|value| value == "1");
    if is_long { long } else { default }
}

/// What the patterns tell apart, and what follows what in real text.
pub(crate) const FRAGMENTS: &[&str] = &[
    "a",
    "e",
    "l",
    "s",
    "t",
    "B",
    "L",
    "S",
    "'",
    "'s",
    "'ll",
    "'RE",
    "'ve",
    "'d",
    "\u{17f}",
    "1",
    "23",
    "4567",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\n\n",
    " \n",
    "!",
    "/",
    "//",
    ".",
    ",",
    ";",
    "{",
    "=",
    "<",
    ">",
    "\"",
    "-",
    "_",
    "\u{0}",
    "\u{7f}",
    "é",
    "É",
    "ß",
    "ǅ",
    "ʰ",
    "ª",
    "中",
    "文",
    "かな",
    "\u{301}",
    "\u{20dd}",
    "٣",
    "Ⅷ",
    "½",
    "\u{a0}",
    "\u{85}",
    "\u{2028}",
    "\u{3000}",
    "👍",
    "👩\u{200d}💻",
    "\u{fe0f}",
    "🏽",
    "的",
    "한국",
    "พิมพ์",
    "שלום",
    "the",
    " quick",
    "Fox",
    "HTML",
    "camelCase",
    "İ",
    "K",
    "\u{10ffff}",
    "\u{e000}",
    "\u{1d400}",
    "\u{2f800}",
];

/// A text of up to `most` fragments, from all of them or a few.
pub(crate) fn fragments(chance: &mut Chance, most: usize) -> String {
    let few: Vec<&str> = (0..3).map(|_| chance.pick(FRAGMENTS)).collect();
    let of_few = chance.below(2) == 0;
    let ascii_only = chance.below(3) == 0;
    (0..chance.below(most + 1))
        .map(|_| if of_few { chance.pick(&few) } else { chance.pick(FRAGMENTS) })
        .filter(|fragment| !ascii_only || fragment.is_ascii())
        .collect()
}
