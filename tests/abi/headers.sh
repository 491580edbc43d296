#!/bin/sh
# Every header compiles on its own, without a warning, when it is all that a file includes.
#   headers.sh SOURCE_DIR COMPILER FLAG...
set -eu
cd "$1"
shift

# A file that includes one header, twice for guards that do not guard; -inl.h files are meant to be
# read again only when Highway's target changes.
try='header=$0; printf "#include \"%s\"\n#include \"%s\"\n" "$header" "$header" |
  "$@" -I. -Iinclude -fsyntax-only -Wall -Wextra -Werror -x c++ - || { echo "failed: $header"; exit 1; }'

find include c_api -path c_api/bindings -prune -o -name '*.h' -print | sed 's|^include/||' | sort |
  xargs -P "$(getconf _NPROCESSORS_ONLN)" -I HEADER sh -c "$try" HEADER "$@"
echo "$(find include c_api -path c_api/bindings -prune -o -name '*.h' -print | wc -l) headers stand alone"
