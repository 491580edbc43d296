#!/bin/sh
# junto.h with junto_table.h, junto.map and the shared library name the same functions, and the library exports nothing
# else.
#   exports.sh SOURCE_DIR [libjunto.so]
set -eu
source_dir=$1
library=${2-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Nothing else is a promise: the name under which programs find the library is the first of it.
if [ -n "$library" ]; then
  objdump -p "$library" | grep -q 'SONAME  *libjunto\.so\.1$' || { echo "not libjunto.so.1"; exit 1; }
fi

# With JUNTO_SHARED each function is declared with a visibility attribute, and nothing else is.
${CC:-cc} -E -P -DJUNTO_SHARED "$source_dir/c_api/junto_table.h" | tr '\n' ' ' | tr ';' '\n' |
  sed -n 's/^.*__attribute__((visibility("default")))[^(]*[ *]\(junto_[a-z0-9_]*\) *(.*$/\1/p' |
  sort > "$scratch/header"
sed -n 's/^ *\(junto_[a-z0-9_]*\);$/\1/p' "$source_dir/c_api/junto.map" | sort > "$scratch/map"

compare() {  # FILE WHAT
  if ! diff "$scratch/header" "$1" > "$scratch/difference"; then
    echo "junto.h (<) and $2 (>) differ:"
    cat "$scratch/difference"
    exit 1
  fi
}
compare "$scratch/map" junto.map
if [ -n "$library" ]; then
  # Version nodes are absolute symbols (A), not functions.
  nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort \
    > "$scratch/library"
  compare "$scratch/library" "$(basename "$library")"
fi
[ "$(wc -l < "$scratch/header")" -gt 0 ]
echo "$(wc -l < "$scratch/header") functions, the same everywhere"
