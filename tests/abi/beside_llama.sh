#!/bin/sh
# In one process with llama.cpp, which npm brings, Junto says what it says alone, and so does it.
#   beside_llama.sh SOURCE_DIR LIBJUNTO.so MODEL.gguf
set -eu
source_dir=$1
export JUNTO_LIBRARY="$2" PYTHONDONTWRITEBYTECODE=1
skip() { echo "skipped: $*"; exit 77; }
[ -e "$3" ] || skip "there is no '$3'"
python3 --version > /dev/null 2>&1 || skip "there is no python3"
[ -e "$source_dir/bench/.peers" ] || command -v npm > /dev/null || skip "there is no npm"
libraries=$(timeout 120 "$source_dir/bench/peers.sh" --fetch) || skip "llama.cpp cannot be fetched"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export JUNTO_SAID="$scratch/beside"
run() { python3 "$source_dir/tests/abi/beside_llama.py" "$source_dir" "$libraries" "$1"; }
JUNTO_ALONE=1 run "$3" > "$scratch/alone"
run "$3"
cmp "$scratch/alone" "$scratch/beside"
