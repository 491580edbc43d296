#!/bin/sh
# Runs Junto and llama.cpp in turn on the same files and prints both beside what the machine can do:
#   bench/peers.sh [OPTION]... [MODEL.gguf]...       bench/peers.sh --help tells the options
#   bench/peers.sh --fetch                           only fetches llama.cpp, and prints where it lies
# llama.cpp is the binary that npm's @node-llama-cpp/linux-x64 carries or, with --source, what
# Python's llama-cpp-python builds here. Either is fetched once and kept in bench/.peers; what that
# takes is installed by third_party/install.sh.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/bench/.peers

binary=@node-llama-cpp/linux-x64
binary_version=3.22.1  # carries llama.cpp v0.5.0, whose structures libllama.py knows
binary_sha256=0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0
source=llama-cpp-python
source_version=0.3.36

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'peers.sh: %s\n' "$*" >&2; exit 1; }

is_binary() { [ "$(sha256sum < "$1" | cut -d ' ' -f 1)" = "$binary_sha256" ]; }

fetch_binary() {
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "the binary is for Linux on x86-64: try --source"
  command -v npm > /dev/null || "$root/third_party/install.sh" npm >&2
  say "fetching $binary $binary_version"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && npm pack --silent "$binary@$binary_version" > /dev/null)
  is_binary "$scratch"/*.tgz || fail "$binary $binary_version is not the file that was expected"
  tar -xzf "$scratch"/*.tgz -C "$scratch"
  mkdir -p "$cache"
  mv "$scratch/package" "$cache/$binary_version"
}

build_source() {
  "$root/third_party/install.sh" build bench >&2
  say "building $source $source_version, which takes a while"
  # Its AMX code, as gcc 12 compiles it, stops with an illegal instruction.
  flags=
  [ "$(uname -m)" != x86_64 ] || flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
  python3 -m venv "$cache/venv"
  CMAKE_ARGS="-DCMAKE_C_FLAGS='$flags' -DCMAKE_CXX_FLAGS='$flags'" \
    "$cache/venv/bin/python3" -m pip install --quiet --no-cache-dir \
      "$source==$source_version"
  touch "$cache/venv/complete"
}

libraries=$cache/$binary_version/bins/linux-x64
if [ "${1-}" = --fetch ]; then
  [ -e "$libraries" ] || fetch_binary
  echo "$libraries"
  exit 0
fi
command -v python3 > /dev/null || "$root/third_party/install.sh" bench >&2
python=python3
for argument; do
  case $argument in
    -h | --help) exec python3 "$root/bench/peers.py" --help ;;
    --source) libraries=python python=$cache/venv/bin/python3 ;;
  esac
done
if [ "$libraries" = python ]; then
  [ -e "$cache/venv/complete" ] || build_source
else
  [ -e "$libraries" ] || fetch_binary
fi
exec "$python" "$root/bench/peers.py" --libraries "$libraries" "$@"
