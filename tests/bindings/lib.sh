# What the tests of the bindings share, to be sourced by
#   LANGUAGE.sh SOURCE_DIR BUILD_DIR MODEL
# Two turns with the same words in every language, whose answers must be those of the C program.
source_dir=$1 build=$2 model=$3
name=$(basename "$0" .sh)
library=$build/c_api
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

skip() {
  echo "skipped: $*"
  exit 77
}
[ -e "$model" ] || skip "there is no '$model'"

question="What is the capital of France?"
tokens=24
printf '%s\nWhat else is there?\n' "$question" > "$scratch/turns"
export JUNTO_LIBRARY="$library/libjunto.so" LD_LIBRARY_PATH="$library"
"$build/bin/chat" "$model" $tokens < "$scratch/turns" > "$scratch/expected"
# The first answer alone: it stands after "> " and before the second.
sed -n '1s/^> //p' "$scratch/expected" > "$scratch/answer"

# A model that always calls the same tool.
"$build/tests/cli/write_model" "$scratch/calls.gguf" "{{ '<|start|>assistant' }}" t \
  "<|channel|>" commentary " to=functions." find "<|message|>" '{"a": ' '1}' "<|call|>"
export JUNTO_TEST_MODEL="$model" JUNTO_TEST_CALLS="$scratch/calls.gguf"

chats() {  # COMMAND...: says what the C program does
  "$@" "$model" $tokens < "$scratch/turns" > "$scratch/text"
  cmp "$scratch/expected" "$scratch/text"
  echo "$name: $(wc -c < "$scratch/text") bytes as in C"
}

hosts() {  # COMMAND...: the same with services of its own, which must all be given back
  "$@" "$model" "$question" $tokens > "$scratch/text" 2> "$scratch/account"
  cat "$scratch/account"
  cmp "$scratch/answer" "$scratch/text"
  grep -qx "0 allocations while it answered" "$scratch/account"
  grep -qx "0 bytes left" "$scratch/account"
}

documented() {  # LANGUAGE: the program of that language in the documentation
  awk -v fence="^\`\`\`$1\$" '$0 ~ fence { on = 1; next } /^```$/ { on = 0 } on' \
    "$source_dir/docs/bindings.md"
}

answers() {  # COMMAND...: what it is documented to say
  (cd "$scratch" && ln -s "$model" model.gguf && "$@") > "$scratch/text"
  cmp "$scratch/answer" "$scratch/text"
  echo "$name: the documented program says so"
}

refuses() {  # COMMAND...: fails with the library's own line
  if "$@" "$scratch/none.gguf" 2> "$scratch/errors" < /dev/null > /dev/null; then
    echo "$name: no failure without a file"
    exit 1
  fi
  grep "cannot open" "$scratch/errors"
}
