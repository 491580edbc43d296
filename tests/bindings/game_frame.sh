#!/bin/sh
# The game loop runs, on however busy a machine: every frame is accounted for, and the characters say
# the same wherever the frames cut their words and wherever they are saved and loaded.
#   game_frame.sh GAME_FRAME MODEL
set -eu
if [ ! -e "$2" ]; then
  echo "skipped: there is no '$2'"
  exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for frames in 2 40; do
  "$1" "$2" --frames $frames > "$scratch/$frames"
  sed '/frames, .* later than/,$d' "$scratch/$frames" > "$scratch/$frames.said"
  cat "$scratch/$frames"
  awk -v frames=$frames '
    /^(Mira|Bron): ./ { spoke++ }
    /saved and loaded at frame [1-9]/ { saved++ }
    /^(frames|dialogue): median/ { tables++ }
    /^  </ { rows++; counted += $4 }
    /^  longer/ { rows++; counted += $2 }
    END { exit !(spoke == 2 && saved == 1 && tables == 2 && rows == 22 && counted == 2 * frames) }
  ' "$scratch/$frames"
done
cmp "$scratch/2.said" "$scratch/40.said"
