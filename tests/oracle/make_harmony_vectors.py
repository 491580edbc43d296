#!/usr/bin/env python3
"""Writes tests/data/text/harmony.json: conversations with tools as PyPI openai-harmony writes them.

  make_harmony_vectors.py FOLDER

FOLDER holds the rank file o200k_base.tiktoken. The reference puts a call's recipient behind the
role; models put it behind the channel, and so do we: that is turned round here, and nothing else.
"""

import json
import os
import pathlib
import random
import re
import sys

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "text" / "harmony.json"

WEATHER = {"name": "get_weather", "description": "Current weather\nfor a city.", "parameters": {
    "type": "object", "properties": {
        "city": {"type": "string", "description": "City name"},
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c"}}, "required": ["city"]}}
KITCHEN = {"name": "kitchen", "description": "Every kind.", "parameters": {
    "type": "object", "description": "all of it", "properties": {
        "titled": {"type": "string", "title": "Title", "description": "said", "examples": ["a", "b"]},
        "nullable": {"type": "string", "nullable": True, "default": "the default"},
        "one": {"oneOf": [{"type": "string", "default": "x"}, {"type": "number", "description": "n"},
                          {"type": "object", "properties": {"z": {"type": "number"}}}],
                "description": "one of", "default": 20},
        "nested": {"type": "object", "properties": {
            "x": {"type": "string", "description": "X"},
            "deep": {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}},
            "required": ["x"]},
        "objects": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "boolean"}}}},
        "lists": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "types": {"type": ["string", "null"], "default": None},
        "bare": {"type": "array"}, "any": {"description": "anything"}, "null": {"type": "null"},
        "empty": {"type": "object"}, "default": {"type": "object", "default": {"a": 1, "b": [1, 2]}},
        "number": {"type": "integer", "enum": [1, 2], "default": 2}},
    "required": ["titled", "one", "nested"]}}
LINES = {"name": "lines", "description": "One.\n\nTwo.\n", "parameters": {"type": "object", "properties": {}}}
EMPTY = {"name": "empty", "description": "No properties.", "parameters": {"type": "object", "properties": {}}}
PLAIN = {"name": "plain", "description": "No parameters."}

CALL = {"role": "assistant", "reasoning": "Need the tool.", "calls": [["get_weather", '{"city":"Oslo"}']]}
RESULT = {"role": "tool", "name": "get_weather", "content": '{"t": 3}'}
CONVERSATIONS = [
    ([WEATHER, LINES], [("user", "Hi")]),
    ([WEATHER, PLAIN], [("system", "Be brief."), ("user", "Weather in Oslo?")]),
    ([KITCHEN, EMPTY], [("developer", "Cook.")]),
    ([WEATHER], [("system", "Be brief."), ("user", "Weather in Oslo?"), CALL, RESULT]),
    ([WEATHER], [("user", "Weather?"), CALL, RESULT, CALL, RESULT]),
    ([WEATHER], [("user", "Weather?"), CALL, RESULT, ("assistant", "3 degrees."), ("user", "And Rome?")]),
    ([WEATHER], [("user", "Weather?"), {**CALL, "content": "Let me look."}, RESULT]),
    ([], [("user", "2 + 2?"), {"role": "assistant", "reasoning": "Easy.", "content": "4"}, ("user", "9 / 2?")]),
]


def schema(rng, depth):
    """A random JSON schema of what both sides know."""
    kind = rng.choice(["string", "number", "integer", "boolean", "array", "object", "enum", "types", "any"])
    if depth == 0 and kind in ("array", "object"):
        kind = "string"
    if kind == "enum":
        made = {"type": "string", "enum": rng.sample(["a", "b\"", "ç"], 2)}
        if rng.random() < 0.4:
            made["default"] = made["enum"][0]
    elif kind == "types":
        made = {"type": rng.sample(["string", "number", "boolean", "null"], 2)}
    elif kind == "any":
        made = {}
    elif kind == "array":
        made = {"type": "array", "items": schema(rng, depth - 1)}
    elif kind == "object":
        made = {"type": "object", "properties": {f"p{i}": schema(rng, depth - 1) for i in range(rng.randrange(3))}}
        if made["properties"] and rng.random() < 0.5:
            made["required"] = ["p0"]
    else:
        made = {"type": kind}
        if rng.random() < 0.3:
            made["default"] = {"string": "d", "number": 1.5, "integer": 7, "boolean": True}[kind]
    if rng.random() < 0.4 and kind != "object":
        made["description"] = rng.choice(["Says.", "Two\nlines", "\"q\" é"])
    if rng.random() < 0.15:
        made["nullable"] = True
    return made


