#!/bin/sh
# Installs what Junto needs, from the packages of Debian 12, Ubuntu 23.04 and later:
#   third_party/install.sh [build] [tests] [languages] [bench] [npm] [cross]
# build alone when none is named.
# Nothing is fetched when all of it is there already.
set -eu

build="cmake ninja-build pkg-config g++ libhwy-dev libpcre2-dev libutf8proc-dev
  libcli11-dev"
tests="catch2 libeigen3-dev nlohmann-json3-dev clang-14 libclang-rt-14-dev clang-format-14 binutils
  ccache libdnnl-dev abigail-tools python3"
languages="python3 rustc cargo bindgen libclang1-14 golang-go"  # those of the bindings; no Swift
bench="libbenchmark-dev libdnnl-dev python3 python3-venv"
npm="npm"  # large where Node.js comes from Debian, and needed by bench/peers.sh alone
cross="g++-aarch64-linux-gnu qemu-user libhwy-dev:arm64 libpcre2-dev:arm64 libutf8proc-dev:arm64"

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

wanted=
for set in "${@:-build}"; do
  case $set in
    build) wanted="$wanted $build" ;;
    tests) wanted="$wanted $tests" ;;
    languages) wanted="$wanted $languages" ;;
    bench) wanted="$wanted $bench" ;;
    npm) wanted="$wanted $npm" ;;
    cross) wanted="$wanted $cross" ;;
    *) fail "no set of packages is called '$set': build, tests, languages, bench, npm and cross are" ;;
  esac
done

command -v apt-get > /dev/null && command -v dpkg-query > /dev/null ||
  fail "apt-get is not here. Please install what your system calls:$wanted"

missing=
for package in $wanted; do
  state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null || true)
  case $state in
    ii*) ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo > /dev/null; then
  as_root=sudo
else
  fail "neither root nor sudo. Please have these installed:$missing"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=120 "$@" > "$log" 2>&1
}

echo "installing:$missing"
case $missing in
  *:arm64*) $as_root dpkg --add-architecture arm64 ;;  # Debian has all its packages for it
esac
for attempt in 1 2 3; do
  # shellcheck disable=SC2086 # a list of words
  if apt update && apt install --no-install-recommends $missing; then exit 0; fi
  [ "$attempt" = 3 ] || sleep $((attempt * 5))
done
cat "$log" >&2
fail "apt-get could not install:$missing"
