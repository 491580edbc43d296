#!/bin/sh
# Compiles offsets.c, and with it junto.h and junto_table.h, as every C and C++ that we promise, with every warning that
# makes sense for a header, as errors.
#   compile_matrix.sh SOURCE_DIR COMPILER...      (C compilers: gcc and clang and their kin)
set -u
source_dir=$1
shift

# What -Weverything says that cannot be helped:
#   c++98-compat, c++98-compat-pedantic   newer standards are meant
#   old-style-cast, unused-macros         how offsets.c asserts in C89; the header has no casts
clang_warnings="-Weverything -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-old-style-cast
  -Wno-unused-macros"

passed=0
failed=0
try() {  # COMPILER ARGUMENT...
  if ! "$@" -Wall -Wextra -pedantic -Wpadded -Werror -I"$source_dir/c_api" -fsyntax-only \
    "$source_dir/tests/abi/offsets.c"; then
    echo "failed: $*"
    failed=$((failed + 1))
  fi
  passed=$((passed + 1))
}

for compiler; do
  warnings=
  if "$compiler" --version | grep -q clang; then warnings=$clang_warnings; fi
  for linkage in -UJUNTO_SHARED -DJUNTO_SHARED; do
    for standard in c89 c99 c11 c17 c2x; do
      # shellcheck disable=SC2086 # a list of words
      try "$compiler" -x c -std=$standard $linkage $warnings
    done
    for standard in c++98 c++11 c++14 c++17 c++20 c++2b; do
      # shellcheck disable=SC2086
      try "$compiler" -x c++ -std=$standard $linkage $warnings
    done
  done
done
echo "$passed combinations tried, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
