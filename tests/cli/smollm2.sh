#!/bin/sh
# smollm2.sh JUNTO CHAT MODEL: a real model in a conversation that refers back, with the program and
# with examples/chat.c.
junto=$1
chat=$2
model=$3
. "$(dirname "$0")/check.sh"

talk() {
  called=$*
  printf '%s\n' "Hello! My name is Peter." "What is my name?" "Can you say my name again?" |
    "$@" > "$scratch/out" 2> "$scratch/err" || wrong "exit status 0 expected, $? found"
  named=$(grep -c "Your name is Peter" "$scratch/out")
  [ "$named" -eq 2 ] || wrong "'Your name is Peter' expected twice, $named times found"
  checks=$((checks + 1))
}

talk "$junto" run "$model" --chat -q
talk "$chat" "$model"

echo "$checks checks passed"