def random_cases():
    rng = random.Random(5)
    for _ in range(30):
        tools = [{"name": f"f{i}", "description": "Does.", "parameters": {
            "type": "object", "properties": {f"q{k}": schema(rng, 2) for k in range(rng.randrange(1, 5))},
            "required": ["q0"]}} for i in range(rng.randrange(1, 3))]
        yield tools, [("user", "Hi")]


def expand(message):
    return message if isinstance(message, dict) else {"role": message[0], "content": message[1]}


def reference(oh, encoding, tools, messages, answer):
    system = oh.SystemContent.new().with_required_channels(["analysis", "commentary", "final"])
    out = [oh.Message.from_role_and_content(oh.Role.SYSTEM, system)]
    rest = messages
    developer = oh.DeveloperContent.new()
    if messages and messages[0]["role"] in ("system", "developer"):
        developer = developer.with_instructions(messages[0]["content"])
        rest = messages[1:]
    if tools:
        developer = developer.with_function_tools([
            oh.ToolDescription.new(t["name"], t["description"], parameters=t.get("parameters"))
            for t in tools])
    if tools or rest is not messages:
        out.append(oh.Message.from_role_and_content(oh.Role.DEVELOPER, developer))
    last = max([i for i, m in enumerate(rest) if m["role"] == "assistant" and "calls" not in m], default=-1)
    for i, message in enumerate(rest):
        role, content = message["role"], message.get("content", "")
        if role == "user":
            out.append(oh.Message.from_role_and_content(oh.Role.USER, content))
        elif role == "tool":
            author = oh.Author.new(oh.Role.TOOL, "functions." + message["name"])
            out.append(oh.Message.from_author_and_content(author, content)
                       .with_channel("commentary").with_recipient("assistant"))
        else:
            assistant = oh.Role.ASSISTANT
            if i > last and message.get("reasoning"):
                out.append(oh.Message.from_role_and_content(assistant, message["reasoning"])
                           .with_channel("analysis"))
            if "calls" not in message:
                out.append(oh.Message.from_role_and_content(assistant, content).with_channel("final"))
                continue
            if content:
                out.append(oh.Message.from_role_and_content(assistant, content).with_channel("commentary"))
            for name, arguments in message["calls"]:
                out.append(oh.Message.from_role_and_content(assistant, arguments)
                           .with_channel("commentary").with_recipient("functions." + name)
                           .with_content_type("<|constrain|>json"))
    conversation = oh.Conversation.from_messages(out)
    config = oh.RenderConversationConfig(auto_drop_analysis=False)
    ids = (encoding.render_conversation_for_completion(conversation, oh.Role.ASSISTANT, config)
           if answer else encoding.render_conversation(conversation, config))
    text = encoding.decode_utf8(ids)
    return re.sub(r"<\|start\|>assistant to=(\S+?)<\|channel\|>commentary ",
                  r"<|start|>assistant<|channel|>commentary to=\1 ", text)


def main():
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = sys.argv[1]
    import openai_harmony as oh

    encoding = oh.load_harmony_encoding(oh.HarmonyEncodingName.HARMONY_GPT_OSS)
    cases = []
    for tools, messages in CONVERSATIONS + list(random_cases()):
        messages = [expand(m) for m in messages]
        answer = messages[-1]["role"] != "assistant"
        cases.append({"tools": json.dumps(tools) if tools else "", "messages": messages, "answer": answer,
                      "text": reference(oh, encoding, tools, messages, answer)})
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    OUT.write_text('{"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="ascii")


if __name__ == "__main__":
    main()
