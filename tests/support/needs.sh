#!/bin/sh
# FILE COMMAND...: runs the command if the file is there; else says so and returns 77, which ctest
# counts as skipped, not as passed.
if [ ! -e "$1" ]; then
  echo "skipped: there is no '$1'"
  exit 77
fi
shift
exec "$@"
