#!/bin/sh
# Compiles the C in the documentation against junto.h, and runs it:
#   run.sh SOURCE_DIR C_COMPILER [BUILD_DIR MODEL]
# Without a build with a shared library, or without the model, it only compiles. Blocks are as
# blocks.awk and around.c say; a comment before one may tell how to run it,
#   <!-- run: KEY=VALUE; ... -->
#   text=T    what `text` is; the question "Why is the sky blue?" if not given. Files
#             that are there: model.gguf, calls.gguf (always calls a tool), experts.junto (packed)
#   model=M   one of these files instead of model.gguf
#   again     in a loop, while the status is YIELDED
#   says=W    what it prints, the answer that the session then gives included, contains W; "sky"
#             if not given
#   fails=S   the names of the failures that it meets, and of which it knows: none if not given
set -eu
source_dir=$1 compiler=$2 build=${3-} model=${4-}
here=$source_dir/tests/docs
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir blocks

for file in "$source_dir/README.md" "$source_dir"/docs/*.md; do
  awk -v prefix="blocks/$(basename "$file" .md)" -f "$here/blocks.awk" "$file"
done
flags="-std=c99 -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter
  -Wno-unused-but-set-parameter -I$source_dir/c_api -I$scratch"
# Every call that returns a status, so that none of a block's is lost.
"$compiler" -E -P "$source_dir/c_api/junto.h" | tr '\n' ' ' | tr ';' '\n' |
  sed -n 's/^ *junto_status *\(junto_[a-z_]*\) *(.*$/#define \1(...) noted(\1(__VA_ARGS__))/p' \
  > watched.h

is_program() { grep -q '^int main' "$1"; }
callback_of() { sed -n 's/^static junto_status JUNTO_CALL \([a-z_]*\)(.*/\1/p' "$1"; }
compile() {  # BLOCK ARGUMENT...
  block=$1
  shift
  # shellcheck disable=SC2086 # lists of words
  if is_program "$block"; then
    "$compiler" $flags "$block" "$@"
  else
    stream=$(callback_of "$block")
    "$compiler" $flags ${stream:+-DSTREAM=$stream} "-DBLOCK=\"$block\"" "$here/around.c" "$@"
  fi
}

value() {  # KEY OTHERWISE: of the block at hand
  tr ';' '\n' < "$run" | sed 's/^ *//' | awk -v key="$1" -v otherwise="$2" '
    index($0, key "=") == 1 { print substr($0, length(key) + 2); found = 1 }
    $0 == key { print key; found = 1 }
    END { if (!found) print otherwise }'
}

able=
if [ -n "$build" ] && [ -e "$build/c_api/libjunto.so" ] && [ -e "$model" ]; then
  able=yes
  export LD_LIBRARY_PATH="$build/c_api"
  ln -s "$model" model.gguf
  "$build/bin/junto" pack "$source_dir/tests/data/parity/gpt_oss_mxfp4.gguf" experts.junto
  "$build/tests/cli/write_model" calls.gguf "{{ '<|start|>assistant' }}" t "<|channel|>" \
    commentary " to=functions." find "<|message|>" '{"a": ' '1}' "<|call|>"
fi

passed=0
for block in blocks/*.c; do
  [ -e "$block" ] || { echo "no C found" >&2; exit 1; }
  run=${block%.c}.run
  passed=$((passed + 1))
  if [ -z "$able" ]; then
    compile "$block" -fsyntax-only
    continue
  fi
  compile "$block" -o program -L"$build/c_api" -ljunto
  ./program "$(value model model.gguf)" "$(value text "Why is the sky blue?")" \
    "$(value again "")" > said
  if is_program "$block"; then
    echo > failures
  else
    grep -E '^E_[A-Z_]+$' said | tr '\n' ' ' | sed 's/ *$//' > failures || true
  fi
  [ "$(cat failures)" = "$(value fails "")" ] && grep -qF "$(value says sky)" said || {
    echo "$(grep -m 1 '^#line' "$block"): says"
    cat said
    exit 1
  }
done
if [ -z "$able" ]; then
  echo "$passed blocks of C compile"
  [ -z "$build" ] || { echo "skipped: there is no '$model' or no libjunto.so"; exit 77; }
  exit 0
fi
echo "$passed blocks of C compile and run"
