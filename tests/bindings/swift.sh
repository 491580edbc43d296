#!/bin/sh
# Without a Swift compiler: the module map makes a module, and all that the wrapper names is in it.
#   swift.sh SOURCE_DIR BUILD_DIR MODEL
set -eu
. "$1/tests/bindings/lib.sh"
bindings=$source_dir/c_api/bindings/swift/Sources

if swiftc --version > /dev/null 2>&1; then
  for example in Chat Guest; do
    swiftc -O -swift-version 5 -I "$source_dir/c_api" -L "$library" -module-name "$example" \
      "$bindings"/Junto/*.swift "$bindings/$example/main.swift" -o "$scratch/$example"
  done
  chats "$scratch/Chat"
  hosts "$scratch/Guest"
  refuses "$scratch/Chat"
  exit 0
fi

for clang in clang clang-14; do
  if "$clang" --version > /dev/null 2>&1; then
    names=$(cat "$bindings"/*/*.swift | grep -oE '\b(junto|JUNTO)_\w+' | sort -u)
    {
      echo '@import CJunto;'
      for called in $names; do
        case $called in
          JUNTO_*) echo "long long use_$called(void) { return $called; }" ;;
          *) echo "__typeof__($called) *use_$called;" ;;
        esac
      done
    } > "$scratch/module.m"
    "$clang" -fsyntax-only -Werror -fmodules -fmodules-cache-path="$scratch/cache" \
      -fmodule-map-file="$source_dir/c_api/module.modulemap" -x objective-c "$scratch/module.m"
    echo "swift: CJunto is a module and has all $(echo "$names" | wc -l) names that the wrapper uses"
    skip "there is no swiftc to compile the wrapper itself"
  fi
done
skip "there is neither swiftc nor clang"
