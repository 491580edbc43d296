#!/bin/sh
# usage.sh JUNTO: what the program says about itself, and about command lines it does not understand.
junto=$1
. "$(dirname "$0")/check.sh"

call 0 --help
said out "junto run model.gguf"
silent err
for command in run logits bench inspect tokenize pack; do
  said out "$command"
  call 0 "$command" --help
  said out "Examples"
  said out "junto $command"
  silent err
  call 0 --help
done
call 1 run model.gguf
said err "the prompt is empty"

call 0 --version
said out "junto 1."

# A command line that is not understood: status 2, one fact, and where to read on.
call 2
said err "junto --help"
call 2 fly
said err "'fly' is not a command"
call 2 run
said err "MODEL is required"
said err "junto run --help"
call 2 run model.gguf --wings
said err "--wings"
call 2 run model.gguf -c 0
said err "--context: a number of at least 1 expected, '0' found"
call 2 run model.gguf --temp=-1
said err "'-1' found"
call 2 run model.gguf --temp warm
said err "warm"
call 2 run model.gguf --kv q8
said err "f16, bf16 or f32 expected, 'q8' found"
call 2 run model.gguf --set effort
said err "NAME=VALUE expected, 'effort' found"
call 2 run model.gguf --tools absent.json
said err "absent.json"
call 2 run model.gguf --memory-limit much
said err "much"
call 2 run model.gguf --checkpoint-bytes many
said err "many"
call 2 bench model.gguf --checkpoint-bytes 0
said err "'0' found"
call 2 logits model.gguf --out logits.f32
said err "--tokens is required"
call 2 logits model.gguf --out logits.f32 --tokens 1,two
said err "1,two"
call 2 bench model.gguf -r 0
said err "'0' found"
silent out

# Files that are no models: status 1.
for command in "run -p Hello" bench inspect tokenize; do
  # shellcheck disable=SC2086 # words
  set -- $command
  call 1 "$@" "$scratch/absent.gguf"
  said err "absent.gguf"
  silent out
  call 1 "$@" "$0"
  said err "junto: "
  silent out
done
call 1 logits "$scratch/absent.gguf" --tokens 1 --out "$scratch/logits.f32"
said err "absent.gguf"
call 1 logits "$scratch/absent.gguf" --tokens 1 --out "$scratch/no/logits.f32"
said err "cannot be written"

echo "$checks checks passed"
