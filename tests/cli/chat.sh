#!/bin/sh
# chat.sh JUNTO WRITE_MODEL: what `junto run` shows of an answer, and how it takes what a person says.
junto=$1
write_model=$2
. "$(dirname "$0")/check.sh"

harmony="{{ '<|start|>assistant' }}"  # which every prompt ends with
"$write_model" "$scratch/thinks.gguf" "$harmony" t "<|channel|>" analysis "<|message|>" "Let me see." \
  "<|end|>" "It is 4." "<|return|>"
"$write_model" "$scratch/calls.gguf" "$harmony" t "<|channel|>" commentary " to=functions." find \
  "<|message|>" '{"a": ' '1}' "<|call|>"

# The answer alone: nobody watches the reasoning.
call 0 run "$scratch/thinks.gguf" -p "2 + 2?" -q
printf 'It is 4.\n' > "$scratch/expected"
same "$scratch/out" "$scratch/expected"
silent err
call 0 run "$scratch/thinks.gguf" -p t --raw -q
said out "analysisLet me see.It is 4."
call 0 run "$scratch/calls.gguf" -p "Find it" -q
printf 'call find {"a": 1}\n' > "$scratch/expected"
same "$scratch/out" "$scratch/expected"

# Templates that ask for the day are told today's, unless another is set.
dated="{{ strftime_now('%Y') }} {{ '<|im_start|>' if strftime_now('%F') == wanted }}"
"$write_model" "$scratch/dated.gguf" "$dated" t yes "<|im_end|>"
call 1 run "$scratch/dated.gguf" -p day -q --set current_date=31.1.
said err "YYYY-MM-DD"
call 0 run "$scratch/dated.gguf" -p day --set "wanted=$(date +%Y-%m-%d)"
sed -n 's/^\[prompt \([0-9]*\) tokens.*/\1/p' "$scratch/err" > "$scratch/expected"
call 0 run "$scratch/dated.gguf" -p day --set current_date=2026-01-31 --set wanted=2026-01-31
sed -n 's/^\[prompt \([0-9]*\) tokens.*/\1/p' "$scratch/err" > "$scratch/prompts"
lines 1
same "$scratch/prompts" "$scratch/expected"

# converse TEXT OPTION...: the conversation on standard input.
model=thinks
converse() {
  called="junto run --chat $*"
  printf '%b' "$1" > "$scratch/in"
  shift
  "$junto" run "$scratch/$model.gguf" --chat --system "Be brief." "$@" < "$scratch/in" \
    > "$scratch/out" 2> "$scratch/err" || wrong "exit status 0 expected, $? found"
  sed -n 's/^\[prompt \([0-9]*\) tokens.*/\1/p' "$scratch/err" > "$scratch/prompts"
}

# Turns of several lines, in either way, are the same turn; what was said is kept, and not read anew.
converse 'one\\\ntwo\nthree\n'
mv "$scratch/prompts" "$scratch/expected"
lines 2
said err "of them cached"
converse '"""\none\ntwo\n"""\nthree'
same "$scratch/prompts" "$scratch/expected"
converse '"""one\ntwo"""\n\nthree\n/quit\nfour\n'
same "$scratch/prompts" "$scratch/expected"
converse 'one\n/reset\none\n'
[ "$(sort -u "$scratch/prompts" | wc -l)" -eq 1 ] || wrong "two prompts alike expected"

# Tools: this model calls one whatever it hears, so each line is a result until there are no more.
model=calls
cat > "$scratch/tools.json" << 'END'
[{"type": "function", "function": {"name": "find", "description": "Finds",
  "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}]
END
converse 'Find it\n{"found": 3}\n"""\nnothing\n"""\n' --tools "$scratch/tools.json"
lines 3
said out 'call find {"a": 1}'
said err "of them cached"
converse 'Find it\n' --tools "$scratch/tools.json" -n 6  # cut off within the arguments
said err "the call of find is left out"
echo "no JSON" > "$scratch/tools.json"
call 1 run "$scratch/calls.gguf" -p "Find it" --tools "$scratch/tools.json"
said err "tools"
call 2 run "$scratch/calls.gguf" -p "Find it" --tools "$scratch/absent.json"
said err "absent.json"

echo "$checks checks passed"
