#!/usr/bin/env python3
"""Writes tests/data/text/unigram.model, a small SentencePiece unigram model, and unigram.json:

  variants  fields, in hexadecimal, that change the model when they are appended to it; "joined"
            makes sentencepiece.model, of byte pair encoding, rewrite text
  long      a text many times over, and the sum of its ids times their places
  file      tokenizer.json as HF transformers converts the model
  cases     texts with ids by PyPI `sentencepiece` for the variants, and by HF `tokenizers` for the
            file where both see the same characters

  make_unigram_vectors.py ENCODE_TEXTS --random N [--seed S] [--rules NAME] [--bytes]

compares the ids of N random texts instead, with a larger model that is trained for that and
rewrites text by SentencePiece's own rules NAME (nmt_nfkc, nfkc_cf, …, identity). ENCODE_TEXTS is the
program of encode_texts.cc. Needs sentencepiece 0.2 with protobuf, tokenizers 0.23, and what
make_tokenizer_vectors.py needs.
"""

import argparse
import array
import io
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import regex
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from make_tokenizer_vectors import OUT, SENTENCES, random_texts

USER_DEFINED = ["<b>", "</b>", "\u2581\u2581\u2581", "ab", "bcd", "\uff21x", "<tool_call>"]
MARKS = "\u2581"

# A few rules of each kind: characters that go, spaces, letters of two and more characters.
RULES = {"\u0007": "", "\u200b": "", "\t": " ", "\n": " ", "\u3000": " ", "\u00a0": " ",
         "\ufb03": "ffi", "\u00bd": "1\u20442", "\u2026": "...", "\u1e9e": "SS", "e\u0301": "\u00e9",
         "a\u0308": "\u00e4", "\u1100\u1161": "\uac00", "\u1100\u1161\u11a8": "\uac01",
         "\u212b": "\u00c5", "\u3002": ". "}
RULES.update({chr(c): chr(c - 0xFEE0) for c in range(0xFF01, 0xFF5F)})


def train(rules, sentences, size, **more):
    model = io.BytesIO()
    options = dict(
        model_writer=model, model_type="unigram", vocab_size=size, hard_vocab_limit=False,
        character_coverage=0.985, user_defined_symbols=USER_DEFINED, pad_id=3, num_threads=1,
        minloglevel=2, allow_whitespace_only_pieces=True)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as tsv:
        if isinstance(rules, str):
            options["normalization_rule_name"] = rules
        else:
            for source, target in rules.items():
                hexes = (" ".join(f"{ord(c):X}" for c in text) for text in (source, target))
                tsv.write("\t".join(hexes) + "\n")
            tsv.flush()
            options["normalization_rule_tsv"] = tsv.name
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences),
                                                 **{**options, **more})
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def slim(proto):
    """Without most of what is of no use to a reader."""
    kept = pb.ModelProto()
    kept.CopyFrom(proto)
    kept.ClearField("trainer_spec")
    kept.trainer_spec.model_type = pb.TrainerSpec.UNIGRAM
    kept.trainer_spec.pad_id = 3
    kept.trainer_spec.byte_fallback = proto.trainer_spec.byte_fallback
    kept.normalizer_spec.ClearField("normalization_rule_tsv")
    return kept


def variants():
    """Fields that change what a model does when they are appended to it."""
    def extra(**fields):
        proto = pb.ModelProto()
        for name, value in fields.items():
            owner = proto.trainer_spec if name == "suffix" else proto.normalizer_spec
            setattr(owner, {"prefix": "add_dummy_prefix", "squeeze": "remove_extra_whitespaces",
                            "suffix": "treat_whitespace_as_suffix"}[name], value)
        return proto.SerializeToString()
    return {"plain": b"", "bare": extra(prefix=False), "all": extra(squeeze=False),
            "suffix": extra(suffix=True), "none": extra(prefix=False, squeeze=False)}


def converted(proto):
    """What HF transformers makes of a model."""
    types = pb.ModelProto.SentencePiece
    fallback = any(p.type == types.BYTE for p in proto.pieces)
    tokenizer = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], 0, fallback))
    steps = [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), MARKS)]
    charsmap = proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        steps.insert(0, normalizers.Precompiled(charsmap))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARKS, prepend_scheme="always")
    added = [AddedToken(p.piece, normalized=False, special=p.type != types.USER_DEFINED)
             for p in proto.pieces if p.type in (types.CONTROL, types.UNKNOWN, types.USER_DEFINED)]
    tokenizer.add_special_tokens([t for t in added if t.special])
    tokenizer.add_tokens([t for t in added if not t.special])
    return tokenizer


def same_characters(text):
    """Whether HF tokenizers, which rewrite what readers see as one character, and which tell U+2581
    from spaces when they look for added tokens, see what SentencePiece does."""
    alone = all(len(g) == 1 for g in regex.findall(r"\X", text))
    return alone and not any(MARKS in t for t in (text, text.replace("   ", MARKS)))


