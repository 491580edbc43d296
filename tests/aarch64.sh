#!/bin/sh
# Builds for 64-bit ARM, runs the tests of units and of small models in an emulator, and compares the
# bits of their results with those that the same tests get here:
#   tests/aarch64.sh
# Takes some minutes, and Debian: its cross compiler and its libraries for arm64 are installed. The
# last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.."

passed=0
failed=0
here=$(mktemp)
there=$(mktemp)
trap 'rm -f "$here" "$there"' EXIT

step() {  # NAME COMMAND...
  printf '== %s\n' "$1"
  shift
  "$@" > "$there" 2>&1 && return
  tail -n 100 "$there"
  echo "0 passed, 1 failed"
  exit 1
}

# The emulator does not keep a limit on threads. Of the tests of whole models those that take
# seconds: the others repeat them in many ways that have nothing to do with the processor.
cases_of() {
  case $1 in
    pool_test) echo '~a thread that the system refuses*' ;;
    models_test) echo 'logits equal*,int8 activations*' ;;
  esac
}

compare() {  # TEST
  cases=$(cases_of "$1")
  if ! qemu-aarch64 "build-aarch64/tests/$1" ${cases:+"$cases"} > "$there" 2>&1; then
    tail -n 60 "$there"
    return 1
  fi
  "build-dev/tests/$1" ${cases:+"$cases"} > "$here" 2>&1 || return 1
  bits=$(grep '^bits of ' "$here")
  [ "$bits" = "$(grep '^bits of ' "$there")" ] || {
    printf '   here  %s\n   there %s\n' "$bits" "$(grep '^bits of ' "$there")"
    return 1
  }
  [ -z "$bits" ] || printf '   the same %s\n' "$bits"
}

tests=
for file in tests/unit/*_test.cc tests/parity/models_test.cc; do
  tests="$tests $(basename "$file" .cc)"
done

step "install compilers, libraries and the emulator" third_party/install.sh build tests cross
if command -v ccache > /dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
for preset in dev aarch64; do
  step "configure $preset" cmake --preset "$preset"
  # shellcheck disable=SC2086 # a list of words
  step "build $preset" cmake --build --preset "$preset" --target $tests
done
for test in $tests; do
  printf '== %s\n' "$test"
  if compare "$test"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf '== %s FAILED\n' "$test"
  fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
