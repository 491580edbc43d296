#!/usr/bin/env python3
"""Writes tests/data/text/harmony_output.json: outputs in Harmony's markup and what PyPI
`openai-harmony` 0.0.8 reads in them, token by token.

  make_output_vectors.py FOLDER     that holds the rank file o200k_base.tiktoken

Each case has the output after "<|start|>assistant" as tokens, control tokens by their spelling and
others as hexadecimal bytes, and the messages that StreamableParser made of it: channel, recipient,
content. The texts cover what models write that follows the format; what does not, the parser of
openai-harmony refuses, and Junto's reads on (tests/unit/output_test.cc).
"""

import base64
import json
import os
import pathlib
import random
import sys

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "text" / "harmony_output.json"

TEXTS = [
    "2 + 2 = 4.", "Need the tool.", "Grüße, 你好, नमस्ते 👋🏽!", "", "line\n\n  two\n", "a <b> & \"c\" | d <",
    "{\"not\": \"a call\"}", "The word assistant, then final.", "x" * 40, "\u00a0\u2028 odd spaces\t",
]
ARGUMENTS = [
    "{\"city\":\"Oslo\"}", "{}", "{\"a\": [1, 2.50, -3e8], \"b\": {\"c\": null}}",
    "{\n  \"text\": \"caf\\u00e9 \\\"q\\\" <|x|>\"\n}", "{\"word\":\"到着\"}",
]
HEADERS = [
    "<|channel|>commentary to=functions.{} <|constrain|>json",
    "<|channel|>commentary to=functions.{} json",
    "<|channel|>commentary to=functions.{} code",
    "<|channel|>commentary to=functions.{}",
    "<|channel|>analysis to=functions.{} code",
    " to=functions.{}<|channel|>commentary json",
    " to=functions.{}<|channel|>commentary <|constrain|>json",
    " to=functions.{}<|channel|>analysis",
]


def outputs():
    rng = random.Random(7)
    for header in HEADERS:
        for name in ("get_weather", "f"):
            yield header.format(name) + "<|message|>" + rng.choice(ARGUMENTS) + "<|call|>"
    for recipient in ("python", "browser.search"):
        yield f"<|channel|>analysis to={recipient} code<|message|>print(1)<|call|>"
    for text in TEXTS:
        yield f"<|channel|>final<|message|>{text}<|return|>"
        yield f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant<|channel|>final<|message|>!<|return|>"
    for _ in range(40):
        parts = []
        for _ in range(rng.randrange(3)):
            channel = rng.choice(["analysis", "analysis", "commentary"])
            parts.append(f"<|channel|>{channel}<|message|>{rng.choice(TEXTS)}<|end|>")
        if rng.random() < 0.5:
            parts.append(f"<|channel|>final<|message|>{rng.choice(TEXTS)}<|return|>")
        else:
            header = rng.choice(HEADERS).format("look_up")
            parts.append(header + "<|message|>" + rng.choice(ARGUMENTS) + "<|call|>")
        yield "<|start|>assistant".join(parts)


def main():
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = sys.argv[1]
    import openai_harmony as oh

    encoding = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
    specials = {name: encoding.encode(name, allowed_special="all")[0]
                for name in ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>",
                             "<|return|>", "<|call|>")}
    names = {token: name for name, token in specials.items()}
    ranks = (pathlib.Path(sys.argv[1]) / "o200k_base.tiktoken").read_text().split()
    pieces = {int(rank): base64.b64decode(piece).hex() for piece, rank in zip(ranks[::2], ranks[1::2])}
    cases = []
    for output in dict.fromkeys(outputs()):
        tokens = encoding.encode(output, allowed_special=set(specials))
        parser = oh.StreamableParser(encoding, role=oh.Role.ASSISTANT)
        for token in tokens:
            parser.process(token)
        messages = [[message.channel, message.recipient, message.content[0].text]
                    for message in parser.messages]
        spelled = [names.get(token) or pieces[token] for token in tokens]
        cases.append({"tokens": spelled, "messages": messages})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    OUT.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(f"{len(cases)} outputs, {OUT.stat().st_size} bytes")


main()