PIECES = ["a\u0308", "e\u0301", "\u1100\u1161\u11a8", "\u1100\u1161", "\uff21x", "\uff21b", "abcd",
          "abab", "<b>", "</b>x", "\u2581", "\u2581\u2581\u2581", "   ", "\u3000", "\n\n", "\t", "\u200b",
          "\ufb03", "\u3002", "\u2603", "\U0001f600", "x" * 30, " ", "\u00a0", "\u0007", "<s>", "<unk>"]


def texts_of(count, seed):
    rng = random.Random(seed)
    known = [c for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    words = [w for s in SENTENCES for w in s.split(" ")]
    for _ in range(count):
        text = ""
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < 0.55:
                word = rng.choice(words)
                text += word[rng.randrange(len(word) + 1) if kind < 0.1 else 0:] + " " * (kind > 0.2)
            elif kind < 0.9:
                text += rng.choice(PIECES)
            else:
                text += "".join(chr(rng.choice(known)) for _ in range(rng.randint(1, 4)))
        yield text


LONG = " ".join(SENTENCES) + " "


def write():
    proto = slim(train(RULES, SENTENCES * 3, 900))
    (OUT / "unigram.model").write_bytes(proto.SerializeToString())
    rewriting = pb.ModelProto(normalizer_spec=proto.normalizer_spec).SerializeToString()
    files = {name: (proto.SerializeToString(), more) for name, more in variants().items()}
    files["joined"] = ((OUT / "sentencepiece.model").read_bytes(), rewriting)
    processors = {name: sentencepiece.SentencePieceProcessor(model_proto=model + more)
                  for name, (model, more) in files.items()}
    file = converted(proto)
    lines = []
    for text in SENTENCES + ["", " ", "   ", MARKS, " " + MARKS + " "] + PIECES + random_texts(
            40) + list(texts_of(140, 1)):
        case = {"text": text}
        case.update({name: p.encode(text) for name, p in processors.items()})
        if same_characters(text):
            case["file"] = file.encode(text, add_special_tokens=False).ids
        lines.append(json.dumps(case, separators=(",", ":")))
    ids = processors["plain"].encode(LONG * 40)
    head = json.dumps({"variants": {name: more.hex() for name, (_, more) in files.items()},
                       "long": {"text": LONG, "times": 40, "count": len(ids),
                                "sum": sum(i * place for place, i in enumerate(ids, 1))},
                       "file": file.to_str()}, separators=(",", ":"))
    (OUT / "unigram.json").write_text(head[:-1] + ',\n"cases":[\n' + ",\n".join(lines) + "\n]}\n",
                                      encoding="ascii")


def encode(program, vocabulary, texts, *options):
    done = subprocess.run([program, vocabulary, *options], capture_output=True, check=True,
                          input=b"".join(struct.pack("<I", len(t)) + t for t in texts))
    print("  junto:", done.stderr.decode().strip())
    words = array.array("i", done.stdout)
    at = 0
    for _ in texts:
        yield words[at + 1:at + 1 + words[at]].tolist()
        at += 1 + words[at]


def differences(name, texts, ours, wanted):
    wrong = 0
    for text, ids, want in zip(texts, ours, wanted, strict=True):
        if ids == want:
            continue
        wrong += 1
        if wrong <= 5:
            print(f"  {text!r}\n    {ids}\n    {want}")
    print(f"{name}: {len(texts)} texts, {wrong} differ", flush=True)
    return wrong


def compare(program, count, seed, rules, **more):
    """Random texts with a model of its own; what is not UTF-8 is no part of them."""
    rng, words = random.Random(seed), [w for s in SENTENCES for w in s.split(" ")]
    cuts = [w[rng.randrange(len(w) + 1):] for w in words for _ in range(5)]  # what makes more pieces
    proto = slim(train(RULES if rules == "few" else rules,
                       (" ".join(rng.choices(words + cuts, k=8)) for _ in range(5000)), 4000, **more))
    texts, wrong = list(texts_of(count, seed)), 0
    raw = [t.encode() for t in texts]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder)
        for name, extra in variants().items():
            model = proto.SerializeToString() + extra
            (file / "v.model").write_bytes(model)
            want = sentencepiece.SentencePieceProcessor(model_proto=model).encode(texts)
            wrong += differences(name, texts, encode(program, file / "v.model", raw, "--plain"), want)
        same = [t for t in texts if same_characters(t)]
        tokenizer = converted(proto)
        (file / "v.json").write_text(tokenizer.to_str(), encoding="utf-8")
        want = [e.ids for e in tokenizer.encode_batch_fast(same, add_special_tokens=False)]
        ours = encode(program, file / "v.json", [t.encode() for t in same])
        wrong += differences("file", same, ours, want)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", default="few")
    parser.add_argument("--bytes", action="store_true", help="with byte fallback")
    arguments = parser.parse_args()
    if arguments.program is None:
        write()
        return 0
    wrong = compare(arguments.program, arguments.random, arguments.seed, arguments.rules,
                    byte_fallback=arguments.bytes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
