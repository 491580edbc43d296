#!/bin/sh
#   rust.sh SOURCE_DIR BUILD_DIR MODEL
set -eu
. "$1/tests/bindings/lib.sh"
for tool in cargo rustc bindgen; do
  "$tool" --version > /dev/null 2>&1 || skip "there is no $tool"
done

# Built beside the rest of the build, so that the next time is quick.
export JUNTO_INCLUDE_DIR="$source_dir/c_api" JUNTO_LIB_DIR="$library"
export RUSTFLAGS="-D warnings" CARGO_TARGET_DIR="$build/bindings/rust" CARGO_HOME="$scratch"
cd "$source_dir/c_api/bindings/rust"
cargo build --offline --locked --quiet --examples
chats "$CARGO_TARGET_DIR/debug/examples/chat"
hosts "$CARGO_TARGET_DIR/debug/examples/guest"
grep -q "^[1-9][0-9]* loops on threads of our own" "$scratch/account"
refuses "$CARGO_TARGET_DIR/debug/examples/chat"
cargo test --offline --locked --quiet --test calls

# As a stranger's crate.
mkdir -p "$scratch/program/src"
documented rust > "$scratch/program/src/main.rs"
printf '[package]\nname = "program"\nversion = "1.0.0"\nedition = "2021"\n' \
  > "$scratch/program/Cargo.toml"
documented toml | sed "s|/path/to/junto|$source_dir|" >> "$scratch/program/Cargo.toml"
cd "$scratch/program"
cargo build --offline --quiet
answers "$CARGO_TARGET_DIR/debug/program"
