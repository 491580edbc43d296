#!/bin/sh
# Installs a build into a fresh place and uses it as strangers do: with find_package, with pkg-config,
# shared and static, and configures it as a subdirectory of another project.
#   consumer.sh SOURCE_DIR BUILD_DIR LIBDIR C_COMPILER CXX_COMPILER
set -eu
source_dir=$1
build_dir=$2
libdir=$3
cc=$4
cxx=$5
consumer=$source_dir/tests/abi/consumer
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

quietly() {
  "$@" > "$scratch/log" 2>&1 || { echo "failed: $*"; cat "$scratch/log"; exit 1; }
}
configure() {  # BUILD_DIR ARGUMENT...
  to=$1
  shift
  quietly cmake -S "$consumer" -B "$to" -G Ninja -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" "$@"
}

# Installed, then moved: nothing in it may know where it was built.
quietly cmake --install "$build_dir" --prefix "$scratch/installed"
mv "$scratch/installed" "$scratch/prefix"
prefix=$scratch/prefix
if grep -rlF -e "$build_dir" -e "$source_dir" "$prefix" --include='*.cmake' --include='*.pc'; then
  echo "the files above name the build's own folders"
  exit 1
fi

configure "$scratch/package" -DCMAKE_PREFIX_PATH="$prefix"
quietly cmake --build "$scratch/package"
quietly ctest --test-dir "$scratch/package" --output-on-failure
echo "find_package: shared, static, headers"

export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
# shellcheck disable=SC2046 # lists of words
quietly "$cc" "$consumer/main.c" $(pkg-config --cflags --libs junto) -o "$scratch/shared"
quietly env LD_LIBRARY_PATH="$prefix/$libdir" "$scratch/shared"
rm "$prefix/$libdir"/libjunto.so*
# shellcheck disable=SC2046
quietly "$cc" "$consumer/main.c" $(pkg-config --static --cflags --libs junto) -o "$scratch/static"
quietly "$scratch/static"
echo "pkg-config: shared, static"

configure "$scratch/subdirectory" -DJUNTO_SOURCE_DIR="$source_dir"
echo "subdirectory: configures"
