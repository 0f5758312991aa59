"""Python tiktoken on the texts of the benches, and against ids that `peers dump FILE` wrote.

Usage: python.py [FILE]; needs `pip install tiktoken==0.14.0`. The ranks come from this crate's own
data, so that nothing is downloaded.
"""

import sys
import time
from pathlib import Path

import tiktoken
import tiktoken_ext.openai_public as public

crate = Path(__file__).resolve().parent.parent.parent


def ranks(path, expected_hash=None):
    name = path.rsplit("/", 1)[-1].removesuffix(".tiktoken")
    data = (crate / "data" / f"{name}.vocab").read_bytes()
    found, at = {}, 0
    while at < len(data):
        length = data[at]
        found[data[at + 2 : at + 2 + length]] = len(found)
        at += 2 + length
    return found


public.load_tiktoken_bpe = ranks
encoding = tiktoken.get_encoding("o200k_base")
for name in ("english", "code", "json", "chinese", "japanese", "mixed"):
    text = (crate / "benches" / "texts" / f"{name}.txt").read_bytes()
    text = text[: 16 * 1024].decode(errors="ignore")
    best = 1e9
    for _ in range(100):
        start = time.perf_counter()
        encoding.encode_ordinary(text)
        best = min(best, time.perf_counter() - start)
    print(f"{name} {len(text.encode()) / best / 1e6:.1f}")
if len(sys.argv) > 1:
    wrong = total = 0
    for line in open(sys.argv[1]):
        text, ids = line.rstrip("\n").split(" ")
        expected = [int(id) for id in ids.split(",") if id]
        wrong += encoding.encode_ordinary(bytes.fromhex(text).decode()) != expected
        total += 1
    print(f"{wrong} of {total} strings differ")
