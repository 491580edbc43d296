#!/usr/bin/env python3
"""Writes what is derived from junto.h: junto_table.h, table.cc and junto.json.

  generate.py [--check]

The table is append-only: functions keep the places they have in junto_table.h, new ones follow.
--check writes nothing and fails when a file would change.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
NOTE = "Generated from junto.h by generate.py; do not edit."


def fail(text):
    sys.exit("generate.py: " + text)


def spaces(text):
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r" ?\* ?", "* ", text).replace("* *", "**").strip()


class Header:
    """The declarations of junto.h, each with the comments around it."""

    def __init__(self, text):
        self.functions = []
        self.structs = []
        self.enums = []
        self.callbacks = []
        self.handles = []
        self.constants = []
        text = text.replace("\\\n", " ")
        self.defines(text)
        body = text[text.index('extern "C" {'):]
        body = re.sub(r"^\s*#.*$", "", body, flags=re.M)
        self.declarations(body)

    def defines(self, text):
        for name, value in re.findall(r"^#define (JUNTO_\w+)\s+(0x[0-9A-Fa-f]+|\d+)u?\b", text, re.M):
            self.constants.append({"name": name, "value": int(value, 0)})

    def declarations(self, body):
        pattern = re.compile(r"/\*.*?\*/|typedef enum (\w+) \{(.*?)\} \w+;|"
                             r"typedef struct (\w+) \{(.*?)\} \w+;|typedef struct (\w+)\s+\w+;|"
                             r"typedef (\w+)\s*\(JUNTO_CALL\* (\w+)\)\((.*?)\);|"
                             r"JUNTO_API (.*?)JUNTO_CALL\s+(\w+)\((.*?)\);", re.S)
        before = last = ""
        end = 0
        for match in pattern.finditer(body):
            between = body[end:match.start()]
            end = match.end()
            if match.group(0).startswith("/*"):
                # A comment on the line of a function belongs to it, any other to what follows.
                if self.functions and "\n" not in between and last == "function":
                    self.functions[-1]["after"] += match.group(0)
                else:
                    before = match.group(0)
                    last = "comment"
                continue
            last = "function" if match.group(10) else "other"
            if match.group(1):
                self.enum(match.group(1), match.group(2))
            elif match.group(3):
                self.struct(match.group(3), match.group(4))
            elif match.group(5):
                self.handles.append(match.group(5))
            elif match.group(7):
                self.callbacks.append({"name": match.group(7), "returns": match.group(6),
                                       "parameters": self.parameters(match.group(8))})
            elif match.group(10):
                self.functions.append({"name": match.group(10), "returns": spaces(match.group(9)),
                                       "parameters": self.parameters(match.group(11)),
                                       "before": before, "after": ""})
            if not match.group(7):  # a callback may stand between a function and its comment
                before = ""
        for function in self.functions:
            function["threads"] = self.threads(function)

    @staticmethod
    def threads(function):
        tags = re.findall(r"\[(any|one)\]", function.pop("after")) or \
            re.findall(r"^/\* \[(any|one)\]", function["before"])
        del function["before"]
        if tags:
            return tags[0]
        if function["name"].endswith("_init"):
            return "any"
        if function["name"].startswith("junto_prompt_"):
            return "one"
        fail("%s says neither [any] nor [one]" % function["name"])

    @staticmethod
    def parameters(text):
        text = spaces(re.sub(r"/\*.*?\*/", "", text, flags=re.S))
        parameters = []
        if text == "void":
            return parameters
        for part in text.split(","):
            match = re.match(r"(.*[ *])(\w+)$", part.strip())
            kind = match.group(1)
            parameters.append({"name": match.group(2),
                               "type": spaces(kind.replace("JUNTO_OPT", "")),
                               "optional": "JUNTO_OPT" in kind})
        return parameters

    def enum(self, name, body):
        members = re.findall(r"(\w+)\s*=\s*(-?\w+)", re.sub(r"/\*.*?\*/", "", body, flags=re.S))
        self.enums.append({"name": name, "members": [
            {"name": member, "value": int(value, 0)} for member, value in members]})

    def struct(self, name, body):
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        fields = []
        for field in body.split(";"):
            field = spaces(field)
            if not field:
                continue
            pointer = re.match(r"(\w+\*?)\s*\(\s*JUNTO_CALL\* (?:JUNTO_OPT )?(\w+)\)\((.*)\)$", field)
            array = re.match(r"(\w+) (\w+)\[(\d+)\]$", field)
            if pointer:
                fields.append({"name": pointer.group(2), "returns": spaces(pointer.group(1)),
                               "parameters": self.parameters(pointer.group(3)),
                               "optional": "JUNTO_OPT" in field})
            elif array:
                fields.append({"name": array.group(2), "type": array.group(1),
                               "count": int(array.group(3))})
            else:
                match = re.match(r"(.*[ *])(\w+)$", field)
                fields.append({"name": match.group(2),
                               "type": spaces(match.group(1).replace("JUNTO_OPT", "")),
                               "optional": "JUNTO_OPT" in field})
        self.structs.append({"name": name, "fields": fields})


def as_pointer(function):
    parameters = ", ".join("%s %s" % (p["type"], p["name"]) for p in function["parameters"])
    name = function["name"][len("junto_"):]
    lines = ["  %s(JUNTO_CALL* %s)(" % (function["returns"] +
                                      ("" if function["returns"].endswith("*") else " "), name)]
    for word in (parameters or "void").split(", "):
        word += ", "
        if len(lines[-1]) + len(word) > 98:
            lines[-1] = lines[-1].rstrip()
            lines.append("      ")
        lines[-1] += word
    return "\n".join(lines)[:-2] + ");"


def table(functions):
    return "\n".join([
        "/* clang-format off */",
        "/* %s" % NOTE,
        " *",
        " * All functions of junto.h as one struct, for programs that open the library by hand: look up",
        " * junto_get_table alone. Functions are only ever appended; those beyond struct_size the",
        " * library does not have. */",
        "#ifndef JUNTO_TABLE_H_", "#define JUNTO_TABLE_H_", "", '#include "junto.h"', "",
        "#if defined(__cplusplus)", 'extern "C" {', "#endif", "",
        "typedef struct junto_table {", "  uint32_t struct_size;", "  uint32_t reserved; /* 0 */"]
        + [as_pointer(f) for f in functions] +
        ["} junto_table;", "",
         "/* [any] Static; NULL when the library's major version is another. */",
         "JUNTO_API const junto_table* JUNTO_CALL junto_get_table(uint32_t abi_major);", "",
         "#if defined(__cplusplus)", "}", "#endif", "#endif", ""])


def definition(functions):
    return "\n".join([
        "// clang-format off", "// %s" % NOTE, '#include "c_api/junto_table.h"', "", 'extern "C" {', "",
        "const junto_table* junto_get_table(uint32_t abi_major) {",
        "  static const junto_table table = {", "      sizeof(junto_table),", "      0,"]
        + ["      %s," % f["name"] for f in functions] +
        ["  };", "  return abi_major == JUNTO_VERSION_MAJOR ? &table : nullptr;", "}", "",
         '}  // extern "C"', ""])


def in_order(functions):
    """Those of the present table first, as they stand there."""
    path = HERE / "junto_table.h"
    present = []
    if path.exists():
        present = ["junto_" + name for name in
                   re.findall(r"JUNTO_CALL\* (\w+)\)\(", path.read_text(encoding="utf-8"))]
    names = [f["name"] for f in functions]
    for name in present:
        if name not in names:
            fail("%s is in the table but not in junto.h" % name)
    return sorted(functions, key=lambda f: present.index(f["name"]) if f["name"] in present
                  else len(present) + names.index(f["name"]))


def main():
    header = Header((HERE / "junto.h").read_text(encoding="utf-8"))
    functions = in_order(header.functions)
    description = {
        "note": NOTE, "constants": header.constants, "enums": header.enums,
        "handles": header.handles, "structs": header.structs, "callbacks": header.callbacks,
        "functions": header.functions}
    files = {"junto_table.h": table(functions), "table.cc": definition(functions),
             "junto.json": json.dumps(description, indent=1, ensure_ascii=False) + "\n"}
    stale = []
    for name, text in files.items():
        path = HERE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        fail("out of date: " + ", ".join(stale))
    print("%d functions, %d structs, %d enums" %
          (len(functions), len(header.structs), len(header.enums)))


if __name__ == "__main__":
    main()
