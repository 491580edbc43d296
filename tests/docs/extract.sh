#!/bin/sh
# Compiles the C in the documentation against junto.h:
#   extract.sh COMPILER INCLUDE_DIR FILE.md...
# A ```c block that begins with #include is a whole file. Any other is the inside of a function that
# has the handles of junto.h's overview, `err`, `status` and `text`, with `text_size` bytes.
set -eu
compiler=$1 include=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for file; do
  awk -v prefix="$scratch/$(basename "$file" .md)" '
    /^```c$/ { block = 1; start = NR; body = ""; next }
    /^```$/ && block {
      block = 0
      name = prefix "-" start ".c"
      whole = body ~ /^#include/
      if (!whole) {
        print "#include <stdio.h>\n#include <string.h>\n#include <junto.h>" > name
        print "void fragment(junto_runtime *runtime, junto_model *model, junto_session *session,"\
              " junto_prompt *prompt, junto_error err, junto_status status, const char *text,"\
              " size_t text_size) {" > name
      }
      print "#line " start + 1 " \"" FILENAME "\"\n" body > name
      if (!whole) print "}" > name
      close(name)
      next
    }
    block { body = body $0 "\n" }
    END {
      if (!block) exit 0
      print FILENAME ":" start ": the block does not end" > "/dev/stderr"
      exit 1
    }
  ' "$file"
done

passed=0
for source in "$scratch"/*.c; do
  [ -e "$source" ] || { echo "no C found" >&2; exit 1; }
  "$compiler" -std=c99 -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter \
    -Wno-unused-but-set-parameter -fsyntax-only -I"$include" "$source"
  passed=$((passed + 1))
done
echo "$passed blocks of C compile"
