"""Makes the small tokenizers of tests/data/hub and the ids that `tokenizers` gives of hard texts.

make.py: a vocabulary trained on this crate's own texts for each shape of the known families, so
that the tests need no one else's data. Run it with the environment of tests/hub/run.
"""

import json
import random
from pathlib import Path

import tokenizers
from compare import FRAGMENTS, ROOT, code_points, fragments, hostile
from families import SHAPES, all_splits
from tokenizers import models, trainers

OUT = ROOT / "tests/data/hub"


def corpus(shape):
    texts = [p.read_text(errors="replace") for p in sorted((ROOT / "benches/texts").glob("*.txt"))]
    lines = [line for text in texts for line in text[:60_000].splitlines(keepends=True)] + FRAGMENTS * 3
    return [line.replace(" ", "▁") for line in lines] if shape.get("marks") else lines


def train(name, shape):
    made = tokenizers.Tokenizer(models.BPE(byte_fallback=bool(shape.get("marks"))))
    made = tokenizers.Tokenizer.from_str(json.dumps({**json.loads(made.to_str()), **shape["around"]}))
    alphabet = [] if shape.get("marks") else tokenizers.pre_tokenizers.ByteLevel.alphabet()
    size = 1_400 if shape.get("marks") else 900
    trainer = trainers.BpeTrainer(vocab_size=size, limit_alphabet=600, initial_alphabet=alphabet, show_progress=False)
    # Without its normalizer: what is trained on has its marks already.
    made.train_from_iterator(corpus(shape), trainer)
    file = json.loads(made.to_str())
    model = file["model"]
    if shape.get("marks"):
        vocab = {"<unk>": 0} | {f"<0x{byte:02X}>": byte + 1 for byte in range(256)}
        for token in model["vocab"]:
            vocab.setdefault(token, len(vocab))
        model |= {"vocab": vocab, "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    if shape.get("all_splits"):
        model["merges"] = all_splits(model["vocab"])
    model["ignore_merges"] = shape.get("ignore_merges", False)
    added = []
    for content, special, normalized in shape.get("added", []):
        new = sum(one["content"] not in model["vocab"] for one in added)
        identity = model["vocab"].get(content, len(model["vocab"]) + new)
        added.append({"id": identity, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": normalized, "special": special})
    file["added_tokens"] = added
    file |= shape["around"]
    return json.dumps(file, ensure_ascii=False, separators=(",", ":"))


def main():
    OUT.mkdir(exist_ok=True)
    for name, shape in SHAPES.items():
        file = train(name, shape)
        (OUT / f"{name}.json").write_text(file)
        reference = tokenizers.Tokenizer.from_str(file)
        reference.encode_special_tokens = True
        chance = random.Random(name)
        texts = [fragments(chance, 30) for _ in range(250)] + [code_points(chance, 12) for _ in range(60)]
        texts += [" ".join(FRAGMENTS), "".join(FRAGMENTS), *hostile(130)]
        lines = [json.dumps([text, reference.encode(text, add_special_tokens=False).ids], separators=(",", ":")) + "\n" for text in texts]
        (OUT / f"{name}.ids").write_text("".join(lines))


if __name__ == "__main__":
    main()
