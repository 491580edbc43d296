#!/bin/sh
# What is generated from junto.h is up to date, and says what compilers say; the module map makes a
# module.
#   generated.sh SOURCE_DIR C_COMPILER...
set -eu
source_dir=$1
shift
if ! python3 --version > /dev/null 2>&1; then
  echo "skipped: there is no python3"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python3 "$source_dir/c_api/generate.py" --check

# Every constant, enum value and field of junto.json, as the compiler sees them.
python3 - "$source_dir/c_api/junto.json" > "$scratch/check.c" << 'END'
import json
import sys

api = json.load(open(sys.argv[1], encoding="utf-8"))
print('#include "junto_table.h"')
count = 0

def holds(condition):
    global count
    print("typedef char check_%d[(%s) ? 1 : -1];" % (count, condition))
    count += 1

for constant in api["constants"]:
    holds("%s == %d" % (constant["name"], constant["value"]))
for enum in api["enums"]:
    for member in enum["members"]:
        holds("(int)%s == %d" % (member["name"], member["value"]))
for struct in api["structs"]:
    before = "0"
    for field in struct["fields"]:
        name = "offsetof(%s, %s)" % (struct["name"], field["name"])
        holds("%s >= %s" % (name, before))
        before = name
        kind = field.get("type")
        if kind is not None:
            holds("sizeof(((%s*)0)->%s) == %d * sizeof(%s)" %
                  (struct["name"], field["name"], field.get("count", 1), kind))
for function in api["functions"]:
    parameters = ", ".join(p["type"] for p in function["parameters"]) or "void"
    print("static %s (JUNTO_CALL *const use_%s)(%s) = %s;" %
          (function["returns"], function["name"], parameters, function["name"]))
    print("const void* keep_%s(void) { return &use_%s; }" % (function["name"], function["name"]))
END
for compiler; do
  "$compiler" -std=c99 -Wall -Wextra -Werror -I"$source_dir/c_api" -fsyntax-only "$scratch/check.c"
done
echo "$(wc -l < "$scratch/check.c") facts of junto.json hold"

for clang in clang clang-14; do
  command -v "$clang" > /dev/null || continue
  printf '@import CJunto;\nuint32_t f(void) { return junto_version(); }\n' > "$scratch/module.m"
  "$clang" -fsyntax-only -fmodules -fmodules-cache-path="$scratch/cache" \
    -fmodule-map-file="$source_dir/c_api/module.modulemap" -x objective-c "$scratch/module.m"
  echo "CJunto is a module of $clang"
  exit 0
done
echo "no clang: the module map was not tried"
