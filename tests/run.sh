#!/bin/sh
# Builds and tests everything, the way it must pass before a change lands:
#   tests/run.sh [--quick]
# --quick leaves out the other builds, with clang and sanitizers. The last line is
# "N passed, N failed"; tests that lack a model file are skipped and count as neither.
set -u
cd "$(dirname "$0")/.."

quick=
for argument; do
  case $argument in
    --quick) quick=yes ;;
    *) echo "usage: tests/run.sh [--quick]" >&2; exit 2 ;;
  esac
done

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

step() {  # NAME COMMAND...: one pass or one failure
  name=$1
  shift
  started=$(date +%s)
  printf '== %s\n' "$name"
  if "$@" > "$log" 2>&1; then
    passed=$((passed + 1))
    printf '   done in %s s\n' $(($(date +%s) - started))
    return 0
  fi
  failed=$((failed + 1))
  tail -n 100 "$log"
  printf '== %s FAILED\n' "$name"
  return 1
}

tests_of() {  # BUILD_DIR CTEST_ARGUMENT...: as many passes and failures as ctest says
  build=$1
  shift
  started=$(date +%s)
  printf '== tests of %s\n' "$build"
  ctest --test-dir "$build" --output-on-failure --timeout 300 -j "$(nproc)" "$@" > "$log" 2>&1
  status=$?
  total=$(sed -n 's/^.* tests failed out of \([0-9]*\)$/\1/p' "$log")
  bad=$(sed -n 's/^.*, \([0-9]*\) tests failed out of [0-9]*$/\1/p' "$log")
  [ -n "$total" ] || { total=1; bad=1; }  # nothing ran
  [ "$status" = 0 ] || tail -n 300 "$log"
  skipped=$(grep -c '^ *[0-9]*/[0-9]* Test .*\*\*\*Skipped' "$log")
  passed=$((passed + total - bad - skipped))
  failed=$((failed + bad))
  printf '   %s tests, %s failed, %s skipped, in %s s\n' "$total" "$bad" "$skipped" \
    $(($(date +%s) - started))
  sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*/   skipped: \1/p' "$log"
}

build_of() {  # PRESET CONFIGURE_ARGUMENT...
  preset=$1
  shift
  step "configure $preset" cmake --preset "$preset" "$@" &&
    step "build $preset" cmake --build --preset "$preset"
}

format_check() {
  find include c_api examples tests bench -name '*.[ch]' -o -name '*.cc' 2> /dev/null |
    grep -v -e '^tests/data/' -e '^c_api/junto\.h$' | xargs clang-format-14 --dry-run -Werror
}

step "install what the build and the tests need" third_party/install.sh build tests
[ -n "$quick" ] || step "install the languages of the bindings" third_party/install.sh languages
if command -v ccache > /dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
export ASAN_OPTIONS=allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1

step "format" format_check
step "obtain a small real model" third_party/smollm2.sh
build_of dev && tests_of build-dev
if [ -z "$quick" ]; then
  # The other compiler and the sanitizers in one build, as neither changes what a test may expect.
  # Real models are left out: they would take minutes and show nothing new.
  build_of sanitize -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
    -DJUNTO_BUILD_SHARED=OFF && tests_of build-sanitize -LE model
  build_of threads && tests_of build-threads -R '^(threads|forks|batches|pool)_test$'
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
