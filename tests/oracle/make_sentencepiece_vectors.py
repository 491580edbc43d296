#!/usr/bin/env python3
"""Writes tests/data/text/sentencepiece.model, a small vocabulary of the SentencePiece family, and
sentencepiece.json: what is in it, merges as Gemma's files list them, and the ids of many texts

  scored   by PyPI `sentencepiece`, which ranks a merge by the score of what it makes
  spaced   the same with a space before the text
  ranked   by HF `tokenizers`, which ranks it by its place in the list

Needs sentencepiece 0.2 with protobuf, tokenizers 0.23, and what make_tokenizer_vectors.py needs.
"""

import io
import json

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Tokenizer, models, normalizers

from make_tokenizer_vectors import OUT, SENTENCES, random_texts

USER_DEFINED = ["<b>", "</b>", "\u2581\u2581\u2581\u2581", "<tool_call>"]


def train():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3), model_writer=model, model_type="bpe",
        vocab_size=900, byte_fallback=True, character_coverage=0.985, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, pad_id=3,
        user_defined_symbols=USER_DEFINED, allow_whitespace_only_pieces=True,
        add_dummy_prefix=False, minloglevel=2, num_threads=1)
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def all_merges(proto):
    """Every way to make a piece of two, those of the best piece first."""
    normal = {p.piece: p.score for p in proto.pieces if p.type == pb.ModelProto.SentencePiece.NORMAL}
    merges = []
    for piece in sorted(normal, key=lambda p: -normal[p]):
        merges += [(piece[:i], piece[i:]) for i in range(1, len(piece))
                   if piece[:i] in normal and piece[i:] in normal]
    return merges


def main():
    proto = train()
    processors = {}
    for name, prefix in (("spaced", True), ("scored", False)):
        proto.normalizer_spec.add_dummy_prefix = prefix
        processors[name] = sentencepiece.SentencePieceProcessor(
            model_proto=proto.SerializeToString())
    proto.ClearField("trainer_spec")  # most of it is of no use to a reader
    proto.trainer_spec.model_type = pb.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.pad_id = 3
    (OUT / "sentencepiece.model").write_bytes(proto.SerializeToString())
    merges = all_merges(proto)
    ranked = Tokenizer(models.BPE({p.piece: i for i, p in enumerate(proto.pieces)}, merges,
                                  unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    ranked.normalizer = normalizers.Replace(" ", "\u2581")
    # As Gemma's files have it: they find a run of spaces written as such in the text.
    ranked.add_tokens([AddedToken(t.replace("\u2581", " "), normalized=False)
                       for t in USER_DEFINED[:2]])

    cases = []
    texts = SENTENCES + ["", " ", "x" * 60, "\u2603" * 3, "a\u2581b", "\t\t", "\n\n\n", " \n  \n   x"]
    for text in texts + random_texts(150):
        seen = (" " + text).replace("\u2581", " ")
        framed = any(t.replace("\u2581", " ") in seen for t in USER_DEFINED)
        case = {"text": text, "scored": processors["scored"].encode(text)}
        if not framed:
            case["spaced"] = processors["spaced"].encode(text)
            case["ranked"] = ranked.encode(text, add_special_tokens=False).ids
        cases.append(case)
    for text in ("a<b>bold</b> c", "x    y     z", "<b></b>", "    ", "<tool_call>{}"):
        cases.append({"text": text, "scored": processors["scored"].encode(text)})
    kinds = {pb.ModelProto.SentencePiece.NORMAL: 1, pb.ModelProto.SentencePiece.UNKNOWN: 2,
             pb.ModelProto.SentencePiece.CONTROL: 3, pb.ModelProto.SentencePiece.USER_DEFINED: 4,
             pb.ModelProto.SentencePiece.BYTE: 6}
    head = json.dumps({"tokens": [p.piece for p in proto.pieces],
                       "types": [kinds[p.type] for p in proto.pieces],
                       "scores": [p.score for p in proto.pieces],
                       "merges": [" ".join(pair) for pair in merges]}, separators=(",", ":"))
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    (OUT / "sentencepiece.json").write_text(
        head[:-1] + ',\n"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="ascii")


if __name__ == "__main__":
    main()
