# For the tests of the junto program: runs it, and compares what it said. Sourced with $junto set.
# Each check names what should hold; the first that does not ends the test.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
checks=0

# call STATUS ARGUMENT...: runs junto with nothing on standard input; its output goes to $scratch.
call() {
  want=$1
  shift
  status=0
  "$junto" "$@" > "$scratch/out" 2> "$scratch/err" < /dev/null || status=$?
  called="junto $*"
  [ "$status" = "$want" ] || wrong "exit status $want expected, $status found"
  checks=$((checks + 1))
}

wrong() {
  echo "$called: $*" >&2
  echo "-- its output"; cat "$scratch/out"
  echo "-- its errors"; cat "$scratch/err"
  exit 1
} >&2

# said out|err TEXT: TEXT occurs in the last call's output or errors.
said() {
  grep -qF -- "$2" "$scratch/$1" || wrong "'$2' expected"
  checks=$((checks + 1))
}

silent() {
  [ ! -s "$scratch/$1" ] || wrong "nothing in std$1 expected"
  checks=$((checks + 1))
}

# same FILE FILE: both have the same bytes.
same() {
  cmp -s "$1" "$2" || wrong "$1 and $2 differ"
  checks=$((checks + 1))
}

# lines NUMBER: how many lines of output there were.
lines() {
  found=$(wc -l < "$scratch/out")
  [ "$found" -eq "$1" ] || wrong "$1 lines expected, $found found"
  checks=$((checks + 1))
}
