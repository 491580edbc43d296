#!/bin/sh
# The binary interface of junto.h against the one that was released: abidiff lets fields be appended
# to structs, members to enums and functions to the library, and nothing else. A change that is meant
# is recorded with --record, which a release does.
#   stable.sh SOURCE_DIR C_COMPILER [--record]
# Compared are libraries of empty functions with full debug information, made from junto.h: that the
# real one has these functions and no others is checked by exports.sh and the compiler.
set -eu
source_dir=$1 compiler=$2
here=$source_dir/tests/abi
released=$here/junto-1.0.abi
for tool in abidw abidiff python3; do
  command -v "$tool" > /dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

library() {  # NAME: from $scratch/NAME/junto.h to $scratch/NAME.so
  python3 - "$source_dir/c_api/junto.json" "$scratch/$1/junto.h" > "$scratch/$1/junto.c" << 'END'
import json
import re
import sys

header = open(sys.argv[2], encoding="utf-8").read()
print('#include "junto.h"')
for function in json.load(open(sys.argv[1], encoding="utf-8"))["functions"]:
    name, returns = function["name"], function["returns"]
    if not re.search(r"\b%s\(" % name, header):
        continue
    parameters = ", ".join("%s p%d" % (p["type"], i) for i, p in enumerate(function["parameters"]))
    print("%s JUNTO_CALL %s(%s) { %s}" % (returns, name, parameters or "void",
                                          "" if returns == "void" else "return 0; "))
END
  "$compiler" -w -g -O0 -shared -fPIC -DJUNTO_SHARED -Wl,-soname,libjunto.so.1 \
    -ffile-prefix-map="$scratch/$1/=" "$scratch/$1/junto.c" -o "$scratch/$1.so"
}

# The suppression lets a struct pass whose members stay in number and change in type, so changes of
# members are looked for once more.
compare() {  # OLD NEW: fails where NEW breaks programs of OLD, and has the reasons in $scratch/report
  abidiff --suppressions "$here/junto.suppressions" --no-added-syms "$1" "$2" \
    > "$scratch/report" 2>&1 || return 1
  abidiff --leaf-changes-only --no-added-syms "$1" "$2" > "$scratch/report" 2>&1 || true
  ! grep -q 'data member change' "$scratch/report"
}

mkdir "$scratch/now"
cp "$source_dir/c_api/junto.h" "$scratch/now"
library now
if [ "${3-}" = --record ]; then
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs --type-id-style hash \
    --out-file "$released" "$scratch/now.so"
  echo "recorded in $released"
  exit 0
fi
if ! compare "$released" "$scratch/now.so"; then
  cat "$scratch/report"
  exit 1
fi

# What the gate is worth: junto.h changed in ways that are legal, and in ways that break programs.
changed() {  # ALLOWED|REFUSED SED_EXPRESSION
  rm -rf "$scratch/changed"
  mkdir "$scratch/changed"
  sed "$2" "$scratch/now/junto.h" > "$scratch/changed/junto.h"
  if cmp -s "$scratch/now/junto.h" "$scratch/changed/junto.h"; then
    echo "no such text in junto.h: $2"
    exit 1
  fi
  library changed
  verdict=ALLOWED
  compare "$scratch/now.so" "$scratch/changed.so" || verdict=REFUSED
  if [ $verdict != "$1" ]; then
    echo "$verdict, but should not be: $2"
    cat "$scratch/report"
    exit 1
  fi
}
changed ALLOWED 's/^} junto_usage;/  uint64_t added;\n} junto_usage;/'
changed ALLOWED 's/^} junto_io;/  void (*added)(void);\n} junto_io;/'
changed ALLOWED 's/^  JUNTO_CANCELLED = 3,/&\n  JUNTO_ADDED = 4,/'
changed REFUSED 's/^  uint64_t seed;/  uint64_t other;\n  uint64_t seed;/'       # moves those behind it
changed REFUSED 's/^  float top_p;/  float min_q;/; s/^  float min_p;/  float top_p;/'  # changes places
changed REFUSED 's/^  uint32_t top_k;/  uint64_t top_k;/'
changed REFUSED '/^  float temperature;/d'
changed REFUSED 's/const junto_chunk\* chunk);/const junto_sampling* chunk);/'
changed REFUSED 's/JUNTO_YIELDED = 1,/JUNTO_YIELDED = 9,/'
changed REFUSED 's/junto_session_cancel(/junto_session_stop(/'
echo "as released, and 10 changes judged rightly"
