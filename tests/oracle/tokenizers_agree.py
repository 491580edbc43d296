#!/usr/bin/env python3
"""Compares Junto's ids with those of HF `tokenizers` on real vocabularies, which the tree has not.

  tokenizers_agree.py ENCODE_TEXTS FAMILY VOCABULARY [--random N] [--seed S] [TEXT_FILE ...]

FAMILY      gpt-oss, qwen2, qwen35 or gemma3: VOCABULARY is a tokenizer.json
            gguf: VOCABULARY is a GGUF file of Gemma 4, or one with byte-level BPE
TEXT_FILE   is compared whole and line by line

ENCODE_TEXTS is the program of encode_texts.cc. Random texts have bytes that are not UTF-8, too: each
stretch of them is a piece of its own to byte-level vocabularies, and byte tokens to others. Prints
figures and the first texts on which the two differ, and exits 1 if there are any. Needs tokenizers
0.23, gguf 0.19, NumPy, and what make_tokenizer_vectors.py needs.
"""

import argparse
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

import gguf
import numpy as np
from tokenizers import AddedToken, Tokenizer, models, normalizers

import make_tokenizer_vectors as small

PRE = {"gpt-oss": "gpt-4o", "qwen2": "qwen2", "qwen35": "qwen35"}


def write_gguf(path, family, data):
    """A GGUF file with the vocabulary of a tokenizer.json."""
    vocab, merges = data["model"]["vocab"], data["model"]["merges"]
    added = {t["content"]: t for t in data["added_tokens"]}
    ids = dict(vocab, **{t["content"]: t["id"] for t in data["added_tokens"]})
    tokens = [f"[PAD{i}]" for i in range(max(ids.values()) + 1)]
    types = [5] * len(tokens)
    for token, i in ids.items():
        tokens[i] = token
        types[i] = 1 if token not in added else 3 if added[token]["special"] else 4
    writer = gguf.GGUFWriter(path, "llama")
    if family == "gemma3":
        scores = [-1e6] * len(tokens)
        for rank, (left, right) in reversed(list(enumerate(merges))):
            scores[ids[left + right]] = -float(rank)
        types = [6 if t.startswith("<0x") and len(t) == 6 else k for t, k in zip(tokens, types)]
        writer.add_tokenizer_model("llama")
        writer.add_token_scores(scores)
        writer.add_add_space_prefix(False)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(PRE[family])
        writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def gguf_reference(path):
    fields = gguf.GGUFReader(path).fields
    model, tokens, types, merges = (fields["tokenizer.ggml." + key].contents()
                                    for key in ("model", "tokens", "token_type", "merges"))
    pairs = [(m[:m.index(" ", 1)], m[m.index(" ", 1) + 1:]) for m in merges]
    vocabulary = {t: i for i, t in enumerate(tokens)}
    if model == "gemma4":
        tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True,
                                         byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    else:
        rule = fields["tokenizer.ggml.pre"].contents()
        tokenizer = Tokenizer(models.BPE(vocabulary, pairs,
                                         ignore_merges=rule in small.WHOLE_PIECE_RULES))
        tokenizer.pre_tokenizer = small.pre_tokenizer(rule)
        if rule in small.NFC_RULES:
            tokenizer.normalizer = normalizers.NFC()
    named = [t for t, kind in zip(tokens, types) if kind in (3, 4)]
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in named])
    return tokenizer, named


def reference(family, path):
    if family == "gguf":
        return gguf_reference(path)
    data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(path)
    if family == "qwen35":
        tokenizer.pre_tokenizer = small.pre_tokenizer(family)
    return tokenizer, [t["content"] for t in data["added_tokens"]][:200]


ALPHABET = small.byte_alphabet()
BROKEN = [b"\xff", b"\x80", b"\xc3", b"\xe6\xbc", b"\xf0\x9f\x91", b"\xc0\xaf", b"\xed\xa0\x80",
          b"\xf4\x90\x80\x80", b"\xe2\x96", b"\xfe\xfe"]


