"""Holds our token ids of each tokenizer.json against those of Hugging Face's `tokenizers`.

compare.py IDS_BINARY TEXTS_EACH FILE...
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import tokenizers

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = [
    "a", "e", "l", "s", "t", "B", "L", "S", "'", "'s", "'ll", "'RE", "'ve", "'d", "\u017f", "1", "23", "4567", " ",
    "  ", "    ", "\t", "\t\t", "\n", "\r\n", "\n\n", "\n\n\n", " \n", "!", "/", "//", ".", ",", ";", "{", "=", "<",
    ">", '"', "-", "_", "\0", "\x7f", "\xad", "\u200b", "é", "e\u0301", "É", "ß", "ǅ", "ʰ", "ª", "中", "文", "かな",
    "ー", "゛", "か\u3099", "\u0301", "\u20dd", "٣", "Ⅷ", "½", "\xa0", "\x85", "\u2028", "\u3000", "👍",
    "👩\u200d💻", "\ufe0f", "🏽", "的", "한국", "한", "พิมพ์", "שלום", "नमस्ते", "the", " quick", "Fox", "HTML",
    "camelCase", "İ", "\u212a", "\u212b", "\U0010ffff", "\ue000", "\U0001d400", "\U0002f800", "▁", "<0x0A>", "<b>", "</table>",
    "<tool_call>", "<think>", "<think", "<|im_start|>", "<｜User｜>", "<｜", "<bos>", "<unused3>", "<s>", "Việt", " người",
    "#", "://", "$", "+", "~", "`", "^", "€", "→", "\u0378",
]


def fragments(chance, most):
    few = [chance.choice(FRAGMENTS) for _ in range(3)]
    pool = few if chance.random() < 0.4 else FRAGMENTS
    return "".join(chance.choice(pool) for _ in range(chance.randrange(most + 1)))


def point(chance, low=0, high=0x110000):
    while True:
        found = chance.randrange(low, high)
        if not 0xD800 <= found < 0xE000:
            return chr(found)


def code_points(chance, most):
    if chance.random() < 0.5:
        block = chance.randrange(0x110000 >> 8) << 8 if chance.random() < 0.3 else chance.randrange(0x34) << 8
        return "".join(point(chance, block, block + 256) for _ in range(chance.randrange(most + 1))) if block != 0xD800 else ""
    return "".join(point(chance) for _ in range(chance.randrange(most + 1)))


def hostile(length):
    chance = random.Random(5)
    alphabets = ["a", "A", " ", "\n", "\t", "!", "abcdefghijklmnopqrstuvwxyz", "\u0301", "0123456789", "中文的", "<", "<|",
                 "".join(chr(c) for c in range(0x4E00, 0x9FA5)), " \t\n\r\u3000", "'sl", "中AB", "\0\x01\xad", "-=", "▁ "]
    for alphabet in alphabets:
        yield "".join(chance.choice(alphabet) for _ in range(length))


def texts(each):
    chance = random.Random(4)
    for folder in ("tests/corpus", "benches/texts"):
        for path in sorted((ROOT / folder).iterdir()):
            text = path.read_bytes().decode("utf-8", "replace")
            yield from (text[at:at + 20_000] for at in range(0, len(text), 20_000))
    for length in (10, 100, 300, 5_000):
        yield from hostile(length)
    for _ in range(each):
        yield fragments(chance, 12)
        yield code_points(chance, 8)
    for _ in range(each // 50):
        yield fragments(chance, 150)
        yield code_points(chance, 100)
    for code in list(range(0x33480)) + list(range(0x33480, 0x110000, 251)):
        if 0xD800 <= code < 0xE000 or each < 50_000 and code % 3:
            continue
        c = chr(code)
        yield f" {c}a!{c} {c}{c}B1{c}"


def main():
    ids, each, *files = sys.argv[1:]
    failed = False
    for file in files:
        reference = tokenizers.Tokenizer.from_file(file)
        reference.encode_special_tokens = True
        reference.no_truncation()
        wanted = list(texts(int(each)))
        lines = "".join(json.dumps(text) + "\n" for text in wanted)
        run = subprocess.run([ids, file], input=lines.encode(), capture_output=True, check=False)
        if run.returncode:
            print(f"{file}: {run.stderr.decode()[:2000]}")
            failed = True
            continue
        ours = [[int(i) for i in line.split()] for line in run.stdout.decode().splitlines()]
        assert len(ours) == len(wanted)
        wrong = []
        for start in range(0, len(wanted), 1_000):
            batch = wanted[start:start + 1_000]
            for text, mine, theirs in zip(batch, ours[start:], reference.encode_batch_fast(batch, add_special_tokens=False)):
                if mine != theirs.ids:
                    wrong.append((text, mine, theirs.ids))
        for text, mine, theirs in wrong[:8]:
            print(f"  {text[:80]!r}: ours {mine[:20]}, theirs {theirs[:20]}")
        print(f"{file}: {len(wanted)} texts, {len(wrong)} mismatches")
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
