#!/bin/sh
# models.sh JUNTO DATA: the commands on the tiny models of the parity tests, which have weights but no
# vocabulary.
junto=$1
data=$2/parity
. "$(dirname "$0")/check.sh"

tokens=1,5,9,2,7,30,31,32,33,34,35,36,37,38,39,40,41
token_count=17

for model in llama mixtral gpt_oss gpt_oss_mxfp4 qwen35; do
  file=$data/$model.gguf

  call 0 inspect "$file"
  said out "layers of width"
  said out "keys, values"
  call 0 inspect "$file" --key general.architecture
  lines 1
  vocabulary=$("$junto" inspect "$file" | sed -n 's/.*vocabulary *\([0-9]*\) tokens.*/\1/p')

  # One row of logits for each token, the same bytes however the work is cut up.
  call 0 logits "$file" --tokens $tokens --out "$scratch/whole" -t 1
  size=$(wc -c < "$scratch/whole")
  [ "$size" -eq $((token_count * vocabulary * 4)) ] || wrong "$size bytes of logits found"
  call 0 logits "$file" --tokens $tokens --out "$scratch/parts" -t 2 --chunk 7
  same "$scratch/whole" "$scratch/parts"
  call 0 logits "$file" --tokens $tokens --out "$scratch/single" --chunk 1 --no-map -q
  same "$scratch/whole" "$scratch/single"
  silent err

  # A packed file is the same model.
  packed=$scratch/$model.junto
  call 0 pack "$file" "$packed"
  said err "written in"
  for option in --keep-cache --no-map "--source=$file"; do
    call 0 logits "$packed" --tokens $tokens --out "$scratch/packed" "$option"
    same "$scratch/whole" "$scratch/packed"
  done
  call 0 inspect "$packed"
  said out "mapped"

  case $model in
  mixtral | gpt_oss*)
    call 0 logits "$packed" --tokens $tokens --out "$scratch/packed" --expert-budget 200kib
    same "$scratch/whole" "$scratch/packed"
    call 1 logits "$packed" --tokens $tokens --out "$scratch/packed" --expert-budget 10
    said err "at least"
    call 0 bench "$packed" -p 16 -n 4 -t 2 -r 1 --expert-budget 200kib
    said out "foreseen"
    ;;
  esac

  call 0 bench "$file" -p 16 -n 4 -t 2 -r 1 --json
  lines 1
  for key in prefill_tokens_per_s decode_tokens_per_s load_s peak_bytes wall_bytes_per_s \
    wall_macs_per_s prefill_macs_per_s; do
    said out "\"$key\": "
  done
done

# Room for states to return to is planned, where there are any; the answer does not depend on it.
file=$data/qwen35.gguf
kept() { sed -n 's/.*keys, values  *//p' "$scratch/out"; }
for bytes in 1 100KiB 1GiB; do
  call 0 inspect "$file" --checkpoint-bytes $bytes
  kept
done > "$scratch/plans"
[ "$(sort -u "$scratch/plans" | wc -l)" -eq 3 ] || wrong "three plans expected: $(cat "$scratch/plans")"
call 0 inspect "$file" --checkpoint-bytes 512MiB
kept > "$scratch/some"
call 0 inspect "$file"
kept > "$scratch/whole"
same "$scratch/some" "$scratch/whole"
call 0 bench "$file" -p 16 -n 4 -t 1 -r 1 --checkpoint-bytes 1
said out "of the ceiling of"
call 1 inspect "$file" --checkpoint-bytes 1 --key no.such.key
said err "'no.such.key'"

# A directory of Hugging Face is the model of its GGUF file.
for model in llama mixtral gpt_oss; do
  call 0 logits "$data/$model.gguf" --tokens $tokens --out "$scratch/whole" -q
  for name in "$data/$model" "$data/$model/config.json"; do
    call 0 inspect "$name"
    said out "layers of width"
    call 0 logits "$name" --tokens $tokens --out "$scratch/directory" -t 2
    same "$scratch/whole" "$scratch/directory"
  done
  call 0 pack "$data/$model" "$scratch/directory.junto"
  call 0 logits "$scratch/directory.junto" --source "$data/$model" --tokens $tokens \
    --out "$scratch/packed"
  same "$scratch/whole" "$scratch/packed"
done
call 1 inspect "$data"
said err "not a regular file"

call 0 bench "$data/llama.gguf" -p 16 -n 4 -t 1 -r 1
said out "of the ceiling of"

call 0 pack "$data/llama.gguf" "$scratch/mixtral.junto" -q  # replaces the one that was there
silent err
call 1 logits "$scratch/mixtral.junto" --source "$data/mixtral.gguf" --tokens 1 --out "$scratch/x"
said err "stale"
call 1 pack "$scratch/mixtral.junto" "$scratch/twice.junto"
said err "packed already"
call 1 pack "$data/llama.gguf" "$scratch/no/such/folder"
said err "No such file"
call 1 pack "$data/llama.gguf" "$scratch/small.junto" --memory-limit 100KB
for left in "$scratch"/twice.junto "$scratch"/small.junto "$scratch"/*.part; do
  if [ -e "$left" ]; then wrong "$left is left"; fi
done

# What these models cannot do is refused in a sentence.
call 1 run "$data/llama.gguf" -p Hello
said err "vocabulary"
call 1 run "$data/llama.gguf" --chat
said err "conversation"
call 1 tokenize "$data/llama.gguf" Hello
said err "vocabulary"
call 1 inspect "$data/llama.gguf" --key no.such.key
said err "'no.such.key'"
call 1 logits "$data/llama.gguf" --tokens 1,100000 --out "$scratch/logits"
said err "100000"
call 1 logits "$data/llama.gguf" --tokens $tokens --context 8 --out "$scratch/logits"
said err "8"
said err "--context"
call 1 bench "$data/llama.gguf" -p 16 -n 4 -r 1 --memory-limit 100KB
said err "junto inspect"

echo "$checks checks passed"