def random_texts(specials):
    """A function that makes a text of random.Random: bytes that mix scripts, marks, white space,
    cases, special tokens and pieces of them, some with what is not UTF-8."""
    known = [c for c in range(0x20, 0x110000)
             if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")
             and unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"]
    blocks = [[c for c in known if low <= c < high] for low, high in
              [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530),
               (0x530, 0x590), (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1000), (0x10A0, 0x1200),
               (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2700), (0x3000, 0x3100),
               (0x4E00, 0x9FA6), (0xAC00, 0xD7A4), (0xF900, 0xFFF0), (0x10000, 0x110000)]]
    spaces = "\t\n\v\f\r    \x85\xa0\u1680\u2002\u2028\u2029\u202f\u3000\u200b\u2581"
    words = ["the", "The", "THE", "don't", "WE'LL", "it'\u017f", "'s", "'", "camelCase", "\u01c5a",
             "\u02b0", "12", "3456", "\u0661\u0662", "\u00bd", "\u2167", "_", "--", "...", "/\n/",
             "\r\n", "\n\n", "    ", "def f(x):\n\t", "<|", "|>", "<|im", "_end|>", "e\u0301",
             "\u0958", "\ud55c\uad6d", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\ufe0f"]

    def part(rng):
        kind = rng.random()
        if kind < 0.25:
            return rng.choice(words)
        if kind < 0.35:
            return "".join(rng.choices(spaces, k=rng.randint(1, 4)))
        if kind < 0.42:
            return rng.choice(specials)
        if kind < 0.46:
            token = rng.choice(specials)
            return token[:rng.randrange(len(token) + 1)]
        if kind < 0.5:
            return chr(rng.choice(known)) * rng.choice([1, 2, 3, 40, 100])
        block = known if kind < 0.6 else rng.choice(blocks)
        return "".join(map(chr, rng.choices(block, k=rng.randint(1, 8))))

    def text(rng):
        parts = [part(rng).encode() for _ in range(rng.randint(1, 10))]
        if rng.random() < 0.2:
            for _ in range(rng.randint(1, 3)):
                parts.insert(rng.randrange(len(parts) + 1), rng.choice(BROKEN))
        whole = b"".join(parts)
        return whole[rng.randrange(4):] if rng.random() < 0.05 else whole

    return text


def encode(program, vocabulary, texts):
    done = subprocess.run([program, vocabulary], capture_output=True, check=True,
                          input=b"".join(struct.pack("<I", len(t)) + t for t in texts))
    words, at, rows = np.frombuffer(done.stdout, np.int32), 0, []
    for _ in texts:
        count = words[at]
        rows.append(words[at + 1:at + 1 + count].tolist())
        at += 1 + count
    assert at == len(words)
    return rows, done.stderr.decode().strip()


def expected(tokenizer, texts):
    """Ids of each of the texts, which are bytes."""
    byte_level = tokenizer.token_to_id("<0x41>") is None

    def broken(stretch):
        raw = stretch.encode("utf-8", "surrogateescape")
        if not byte_level:
            return [tokenizer.token_to_id(f"<0x{b:02X}>") for b in raw]
        return [t.id for t in tokenizer.model.tokenize("".join(ALPHABET[b] for b in raw))]

    parts = [re.split("([\udc80-\udcff]+)", t.decode("utf-8", "surrogateescape")) for t in texts]
    whole = iter(tokenizer.encode_batch_fast([p for text in parts for p in text[::2]],
                                             add_special_tokens=False))
    for text in parts:
        ids = []
        for i, stretch in enumerate(text):
            ids += broken(stretch) if i % 2 else next(whole).ids
        yield ids


def compare(program, vocabulary, tokenizer, name, texts):
    rows, figures = encode(program, vocabulary, texts)
    since, wrong = time.time(), 0
    for begin in range(0, len(texts), 10000):
        part = texts[begin:begin + 10000]
        for text, ids, want in zip(part, rows[begin:], expected(tokenizer, part)):
            if ids == want:
                continue
            wrong += 1
            if wrong <= 5:
                where = next((i for i, (a, b) in enumerate(zip(ids, want)) if a != b), -1)
                print(f"  differs at {where}: {text[:200]!r}\n    {ids[:40]}\n    {want[:40]}")
    size = sum(map(len, texts)) / 1e6
    print(f"{name}: {len(texts)} texts, {size:.2f} MB, {wrong} differ\n  junto: {figures}\n"
          f"  tokenizers: {size / (time.time() - since):.1f} MB/s", flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("family", choices=["gpt-oss", "qwen2", "qwen35", "gemma3", "gguf"])
    parser.add_argument("vocabulary")
    parser.add_argument("files", nargs="*", metavar="TEXT_FILE")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_intermixed_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer, specials = reference(arguments.family, arguments.vocabulary)
    wrong, at_once = 0, 100000
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = arguments.vocabulary
        if arguments.family != "gguf":
            vocabulary = os.path.join(folder, "vocabulary.gguf")
            write_gguf(vocabulary, arguments.family,
                       json.loads(pathlib.Path(arguments.vocabulary).read_text(encoding="utf-8")))
        for file in arguments.files:
            text = pathlib.Path(file).read_bytes()
            texts = [text] + text.splitlines(keepends=True)
            wrong += compare(arguments.program, vocabulary, tokenizer, file, texts)
        make = random_texts(specials)
        for first in range(0, arguments.random, at_once):
            rng = random.Random(f"{arguments.seed} {first}")
            texts = [make(rng) for _ in range(min(at_once, arguments.random - first))]
            if arguments.family == "gemma3":
                # tokenizer.json tells U+2581 from spaces where it has tokens of several;
                # SentencePiece, which it was made from, does not, and nor does Junto.
                texts = [t.replace(b"\xe2\x96\x81", b"") for t in texts]
            wrong += compare(arguments.program, vocabulary, tokenizer, f"random {first}", texts)
    print(f"{wrong} texts differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
